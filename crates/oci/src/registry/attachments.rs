//! What is kept beside an image: signatures in the same repository, and files of other servers.

use std::io::Read;
use std::sync::Arc;

use oci_spec::image::{Descriptor, ImageIndex};
use ureq::http::Uri;

use super::client::Client;
use super::error::Problem;
use super::wire::{Request, Wire, body_problem, protocol};
use super::{Registry, patience::Patience, url};
use crate::context::Context;
use crate::digest::Digest;
use crate::limits;
use crate::manifest::Document;
use crate::reference::ImageReference;
use crate::source::{self, ImageSource};

/// What is kept beside an image in its registry.
#[derive(Debug)]
pub struct Attachments(Registry);

impl Attachments {
    /// Of an image in a registry. Nothing is sent yet.
    ///
    /// # Errors
    /// As [`open`](super::open).
    pub fn open(reference: &ImageReference, context: &Context) -> Result<Self, source::Error> {
        Ok(Self(Registry::new(reference, context)?))
    }

    /// A manifest of the repository by its tag; none when there is no such tag.
    ///
    /// # Errors
    /// Those of the registry.
    pub fn tagged(&self, tag: &str) -> Result<Option<Document>, source::Error> {
        let fetched = self.0.ask(|client| {
            let fetched = client.manifest(tag);
            fetched.map_err(|problem| client.source_error(problem))
        });
        let fetched = if_there(fetched)?;
        Ok(fetched.map(|fetched| Document::new(fetched.bytes, fetched.media_type.as_deref())))
    }

    /// The manifests that refer to a manifest as their subject (distribution specification 1.1,
    /// "Listing Referrers"), by the tag that stands for the list where the registry does not know how.
    ///
    /// # Errors
    /// Those of the registry; the list is malformed.
    pub fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>, source::Error> {
        let listed = self.0.ask(|client| {
            let listed = client.referrers(digest);
            listed.map_err(|problem| client.source_error(problem))
        });
        let bytes = match if_there(listed)? {
            Some(bytes) => Some(bytes),
            None => {
                let tag = format!("{}-{}", digest.algorithm().name(), digest.hex());
                self.tagged(&tag)?.map(|document| document.bytes().to_vec())
            }
        };
        let Some(bytes) = bytes else {
            return Ok(Vec::new());
        };
        let index: ImageIndex = serde_json::from_slice(&bytes)
            .map_err(|cause| self.malformed(format!("the list of referrers: {cause}")))?;
        Ok(index.manifests().clone())
    }

    /// A manifest by its descriptor, verified.
    ///
    /// # Errors
    /// As [`ImageSource::document`].
    pub fn document(&self, descriptor: &Descriptor) -> Result<Document, source::Error> {
        self.0.document(descriptor)
    }

    /// A blob, verified.
    ///
    /// # Errors
    /// As [`ImageSource::read_blob`].
    pub fn blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, source::Error> {
        self.0.read_blob(descriptor, limit)
    }

    fn malformed(&self, cause: String) -> source::Error {
        let client: &Arc<Client> = &self.0.clients[0];
        client.source_error(Problem::Protocol {
            host: client.name().registry().to_owned(),
            cause,
        })
    }
}

/// What is not there is no failure.
fn if_there<T>(result: Result<T, source::Error>) -> Result<Option<T>, source::Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(source::Error::Registry(error))
            if matches!(
                error.problem,
                Problem::NotFound { .. }
                    | Problem::Refused {
                        status: 400 | 405,
                        ..
                    }
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A file of a web server, without credentials; none when the server does not have it.
///
/// # Errors
/// The address is none, the server fails, or the file has more than `limit` bytes.
pub fn fetch_file(
    address: &str,
    limit: u64,
    context: &Context,
) -> Result<Option<Vec<u8>>, Problem> {
    let uri: Option<Uri> = address.parse().ok();
    let uri = uri
        .filter(|uri| uri.host().is_some())
        .ok_or_else(|| Problem::Protocol {
            host: address.to_owned(),
            cause: "it is not a usable address".to_owned(),
        })?;
    let wire = Wire::new(&url::shown_host(&uri), false, context);
    let mut patience = Patience::new(context.retry, context.interrupt.clone());
    loop {
        match fetch_once(&wire, &uri, limit) {
            Ok(fetched) => return Ok(fetched),
            Err(problem) => patience.after(problem)?,
        }
    }
}

fn fetch_once(wire: &Wire, uri: &Uri, limit: u64) -> Result<Option<Vec<u8>>, Problem> {
    let response = wire.send(uri, &Request::default())?;
    let status = response.status().as_u16();
    match status {
        200 => {}
        404 | 410 => return Ok(None),
        500.. => {
            return Err(Problem::Server {
                status,
                retry_after: None,
                detail: super::error::Detail::default(),
            });
        }
        _ => return Err(protocol(uri, format!("it answers with status {status}"))),
    }
    let mut bytes = Vec::new();
    let reader = response.into_body().into_reader();
    reader
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| body_problem(uri, error))?;
    if bytes.len() as u64 > limit {
        return Err(protocol(
            uri,
            format!("the file has more than {limit} bytes"),
        ));
    }
    Ok(Some(bytes))
}

impl Client {
    /// The list of manifests that refer to one, as it came.
    fn referrers(&self, digest: &Digest) -> Result<Vec<u8>, Problem> {
        let mut patience = self.patience();
        loop {
            match self.read_whole(&format!("referrers/{digest}"), limits::MANIFEST) {
                Ok(bytes) => return Ok(bytes),
                Err(problem) => patience.after(problem)?,
            }
        }
    }
}
