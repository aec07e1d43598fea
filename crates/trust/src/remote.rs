//! The keys and the policy of a remote, and what they say of its commits and its summary.

use ostree::{Remote, RemoteError, Repo};
use ostree_format::{Checksum, Metadata};
use signature::gpg::{self, Keyring, Verification};
use signature::{Scheme, Verified, Verifier, detached};

use crate::verdict::{Reason, Signed, Untrusted, Verdict};
use crate::{KeyStores, Policy, TrustError, keyring, verifiers};

/// The keys and the policy of a remote.
#[derive(Debug, Clone)]
pub struct RemoteTrust {
    policy: Policy,
    keyring: Keyring,
    commit: Option<Vec<Verifier>>,
    summary: Option<Vec<Verifier>>,
}

impl RemoteTrust {
    /// Those of the remote `name` of `repo`.
    ///
    /// # Errors
    /// [`TrustError`] when there is no such remote, or its keys or policy cannot be used.
    pub fn of(repo: &Repo, name: &str, stores: &KeyStores) -> Result<Self, TrustError> {
        let remote = repo.remote(name);
        let remote = remote.ok_or_else(|| RemoteError::NotFound(name.to_owned()))?;
        let policy = Policy::of(&remote)?;
        Self::load(repo, &remote, policy, stores)
    }

    /// The keys that `policy` needs, which may be another one than the remote's own.
    ///
    /// # Errors
    /// [`TrustError`] when they cannot be used. Keys that the policy does not need are not looked at.
    pub fn load(
        repo: &Repo,
        remote: &Remote,
        policy: Policy,
        stores: &KeyStores,
    ) -> Result<Self, TrustError> {
        let keyring = match policy.gpg || policy.gpg_summary {
            true => keyring::of_remote(repo, remote, stores)?,
            false => Keyring::new(),
        };
        Ok(Self {
            keyring,
            commit: verifiers::verifiers(remote, &policy.sign, stores)?,
            summary: verifiers::verifiers(remote, &policy.sign_summary, stores)?,
            policy,
        })
    }

    /// What is asked for.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Verify a commit: `bytes` is the commit object, `detached` its detached metadata
    /// (`.commitmeta`), both as they are stored. `now` is in seconds since 1970.
    ///
    /// Detached metadata are only looked at when something is asked for.
    ///
    /// # Errors
    /// [`Untrusted`] when what is asked for is not there.
    pub fn verify_commit(
        &self,
        commit: &Checksum,
        bytes: &[u8],
        detached: Option<&[u8]>,
        now: u64,
    ) -> Result<Verdict, Untrusted> {
        let verifiers = self.commit.as_deref();
        verify(
            self.policy.gpg.then_some(&self.keyring),
            verifiers,
            bytes,
            detached,
            now,
        )
        .map_err(|reason| Untrusted {
            what: Signed::Commit(*commit),
            reason,
        })
    }

    /// Verify a summary: `signatures` is `summary.sig`. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`Untrusted`] when what is asked for is not there.
    pub fn verify_summary(
        &self,
        bytes: &[u8],
        signatures: Option<&[u8]>,
        now: u64,
    ) -> Result<Verdict, Untrusted> {
        let keyring = self.policy.gpg_summary.then_some(&self.keyring);
        verify(keyring, self.summary.as_deref(), bytes, signatures, now).map_err(|reason| {
            Untrusted {
                what: Signed::Summary,
                reason,
            }
        })
    }
}

fn verify(
    keyring: Option<&Keyring>,
    verifiers: Option<&[Verifier]>,
    bytes: &[u8],
    detached: Option<&[u8]>,
    now: u64,
) -> Result<Verdict, Reason> {
    if keyring.is_none() && verifiers.is_none() {
        return Ok(Verdict::default());
    }
    let metadata = detached.map(Metadata::from_bytes).transpose();
    let metadata = metadata.map_err(|_| Reason::Damaged {
        gpg: keyring.is_some(),
    })?;
    let gpg = keyring.map(|keys| gpg(keys, bytes, metadata.as_ref(), now));
    let gpg = gpg.transpose()?;
    let sign = verifiers.map(|keys| sign(keys, bytes, metadata.as_ref()));
    Ok(Verdict {
        gpg,
        sign: sign.transpose()?,
    })
}

fn gpg(
    keyring: &Keyring,
    bytes: &[u8],
    metadata: Option<&Metadata>,
    now: u64,
) -> Result<Verification, Reason> {
    let metadata = metadata.ok_or(Reason::NoGpgSignature)?;
    let signatures = detached::list(metadata, Scheme::Gpg).map_err(|_| Reason::WrongType)?;
    if signatures.is_empty() {
        return Err(Reason::NoGpgSignature);
    }
    let verification = gpg::verify(bytes, &signatures, keyring, &gpg::Policy::default(), now);
    if verification.require_valid().is_err() {
        return Err(Reason::Gpg(verification));
    }
    Ok(verification)
}

/// One kind with a valid signature is enough.
fn sign(
    verifiers: &[Verifier],
    bytes: &[u8],
    metadata: Option<&Metadata>,
) -> Result<Verified, Reason> {
    let metadata = metadata.ok_or(Reason::NoSignature)?;
    let mut errors = Vec::new();
    for verifier in verifiers {
        if metadata.get(verifier.scheme().metadata_key()).is_none() {
            continue;
        }
        match verifier.verify(bytes, metadata) {
            Ok(verified) => return Ok(verified),
            Err(error) => errors.push(error),
        }
    }
    let others = errors.len().saturating_sub(1);
    let first = errors.into_iter().next();
    Err(first.map_or(Reason::OtherKinds, |error| Reason::Sign { error, others }))
}
