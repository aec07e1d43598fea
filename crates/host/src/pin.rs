//! Keeping deployments from being removed.

use serde::Serialize;
use sysroot::Sysroot;

use crate::{ChangeError, ChangeOptions, Selector};

/// The form of an answer.
const SCHEMA: &str = "bootroot.pin/1";

/// A deployment that was pinned or unpinned (`docs/pin.schema.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinned {
    schema: &'static str,
    /// Its index.
    pub index: usize,
    /// Its name, as `STATEROOT COMMIT.SERIAL`.
    pub deployment: String,
    /// Whether it is pinned now.
    pub pinned: bool,
    /// Whether it was not before.
    pub changed: bool,
}

impl Pinned {
    /// Of a deployment whose root is an image of composefs.
    pub(crate) const fn of_root(index: usize, deployment: String, was: bool, pinned: bool) -> Self {
        Self {
            schema: SCHEMA,
            index,
            deployment,
            pinned,
            changed: was != pinned,
        }
    }
}

/// Pin a deployment, so that no other drives it out, or unpin it.
///
/// # Errors
/// [`ChangeError`].
pub fn pin(
    sysroot: &Sysroot,
    selector: &Selector,
    pinned: bool,
    options: &ChangeOptions,
) -> Result<Pinned, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    let status = locked.status()?;
    let found = selector.find(sysroot, &status);
    let found = found.ok_or_else(|| ChangeError::NotFound(selector.clone()))?;
    if found.staged {
        return Err(ChangeError::Staged(selector.clone()));
    }
    let id = found.id();
    if !options.dry_run {
        locked.set_pinned(&id, pinned)?;
    }
    Ok(Pinned {
        schema: SCHEMA,
        index: found.index,
        deployment: id.to_string(),
        pinned,
        changed: found.pinned != pinned,
    })
}
