//! Waiting for a server without being deaf to an interrupt.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use progress::{Interrupt, Interrupted};

/// How long an interrupt may go unnoticed.
const POLL: Duration = Duration::from_millis(100);

/// Do `work`, which may block in a system call for long, in a thread of its own; give up waiting for it
/// once `interrupt` is raised. The thread then ends by itself, at the latest with its own timeout.
pub(super) fn interruptible<T: Send + 'static>(
    interrupt: &Interrupt,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Interrupted> {
    let (sender, receiver) = sync_channel(1);
    let worker = std::thread::spawn(move || {
        // Nobody receives after an interrupt; then the result is not wanted.
        let _unwanted = sender.send(work());
    });
    loop {
        interrupt.check()?;
        match receiver.recv_timeout(POLL) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // Without a result the thread can only have panicked.
    match worker.join() {
        Err(panic) => std::panic::resume_unwind(panic),
        Ok(()) => Err(Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn results_come_at_once_and_interrupts_soon() {
        let interrupt = Interrupt::default();
        assert_eq!(interruptible(&interrupt, || 7), Ok(7));
        let raiser = interrupt.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            raiser.raise();
        });
        let begun = Instant::now();
        let slow = || std::thread::sleep(Duration::from_secs(30));
        assert_eq!(interruptible(&interrupt, slow), Err(Interrupted));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
