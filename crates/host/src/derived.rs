//! Commits that were derived on this machine from the commit of an image, for example with configuration added: they
//! name their base, which must stay as long as they are deployed.
//!
//! Source of key and refs: bootc, `crates/lib/src/deploy.rs`.

use std::collections::BTreeSet;

use error_class::{Classified, ErrorClass};
use image::BASE_IMAGE_PREFIX;
use ostree::{Expect, ReadError, RefError, Repo, TransactionOptions, WriteError};
use ostree_format::Checksum;
use ostree_format::refs::{RefName, Refspec};
use progress::{Interrupt, Silent};

/// Metadata of a derived commit: the commit that it was derived from.
pub const BOOTC_DERIVED_KEY: &str = "bootc.derived";

/// Why the bases of derived commits could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DerivedError {
    /// A commit cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Refs cannot be read.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// Refs cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Classified for DerivedError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) => error.class(),
            Self::Ref(error) => error.class(),
            Self::Write(error) => error.class(),
        }
    }
}

/// The commit that `commit` was derived from on this machine, if it was.
///
/// # Errors
/// [`ReadError`].
pub fn base_commit(repo: &Repo, commit: &Checksum) -> Result<Option<Checksum>, ReadError> {
    let commit = repo.load_commit(commit)?;
    let base = commit.metadata.get_str(BOOTC_DERIVED_KEY);
    Ok(base.and_then(|base| base.parse().ok()))
}

/// Keep the bases of these commits from being removed, and no others that were kept so before. Where nothing
/// would change, nothing is written.
///
/// # Errors
/// [`DerivedError`]; either all refs have changed then, or none.
pub(crate) fn keep_bases(repo: &Repo, commits: &[Checksum]) -> Result<(), DerivedError> {
    let mut wanted = BTreeSet::new();
    for (index, commit) in commits.iter().enumerate() {
        if let Some(base) = base_commit(repo, commit)? {
            wanted.insert((format!("{BASE_IMAGE_PREFIX}/bootc/{index}"), base));
        }
    }
    let prefix = format!("{BASE_IMAGE_PREFIX}/bootc").parse::<RefName>();
    let prefix = prefix.map_err(RefError::from)?;
    let there = repo.list_refs_below(&prefix)?;
    let there = there
        .into_iter()
        .map(|(name, commit)| (name.to_string(), commit));
    let there: BTreeSet<(String, Checksum)> = there.collect();
    if there == wanted {
        return Ok(());
    }
    let transaction = repo.begin(TransactionOptions::default())?;
    let edit = |name: &str, commit| -> Result<(), RefError> {
        let name = name.parse::<RefName>().map_err(RefError::from)?;
        transaction.set_ref(Refspec::local(name), Expect::Any, commit);
        Ok(())
    };
    let still = |name: &str| wanted.iter().any(|(wanted, _)| wanted == name);
    for (name, _) in there.iter().filter(|(name, _)| !still(name)) {
        edit(name, None)?;
    }
    for (name, base) in &wanted {
        edit(name, Some(*base))?;
    }
    transaction.commit(&Silent, &Interrupt::default())?;
    Ok(())
}
