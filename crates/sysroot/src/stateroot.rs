//! Stateroots: groups of deployments that share one `/var`.

use std::fmt;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};
use rustix::fs::FileType;
use serde::Serialize;

use crate::{Locked, Sysroot, dir, immutable};

/// The name of a stateroot, also called "osname".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct StaterootName(String);

/// A string cannot be the name of a stateroot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} cannot be the name of a stateroot: it must be one path component without blanks or quotes"
)]
pub struct InvalidStateroot {
    /// What was given, shortened to 80 characters.
    pub text: String,
}

impl Classified for InvalidStateroot {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// Why a stateroot was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StaterootError {
    /// It is there already.
    #[error("stateroot {0} exists already")]
    Exists(StaterootName),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for StaterootError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Exists(_) => ErrorClass::InvalidInput,
            Self::Io(error) => error.class(),
        }
    }
}

impl StaterootName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `ostree/deploy/NAME`.
    pub(crate) fn path(&self) -> String {
        format!("ostree/deploy/{self}")
    }

    /// `ostree/deploy/NAME/var`.
    pub(crate) fn var(&self) -> String {
        format!("ostree/deploy/{self}/var")
    }
}

/// The name becomes a path component and a part of a kernel argument, so it must not end either.
impl FromStr for StaterootName {
    type Err = InvalidStateroot;

    fn from_str(text: &str) -> Result<Self, InvalidStateroot> {
        let bad =
            |c: char| c == '/' || c == '"' || c == '\'' || c.is_whitespace() || c.is_control();
        if text.is_empty() || text.starts_with('.') || text.len() > 255 || text.contains(bad) {
            let text = text.chars().take(80).collect();
            return Err(InvalidStateroot { text });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for StaterootName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Sysroot {
    /// The stateroots that exist, sorted. Directories with a name that cannot be one are left out.
    ///
    /// # Errors
    /// What the system said.
    pub fn stateroots(&self) -> Result<Vec<StaterootName>, durable::Error> {
        let found = dir::names_below(self.dir(), "ostree/deploy")?;
        let dirs = found
            .into_iter()
            .filter(|(_, kind)| *kind == FileType::Directory);
        Ok(dirs.filter_map(|(name, _)| name.parse().ok()).collect())
    }

    /// Whether the stateroot exists.
    ///
    /// # Errors
    /// What the system said.
    pub fn has_stateroot(&self, name: &StaterootName) -> Result<bool, durable::Error> {
        dir::exists(self.dir(), name.path())
    }
}

impl Locked<'_> {
    /// Make a stateroot with an empty `var`, as `ostree admin stateroot-init` does. What belongs into
    /// `var` comes with the first deployment.
    ///
    /// # Errors
    /// [`StaterootError::Exists`] when it is complete already; one without `var`, from an interrupted
    /// call, is completed.
    pub fn init_stateroot(&self, name: &StaterootName) -> Result<(), StaterootError> {
        dir::make(self.dir(), Path::new(&name.path()), 0o755)?;
        if !dir::make(self.dir(), Path::new(&name.var()), 0o755)? {
            return Err(StaterootError::Exists(name.clone()));
        }
        let deploy = dir::open(self.dir(), "ostree/deploy")?;
        durable::sync_dir(deploy.as_fd())?;
        self.touch()?;
        Ok(())
    }

    /// Remove a stateroot that nothing boots from, and all that is in it.
    ///
    /// # Errors
    /// What the system said; calling again goes on.
    pub fn remove_stateroot(&self, name: &StaterootName) -> Result<(), durable::Error> {
        let deployments = format!("{}/deploy", name.path());
        for (entry, kind) in dir::names_below(self.dir(), &deployments)? {
            if kind == FileType::Directory {
                let deployment = dir::open(self.dir(), format!("{deployments}/{entry}"))?;
                immutable::set(deployment.as_fd(), false)?;
            }
        }
        durable::remove_all(self.dir(), Path::new(&name.path()))?;
        self.touch()
    }

    /// What the `/var` of a stateroot occupies, in bytes; a file with several names counts once for each.
    ///
    /// # Errors
    /// What the system said.
    pub fn var_bytes(&self, name: &StaterootName) -> Result<u64, durable::Error> {
        occupied_bytes(self.dir(), &name.var())
    }

    /// [`Self::init_stateroot`] unless it is there; whether it was made.
    ///
    /// # Errors
    /// What the system said.
    pub fn ensure_stateroot(&self, name: &StaterootName) -> Result<bool, durable::Error> {
        match self.init_stateroot(name) {
            Ok(()) => Ok(true),
            Err(StaterootError::Exists(_)) => Ok(false),
            Err(StaterootError::Io(error)) => Err(error),
        }
    }
}

/// What is in a directory occupies that many bytes; none when it is not there.
///
/// # Errors
/// What the system said.
pub fn occupied_bytes(base: BorrowedFd<'_>, path: &str) -> Result<u64, durable::Error> {
    match dir::open_optional(base, path)? {
        Some(directory) => occupied(directory.as_fd()),
        None => Ok(0),
    }
}

fn occupied(directory: BorrowedFd<'_>) -> Result<u64, durable::Error> {
    let mut bytes = 0_u64;
    for (name, kind) in dir::entries(directory)? {
        let stat = dir::stat_optional(directory, &name)?;
        let blocks = stat.map_or(0, |stat| u64::try_from(stat.st_blocks).unwrap_or_default());
        bytes = bytes.saturating_add(blocks.saturating_mul(512));
        if kind == FileType::Directory {
            let below = dir::open_inside(directory, Path::new(&name))?;
            bytes = bytes.saturating_add(occupied(below.as_fd())?);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["debian", "fedora-coreos", "os.1", "ü"] {
            assert!(good.parse::<StaterootName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a\"b",
            "a\nb",
            &"x".repeat(256),
        ] {
            assert!(bad.parse::<StaterootName>().is_err(), "{bad}");
        }
    }
}
