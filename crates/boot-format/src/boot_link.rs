use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};

use crate::{BootChecksum, BootVersion};

/// What an `ostree=` kernel argument says: `/ostree/boot.N/STATEROOT/BOOTCSUM/SERIAL`, the path of a
/// symbolic link to a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BootLink {
    /// The generation of entries it belongs to.
    pub version: BootVersion,
    /// The stateroot.
    pub stateroot: String,
    /// The kernel that is booted.
    pub checksum: BootChecksum,
    /// Which of the deployments that share the kernel, counted from zero in boot order.
    pub serial: u32,
}

/// A string is not a boot link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid ostree= argument {text:?}: /ostree/boot.BOOTVERSION/STATEROOT/BOOTCSUM/SERIAL is expected"
)]
pub struct InvalidBootLink {
    /// What was given, shortened to 200 characters.
    pub text: String,
}

impl Classified for InvalidBootLink {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl BootLink {
    /// The path relative to the physical root, without the leading slash.
    #[must_use]
    pub fn path(&self) -> String {
        let Self {
            version,
            stateroot,
            checksum,
            serial,
        } = self;
        format!("ostree/boot.{version}/{stateroot}/{checksum}/{serial}")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("/ostree/boot.")?.split('/');
        let link = Self {
            version: BootVersion::parse(parts.next()?)?,
            stateroot: parts.next().filter(|name| !name.is_empty())?.to_owned(),
            checksum: parts.next()?.parse().ok()?,
            serial: decimal(parts.next()?)?,
        };
        parts.next().is_none().then_some(link)
    }
}

/// Digits only: no sign, which `parse` alone would accept.
fn decimal(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl FromStr for BootLink {
    type Err = InvalidBootLink;

    fn from_str(text: &str) -> Result<Self, InvalidBootLink> {
        Self::parse(text).ok_or_else(|| InvalidBootLink {
            text: text.chars().take(200).collect(),
        })
    }
}

/// The value of the kernel argument, with the leading slash.
impl fmt::Display for BootLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "fb10aa28111db911b8a6a9ae3dedf07321ecf79d5d031d05e59be78c6012a01e";

    #[test]
    fn reads_what_libostree_writes() {
        let text = format!("/ostree/boot.1/golden/{SUM}/12");
        let link: BootLink = text.parse().unwrap();
        assert_eq!(link.version, BootVersion::ONE);
        assert_eq!((link.stateroot.as_str(), link.serial), ("golden", 12));
        assert_eq!(link.to_string(), text);
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            format!("/ostree/boot.2/golden/{SUM}/0"),
            format!("ostree/boot.1/golden/{SUM}/0"),
            format!("/ostree/boot.1//{SUM}/0"),
            format!("/ostree/boot.1/golden/{SUM}/0/"),
            format!("/ostree/boot.1/golden/{SUM}/+1"),
            format!("/ostree/boot.1/golden/{SUM}/"),
            format!("/ostree/boot.1/golden/{SUM}"),
            "/ostree/boot.1/../../etc/0".to_owned(),
        ] {
            assert!(text.parse::<BootLink>().is_err(), "{text}");
        }
    }
}
