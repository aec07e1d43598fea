//! Which boot loader there is.

use std::fmt;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::FileType;
use serde::Serialize;

use crate::boot_config::BootloaderChoice;
use crate::dir;

/// The configuration of SYSLINUX, below the root.
pub(super) const SYSLINUX: &str = "boot/syslinux/syslinux.cfg";

/// Largest state file of bootupd that is read.
const MAX_STATE: u64 = 1024 * 1024;

/// A boot loader that does not read boot entries itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LoaderKind {
    /// GRUB with a generated `grub.cfg`.
    Grub2,
    /// SYSLINUX and EXTLINUX.
    Syslinux,
    /// U-Boot with `uEnv.txt`.
    UBoot,
    /// `zipl` of IBM Z.
    Zipl,
    /// Android Boot.
    AndroidBoot,
}

/// A boot loader whose configuration has to be generated from the entries, because it does not read
/// them itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GeneratedLoader {
    /// Which one.
    pub kind: LoaderKind,
    /// What shows that it is there; of GRUB for EFI, its configuration.
    pub because: String,
}

impl fmt::Display for LoaderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grub2 => "grub2",
            Self::Syslinux => "syslinux",
            Self::UBoot => "uboot",
            Self::Zipl => "zipl",
            Self::AndroidBoot => "aboot",
        })
    }
}

impl fmt::Display for GeneratedLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind, self.because)
    }
}

/// The loader that would have to be served, found in the order in which libostree looks; `None` when
/// whatever boots the system reads the entries itself.
pub(crate) fn detect(
    root: BorrowedFd<'_>,
    choice: BootloaderChoice,
) -> Result<Option<GeneratedLoader>, durable::Error> {
    let chosen = |kind| {
        Ok(Some(GeneratedLoader {
            kind,
            because: "sysroot.bootloader in the repository config".into(),
        }))
    };
    match choice {
        BootloaderChoice::None => Ok(None),
        BootloaderChoice::Grub2 => match grub(root)? {
            Some(found) => Ok(Some(found)),
            None => chosen(LoaderKind::Grub2),
        },
        BootloaderChoice::Syslinux => chosen(LoaderKind::Syslinux),
        BootloaderChoice::UBoot => chosen(LoaderKind::UBoot),
        BootloaderChoice::Zipl => chosen(LoaderKind::Zipl),
        BootloaderChoice::AndroidBoot => chosen(LoaderKind::AndroidBoot),
        BootloaderChoice::Auto => probe(root),
    }
}

fn probe(root: BorrowedFd<'_>) -> Result<Option<GeneratedLoader>, durable::Error> {
    if let Some(found) = by_file(root, LoaderKind::Syslinux, &[SYSLINUX])? {
        return Ok(Some(found));
    }
    if let Some(found) = grub(root)? {
        return Ok(Some(found));
    }
    by_file(root, LoaderKind::UBoot, &["boot/loader/uEnv.txt"])
}

fn by_file(
    root: BorrowedFd<'_>,
    kind: LoaderKind,
    paths: &[&str],
) -> Result<Option<GeneratedLoader>, durable::Error> {
    for path in paths {
        if dir::exists(root, path)? {
            return Ok(Some(GeneratedLoader {
                kind,
                because: (*path).to_owned(),
            }));
        }
    }
    Ok(None)
}

fn grub(root: BorrowedFd<'_>) -> Result<Option<GeneratedLoader>, durable::Error> {
    if has_static_config(root)? {
        return Ok(None);
    }
    let bios = by_file(
        root,
        LoaderKind::Grub2,
        &["boot/grub/grub.cfg", "boot/grub2/grub.cfg"],
    )?;
    if bios.is_some() {
        return Ok(bios);
    }
    for (vendor, kind) in dir::names_below(root, "boot/efi/EFI")? {
        let config = format!("boot/efi/EFI/{vendor}/grub.cfg");
        if vendor != "BOOT" && kind == FileType::Directory && dir::exists(root, &config)? {
            return Ok(Some(GeneratedLoader {
                kind: LoaderKind::Grub2,
                because: config,
            }));
        }
    }
    Ok(None)
}

/// bootupd installs a GRUB configuration that reads the entries, and says so in its state.
fn has_static_config(root: BorrowedFd<'_>) -> Result<bool, durable::Error> {
    let path = Path::new("boot/bootupd-state.json");
    let state = durable::read_optional(root.as_fd(), path, MAX_STATE)?.unwrap_or_default();
    let state = String::from_utf8_lossy(&state);
    Ok(state.contains("\"static-configs\"") && !state.contains("\"static-configs\":null"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    fn found(files: &[(&str, &str)]) -> Option<String> {
        let scratch = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = scratch.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = File::open(scratch.path()).unwrap();
        let found = detect(root.as_fd(), BootloaderChoice::Auto).unwrap();
        found.map(|loader| loader.to_string())
    }

    #[test]
    fn finds_what_is_there() {
        let grub = ("boot/grub2/grub.cfg", "");
        let state = |text| ("boot/bootupd-state.json", text);
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[grub]).unwrap(), "grub2 (boot/grub2/grub.cfg)");
        assert_eq!(found(&[("boot/efi/EFI/BOOT/grub.cfg", "")]), None);
        assert_eq!(
            found(&[("boot/efi/EFI/debian/grub.cfg", "")]).unwrap(),
            "grub2 (boot/efi/EFI/debian/grub.cfg)"
        );
        assert_eq!(found(&[grub, state("{\"static-configs\":{}}")]), None);
        assert!(found(&[grub, state("{\"static-configs\":null}")]).is_some());
        assert!(
            found(&[grub, ("boot/syslinux/syslinux.cfg", "")])
                .unwrap()
                .starts_with("syslinux")
        );
        assert_eq!(
            found(&[("boot/loader/uEnv.txt", "")]).unwrap(),
            "uboot (boot/loader/uEnv.txt)"
        );
    }
}
