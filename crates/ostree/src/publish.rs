//! Moving staged objects to their final places.
//!
//! Commits come last: whoever dies half-way leaves objects that nothing names, never a commit whose
//! tree is not there.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use durable::{IoContext as _, crash_point};
use progress::{Progress, Task, TaskKind};
use rustix::fs::{AtFlags, Dir, FileType, Mode, RenameFlags};
use rustix::io::Errno;

use crate::config::Wanted;
use crate::repo::open_dir;
use crate::{Transaction, VerityError, WriteError};

/// Held while objects are moved: the kernel lets one at a time move files from one directory to another in a file
/// system, and keeps the processors of those who wait busy.
static MOVING: Mutex<()> = Mutex::new(());

impl Transaction<'_> {
    /// Move every staged object; `count` is how many there are about, for the progress.
    pub(crate) fn publish(&self, progress: &dyn Progress, count: u64) -> Result<(), WriteError> {
        let task = Task::begin(progress, TaskKind::Publish, Some(count));
        let mut commits = Vec::new();
        let inherited = self.objects_inherit_group()?;
        for head in 0..=u8::MAX {
            let head = format!("{head:02x}");
            let (others, found): (Vec<_>, Vec<_>) = self
                .staged_in(&head)?
                .into_iter()
                .partition(|name| !name.to_bytes().ends_with(b".commit"));
            let by_file = inherited || !found.is_empty();
            if !others.is_empty() && (by_file || !self.publish_directory(&head)?) {
                self.publish_in(&head, &others)?;
            }
            task.advance(others.len() as u64);
            crash_point("transaction:head-published");
            commits.extend(found.into_iter().map(|name| (head.clone(), name)));
        }
        for (head, name) in commits {
            self.forget_tombstone(&head, &name)?;
            self.publish_in(&head, &[name])?;
            task.advance(1);
            crash_point("transaction:commit-published");
        }
        task.done();
        Ok(())
    }

    /// Let the kernel verify what is staged, where the config wants that.
    pub(crate) fn protect(&self) -> Result<(), VerityError> {
        if self.repo.config().fsverity == Wanted::No {
            return Ok(());
        }
        for head in 0..=u8::MAX {
            let head = format!("{head:02x}");
            for name in self.staged_in(&head)? {
                let path = Path::new(&head).join(OsStr::from_bytes(name.as_bytes()));
                if !self.repo.enable_verity_of(self.staging.dir(), &path)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// A commit that is here again is not gone any more.
    fn forget_tombstone(&self, head: &str, commit: &CStr) -> Result<(), durable::Error> {
        let commit = commit.to_string_lossy();
        let name = commit.trim_end_matches(".commit");
        let path = format!("{head}/{name}.tombstone-commit");
        match rustix::fs::unlinkat(self.repo.objects(), &path, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).during("remove", &path),
        }
    }

    /// Names of the staged objects of one `xx`.
    fn staged_in(&self, head: &str) -> Result<Vec<CString>, durable::Error> {
        let dir = match open_dir(self.staging.dir(), head.as_ref()) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir).during("list", head)? {
            let entry = entry.during("list", head)?;
            if entry.file_type() != FileType::Directory {
                names.push(entry.file_name().to_owned());
            }
        }
        Ok(names)
    }

    /// Whether directories in `objects` get their group from it, as in repositories that several people write, and so
    /// have to be made there.
    fn objects_inherit_group(&self) -> Result<bool, durable::Error> {
        let stat = rustix::fs::fstat(self.repo.objects()).during("look at", "objects")?;
        Ok(Mode::from_raw_mode(stat.st_mode).contains(Mode::SGID))
    }

    /// Move all staged objects of one `xx` at once, which is possible where the repository has none yet; whether it was.
    fn publish_directory(&self, head: &str) -> Result<bool, durable::Error> {
        let (staging, objects) = (self.staging.dir(), self.repo.objects());
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(staging, head, objects, head, flags) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(error).during("publish objects", head),
        }
    }

    fn publish_in(&self, head: &str, names: &[CString]) -> Result<(), durable::Error> {
        let objects = self.repo.objects();
        match rustix::fs::mkdirat(objects, head, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).during("create", head),
        }
        let source = open_dir(self.staging.dir(), head.as_ref())?;
        let target = open_dir(objects, head.as_ref())?;
        let _moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().try_for_each(|name| {
            publish_one(source.as_fd(), target.as_fd(), name).during(
                "publish object",
                format!("{head}/{}", name.to_string_lossy()),
            )
        })
    }
}

fn publish_one(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    name: &CStr,
) -> rustix::io::Result<()> {
    let flags = if name.to_bytes().ends_with(b".commitmeta") {
        // Detached metadata is named by its commit, not by its own content: the new one counts.
        RenameFlags::empty()
    } else {
        RenameFlags::NOREPLACE
    };
    match rustix::fs::renameat_with(source, name, target, name, flags) {
        // The same object: somebody else published it meanwhile.
        Err(Errno::EXIST) => rustix::fs::unlinkat(source, name, AtFlags::empty()),
        other => other,
    }
}
