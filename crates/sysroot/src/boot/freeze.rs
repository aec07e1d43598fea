//! Bringing the journal of `/boot` to rest.
//!
//! Boot loaders read file systems without replaying their journal: what was synced may stand there and nowhere
//! else yet. Freezing a file system writes everything to its place. Another process does that and undoes it at once,
//! deaf to what ends this one, so that nothing stays frozen.

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::process::{Command, Stdio};

use durable::IoContext as _;

use super::BootError;
use crate::Locked;

/// Only say that it was started.
const TEST: &str = "test";

/// Freezes and thaws the current directory's file system, or only says that it was started.
const SCRIPT: &str = "trap '' HUP INT TERM; case $1 in \
    test) echo fifreeze watchdog was run >&2;; \
    *) fsfreeze --freeze . && fsfreeze --unfreeze .;; \
    esac";

impl Locked<'_> {
    /// [`rest_journal`] of a system that runs: what does not run will be unmounted before it boots, which does the
    /// same.
    pub(super) fn settle_boot(&self, boot: BorrowedFd<'_>) -> Result<(), BootError> {
        if self.options.test_freeze {
            run(boot, TEST).during("start", "sh")?;
            return Err(BootError::FreezeTest);
        }
        if !self.is_running() {
            return Ok(());
        }
        rest_journal(boot);
        Ok(())
    }
}

/// Let everything that was written to the file system of `boot` stand where boot loaders read it. Where it cannot be
/// frozen, having synced it has to do.
pub fn rest_journal(boot: BorrowedFd<'_>) {
    match run(boot, "freeze") {
        Ok(true) => {}
        Ok(false) => tracing::info!("/boot cannot be frozen: what was synced has to do"),
        Err(error) => tracing::warn!(%error, "cannot start fsfreeze"),
    }
}

/// Whether it succeeded.
fn run(boot: BorrowedFd<'_>, what: &str) -> std::io::Result<bool> {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh", what]);
    command.current_dir(format!("/proc/self/fd/{}", boot.as_raw_fd()));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if what != TEST {
        command.stderr(Stdio::null());
    }
    Ok(command.status()?.success())
}
