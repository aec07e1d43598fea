//! Who decides whether signatures are good enough.

use error_class::{Classified, ErrorClass};
use ostree_format::Checksum;

/// Decides whether a commit or a summary may be used. The policy of a remote and its keys are its own
/// business.
pub trait Verify: Sync {
    /// Whether a summary must be there, since its signatures are asked for.
    fn demands_summary(&self) -> bool;

    /// Whether a summary may be used, given the bytes of `summary` and of `summary.sig`, if there is one.
    ///
    /// # Errors
    /// [`Refused`].
    fn summary(&self, summary: &[u8], signatures: Option<&[u8]>) -> Result<(), Refused>;

    /// Whether a commit may be used, given its bytes and those of its detached metadata, if any.
    ///
    /// # Errors
    /// [`Refused`].
    fn commit(
        &self,
        checksum: &Checksum,
        commit: &[u8],
        detached: Option<&[u8]>,
    ) -> Result<(), Refused>;
}

/// A signature is missing, wrong, or not trusted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub Box<dyn std::error::Error + Send + Sync>);

impl Classified for Refused {
    fn class(&self) -> ErrorClass {
        ErrorClass::Untrusted
    }
}

/// Asks for no signatures: for remotes whose configuration says so, and for repositories on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unverified;

impl Verify for Unverified {
    fn demands_summary(&self) -> bool {
        false
    }

    fn summary(&self, _summary: &[u8], _signatures: Option<&[u8]>) -> Result<(), Refused> {
        Ok(())
    }

    fn commit(
        &self,
        _checksum: &Checksum,
        _commit: &[u8],
        _detached: Option<&[u8]>,
    ) -> Result<(), Refused> {
        Ok(())
    }
}
