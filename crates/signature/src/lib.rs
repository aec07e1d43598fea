//! Signatures of OSTree commits and summaries: bytes in, verdicts out.
//!
//! A commit's signatures stand in its detached metadata (`.commitmeta`, an `a{sv}`), those of a
//! summary in `summary.sig`, which has the same form. Every scheme has one key there, and under it
//! an `aay` of signatures over the raw bytes of the commit object or of the `summary` file:
//!
//! | scheme | key | one signature |
//! |---|---|---|
//! | [`gpg`] | `ostree.gpgsigs` | a binary OpenPGP signature packet |
//! | [`ed25519`] | `ostree.sign.ed25519` | 64 bytes |
//! | [`spki`] | `ostree.sign.spki` | what the algorithm of the key makes (ed25519, ed448) |
//! | [`dummy`] | `ostree.sign.dummy` | the key itself; proves nothing |
//!
//! [`detached`] lists, adds and removes them. [`Verifier`] and [`Signer`] serve the three schemes
//! that know nothing but keys, by name, as `ostree sign --sign-type` does; [`gpg`] has keyrings,
//! expiry, revocation, and one report per signature.
//!
//! Nothing here reads files, clocks or the environment: the caller finds keyrings and key files
//! and passes the time. Texts that scripts look for ("Good signature from", "Signature verified
//! successfully with key") are libostree's to the letter.
//!
//! Sources of the formats: libostree's `ostree-sign.h` and `ostree-gpg-verify-result.h`, RFC 4880
//! and RFC 9580 (OpenPGP), RFC 8032 (EdDSA), RFC 8410 (its keys in DER), RFC 7468 (PEM).

mod armor;
mod der;
pub mod detached;
pub mod dummy;
pub mod ed25519;
mod engine;
pub mod gpg;
mod key;
mod keyset;
pub mod spki;

pub use armor::ArmorError;
pub use detached::Scheme;
pub use engine::{Signer, Verifier, VerifyError};
pub use key::KeyError;
pub use keyset::{KeySet, PublicKey, Rejected, Verified};
