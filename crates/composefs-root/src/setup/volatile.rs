//! What systemd needs to know of a root that it found by itself.

use std::os::fd::BorrowedFd;
use std::path::Path;

use durable::IoContext as _;
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

/// systemd looks for the disk of the root where the root is mounted, which a root of composefs does not tell. Where it
/// found the root by the partition table, this tells it where to look. A link that is there stays.
///
/// Source: `ostree-prepare-root`, and the issue 35017 of systemd.
pub(super) fn tell_disk(dev: BorrowedFd<'_>, run: BorrowedFd<'_>) -> Result<(), durable::Error> {
    let stat = match rustix::fs::statat(dev, "gpt-auto-root", AtFlags::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.during("look at", "dev/gpt-auto-root")?,
    };
    let (major, minor) = (
        rustix::fs::major(stat.st_rdev),
        rustix::fs::minor(stat.st_rdev),
    );
    match rustix::fs::mkdirat(run, "systemd", Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).during("create", "run/systemd"),
    }
    let target = format!("/dev/block/{major}:{minor}");
    match rustix::fs::symlinkat(Path::new(&target), run, "systemd/volatile-root") {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error).during("create link", "run/systemd/volatile-root"),
    }
}
