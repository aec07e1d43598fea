use ostree_format::Metadata;
use ostree_format::gvariant::{Type, Value};

use crate::DeltaError;

/// `OSTSGNDT`, what a signed delta begins with.
const MAGIC: &[u8; 8] = b"OSTSGNDT";

/// The file `superblock`, or a delta in a single file: a superblock and, perhaps, signatures over its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct DeltaFile {
    /// The bytes that are signed: a [`crate::Superblock`].
    pub superblock: Vec<u8>,
    /// The signatures, under the same keys as in detached metadata of commits (`ostree.sign.ed25519`, ...).
    pub signatures: Option<Metadata>,
}

impl DeltaFile {
    /// Take the envelope off. A file without one is the superblock itself.
    ///
    /// # Errors
    /// [`DeltaError::Malformed`] when it begins as a signed delta, but is none.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, DeltaError> {
        if !bytes.starts_with(MAGIC) {
            return Ok(Self {
                superblock: bytes,
                signatures: None,
            });
        }
        let what = "envelope";
        let of = Type::tuple([Type::U64, Type::bytes(), Type::vardict()]);
        let value = Value::from_bytes_lenient(&of, &bytes)
            .map_err(|source| DeltaError::Malformed { what, source })?;
        match value {
            Value::Tuple(members) => match members.as_slice() {
                [_, Value::Bytes(superblock), signatures] => Ok(Self {
                    superblock: superblock.clone(),
                    signatures: Metadata::from_value(signatures),
                }),
                _ => Err(DeltaError::InvalidField(what)),
            },
            _ => Err(DeltaError::InvalidField(what)),
        }
    }

    /// The stored form: `(taya{sv})` when signed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.signatures {
            None => self.superblock.clone(),
            Some(signatures) => Value::Tuple(vec![
                Value::U64(u64::from_le_bytes(*MAGIC)),
                Value::Bytes(self.superblock.clone()),
                signatures.to_value(),
            ])
            .to_bytes(),
        }
    }

    /// Whether it bears a signature of any scheme.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signatures
            .as_ref()
            .is_some_and(|all| all.iter().any(|(key, _)| key.starts_with("ostree.sign.")))
    }
}
