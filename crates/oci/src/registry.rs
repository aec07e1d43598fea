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
//!   blob that breaks off is continued where it stopped, by a later process too if the context says
//!   where [parts](crate::parts) are kept.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use oci_spec::image::Descriptor;

use crate::context::Context;
use crate::digest::{Digest, VerifyError};
use crate::manifest::Document;
use crate::parts::Parts;
use crate::platform::Platform;
use crate::reference::{ImageReference, RegistryReference};
use crate::source::{self, ImageSource, blob_digest};

mod access;
mod attachments;
mod blob;
mod challenge;
mod check;
mod client;
mod error;
mod kept;
mod patience;
mod push;
mod tls;
mod url;
mod waiting;
mod wire;

pub use attachments::{Attachments, fetch_file};
pub use ca_roots::{CaRoots, CaRootsError};
pub use check::{Checked, Wants, check};
pub use error::{CredentialUse, Detail, Error, Problem, Wanted};
pub use push::RegistryWriter;

use blob::ResumingBlob;
use client::Client;
use kept::KeptBlob;
pub(crate) use url::is_loopback;

/// Opens an image in a registry, or wherever configuration says that its images come from. Nothing is
/// sent yet.
///
/// # Errors
/// The name is not a registry reference, or configuration does not let it be fetched.
pub fn open(
    reference: &ImageReference,
    context: &Context,
) -> Result<Box<dyn ImageSource>, source::Error> {
    Ok(Box::new(Registry::new(reference, context)?))
}

/// The full name of an image: aliases are looked up, and what is left out is put in.
///
/// # Errors
/// It is not a registry reference.
pub fn full_name(
    reference: &ImageReference,
    context: &Context,
) -> Result<RegistryReference, source::Error> {
    let alias = context.registries.alias_of(&reference.name);
    Ok(alias.as_deref().unwrap_or(&reference.name).parse()?)
}

fn clients(name: &RegistryReference, context: &Context) -> Result<Vec<Arc<Client>>, source::Error> {
    let endpoints = context.registries.sources(name)?;
    let last = endpoints.len().saturating_sub(1);
    let client = |(at, endpoint)| {
        let client = Client::new(endpoint, context, false);
        Arc::new(if at < last {
            client.impatient()
        } else {
            client
        })
    };
    Ok(endpoints.into_iter().enumerate().map(client).collect())
}

#[derive(Debug)]
struct Registry {
    reference: ImageReference,
    platform: Platform,
    /// One for each place that has the image, in the order in which they are asked.
    clients: Vec<Arc<Client>>,
    /// The one that had the manifest.
    chosen: OnceLock<usize>,
    parts: Option<Parts>,
}

impl Registry {
    fn new(reference: &ImageReference, context: &Context) -> Result<Self, source::Error> {
        Ok(Self {
            reference: reference.clone(),
            platform: context.platform.clone(),
            clients: clients(&full_name(reference, context)?, context)?,
            chosen: OnceLock::new(),
            parts: context.parts.clone(),
        })
    }

    /// Asks one place after the other, the one that had the manifest first.
    fn ask<T>(
        &self,
        question: impl Fn(&Arc<Client>) -> Result<T, source::Error>,
    ) -> Result<T, source::Error> {
        let first = self.chosen.get().copied().unwrap_or(0);
        let others = (0..self.clients.len()).filter(|at| *at != first);
        let mut failed: Vec<source::Error> = Vec::new();
        for at in std::iter::once(first).chain(others) {
            match question(&self.clients[at]) {
                Ok(answer) => {
                    // Only the first choice counts.
                    let _chosen_before = self.chosen.set(at);
                    return Ok(answer);
                }
                Err(source::Error::Interrupted(cause)) => return Err(cause.into()),
                Err(error) => {
                    tracing::debug!(%error, "this place does not have it");
                    failed.push(error);
                }
            }
        }
        Err(in_sum(failed))
    }

    fn top_of(&self, client: &Client) -> Result<Document, source::Error> {
        let name = client.name();
        let fetched = client.manifest(&name.wanted());
        let fetched = fetched.map_err(|problem| client.source_error(problem))?;
        let media_type = fetched.media_type.as_deref();
        if let Some(digest) = name.digest() {
            let pinned = Document::pinned(fetched.bytes, media_type, digest);
            return pinned.map_err(|cause| self.content_error(cause));
        }
        check_announced(&fetched.bytes, fetched.announced.as_deref())
            .map_err(|cause| self.content_error(cause))?;
        Ok(Document::new(fetched.bytes, media_type))
    }

    fn content_error(&self, cause: VerifyError) -> source::Error {
        source::Error::Content {
            reference: self.reference.clone(),
            cause: Box::new(cause),
        }
    }
}

/// The error of the place itself, which comes last, with those of the mirrors.
fn in_sum(mut failed: Vec<source::Error>) -> source::Error {
    let last = failed.pop();
    match last {
        Some(source::Error::Registry(mut error)) => {
            error.mirrors = failed.iter().map(ToString::to_string).collect();
            error.into()
        }
        Some(other) => other,
        // There is always a place to ask.
        None => progress::Interrupted.into(),
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
        self.ask(|client| self.top_of(client))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, source::Error> {
        let digest = blob_digest(&self.reference, descriptor)?;
        self.ask(|client| {
            let fetched = client.manifest(&digest.to_string());
            let fetched = fetched.map_err(|problem| client.source_error(problem))?;
            Document::described(fetched.bytes, descriptor, &digest)
                .map_err(|cause| self.content_error(cause))
        })
    }

    fn open_blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, source::Error> {
        let digest = blob_digest(&self.reference, descriptor)?;
        let size = descriptor.size();
        self.ask(|client| {
            let parts = self.parts.as_ref().filter(|_| offset == 0);
            let part = parts.and_then(|parts| parts.hold(&digest, size));
            let (asked, digest) = (Arc::clone(client), digest.clone());
            let blob: Result<Box<dyn Read + Send>, _> = match part {
                Some(part) => {
                    KeptBlob::open(asked, digest, size, part).map(|blob| Box::new(blob) as _)
                }
                None => {
                    ResumingBlob::open(asked, digest, size, offset).map(|blob| Box::new(blob) as _)
                }
            };
            blob.map_err(|problem| client.source_error(problem))
        })
    }

    fn forget_part(&self, descriptor: &Descriptor) -> bool {
        match (&self.parts, blob_digest(&self.reference, descriptor)) {
            (Some(parts), Ok(digest)) => parts.forget(&digest),
            _ => false,
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
