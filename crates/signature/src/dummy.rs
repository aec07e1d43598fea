//! The scheme of libostree's own tests (`ostree.sign.dummy`): the signature is the key.
//!
//! It proves nothing. libostree refuses it unless `OSTREE_DUMMY_SIGN_ENABLED=1` is in the
//! environment; callers have to ask the same.

use error_class::{Classified, ErrorClass};

/// What libostree prints when a signature equals the key.
pub const VERIFIED: &str = "dummy: Signature verified";

/// No signature equals the key. The texts are libostree's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// There is nothing to compare.
    #[error("signature: dummy: commit have no signatures of my type")]
    NoSignatures,
    /// Every signature is another key.
    #[error("signature: dummy: incorrect signatures found: {count}")]
    NotVerified {
        /// How many there are.
        count: usize,
    },
}

impl Classified for Rejected {
    fn class(&self) -> ErrorClass {
        ErrorClass::Untrusted
    }
}

/// The "signature" of anything by `key`.
#[must_use]
pub fn sign(key: &str) -> Vec<u8> {
    key.as_bytes().to_vec()
}

/// The place of the first signature that is `key`.
///
/// # Errors
/// [`Rejected`] when none is.
pub fn verify(key: &str, signatures: &[&[u8]]) -> Result<usize, Rejected> {
    if signatures.is_empty() {
        return Err(Rejected::NoSignatures);
    }
    let found = signatures.iter().position(|s| *s == key.as_bytes());
    found.ok_or(Rejected::NotVerified {
        count: signatures.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_itself_verifies() {
        let signature = sign("key");
        assert_eq!(verify("key", &[b"other", &signature]), Ok(1));
        assert_eq!(
            verify("key2", &[&signature]).unwrap_err().to_string(),
            "signature: dummy: incorrect signatures found: 1"
        );
        assert_eq!(verify("key", &[]), Err(Rejected::NoSignatures));
    }
}
