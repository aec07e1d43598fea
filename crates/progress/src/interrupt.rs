//! The flag that asks long work to stop.

use std::error::Error;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use error_class::{Classified, ErrorClass};

/// A flag that asks long work to stop; clones share it.
///
/// Work polls it per entry and per buffer and then returns [`Interrupted`], leaving what an aborted
/// transaction leaves: nothing that is published halfway.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Asks everybody who holds a clone to stop. There is no way back.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error once somebody asked to stop.
    ///
    /// # Errors
    /// [`Interrupted`] when the flag is raised.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_raised() {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }

    /// The shared flag itself, for a signal handler to set.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// A reader that fails once the flag is raised; see [`Interrupted::is_cause_of`].
    pub fn reader<R: Read>(&self, inner: R) -> InterruptRead<R> {
        InterruptRead {
            interrupt: self.clone(),
            inner,
        }
    }
}

/// The work was stopped because [`Interrupt::raise`] was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Interrupted {
    /// Whether an input/output error is really an interrupt that passed through a reader.
    #[must_use]
    pub fn is_cause_of(error: &io::Error) -> bool {
        let mut cause = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            // The source of an I/O error skips the error it carries, so look inside.
            cause = match error.downcast_ref::<io::Error>() {
                Some(nested) => nested.get_ref().map(|inner| inner as _),
                None => error.source(),
            };
        }
        false
    }
}

impl Classified for Interrupted {
    fn class(&self) -> ErrorClass {
        ErrorClass::Interrupted
    }
}

impl From<Interrupted> for io::Error {
    // Not `ErrorKind::Interrupted`: the standard library takes that for EINTR and reads again.
    fn from(interrupted: Interrupted) -> Self {
        Self::other(interrupted)
    }
}

/// See [`Interrupt::reader`].
#[derive(Debug)]
pub struct InterruptRead<R> {
    interrupt: Interrupt,
    inner: R,
}

impl<R: Read> Read for InterruptRead<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.interrupt.check()?;
        self.inner.read(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_flag() {
        let interrupt = Interrupt::default();
        let clone = interrupt.clone();
        assert_eq!(clone.check(), Ok(()));
        interrupt.raise();
        assert_eq!(clone.check(), Err(Interrupted));
    }

    #[test]
    fn a_signal_handler_can_set_the_flag() {
        let interrupt = Interrupt::default();
        interrupt.flag().store(true, Ordering::Relaxed);
        assert!(interrupt.is_raised());
    }

    #[test]
    fn a_reader_stops_and_the_cause_is_recognised() {
        let interrupt = Interrupt::default();
        let mut reader = interrupt.reader(io::repeat(0));
        let mut buf = [0; 8];
        reader.read_exact(&mut buf).unwrap();
        interrupt.raise();
        let error = reader.read_exact(&mut buf).unwrap_err();
        assert!(Interrupted::is_cause_of(&error));
        assert!(Interrupted::is_cause_of(&io::Error::other(error)));
        assert!(!Interrupted::is_cause_of(&io::Error::other("else")));
    }
}
