//! The requirement `sigstoreSigned`.

use serde::Deserialize;

use crate::identity::Identity;

/// A sigstore signature by one of the keys or authorities.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SigstoreSigned {
    /// A file with a key.
    pub key_path: Option<String>,
    /// Files with keys, of which any will do.
    pub key_paths: Option<Vec<String>>,
    /// A key, as Base64.
    pub key_data: Option<String>,
    /// Keys, of which any will do.
    pub key_datas: Option<Vec<String>>,
    /// Short-lived certificates for those who have logged in somewhere.
    pub fulcio: Option<Fulcio>,
    /// Certificates of another authority.
    pub pki: Option<Pki>,
    /// A file with the key of a transparency log that must have taken the signature up.
    pub rekor_public_key_path: Option<String>,
    /// The same, of which any will do.
    pub rekor_public_key_paths: Option<Vec<String>>,
    /// The same, as Base64.
    pub rekor_public_key_data: Option<String>,
    /// The same, of which any will do.
    pub rekor_public_key_datas: Option<Vec<String>>,
    /// For what the signature must be.
    pub signed_identity: Option<Identity>,
}

/// Who must have logged in where to get the certificate. `subjectEmail` is what other programs know;
/// the other two are for what has no e-mail address, as automatic builds. All that are given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fulcio {
    /// A file with the certificates of the authority.
    #[serde(rename = "caPath")]
    pub ca_path: Option<String>,
    /// The same, as Base64.
    #[serde(rename = "caData")]
    pub ca_data: Option<String>,
    /// Who vouches for the login.
    #[serde(rename = "oidcIssuer")]
    pub oidc_issuer: String,
    /// The e-mail address in the certificate.
    #[serde(rename = "subjectEmail")]
    pub subject_email: Option<String>,
    /// The URI in the certificate.
    #[serde(rename = "subjectURI")]
    pub subject_uri: Option<String>,
    /// The URI of the build's instructions, which the authority notes on its own.
    #[serde(rename = "buildSignerURI")]
    pub build_signer_uri: Option<String>,
}

/// Certificates of an authority, and whom they must be for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pki {
    /// A file with the certificates of the authority.
    #[serde(rename = "caRootsPath")]
    pub ca_roots_path: Option<String>,
    /// The same, as Base64.
    #[serde(rename = "caRootsData")]
    pub ca_roots_data: Option<String>,
    /// A file with certificates between those and the signers'.
    #[serde(rename = "caIntermediatesPath")]
    pub ca_intermediates_path: Option<String>,
    /// The same, as Base64.
    #[serde(rename = "caIntermediatesData")]
    pub ca_intermediates_data: Option<String>,
    /// The e-mail address in the certificate.
    #[serde(rename = "subjectEmail")]
    pub subject_email: Option<String>,
    /// The host name or address in the certificate.
    #[serde(rename = "subjectHostname")]
    pub subject_hostname: Option<String>,
}

impl SigstoreSigned {
    /// Whether it asks for a transparency log.
    #[must_use]
    pub fn asks_for_log(&self) -> bool {
        self.kinds_of_log() > 0
    }

    fn kinds_of_log(&self) -> usize {
        count(&[
            self.rekor_public_key_path.is_some(),
            self.rekor_public_key_paths.is_some(),
            self.rekor_public_key_data.is_some(),
            self.rekor_public_key_datas.is_some(),
        ])
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let kinds = count(&[
            self.key_path.is_some(),
            self.key_paths.is_some(),
            self.key_data.is_some(),
            self.key_datas.is_some(),
            self.fulcio.is_some(),
            self.pki.is_some(),
        ]);
        let lists = [
            &self.key_paths,
            &self.key_datas,
            &self.rekor_public_key_paths,
            &self.rekor_public_key_datas,
        ];
        if kinds != 1 {
            return Err("a requirement needs exactly one of its kinds of keys");
        }
        if lists.into_iter().flatten().any(Vec::is_empty) {
            return Err("a list of keys is empty");
        }
        match (self.kinds_of_log(), &self.fulcio, &self.pki) {
            (2.., _, _) => Err("at most one kind of Rekor keys can be given"),
            (0, Some(_), _) => {
                Err("fulcio needs a Rekor key: its certificates are valid for minutes only")
            }
            (1, _, Some(_)) => Err("pki and Rekor keys cannot be combined"),
            (_, Some(fulcio), _) => fulcio.check(),
            (_, _, Some(pki)) => pki.check(),
            _ => Ok(()),
        }
    }
}

impl Fulcio {
    fn check(&self) -> Result<(), &'static str> {
        let subjects = [
            &self.subject_email,
            &self.subject_uri,
            &self.build_signer_uri,
        ];
        if count(&[self.ca_path.is_some(), self.ca_data.is_some()]) != 1 {
            return Err("fulcio needs exactly one of caPath and caData");
        }
        if self.oidc_issuer.is_empty() || !is_somebody(&subjects) {
            return Err("fulcio needs oidcIssuer, and subjectEmail, subjectURI or buildSignerURI");
        }
        Ok(())
    }
}

impl Pki {
    fn check(&self) -> Result<(), &'static str> {
        if count(&[self.ca_roots_path.is_some(), self.ca_roots_data.is_some()]) != 1 {
            return Err("pki needs exactly one of caRootsPath and caRootsData");
        }
        if self.ca_intermediates_path.is_some() && self.ca_intermediates_data.is_some() {
            return Err("pki takes at most one of caIntermediatesPath and caIntermediatesData");
        }
        if !is_somebody(&[&self.subject_email, &self.subject_hostname]) {
            return Err("pki needs subjectEmail or subjectHostname");
        }
        Ok(())
    }
}

fn count(given: &[bool]) -> usize {
    given.iter().filter(|given| **given).count()
}

/// At least one is given, and none is empty.
fn is_somebody(subjects: &[&Option<String>]) -> bool {
    let mut given = subjects.iter().copied().flatten().peekable();
    given.peek().is_some() && given.all(|subject| !subject.is_empty())
}
