//! OpenPGP signatures (`ostree.gpgsigs`), judged as GnuPG judges them.
//!
//! rPGP does the mathematics; what a valid signature is worth is decided here, by the rules of
//! `gpg` 2.2 and 2.4 as libostree runs it (a fresh home directory with nothing but the keyrings
//! that it was told to use, no owner trust):
//!
//! - the key's own signatures decide: the newest valid one says when a key expires and whether it
//!   may sign; a valid revocation holds for ever, whatever its date; a primary key that is expired,
//!   revoked or without a valid self-signature takes its subkeys with it;
//! - a subkey counts only when the primary key has bound it, and signs only when it has signed the
//!   primary key in turn (the "back signature");
//! - a signature older than its key, or with a critical part that is not understood, is not valid;
//! - MD5 is refused everywhere. SHA-1 is accepted in the signatures that keys make over themselves,
//!   as gpg does; over commits it is refused unless [`Policy::accept_sha1`] says otherwise, where
//!   gpg still accepts it: who can choose what is committed can make two trees with one signature.
//!
//! Certificates that stand in several keyrings are merged (so does `gpg --import`), so a
//! revocation in one of them counts.
//!
//! gpg in batch mode, and so libostree, ends after a signature that is bad or has expired, and never
//! looks at those behind it. Here every signature is judged.
//!
//! What gpg verifies and this does not: keys of version 5, Brainpool and Ed448 keys, RSA above
//! 8192 bits. Such signatures are reported as [`Refusal::PublicKeyAlgorithm`] or with the key
//! missing, never as valid.

mod certificate;
mod critical;
mod date;
mod describe;
mod id;
mod import;
mod keybox;
mod keyring;
mod listing;
mod low_s;
mod names;
mod packet;
mod policy;
mod query;
mod report;
mod self_signature;
mod sign;
mod user_id;
mod validity;
mod verify;

pub use describe::{Heading, Zone, describe, describe_all, describe_rejection};
pub use id::{Fingerprint, Issuer, KeyId};
pub use import::Imported;
pub use keyring::{Keyring, KeyringError};
pub use listing::{KeyInfo, Listing, UserInfo, WkdUrls, wkd_urls};
pub use policy::Policy;
pub use query::KeyQuery;
pub use report::{NotTrusted, Refusal, Report, Status, Verification};
pub use sign::{SecretKeyring, SignError, Signer, detached_signature};
pub use verify::verify;
