//! Registries, spoken to by the OCI distribution protocol (distribution specification 1.1, which is
//! Docker's registry API v2).
//!
//! One [`open`]ed image keeps its connections, its access token and what it learnt about the
//! registry; it may be used from several threads.
//!
//! - HTTPS is tried first. Plain HTTP is used only for loopback addresses and for registries that
//!   the context calls insecure.
//! - Credentials are sent to the registry and to the token server it names, and nowhere else: a
//!   redirect to another host goes without.
//! - What failed in a way that may pass is tried again, with growing pauses and within bounds. A
//!   blob that breaks off is continued where it stopped.

use std::io::Read;
use std::sync::Arc;

use oci_spec::image::Descriptor;

use crate::context::Context;
use crate::digest::{Digest, VerifyError};
use crate::manifest::Document;
use crate::platform::Platform;
use crate::reference::{ImageReference, RegistryReference};
use crate::source::{self, ImageSource, blob_digest};

mod access;
mod blob;
mod challenge;
mod client;
mod error;
mod patience;
mod url;
mod waiting;
mod wire;

pub use ca_roots::{CaRoots, CaRootsError};
pub use error::{CredentialUse, Detail, Error, Problem, Wanted};

use blob::ResumingBlob;
use client::Client;

/// Opens an image in a registry. Nothing is sent yet.
///
/// # Errors
/// The name is not a registry reference.
pub fn open(
    reference: &ImageReference,
    context: &Context,
) -> Result<Box<dyn ImageSource>, source::Error> {
    let name: RegistryReference = reference.name.parse()?;
    Ok(Box::new(Registry {
        reference: reference.clone(),
        platform: context.platform.clone(),
        client: Arc::new(Client::new(name, context)),
    }))
}

#[derive(Debug)]
struct Registry {
    reference: ImageReference,
    platform: Platform,
    client: Arc<Client>,
}

impl Registry {
    fn error(&self, problem: Problem) -> source::Error {
        match problem {
            Problem::Interrupted(interrupted) => interrupted.into(),
            problem => Box::new(self.client.error(problem)).into(),
        }
    }

    fn content_error(&self, cause: VerifyError) -> source::Error {
        source::Error::Content {
            reference: self.reference.clone(),
            cause: Box::new(cause),
        }
    }
}

impl ImageSource for Registry {
    fn reference(&self) -> &ImageReference {
        &self.reference
    }

    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn top(&self) -> Result<Document, source::Error> {
        let name = self.client.name();
        let fetched = self.client.manifest(&name.wanted());
        let fetched = fetched.map_err(|problem| self.error(problem))?;
        let media_type = fetched.media_type.as_deref();
        if let Some(digest) = name.digest() {
            let pinned = Document::pinned(fetched.bytes, media_type, digest);
            return pinned.map_err(|cause| self.content_error(cause));
        }
        check_announced(&fetched.bytes, fetched.announced.as_deref())
            .map_err(|cause| self.content_error(cause))?;
        Ok(Document::new(fetched.bytes, media_type))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, source::Error> {
        let digest = blob_digest(&self.reference, descriptor)?;
        let fetched = self.client.manifest(&digest.to_string());
        let fetched = fetched.map_err(|problem| self.error(problem))?;
        Document::described(fetched.bytes, descriptor, &digest)
            .map_err(|cause| self.content_error(cause))
    }

    fn open_blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, source::Error> {
        let digest = blob_digest(&self.reference, descriptor)?;
        let client = Arc::clone(&self.client);
        let blob = ResumingBlob::open(client, digest, descriptor.size(), offset);
        match blob {
            Ok(blob) => Ok(Box::new(blob)),
            Err(problem) => Err(self.error(problem)),
        }
    }
}

/// Compares a manifest with the digest that the registry announced for it. One that is not a digest
/// we know is not an announcement.
fn check_announced(bytes: &[u8], announced: Option<&str>) -> Result<(), VerifyError> {
    let Some(expected) = announced.and_then(|text| text.parse::<Digest>().ok()) else {
        return Ok(());
    };
    let actual = Digest::of(expected.algorithm(), bytes);
    if actual == expected {
        return Ok(());
    }
    Err(VerifyError::Mismatch { expected, actual })
}
