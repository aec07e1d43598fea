//! Unified kernel images that an image has: they boot it, and no other.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use boot_format::KernelArgs;
use boot_format::uki::{CMDLINE, HEADERS, INITRD, LINUX, Section, sections};
use composefs_format::Digest;
use durable::{IoContext as _, crash_point};
use ostree_format::Hasher;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::boot_files::copy_to;
use crate::directory::names_in;
use crate::entry::uki_path;
use crate::layout::UKI;
use crate::roots::Locked;
use crate::tree::ImageRoot;
use crate::{RootArgument, RootError, Roots};

/// Where images have them; the first directory with one counts.
const PLACES: [&str; 2] = ["boot/EFI/Linux", "usr/lib/modules"];

/// Largest command line that is read.
const MAX_CMDLINE: u64 = 64 * 1024;

/// A unified kernel image.
#[derive(Debug)]
pub(crate) struct Uki {
    file: OwnedFd,
    /// The SHA-256 of its kernel and initramfs.
    pub(crate) checksum: String,
    /// Its kernel arguments.
    pub(crate) arguments: KernelArgs,
}

impl Uki {
    /// The one of an image that boots the root `id`, if the image has any.
    pub(crate) fn find(image: &ImageRoot, id: &Digest) -> Result<Option<Self>, RootError> {
        for path in paths(image)? {
            let Some(file) = image.open(&path)? else {
                continue;
            };
            let Some(sections) = read_sections(&file).during("read", &path)? else {
                continue;
            };
            let arguments = arguments(&file, &sections).during("read", &path)?;
            check_root(&arguments, &path, id)?;
            let checksum = checksum(&file, &sections).during("read", &path)?;
            return Ok(Some(Self {
                file,
                checksum,
                arguments,
            }));
        }
        Ok(None)
    }

    /// Bytes.
    pub(crate) fn size(&self) -> Result<u64, durable::Error> {
        let stat = rustix::fs::fstat(&self.file).during("look at", "the unified kernel image")?;
        Ok(u64::try_from(stat.st_size).unwrap_or_default())
    }
}

/// Where they may be.
fn paths(image: &ImageRoot) -> Result<Vec<String>, RootError> {
    let mut found = Vec::new();
    for place in PLACES {
        for (name, _) in names_in(image.fd(), place)? {
            let below = format!("{place}/{name}");
            if name.ends_with(".efi") {
                found.push(below);
            } else {
                let inner = names_in(image.fd(), &below).unwrap_or_default();
                let inner = inner.iter().filter(|(name, _)| name.ends_with(".efi"));
                found.extend(inner.map(|(name, _)| format!("{below}/{name}")));
            }
        }
    }
    Ok(found)
}

fn read_sections(file: &OwnedFd) -> std::io::Result<Option<Vec<Section>>> {
    let mut headers = Vec::new();
    let file = File::from(file.try_clone()?);
    file.take(HEADERS as u64).read_to_end(&mut headers)?;
    Ok(sections(&headers))
}

/// A command line that names another root, or none, would boot something else.
fn check_root(args: &KernelArgs, name: &str, id: &Digest) -> Result<(), RootError> {
    let found = RootArgument::find(args, Some(id.algorithm()))?;
    match found {
        Some(found) if found.digest == *id => Ok(()),
        other => Err(RootError::OtherRoot {
            name: name.to_owned(),
            found: other.map_or_else(|| "none".to_owned(), |found| found.digest.to_string()),
            expected: Box::new(*id),
        }),
    }
}

/// What the kernel is told.
fn arguments(file: &OwnedFd, sections: &[Section]) -> std::io::Result<KernelArgs> {
    let mut line = Vec::new();
    if let Some(section) = section(sections, CMDLINE) {
        let size = section.size.min(MAX_CMDLINE);
        line = vec![0; usize::try_from(size).unwrap_or_default()];
        File::from(file.try_clone()?).read_exact_at(&mut line, section.offset)?;
    }
    let text = String::from_utf8_lossy(&line);
    Ok(KernelArgs::parse(text.trim_end_matches(['\0', '\n', ' '])))
}

fn section<'a>(sections: &'a [Section], name: &str) -> Option<&'a Section> {
    sections.iter().find(|section| section.name == name)
}

fn checksum(file: &OwnedFd, sections: &[Section]) -> std::io::Result<String> {
    let file = File::from(file.try_clone()?);
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    for section in [LINUX, INITRD]
        .iter()
        .filter_map(|name| section(sections, name))
    {
        let (mut at, mut left) = (section.offset, section.size);
        while left > 0 {
            let wanted = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let chunk = buffer.get_mut(..wanted).unwrap_or_default();
            file.read_exact_at(chunk, at)?;
            hasher.update(chunk);
            at += wanted as u64;
            left -= wanted as u64;
        }
    }
    Ok(hasher.finish().to_string())
}

impl Roots {
    /// The arguments in the unified kernel image that boots a deployment; none when it is not there.
    pub(crate) fn uki_arguments(&self, id: &Digest) -> Result<KernelArgs, RootError> {
        let Some(esp) = &self.esp else {
            return Ok(KernelArgs::new());
        };
        let path = uki_path(id);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(esp, &path, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(KernelArgs::new()),
            other => other.during("open", &path)?,
        };
        let sections = read_sections(&file).during("read", &path)?;
        let sections = sections.unwrap_or_default();
        Ok(arguments(&file, &sections).during("read", &path)?)
    }

    /// The digests in the names of unified kernel images.
    pub(crate) fn ukis(&self) -> Result<Vec<String>, RootError> {
        let Some(esp) = &self.esp else {
            return Ok(Vec::new());
        };
        let names = names_in(esp.as_fd(), UKI)?.into_iter();
        Ok(names
            .filter_map(|(name, _)| {
                let digest = name.strip_prefix(crate::layout::BOOT_DIR)?;
                Some(digest.strip_suffix(".efi")?.to_owned())
            })
            .collect())
    }
}

impl Locked<'_> {
    /// Have it on the EFI system partition.
    pub(crate) fn install_uki(&self, id: &Digest, uki: Uki) -> Result<(), RootError> {
        let esp = self.roots.esp.as_ref().ok_or(RootError::NoEsp)?.as_fd();
        durable::create_dir_all(esp, Path::new(UKI), 0o755)?;
        let path = uki_path(id);
        let begun = format!("{path}.tmp");
        durable::remove_all(esp, Path::new(&begun))?;
        let there = self.roots.size_of(id, true)?;
        let needed = uki.size()?.saturating_sub(there);
        Self::check_space(esp, self.roots.esp_place, needed)?;
        let rewound = File::from(uki.file);
        let source = rustix::fs::seek(&rewound, rustix::fs::SeekFrom::Start(0));
        source.during("read", &path)?;
        copy_to(rewound.into(), esp, &begun)?;
        durable::sync_filesystem(esp)?;
        crash_point("roots:uki-copied");
        rustix::fs::renameat(esp, &begun, esp, &path).during("rename over", &path)?;
        Ok(())
    }
}
