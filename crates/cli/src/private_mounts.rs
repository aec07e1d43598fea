//! A private view of the mounts: where `/sysroot` of a running system is mounted read-only, it becomes writable
//! for this process alone.

use std::path::Path;

use error_class::{Classified, ErrorClass};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{StatVfsMountFlags, statvfs};

/// The mounts could not be changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {place} writable for this process")]
pub(crate) struct PrivateMountError {
    place: &'static str,
    #[source]
    source: std::io::Error,
}

impl Classified for PrivateMountError {
    fn class(&self) -> ErrorClass {
        self.source.class()
    }
}

/// Makes those of `places` writable that are there and read-only. Call it before descriptors to them are
/// opened; only the calling thread, and what it starts, sees them writable.
pub(crate) fn make_writable(places: &[&'static str]) -> Result<(), PrivateMountError> {
    let read_only = |place: &&&str| {
        statvfs(**place).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
    };
    let mut entered = false;
    for place in places.iter().filter(read_only) {
        let failed = |errno: nix::Error| PrivateMountError {
            place,
            source: errno.into(),
        };
        if !entered {
            enter().map_err(failed)?;
            entered = true;
        }
        remount(Path::new(place)).map_err(failed)?;
    }
    Ok(())
}

fn enter() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What is mounted elsewhere is still seen here, but not the other way round.
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
}

fn remount(place: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_SILENT;
    mount(Some(place), place, None::<&str>, flags, None::<&str>)
}
