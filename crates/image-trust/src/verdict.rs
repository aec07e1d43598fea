//! What came out, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a policy says about an image, with all that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the image may be used.
    pub accepted: bool,
    /// The policy, and the scope in it that applies.
    pub policy: String,
    /// The scope in it that applies.
    pub scope: String,
    /// The manifest that was judged.
    pub digest: String,
    /// What was found for each requirement, in order.
    pub findings: Vec<Finding>,
}

/// What was found for one requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind of the requirement.
    pub requirement: String,
    /// Whether it is met.
    pub met: bool,
    /// Who vouches for the image, if anybody has to.
    pub signer: Option<Signer>,
    /// Why it is met or not, where that is not plain from the rest.
    pub because: Option<String>,
    /// The signatures that were looked at and do not count.
    pub refused: Vec<Attempt>,
}

/// Who vouches for an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// `gpg` or `sigstore`.
    pub kind: String,
    /// The key: a fingerprint, the file it is in, or whom its certificate is for.
    pub key: String,
    /// The name that the signature is for.
    pub identity: Option<String>,
    /// When it was made, as it says itself; in seconds since 1970.
    pub made: Option<u64>,
    /// When a transparency log took it up, where one vouches for that; in seconds since 1970.
    #[serde(default)]
    pub logged: Option<u64>,
    /// Where the signature was.
    pub place: String,
}

/// A signature that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Where it was.
    pub place: String,
    /// Why it does not count.
    pub because: String,
}

impl Verdict {
    /// Who vouches for the image.
    pub fn signers(&self) -> impl Iterator<Item = &Signer> {
        self.findings
            .iter()
            .filter_map(|finding| finding.signer.as_ref())
    }

    /// Why the image is refused, in one line.
    #[must_use]
    pub fn refusal(&self) -> String {
        let unmet = self.findings.iter().find(|finding| !finding.met);
        unmet.map_or_else(String::new, Finding::to_string)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.requirement)?;
        if let Some(signer) = &self.signer {
            write!(f, ": signed with {}", signer.key)?;
        }
        if let Some(because) = &self.because {
            write!(f, ": {because}")?;
        }
        for (n, attempt) in self.refused.iter().enumerate().filter(|_| !self.met) {
            let separator = if n == 0 { " (" } else { "; " };
            write!(f, "{separator}{}: {}", attempt.place, attempt.because)?;
        }
        if !self.met && !self.refused.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}
