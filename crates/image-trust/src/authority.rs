//! Whose sigstore signatures count: keys, or what certificates are traced back to; and the logs that must
//! have taken the signatures up.

use crate::certificate::{self, Certificate, Roots};
use crate::der::{self, UTF8_STRING};
use crate::evidence::Evidence;
use crate::key::Key;
use crate::policy::{Fulcio, Pki, SigstoreSigned};
use crate::signatures::ReadFile;
use crate::sources::Sources;

/// Extensions of Fulcio's certificates, 1.3.6.1.4.1.57264.1 and one more number (Fulcio, "OID info").
macro_rules! fulcio_extension {
    ($number:literal) => {
        &[
            0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, $number,
        ]
    };
}
/// Who vouched for the login, as bare text.
const ISSUER: &[u8] = fulcio_extension!(1);
/// The same in DER.
const ISSUER_2: &[u8] = fulcio_extension!(8);
const BUILD_SIGNER: &[u8] = fulcio_extension!(9);

/// What a requirement trusts.
#[derive(Debug)]
pub(crate) struct Authority<'a> {
    who: Who<'a>,
    logs: Option<Vec<Key>>,
}

#[derive(Debug)]
enum Who<'a> {
    Keys(Vec<Key>),
    Fulcio(Roots, &'a Fulcio),
    Pki(Roots, &'a Pki),
}

/// Who made a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vouched {
    /// The key's origin, or whom the certificate is for.
    pub(crate) signer: String,
    /// When a log took the signature up, if one vouches for that; in seconds since 1970.
    pub(crate) logged: Option<u64>,
}

impl<'a> Authority<'a> {
    /// Reads the keys and certificates that a requirement names.
    pub(crate) fn load(
        requirement: &'a SigstoreSigned,
        read: ReadFile<'_>,
    ) -> Result<Self, String> {
        let logs = Sources::new(
            requirement.rekor_public_key_path.as_ref(),
            requirement.rekor_public_key_paths.as_ref(),
            requirement.rekor_public_key_data.as_ref(),
            requirement.rekor_public_key_datas.as_ref(),
        );
        let logs = requirement.asks_for_log().then(|| keys(&logs, read));
        let who = match (&requirement.fulcio, &requirement.pki) {
            (Some(fulcio), _) => Who::Fulcio(fulcio.roots(read)?, fulcio),
            (None, Some(pki)) => Who::Pki(pki.roots(read)?, pki),
            (None, None) => {
                let sources = Sources::new(
                    requirement.key_path.as_ref(),
                    requirement.key_paths.as_ref(),
                    requirement.key_data.as_ref(),
                    requirement.key_datas.as_ref(),
                );
                Who::Keys(keys(&sources, read)?)
            }
        };
        Ok(Self {
            who,
            logs: logs.transpose()?,
        })
    }

    /// Who made the signature, if that is somebody trusted. `now`: in seconds since 1970.
    pub(crate) fn vouches(&self, evidence: &Evidence, now: u64) -> Result<Vouched, String> {
        match &self.who {
            Who::Keys(keys) => self.by_key(keys, evidence),
            Who::Fulcio(roots, fulcio) => {
                let (certificate, along) = evidence.certificate()?;
                let logged = self.logged(evidence, certificate.der())?;
                let moment = logged.ok_or(
                    "the log does not vouch for the time, without which its certificate counts for \
                     nothing; signed timestamps are not supported",
                )?;
                roots.verify(certificate, along, moment)?;
                let signer = fulcio.admits(certificate)?;
                made_by(&certificate.key()?, evidence)?;
                Ok(Vouched { signer, logged })
            }
            Who::Pki(roots, pki) => {
                let (certificate, along) = evidence.certificate()?;
                roots.verify(certificate, along, now)?;
                let signer = pki.admits(certificate)?;
                made_by(&certificate.key()?, evidence)?;
                Ok(Vouched {
                    signer,
                    logged: None,
                })
            }
        }
    }

    fn by_key(&self, keys: &[Key], evidence: &Evidence) -> Result<Vouched, String> {
        let mut keys = keys.iter();
        let key = keys.find(|key| made_by(key, evidence).is_ok());
        let key = key.ok_or("no trusted key made it")?;
        Ok(Vouched {
            signer: key.origin.clone(),
            logged: self.logged(evidence, &key.der)?,
        })
    }

    /// That a log has taken up the signature of a key or certificate, if that is asked for; the time when
    /// it did.
    fn logged(&self, evidence: &Evidence, signer: &[u8]) -> Result<Option<u64>, String> {
        let Some(logs) = &self.logs else {
            return Ok(None);
        };
        let entries = evidence.entries.as_ref().map_err(String::clone)?;
        let mut failure = "it does not say that a transparency log has it".to_owned();
        for entry in entries {
            match entry.verify(logs, evidence, signer) {
                Ok(time) => return Ok(time),
                Err(because) => failure = because,
            }
        }
        Err(failure)
    }
}

impl Evidence {
    fn certificate(&self) -> Result<(&Certificate, &[Certificate]), String> {
        match &self.certificates {
            Ok(Some((leaf, along))) => Ok((leaf, along)),
            Ok(None) => Err("it comes without a certificate".to_owned()),
            Err(because) => Err(because.clone()),
        }
    }
}

fn made_by(key: &Key, evidence: &Evidence) -> Result<(), String> {
    let made = key.verifies(&evidence.message, &evidence.signature);
    made.then_some(())
        .ok_or_else(|| "the key of its certificate did not make it".to_owned())
}

impl Fulcio {
    fn roots(&self, read: ReadFile<'_>) -> Result<Roots, String> {
        let sources = Sources::new(self.ca_path.as_ref(), None, self.ca_data.as_ref(), None);
        Ok(Roots {
            roots: certificates(&sources, read)?,
            intermediates: Vec::new(),
        })
    }

    /// For whom the certificate is, if that is who is wanted.
    fn admits(&self, certificate: &Certificate) -> Result<String, String> {
        let issuer = issuer(certificate)?;
        if issuer != self.oidc_issuer {
            return Err(format!(
                "{issuer:?} vouched for its maker, and the policy asks for {:?}",
                self.oidc_issuer
            ));
        }
        let (emails, uris) = (certificate.emails(), certificate.uris());
        let builder = certificate.extension(BUILD_SIGNER).and_then(text);
        let builder: Vec<&str> = builder.into_iter().collect();
        one_of(self.subject_email.as_deref(), &emails)?;
        one_of(self.subject_uri.as_deref(), &uris)?;
        one_of(self.build_signer_uri.as_deref(), &builder)?;
        let subject = [
            &self.subject_email,
            &self.subject_uri,
            &self.build_signer_uri,
        ];
        let subject = subject.into_iter().find_map(Option::as_deref);
        Ok(format!("{} ({issuer})", subject.unwrap_or_default()))
    }
}

impl Pki {
    fn roots(&self, read: ReadFile<'_>) -> Result<Roots, String> {
        let roots = Sources::new(
            self.ca_roots_path.as_ref(),
            None,
            self.ca_roots_data.as_ref(),
            None,
        );
        let between = Sources::new(
            self.ca_intermediates_path.as_ref(),
            None,
            self.ca_intermediates_data.as_ref(),
            None,
        );
        Ok(Roots {
            roots: certificates(&roots, read)?,
            intermediates: certificates(&between, read)?,
        })
    }

    fn admits(&self, certificate: &Certificate) -> Result<String, String> {
        one_of(self.subject_email.as_deref(), &certificate.emails())?;
        if let Some(host) = &self.subject_hostname
            && !certificate.is_for_host(host)
        {
            return Err(format!("its certificate is not for the host {host:?}"));
        }
        let subject = self
            .subject_email
            .as_ref()
            .or(self.subject_hostname.as_ref());
        Ok(subject.cloned().unwrap_or_default())
    }
}

/// What is wanted, if anything is, must be among what was found.
fn one_of(wanted: Option<&str>, found: &[&str]) -> Result<(), String> {
    match wanted {
        Some(wanted) if !found.contains(&wanted) => Err(format!(
            "its certificate is for {found:?}, and the policy asks for {wanted:?}"
        )),
        _ => Ok(()),
    }
}

/// Who vouched for the login; both ways to say so must agree.
fn issuer(certificate: &Certificate) -> Result<&str, String> {
    let first = certificate.extension(ISSUER);
    let first = first.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let second = certificate.extension(ISSUER_2).and_then(text);
    match (first, second) {
        (Some(first), Some(second)) if first != second => Err(format!(
            "its certificate names two issuers, {first:?} and {second:?}"
        )),
        (first, second) => first
            .or(second)
            .ok_or_else(|| "its certificate does not say who vouched for its maker".to_owned()),
    }
}

fn text(content: &[u8]) -> Option<&str> {
    let bytes = der::only(content, UTF8_STRING).ok()?;
    std::str::from_utf8(bytes).ok()
}

fn keys(sources: &Sources<'_>, read: ReadFile<'_>) -> Result<Vec<Key>, String> {
    let loaded = sources.load(read)?;
    let parse = |(origin, bytes): &(String, Vec<u8>)| Key::from_pem(origin, bytes);
    loaded.iter().map(parse).collect()
}

fn certificates(sources: &Sources<'_>, read: ReadFile<'_>) -> Result<Vec<Certificate>, String> {
    let mut found = Vec::new();
    for (origin, bytes) in sources.load(read)? {
        found.extend(certificate::from_pem(&origin, &bytes)?);
    }
    Ok(found)
}
