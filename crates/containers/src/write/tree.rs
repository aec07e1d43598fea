//! The files of one layer, as overlayfs has them.
//!
//! Source of what an entry becomes: the kernel's `overlayfs.rst` (whiteouts are character devices 0:0, opaque directories
//! have an attribute), `image-spec/layer.md`, and what `skopeo` makes of the same archives. Where a layer hides a directory and
//! has one of the same name, the directory is opaque, as the specification has it.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use durable::{IoContext as _, setting_attribute};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::{EntryProblem, NodeAttributes};

/// In front of the name that a layer hides.
const WHITEOUT: &[u8] = b".wh.";
/// Hides everything that is in the same directory below.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Names that hide nothing, of an older kind of layers.
const OTHER: &[u8] = b".wh..wh.";
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
/// Decided by the policy of the host, not by the image.
pub(super) const SELINUX_XATTR: &[u8] = b"security.selinux";

/// Writes the files of a layer.
#[derive(Debug)]
pub(super) struct TreeWriter {
    root: OwnedFd,
    /// The directory that was used last.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// When directories were changed, which is set when nothing is added to them any more.
    times: Vec<(Vec<u8>, Timestamps)>,
    label: Option<Vec<u8>>,
    /// Files that others have as well, as they are: by device and number.
    pub(super) shared: HashSet<(u64, u64)>,
}

/// A path in the layer without what says nothing.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) parent: Vec<u8>,
    pub(super) name: Vec<u8>,
}

impl Place {
    /// # Errors
    /// It goes up. None for the root.
    pub(super) fn new(path: &[u8]) -> Result<Option<Self>, EntryProblem> {
        let parts = path.split(|byte| *byte == b'/');
        let parts = parts.filter(|part| !part.is_empty() && *part != b".");
        let mut parts: Vec<&[u8]> = parts.collect();
        if parts.contains(&&b".."[..]) {
            return Err(EntryProblem::GoesUp);
        }
        let name = parts.pop().map(<[u8]>::to_vec);
        let parent = parts.join(&b'/');
        Ok(name.map(|name| Self { parent, name }))
    }

    fn path(&self) -> Vec<u8> {
        if self.parent.is_empty() {
            return self.name.clone();
        }
        [&self.parent[..], b"/", &self.name].concat()
    }

    /// Whether it stands for something that is not there.
    pub(super) fn is_whiteout(&self) -> bool {
        self.name.starts_with(WHITEOUT)
    }
}

impl TreeWriter {
    pub(super) fn new(root: OwnedFd, label: Option<Vec<u8>>) -> Self {
        Self {
            root,
            parent: None,
            times: Vec::new(),
            label,
            shared: HashSet::new(),
        }
    }

    /// Hide what layers below have.
    pub(super) fn whiteout(&mut self, place: &Place) -> Result<(), EntryProblem> {
        let parent = match self.parent(&place.parent) {
            // The whole directory is hidden already.
            Err(EntryProblem::Io(error)) if error.source.kind() == io::ErrorKind::NotADirectory => {
                return Ok(());
            }
            other => other?,
        };
        if place.name == OPAQUE {
            return make_opaque(parent.as_fd(), ".");
        }
        if place.name.starts_with(OTHER) {
            return Ok(());
        }
        let hidden = place.name.get(WHITEOUT.len()..).unwrap_or_default();
        let mode = Mode::empty();
        match rustix::fs::mknodat(&parent, hidden, FileType::CharacterDevice, mode, 0) {
            // What the layer has itself is not hidden.
            Err(Errno::EXIST) => {
                let is_dir = kind(&look(&parent, hidden)?) == FileType::Directory;
                if is_dir {
                    make_opaque(parent.as_fd(), hidden)
                } else {
                    Ok(())
                }
            }
            other => {
                other.during("hide", shown(hidden))?;
                self.set_label(&parent, hidden)
            }
        }
    }

    pub(super) fn directory(
        &mut self,
        place: &Place,
        attributes: &NodeAttributes<'_>,
    ) -> Result<(), EntryProblem> {
        let parent = self.parent(&place.parent)?;
        let name = &place.name;
        let mut hides = false;
        if rustix::fs::mkdirat(&parent, name, Mode::RWXU) == Err(Errno::EXIST) {
            let there = look(&parent, name)?;
            if kind(&there) != FileType::Directory {
                hides = is_whiteout(&there);
                self.make_way(&parent, name, &there)?;
                rustix::fs::mkdirat(&parent, name, Mode::RWXU).during("create", shown(name))?;
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&parent, name, flags, Mode::empty());
        let dir = dir.during("open", shown(name))?;
        if hides {
            make_opaque(dir.as_fd(), ".")?;
        }
        self.times.push((place.path(), times(attributes)));
        self.describe(dir.as_fd(), name, attributes)
    }

    /// A new file, without content yet; it is as it is to be once [`seal`](Self::seal) was called.
    pub(super) fn file(&mut self, place: &Place) -> Result<File, EntryProblem> {
        let parent = self.parent(&place.parent)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let make = || rustix::fs::openat(&parent, &place.name, flags, mode);
        let file = self.or_replace(&parent, &place.name, make)?;
        Ok(file.into())
    }

    pub(super) fn seal(
        &self,
        place: &Place,
        file: &File,
        attributes: &NodeAttributes<'_>,
    ) -> Result<(), EntryProblem> {
        self.describe(file.as_fd(), &place.name, attributes)?;
        let set = rustix::fs::futimens(file, &times(attributes));
        Ok(set.during("set the time of", shown(&place.name))?)
    }

    pub(super) fn symlink(
        &mut self,
        place: &Place,
        target: &[u8],
        attributes: &NodeAttributes<'_>,
    ) -> Result<(), EntryProblem> {
        let parent = self.parent(&place.parent)?;
        let make = || rustix::fs::symlinkat(target, &parent, &place.name);
        self.or_replace(&parent, &place.name, make)?;
        self.describe_at(&parent, &place.name, attributes)
    }

    pub(super) fn special(
        &mut self,
        place: &Place,
        kind: FileType,
        (major, minor): (u32, u32),
        attributes: &NodeAttributes<'_>,
    ) -> Result<(), EntryProblem> {
        let parent = self.parent(&place.parent)?;
        let mode = Mode::from_raw_mode(attributes.permissions);
        let device = rustix::fs::makedev(major, minor);
        let make = || rustix::fs::mknodat(&parent, &place.name, kind, mode, device);
        self.or_replace(&parent, &place.name, make)?;
        self.describe_at(&parent, &place.name, attributes)?;
        let set = rustix::fs::chmodat(&parent, &place.name, mode, AtFlags::empty());
        set.during("set the mode of", shown(&place.name))?;
        self.set_times(&parent, &place.name, attributes)
    }

    /// Of what the link says of the file, its time counts.
    pub(super) fn hard_link(
        &mut self,
        place: &Place,
        target: &Place,
        attributes: &NodeAttributes<'_>,
    ) -> Result<(), EntryProblem> {
        let parent = self.parent(&place.parent)?;
        let from = self.open_dir(&target.parent);
        let from = from.during("open", shown(&target.parent))?;
        let link = || {
            let flags = AtFlags::empty();
            rustix::fs::linkat(&from, &target.name, &parent, &place.name, flags)
        };
        match self.or_replace(&parent, &place.name, link) {
            Err(EntryProblem::Io(error)) if error.source.kind() == io::ErrorKind::NotFound => {
                Err(EntryProblem::NoTarget)
            }
            Err(error) => Err(error),
            Ok(()) => {
                let there = look(&parent, &place.name)?;
                // What others have stays as it is.
                match self.shared.contains(&(there.st_dev, there.st_ino)) {
                    true => Ok(()),
                    false => self.set_times(&parent, &place.name, attributes),
                }
            }
        }
    }

    /// Nothing is added any more.
    pub(super) fn finish(self) -> Result<(), EntryProblem> {
        for (path, times) in &self.times {
            match self.open_dir(path) {
                Ok(dir) => {
                    let set = rustix::fs::futimens(dir, times);
                    set.during("set the time of", shown(path))?;
                }
                // Something else is there by now.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => {
                    Err(error).during("open", shown(path))?;
                }
            }
        }
        Ok(())
    }

    /// The directory of that path, which links on the way do not lead out of; made when it is not there.
    pub(super) fn parent(&mut self, path: &[u8]) -> Result<OwnedFd, EntryProblem> {
        if let Some((last, dir)) = &self.parent
            && last == path
        {
            return Ok(dir.try_clone().during("copy", ".")?);
        }
        let dir = match self.open_dir(path) {
            Err(Errno::NOENT) => self.make_dir(path)?,
            other => other.during("open", shown(path))?,
        };
        let copy = dir.try_clone().during("copy", ".")?;
        self.parent = Some((path.to_vec(), copy));
        Ok(dir)
    }

    /// A directory that the archive does not name.
    fn make_dir(&mut self, path: &[u8]) -> Result<OwnedFd, EntryProblem> {
        if let Some(place) = Place::new(path)? {
            let parent = self.parent(&place.parent)?;
            let mode = Mode::from_raw_mode(0o755);
            let made = rustix::fs::mkdirat(&parent, &place.name, mode);
            made.during("create", shown(path))?;
            let set = rustix::fs::chmodat(&parent, &place.name, mode, AtFlags::empty());
            set.during("set the mode of", shown(path))?;
            self.set_label(&parent, &place.name)?;
        }
        Ok(self.open_dir(path).during("open", shown(path))?)
    }

    fn open_dir(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), inside)
    }

    /// Makes something, instead of what is there by that name and can go.
    fn or_replace<T>(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, EntryProblem> {
        let mut made = make();
        if matches!(made, Err(Errno::EXIST)) {
            self.make_way(parent, name, &look(parent, name)?)?;
            made = make();
        }
        Ok(made.during("create", shown(name))?)
    }

    /// What has content cannot go: the archive is made again from it.
    fn make_way(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        there: &Stat,
    ) -> Result<(), EntryProblem> {
        let flags = match kind(there) {
            FileType::RegularFile if there.st_size > 0 => return Err(EntryProblem::Twice),
            FileType::Directory => AtFlags::REMOVEDIR,
            _ => AtFlags::empty(),
        };
        self.parent = None;
        match rustix::fs::unlinkat(parent, name, flags) {
            Err(Errno::NOTEMPTY) => Err(EntryProblem::Twice),
            other => Ok(other.during("remove", shown(name))?),
        }
    }

    fn describe(
        &self,
        file: BorrowedFd<'_>,
        name: &[u8],
        attributes: &NodeAttributes<'_>,
    ) -> Result<(), EntryProblem> {
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        let set = rustix::fs::fchown(file, Some(uid), Some(gid));
        set.during("set the owner of", shown(name))?;
        for (attribute, value) in self.attributes(attributes) {
            let set = rustix::fs::fsetxattr(file, attribute, value, XattrFlags::empty());
            unless_unsupported(set).during(setting_attribute(attribute), shown(name))?;
        }
        let mode = Mode::from_raw_mode(attributes.permissions);
        let set = rustix::fs::fchmod(file, mode);
        Ok(set.during("set the mode of", shown(name))?)
    }

    fn describe_at(
        &self,
        parent: &OwnedFd,
        name: &[u8],
        attributes: &NodeAttributes<'_>,
    ) -> Result<(), EntryProblem> {
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let set = rustix::fs::chownat(parent, name, Some(uid), Some(gid), flags);
        set.during("set the owner of", shown(name))?;
        for (attribute, value) in self.attributes(attributes) {
            let place = by_descriptor(parent, name);
            let set = rustix::fs::lsetxattr(&place, attribute, value, XattrFlags::empty());
            unless_unsupported(set).during(setting_attribute(attribute), shown(name))?;
        }
        self.set_times(parent, name, attributes)
    }

    fn set_times(
        &self,
        parent: &OwnedFd,
        name: &[u8],
        attributes: &NodeAttributes<'_>,
    ) -> Result<(), EntryProblem> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let set = rustix::fs::utimensat(parent, name, &times(attributes), flags);
        Ok(set.during("set the time of", shown(name))?)
    }

    /// Those of the archive, and the label.
    pub(super) fn attributes<'a>(
        &'a self,
        attributes: &NodeAttributes<'a>,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let all = attributes.xattrs.iter();
        let all = all.map(|(name, value)| (name.as_slice(), value.as_slice()));
        let label = self.label.as_deref().map(|label| (SELINUX_XATTR, label));
        all.filter(|(name, _)| *name != SELINUX_XATTR).chain(label)
    }

    fn set_label(&self, parent: &OwnedFd, name: &[u8]) -> Result<(), EntryProblem> {
        if let Some(label) = &self.label {
            let place = by_descriptor(parent, name);
            let set = rustix::fs::lsetxattr(&place, SELINUX_XATTR, label, XattrFlags::empty());
            set.during(setting_attribute(SELINUX_XATTR), shown(name))?;
        }
        Ok(())
    }
}

fn make_opaque(parent: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<(), EntryProblem> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(parent, name, flags, Mode::empty()).during("open", ".")?;
    let set = rustix::fs::fsetxattr(&dir, OPAQUE_XATTR, b"y", XattrFlags::empty());
    Ok(set.during("make opaque", ".")?)
}

/// Not every file system has every attribute, and containers run without.
fn unless_unsupported(set: Result<(), Errno>) -> Result<(), Errno> {
    match set {
        Err(Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

fn times(attributes: &NodeAttributes<'_>) -> Timestamps {
    let (seconds, nanoseconds) = attributes.mtime;
    let time = Timespec {
        tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX),
        tv_nsec: nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn look(parent: &OwnedFd, name: &[u8]) -> Result<Stat, EntryProblem> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    Ok(stat.during("look at", shown(name))?)
}

const fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

pub(super) fn shown(name: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(name))
}

/// Attributes of links have no call that takes a descriptor.
fn by_descriptor(parent: &OwnedFd, name: &[u8]) -> Vec<u8> {
    let dir = format!("/proc/self/fd/{}/", parent.as_raw_fd());
    [dir.as_bytes(), name].concat()
}
