//! The group `[sysroot]` of the repository's config: how boot entries are written.
//! Source: `ostree.repo-config(5)`.

use error_class::{Classified, ErrorClass};
use ostree_format::keyfile::KeyFile;

const GROUP: &str = "sysroot";

/// How boot entries are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootConfig {
    /// The boot loader (`bootloader`).
    pub bootloader: BootloaderChoice,
    /// Whether paths in entries start with `/boot` (`bootprefix`): for `/boot` on the root file system.
    pub boot_prefix: bool,
    /// Keys that every entry but the default gets (`bls-append-except-default`).
    pub append_except_default: Vec<(String, String)>,
    /// How often a new deployment is tried (`boot-counting-tries`); 0: boots are not counted.
    pub tries: u64,
}

/// Which boot loader is to be served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootloaderChoice {
    /// Whatever is found; none if nothing is.
    #[default]
    Auto,
    /// One that reads the entries itself.
    None,
    /// GRUB with a generated configuration.
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

/// A value in the config cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sysroot.{key}={value:?} in the repository config is not {expected}")]
pub struct BootConfigError {
    /// The key.
    pub key: &'static str,
    /// The value.
    pub value: String,
    /// What would be accepted.
    pub expected: &'static str,
}

impl Classified for BootConfigError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl BootConfig {
    /// Read the group from a repository's config.
    ///
    /// # Errors
    /// [`BootConfigError`] names the first value that cannot be used.
    pub fn from_file(file: &KeyFile) -> Result<Self, BootConfigError> {
        Ok(Self {
            bootloader: bootloader(file)?,
            boot_prefix: file.get_bool(GROUP, "bootprefix").unwrap_or(false),
            append_except_default: append_except_default(file)?,
            tries: tries(file)?,
        })
    }

    /// What stands before `ostree/...` in the paths of entries.
    #[must_use]
    pub const fn prefix(&self) -> &'static str {
        if self.boot_prefix { "/boot/" } else { "/" }
    }
}

fn bootloader(file: &KeyFile) -> Result<BootloaderChoice, BootConfigError> {
    Ok(match file.get(GROUP, "bootloader").as_deref() {
        None | Some("auto") => BootloaderChoice::Auto,
        Some("none") => BootloaderChoice::None,
        Some("grub2") => BootloaderChoice::Grub2,
        Some("syslinux") => BootloaderChoice::Syslinux,
        Some("uboot") => BootloaderChoice::UBoot,
        Some("zipl") => BootloaderChoice::Zipl,
        Some("aboot") => BootloaderChoice::AndroidBoot,
        Some(other) => {
            return Err(BootConfigError {
                key: "bootloader",
                value: other.to_owned(),
                expected: "auto, none, grub2, syslinux, uboot, zipl or aboot",
            });
        }
    })
}

fn append_except_default(file: &KeyFile) -> Result<Vec<(String, String)>, BootConfigError> {
    let key = "bls-append-except-default";
    let pairs = file.get_list(GROUP, key).unwrap_or_default();
    let split = |pair: String| match pair.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(BootConfigError {
            key,
            value: pair,
            expected: "KEY=VALUE;KEY=VALUE...",
        }),
    };
    pairs.into_iter().map(split).collect()
}

fn tries(file: &KeyFile) -> Result<u64, BootConfigError> {
    let key = "boot-counting-tries";
    let value = file.get(GROUP, key).unwrap_or_else(|| "0".to_owned());
    let number = value.trim().parse().ok().filter(|tries| *tries <= 5);
    number.ok_or(BootConfigError {
        key,
        value,
        expected: "a number from 0 to 5",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BootConfig, BootConfigError> {
        BootConfig::from_file(&KeyFile::parse(text).unwrap())
    }

    #[test]
    fn reads_the_group() {
        let config = read(
            "[sysroot]\nbootloader=none\nbootprefix=true\nboot-counting-tries=3\n\
             bls-append-except-default=grub_users=\"\";x=y=z\n",
        )
        .unwrap();
        assert_eq!(config.bootloader, BootloaderChoice::None);
        assert_eq!((config.prefix(), config.tries), ("/boot/", 3));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            config.append_except_default,
            [pair("grub_users", "\"\""), pair("x", "y=z")]
        );
        assert_eq!(read("[core]\n").unwrap(), BootConfig::default());
    }

    #[test]
    fn refuses_what_libostree_refuses() {
        for line in [
            "bootloader=lilo",
            "boot-counting-tries=6",
            "bls-append-except-default=x",
        ] {
            assert!(read(&format!("[sysroot]\n{line}\n")).is_err(), "{line}");
        }
    }
}
