use error_class::{Classified, ErrorClass};

use crate::{ArmorError, Scheme};

/// Bytes or text are not a key of the scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A key has the wrong size.
    #[error("invalid {scheme} key: expected {expected} bytes, got {found}")]
    Length {
        /// The scheme.
        scheme: Scheme,
        /// Bytes that a key has.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// A key is not base64.
    #[error("invalid {scheme} key: not base64")]
    NotBase64 {
        /// The scheme.
        scheme: Scheme,
    },
    /// The bytes have the right size, but are not a point of the curve.
    #[error("invalid {scheme} key: not a point of the curve")]
    NotOnCurve {
        /// The scheme.
        scheme: Scheme,
    },
    /// A secret key holds a public half that is not its own.
    #[error("invalid {scheme} key: its public half belongs to another key")]
    Mismatch {
        /// The scheme.
        scheme: Scheme,
    },
    /// A key file is damaged.
    #[error("invalid key file: {0}")]
    Armor(#[from] ArmorError),
    /// A PEM block holds something else than a key.
    #[error("line {line}: expected a {expected:?} block, found {found:?}")]
    Label {
        /// Line of `BEGIN`, counted from 1.
        line: usize,
        /// The label of keys.
        expected: &'static str,
        /// The label that stands there.
        found: String,
    },
    /// A key is not the DER structure that it should be.
    #[error("invalid spki key: not the DER of a key")]
    NotDer,
    /// A valid key of an algorithm that is not implemented.
    #[error("spki key of algorithm {oid}: only ed25519 and ed448 are supported")]
    Algorithm {
        /// The algorithm's object identifier, dotted.
        oid: String,
    },
    /// The scheme has no bare keys.
    #[error("{scheme} signatures are made and verified with keyrings, not with bare keys")]
    NeedsKeyring {
        /// The scheme.
        scheme: Scheme,
    },
    /// A key file holds no valid key.
    #[error("no valid {scheme} keys in the key file")]
    Empty {
        /// The scheme.
        scheme: Scheme,
    },
}

impl Classified for KeyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Algorithm { .. } | Self::NeedsKeyring { .. } => ErrorClass::Unsupported,
            _ => ErrorClass::InvalidInput,
        }
    }
}
