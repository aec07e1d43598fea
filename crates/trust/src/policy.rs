//! What a remote asks of its commits and its summary.

use ostree::Remote;
use signature::Scheme;

use crate::TrustError;

/// Which kinds of signatures other than GPG are asked for (`sign-verify`, `sign-verify-summary`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Signatures {
    /// None.
    #[default]
    NotVerified,
    /// A valid signature of any kind, by keys of the remote or of the system.
    OfAnyKind,
    /// A valid signature of one of these kinds, by keys of the remote.
    Of(Vec<Scheme>),
}

/// What a remote asks of its commits and its summary. Each part that is asked for must be fulfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whether commits must have a valid GPG signature (`gpg-verify`; unless it is set, they must).
    pub gpg: bool,
    /// Whether the summary must have a valid GPG signature (`gpg-verify-summary`).
    pub gpg_summary: bool,
    /// Signatures of other kinds that commits must have (`sign-verify`).
    pub sign: Signatures,
    /// Signatures of other kinds that the summary must have (`sign-verify-summary`).
    pub sign_summary: Signatures,
}

impl Policy {
    /// The policy in the options of `remote`.
    ///
    /// # Errors
    /// [`TrustError`] when an option cannot be understood: a policy is never weaker than its text.
    pub fn of(remote: &Remote) -> Result<Self, TrustError> {
        Ok(Self {
            gpg: boolean(remote, "gpg-verify")?.unwrap_or(true),
            gpg_summary: boolean(remote, "gpg-verify-summary")?.unwrap_or(false),
            sign: signatures(remote, "sign-verify")?,
            sign_summary: signatures(remote, "sign-verify-summary")?,
        })
    }

    /// Nothing is asked for.
    #[must_use]
    pub const fn nothing() -> Self {
        Self {
            gpg: false,
            gpg_summary: false,
            sign: Signatures::NotVerified,
            sign_summary: Signatures::NotVerified,
        }
    }

    /// Whether anything is asked of commits.
    #[must_use]
    pub fn verifies_commits(&self) -> bool {
        self.gpg || self.sign != Signatures::NotVerified
    }

    /// Whether anything is asked of the summary.
    #[must_use]
    pub fn verifies_summary(&self) -> bool {
        self.gpg_summary || self.sign_summary != Signatures::NotVerified
    }
}

/// As a key file understands it: `true`, `1`, `false` or `0`.
fn truth(value: &str) -> Option<bool> {
    match value.trim_end() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn boolean(remote: &Remote, key: &str) -> Result<Option<bool>, TrustError> {
    let Some(value) = remote.get(key) else {
        return Ok(None);
    };
    let known = truth(value).ok_or_else(|| TrustError::Option {
        remote: remote.name.clone(),
        key: key.to_owned(),
        value: value.to_owned(),
        expected: "true or false",
    });
    known.map(Some)
}

fn signatures(remote: &Remote, key: &str) -> Result<Signatures, TrustError> {
    match remote.get(key) {
        None | Some("") => Ok(Signatures::NotVerified),
        Some(value) => match truth(value) {
            Some(true) => Ok(Signatures::OfAnyKind),
            Some(false) => Ok(Signatures::NotVerified),
            None => {
                let names = list(remote, key, value)?;
                let schemes = names.into_iter().map(scheme);
                Ok(Signatures::Of(schemes.collect::<Result<_, _>>()?))
            }
        },
    }
}

fn scheme(name: &str) -> Result<Scheme, TrustError> {
    let known = Scheme::from_name(name).filter(|scheme| *scheme != Scheme::Gpg);
    known.ok_or_else(|| TrustError::UnknownScheme {
        name: name.to_owned(),
    })
}

/// A list with either separator; what ends with one has no empty element behind it.
pub(crate) fn list<'v>(
    remote: &Remote,
    key: &str,
    value: &'v str,
) -> Result<Vec<&'v str>, TrustError> {
    let separator = match (value.contains(';'), value.contains(',')) {
        (true, true) => {
            return Err(TrustError::Separators {
                remote: remote.name.clone(),
                key: key.to_owned(),
            });
        }
        (true, false) => ';',
        _ => ',',
    };
    let value = value.strip_suffix(separator).unwrap_or(value);
    Ok(value.split(separator).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(options: &[(&str, &str)]) -> Remote {
        let mut remote = Remote::new("r", "http://localhost/").unwrap();
        for (key, value) in options {
            remote.set(key, value);
        }
        remote
    }

    fn sign(value: &str) -> Result<Signatures, TrustError> {
        Policy::of(&remote(&[("sign-verify", value)])).map(|policy| policy.sign)
    }

    #[test]
    fn only_gpg_on_commits_is_asked_for_unless_configured() {
        let policy = Policy::of(&remote(&[])).unwrap();
        let only_gpg = Policy {
            gpg: true,
            ..Policy::nothing()
        };
        assert_eq!(policy, only_gpg);
        let policy = Policy::of(&remote(&[("gpg-verify", "false")])).unwrap();
        assert!(!policy.verifies_commits() && !policy.verifies_summary());
    }

    #[test]
    fn kinds_of_signatures_are_a_truth_or_a_list() {
        let both = Signatures::Of(vec![Scheme::Ed25519, Scheme::Spki]);
        assert_eq!(sign("true").unwrap(), Signatures::OfAnyKind);
        assert_eq!(sign("0").unwrap(), Signatures::NotVerified);
        assert_eq!(sign("").unwrap(), Signatures::NotVerified);
        assert_eq!(sign("ed25519,spki").unwrap(), both);
        assert_eq!(sign("ed25519;spki;").unwrap(), both);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let class = |value| sign(value).unwrap_err().to_string();
        assert!(class("rot13").contains("not implemented"));
        assert!(class("gpg").contains("not implemented"));
        assert!(class("ed25519,spki;dummy").contains("more than one separator"));
        let unclear = Policy::of(&remote(&[("gpg-verify", "maybe")])).unwrap_err();
        assert_eq!(
            unclear.to_string(),
            "gpg-verify=\"maybe\" of remote \"r\" is not true or false"
        );
    }
}
