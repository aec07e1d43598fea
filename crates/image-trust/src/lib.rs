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
//! | sigstore | the tag `sha256-….sig` | a key |
//! | sigstore bundle | what refers to the manifest | a key |
//!
//! Certificates of Fulcio and other authorities are not evaluated: a policy that asks for them refuses
//! every image, and says so.
//!
//! Nothing here reads the environment, clocks, or files by itself: key files come through a function
//! that the caller gives.

mod evaluate;
mod identity;
mod key;
mod lookaside;
mod message;
mod payload;
mod policy;
mod scope;
mod signatures;
mod statement;
mod verdict;

pub use identity::Identity;
pub use lookaside::{Lookaside, LookasideError};
pub use policy::{Policy, PolicyError, Requirement};
pub use signatures::{Place, Signature};
pub use verdict::{Attempt, Finding, Signer, Verdict};

pub use evaluate::{Question, verify};
