use error_class::{Classified, ErrorClass};

use super::id::{Fingerprint, Issuer};

/// What became of each signature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// One report per signature packet, in order. An entry of the metadata may hold several.
    pub reports: Vec<Report>,
}

/// What became of one signature: the attributes of libostree's `OstreeGpgVerifyResult`.
///
/// Times are seconds since 1970. What is not known is empty: of a signature that does not fit the
/// data, nothing that it says about itself is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Which element of the metadata's list it stood in, counted from 0.
    pub entry: usize,
    /// The verdict.
    pub status: Status,
    /// The key that made it, or says so: its fingerprint, or only its key ID when the signature
    /// is bad or names no more. Empty when the signature cannot be read.
    pub issuer: Option<Issuer>,
    /// The primary key of the certificate that `issuer` belongs to; empty when it is missing.
    pub primary: Option<Fingerprint>,
    /// When it was made.
    pub made: Option<u64>,
    /// When it expires; known of signatures that fit the data and expire at all.
    pub expires: Option<u64>,
    /// When the key that made it expires, if ever.
    pub key_expires: Option<u64>,
    /// When the primary key expires, if ever.
    pub primary_expires: Option<u64>,
    /// Name of the public key algorithm, as GPGME names it: `RSA`, `EdDSA`.
    pub public_key_algorithm: Option<&'static str>,
    /// Name of the hash algorithm, as GPGME names it: `SHA256`.
    pub hash_algorithm: Option<&'static str>,
    /// Name in the primary user ID; may be empty text.
    pub user_name: Option<String>,
    /// Mail address in the primary user ID; may be empty text.
    pub user_email: Option<String>,
}

/// The verdict on one signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Valid.
    Good,
    /// It fits, but has expired.
    SignatureExpired,
    /// It fits, but the key (or its primary key) has expired.
    KeyExpired,
    /// It fits, but the key (or its primary key) was revoked.
    KeyRevoked,
    /// No keyring has the key.
    KeyMissing,
    /// It does not fit the data.
    Bad,
    /// It was not, or need not be, tried.
    Refused(Refusal),
}

/// Why a signature was refused before or in spite of its mathematics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not an OpenPGP signature, or of a version that is not known.
    Unreadable,
    /// It is a signature on a key or user ID, not on data.
    NotOverData,
    /// Its hash algorithm is unknown or too weak.
    HashAlgorithm,
    /// Its public key algorithm is not supported.
    PublicKeyAlgorithm,
    /// The key is not bound to its certificate by a valid signature.
    InvalidKey,
    /// The key is younger than the signature, or from the future.
    TimeConflict,
    /// The key may not sign data.
    WrongUsage,
    /// The subkey has not signed its primary key in turn.
    NotCrossCertified,
}

/// No signature is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTrusted {
    /// There are no signatures at all.
    #[error("no GPG signatures found")]
    NoSignature,
    /// None of them is valid; the verdict on the last one, which is likely the newest.
    #[error("none of {count} GPG signatures is valid: {}", reason(*.last))]
    NoneValid {
        /// How many there are.
        count: usize,
        /// The verdict on the last.
        last: Status,
    },
}

impl Classified for NotTrusted {
    fn class(&self) -> ErrorClass {
        ErrorClass::Untrusted
    }
}

const fn reason(status: Status) -> &'static str {
    match status {
        Status::Good => "good signature",
        Status::SignatureExpired => "the signature has expired",
        Status::KeyExpired => "the key has expired",
        Status::KeyRevoked => "the key was revoked",
        Status::KeyMissing => "public key not found",
        Status::Bad => "bad signature",
        Status::Refused(refusal) => match refusal {
            Refusal::Unreadable => "not a readable OpenPGP signature",
            Refusal::NotOverData => "not a signature over data",
            Refusal::HashAlgorithm => "unknown or weak hash algorithm",
            Refusal::PublicKeyAlgorithm => "unsupported public key algorithm",
            Refusal::InvalidKey => "the key is not validly bound to its certificate",
            Refusal::TimeConflict => "the key is younger than the signature",
            Refusal::WrongUsage => "the key may not sign data",
            Refusal::NotCrossCertified => "the subkey is not cross-certified",
        },
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(reason(*self))
    }
}

impl Report {
    /// Whether the signature is valid.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.status == Status::Good
    }

    pub(super) const fn refused(entry: usize, refusal: Refusal) -> Self {
        Self {
            entry,
            status: Status::Refused(refusal),
            issuer: None,
            primary: None,
            made: None,
            expires: None,
            key_expires: None,
            primary_expires: None,
            public_key_algorithm: None,
            hash_algorithm: None,
            user_name: None,
            user_email: None,
        }
    }
}

impl Verification {
    /// How many signatures are valid.
    #[must_use]
    pub fn valid(&self) -> usize {
        self.reports.iter().filter(|r| r.is_valid()).count()
    }

    /// Whether at least one signature is valid, which is what verification asks for.
    ///
    /// # Errors
    /// [`NotTrusted`] when none is; [`describe_rejection`](super::describe_rejection) has
    /// libostree's text for it.
    pub fn require_valid(&self) -> Result<(), NotTrusted> {
        match self.reports.last() {
            None => Err(NotTrusted::NoSignature),
            Some(_) if self.valid() > 0 => Ok(()),
            Some(last) => Err(NotTrusted::NoneValid {
                count: self.reports.len(),
                last: last.status,
            }),
        }
    }
}
