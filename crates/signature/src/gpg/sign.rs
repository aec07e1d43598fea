use error_class::{Classified, ErrorClass};
use pgp::packet::{PacketTrait, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyVersion, Password, SecretParams, SigningKey, Tag, Timestamp};

use super::certificate::{Certificate, Secret};
use super::id::Fingerprint;
use super::keyring::{self, Keyring, KeyringError};
use super::validity::{self, KeyValidity};
use super::{KeyQuery, packet};

/// Secret keys, as `gpg --export-secret-keys` writes them.
///
/// Secret keys inside a gpg home directory belong to gpg's agent; for those the caller runs
/// `gpg --detach-sign` and hands its output to [`detached_signature`].
#[derive(Debug, Clone)]
pub struct SecretKeyring {
    public: Keyring,
    secrets: Vec<Secret>,
}

/// Signs with one secret key.
#[derive(Debug, Clone)]
pub struct Signer {
    secret: Secret,
    fingerprint: Fingerprint,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key that was asked for is not there.
    #[error("no GPG key found with ID {query}")]
    NoSuchKey {
        /// What was asked for.
        query: String,
    },
    /// The certificate has no key that may sign: all are expired, revoked, for other uses, or
    /// their secret halves are elsewhere.
    #[error("GPG key {primary} has no secret key here that may sign")]
    NoSigningKey {
        /// The primary key.
        primary: Fingerprint,
    },
    /// The secret key is encrypted with a passphrase.
    #[error("GPG key {fingerprint} is protected by a passphrase")]
    Protected {
        /// The key.
        fingerprint: Fingerprint,
    },
    /// The key's version or algorithm cannot sign here.
    #[error("cannot sign with GPG key {fingerprint}: {source}")]
    Failed {
        /// The key.
        fingerprint: Fingerprint,
        /// What the cryptography says.
        source: Box<pgp::errors::Error>,
    },
    /// Output of gpg is not a detached signature.
    #[error("not a detached OpenPGP signature")]
    NotASignature,
    /// Output of gpg is damaged.
    #[error(transparent)]
    Unreadable(#[from] KeyringError),
}

impl Classified for SignError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoSuchKey { .. } => ErrorClass::NotFound,
            Self::NoSigningKey { .. } | Self::NotASignature => ErrorClass::InvalidInput,
            Self::Protected { .. } | Self::Failed { .. } => ErrorClass::Unsupported,
            Self::Unreadable(error) => error.class(),
        }
    }
}

/// The output of `gpg --detach-sign`, binary or armored, in the form that metadata hold: one
/// signature packet per element, ready for [`detached::add`](crate::detached::add).
///
/// With several `--local-user` options, gpg writes several signatures.
///
/// # Errors
/// [`SignError`] when the bytes are not signatures over data.
pub fn detached_signature(output: &[u8]) -> Result<Vec<Vec<u8>>, SignError> {
    let binary = packet::binary(output)?;
    let packets = packet::split(&binary).map_err(|offset| KeyringError::Framing { offset })?;
    let signatures = packets.iter().map(|packet| {
        let is_signature = packet.tag == Tag::Signature && is_over_data(packet);
        is_signature.then(|| packet.whole.to_vec())
    });
    let signatures: Option<Vec<_>> = signatures.collect();
    signatures
        .filter(|s| !s.is_empty())
        .ok_or(SignError::NotASignature)
}

fn is_over_data(packet: &packet::RawPacket<'_>) -> bool {
    match packet.parse() {
        Some(pgp::packet::Packet::Signature(signature)) => matches!(
            signature.typ(),
            Some(SignatureType::Binary | SignatureType::Text)
        ),
        _ => false,
    }
}

impl SecretKeyring {
    /// From exported secret keys, binary or armored.
    ///
    /// # Errors
    /// [`KeyringError`] when the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyringError> {
        let contents = keyring::contents(bytes)?;
        let mut public = Keyring::new();
        contents
            .certificates
            .into_iter()
            .for_each(|c| public.merge(c));
        Ok(Self {
            public,
            secrets: contents.secrets,
        })
    }

    /// The public halves.
    #[must_use]
    pub const fn public(&self) -> &Keyring {
        &self.public
    }

    /// The key that signs for `query` at `now` (seconds since 1970).
    ///
    /// As in gpg, that is the newest subkey that may sign, else the primary key; a key ID with
    /// `!` at the end asks for this very key.
    ///
    /// # Errors
    /// [`SignError`] when there is none, or it has a passphrase.
    pub fn signer(&self, query: &KeyQuery, now: u64) -> Result<Signer, SignError> {
        let certificate = self.public.select(query);
        let certificate = certificate.ok_or_else(|| SignError::NoSuchKey {
            query: query.text().to_owned(),
        })?;
        let (secret, fingerprint) =
            self.choose(certificate, query, now)
                .ok_or_else(|| SignError::NoSigningKey {
                    primary: certificate.fingerprint.clone(),
                })?;
        if is_protected(secret) {
            return Err(SignError::Protected { fingerprint });
        }
        let secret = secret.clone();
        Ok(Signer {
            secret,
            fingerprint,
        })
    }

    fn choose(
        &self,
        certificate: &Certificate,
        query: &KeyQuery,
        now: u64,
    ) -> Option<(&Secret, Fingerprint)> {
        let validity = validity::judge(certificate, &self.public, now);
        let asked = |key: &&KeyValidity| {
            let exact = query.exact();
            exact.is_none_or(|digits| key.fingerprint.to_string().ends_with(digits))
        };
        let usable = validity
            .keys()
            .filter(asked)
            .filter(|key| may_sign_now(key));
        let held = usable.filter_map(|key| Some((self.secret(&key.fingerprint)?, key)));
        // The primary key comes first and must lose against every subkey.
        let newest =
            held.max_by_key(|(secret, key)| (matches!(secret, Secret::Subkey(_)), key.created));
        newest.map(|(secret, key)| (secret, key.fingerprint.clone()))
    }

    fn secret(&self, fingerprint: &Fingerprint) -> Option<&Secret> {
        self.secrets.iter().find(|secret| {
            let is_it = match secret {
                Secret::Primary(key) => Fingerprint::of(&**key) == *fingerprint,
                Secret::Subkey(key) => Fingerprint::of(&**key) == *fingerprint,
            };
            is_it && !is_stub(secret)
        })
    }
}

fn may_sign_now(key: &KeyValidity) -> bool {
    key.valid && key.may_sign && key.back_signed && !key.revoked && !key.expired
}

fn params(secret: &Secret) -> &SecretParams {
    match secret {
        Secret::Primary(key) => key.secret_params(),
        Secret::Subkey(key) => key.secret_params(),
    }
}

/// Whether gpg wrote the key without its secret half (`--export-secret-subkeys`, smart cards).
fn is_stub(secret: &Secret) -> bool {
    /// GnuPG's own kind of key derivation, which says that there is nothing to derive.
    const GNU: u8 = 101;
    match params(secret) {
        SecretParams::Plain(_) => false,
        SecretParams::Encrypted(encrypted) => match encrypted.string_to_key_params() {
            pgp::types::S2kParams::Cfb { s2k, .. }
            | pgp::types::S2kParams::MalleableCfb { s2k, .. } => s2k.id() == GNU,
            _ => false,
        },
    }
}

fn is_protected(secret: &Secret) -> bool {
    matches!(params(secret), SecretParams::Encrypted(_))
}

impl Signer {
    /// The key that signs.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The signature packet over `data`, made at `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`SignError::Failed`] when the key's version or algorithm cannot sign here.
    pub fn sign(&self, data: &[u8], now: u64) -> Result<Vec<u8>, SignError> {
        let signed = match &self.secret {
            Secret::Primary(key) => sign(&**key, data, now),
            Secret::Subkey(key) => sign(&**key, data, now),
        };
        signed.map_err(|source| SignError::Failed {
            fingerprint: self.fingerprint.clone(),
            source: Box::new(source),
        })
    }
}

fn sign(key: &impl SigningKey, data: &[u8], now: u64) -> Result<Vec<u8>, pgp::errors::Error> {
    if key.version() != KeyVersion::V4 {
        return Err(format!("version {:?} is not supported", key.version()).into());
    }
    let mut config = SignatureConfig::v4(SignatureType::Binary, key.algorithm(), key.hash_alg());
    // OpenPGP's time has 32 bits.
    let made = Timestamp::from_secs(u32::try_from(now).unwrap_or(u32::MAX));
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
        Subpacket::regular(SubpacketData::SignatureCreationTime(made))?,
    ];
    config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(
        key.legacy_key_id(),
    ))?];
    let signature = config.sign(key, &Password::empty(), data)?;
    let mut out = Vec::new();
    signature.to_writer_with_header(&mut out)?;
    Ok(out)
}
