//! Who works in a repository: anybody at once, or one who removes.

use std::time::Duration;

use durable::IoContext as _;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::{Store, StoreError};

/// How long others are waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

impl Store {
    /// As `cfsctl` does it, whoever has the repository open holds a shared lock on its directory.
    pub(crate) fn lock_shared(&self) -> Result<(), StoreError> {
        self.lock(FlockOperation::NonBlockingLockShared)
    }

    pub(crate) fn lock_alone(&self) -> Result<(), StoreError> {
        self.lock(FlockOperation::NonBlockingLockExclusive)
    }

    fn lock(&self, operation: FlockOperation) -> Result<(), StoreError> {
        let mut left = PATIENCE.as_millis() / PAUSE.as_millis();
        loop {
            match rustix::fs::flock(self.dir(), operation) {
                Ok(()) => return Ok(()),
                Err(Errno::AGAIN) if left == 0 => return Err(StoreError::Locked),
                Err(Errno::AGAIN) => std::thread::sleep(PAUSE),
                Err(Errno::INTR) => {}
                Err(error) => return Ok(Err(error).during("lock", ".")?),
            }
            left -= 1;
        }
    }
}
