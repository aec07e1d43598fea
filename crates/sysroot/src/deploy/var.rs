//! The `/var` that all deployments of a stateroot share.
//!
//! It gets the content of the first commit that is deployed to it, and is never touched again: it
//! belongs to the system's user.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use durable::{Error, IoContext as _, crash_point};
use file_contexts::Policy;
use ostree::{CheckoutOptions, Existing};
use ostree_format::Checksum;
use progress::{Interrupt, Progress};
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use serde::Serialize;

use super::DeployError;
use crate::copy::{self, Xattrs};
use crate::source::SourceError;
use crate::{DeploymentId, Locked, StaterootName, Sysroot, attributes, dir};

/// Where systemd keeps what it makes in `/var`; without it, a few directories are made here.
const TMPFILES: &str = "usr/lib/tmpfiles.d";

/// Says that `/var` has its labels.
const LABELLED: &str = ".ostree-selabeled";

/// What happens to the stateroot's `/var`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum VarPlan {
    /// Nothing: it is in use, or the commit has none.
    Keep,
    /// It is empty and gets the content of the commit's.
    Fill {
        /// Bytes of the files.
        bytes: u64,
    },
}

impl Sysroot {
    pub(crate) fn plan_var(
        &self,
        stateroot: &StaterootName,
        commit: &Checksum,
    ) -> Result<VarPlan, SourceError> {
        let Some((contents, _)) = self.repo().subtree(commit, "var")? else {
            return Ok(VarPlan::Keep);
        };
        if !is_empty(self, stateroot)? {
            return Ok(VarPlan::Keep);
        }
        let bytes = bytes_below(self, &contents)?;
        Ok(VarPlan::Fill { bytes })
    }
}

fn is_empty(sysroot: &Sysroot, stateroot: &StaterootName) -> Result<bool, Error> {
    let var = dir::open_optional(sysroot.dir(), stateroot.var())?;
    var.map_or(Ok(true), |var| Ok(dir::entries(var.as_fd())?.is_empty()))
}

/// Bytes of all files below a dirtree.
pub(super) fn bytes_below(sysroot: &Sysroot, contents: &Checksum) -> Result<u64, SourceError> {
    let tree = sysroot.repo().load_dirtree(contents)?;
    let mut bytes = 0;
    for (_, file) in &tree.files {
        bytes += sysroot.repo().open_file(file)?.size;
    }
    for entry in &tree.dirs {
        bytes += bytes_below(sysroot, &entry.contents)?;
    }
    Ok(bytes)
}

/// What a step on `/var` needs to know.
#[derive(Clone, Copy)]
pub(crate) struct VarStep<'a> {
    pub(crate) id: &'a DeploymentId,
    pub(crate) policy: Option<&'a Policy>,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) interrupt: &'a Interrupt,
}

impl Locked<'_> {
    /// Fill `/var` if it is empty, label it if that was not done, and let services that wait for an
    /// update run.
    pub(super) fn prepare_var(&self, plan: VarPlan, step: VarStep<'_>) -> Result<(), DeployError> {
        dir::make_all(self.dir(), step.id.stateroot.var(), 0o755)?;
        if matches!(plan, VarPlan::Fill { .. }) && is_empty(self, &step.id.stateroot)? {
            self.fill_var(step)?;
        }
        let var = dir::open(self.dir(), step.id.stateroot.var())?;
        finish_var(var.as_fd(), step.policy)?;
        dir::unlink_optional(var.as_fd(), ".updated")?;
        Ok(())
    }

    /// Fill a new directory and put it in the place of the empty one: a `/var` that is filled in part
    /// would never be completed. Where it cannot be put there, because `/var` is mounted, it is filled
    /// in place.
    fn fill_var(&self, step: VarStep<'_>) -> Result<(), DeployError> {
        let stateroot = dir::open(self.dir(), step.id.stateroot.path())?;
        let name = Path::new(".var.tmp");
        durable::remove_all(stateroot.as_fd(), name)?;
        self.copy_var(stateroot.as_fd(), name, step)?;
        let (old, new) = (
            dir::open(stateroot.as_fd(), "var")?,
            dir::open(stateroot.as_fd(), name)?,
        );
        copy::dir_attributes(old.as_fd(), new.as_fd(), name, Xattrs::Copy)?;
        finish_var(new.as_fd(), step.policy)?;
        crash_point("sysroot:var-filled");
        match rustix::fs::renameat(&stateroot, name, &stateroot, "var") {
            Ok(()) => Ok(()),
            Err(Errno::BUSY | Errno::XDEV) => {
                durable::remove_all(stateroot.as_fd(), name)?;
                self.copy_var(stateroot.as_fd(), Path::new("var"), step)
            }
            Err(error) => Err(error).during("replace", "var").map_err(Into::into),
        }
    }

    fn copy_var(
        &self,
        stateroot: BorrowedFd<'_>,
        name: &Path,
        step: VarStep<'_>,
    ) -> Result<(), DeployError> {
        let options = CheckoutOptions {
            force_copy: true,
            subpath: Some("var"),
            existing: Existing::Union,
            ..CheckoutOptions::default()
        };
        let commit = &step.id.commit;
        self.repo().checkout(
            commit,
            stateroot,
            name,
            &options,
            step.progress,
            step.interrupt,
        )?;
        if !dir::exists(self.dir(), format!("{}/{TMPFILES}", step.id.path()))? {
            let var = dir::open(stateroot, name)?;
            make_traditional(var.as_fd())?;
        }
        Ok(())
    }
}

/// What systemd's `tmpfiles.d` would make.
fn make_traditional(var: BorrowedFd<'_>) -> Result<(), Error> {
    dir::make(var, Path::new("tmp"), 0o1777)?;
    rustix::fs::chmodat(var, "tmp", Mode::from_raw_mode(0o1777), AtFlags::empty())
        .during("set the mode of", "tmp")?;
    dir::make(var, Path::new("lib"), 0o755)?;
    dir::make(var, Path::new("log"), 0o755)?;
    for (name, target) in [("run", "../run"), ("lock", "../run/lock")] {
        if !dir::exists(var, name)? {
            rustix::fs::symlinkat(target, var, name).during("create link", name)?;
        }
    }
    Ok(())
}

/// Label everything, once.
fn finish_var(var: BorrowedFd<'_>, policy: Option<&Policy>) -> Result<(), Error> {
    if dir::exists(var, LABELLED)? {
        return Ok(());
    }
    if policy.is_some() {
        label_tree(var, &mut b"/var".to_vec(), policy)?;
    }
    durable::publish_no_sync(var, Path::new(LABELLED), b"", 0o644)?;
    let stamp = rustix::fs::openat(var, LABELLED, rustix::fs::OFlags::RDONLY, Mode::empty())
        .during("open", LABELLED)?;
    attributes::label_file(&stamp, policy, &format!("/var/{LABELLED}"), 0o100_644)
}

fn label_tree(
    directory: BorrowedFd<'_>,
    place: &mut Vec<u8>,
    policy: Option<&Policy>,
) -> Result<(), Error> {
    for (name, kind) in dir::entries(directory)? {
        let length = place.len();
        place.push(b'/');
        place.extend_from_slice(name.as_bytes());
        let name = Path::new(&name);
        if kind == FileType::Directory {
            let inner = dir::open_inside(directory, name)?;
            label_tree(inner.as_fd(), place, policy)?;
        } else {
            let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .during("look at", name)?;
            attributes::label_link(directory, name, policy, place, stat.st_mode)?;
        }
        place.truncate(length);
    }
    let stat = rustix::fs::fstat(directory).during("look at", ".")?;
    attributes::label_file(
        directory,
        policy,
        &String::from_utf8_lossy(place),
        stat.st_mode,
    )
}
