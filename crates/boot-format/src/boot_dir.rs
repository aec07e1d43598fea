use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};
use serde::Serialize;

/// The checksum that names a set of kernel, initramfs and device trees: 64 lowercase hexadecimal
/// digits. What it is made of says [`crate::kernel`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct BootChecksum(String);

/// A string is not a [`BootChecksum`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a boot checksum: 64 lowercase hexadecimal digits are expected")]
pub struct InvalidBootChecksum {
    /// What was given, shortened to 80 characters.
    pub text: String,
}

impl Classified for InvalidBootChecksum {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl BootChecksum {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BootChecksum {
    type Err = InvalidBootChecksum;

    fn from_str(text: &str) -> Result<Self, InvalidBootChecksum> {
        let valid =
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidBootChecksum {
                text: text.chars().take(80).collect(),
            })
        }
    }
}

impl fmt::Display for BootChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A directory below `/boot/ostree` that holds one set of kernel files: `STATEROOT-BOOTCSUM`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootDir {
    /// The stateroot it was installed for.
    pub stateroot: String,
    /// What is in it.
    pub checksum: BootChecksum,
}

impl BootDir {
    /// Read a directory name; `None` for names of another form, which are left alone.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (stateroot, checksum) = name.rsplit_once('-')?;
        Some(Self {
            stateroot: stateroot.to_owned(),
            checksum: checksum.parse().ok()?,
        })
    }

    /// The path relative to `/boot`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("ostree/{self}")
    }
}

impl fmt::Display for BootDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stateroot, self.checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "fb10aa28111db911b8a6a9ae3dedf07321ecf79d5d031d05e59be78c6012a01e";

    #[test]
    fn splits_at_the_last_dash() {
        let dir = BootDir::parse(&format!("fedora-coreos-{SUM}")).unwrap();
        assert_eq!(dir.stateroot, "fedora-coreos");
        assert_eq!(dir.checksum.as_str(), SUM);
        assert_eq!(dir.path(), format!("ostree/fedora-coreos-{SUM}"));
    }

    #[test]
    fn leaves_other_names_alone() {
        for name in [
            "initramfs-overlays",
            SUM,
            "a-abc",
            &format!("a-{}", SUM.to_uppercase()),
        ] {
            assert_eq!(BootDir::parse(name), None, "{name}");
        }
    }
}
