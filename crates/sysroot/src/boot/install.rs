//! Bringing kernels to `/boot`.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use boot_format::kernel::BootFileKind;
use durable::{Error, IoContext as _, crash_point};
use file_contexts::Policy;
use progress::Task;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::plan::PlannedEntry;
use crate::copy::{self, Place, Xattrs};
use crate::kernel::BootFile;
use crate::{Sysroot, attributes, dir};

impl Sysroot {
    /// Bring the kernel of a deployment to its directory in `/boot`, unless it is there.
    ///
    /// Files are linked on one file system and copied otherwise. One that is there counts when it has
    /// the right size; each appears under its name only when it is complete.
    pub(crate) fn install_kernel(
        &self,
        boot: BorrowedFd<'_>,
        entry: &PlannedEntry,
        policy: Option<&Policy>,
        task: &Task<'_>,
    ) -> Result<(), Error> {
        let path = entry.boot_dir().path();
        dir::make_all(boot, &path, 0o755)?;
        let target = dir::open(boot, &path)?;
        let deployment = dir::open(self.dir(), entry.deployment.path())?;
        for file in &entry.kernel.files {
            if !is_installed(target.as_fd(), file)? {
                install(deployment.as_fd(), target.as_fd(), file, policy)?;
                crash_point("sysroot:kernel-file-installed");
            }
            task.advance(file.size);
        }
        Ok(())
    }

    /// Bytes that the kernel of an entry would newly take in `/boot`: none where it is linked.
    pub(crate) fn boot_bytes(
        &self,
        boot: BorrowedFd<'_>,
        entry: &PlannedEntry,
    ) -> Result<u64, Error> {
        if dir::device(boot)? == dir::device(self.repo().dir())? {
            return Ok(0);
        }
        let Some(target) = dir::open_optional(boot, entry.boot_dir().path())? else {
            return Ok(entry.kernel.size());
        };
        let mut bytes = 0;
        for file in &entry.kernel.files {
            bytes += if is_installed(target.as_fd(), file)? {
                0
            } else {
                file.size
            };
        }
        Ok(bytes)
    }
}

fn is_installed(target: BorrowedFd<'_>, file: &BootFile) -> Result<bool, Error> {
    let Some(stat) = dir::stat_optional(target, &file.name)? else {
        return Ok(false);
    };
    let size = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => copy::size_of_tree(Place::new(target, Path::new(&file.name)))?,
        _ => u64::try_from(stat.st_size).unwrap_or_default(),
    };
    Ok(size == file.size)
}

fn install(
    deployment: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    file: &BootFile,
    policy: Option<&Policy>,
) -> Result<(), Error> {
    let temporary = format!(".{}.tmp", file.name);
    let to = Place::new(target, Path::new(&temporary));
    durable::remove_all(target, to.name)?;
    let copied = if file.kind == BootFileKind::DeviceTreeDir {
        let (parent, name) = open_parent(deployment, &file.source)?;
        // Labels of the tree would be wrong in /boot.
        copy::tree(
            Place::new(parent.as_fd(), &name),
            to,
            Xattrs::LeaveOut,
            &mut |_| {},
        )
    } else {
        link_or_copy(deployment, file, to, policy)
    };
    let installed = copied.and_then(|()| {
        // A directory cannot be renamed over a full one, and what is there has the wrong size.
        durable::remove_all(target, Path::new(&file.name))?;
        rustix::fs::renameat(target, &temporary, target, &file.name).during("install", &file.name)
    });
    if installed.is_err() {
        // What counts is the first failure; the next installation removes it as well.
        let _left_behind = durable::remove_all(target, to.name);
    }
    installed
}

fn link_or_copy(
    deployment: BorrowedFd<'_>,
    file: &BootFile,
    to: Place<'_>,
    policy: Option<&Policy>,
) -> Result<(), Error> {
    let (parent, name) = open_parent(deployment, &file.source)?;
    let stat =
        rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).during("look at", &name)?;
    // Of a symbolic link in the tree, what it leads to is copied.
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        match rustix::fs::linkat(&parent, &name, to.dir, to.name, AtFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error).during("link", &file.name),
        }
    }
    let source = open_in_root(deployment, &file.source)?;
    copy::file(source.as_fd(), to, Xattrs::LeaveOut)?;
    // In /boot, files get the label of their new place instead of those that they had.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target =
        rustix::fs::openat(to.dir, to.name, flags, Mode::empty()).during("open", to.name)?;
    attributes::label_file(&target, policy, &format!("/boot/{}", file.name), 0o100_644)
}

/// The directory that holds `path` in a deployment, and the last name of it.
fn open_parent(deployment: BorrowedFd<'_>, path: &str) -> Result<(OwnedFd, PathBuf), Error> {
    let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat2(
        deployment,
        parent,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    )
    .during("open directory", parent)?;
    Ok((parent, PathBuf::from(name)))
}

fn open_in_root(deployment: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat2(
        deployment,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    )
    .during("open", path)
}
