use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};
use ostree_format::Checksum;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::StaterootName;

/// What a deployment is called: its stateroot, its commit, and a number that tells deployments of the
/// same commit apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentId {
    /// The stateroot.
    pub stateroot: StaterootName,
    /// The commit.
    pub commit: Checksum,
    /// The number ("deployserial").
    pub serial: u32,
}

/// A directory name is not `COMMIT.SERIAL`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid deployment name {text:?}: COMMIT.SERIAL is expected")]
pub struct InvalidDeploymentName {
    /// What was found, shortened to 100 characters.
    pub text: String,
}

impl Classified for InvalidDeploymentName {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl DeploymentId {
    /// From the name of its directory.
    ///
    /// # Errors
    /// [`InvalidDeploymentName`].
    pub fn from_directory(
        stateroot: StaterootName,
        name: &str,
    ) -> Result<Self, InvalidDeploymentName> {
        let invalid = || InvalidDeploymentName {
            text: name.chars().take(100).collect(),
        };
        let (commit, serial) = name.split_once('.').ok_or_else(invalid)?;
        if serial.is_empty() || !serial.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let commit = Checksum::from_str(commit).map_err(|_| invalid())?;
        let serial = serial.parse().map_err(|_| invalid())?;
        Ok(Self {
            stateroot,
            commit,
            serial,
        })
    }

    /// The name of its directory: `COMMIT.SERIAL`.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("{}.{}", self.commit, self.serial)
    }

    /// The path of its directory below the physical root.
    #[must_use]
    pub fn path(&self) -> String {
        format!(
            "ostree/deploy/{}/deploy/{}",
            self.stateroot,
            self.directory()
        )
    }

    /// The path of its origin file below the physical root.
    #[must_use]
    pub fn origin_path(&self) -> String {
        format!("{}.origin", self.path())
    }

    /// The path of the directory for what belongs to it but is not part of the tree.
    #[must_use]
    pub fn backing_path(&self) -> String {
        format!(
            "ostree/deploy/{}/backing/{}",
            self.stateroot,
            self.directory()
        )
    }

    /// The target of the boot link that leads to it, from `ostree/boot.N.M/STATEROOT/BOOTCSUM/`.
    #[must_use]
    pub fn link_target(&self) -> String {
        format!(
            "../../../deploy/{}/deploy/{}",
            self.stateroot,
            self.directory()
        )
    }
}

/// As `ostree admin status` shows it: `STATEROOT COMMIT.SERIAL`.
impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.stateroot, self.commit, self.serial)
    }
}

impl Serialize for DeploymentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("DeploymentId", 3)?;
        fields.serialize_field("stateroot", &self.stateroot)?;
        fields.serialize_field("commit", &self.commit.to_string())?;
        fields.serialize_field("serial", &self.serial)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let commit = Checksum::of(b"");
        let id =
            DeploymentId::from_directory("os".parse().unwrap(), &format!("{commit}.12")).unwrap();
        assert_eq!(id.serial, 12);
        assert_eq!(id.path(), format!("ostree/deploy/os/deploy/{commit}.12"));
        assert_eq!(
            id.origin_path(),
            format!("ostree/deploy/os/deploy/{commit}.12.origin")
        );
        assert_eq!(
            id.link_target(),
            format!("../../../deploy/os/deploy/{commit}.12")
        );
    }

    #[test]
    fn refuses_other_names() {
        let commit = Checksum::of(b"").to_string();
        for bad in [
            "",
            "x.0",
            &commit,
            &format!("{commit}.+1"),
            &format!("{commit}.0.origin"),
            &format!("{commit}."),
        ] {
            let parsed = DeploymentId::from_directory("os".parse().unwrap(), bad);
            assert!(parsed.is_err(), "{bad}");
        }
    }
}
