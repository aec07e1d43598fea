//! Labels for what has none, as `ostree admin instutil selinux-ensure-labeled` gives them.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use durable::{Error, IoContext as _};
use file_contexts::{Policy, SELINUX_XATTR};
use rustix::fs::{AtFlags, FileType};

use crate::{attributes, dir};

/// Label everything below a directory that has no label, the directory itself as well. `prefix` is where it is in the
/// system, without slashes at the ends.
///
/// What was labelled: its path below the directory, its place in the system, its label.
///
/// # Errors
/// What the system said; labels that were given until then stay.
pub fn label_missing(
    dir: BorrowedFd<'_>,
    prefix: &str,
    policy: &Policy,
) -> Result<Vec<(PathBuf, String, String)>, Error> {
    let mut labelled = Vec::new();
    let stat = rustix::fs::fstat(dir).during("look at", ".")?;
    let place = format!("/{prefix}");
    if !has_label(&attributes::of_file(dir, Path::new("."))?) {
        attributes::label_file(dir, Some(policy), &place, stat.st_mode)?;
        if let Some(label) = policy.label(place.as_bytes(), stat.st_mode) {
            labelled.push((PathBuf::new(), place.clone(), label.to_owned()));
        }
    }
    below(
        dir,
        Path::new(""),
        place.trim_end_matches('/'),
        policy,
        &mut labelled,
    )?;
    Ok(labelled)
}

fn below(
    base: BorrowedFd<'_>,
    path: &Path,
    parent: &str,
    policy: &Policy,
    labelled: &mut Vec<(PathBuf, String, String)>,
) -> Result<(), Error> {
    for (name, kind) in dir::entries(base)? {
        let (name, path) = (Path::new(&name), path.join(&name));
        let place = format!("{parent}/{}", name.display());
        if !has_label(&attributes::of_link(base, name)?) {
            let stat = rustix::fs::statat(base, name, AtFlags::SYMLINK_NOFOLLOW)
                .during("look at", name)?;
            attributes::label_link(base, name, Some(policy), place.as_bytes(), stat.st_mode)?;
            if let Some(label) = policy.label(place.as_bytes(), stat.st_mode) {
                labelled.push((path.clone(), place.clone(), label.to_owned()));
            }
        }
        if kind == FileType::Directory {
            let inner = dir::open_inside(base, name)?;
            below(inner.as_fd(), &path, &place, policy, labelled)?;
        }
    }
    Ok(())
}

fn has_label(attributes: &[(std::ffi::CString, Vec<u8>)]) -> bool {
    attributes
        .iter()
        .any(|(name, _)| name.to_bytes() == SELINUX_XATTR)
}
