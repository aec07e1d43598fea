use std::fmt;

use serde::Serialize;

/// Which of the two sets of boot entries `/boot/loader` points at: `loader.0` or `loader.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(into = "u8")]
pub struct BootVersion(bool);

/// Which of the two sets of boot links `/ostree/boot.N` points at: `boot.N.0` or `boot.N.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(into = "u8")]
pub struct SubBootVersion(bool);

macro_rules! zero_or_one {
    ($name:ident) => {
        impl $name {
            /// Number zero, which also counts while there are no links yet.
            pub const ZERO: Self = Self(false);
            /// Number one.
            pub const ONE: Self = Self(true);

            /// The other one: the next to be written.
            #[must_use]
            pub const fn other(self) -> Self {
                Self(!self.0)
            }
        }

        impl From<$name> for u8 {
            fn from(version: $name) -> Self {
                Self::from(version.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(if self.0 { "1" } else { "0" })
            }
        }
    };
}

zero_or_one!(BootVersion);
zero_or_one!(SubBootVersion);

impl BootVersion {
    /// Read the target of the link `/boot/loader`; only `loader.0` and `loader.1` are valid.
    #[must_use]
    pub fn from_loader_target(target: &[u8]) -> Option<Self> {
        let target = std::str::from_utf8(target).ok()?;
        Self::parse(target.strip_prefix("loader.")?)
    }

    /// Read one digit of a path.
    #[must_use]
    pub fn parse(digit: &str) -> Option<Self> {
        match digit {
            "0" => Some(Self::ZERO),
            "1" => Some(Self::ONE),
            _ => None,
        }
    }

    /// The target of `/boot/loader`, also the name of the directory: `loader.N`.
    #[must_use]
    pub fn loader_dir(self) -> String {
        format!("loader.{self}")
    }

    /// The name of the link in `/ostree`: `boot.N`.
    #[must_use]
    pub fn link_name(self) -> String {
        format!("boot.{self}")
    }
}

impl SubBootVersion {
    /// Read the target of the link `/ostree/boot.N`; what counts is that it ends in `.0` or `.1`.
    #[must_use]
    pub fn from_link_target(target: &[u8]) -> Option<Self> {
        match target {
            [.., b'.', b'0'] => Some(Self::ZERO),
            [.., b'.', b'1'] => Some(Self::ONE),
            _ => None,
        }
    }

    /// The name of the directory with the links in `/ostree`: `boot.N.M`.
    #[must_use]
    pub fn link_dir(self, version: BootVersion) -> String {
        format!("boot.{version}.{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_link_targets_as_libostree() {
        let version = BootVersion::from_loader_target;
        assert_eq!(version(b"loader.1"), Some(BootVersion::ONE));
        assert_eq!(version(b"loader.2"), None);
        assert_eq!(version(b"loader.1/"), None);
        let sub = SubBootVersion::from_link_target;
        assert_eq!(sub(b"boot.1.0"), Some(SubBootVersion::ZERO));
        assert_eq!(sub(b"/ostree/boot.1.1"), Some(SubBootVersion::ONE));
        assert_eq!(sub(b"boot.1.2"), None);
    }

    #[test]
    fn names() {
        let (version, sub) = (BootVersion::ONE, SubBootVersion::ZERO);
        assert_eq!(version.loader_dir(), "loader.1");
        assert_eq!(version.link_name(), "boot.1");
        assert_eq!(sub.link_dir(version.other()), "boot.0.0");
    }
}
