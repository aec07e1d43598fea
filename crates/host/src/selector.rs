//! Naming a deployment: by its index, by what it is to the running system, or by its image or commit.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use image::query_image_commit;
use sysroot::{DeploymentId, DeploymentStatus, Status, Sysroot};

use crate::ChangeError;

/// How short a digest may be cut.
const SHORTEST: usize = 7;

/// How a deployment is named.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector {
    /// By its index in the list.
    Index(usize),
    /// The one that runs.
    Booted,
    /// The one that boots next instead of the running one, staged or not.
    Pending,
    /// The one that the running one can be rolled back to.
    Rollback,
    /// By the digest of its image or the checksum of its commit, or how either begins.
    Digest(String),
}

impl FromStr for Selector {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let index = text.parse().ok().filter(|_| text.len() < SHORTEST);
        Ok(match (index, text) {
            (Some(index), _) => Self::Index(index),
            (None, "booted") => Self::Booted,
            (None, "pending" | "staged") => Self::Pending,
            (None, "rollback") => Self::Rollback,
            (None, digest) => Self::Digest(digest.to_owned()),
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "deployment {index}"),
            Self::Booted => f.write_str("running deployment"),
            Self::Pending => f.write_str("pending deployment"),
            Self::Rollback => f.write_str("deployment to roll back to"),
            Self::Digest(digest) => write!(f, "deployment of {digest:?}"),
        }
    }
}

impl Selector {
    /// What the deployment is called that is meant.
    ///
    /// # Errors
    /// [`ChangeError::NotFound`].
    pub fn id(&self, sysroot: &Sysroot, status: &Status) -> Result<DeploymentId, ChangeError> {
        let found = self.find(sysroot, status).map(DeploymentStatus::id);
        found.ok_or_else(|| ChangeError::NotFound(self.clone()))
    }

    /// The deployment that is meant, if there is one.
    pub(crate) fn find<'a>(
        &self,
        sysroot: &Sysroot,
        status: &'a Status,
    ) -> Option<&'a DeploymentStatus> {
        let mut deployments = status.deployments.iter();
        match self {
            Self::Index(index) => deployments.find(|found| found.index == *index),
            Self::Booted => deployments.find(|found| found.booted),
            Self::Pending => deployments.find(|found| found.pending),
            Self::Rollback => deployments.find(|found| found.rollback),
            Self::Digest(digest) => deployments.find(|found| has_digest(sysroot, found, digest)),
        }
    }
}

fn has_digest(sysroot: &Sysroot, deployment: &DeploymentStatus, digest: &str) -> bool {
    if digest.trim_start_matches("sha256:").len() < SHORTEST {
        return false;
    }
    let image = query_image_commit(sysroot.repo(), &deployment.commit).ok();
    let image = image.map(|image| image.manifest_digest.to_string());
    let of_image = |image: String| {
        image.starts_with(digest) || image.trim_start_matches("sha256:").starts_with(digest)
    };
    deployment.commit.to_string().starts_with(digest) || image.is_some_and(of_image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let parse = |text: &str| text.parse::<Selector>().unwrap();
        assert_eq!(parse("0"), Selector::Index(0));
        assert_eq!(parse("rollback"), Selector::Rollback);
        assert_eq!(parse("staged"), Selector::Pending);
        // Digits only, but far too many for an index.
        assert_eq!(parse("1234567"), Selector::Digest("1234567".into()));
        assert_eq!(parse("sha256:ab"), Selector::Digest("sha256:ab".into()));
    }
}
