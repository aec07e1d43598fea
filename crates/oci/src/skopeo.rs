//! Transports that are left to `skopeo`, as a program: `docker-daemon:`, and `containers-storage:` where it
//! cannot be read at once (see the module `storage`).
//!
//! The image is copied to an OCI directory below the scratch directory of the context and read from
//! there; the directory goes when the image is not needed any more. Layers are not compressed on the
//! way, so that their digests are those of their content, as with other tools that read these
//! transports.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use error_class::{Classified, ErrorClass};
use oci_spec::image::Descriptor;
use progress::Interrupt;

use crate::context::Context;
use crate::layout;
use crate::manifest::Document;
use crate::platform::Platform;
use crate::reference::{ImageReference, Transport};
use crate::source::{self, ImageSource};

/// The tag of the copy.
const TAG: &str = "image";
const POLL: Duration = Duration::from_millis(50);
/// Tells directories of one process apart.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Opens an image by copying it.
///
/// # Errors
/// [`SkopeoError`], or those of reading the copy.
pub fn open(
    reference: &ImageReference,
    context: &Context,
) -> Result<Box<dyn ImageSource>, source::Error> {
    let scratch = Scratch::new(reference, context)?;
    let target = format!("oci:{}:{TAG}", scratch.path().display());
    copy(reference, &target, &context.interrupt)?;
    let copied = ImageReference {
        transport: Transport::OciDir,
        name: format!("{}:{TAG}", scratch.path().display()),
    };
    Ok(Box::new(Copied {
        inner: layout::open_dir(&copied, context)?,
        reference: reference.clone(),
        _scratch: scratch,
    }))
}

/// Copies an image to another reference, in skopeo's syntax. No policy is asked: that is done here.
fn copy(
    reference: &ImageReference,
    target: &str,
    interrupt: &Interrupt,
) -> Result<(), source::Error> {
    let failed = |problem| SkopeoError {
        reference: reference.clone(),
        problem,
    };
    let child = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--quiet"])
        .arg("--dest-oci-accept-uncompressed-layers")
        .arg(reference.to_string())
        .arg(target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => failed(Problem::Missing),
        _ => failed(Problem::Start(cause)),
    })?;
    match wait(child, interrupt).map_err(|cause| failed(Problem::Start(cause)))? {
        Ended::Well => Ok(()),
        Ended::Badly(said) => Err(failed(Problem::Failed(explanation(&said))).into()),
        Ended::Stopped => Err(progress::Interrupted.into()),
    }
}

enum Ended {
    Well,
    /// With this on its standard error.
    Badly(String),
    /// Because somebody asked to stop.
    Stopped,
}

fn wait(mut child: Child, interrupt: &Interrupt) -> io::Result<Ended> {
    let stderr = child.stderr.take();
    // Read at once, so that the program never waits for somebody to listen.
    let listener = std::thread::spawn(move || {
        let mut said = Vec::new();
        let read = stderr.map(|mut stderr| stderr.read_to_end(&mut said));
        drop(read);
        String::from_utf8_lossy(&said).into_owned()
    });
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupt.check().is_err() {
            child.kill()?;
            child.wait()?;
            return Ok(Ended::Stopped);
        }
        std::thread::sleep(POLL);
    };
    if status.success() {
        return Ok(Ended::Well);
    }
    Ok(Ended::Badly(listener.join().unwrap_or_default()))
}

/// What the program said last, without the frame of its log.
fn explanation(said: &str) -> String {
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.unwrap_or("it does not say why");
    let message = last.split_once("msg=").map_or(last, |(_, message)| message);
    message.trim().trim_matches('"').replace("\\\"", "\"")
}

/// An image read from its copy.
#[derive(Debug)]
struct Copied {
    inner: Box<dyn ImageSource>,
    reference: ImageReference,
    _scratch: Scratch,
}

impl ImageSource for Copied {
    fn reference(&self) -> &ImageReference {
        &self.reference
    }

    fn platform(&self) -> &Platform {
        self.inner.platform()
    }

    fn top(&self) -> Result<Document, source::Error> {
        self.inner.top()
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, source::Error> {
        self.inner.document(descriptor)
    }

    fn open_blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, source::Error> {
        self.inner.open_blob(descriptor, offset)
    }
}

/// A directory that goes when it is dropped.
#[derive(Debug)]
struct Scratch {
    base: Arc<OwnedFd>,
    name: PathBuf,
}

impl Scratch {
    fn new(reference: &ImageReference, context: &Context) -> Result<Self, source::Error> {
        let failed = |problem| SkopeoError {
            reference: reference.clone(),
            problem,
        };
        let base = context.scratch.clone();
        let base = base.ok_or_else(|| failed(Problem::NoScratch))?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = PathBuf::from(format!("bootroot-copy-{}-{number}", std::process::id()));
        // One of the same name was left by a process that is dead.
        durable::remove_all(base.as_fd(), &name).map_err(|cause| failed(cause.into()))?;
        durable::create_dir_all(base.as_fd(), &name, 0o700)
            .map_err(|cause| failed(cause.into()))?;
        Ok(Self { base, name })
    }

    /// A path that other processes understand too, as long as this one lives.
    fn path(&self) -> PathBuf {
        let (process, fd) = (std::process::id(), self.base.as_raw_fd());
        Path::new(&format!("/proc/{process}/fd/{fd}")).join(&self.name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in the way of nothing.
        let _left_behind = durable::remove_all(self.base.as_fd(), &self.name);
    }
}

/// `skopeo` did not bring an image.
#[derive(Debug, thiserror::Error)]
#[error("image {reference}: {problem}")]
pub struct SkopeoError {
    /// The image.
    pub reference: ImageReference,
    /// What went wrong.
    pub problem: Problem,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The program is not installed.
    #[error("this transport needs the program skopeo, which is not installed")]
    Missing,
    /// It cannot be started or waited for.
    #[error("cannot run skopeo: {0}")]
    Start(io::Error),
    /// It failed.
    #[error("skopeo says: {0}")]
    Failed(String),
    /// There is no place for the copy.
    #[error("this transport needs a directory for a copy of the image, and there is none")]
    NoScratch,
    /// The place for the copy cannot be written to.
    #[error(transparent)]
    Scratch(#[from] durable::Error),
}

impl From<SkopeoError> for source::Error {
    fn from(error: SkopeoError) -> Self {
        Self::Skopeo(Box::new(error))
    }
}

/// What skopeo says, by what it means.
const MEANINGS: [(&str, ErrorClass); 9] = [
    ("does not resolve to an image", ErrorClass::NotFound),
    ("no such image", ErrorClass::NotFound),
    ("identifier is not an image", ErrorClass::NotFound),
    ("manifest unknown", ErrorClass::NotFound),
    ("unauthorized", ErrorClass::Unauthenticated),
    ("permission denied", ErrorClass::Denied),
    ("no space left", ErrorClass::NoSpace),
    ("cannot connect to the docker daemon", ErrorClass::Network),
    ("connection refused", ErrorClass::Network),
];

impl Classified for SkopeoError {
    fn class(&self) -> ErrorClass {
        match &self.problem {
            Problem::Missing | Problem::NoScratch => ErrorClass::Unsupported,
            Problem::Start(cause) => cause.class(),
            Problem::Failed(said) => {
                let said = said.to_ascii_lowercase();
                let meaning = MEANINGS.iter().find(|(words, _)| said.contains(words));
                meaning.map_or(ErrorClass::Io, |(_, class)| *class)
            }
            Problem::Scratch(cause) => cause.class(),
        }
    }
}
