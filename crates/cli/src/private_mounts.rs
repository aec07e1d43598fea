//! Mounts of a running system. Where `/sysroot` is mounted read-only, it becomes writable for this process alone.

use std::path::Path;

use error_class::{Classified, ErrorClass};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{AtFlags, CWD, StatVfsMountFlags, StatxAttributes, StatxFlags, statvfs, statx};

/// The mounts could not be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    #[error("cannot make {place} writable for this process")]
    Remount {
        place: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("{place} is on a read-only medium: nothing can be changed on this system")]
    ReadOnlyMedium { place: &'static str },
}

impl Classified for MountError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Remount { source, .. } => source.class(),
            Self::ReadOnlyMedium { .. } => ErrorClass::Unsupported,
        }
    }
}

/// Makes those of `places` writable that are mounted, and read-only. Call it before descriptors to them are
/// opened; only the calling thread, and what it starts, sees them writable. What it mounts anew is seen
/// everywhere, as far as the system shares its mounts.
pub(crate) fn make_writable(places: &[&'static str]) -> Result<(), MountError> {
    let mut entered = false;
    // A directory of a read-only root is none of the places that are written to.
    let needs_it = |place: &&&'static str| is_read_only(place) && is_mounted(place);
    for place in places.iter().filter(needs_it) {
        let failed = |errno: nix::Error| MountError::Remount {
            place,
            source: errno.into(),
        };
        if !entered {
            unshare(CloneFlags::CLONE_NEWNS).map_err(failed)?;
            entered = true;
        }
        match remount(Path::new(place)) {
            Err(nix::Error::EROFS) => return Err(MountError::ReadOnlyMedium { place }),
            other => other.map_err(failed)?,
        }
        // The mount takes writes now, but what is mounted there may not.
        if is_read_only(place) {
            return Err(MountError::ReadOnlyMedium { place });
        }
    }
    Ok(())
}

fn is_read_only(place: &str) -> bool {
    statvfs(place).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Whether something is mounted at `place` itself.
fn is_mounted(place: &str) -> bool {
    let stat = statx(CWD, place, AtFlags::empty(), StatxFlags::empty());
    stat.is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Whether what is mounted at `place` takes no writes, however it is mounted.
pub(crate) fn is_read_only_medium(place: &Path) -> bool {
    let options = medium_of(place, 2);
    options.is_some_and(|options| options.split(',').any(|option| option == "ro"))
}

/// The source of what is mounted at `place`.
pub(crate) fn source_of(place: &Path) -> Option<String> {
    medium_of(place, 1)
}

/// What `/proc/self/mountinfo` says behind the dash of the line of `place`: the type, the source, and the options of the
/// file system.
fn medium_of(place: &Path, field: usize) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut lines = mounts.lines().filter_map(|line| {
        let (mount, medium) = line.split_once(" - ")?;
        let at = mount.split(' ').nth(4)?;
        (Path::new(at) == place).then(|| medium.split(' ').nth(field).unwrap_or_default())
    });
    // The last one lies on top.
    lines.next_back().map(str::to_owned)
}

fn remount(place: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_SILENT;
    mount(Some(place), place, None::<&str>, flags, None::<&str>)
}

/// Mounts an overlay. Relative paths in its options count from the current directory.
pub(crate) fn mount_overlay(place: &Path, options: &str, read_only: bool) -> std::io::Result<()> {
    let flags = match read_only {
        true => MsFlags::MS_SILENT | MsFlags::MS_RDONLY,
        false => MsFlags::MS_SILENT,
    };
    let overlay = Some("overlay");
    Ok(mount(overlay, place, overlay, flags, Some(options))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tmpfs in a name space that only this thread has; it goes with the thread.
    fn mounted(flags: MsFlags) -> &'static str {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let place = tempfile::tempdir().unwrap().keep();
        let (tmpfs, none) = (Some("tmpfs"), None::<&str>);
        mount(tmpfs, &place, tmpfs, flags, none).unwrap();
        Box::leak(place.display().to_string().into_boxed_str())
    }

    #[test]
    fn a_read_only_mount_becomes_writable() {
        let place = mounted(MsFlags::empty());
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(Some(place), place, None::<&str>, flags, None::<&str>).unwrap();
        assert!(std::fs::write(format!("{place}/x"), "").is_err());
        make_writable(&[place, "/no/such"]).unwrap();
        std::fs::write(format!("{place}/x"), "").unwrap();
    }

    #[test]
    fn a_directory_that_is_no_mount_is_left_alone() {
        let place = mounted(MsFlags::empty());
        let inside: &'static str = Box::leak(format!("{place}/boot").into_boxed_str());
        std::fs::create_dir(inside).unwrap();
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(Some(place), place, None::<&str>, flags, None::<&str>).unwrap();
        make_writable(&[inside]).unwrap();
        assert!(std::fs::write(format!("{inside}/x"), "").is_err());
    }

    #[test]
    fn a_read_only_medium_is_named() {
        let place = mounted(MsFlags::MS_RDONLY);
        let refused = make_writable(&[place]).unwrap_err();
        assert!(
            matches!(refused, MountError::ReadOnlyMedium { .. }),
            "{refused}"
        );
        assert_eq!(refused.class(), ErrorClass::Unsupported);
    }
}
