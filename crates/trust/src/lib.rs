//! Whose signatures are trusted: keyrings, key files, the policy of a remote; and signing.
//!
//! [`RemoteTrust`] holds the keys and the [`Policy`] of one remote and gives verdicts on commits and
//! summaries. [`KeyStores`] says where keys lie; the directory in which everything is looked for is
//! handed in. [`import_keys`] changes the keyring of a remote. [`Signing`] signs with bare keys and with
//! those of a GnuPG home directory; [`sign_commit`] and [`delete_signatures`] change the signatures of a
//! commit.
//!
//! | what | where |
//! |---|---|
//! | GPG keys of a remote | `NAME.trustedkeys.gpg` in the repository, or else in `/etc/ostree/remotes.d`; files and directories in its option `gpgkeypath` |
//! | GPG keys for remotes without a keyring | `/usr/share/ostree/trusted.gpg.d/*.gpg` |
//! | ed25519, spki keys of a remote | its options `verification-SCHEME-key` and `verification-SCHEME-file` |
//! | the same for remotes without keys | `trusted.SCHEME`, `trusted.SCHEME.d/*` in `/etc/ostree` and `/usr/share/ostree`, less those in `revoked.SCHEME` and `revoked.SCHEME.d/*` |
//!
//! Sources: `ostree.repo-config(5)`, `ostree-remote(1)`, `ostree-sign(1)`, `ostree-gpg-sign(1)`, and the
//! behaviour of libostree, which the tests compare with.

mod commit;
mod error;
mod gpg_home;
mod import;
mod keyring;
mod policy;
mod remote;
mod signing;
mod stores;
mod verdict;
mod verifiers;

pub use commit::{SignCommitError, commit_bytes, delete_signatures, sign_commit};
pub use error::TrustError;
pub use gpg_home::{GpgHome, GpgHomeError};
pub use import::import_keys;
pub use keyring::{add_keys_of_home, keys_of_all, keys_of_remote, keys_of_system, trusted_keys};
pub use policy::{Policy, Signatures};
pub use remote::RemoteTrust;
pub use signing::{Signing, SigningError};
pub use stores::KeyStores;
pub use verdict::{Reason, Signed, Untrusted, Verdict};
pub use verifiers::system_verifier;
