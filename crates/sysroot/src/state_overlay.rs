//! State overlays: a writable layer over a part of `/usr` that survives updates.
//!
//! What was added stays; what stands in the way of the deployment's own content is removed when another
//! deployment runs, so that an update is seen. Layout, mark and rules are those of `ostree admin state-overlay`.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use durable::{Error, IoContext as _};
use ostree_format::Checksum;
use rustix::fs::{FileType, XattrFlags};
use rustix::io::Errno;

use crate::dir;

/// The layer that is written to, in the overlay's directory.
const UPPER: &str = "upper";
const WORK: &str = "work";
/// Which deployment the layer was last brought in line with.
const MARK: &str = "user.ostree.deploymentcsum";
/// What overlayfs notes of a directory that hides the one below.
const OPAQUE: &str = "trusted.overlay.opaque";

/// Prepare the layer in `overlay` for being mounted over `lower`, a part of the running deployment with this commit.
///
/// # Errors
/// What the system said; what was removed until then is gone, and calling again goes on.
pub fn prepare_state_overlay(
    overlay: BorrowedFd<'_>,
    lower: BorrowedFd<'_>,
    commit: &Checksum,
) -> Result<(), Error> {
    for name in [WORK, UPPER] {
        dir::make_all(overlay, name, 0o700)?;
    }
    let upper = dir::open(overlay, UPPER)?;
    let commit = commit.to_string();
    if attribute(upper.as_fd(), MARK)?.as_deref() == Some(commit.as_bytes()) {
        return Ok(());
    }
    prune(upper.as_fd(), lower)?;
    rustix::fs::fsetxattr(&upper, MARK, commit.as_bytes(), XattrFlags::empty())
        .during("set attribute of", UPPER)
}

/// Remove from `upper` what is in `lower`, too, but for directories on both sides.
fn prune(upper: BorrowedFd<'_>, lower: BorrowedFd<'_>) -> Result<(), Error> {
    for (name, kind) in dir::entries(upper)? {
        let Some(below) = dir::stat_optional(lower, &name)? else {
            continue;
        };
        let both = kind == FileType::Directory
            && FileType::from_raw_mode(below.st_mode) == FileType::Directory;
        if both {
            let inner = dir::open_inside(upper, Path::new(&name))?;
            if attribute(inner.as_fd(), OPAQUE)?.as_deref() != Some(b"y") {
                let below = dir::open_inside(lower, Path::new(&name))?;
                prune(inner.as_fd(), below.as_fd())?;
                continue;
            }
        }
        durable::remove_all(upper, Path::new(&name))?;
    }
    Ok(())
}

fn attribute(file: BorrowedFd<'_>, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let mut value = vec![0; 256];
    match rustix::fs::fgetxattr(file, name, &mut value) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::RANGE | Errno::NOTSUP) => Ok(None),
        Err(error) => Err(error).during("read attribute of", name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn what_was_added_stays_and_what_is_updated_is_seen() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        for (name, text) in [
            ("lower/same", "new"),
            ("lower/dir/same", "new"),
            ("lower/opaque/hidden", "new"),
            ("lower/kind", "new"),
            ("overlay/upper/same", "local"),
            ("overlay/upper/added", "local"),
            ("overlay/upper/dir/same", "local"),
            ("overlay/upper/dir/added", "local"),
            ("overlay/upper/opaque/added", "local"),
            ("overlay/upper/kind/added", "local"),
        ] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), text).unwrap();
        }
        let open = |name: &str| File::open(path(name)).unwrap();
        let opaque = open("overlay/upper/opaque");
        rustix::fs::fsetxattr(&opaque, OPAQUE, b"y", XattrFlags::empty()).unwrap();
        let prepare = |commit: &[u8]| {
            let commit = Checksum::of(commit);
            prepare_state_overlay(open("overlay").as_fd(), open("lower").as_fd(), &commit).unwrap();
        };
        let there = || {
            let names = ["same", "added", "dir/same", "dir/added", "opaque", "kind"];
            names.map(|name| path("overlay/upper").join(name).exists())
        };
        prepare(b"1");
        assert_eq!(there(), [false, true, false, true, false, false]);
        // The same deployment once more: local changes stay.
        fs::write(path("overlay/upper/same"), "local").unwrap();
        prepare(b"1");
        assert!(path("overlay/upper/same").exists());
        prepare(b"2");
        assert!(!path("overlay/upper/same").exists());
    }
}
