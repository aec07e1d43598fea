//! Verdicts on commits and summaries.

use std::fmt;

use error_class::{Classified, ErrorClass};
use ostree_format::Checksum;
use signature::gpg::{self, NotTrusted, Verification};
use signature::{Verified, VerifyError};

/// What was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// A commit.
    Commit(Checksum),
    /// A repository's summary.
    Summary,
}

/// What was asked for is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What became of each GPG signature, of which one at least is valid; `None` when GPG was not
    /// asked for.
    pub gpg: Option<Verification>,
    /// The valid signature of another kind; `None` when none was asked for.
    pub sign: Option<Verified>,
}

/// What was asked for is not there: do not use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted {
    /// What is not trusted.
    pub what: Signed,
    /// Why not.
    pub reason: Reason,
}

/// Why something is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A GPG signature was asked for, and there is none.
    NoGpgSignature,
    /// No GPG signature is valid: the verdict on each tells expired, revoked, unknown and bad apart.
    Gpg(Verification),
    /// Signatures of another kind were asked for, and there is none at all.
    NoSignature,
    /// There are signatures, but of other kinds than those that were asked for.
    OtherKinds,
    /// No signature of the kinds that were asked for is valid.
    Sign {
        /// Why the first kind has none.
        error: VerifyError,
        /// How many other kinds have only invalid ones, too.
        others: usize,
    },
    /// What should hold the signatures is damaged.
    Damaged {
        /// Whether GPG signatures were asked for.
        gpg: bool,
    },
    /// The GPG signatures are not a list of byte strings.
    WrongType,
}

impl Untrusted {
    /// What became of each GPG signature, where that is why it is not trusted.
    #[must_use]
    pub const fn verification(&self) -> Option<&Verification> {
        match &self.reason {
            Reason::Gpg(verification) => Some(verification),
            _ => None,
        }
    }

    /// The verdict on the last GPG signature, where that is why it is not trusted.
    #[must_use]
    pub fn gpg(&self) -> Option<NotTrusted> {
        self.verification()?.require_valid().err()
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            Signed::Commit(commit) => write!(f, "Commit {commit}: ")?,
            Signed::Summary => write!(f, "summary: ")?,
        }
        let is_commit = matches!(self.what, Signed::Commit(_));
        match &self.reason {
            Reason::NoGpgSignature if is_commit => f.write_str(
                "GPG verification enabled, but no signatures found (use gpg-verify=false in remote config to disable)",
            ),
            Reason::NoGpgSignature => f.write_str(
                "GPG verification enabled, but no summary signatures found (use gpg-verify-summary=false in remote config to disable)",
            ),
            Reason::Gpg(verification) => {
                f.write_str(&gpg::describe_rejection(verification, &|_| 0))
            }
            Reason::NoSignature if is_commit => {
                f.write_str("Can't verify commit without detached metadata")
            }
            Reason::NoSignature => f.write_str(
                "Signature verification enabled, but no summary signatures found (use sign-verify-summary=false in remote config to disable)",
            ),
            Reason::OtherKinds if is_commit => f.write_str("Can't verify commit: No signatures found"),
            Reason::OtherKinds => f.write_str("No signatures found"),
            Reason::Sign { error, others } => {
                if is_commit {
                    f.write_str("Can't verify commit: ")?;
                }
                if *others > 0 {
                    write!(f, "({others} other invalid signatures): ")?;
                }
                write!(f, "{error}")
            }
            Reason::Damaged { gpg } => {
                f.write_str(match gpg {
                    true => "GPG verification enabled, but no signatures found",
                    false => "No signatures found",
                })?;
                f.write_str(": the file that should hold them is damaged")
            }
            Reason::WrongType => f.write_str("ostree.gpgsigs is not a list of byte strings"),
        }
    }
}

impl std::error::Error for Untrusted {}

impl Classified for Untrusted {
    fn class(&self) -> ErrorClass {
        ErrorClass::Untrusted
    }
}
