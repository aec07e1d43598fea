//! Finding the kernel of a tree, and what goes to `/boot` with it.

use std::io::Read;
use std::os::fd::OwnedFd;

use boot_format::kernel::{
    ABOOT, BootFileKind, DEVICETREE, DTB_DIR, HMAC, INITRAMFS, LEGACY_DIRS, LegacyName, MODULES,
    VMLINUZ,
};
use boot_format::{BootChecksum, InvalidBootChecksum, version_order};
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use ostree_format::Hasher;
use serde::Serialize;

use crate::source::{Directory, Source, SourceError};

/// Read this much at once.
const CHUNK: usize = 256 * 1024;

/// A kernel with what belongs to it, as it stands in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// Its version; `None` when the tree keeps it in one of the older places.
    pub version: Option<String>,
    /// What it is called by.
    pub checksum: BootChecksum,
    /// The files that go to `/boot`.
    pub files: Vec<BootFile>,
}

/// A file, or a directory of device trees, that goes to `/boot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootFile {
    /// What it is for.
    pub kind: BootFileKind,
    /// Where it is in the tree.
    pub source: String,
    /// Its name in the boot directory.
    pub name: String,
    /// Bytes; of a directory, those of all files in it.
    pub size: u64,
}

/// Why no kernel was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// There is none in any of the places where kernels are kept.
    #[error("no kernel in {MODULES}, {} or {}", LEGACY_DIRS[0], LEGACY_DIRS[1])]
    NoKernel,
    /// Files of an older layout carry different checksums.
    #[error("{file} does not belong to the kernel beside it: their checksums differ")]
    Mismatch {
        /// The file that does not fit.
        file: String,
    },
    /// A checksum could not be formed.
    #[error(transparent)]
    Checksum(#[from] InvalidBootChecksum),
    /// The tree could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Classified for KernelError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoKernel => ErrorClass::InvalidInput,
            Self::Mismatch { .. } => ErrorClass::Corrupt,
            Self::Checksum(error) => error.class(),
            Self::Source(error) => error.class(),
        }
    }
}

impl Kernel {
    /// The file of this kind.
    #[must_use]
    pub fn file(&self, kind: BootFileKind) -> Option<&BootFile> {
        self.files.iter().find(|file| file.kind == kind)
    }

    /// Bytes of all files.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// The kernel of a root that is a directory.
///
/// # Errors
/// [`KernelError`].
pub fn kernel_of_directory(root: OwnedFd) -> Result<Kernel, KernelError> {
    find(&Directory::new(root), None, false)
}

/// What is known beforehand about the kernel of a deployment that has been booted from already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// Its checksum, which then is not computed again.
    pub(crate) checksum: &'a BootChecksum,
    /// The installed name of the kernel, which decides between several.
    pub(crate) linux: Option<&'a str>,
}

/// Find the kernel as libostree does: in `usr/lib/modules`, unless it has no initramfs there but an
/// older place has one. Of several in `usr/lib/modules` the one that is known counts, else the newest.
/// Device trees are found where they are wanted.
pub(crate) fn find(
    source: &dyn Source,
    known: Option<Known<'_>>,
    device_trees: bool,
) -> Result<Kernel, KernelError> {
    let modules = in_modules(source, known, device_trees)?;
    let has_initramfs = |kernel: &Kernel| kernel.file(BootFileKind::Initramfs).is_some();
    if let Some(kernel) = modules.as_ref().filter(|kernel| has_initramfs(kernel)) {
        return Ok(kernel.clone());
    }
    let legacy = in_legacy_places(source)?;
    match (modules, legacy) {
        (Some(_), Some(legacy)) if has_initramfs(&legacy) => Ok(legacy),
        (Some(modules), _) => Ok(modules),
        (None, Some(legacy)) => Ok(legacy),
        (None, None) => Err(KernelError::NoKernel),
    }
}

fn in_modules(
    source: &dyn Source,
    known: Option<Known<'_>>,
    device_trees: bool,
) -> Result<Option<Kernel>, KernelError> {
    let mut versions = Vec::new();
    for (name, is_dir) in source.names(MODULES)?.unwrap_or_default() {
        if is_dir
            && source
                .open(&format!("{MODULES}/{name}/{VMLINUZ}"))?
                .is_some()
        {
            versions.push(name);
        }
    }
    versions.sort_by(|a, b| version_order(a.as_bytes(), b.as_bytes()));
    let is_known = |version: &&String| {
        let installed = BootFileKind::Kernel.installed_name(version);
        known.is_some_and(|known| known.linux == Some(installed.as_str()))
    };
    let Some(version) = versions.iter().find(is_known).or(versions.last()) else {
        return Ok(None);
    };
    let hasher = known.is_none().then(Hasher::new);
    let mut kernel = Gathering {
        source,
        version,
        files: Vec::new(),
        hasher,
    };
    kernel.gather(device_trees)?;
    let checksum = match (kernel.hasher, known) {
        (Some(hasher), _) => hasher.finish().to_string().parse()?,
        (None, Some(known)) => known.checksum.clone(),
        (None, None) => return Ok(None),
    };
    Ok(Some(Kernel {
        version: Some(version.clone()),
        checksum,
        files: kernel.files,
    }))
}

/// The files of one `usr/lib/modules/KVER`.
struct Gathering<'a> {
    source: &'a dyn Source,
    version: &'a str,
    files: Vec<BootFile>,
    hasher: Option<Hasher>,
}

impl Gathering<'_> {
    fn gather(&mut self, device_trees: bool) -> Result<(), SourceError> {
        self.add(BootFileKind::Kernel, VMLINUZ)?;
        for name in INITRAMFS {
            if self.add(BootFileKind::Initramfs, name)? {
                break;
            }
        }
        if device_trees && !self.add(BootFileKind::DeviceTree, DEVICETREE)? {
            self.add_device_trees()?;
        }
        // Neither of these is part of the checksum.
        let hasher = self.hasher.take();
        self.add(BootFileKind::KernelHmac, HMAC)?;
        self.add(BootFileKind::AndroidBoot, ABOOT)?;
        self.hasher = hasher;
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        format!("{MODULES}/{}/{name}", self.version)
    }

    /// Take the file in; whether it is there.
    fn add(&mut self, kind: BootFileKind, name: &str) -> Result<bool, SourceError> {
        let path = self.path(name);
        let Some(size) = self.hash(&path)? else {
            return Ok(false);
        };
        self.push(kind, path, size);
        Ok(true)
    }

    fn push(&mut self, kind: BootFileKind, source: String, size: u64) {
        let name = kind.installed_name(self.version);
        self.files.push(BootFile {
            kind,
            source,
            name,
            size,
        });
    }

    fn add_device_trees(&mut self) -> Result<(), SourceError> {
        let path = self.path(DTB_DIR);
        if self.source.names(&path)?.is_some() {
            let size = self.hash_directory(&path)?;
            self.push(BootFileKind::DeviceTreeDir, path, size);
        }
        Ok(())
    }

    /// All files below `path`, depth first in the order of their names.
    fn hash_directory(&mut self, path: &str) -> Result<u64, SourceError> {
        let mut size = 0;
        for (name, is_dir) in self.source.names(path)?.unwrap_or_default() {
            let path = format!("{path}/{name}");
            size += if is_dir {
                self.hash_directory(&path)?
            } else {
                self.hash(&path)?.unwrap_or(0)
            };
        }
        Ok(size)
    }

    /// Hash the file if that is asked for; its size.
    fn hash(&mut self, path: &str) -> Result<Option<u64>, SourceError> {
        let Some((size, mut content)) = self.source.open(path)? else {
            return Ok(None);
        };
        if let Some(hasher) = &mut self.hasher {
            let mut buffer = vec![0; CHUNK];
            loop {
                let count = content.read(&mut buffer).during("read", path)?;
                if count == 0 {
                    break;
                }
                hasher.update(buffer.get(..count).unwrap_or_default());
            }
        }
        Ok(Some(size))
    }
}

fn in_legacy_places(source: &dyn Source) -> Result<Option<Kernel>, KernelError> {
    for dir in LEGACY_DIRS {
        if let Some(names) = source.names(dir)? {
            return in_legacy_dir(source, dir, &names);
        }
    }
    Ok(None)
}

fn in_legacy_dir(
    source: &dyn Source,
    dir: &str,
    names: &[(String, bool)],
) -> Result<Option<Kernel>, KernelError> {
    let mut found: Vec<(LegacyName, BootFile)> = Vec::new();
    for (name, _) in names {
        let Some(legacy) = LegacyName::parse(name) else {
            continue;
        };
        let path = format!("{dir}/{name}");
        let Some((size, _)) = source.open(&path)? else {
            continue;
        };
        if found.iter().all(|(other, _)| other.kind != legacy.kind) {
            let (kind, name) = (legacy.kind, legacy.installed.clone());
            found.push((
                legacy,
                BootFile {
                    kind,
                    source: path,
                    name,
                    size,
                },
            ));
        }
    }
    let kernel = found
        .iter()
        .find(|(name, _)| name.kind == BootFileKind::Kernel);
    let Some(checksum) = kernel.map(|(name, _)| name.checksum.clone()) else {
        return Ok(None);
    };
    if let Some((_, file)) = found.iter().find(|(name, _)| name.checksum != checksum) {
        return Err(KernelError::Mismatch {
            file: file.source.clone(),
        });
    }
    let files = found.into_iter().map(|(_, file)| file).collect();
    Ok(Some(Kernel {
        version: None,
        checksum,
        files,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Directory;
    use std::fs::{self, File};

    const SUM: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

    fn find_in(files: &[(&str, &str)]) -> Result<Kernel, KernelError> {
        let scratch = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = scratch.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        find(
            &Directory::new(File::open(scratch.path()).unwrap().into()),
            None,
            true,
        )
    }

    fn names(kernel: &Kernel) -> Vec<&str> {
        kernel.files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn checksum_covers_kernel_initramfs_and_device_trees() {
        let dir = "usr/lib/modules/6.1";
        let path = |name: &str| format!("{dir}/{name}");
        let files = [
            "vmlinuz",
            "initramfs.img",
            "dtb/b/x",
            "dtb/a",
            ".vmlinuz.hmac",
        ];
        let paths = files.map(|name| (path(name), name));
        let kernel = find_in(&paths.each_ref().map(|(path, name)| (path.as_str(), *name))).unwrap();
        let expected = ostree_format::Checksum::of(b"vmlinuzinitramfs.imgdtb/adtb/b/x");
        assert_eq!(kernel.checksum.as_str(), expected.to_string());
        assert_eq!(
            names(&kernel),
            [
                "vmlinuz-6.1",
                "initramfs-6.1.img",
                "dtb",
                ".vmlinuz-6.1.hmac"
            ]
        );
        assert_eq!(kernel.file(BootFileKind::DeviceTreeDir).unwrap().size, 12);
    }

    #[test]
    fn older_places_count_when_only_they_have_an_initramfs() {
        let modules = ("usr/lib/modules/6.1/vmlinuz", "k");
        let (linux, initrd) = (
            format!("usr/lib/ostree-boot/vmlinuz-6.1-{SUM}"),
            format!("usr/lib/ostree-boot/initramfs-6.1.img-{SUM}"),
        );
        let both = find_in(&[modules, (&linux, "k"), (&initrd, "i")]).unwrap();
        assert_eq!(
            (both.version.as_deref(), both.checksum.as_str()),
            (None, SUM)
        );
        assert_eq!(names(&both), ["initramfs-6.1.img", "vmlinuz-6.1"]);
        let no_initrd = find_in(&[modules, (&linux, "k")]).unwrap();
        assert_eq!(no_initrd.version.as_deref(), Some("6.1"));
        let other = initrd.replace('c', "d").replace("do", "bo");
        let other = other.replace("usr/lib/ostree-boot", "boot");
        let mismatch = find_in(&[(&format!("boot/vmlinuz-6.1-{SUM}"), "k"), (&other, "i")]);
        assert!(
            matches!(mismatch, Err(KernelError::Mismatch { .. })),
            "{mismatch:?}"
        );
    }

    #[test]
    fn the_newest_of_several_counts() {
        let files = ["6.9.0", "6.10.0", "6.1.0"].map(|v| format!("usr/lib/modules/{v}/vmlinuz"));
        let kernel = find_in(&files.each_ref().map(|path| (path.as_str(), "k"))).unwrap();
        assert_eq!(kernel.version.as_deref(), Some("6.10.0"));
        assert!(matches!(
            find_in(&[("usr/lib/modules/x/y", "")]),
            Err(KernelError::NoKernel)
        ));
    }
}
