//! Doing what an [`EtcPlan`] says.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use durable::Error;
use tree::Name;

use super::model::EtcPath;
use super::plan::{Action, EtcPlan};
use crate::copy::{self, Place, Xattrs};
use crate::dir;

/// Carry over from `current` (the old `/etc`) to `new` (a fresh copy of the new default).
///
/// A path that has become a link since the plan was made is an error, never followed.
pub(crate) fn apply(
    plan: &EtcPlan,
    current: BorrowedFd<'_>,
    new: BorrowedFd<'_>,
    xattrs: Xattrs,
) -> Result<(), Error> {
    let merge = Merge {
        current,
        new,
        xattrs,
    };
    plan.actions
        .iter()
        .try_for_each(|action| merge.step(action))
}

struct Merge<'a> {
    current: BorrowedFd<'a>,
    new: BorrowedFd<'a>,
    xattrs: Xattrs,
}

impl Merge<'_> {
    fn step(&self, action: &Action) -> Result<(), Error> {
        match action {
            Action::Remove { path } => {
                let (parent, name) = open_parent(self.new, path)?;
                durable::remove_all(parent.as_fd(), &name)
            }
            Action::MakeDirectory { path, from } => {
                let (parent, name) = open_parent(self.new, path)?;
                let made = copy::new_dir(Place::new(parent.as_fd(), &name))?;
                self.attributes(from, made.as_fd())
            }
            Action::CopyAttributes { path, from } => {
                let target = dir::open_inside(self.new, &joined(path))?;
                self.attributes(from, target.as_fd())
            }
            Action::Copy { path, from } => self.copy(path, from),
        }
    }

    fn attributes(&self, from: &EtcPath, to: BorrowedFd<'_>) -> Result<(), Error> {
        let path = joined(from);
        let source = dir::open_inside(self.current, &path)?;
        copy::dir_attributes(source.as_fd(), to, &path, self.xattrs)
    }

    fn copy(&self, path: &EtcPath, from: &EtcPath) -> Result<(), Error> {
        let (source, source_name) = open_parent(self.current, from)?;
        let (target, target_name) = open_parent(self.new, path)?;
        let from = Place::new(source.as_fd(), &source_name);
        let to = Place::new(target.as_fd(), &target_name);
        let mut skipped = |name: &Path| {
            tracing::info!(
                name = copy::shown(name),
                "left out of /etc: not a file, link or directory"
            );
        };
        if copy::is_dir(from)? {
            return copy::tree(from, to, self.xattrs, &mut skipped);
        }
        if !copy::leaf(from, to, self.xattrs)? {
            skipped(from.name);
        }
        Ok(())
    }
}

fn joined(path: &[Name]) -> PathBuf {
    path.iter()
        .map(|name| OsStr::from_bytes(name.as_bytes()))
        .collect()
}

/// The directory that holds `path`, and the last name of it.
fn open_parent(base: BorrowedFd<'_>, path: &[Name]) -> Result<(OwnedFd, PathBuf), Error> {
    let parent = path
        .split_last()
        .map(|(_, parent)| joined(parent))
        .unwrap_or_default();
    let name = path
        .last()
        .map(|name| joined(std::slice::from_ref(name)))
        .unwrap_or_default();
    Ok((dir::open_inside(base, &parent)?, name))
}
