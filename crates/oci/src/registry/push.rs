//! Writing images to a registry (distribution specification 1.1, "Push").
//!
//! The digest of a blob is known only at its end. Where there is a place for it, a large one is kept until
//! then, and goes out only if the registry lacks it; without one, it goes out in chunks while it is
//! written. What looks like a manifest is held back until the end: a registry takes manifests by another
//! way than blobs, and only once it has everything that they refer to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use oci_spec::image::Descriptor;
use rustix::fs::{Mode, OFlags};
use ureq::http::{Method, Uri, header};

use super::client::{Client, Upload};
use super::error::{Problem, Wanted};
use super::url;
use super::wire::{header_text, protocol};
use crate::context::Context;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::limits;
use crate::reference::{ImageReference, Transport};
use crate::registries::Endpoint;
use crate::sink::{BlobSink, ImageSink, WriteError, Written};
use crate::source;

/// How much of a blob goes out at once, in bytes. Some registries take no less than 5 MiB.
const CHUNK: usize = 8 << 20;
const OCTETS: &str = "application/octet-stream";

/// An image that is being written to a repository of a registry.
#[derive(Debug)]
pub struct RegistryWriter {
    client: Arc<Client>,
    /// What may be manifests, by digest.
    held_back: BTreeMap<Digest, Vec<u8>>,
    /// Where large blobs are kept.
    scratch: Option<Arc<OwnedFd>>,
    /// For the names of other repositories.
    context: Context,
}

impl RegistryWriter {
    /// For the repository that a reference names; its tag is the caller's business. Mirrors are not
    /// written to. Nothing is sent yet.
    ///
    /// # Errors
    /// The name is not a registry reference.
    pub fn create(reference: &ImageReference, context: &Context) -> Result<Self, source::Error> {
        let name = super::full_name(reference, context)?;
        let sources = context.registries.sources(&name)?;
        let endpoint = sources.into_iter().next_back();
        let endpoint = endpoint.unwrap_or(Endpoint {
            name,
            insecure: false,
            by: None,
        });
        Ok(Self {
            client: Arc::new(Client::new(endpoint, context, true)),
            held_back: BTreeMap::new(),
            scratch: context.scratch.clone(),
            context: context.clone(),
        })
    }

    fn error(&self, problem: Problem) -> WriteError {
        write_error(&self.client, problem)
    }

    /// Sends a manifest, after those that it refers to.
    fn send_manifest(&self, descriptor: &Descriptor, name: &str) -> Result<(), WriteError> {
        let digest = Digest::try_from(descriptor.digest()).ok();
        let Some(bytes) = digest.and_then(|digest| self.held_back.get(&digest)) else {
            let wanted = Wanted::Manifest(descriptor.digest().to_string());
            let detail = super::Detail::default();
            return Err(self.error(Problem::NotFound { wanted, detail }));
        };
        for part in parts_of(bytes) {
            self.send_manifest(&part, part.digest().as_ref())?;
        }
        let upload = Upload {
            method: Method::PUT,
            content_type: descriptor.media_type().to_string(),
            range: None,
            body: bytes.clone(),
        };
        let wanted = Wanted::Manifest(name.to_owned());
        let mut patience = self.client.patience();
        loop {
            let sent = self
                .client
                .upload_to(&format!("manifests/{name}"), &upload, &wanted);
            match sent {
                Ok(_) => return Ok(()),
                Err(problem) => patience
                    .after(problem)
                    .map_err(|problem| self.error(problem))?,
            }
        }
    }
}

fn write_error(client: &Client, problem: Problem) -> WriteError {
    WriteError::Registry(Box::new(client.error(problem)))
}

/// The manifests that an index refers to; none for anything else.
fn parts_of(bytes: &[u8]) -> Vec<Descriptor> {
    let index = serde_json::from_slice::<oci_spec::image::ImageIndex>(bytes);
    index.map_or_else(|_| Vec::new(), |index| index.manifests().clone())
}

fn looks_like_manifest(bytes: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versioned {
        #[serde(rename = "schemaVersion")]
        _version: u32,
    }
    bytes.starts_with(b"{") && serde_json::from_slice::<Versioned>(bytes).is_ok()
}

impl ImageSink for RegistryWriter {
    fn has_blob(&self, digest: &Digest) -> Result<bool, WriteError> {
        if self.held_back.contains_key(digest) {
            return Ok(true);
        }
        self.client
            .has_blob(digest)
            .map_err(|problem| self.error(problem))
    }

    fn take_over(&mut self, digest: &Digest, from: &ImageReference) -> Result<bool, WriteError> {
        if self.has_blob(digest)? {
            return Ok(true);
        }
        if from.transport != Transport::Registry {
            return Ok(false);
        }
        let Ok(other) = super::full_name(from, &self.context) else {
            return Ok(false);
        };
        if other.registry() != self.client.name().registry() {
            return Ok(false);
        }
        let mounted = self.client.mount(digest, other.repository());
        mounted.map_err(|problem| self.error(problem))
    }

    fn blob(&mut self) -> Result<Box<dyn BlobSink + '_>, WriteError> {
        Ok(Box::new(RegistryBlob {
            client: Arc::clone(&self.client),
            scratch: self.scratch.clone(),
            kept: None,
            held_back: &mut self.held_back,
            hasher: Hasher::new(Algorithm::Sha256),
            size: 0,
            chunk: Vec::new(),
            session: None,
        }))
    }

    fn finish(self: Box<Self>, manifest: &Descriptor, tag: Option<&str>) -> Result<(), WriteError> {
        let digest = manifest.digest().to_string();
        self.send_manifest(manifest, tag.unwrap_or(&digest))
    }
}

/// A blob on its way.
struct RegistryBlob<'w> {
    client: Arc<Client>,
    held_back: &'w mut BTreeMap<Digest, Vec<u8>>,
    hasher: Hasher,
    size: u64,
    scratch: Option<Arc<OwnedFd>>,
    /// What was before the chunk, if it has not gone out.
    kept: Option<File>,
    /// What has not gone out yet.
    chunk: Vec<u8>,
    /// Where it goes to; none as long as it fits in one chunk.
    session: Option<Uri>,
}

impl RegistryBlob<'_> {
    /// The chunk is full: it goes where it is kept, or out.
    fn pass_chunk(&mut self) -> io::Result<()> {
        let Some(scratch) = &self.scratch else {
            let sent = self.send_chunk();
            return sent.map_err(|problem| self.client.stream_error(problem));
        };
        if self.kept.is_none() {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            let file = rustix::fs::openat(scratch, ".", flags, Mode::RUSR | Mode::WUSR)?;
            self.kept = Some(File::from(file));
        }
        if let Some(kept) = &mut self.kept {
            kept.write_all(&self.chunk)?;
        }
        self.chunk.clear();
        Ok(())
    }

    /// Sends what was kept, unless the registry has the blob by now.
    fn send_kept(&mut self, digest: &Digest) -> Result<(), WriteError> {
        let client = Arc::clone(&self.client);
        let failed = |problem| write_error(&client, problem);
        if self.session.is_none() && self.client.has_blob(digest).map_err(failed)? {
            return Ok(());
        }
        let Some(mut kept) = self.kept.take() else {
            return self.send_rest(digest).map_err(failed);
        };
        let lost = |source| {
            WriteError::Io(durable::Error {
                verb: "read back",
                path: "a blob that is to be sent".into(),
                source,
            })
        };
        let rest = std::mem::take(&mut self.chunk);
        let length = self.size - rest.len() as u64;
        self.size = 0;
        kept.seek(SeekFrom::Start(0)).map_err(lost)?;
        let mut left = kept.take(length).chain(&*rest);
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            left.by_ref()
                .take(CHUNK as u64)
                .read_to_end(&mut chunk)
                .map_err(lost)?;
            self.size += chunk.len() as u64;
            self.chunk = chunk;
            if self.chunk.len() < CHUNK {
                return self.send_rest(digest).map_err(failed);
            }
            self.send_chunk().map_err(failed)?;
        }
    }

    fn send_chunk(&mut self) -> Result<(), Problem> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.client.begin_upload()?,
        };
        let body = std::mem::take(&mut self.chunk);
        let start = self.size - body.len() as u64;
        let upload = Upload {
            method: Method::PATCH,
            content_type: OCTETS.to_owned(),
            range: Some(format!("{start}-{}", self.size.saturating_sub(1))),
            body,
        };
        self.session = Some(self.client.upload_part(&session, &upload)?);
        Ok(())
    }

    fn send_rest(&mut self, digest: &Digest) -> Result<(), Problem> {
        if self.session.is_some() && !self.chunk.is_empty() {
            self.send_chunk()?;
        }
        let session = match self.session.take() {
            Some(session) => session,
            None => self.client.begin_upload()?,
        };
        let target = url::with_query(&session.to_string(), &[("digest", &digest.to_string())]);
        let upload = Upload {
            method: Method::PUT,
            content_type: OCTETS.to_owned(),
            range: None,
            body: std::mem::take(&mut self.chunk),
        };
        let wanted = Wanted::Blob(digest.clone());
        let uri = self.client.uri(&target)?;
        self.client.upload(&uri, &upload, &wanted).map(drop)
    }
}

impl Write for RegistryBlob<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.chunk.len() >= CHUNK {
            self.pass_chunk()?;
        }
        let n = buf.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&buf[..n]);
        self.hasher.update(&buf[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobSink for RegistryBlob<'_> {
    fn finish(mut self: Box<Self>) -> Result<Written, WriteError> {
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(Algorithm::Sha256));
        let (digest, size) = (hasher.finish(), self.size);
        let is_whole = self.session.is_none() && self.kept.is_none() && size <= limits::MANIFEST;
        if is_whole && looks_like_manifest(&self.chunk) {
            let bytes = std::mem::take(&mut self.chunk);
            self.held_back.insert(digest.clone(), bytes);
        } else {
            self.send_kept(&digest)?;
        }
        Ok(Written { digest, size })
    }
}

impl Client {
    fn has_blob(&self, digest: &Digest) -> Result<bool, Problem> {
        let mut patience = self.patience();
        loop {
            match self.blob_exists(digest) {
                Ok(()) => return Ok(true),
                Err(Problem::NotFound { .. }) => return Ok(false),
                Err(problem) => patience.after(problem)?,
            }
        }
    }

    /// Lets a blob of another repository of the registry be one of this, too; whether it is.
    fn mount(&self, digest: &Digest, from: &str) -> Result<bool, Problem> {
        let query = [("mount", &*digest.to_string()), ("from", from)];
        let path = url::with_query("blobs/uploads/", &query);
        let upload = Upload {
            method: Method::POST,
            content_type: OCTETS.to_owned(),
            range: None,
            body: Vec::new(),
        };
        match self.upload_to(&path, &upload, &Wanted::Upload) {
            // A registry that cannot do it begins an upload, of which nothing comes.
            Ok(answer) => Ok(answer.response.status().as_u16() == 201),
            // Whoever may not read the other repository sends the bytes.
            Err(Problem::Forbidden { .. } | Problem::Refused { .. }) => Ok(false),
            Err(Problem::NotFound { .. } | Problem::Unauthenticated { .. }) => Ok(false),
            Err(problem) => Err(problem),
        }
    }

    /// Where the parts of a new blob go to.
    fn begin_upload(&self) -> Result<Uri, Problem> {
        let upload = Upload {
            method: Method::POST,
            content_type: OCTETS.to_owned(),
            range: None,
            body: Vec::new(),
        };
        let mut patience = self.patience();
        loop {
            match self.upload_to("blobs/uploads/", &upload, &Wanted::Upload) {
                Ok(answer) => return next_session(&answer),
                Err(problem) => patience.after(problem)?,
            }
        }
    }

    /// Sends a part, once: whether a part that failed was taken is not known.
    fn upload_part(&self, session: &Uri, upload: &Upload) -> Result<Uri, Problem> {
        let answer = self.upload(session, upload, &Wanted::Upload)?;
        next_session(&answer)
    }
}

fn next_session(answer: &super::client::Answer) -> Result<Uri, Problem> {
    header_text(&answer.response, header::LOCATION)
        .and_then(|location| url::join(&answer.uri, location))
        .ok_or_else(|| protocol(&answer.uri, "upload without a usable location"))
}
