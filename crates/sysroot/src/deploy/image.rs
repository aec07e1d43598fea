//! The image by which composefs mounts the root of a deployment.

use std::os::fd::AsFd as _;
use std::path::Path;

use durable::crash_point;
use ostree::VerityDigests;
use ostree_format::keyfile::KeyFile;
use rustix::fs::FileType;

use super::var::VarStep;
use super::{DeployError, UnfitCommit};
use crate::source::{Committed, Source as _, SourceError};
use crate::{DeploymentId, Locked, dir};

/// Says how `ostree-prepare-root` mounts the root.
const PREPARE_ROOT: &str = "usr/lib/ostree/prepare-root.conf";

/// Where `ostree-prepare-root` looks for the image, in the deployment.
const IMAGE: &str = ".ostree.cfs";

/// The digests that the image of a commit needs: where the root is mounted only when the kernel verifies it,
/// all of them; otherwise those that there are.
///
/// Source: `ostree-prepare-root(1)`, "composefs".
pub(super) fn digests(source: &Committed<'_>) -> Result<VerityDigests, Unusable> {
    let config = source.text(PREPARE_ROOT)?.unwrap_or_default();
    let config = KeyFile::parse(&config).unwrap_or_default();
    let enabled = config.get("composefs", "enabled").unwrap_or_default();
    match enabled.trim() {
        "signed" | "verity" => Ok(VerityDigests::All),
        "" | "yes" | "true" | "1" | "no" | "false" | "0" | "maybe" => Ok(VerityDigests::IfEnabled),
        _ => Err(Unusable::Value(enabled)),
    }
}

/// Why it is not known how the root is mounted.
pub(super) enum Unusable {
    /// The word is none of those that there are.
    Value(String),
    /// The configuration could not be read.
    Source(SourceError),
}

impl From<SourceError> for Unusable {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl Locked<'_> {
    /// Write the image of a deployment that is checked out.
    pub(super) fn make_image(
        &self,
        id: &DeploymentId,
        step: VarStep<'_>,
    ) -> Result<(), DeployError> {
        let commit = self.repo().load_commit(&id.commit)?;
        let source = Committed::new(self.repo(), commit.contents);
        let digests = digests(&source).map_err(|error| error.of(id.commit))?;
        let deployment = dir::open(self.dir(), id.path())?;
        let place = (deployment.as_fd(), Path::new(IMAGE));
        let (progress, interrupt) = (step.progress, step.interrupt);
        self.repo()
            .checkout_composefs(&id.commit, place, digests, progress, interrupt)?;
        crash_point("sysroot:image-made");
        Ok(())
    }

    /// Let the kernel verify objects and images, where the repository's config wants that: what a copy of the
    /// files has lost (`ostree admin post-copy`).
    ///
    /// # Errors
    /// [`DeployError`].
    pub fn enable_verity(&self) -> Result<(), DeployError> {
        let images = |error: ostree::VerityError| DeployError::Image(error.into());
        self.repo().enable_verity().map_err(images)?;
        for stateroot in self.stateroots()? {
            let deployments = format!("{}/deploy", stateroot.path());
            for (name, kind) in dir::names_below(self.dir(), &deployments)? {
                let path = format!("{deployments}/{name}/{IMAGE}");
                let is_there =
                    kind == FileType::Directory && dir::stat_optional(self.dir(), &path)?.is_some();
                if is_there {
                    self.repo()
                        .enable_verity_of(self.dir(), Path::new(&path))
                        .map_err(images)?;
                }
            }
        }
        Ok(())
    }
}

impl Unusable {
    /// The same as a reason not to deploy a commit.
    pub(super) fn of(self, commit: ostree_format::Checksum) -> DeployError {
        match self {
            Self::Source(error) => error.into(),
            Self::Value(value) => DeployError::Commit {
                commit,
                source: Box::new(UnfitCommit::PrepareRoot { value }),
            },
        }
    }
}
