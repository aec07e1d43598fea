//! `/run/reboot-required`: what others look at to find out that an update waits for a reboot, for example kured.

use std::os::fd::BorrowedFd;
use std::path::Path;

use durable::Error;
use sysroot::Sysroot;

const FILE: &str = "reboot-required";

/// Says that the image with this digest waits for a reboot. `/run` does not outlive the system, so nothing is synced.
pub(crate) fn require_reboot(sysroot: &Sysroot, digest: &str) -> Result<(), Error> {
    sysroot.run().map_or(Ok(()), |run| require(run, digest))
}

/// The same, where `/run` is at hand.
pub(crate) fn require(run: BorrowedFd<'_>, digest: &str) -> Result<(), Error> {
    let text = format!("bootroot: Reboot required for image: {digest}");
    durable::publish_no_sync(run, Path::new(FILE), text.as_bytes(), 0o644)
}

/// Takes that back, when it was said here or by bootc: others have reasons of their own.
pub(crate) fn require_no_reboot(sysroot: &Sysroot) -> Result<(), Error> {
    sysroot.run().map_or(Ok(()), take_back)
}

/// The same, where `/run` is at hand.
pub(crate) fn take_back(run: BorrowedFd<'_>) -> Result<(), Error> {
    let said = durable::read_optional(run, Path::new(FILE), 4096)?.unwrap_or_default();
    let ours = |name: &[u8]| said.starts_with(name);
    if ours(b"bootroot: ") || ours(b"bootc: ") {
        durable::remove_all(run, Path::new(FILE))?;
    }
    Ok(())
}
