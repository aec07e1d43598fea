//! Work on many like things, shared out to several threads.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Interrupt, Interrupted, Task};

/// How work is shared out.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Threads at most; `None`: as many as the machine has processors.
    pub threads: Option<NonZeroUsize>,
    /// How many things a thread takes at a time: enough that counting is not the work.
    pub batch: usize,
}

impl Share {
    fn threads_for(self, things: usize) -> usize {
        let available = || std::thread::available_parallelism().ok();
        let threads = self.threads.or_else(available).map_or(1, usize::from);
        threads.min(things.div_ceil(self.batch.max(1))).max(1)
    }
}

impl Task<'_> {
    /// Do `work` with all `things`, batch by batch on several threads, and report them as they are done.
    /// Each thread begins with what `start` gives and hands it back at the end, in no particular order.
    ///
    /// # Errors
    /// The error of the first thread that met one; the others end after their batch. A raised
    /// `interrupt` is such an error.
    ///
    /// # Panics
    /// When `work` does.
    pub fn share_out<T: Sync, S: Send, E: From<Interrupted> + Send>(
        &self,
        things: &[T],
        share: Share,
        interrupt: &Interrupt,
        start: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, &[T]) -> Result<(), E> + Sync,
    ) -> Result<Vec<S>, E> {
        let next = AtomicUsize::new(0);
        let batch = share.batch.max(1);
        let thread = || {
            let mut state = start();
            loop {
                let at = next.fetch_add(batch, Ordering::Relaxed);
                let taken = things.get(at..things.len().min(at + batch));
                let Some(taken) = taken.filter(|taken| !taken.is_empty()) else {
                    return Ok(state);
                };
                let done = interrupt.check().map_err(E::from);
                if let Err(error) = done.and_then(|()| work(&mut state, taken)) {
                    // Nobody takes another batch.
                    next.store(things.len(), Ordering::Relaxed);
                    return Err(error);
                }
                self.advance(taken.len() as u64);
            }
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..share.threads_for(things.len()))
                .map(|_| scope.spawn(thread))
                .collect();
            let mut states = vec![thread()];
            for other in others {
                states.push(
                    other
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                );
            }
            states.into_iter().collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::Share;
    use crate::{Interrupt, Interrupted, Silent, Task, TaskKind};

    #[derive(Debug, PartialEq, Eq)]
    enum Failure {
        Interrupted,
        Thing(u32),
    }

    impl From<Interrupted> for Failure {
        fn from(_: Interrupted) -> Self {
            Self::Interrupted
        }
    }

    fn sums(
        threads: usize,
        batch: usize,
        bad: Option<u32>,
        interrupt: &Interrupt,
    ) -> Result<u32, Failure> {
        let things: Vec<u32> = (0..1000).collect();
        let share = Share {
            threads: NonZeroUsize::new(threads),
            batch,
        };
        let task = Task::begin(&Silent, TaskKind::Fsck, None);
        let sums = task.share_out(
            &things,
            share,
            interrupt,
            || 0,
            |sum, batch| {
                for thing in batch {
                    if bad == Some(*thing) {
                        return Err(Failure::Thing(*thing));
                    }
                    *sum += thing;
                }
                Ok(())
            },
        )?;
        Ok(sums.into_iter().sum())
    }

    #[test]
    fn everything_is_done_once() {
        for (threads, batch) in [(1, 1), (2, 7), (5, 64), (3, 5000), (0, 10), (2, 0)] {
            let sum = sums(threads, batch, None, &Interrupt::default());
            assert_eq!(sum, Ok(499_500), "{threads} threads, batches of {batch}");
        }
    }

    #[test]
    fn an_error_and_an_interrupt_end_it() {
        let sum = sums(4, 3, Some(500), &Interrupt::default());
        assert_eq!(sum, Err(Failure::Thing(500)));
        let interrupt = Interrupt::default();
        interrupt.raise();
        assert_eq!(sums(4, 3, None, &interrupt), Err(Failure::Interrupted));
    }

    #[test]
    #[should_panic(expected = "thing 7")]
    fn a_panic_is_not_lost() {
        let task = Task::begin(&Silent, TaskKind::Fsck, None);
        let share = Share {
            threads: NonZeroUsize::new(3),
            batch: 1,
        };
        let things: Vec<u32> = (0..100).collect();
        let work = |(): &mut (), batch: &[u32]| -> Result<(), Failure> {
            assert_ne!(batch, [7], "thing 7");
            Ok(())
        };
        task.share_out(&things, share, &Interrupt::default(), || (), work)
            .unwrap();
    }
}
