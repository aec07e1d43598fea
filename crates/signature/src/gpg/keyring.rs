use error_class::{Classified, ErrorClass};

use super::certificate::{Certificate, Contents};
use super::id::{Fingerprint, Issuer, KeyId};
use super::packet;
use crate::ArmorError;

/// Public keys that signatures are verified with.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    pub(super) certificates: Vec<Certificate>,
}

/// Bytes are not a keyring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Armored text is damaged.
    #[error("invalid OpenPGP armor: {0}")]
    Armor(#[from] ArmorError),
    /// Neither binary OpenPGP data nor armored text.
    #[error("no OpenPGP data found")]
    NotOpenPgp,
    /// A packet's header or length does not fit.
    #[error("OpenPGP data are damaged at offset {offset}")]
    Framing {
        /// Where the packet begins.
        offset: usize,
    },
    /// A keybox is damaged.
    #[error("keybox is damaged at offset {offset}")]
    Keybox {
        /// Where the blob begins.
        offset: usize,
    },
    /// A key that was asked for is not there.
    #[error("unable to find key {query:?}")]
    NoSuchKey {
        /// What was asked for.
        query: String,
    },
}

impl Classified for KeyringError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Armor(error) => error.class(),
            Self::NotOpenPgp => ErrorClass::InvalidInput,
            Self::Framing { .. } | Self::Keybox { .. } => ErrorClass::Corrupt,
            Self::NoSuchKey { .. } => ErrorClass::NotFound,
        }
    }
}

/// A primary key or a subkey of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    Primary,
    Subkey(usize),
}

impl Keyring {
    /// No keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Add the certificates of a keyring file; how many it holds.
    ///
    /// The file may be binary (`REMOTE.trustedkeys.gpg`, `trusted.gpg.d/*.gpg`, the output of
    /// `gpg --export`), armored, even several blocks after one another (`*.asc`), or a keybox
    /// (`pubring.kbx`). Certificates that are known already are merged. Parts that cannot be parsed
    /// are passed over, as gpg does; of secret keys the public half is taken.
    ///
    /// # Errors
    /// [`KeyringError`] when the bytes are none of these; nothing is added then.
    pub fn add(&mut self, bytes: &[u8]) -> Result<usize, KeyringError> {
        let certificates = contents(bytes)?.certificates;
        let count = certificates.len();
        certificates.into_iter().for_each(|c| self.merge(c));
        Ok(count)
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// The number of certificates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// The fingerprints of the primary keys, in order.
    pub fn fingerprints(&self) -> impl Iterator<Item = &Fingerprint> {
        self.certificates.iter().map(|c| &c.fingerprint)
    }

    /// The keyring in binary form, as gpg reads it and `ostree remote gpg-import` stores it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.certificates.iter().for_each(|c| c.write(&mut out));
        out
    }

    pub(super) fn merge(&mut self, certificate: Certificate) {
        let same = |known: &&mut Certificate| known.fingerprint == certificate.fingerprint;
        match self.certificates.iter_mut().find(same) {
            Some(known) => known.merge(certificate),
            None => self.certificates.push(certificate),
        }
    }

    /// The first key that `issuer` names, be it primary key or subkey.
    pub(super) fn find(&self, issuer: &Issuer) -> Option<(&Certificate, Position)> {
        self.certificates
            .iter()
            .find_map(|certificate| Some((certificate, position(certificate, issuer)?)))
    }
}

pub(super) fn contents(bytes: &[u8]) -> Result<Contents, KeyringError> {
    let binary = packet::binary(bytes)?;
    let packets = packet::split(&binary).map_err(|offset| KeyringError::Framing { offset })?;
    Ok(Contents::of(&packets))
}

fn position(certificate: &Certificate, issuer: &Issuer) -> Option<Position> {
    if is_named(&certificate.primary, issuer) {
        return Some(Position::Primary);
    }
    let mut subkeys = certificate.subkeys().map(|(key, _)| key);
    subkeys
        .position(|key| is_named(key, issuer))
        .map(Position::Subkey)
}

fn is_named(key: &impl pgp::types::KeyDetails, issuer: &Issuer) -> bool {
    match issuer {
        Issuer::Fingerprint(fingerprint) => Fingerprint::of(key) == *fingerprint,
        Issuer::KeyId(id) => KeyId::of(key) == *id,
    }
}
