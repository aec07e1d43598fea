//! Whether an image meets what a policy demands.

use oci::context::Context;
use oci::digest::Digest;
use oci::reference::{ImageReference, RegistryReference, Transport};
use oci::registry::full_name;
use oci::source;
use signature::gpg;

use crate::authority::Authority;
use crate::identity::Identity;
use crate::message::Message;
use crate::payload::{Kind, Payload};
use crate::policy::SigstoreSigned;
use crate::signatures::{Content, Signature, in_lookaside, in_registry};
use crate::sources::Sources;
use crate::{
    Attempt, Finding, Lookaside, Policy, Requirement, Signer, Verdict, bundle, scope, statement,
};

/// What is to be judged, and by what.
pub struct Question<'a> {
    /// The image, as the user names it.
    pub image: &'a ImageReference,
    /// Its manifest, and the index that names the manifest if there is one: a signature of either
    /// counts.
    pub digests: &'a [Digest],
    /// The policy.
    pub policy: &'a Policy,
    /// What messages call the policy.
    pub policy_origin: &'a str,
    /// Where signatures are.
    pub lookaside: &'a Lookaside,
    /// How registries are reached.
    pub context: &'a Context,
    /// Reads a file of this machine, by its absolute path; none when there is no such file.
    pub read: &'a dyn Fn(&str) -> std::io::Result<Option<Vec<u8>>>,
    /// In seconds since 1970.
    pub now: u64,
}

impl std::fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question")
            .field("image", self.image)
            .field("digests", &self.digests)
            .finish_non_exhaustive()
    }
}

/// Finds the signatures that the policy asks for and says whether the image may be used.
///
/// # Errors
/// The registry's, when signatures that it may have cannot be fetched. Whatever else fails makes the
/// verdict a refusal that says so.
pub fn verify(question: &Question<'_>) -> Result<Verdict, source::Error> {
    let name = match question.image.transport {
        Transport::Registry => Some(full_name(question.image, question.context)?),
        _ => None,
    };
    let scopes = match &name {
        Some(name) => scope::of_registry(name),
        None => scope::of_path(question.image),
    };
    let transport = scope::transport_name(question.image.transport);
    let (scope, requirements) = question.policy.requirements(transport, &scopes);
    let judge = Judge {
        question,
        name,
        scopes,
    };
    let findings: Result<Vec<_>, _> = requirements.iter().map(|r| judge.finding(r)).collect();
    let findings = findings?;
    let digest = question.digests.first().map(Digest::to_string);
    Ok(Verdict {
        accepted: findings.iter().all(|finding| finding.met),
        policy: question.policy_origin.to_owned(),
        scope,
        digest: digest.unwrap_or_default(),
        findings,
    })
}

struct Judge<'a> {
    question: &'a Question<'a>,
    /// None when the image does not come from a registry, and so has no signatures.
    name: Option<RegistryReference>,
    scopes: Vec<String>,
}

impl Judge<'_> {
    fn finding(&self, requirement: &Requirement) -> Result<Finding, source::Error> {
        let mut finding = Finding {
            requirement: requirement.name().to_owned(),
            met: false,
            signer: None,
            because: None,
            refused: Vec::new(),
        };
        match requirement {
            Requirement::InsecureAcceptAnything => {
                finding.met = true;
                finding.because = Some("no signature is asked for".to_owned());
            }
            Requirement::Reject => {
                finding.because = Some("the policy rejects the image".to_owned());
            }
            Requirement::SignedBy {
                key_path,
                key_paths,
                key_data,
                signed_identity,
                ..
            } => {
                let (path, data) = (key_path.as_ref(), key_data.as_ref());
                let sources = Sources::new(path, key_paths.as_ref(), data, None);
                self.judge_simple(&sources, signed_identity, &mut finding);
            }
            Requirement::SigstoreSigned(requirement) => {
                self.judge_sigstore(requirement, &mut finding)?;
            }
        }
        Ok(finding)
    }

    fn judge_simple(&self, sources: &Sources<'_>, identity: &Identity, finding: &mut Finding) {
        let judged = self.keyring(sources).and_then(|keyring| {
            let signatures = self.simple_signatures()?;
            self.first_valid(&signatures, finding, |signature| {
                self.check_simple(signature, &keyring, identity)
            });
            Ok(())
        });
        if let Err(because) = judged {
            finding.because = Some(because);
        }
    }

    fn judge_sigstore(
        &self,
        requirement: &SigstoreSigned,
        finding: &mut Finding,
    ) -> Result<(), source::Error> {
        let authority = match Authority::load(requirement, self.question.read) {
            Ok(authority) => authority,
            Err(because) => {
                finding.because = Some(because);
                return Ok(());
            }
        };
        if self.name.is_some() && !self.question.lookaside.uses_attachments(&self.scopes) {
            let text = "signatures in the registry are not used: set use-sigstore-attachments in a file \
                        of /etc/containers/registries.d";
            finding.because = Some(text.to_owned());
            return Ok(());
        }
        let mut signatures = Vec::new();
        for digest in self.question.digests.iter().filter(|_| self.name.is_some()) {
            let question = self.question;
            signatures.extend(in_registry(question.image, digest, question.context)?);
        }
        self.first_valid(&signatures, finding, |signature| {
            self.check_sigstore(signature, &authority, requirement.signed_identity.as_ref())
        });
        Ok(())
    }

    /// Looks for a signature that counts, and notes why others do not.
    fn first_valid(
        &self,
        signatures: &[Signature],
        finding: &mut Finding,
        check: impl Fn(&Signature) -> Result<Signer, String>,
    ) {
        for signature in signatures {
            match check(signature) {
                Ok(signer) => {
                    finding.met = true;
                    finding.signer = Some(signer);
                    return;
                }
                Err(because) => finding.refused.push(Attempt {
                    place: signature.place.to_string(),
                    because,
                }),
            }
        }
        finding.because = Some(match (&self.name, signatures.len()) {
            (None, _) => "images of this transport have no signatures".to_owned(),
            (_, 0) => "there is no signature".to_owned(),
            (_, count) => format!("none of {count} signatures counts"),
        });
    }

    fn simple_signatures(&self) -> Result<Vec<Signature>, String> {
        let Some(name) = &self.name else {
            return Ok(Vec::new());
        };
        let question = self.question;
        let base = question.lookaside.base(&self.scopes);
        let mut found = Vec::new();
        for digest in question.digests {
            found.extend(in_lookaside(
                base,
                name.repository(),
                digest,
                question.read,
                question.context,
            )?);
        }
        Ok(found)
    }

    fn check_simple(
        &self,
        signature: &Signature,
        keyring: &gpg::Keyring,
        identity: &Identity,
    ) -> Result<Signer, String> {
        let Content::Simple(bytes) = &signature.content else {
            return Err("it is not a simple signature".to_owned());
        };
        let message = Message::parse(bytes)?;
        let signatures: Vec<&[u8]> = message.signatures.iter().map(Vec::as_slice).collect();
        let policy = gpg::Policy::default();
        let verification = gpg::verify(
            &message.content,
            &signatures,
            keyring,
            &policy,
            self.question.now,
        );
        let good = verification.reports.iter().find(|report| report.is_valid());
        let Some(good) = good else {
            let statuses = verification.reports.iter();
            let statuses: Vec<_> = statuses.map(|r| format!("{:?}", r.status)).collect();
            return Err(format!("no trusted key made it ({})", statuses.join(", ")));
        };
        let payload = Payload::parse(&message.content, Kind::Simple)?;
        self.check_payload(&payload, identity)?;
        let key = good.primary.as_ref().map(ToString::to_string);
        Ok(Signer {
            kind: "gpg".to_owned(),
            key: key.unwrap_or_default(),
            identity: Some(payload.name),
            made: payload.made.or(good.made),
            logged: None,
            place: signature.place.to_string(),
        })
    }

    fn check_sigstore(
        &self,
        signature: &Signature,
        authority: &Authority<'_>,
        identity: Option<&Identity>,
    ) -> Result<Signer, String> {
        let now = self.question.now;
        let (vouched, identity, made) = match &signature.content {
            Content::Cosign(evidence) => {
                let vouched = authority.vouches(evidence, now)?;
                let payload = Payload::parse(&evidence.payload, Kind::Cosign)?;
                self.check_payload(&payload, identity.unwrap_or(&Identity::default()))?;
                (vouched, Some(payload.name), payload.made)
            }
            Content::Bundle(bytes) => {
                let evidence = bundle::parse(bytes)?;
                let vouched = authority.vouches(&evidence, now)?;
                let named = statement::named(&evidence.payload)?;
                (vouched, self.check_named(&named, identity)?, None)
            }
            Content::Simple(_) => return Err("it is not a sigstore signature".to_owned()),
        };
        Ok(Signer {
            kind: "sigstore".to_owned(),
            key: vouched.signer,
            identity,
            made,
            logged: vouched.logged,
            place: signature.place.to_string(),
        })
    }

    fn check_payload(&self, payload: &Payload, identity: &Identity) -> Result<(), String> {
        if !self.question.digests.contains(&payload.digest) {
            return Err(format!("it is for another image, {}", payload.digest));
        }
        self.check_name(&payload.name, identity)
    }

    fn check_name(&self, signed: &str, identity: &Identity) -> Result<(), String> {
        let admitted = self
            .name
            .as_ref()
            .is_some_and(|name| identity.admits(name, signed));
        admitted.then_some(()).ok_or_else(|| {
            format!("it is for {signed:?}, which the policy does not take for this image")
        })
    }

    /// A bundle need not say what the image is called. Then its digest is all that is vouched for, which
    /// is enough unless the policy says something about names.
    fn check_named(
        &self,
        named: &[statement::Named],
        identity: Option<&Identity>,
    ) -> Result<Option<String>, String> {
        let mut of_image = named
            .iter()
            .filter(|named| self.question.digests.contains(&named.digest));
        let found = of_image.next().ok_or("it is for another image")?;
        match (&found.name, identity) {
            (Some(name), _) => {
                self.check_name(name, identity.unwrap_or(&Identity::default()))?;
                Ok(Some(name.clone()))
            }
            (None, None) => Ok(None),
            (None, Some(_)) => Err("it names no image, but the policy asks for a name".to_owned()),
        }
    }

    fn keyring(&self, sources: &Sources<'_>) -> Result<gpg::Keyring, String> {
        let mut keyring = gpg::Keyring::new();
        for (origin, bytes) in sources.load(self.question.read)? {
            let added = keyring.add(&bytes);
            added.map_err(|cause| format!("keys of {origin} are unusable: {cause}"))?;
        }
        Ok(keyring)
    }
}
