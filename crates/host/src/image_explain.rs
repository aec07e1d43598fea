//! Whether images are signed as the system's policy asks.

use std::path::{Path, PathBuf};

use error_class::{Classified, ErrorClass};
use image_trust::{Lookaside, LookasideError, Policy, PolicyError, Question, Verdict};
use oci::context::Context;
use oci::digest::Digest;
use oci::manifest::Manifest;
use oci::reference::{ImageReference, OstreeImageReference, SignatureSource};
use oci::source::{Error as SourceError, ImageSource, open};
use progress::Interrupt;
use serde::Serialize;

use crate::text::text;
use crate::{Access, AccessError};

const SYSTEM_POLICY: &str = "/etc/containers/policy.json";
const SYSTEM_LOOKASIDE: &str = "/etc/containers/registries.d";

/// Why an image must not be used, or that cannot be found out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A signature is required, and nothing says by whom.
    #[error("{image} must be signed, but there is no policy {policy} that says by whom")]
    NoPolicy {
        /// The image.
        image: Box<OstreeImageReference>,
        /// Where the policy would be.
        policy: String,
    },
    /// A signature is required, and the policy takes what has none.
    #[error(
        "{image} must be signed, but policy {policy} accepts by default what is not: set its default to \
         \"reject\" and name for this image the key that it is signed with"
    )]
    AcceptsByDefault {
        /// The image.
        image: Box<OstreeImageReference>,
        /// The policy.
        policy: String,
    },
    /// The policy refuses the image.
    #[error(
        "policy {policy} ({scope}) refuses {image}: {refusal}; `bootroot image verify --explain` tells more"
    )]
    Refused {
        /// The image.
        image: Box<OstreeImageReference>,
        /// The policy.
        policy: String,
        /// What in it applies.
        scope: String,
        /// Why.
        refusal: String,
    },
    /// A policy that was asked for is not there.
    #[error("there is no image policy {}", .0.display())]
    Missing(PathBuf),
    /// The way to the image, or the configuration.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The policy cannot be understood.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Where signatures are cannot be understood.
    #[error(transparent)]
    Lookaside(#[from] LookasideError),
    /// The image, its registry, or the signatures in it.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
}

impl Classified for TrustError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoPolicy { .. } | Self::AcceptsByDefault { .. } | Self::Refused { .. } => {
                ErrorClass::Untrusted
            }
            Self::Missing(_) => ErrorClass::NotFound,
            Self::Access(error) => error.class(),
            Self::Policy(error) => error.class(),
            Self::Lookaside(error) => error.class(),
            Self::Source(error) => error.class(),
        }
    }
}

/// Whether an image is trusted, and why (`docs/image-trust.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    schema: &'static str,
    /// The image.
    #[serde(serialize_with = "text")]
    pub image: OstreeImageReference,
    /// Whether it may be used.
    pub trusted: bool,
    /// Why it may not, before any signature was looked at.
    pub refused: Option<String>,
    /// What the policy says; null when there is none.
    pub verdict: Option<Verdict>,
}

/// The policy of the system, with what belongs to it.
struct Trust {
    origin: String,
    policy: Policy,
    lookaside: Lookaside,
}

/// Says whether an image is trusted and why; fetches its manifest and its signatures, but no layer.
///
/// # Errors
/// [`TrustError`], but for refusals, which are in the explanation.
pub fn image_explain(
    image: &OstreeImageReference,
    access: &Access,
    now: u64,
    interrupt: &Interrupt,
) -> Result<Explanation, TrustError> {
    let context = access.context(&image.imgref, interrupt)?;
    let source = open(&image.imgref, &context).map_err(Box::new)?;
    let manifest = source.manifest().map_err(Box::new)?.manifest;
    let trust = access.trust()?;
    let refused = match require_policy(image, trust.as_ref()) {
        Err(error) => Some(error.to_string()),
        Ok(()) => None,
    };
    let judged = trust.as_ref().map(|trust| {
        trust.judge(
            image,
            source.as_ref(),
            manifest.digest(),
            access,
            &context,
            now,
        )
    });
    let verdict = judged.transpose()?;
    let accepted = verdict.as_ref().is_none_or(|verdict| verdict.accepted);
    Ok(Explanation {
        schema: "bootroot.image-trust/1",
        image: image.clone(),
        trusted: accepted && refused.is_none(),
        refused,
        verdict,
    })
}

/// Lets only images pass that the policy takes. What is required of an image without a policy on this
/// system passes as it is, unless its reference asks for one.
pub(crate) fn enforce(
    image: &OstreeImageReference,
    source: &dyn ImageSource,
    digest: &Digest,
    access: &Access,
    context: &Context,
    now: u64,
) -> Result<Option<Verdict>, TrustError> {
    let trust = access.trust()?;
    require_policy(image, trust.as_ref())?;
    let Some(trust) = trust else {
        return Ok(None);
    };
    let verdict = trust.judge(image, source, digest, access, context, now)?;
    if verdict.accepted {
        return Ok(Some(verdict));
    }
    Err(TrustError::Refused {
        image: Box::new(image.clone()),
        refusal: verdict.refusal(),
        policy: verdict.policy,
        scope: verdict.scope,
    })
}

/// Lets only an image pass that the policy takes, and says which that is.
pub(crate) fn admit(
    image: &OstreeImageReference,
    source: &dyn ImageSource,
    access: &Access,
    context: &Context,
    now: u64,
) -> Result<Digest, TrustError> {
    let manifest = source.manifest().map_err(Box::new)?.manifest;
    let digest = manifest.digest();
    enforce(image, source, digest, access, context, now)?;
    Ok(digest.clone())
}

/// As [`admit`], for all that the reference names: an index must be signed itself.
pub(crate) fn admit_whole(
    image: &OstreeImageReference,
    source: &dyn ImageSource,
    access: &Access,
    context: &Context,
    now: u64,
) -> Result<Digest, TrustError> {
    let digest = source.top().map_err(Box::new)?.digest().clone();
    enforce(image, source, &digest, access, context, now)?;
    Ok(digest)
}

/// A plain reference asks for nothing itself; the policy of the system counts in any case.
pub(crate) fn by_policy(imgref: ImageReference) -> OstreeImageReference {
    OstreeImageReference {
        sigverify: SignatureSource::ContainerPolicyAllowInsecure,
        imgref,
    }
}

/// A reference that asks for the container policy needs one that does not take everything.
fn require_policy(image: &OstreeImageReference, trust: Option<&Trust>) -> Result<(), TrustError> {
    if image.sigverify != SignatureSource::ContainerPolicy {
        return Ok(());
    }
    let image = Box::new(image.clone());
    match trust {
        None => Err(TrustError::NoPolicy {
            image,
            policy: SYSTEM_POLICY.to_owned(),
        }),
        Some(trust) if trust.policy.accepts_by_default() => Err(TrustError::AcceptsByDefault {
            image,
            policy: trust.origin.clone(),
        }),
        Some(_) => Ok(()),
    }
}

impl Trust {
    /// A signature of the manifest counts, and one of the index that names it.
    fn judge(
        &self,
        image: &OstreeImageReference,
        source: &dyn ImageSource,
        digest: &Digest,
        access: &Access,
        context: &Context,
        now: u64,
    ) -> Result<Verdict, TrustError> {
        let read = |path: &str| {
            let bytes = access.read_bytes(Path::new(path));
            bytes.map_err(|error| std::io::Error::other(error.to_string()))
        };
        let verify = |digests: &[Digest]| {
            let question = Question {
                image: &image.imgref,
                digests,
                policy: &self.policy,
                policy_origin: &self.origin,
                lookaside: &self.lookaside,
                context,
                read: &read,
                now,
            };
            image_trust::verify(&question).map_err(Box::new)
        };
        let verdict = verify(std::slice::from_ref(digest))?;
        if verdict.accepted {
            return Ok(verdict);
        }
        match index_above(source, digest)? {
            Some(index) => Ok(verify(&[digest.clone(), index])?),
            None => Ok(verdict),
        }
    }
}

/// The digest of the index that the reference names, if it names the manifest in turn.
fn index_above(source: &dyn ImageSource, digest: &Digest) -> Result<Option<Digest>, TrustError> {
    let top = source.top().map_err(Box::new)?;
    let index = top.digest().clone();
    let Ok(Manifest::Index(parsed)) = top.parse() else {
        return Ok(None);
    };
    let wanted = digest.to_string();
    let mut entries = parsed.index().manifests().iter();
    let names_it = entries.any(|entry| entry.digest().to_string() == wanted);
    Ok(names_it.then_some(index))
}

impl Access {
    /// The policy: the one that was named, the user's, or the system's; none when there is none.
    fn trust(&self) -> Result<Option<Trust>, TrustError> {
        let user = self.user_configuration.as_deref();
        let usual = user.map(|dir| dir.join("policy.json")).into_iter();
        let usual = usual.chain([PathBuf::from(SYSTEM_POLICY)]);
        let candidates: Vec<PathBuf> = match &self.signature_policy {
            Some(chosen) => vec![chosen.clone()],
            None => usual.collect(),
        };
        for path in candidates {
            if let Some(bytes) = self.read_bytes(&path)? {
                let origin = path.display().to_string();
                return Ok(Some(Trust {
                    policy: Policy::parse(&origin, &bytes)?,
                    origin,
                    lookaside: self.lookaside()?,
                }));
            }
        }
        match &self.signature_policy {
            Some(chosen) => Err(TrustError::Missing(chosen.clone())),
            None => Ok(None),
        }
    }

    /// What registries.d says: the named or the user's directory if it is there, or the system's.
    fn lookaside(&self) -> Result<Lookaside, TrustError> {
        let mut lookaside = Lookaside::default();
        let user = self.user_configuration.as_deref();
        let user = user.map(|dir| dir.join("registries.d"));
        let chosen = self.lookaside_dir.clone().or(user);
        let chosen = chosen.map(|dir| Ok::<_, AccessError>((self.names_in(&dir)?, dir)));
        let (names, dir) = match chosen.transpose()? {
            Some((names, dir)) if !names.is_empty() => (names, dir),
            _ => {
                let dir = PathBuf::from(SYSTEM_LOOKASIDE);
                (self.names_in(&dir)?, dir)
            }
        };
        for name in names.iter().filter(|name| name.ends_with(".yaml")) {
            let path = dir.join(name);
            if let Some(bytes) = self.read_bytes(&path)? {
                lookaside.add(&path.to_string_lossy(), &String::from_utf8_lossy(&bytes))?;
            }
        }
        Ok(lookaside)
    }
}
