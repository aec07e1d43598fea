//! Which container images are trusted, by whom, and why.
//!
//! A [`Policy`] (containers-policy.json(5)) says for each image what it must be signed with.
//! [`Lookaside`] (containers-registries.d(5)) says where signatures are kept that are not in the
//! registry. [`verify`] fetches the signatures that a policy asks for and gives a [`Verdict`], which
//! explains itself.
//!
//! | kind | where it is | what vouches |
//! |---|---|---|
//! | simple signing | files beside the registry | a GPG key |
//! | sigstore | the tag `sha256-….sig` | a key or a certificate, and a transparency log |
//! | sigstore bundle | what refers to the manifest | the same |
//!
//! Certificates are short-lived ones of Fulcio, which count for the time at which a log (Rekor) took the
//! signature up, or those of any authority, which must be valid now.
//!
//! Nothing here reads the environment, clocks, or files by itself: key files come through a function
//! that the caller gives.

mod authority;
mod bundle;
mod certificate;
mod der;
mod evaluate;
mod evidence;
mod identity;
mod key;
mod log;
mod lookaside;
mod message;
mod payload;
mod policy;
mod scope;
mod signatures;
mod sources;
mod statement;
mod verdict;

pub use identity::Identity;
pub use lookaside::{Lookaside, LookasideError};
pub use policy::{Fulcio, Pki, Policy, PolicyError, Requirement, SigstoreSigned};
pub use signatures::{Place, Signature};
pub use verdict::{Attempt, Finding, Signer, Verdict};

pub use evaluate::{Question, verify};
