//! Which deployment, and which stateroot, the words of a command line mean.

use error_class::{Classified, ErrorClass};
use sysroot::{Deployment, Listed, State, StaterootName};

/// The words mean nothing that is there.
#[derive(Debug, thiserror::Error)]
pub(super) enum SelectionError {
    #[error("Invalid index: {0}")]
    NotAnIndex(String),
    #[error("Index too large: {0}")]
    TooLarge(String),
    #[error("Out of range deployment index {index}, expected < {count}")]
    OutOfRange { index: usize, count: usize },
    #[error("Deployment type not found: {0}")]
    NoSuchRole(String),
    #[error("Not currently booted into an OSTree system and no --os= argument given")]
    NoStateroot,
    #[error("Not currently booted into an OSTree system")]
    NotBooted,
    #[error("No deployment for OS '{0}'")]
    NothingDeployed(StaterootName),
}

impl Classified for SelectionError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotAnIndex(_) | Self::TooLarge(_) | Self::NoStateroot | Self::NotBooted => {
                ErrorClass::InvalidInput
            }
            Self::OutOfRange { .. } | Self::NoSuchRole(_) | Self::NothingDeployed(_) => {
                ErrorClass::NotFound
            }
        }
    }
}

/// The index that a word is.
pub(super) fn index(word: &str) -> Result<usize, SelectionError> {
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SelectionError::NotAnIndex(word.to_owned()));
    }
    let too_large = |_| SelectionError::TooLarge(word.to_owned());
    word.parse().map_err(too_large)
}

/// The deployment with an index.
pub(super) fn at(state: &State, index: usize) -> Result<Listed<'_>, SelectionError> {
    let listed = state.listed();
    let count = listed.len();
    let found = listed.get(index).copied();
    found.ok_or(SelectionError::OutOfRange { index, count })
}

/// The stateroot that is meant: the one that is named, else that of the running deployment.
pub(super) fn stateroot(
    state: &State,
    named: Option<&StaterootName>,
) -> Result<StaterootName, SelectionError> {
    let booted = || state.booted().map(|booted| booted.id.stateroot.clone());
    named
        .cloned()
        .or_else(booted)
        .ok_or(SelectionError::NoStateroot)
}

/// The deployment that runs.
pub(super) fn booted(state: &State) -> Result<&Deployment, SelectionError> {
    state.booted().ok_or(SelectionError::NotBooted)
}
