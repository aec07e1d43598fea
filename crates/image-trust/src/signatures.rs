//! Finding the signatures of an image.

use oci::context::Context;
use oci::digest::Digest;
use oci::manifest::Document;
use oci::reference::ImageReference;
use oci::registry::{Attachments, fetch_file};
use oci::source;
use oci::spec::{Descriptor, ImageManifest};

use crate::evidence::Evidence;

/// Longest signature, statement or bundle that is read, in bytes.
const LONGEST: u64 = 4 << 20;
/// How many signatures of one image are looked at.
const MOST: usize = 128;

const COSIGN_PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A signature, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Where it was found.
    pub place: Place,
    pub(crate) content: Content,
}

/// Where a signature was found; prints as an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub(crate) String);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A signed OpenPGP message.
    Simple(Vec<u8>),
    /// A statement and a signature over it.
    Cosign(Box<Evidence>),
    /// A sigstore bundle.
    Bundle(Vec<u8>),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a file of this machine; none when there is no such file.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&str) -> std::io::Result<Option<Vec<u8>>>;

/// The simple signatures of a manifest below a lookaside address: `BASE/REPOSITORY@sha256=HEX/signature-1`
/// and so on, up to the first that is missing.
pub(crate) fn in_lookaside(
    base: &str,
    repository: &str,
    digest: &Digest,
    read: ReadFile<'_>,
    context: &Context,
) -> Result<Vec<Signature>, String> {
    let base = base.trim_end_matches('/');
    let (algorithm, hex) = (digest.algorithm().name(), digest.hex());
    let mut found = Vec::new();
    for n in 1..=MOST {
        let address = format!("{base}/{repository}@{algorithm}={hex}/signature-{n}");
        let failed = |cause: &dyn std::fmt::Display| format!("cannot read {address}: {cause}");
        let bytes = match address.strip_prefix("file://") {
            Some(path) => read(path).map_err(|cause| failed(&cause))?,
            None => fetch_file(&address, LONGEST, context).map_err(|cause| failed(&cause))?,
        };
        let Some(bytes) = bytes else {
            break;
        };
        found.push(Signature {
            place: Place(address),
            content: Content::Simple(bytes),
        });
    }
    Ok(found)
}

/// The sigstore signatures of a manifest in its registry: by the tag that cosign and skopeo use, and
/// bundles that refer to the manifest.
pub(crate) fn in_registry(
    reference: &ImageReference,
    digest: &Digest,
    context: &Context,
) -> Result<Vec<Signature>, source::Error> {
    let attachments = Attachments::open(reference, context)?;
    let tag = format!("{}-{}.sig", digest.algorithm().name(), digest.hex());
    let mut found = Vec::new();
    if let Some(document) = attachments.tagged(&tag)?
        && let Some(manifest) = manifest_of(&document)
    {
        for layer in manifest.layers().iter().take(MOST) {
            found.extend(cosign(&attachments, &tag, layer)?);
        }
    }
    let referrers = attachments.referrers(digest)?;
    for referrer in referrers
        .iter()
        .filter(|referrer| is_bundle(referrer))
        .take(MOST)
    {
        found.extend(bundle(&attachments, referrer)?);
    }
    Ok(found)
}

/// A manifest that need not be one of an image.
fn manifest_of(document: &Document) -> Option<ImageManifest> {
    serde_json::from_slice(document.bytes()).ok()
}

fn is_bundle(referrer: &Descriptor) -> bool {
    let kind = referrer.artifact_type();
    // The list that stands under a tag need not say what it lists, and cosign's names the type of an empty
    // configuration there.
    let kind = kind.as_ref().map(ToString::to_string);
    kind.is_none_or(|kind| kind.starts_with(BUNDLE) || kind == EMPTY)
}

fn cosign(
    attachments: &Attachments,
    tag: &str,
    layer: &Descriptor,
) -> Result<Option<Signature>, source::Error> {
    let Some(annotations) = layer.annotations() else {
        return Ok(None);
    };
    if layer.media_type().to_string() != COSIGN_PAYLOAD {
        return Ok(None);
    }
    let payload = attachments.blob(layer, LONGEST)?;
    let evidence = Evidence::from_annotations(&payload, annotations);
    Ok(evidence.map(|evidence| Signature {
        place: Place(format!("tag {tag}, {}", layer.digest())),
        content: Content::Cosign(Box::new(evidence)),
    }))
}

fn bundle(
    attachments: &Attachments,
    referrer: &Descriptor,
) -> Result<Option<Signature>, source::Error> {
    let Some(manifest) = manifest_of(&attachments.document(referrer)?) else {
        return Ok(None);
    };
    let layer = manifest
        .layers()
        .iter()
        .find(|layer| layer.media_type().to_string().starts_with(BUNDLE));
    let Some(layer) = layer else {
        return Ok(None);
    };
    let bytes = attachments.blob(layer, LONGEST)?;
    Ok(Some(Signature {
        place: Place(format!("referrer {}", referrer.digest())),
        content: Content::Bundle(bytes),
    }))
}
