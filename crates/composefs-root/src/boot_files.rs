//! Kernels of images in `/boot`: one directory for each kernel with its initramfs, whatever number of deployments has it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use boot_format::BootChecksum;
use boot_format::kernel::BootFileKind;
use composefs_format::Digest;
use durable::{IoContext as _, crash_point};
use ostree_format::Hasher;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use sysroot::{BootFile, Kernel};

use crate::directory::names_in;
use crate::entry::uki_path;
use crate::layout::{BOOT_DIR, INITRD, LINUX};
use crate::plan::free_in;
use crate::roots::Locked;
use crate::tree::ImageRoot;
use crate::{RootError, Roots};

/// The kernel of an image and what boots it.
#[derive(Debug)]
pub(crate) struct BootFiles {
    /// The SHA-256 of both.
    pub(crate) checksum: BootChecksum,
    /// The version of the kernel.
    pub(crate) version: Option<String>,
    linux: BootFile,
    initrd: BootFile,
}

impl BootFiles {
    /// Those in the tree of an image.
    pub(crate) fn find(image: &ImageRoot) -> Result<Self, RootError> {
        let root = image
            .fd()
            .try_clone_to_owned()
            .during("open", "the image")?;
        let kernel = sysroot::kernel_of_directory(root)?;
        let file = |kind| Kernel::file(&kernel, kind).cloned();
        let initrd = file(BootFileKind::Initramfs).ok_or(RootError::NoInitramfs)?;
        let linux = file(BootFileKind::Kernel).ok_or(RootError::NoInitramfs)?;
        Ok(Self {
            version: kernel.version.clone(),
            checksum: kernel.checksum,
            linux,
            initrd,
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.linux.size.saturating_add(self.initrd.size)
    }
}

impl Roots {
    /// The digests in the names of directories with kernels.
    pub(crate) fn boot_dirs(&self) -> Result<Vec<String>, RootError> {
        let names = names_in(self.boot.dir.as_fd(), self.boot.files)?;
        let dirs = names
            .into_iter()
            .filter(|(_, kind)| *kind == FileType::Directory);
        Ok(dirs
            .filter_map(|(name, _)| Some(name.strip_prefix(BOOT_DIR)?.to_owned()))
            .collect())
    }

    /// The directory that has this kernel with this initramfs already.
    pub(crate) fn same_files(&self, wanted: &BootChecksum) -> Result<Option<Digest>, RootError> {
        for digest in self.boot_dirs()? {
            let Ok(digest) = digest.parse() else { continue };
            let dir = self.boot_dir(&digest);
            if checksum_of(self.boot.dir.as_fd(), &dir)?.as_deref() == Some(wanted.as_str()) {
                return Ok(Some(digest));
            }
        }
        Ok(None)
    }

    /// The bytes of a kernel and its initramfs, or of a unified kernel image; 0 of what is not there.
    pub(crate) fn size_of(&self, digest: &Digest, unified: bool) -> Result<u64, RootError> {
        let dir = self.boot_dir(digest);
        let (base, paths) = match &self.esp {
            Some(esp) if unified => (esp.as_fd(), vec![uki_path(digest)]),
            _ => {
                let paths = [LINUX, INITRD].map(|name| format!("{dir}/{name}"));
                (self.boot.dir.as_fd(), paths.to_vec())
            }
        };
        let mut size = 0_u64;
        for path in paths {
            match rustix::fs::statat(base, &path, AtFlags::empty()) {
                Err(rustix::io::Errno::NOENT) => {}
                other => {
                    let found = other.during("look at", &path)?.st_size;
                    size = size.saturating_add(u64::try_from(found).unwrap_or_default());
                }
            }
        }
        Ok(size)
    }

    fn boot_dir(&self, digest: &Digest) -> String {
        format!("{}/{BOOT_DIR}{digest}", self.boot.files)
    }

    /// The paths of kernel and initramfs in a directory, as boot entries have them.
    pub(crate) fn entry_paths(&self, digest: &Digest) -> (String, String) {
        let path = |name| format!("{}/{BOOT_DIR}{digest}/{name}", self.boot.prefix);
        (path(LINUX), path(INITRD))
    }
}

impl Locked<'_> {
    /// Have the kernel of an image in `/boot`; the digest in the name of its directory, which is that of another image
    /// where that has the same kernel.
    pub(crate) fn install(
        &self,
        id: &Digest,
        image: &ImageRoot,
        files: &BootFiles,
    ) -> Result<Digest, RootError> {
        if let Some(same) = self.roots.same_files(&files.checksum)? {
            return Ok(same);
        }
        let boot = self.roots.boot.dir.as_fd();
        Self::check_space(boot, "/boot", files.size())?;
        let dir = self.roots.boot_dir(id);
        // One that was begun, or whose files are damaged.
        durable::remove_all(boot, Path::new(&dir))?;
        let begun = format!("{dir}.tmp");
        durable::remove_all(boot, Path::new(&begun))?;
        durable::create_dir_all(boot, Path::new(&begun), 0o755)?;
        copy(image, &files.linux, boot, &format!("{begun}/{LINUX}"))?;
        copy(image, &files.initrd, boot, &format!("{begun}/{INITRD}"))?;
        durable::sync_filesystem(boot)?;
        crash_point("roots:kernel-copied");
        rustix::fs::renameat(boot, &begun, boot, &dir).during("rename over", &dir)?;
        Ok(*id)
    }

    /// Refuses what finds no room on the file system that boots it.
    pub(crate) fn check_space(
        dir: BorrowedFd<'_>,
        place: &'static str,
        needed: u64,
    ) -> Result<(), RootError> {
        let available = free_in(dir, place)?;
        match needed <= available {
            true => Ok(()),
            false => Err(RootError::NoSpace {
                place,
                needed,
                available,
            }),
        }
    }
}

fn copy(
    image: &ImageRoot,
    file: &BootFile,
    boot: BorrowedFd<'_>,
    to: &str,
) -> Result<(), RootError> {
    let Some(source) = image.open(&file.source)? else {
        return Err(RootError::NoInitramfs);
    };
    Ok(copy_to(source, boot, to)?)
}

/// Copies a file to a place where nothing is.
pub(crate) fn copy_to(
    source: OwnedFd,
    into: BorrowedFd<'_>,
    to: &str,
) -> Result<(), durable::Error> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let target = rustix::fs::openat(into, to, flags, Mode::from_raw_mode(0o644));
    let mut target = File::from(target.during("create", to)?);
    io::copy(&mut File::from(source), &mut target).during("copy", to)?;
    Ok(())
}

/// The SHA-256 of the files in a directory; `None` when one is not there.
fn checksum_of(boot: BorrowedFd<'_>, dir: &str) -> Result<Option<String>, durable::Error> {
    let mut hasher = Hasher::new();
    for name in [LINUX, INITRD] {
        let path = format!("{dir}/{name}");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(boot, &path, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            opened => feed(&mut hasher, opened.during("open", &path)?).during("read", &path)?,
        }
    }
    Ok(Some(hasher.finish().to_string()))
}

/// Hashes a file to its end.
fn feed(hasher: &mut Hasher, file: OwnedFd) -> io::Result<()> {
    let mut file = File::from(file);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(()),
            count => hasher.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}
