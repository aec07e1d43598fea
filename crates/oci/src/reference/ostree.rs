//! An image reference together with how its signature is verified.

use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};
use serde::{Deserialize, Serialize};

use super::{ImageReference, ImageReferenceError, Transport};

const SIGNED: &str = "ostree-image-signed";
const UNVERIFIED: &str = "ostree-unverified-image";
const UNVERIFIED_REGISTRY: &str = "ostree-unverified-registry";
const REMOTE: &str = "ostree-remote-image";
const REMOTE_REGISTRY: &str = "ostree-remote-registry";

/// How the signature of an image is verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SignatureSource {
    /// The OSTree commit inside the image must be signed by a key of this OSTree remote.
    OstreeRemote(String),
    /// The container policy must require and accept a signature; a policy that accepts anything by
    /// default is refused.
    ContainerPolicy,
    /// Whatever the container policy says, even when it accepts anything.
    ContainerPolicyAllowInsecure,
}

impl fmt::Display for SignatureSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OstreeRemote(remote) => write!(f, "{REMOTE}:{remote}"),
            Self::ContainerPolicy => f.write_str(SIGNED),
            Self::ContainerPolicyAllowInsecure => f.write_str(UNVERIFIED),
        }
    }
}

impl FromStr for SignatureSource {
    type Err = OstreeImageReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.split_once(':')) {
            (SIGNED, _) => Ok(Self::ContainerPolicy),
            (UNVERIFIED, _) => Ok(Self::ContainerPolicyAllowInsecure),
            (_, Some((REMOTE, remote))) => Ok(Self::OstreeRemote(remote.to_owned())),
            _ => Err(OstreeImageReferenceError::UnknownScheme(text.to_owned())),
        }
    }
}

impl TryFrom<String> for SignatureSource {
    type Error = OstreeImageReferenceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SignatureSource> for String {
    fn from(source: SignatureSource) -> Self {
        source.to_string()
    }
}

/// An image and how its signature is verified: what deployments record as their origin.
///
/// | text | same as |
/// |---|---|
/// | `ostree-unverified-registry:NAME` | `ostree-unverified-image:docker://NAME` |
/// | `ostree-unverified-image:TRANSPORT:NAME` | |
/// | `ostree-image-signed:TRANSPORT:NAME` | |
/// | `ostree-remote-registry:REMOTE:NAME` | `ostree-remote-image:REMOTE:docker://NAME` |
/// | `ostree-remote-image:REMOTE:TRANSPORT:NAME` | |
///
/// Printing gives the left form of the first row and the right form of the fourth, as ostree-ext
/// does. The alternate form (`{:#}`) leaves `ostree-unverified-registry:` out and is for humans
/// only: [`OstreeImageReference::from_user`] reads it, [`FromStr`] does not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OstreeImageReference {
    /// How the signature is verified.
    pub sigverify: SignatureSource,
    /// The image.
    pub imgref: ImageReference,
}

impl OstreeImageReference {
    /// An image whose signature nobody requires.
    #[must_use]
    pub fn unverified(imgref: ImageReference) -> Self {
        Self {
            sigverify: SignatureSource::ContainerPolicyAllowInsecure,
            imgref,
        }
    }

    /// What a user typed where an image is expected: any form that [`FromStr`] reads, or a plain
    /// [`ImageReference`] (`registry:...`, `docker://...`, `oci:...`), which means *unverified*.
    ///
    /// A name without any transport is refused: `localhost/os` could be a registry or a directory.
    ///
    /// # Errors
    /// The text has neither form.
    pub fn from_user(text: &str) -> Result<Self, OstreeImageReferenceError> {
        match text.parse() {
            Err(OstreeImageReferenceError::UnknownScheme(_)) => Ok(Self::unverified(text.parse()?)),
            parsed => parsed,
        }
    }
}

impl fmt::Display for OstreeImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unverified = self.sigverify == SignatureSource::ContainerPolicyAllowInsecure;
        if !unverified || self.imgref.transport != Transport::Registry {
            return write!(f, "{}:{}", self.sigverify, self.imgref);
        }
        if f.alternate() {
            write!(f, "{}", self.imgref)
        } else {
            write!(f, "{UNVERIFIED_REGISTRY}:{}", self.imgref.name)
        }
    }
}

impl FromStr for OstreeImageReference {
    type Err = OstreeImageReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        let (sigverify, imgref) = match scheme {
            SIGNED => (SignatureSource::ContainerPolicy, rest.parse()?),
            UNVERIFIED => return Ok(Self::unverified(rest.parse()?)),
            UNVERIFIED_REGISTRY => return Ok(Self::unverified(in_registry(rest)?)),
            REMOTE => {
                let (remote, rest) = split_remote(text, rest)?;
                (SignatureSource::OstreeRemote(remote), rest.parse()?)
            }
            REMOTE_REGISTRY => {
                let (remote, rest) = split_remote(text, rest)?;
                (SignatureSource::OstreeRemote(remote), in_registry(rest)?)
            }
            _ => return Err(OstreeImageReferenceError::UnknownScheme(text.to_owned())),
        };
        Ok(Self { sigverify, imgref })
    }
}

fn in_registry(name: &str) -> Result<ImageReference, ImageReferenceError> {
    format!("registry:{name}").parse()
}

fn split_remote<'a>(
    text: &str,
    rest: &'a str,
) -> Result<(String, &'a str), OstreeImageReferenceError> {
    rest.split_once(':')
        .map(|(remote, rest)| (remote.to_owned(), rest))
        .ok_or_else(|| OstreeImageReferenceError::NoRemote(text.to_owned()))
}

impl TryFrom<String> for OstreeImageReference {
    type Error = OstreeImageReferenceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<OstreeImageReference> for String {
    fn from(reference: OstreeImageReference) -> Self {
        reference.to_string()
    }
}

/// The text is not an [`OstreeImageReference`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OstreeImageReferenceError {
    /// It does not begin with one of the five words.
    #[error(
        "{0:?} does not say how the image is verified: begin with ostree-unverified-registry:, \
         ostree-unverified-image:, ostree-image-signed:, ostree-remote-registry: or \
         ostree-remote-image:"
    )]
    UnknownScheme(String),
    /// The form needs the name of an OSTree remote.
    #[error("{0:?} lacks the name of an ostree remote and a colon before the image")]
    NoRemote(String),
    /// What follows is not an image reference.
    #[error(transparent)]
    Image(#[from] ImageReferenceError),
}

impl Classified for OstreeImageReferenceError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(name: &str) -> SignatureSource {
        SignatureSource::OstreeRemote(name.to_owned())
    }

    // Input, verification, canonical image, canonical text: facts of ostree-ext 0.15.3.
    fn forms() -> Vec<(&'static str, SignatureSource, &'static str, &'static str)> {
        use SignatureSource::{ContainerPolicy, ContainerPolicyAllowInsecure};
        let image = "docker://quay.io/exampleos/blah";
        let remote_text = "ostree-remote-image:myremote:docker://quay.io/exampleos/blah";
        let unverified_text = "ostree-unverified-registry:quay.io/exampleos/blah";
        vec![
            (
                "ostree-remote-image:myremote:registry:quay.io/exampleos/blah",
                remote("myremote"),
                image,
                remote_text,
            ),
            (
                "ostree-remote-registry:myremote:quay.io/exampleos/blah",
                remote("myremote"),
                image,
                remote_text,
            ),
            (
                "ostree-remote-image:r:oci:/d:t",
                remote("r"),
                "oci:/d:t",
                "ostree-remote-image:r:oci:/d:t",
            ),
            (
                "ostree-image-signed:docker://quay.io/exampleos/blah",
                ContainerPolicy,
                image,
                "ostree-image-signed:docker://quay.io/exampleos/blah",
            ),
            (
                "ostree-image-signed:registry:quay.io/exampleos/blah",
                ContainerPolicy,
                image,
                "ostree-image-signed:docker://quay.io/exampleos/blah",
            ),
            (
                "ostree-unverified-image:docker://quay.io/exampleos/blah",
                ContainerPolicyAllowInsecure,
                image,
                unverified_text,
            ),
            (
                "ostree-unverified-image:registry:quay.io/exampleos/blah",
                ContainerPolicyAllowInsecure,
                image,
                unverified_text,
            ),
            (
                unverified_text,
                ContainerPolicyAllowInsecure,
                image,
                unverified_text,
            ),
            (
                "ostree-unverified-image:oci-archive:/a.tar:t",
                ContainerPolicyAllowInsecure,
                "oci-archive:/a.tar:t",
                "ostree-unverified-image:oci-archive:/a.tar:t",
            ),
            (
                "ostree-unverified-registry:localhost:5000/os@sha256:abc",
                ContainerPolicyAllowInsecure,
                "docker://localhost:5000/os@sha256:abc",
                "ostree-unverified-registry:localhost:5000/os@sha256:abc",
            ),
        ]
    }

    #[test]
    fn every_form_parses_and_prints_as_ostree_ext_does() {
        for (text, sigverify, image, canonical) in forms() {
            let parsed: OstreeImageReference = text.parse().unwrap();
            assert_eq!(parsed.sigverify, sigverify, "{text}");
            assert_eq!(parsed.imgref.to_string(), image, "{text}");
            assert_eq!(parsed.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse::<OstreeImageReference>().unwrap(), parsed);
            assert_eq!(OstreeImageReference::from_user(text).unwrap(), parsed);
        }
    }

    #[test]
    fn the_alternate_form_is_short_only_for_unverified_registries() {
        for (text, alternate) in [
            (
                "ostree-unverified-registry:quay.io/a/b",
                "docker://quay.io/a/b",
            ),
            (
                "ostree-image-signed:docker://quay.io/a/b",
                "ostree-image-signed:docker://quay.io/a/b",
            ),
            (
                "ostree-unverified-image:oci:/d",
                "ostree-unverified-image:oci:/d",
            ),
        ] {
            let parsed: OstreeImageReference = text.parse().unwrap();
            assert_eq!(format!("{parsed:#}"), alternate);
            assert_eq!(OstreeImageReference::from_user(alternate).unwrap(), parsed);
        }
    }

    #[test]
    fn users_may_leave_the_verification_out() {
        for (typed, canonical) in [
            (
                "registry:quay.io/a/b",
                "ostree-unverified-registry:quay.io/a/b",
            ),
            (
                "docker://quay.io/a/b",
                "ostree-unverified-registry:quay.io/a/b",
            ),
            ("oci:/d:t", "ostree-unverified-image:oci:/d:t"),
        ] {
            assert!(typed.parse::<OstreeImageReference>().is_err(), "{typed}");
            let parsed = OstreeImageReference::from_user(typed).unwrap();
            assert_eq!(parsed.to_string(), canonical);
        }
        for bad in ["quay.io/a/b", "localhost:5000/a", "", "docker:x", "oci:"] {
            let error = OstreeImageReference::from_user(bad).unwrap_err();
            assert!(
                matches!(error, OstreeImageReferenceError::Image(_)),
                "{bad}"
            );
        }
    }

    #[test]
    fn incomplete_forms_are_refused() {
        for bad in [
            "",
            "ostree-unverified-registry",
            "ostree-unverified-registry:",
            "ostree-unverified-image:quay.io/a/b",
            "ostree-image-signed:",
            "ostree-remote-registry:fedora",
            "ostree-remote-image:fedora",
            "ostree-remote-image:fedora:quay.io/a",
            "ostree-nothing:docker://a/b",
        ] {
            assert!(bad.parse::<OstreeImageReference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn signature_sources_round_trip() {
        for (text, source) in [
            ("ostree-image-signed", SignatureSource::ContainerPolicy),
            (
                "ostree-unverified-image",
                SignatureSource::ContainerPolicyAllowInsecure,
            ),
            ("ostree-remote-image:fedora", remote("fedora")),
        ] {
            assert_eq!(text.parse::<SignatureSource>().unwrap(), source);
            assert_eq!(source.to_string(), text);
        }
        for bad in ["", "ostree-remote-image", "ostree-image-signed:x", "x"] {
            assert!(bad.parse::<SignatureSource>().is_err(), "{bad}");
        }
    }

    #[test]
    fn serde_uses_the_canonical_text() {
        let json = r#""ostree-unverified-image:docker://quay.io/a/b""#;
        let parsed: OstreeImageReference = serde_json::from_str(json).unwrap();
        let printed = serde_json::to_string(&parsed).unwrap();
        assert_eq!(printed, r#""ostree-unverified-registry:quay.io/a/b""#);
    }

    proptest::proptest! {
        #[test]
        fn what_is_accepted_prints_as_something_equal(
            scheme in "(ostree-(image-signed|(unverified|remote)-(image|registry)))?",
            rest in "(:[a-z]{0,4})?:(registry|docker|oci|dir)?(:|//)?[a-z/.:@]{0,12}",
        ) {
            let text = format!("{scheme}{rest}");
            if let Ok(parsed) = text.parse::<OstreeImageReference>() {
                let printed = parsed.to_string();
                proptest::prop_assert_eq!(printed.parse::<OstreeImageReference>().unwrap(), parsed);
            }
        }
    }
}
