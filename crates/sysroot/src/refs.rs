//! Refs that keep the commits of deployments from being pruned: `ostree/N/M/INDEX`.

use boot_format::{BootVersion, SubBootVersion};
use error_class::{Classified, ErrorClass};
use ostree::{Expect, RefEdit, RefError, WriteError};
use ostree_format::Checksum;
use ostree_format::refs::{InvalidRef, RefName, Refspec};

use crate::{Locked, State};

/// Why the refs of deployments could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeploymentRefError {
    /// A ref could not be read.
    #[error(transparent)]
    Read(#[from] RefError),
    /// The refs could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A name could not be formed.
    #[error(transparent)]
    Name(#[from] InvalidRef),
}

impl Classified for DeploymentRefError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) => error.class(),
            Self::Write(error) => error.class(),
            Self::Name(error) => error.class(),
        }
    }
}

impl State {
    /// The commits that have to stay, what is staged first, as libostree numbers them.
    pub(crate) fn commits(&self) -> Vec<Checksum> {
        let staged = self
            .staged
            .iter()
            .flatten()
            .map(|staged| staged.target.0.commit);
        let deployed = self
            .deployments
            .iter()
            .map(|deployment| deployment.id.commit);
        staged.chain(deployed).collect()
    }
}

impl Locked<'_> {
    /// Add the refs of a set of deployments that is about to become active; the others stay.
    pub(crate) fn add_refs(
        &self,
        set: (BootVersion, SubBootVersion),
        commits: &[Checksum],
    ) -> Result<(), DeploymentRefError> {
        self.edit_refs(&wanted(set, commits)?, false)
    }

    /// Let there be the refs of this set of deployments and no others.
    pub(crate) fn replace_refs(
        &self,
        set: (BootVersion, SubBootVersion),
        commits: &[Checksum],
    ) -> Result<(), DeploymentRefError> {
        self.edit_refs(&wanted(set, commits)?, true)
    }

    fn edit_refs(
        &self,
        wanted: &[(RefName, Checksum)],
        only: bool,
    ) -> Result<(), DeploymentRefError> {
        let mut there = Vec::new();
        for version in ["0", "1"] {
            let below: RefName = format!("ostree/{version}").parse()?;
            there.extend(self.repo().list_refs_below(&below)?);
        }
        let edit = |name: &RefName, commit| RefEdit {
            name: Refspec::local(name.clone()),
            expect: Expect::Any,
            commit,
        };
        let missing = wanted.iter().filter(|pair| !there.contains(pair));
        let mut edits: Vec<_> = missing
            .map(|(name, commit)| edit(name, Some(*commit)))
            .collect();
        if only {
            let is_wanted = |name: &RefName| wanted.iter().any(|(other, _)| other == name);
            let stale = there
                .iter()
                .filter(|(name, _)| is_ours(name) && !is_wanted(name));
            edits.extend(stale.map(|(name, _)| edit(name, None)));
        }
        if !edits.is_empty() {
            self.repo().edit_refs(&edits)?;
        }
        Ok(())
    }
}

fn wanted(
    (version, sub): (BootVersion, SubBootVersion),
    commits: &[Checksum],
) -> Result<Vec<(RefName, Checksum)>, InvalidRef> {
    let name = |index: usize| format!("ostree/{version}/{sub}/{index}").parse();
    let pairs = commits.iter().enumerate();
    pairs
        .map(|(index, commit)| Ok((name(index)?, *commit)))
        .collect()
}

/// Whether a ref has the form `ostree/N/M/INDEX` and not some other below `ostree/N`.
fn is_ours(name: &RefName) -> bool {
    let parts: Vec<_> = name.as_str().split('/').collect();
    matches!(parts[..], ["ostree", "0" | "1", "0" | "1", index] if index.bytes().all(|b| b.is_ascii_digit()))
}
