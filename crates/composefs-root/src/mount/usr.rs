//! An overlay on the running system's `/usr`, which forgets what is written with the next boot.

use std::os::fd::{AsFd as _, BorrowedFd};

use durable::IoContext as _;
use rustix::fs::AtFlags;
use rustix::mount::MountAttrFlags;

use super::calls::{Description, attach, make_read_only};
use super::image::made;
use super::{MountError, open_dir};

/// Mount an overlay on the `/usr` of the running root, whose changes are kept in memory; `read_only` lets nobody write but
/// those who mount it anew. `false` when one is mounted already.
///
/// # Errors
/// [`MountError`]; nothing is mounted then.
pub fn overlay_usr(root: BorrowedFd<'_>, read_only: bool) -> Result<bool, MountError> {
    let look = |path| rustix::fs::statat(root, path, AtFlags::empty()).during("look at", path);
    let (above, stat) = (look(".")?, look("usr")?);
    if above.st_dev != stat.st_dev {
        return Ok(false);
    }
    let usr = open_dir(root, "usr")?;
    let memory = Description::new("tmpfs")?.mount(MountAttrFlags::empty())?;
    let overlay = Description::new("overlay")?;
    overlay.set("source", "overlay")?;
    overlay.set_dir("lowerdir+", &usr)?;
    // What is above gives the directory its mode.
    overlay.set_dir(
        "upperdir",
        made(memory.as_fd(), "upper", stat.st_mode & 0o7777)?,
    )?;
    overlay.set_dir("workdir", made(memory.as_fd(), "work", 0o700)?)?;
    let overlay = overlay.mount(MountAttrFlags::empty())?;
    attach(&overlay, usr, "an overlay on /usr")?;
    if read_only {
        make_read_only(overlay.as_fd(), "/usr")?;
    }
    Ok(true)
}
