//! Files of a layer whose bytes another store has: cloned, or the same inode.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use durable::{IoContext as _, crash_point};
use rustix::fs::{AtFlags, CWD, FlockOperation, Stat};

use super::elsewhere::{Elsewhere, attributes_of};
use super::tree::{Place, SELINUX_XATTR, TreeWriter, shown};
use super::{EntryProblem, NodeAttributes};

/// Another name of a file on its way: no entry has it.
const LINKED: &str = ".wh..bootroot-linked";

impl TreeWriter {
    /// Lets the new file, which is empty, share the bytes of another; whether that is possible. It is as it is to be then.
    pub(super) fn share(
        &mut self,
        place: &Place,
        file: &File,
        elsewhere: &Elsewhere,
        attributes: &NodeAttributes<'_>,
    ) -> Result<bool, EntryProblem> {
        if rustix::fs::ioctl_ficlone(file, &elsewhere.file).is_ok() {
            self.seal(place, file, attributes)?;
            return Ok(true);
        }
        // Whoever gives a file other attributes is alone with it.
        let lock = FlockOperation::LockExclusive;
        if rustix::fs::flock(&elsewhere.file, lock).is_err() {
            return Ok(false);
        }
        let linked = self.link(place, elsewhere, attributes);
        let _unlocked = rustix::fs::flock(&elsewhere.file, FlockOperation::Unlock);
        linked
    }

    fn link(
        &mut self,
        place: &Place,
        elsewhere: &Elsewhere,
        attributes: &NodeAttributes<'_>,
    ) -> Result<bool, EntryProblem> {
        let file = &elsewhere.file;
        let there = rustix::fs::fstat(file).during("look at", shown(&place.name))?;
        let is_same = self.is_as(file, &there, elsewhere.is_content, attributes);
        let is_free = elsewhere.is_content && there.st_nlink == 1;
        if !is_same && !is_free {
            return Ok(false);
        }
        let parent = self.parent(&place.parent)?;
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        // There are other file systems, and files that have all the names they can have.
        if rustix::fs::linkat(CWD, from, &parent, LINKED, AtFlags::SYMLINK_FOLLOW).is_err() {
            return Ok(false);
        }
        crash_point("containers:file-linked");
        match is_same {
            true => drop(self.shared.insert((there.st_dev, there.st_ino))),
            false => self.redescribe(place, file, attributes)?,
        }
        let renamed = rustix::fs::renameat(&parent, LINKED, &parent, &place.name);
        renamed.during("rename", shown(&place.name))?;
        Ok(true)
    }

    /// Whether a file is just what this one is to be. Labels that the policy may change some day keep two stores apart.
    fn is_as(
        &self,
        file: &File,
        there: &Stat,
        is_content: bool,
        wanted: &NodeAttributes<'_>,
    ) -> bool {
        let (seconds, nanoseconds) = wanted.mtime;
        let times = (i64::try_from(seconds).ok(), u64::from(nanoseconds));
        if (there.st_uid, there.st_gid) != (wanted.uid, wanted.gid)
            || there.st_mode & 0o7777 != wanted.permissions
            || (Some(there.st_mtime), there.st_mtime_nsec) != times
        {
            return false;
        }
        let Ok(found) = attributes_of(file) else {
            return false;
        };
        let is_labelled = found.iter().any(|(name, _)| name == SELINUX_XATTR);
        let all = self.attributes(wanted);
        let mut all: Vec<_> = all
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect();
        all.sort_unstable();
        found == all && (is_content || !is_labelled)
    }

    /// A file that was somebody's content becomes one of the layer.
    fn redescribe(
        &self,
        place: &Place,
        file: &File,
        attributes: &NodeAttributes<'_>,
    ) -> Result<(), EntryProblem> {
        let name = shown(&place.name);
        for (attribute, _) in attributes_of(file).during("read attributes of", name)? {
            // Where the kernel labels by itself, labels cannot go.
            if attribute != SELINUX_XATTR {
                let removed = rustix::fs::fremovexattr(file, &attribute);
                removed.during("remove attributes of", name)?;
            }
        }
        self.seal(place, file, attributes)
    }
}
