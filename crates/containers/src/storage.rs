//! A store of podman's in a directory.
//!
//! Source of the layout: `containers-storage(1)`; `containers-storage.conf(5)`.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use error_class::{Classified, ErrorClass};
use serde::Deserialize;

/// The list of images, in the store.
const IMAGES: &str = "overlay-images/images.json";

/// Largest list that is read.
const MAX_LIST: u64 = 64 * 1024 * 1024;

/// A store of podman's.
#[derive(Debug)]
pub struct ContainerStore {
    dir: OwnedFd,
    root: PathBuf,
    run: PathBuf,
}

/// An image in a store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct StoredContainerImage {
    /// Its identifier: the digest of its configuration.
    pub id: String,
    /// The digest of its manifest.
    #[serde(default)]
    pub digest: String,
    /// Its names, with registry and tag.
    #[serde(default)]
    pub names: Vec<String>,
}

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Its list cannot be understood.
    #[error("the list of images in {} is damaged", .root.display())]
    Damaged {
        /// The store.
        root: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The program could not be started.
    #[error("cannot start skopeo, which writes to podman's storage: is it installed?")]
    Start(#[source] io::Error),
    /// The program failed.
    #[error("cannot {what}: {said}")]
    Failed {
        /// What it was to do.
        what: String,
        /// What it said.
        said: String,
    },
    /// What was fetched is something else.
    #[error("{image} was fetched with the digest {found}, not with {expected}")]
    Other {
        /// The image.
        image: String,
        /// The digest of what is there.
        found: String,
        /// The digest that was asked for.
        expected: String,
    },
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for StoreError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Damaged { .. } | Self::Other { .. } => ErrorClass::Corrupt,
            Self::Start(error) => error.class(),
            Self::Failed { .. } => ErrorClass::Io,
            Self::Io(error) => error.class(),
        }
    }
}

/// How an image is fetched.
#[derive(Debug, Clone, Default)]
#[expect(clippy::exhaustive_structs, reason = "independent choices")]
pub struct FetchOptions {
    /// Credentials; those that skopeo finds by itself when `None`.
    pub auth_file: Option<PathBuf>,
    /// The only registries.conf to read; the usual ones when `None`.
    pub registries_conf: Option<PathBuf>,
    /// Whether the registry must prove who it is; as registries.conf says when `None`.
    pub tls_verify: Option<bool>,
}

impl ContainerStore {
    /// The store in a directory, and the directory where programs keep what does not outlive the system.
    #[must_use]
    pub fn new(dir: OwnedFd, root: PathBuf, run: PathBuf) -> Self {
        Self { dir, root, run }
    }

    /// Where it is, and where programs keep what does not outlive the system.
    #[must_use]
    pub fn places(&self) -> (&Path, &Path) {
        (&self.root, &self.run)
    }

    /// The images that are in it.
    ///
    /// # Errors
    /// [`StoreError`]; an empty store has none.
    pub fn images(&self) -> Result<Vec<StoredContainerImage>, StoreError> {
        let list = durable::read_optional(self.dir.as_fd(), Path::new(IMAGES), MAX_LIST)?;
        let Some(list) = list.filter(|list| !list.is_empty()) else {
            return Ok(Vec::new());
        };
        serde_json::from_slice(&list).map_err(|source| StoreError::Damaged {
            root: self.root.clone(),
            source,
        })
    }

    /// Whether the image with this full name is there with this digest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has(&self, name: &str, digest: &str) -> Result<bool, StoreError> {
        let has_name = |image: &StoredContainerImage| image.names.iter().any(|one| one == name);
        let found = self.images()?.into_iter().find(has_name);
        Ok(found.is_some_and(|image| image.digest == digest))
    }

    /// Fetch the image of a registry with this digest, and give it this full name; nothing when it is there.
    ///
    /// # Errors
    /// [`StoreError`]; the name has what it had before, or nothing.
    pub fn fetch(
        &self,
        source: &str,
        name: &str,
        digest: &str,
        options: &FetchOptions,
    ) -> Result<bool, StoreError> {
        if self.has(name, digest)? {
            return Ok(false);
        }
        let mut command = Command::new("skopeo");
        if let Some(file) = &options.registries_conf {
            command.arg("--registries-conf").arg(file);
        }
        command.args(["copy", "--quiet"]);
        if let Some(file) = &options.auth_file {
            command.arg("--src-authfile").arg(file);
        }
        if let Some(verify) = options.tls_verify {
            command.arg(format!("--src-tls-verify={verify}"));
        }
        command.arg(format!("docker://{source}"));
        command.arg(self.reference(name));
        run(command, || format!("fetch the bound image {name}"))?;
        if self.has(name, digest)? {
            return Ok(true);
        }
        let mut there = self.images()?.into_iter();
        let found = there.find(|image| image.names.iter().any(|one| one == name));
        Err(StoreError::Other {
            image: name.to_owned(),
            found: found.map_or_else(|| "none".to_owned(), |image| image.digest),
            expected: digest.to_owned(),
        })
    }

    /// Remove an image by its identifier.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove(&self, id: &str) -> Result<(), StoreError> {
        let mut command = Command::new("skopeo");
        command.arg("delete").arg(self.reference(&format!("@{id}")));
        run(command, || format!("remove the image {id}"))
    }

    fn reference(&self, name: &str) -> String {
        let (root, run) = (self.root.display(), self.run.display());
        format!("containers-storage:[overlay@{root}+{run}]{name}")
    }
}

fn run(mut command: Command, what: impl Fn() -> String) -> Result<(), StoreError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(StoreError::Start)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    Err(StoreError::Failed {
        what: what(),
        said: last.unwrap_or("it said nothing").trim().to_owned(),
    })
}
