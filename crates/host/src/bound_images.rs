//! Logically bound images: fetched before a system that binds them may boot, and removed when none does any more.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::PathBuf;
use std::thread;

use containers::{
    BOUND_IMAGES, BoundImage, BoundImageError, ContainerStore, FetchOptions, StoreError,
};
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use oci::reference::{
    ImageReference, OstreeImageReference, RegistryReference, RegistryReferenceError, Transport,
};
use ostree::{ReadError, Repo};
use ostree_format::Checksum;
use progress::{Interrupt, Progress};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use sysroot::{LoadError, Sysroot};

use crate::{Access, AccessError, ContainerError, fetch_manifest};

/// Where the store is, below the physical root; podman finds it by a link in the image.
const STORE: &str = "ostree/bootc/storage";
/// What programs keep meanwhile: below `/run`, and below a physical root that does not run.
const RUN: &str = "bootc/storage";
const RUN_OFFLINE: &str = "ostree/bootc/storage-run";

/// Largest unit that is read.
const MAX_UNIT: u64 = 1024 * 1024;
/// How many links lead to a unit at most.
const MAX_LINKS: usize = 16;
/// How many images are fetched at once.
const AT_ONCE: usize = 4;

/// An image that is bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoundImageStatus {
    /// Its name, with registry and tag.
    pub image: String,
    /// The digest of its manifest; nothing when it is not there.
    pub digest: Option<String>,
}

/// Images that a system binds are not there. It does not boot then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoundError {
    /// It is a file, where there have to be links.
    #[error("{BOUND_IMAGES}/{0} of the image is no symbolic link")]
    NoLink(String),
    /// A link leads nowhere.
    #[error("{BOUND_IMAGES}/{0} of the image leads to no file")]
    Dangling(String),
    /// A unit cannot be understood.
    #[error("{BOUND_IMAGES}/{file} of the image is damaged")]
    Unit {
        /// Its name.
        file: String,
        /// What is wrong.
        #[source]
        source: BoundImageError,
    },
    /// The name of an image cannot be understood.
    #[error("the bound image {image:?} cannot be understood")]
    Name {
        /// The name.
        image: String,
        /// What is wrong.
        #[source]
        source: RegistryReferenceError,
    },
    /// It is not known which image that is.
    #[error("cannot find the bound image {image}; nothing was staged")]
    Resolve {
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: Box<ContainerError>,
    },
    /// It is gone again.
    #[error("the bound image {0} is not in the store any more; repeat the command")]
    Gone(String),
    /// The store cannot be used.
    #[error("{0}; nothing was staged")]
    Store(#[from] StoreError),
    /// The registry cannot be reached as it is configured.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The commit cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is deployed cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Somebody wants this to end.
    #[error(transparent)]
    Interrupted(#[from] progress::Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for BoundError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoLink(_) | Self::Dangling(_) | Self::Unit { .. } | Self::Name { .. } => {
                ErrorClass::Corrupt
            }
            Self::Resolve { source, .. } => source.class(),
            Self::Gone(_) => ErrorClass::NotFound,
            Self::Store(error) => error.class(),
            Self::Access(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Load(error) => error.class(),
            Self::Interrupted(_) => ErrorClass::Interrupted,
            Self::Io(error) => error.class(),
        }
    }
}

/// An image with the name that it has in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bound {
    name: String,
    auth_file: Option<PathBuf>,
}

/// An image that is to be fetched.
struct Wanted {
    bound: Bound,
    source: String,
    digest: String,
}

/// Fetch what the system that a commit is binds, unless it is there: all are found before any is fetched, and several
/// are fetched at once. What is there already stays as it is, as containers may be running from it.
///
/// # Errors
/// [`BoundError`]; what was fetched by then stays until the next clean-up.
pub(crate) fn fetch_bound(
    sysroot: &Sysroot,
    commit: &Checksum,
    access: &Access,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(), BoundError> {
    let bound = bound_by(sysroot.repo(), commit)?;
    if bound.is_empty() {
        return Ok(());
    }
    let store = make_store(sysroot)?;
    let there = names_in(&store)?;
    let missing = bound.into_iter().filter(|one| !there.contains(&one.name));
    let missing = missing.map(|bound| resolve(bound, access, interrupt));
    let missing = missing.collect::<Result<Vec<_>, _>>()?;
    for some in missing.chunks(AT_ONCE) {
        interrupt.check()?;
        for one in some {
            progress.note(&format!("fetching the bound image {}", one.bound.name));
        }
        fetch_some(&store, some, access)?;
    }
    Ok(())
}

fn fetch_some(store: &ContainerStore, some: &[Wanted], access: &Access) -> Result<(), BoundError> {
    let fetch = |one: &Wanted| {
        let options = FetchOptions {
            auth_file: one
                .bound
                .auth_file
                .clone()
                .or_else(|| access.first_authfile()),
            registries_conf: access.registries_conf.clone(),
            tls_verify: access.tls_verify,
        };
        store.fetch(&one.source, &one.bound.name, &one.digest, &options)
    };
    let fetched = thread::scope(|scope| {
        let threads: Vec<_> = some
            .iter()
            .map(|one| scope.spawn(move || fetch(one)))
            .collect();
        let ends = threads.into_iter().map(thread::ScopedJoinHandle::join);
        ends.collect::<Vec<_>>()
    });
    for end in fetched {
        match end {
            Ok(fetched) => fetched.map(drop)?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    Ok(())
}

/// Whether everything that is bound is there, when nobody else is at work on the system.
///
/// # Errors
/// [`BoundError::Gone`] when it is not.
pub(crate) fn check_bound(sysroot: &Sysroot, commit: &Checksum) -> Result<(), BoundError> {
    let bound = bound_by(sysroot.repo(), commit)?;
    if bound.is_empty() {
        return Ok(());
    }
    let there = names_in(&make_store(sysroot)?)?;
    match bound.into_iter().find(|one| !there.contains(&one.name)) {
        Some(gone) => Err(BoundError::Gone(gone.name)),
        None => Ok(()),
    }
}

/// Remove what no deployment binds any more; how many images.
///
/// # Errors
/// [`BoundError`]; nothing is removed when it is not known what is bound.
pub fn prune_container_store(sysroot: &Sysroot) -> Result<usize, BoundError> {
    let Some(store) = open_store(sysroot)? else {
        return Ok(0);
    };
    let bound = bound_by_any(sysroot)?;
    let mut removed = 0_usize;
    for image in store.images()? {
        if !image.names.iter().any(|name| bound.contains(name)) {
            store.remove(&image.id)?;
            removed = removed.saturating_add(1);
        }
    }
    Ok(removed)
}

/// Where a store is, for other programs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BoundStore {
    /// The store.
    pub root: PathBuf,
    /// What programs keep meanwhile.
    pub run: PathBuf,
}

/// The store of bound images, which is made when it is not there.
///
/// # Errors
/// [`BoundError`].
pub fn bound_store(sysroot: &Sysroot) -> Result<BoundStore, BoundError> {
    let store = make_store(sysroot)?;
    let (root, run) = store.places();
    Ok(BoundStore {
        root: root.to_owned(),
        run: run.to_owned(),
    })
}

/// What the deployments bind.
///
/// # Errors
/// [`BoundError`].
pub fn bound_images(sysroot: &Sysroot) -> Result<Vec<BoundImageStatus>, BoundError> {
    let stored = match open_store(sysroot)? {
        Some(store) => store.images()?,
        None => Vec::new(),
    };
    let status = bound_by_any(sysroot)?.into_iter().map(|image| {
        let mut stored = stored.iter();
        let found = stored.find(|one| one.names.contains(&image));
        let digest = found.map(|found| found.digest.clone());
        BoundImageStatus { image, digest }
    });
    Ok(status.collect())
}

fn bound_by_any(sysroot: &Sysroot) -> Result<BTreeSet<String>, BoundError> {
    let mut names = BTreeSet::new();
    for one in sysroot.load()?.listed() {
        let bound = bound_by(sysroot.repo(), &one.id().commit)?;
        names.extend(bound.into_iter().map(|bound| bound.name));
    }
    Ok(names)
}

fn names_in(store: &ContainerStore) -> Result<BTreeSet<String>, BoundError> {
    let images = store.images()?.into_iter();
    Ok(images.flat_map(|image| image.names).collect())
}

/// Asks the registry for the digest.
fn resolve(bound: Bound, access: &Access, interrupt: &Interrupt) -> Result<Wanted, BoundError> {
    let name: RegistryReference = parse(&bound.name)?;
    let own;
    let access = match &bound.auth_file {
        Some(file) => {
            own = access.with_authfile(file)?;
            &own
        }
        None => access,
    };
    let image = ImageReference::new(Transport::Registry, bound.name.clone());
    let image = OstreeImageReference::unverified(image);
    let found =
        fetch_manifest(&image, access, interrupt).map_err(|source| BoundError::Resolve {
            image: bound.name.clone(),
            source: Box::new(source),
        })?;
    let source = match name.digest() {
        Some(_) => bound.name.clone(),
        None => name.pinned(&found.digest).to_string(),
    };
    let digest = found.digest.to_string();
    Ok(Wanted {
        bound,
        source,
        digest,
    })
}

fn parse(name: &str) -> Result<RegistryReference, BoundError> {
    name.parse().map_err(|source| BoundError::Name {
        image: name.to_owned(),
        source,
    })
}

/// The images that the system in a commit binds, each once.
fn bound_by(repo: &Repo, commit: &Checksum) -> Result<BTreeSet<Bound>, BoundError> {
    let Some((contents, _)) = repo.subtree(commit, BOUND_IMAGES)? else {
        return Ok(BTreeSet::new());
    };
    let mut bound = BTreeSet::new();
    for (file, object) in repo.load_dirtree(&contents)?.files {
        let header = repo.open_file(&object)?.header;
        if !header.is_symlink() {
            return Err(BoundError::NoLink(file));
        }
        let path = format!("{BOUND_IMAGES}/{file}");
        let text = read_in_root(repo, commit, &path)?;
        let text = text.ok_or_else(|| BoundError::Dangling(file.clone()))?;
        let found = BoundImage::parse(&file, &text);
        let found = found.map_err(|source| BoundError::Unit { file, source })?;
        let mut name = parse(&found.image)?.to_string();
        if !name.contains('@') && parse(&name)?.tag().is_none() {
            name.push_str(":latest");
        }
        bound.insert(Bound {
            name,
            auth_file: found.auth_file.map(PathBuf::from),
        });
    }
    Ok(bound)
}

/// The text of a file in a commit, where links count from the commit's root.
fn read_in_root(repo: &Repo, commit: &Checksum, path: &str) -> Result<Option<String>, BoundError> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let Some((contents, _)) = repo.subtree(commit, parent)? else {
            return Ok(None);
        };
        let files = repo.load_dirtree(&contents)?.files;
        let Some((_, object)) = files.into_iter().find(|(other, _)| other == name) else {
            return Ok(None);
        };
        let file = repo.open_file(&object)?;
        let Some(target) = &file.header.symlink else {
            let mut text = String::new();
            let read = file.content.take(MAX_UNIT).read_to_string(&mut text);
            read.during("read", &path)?;
            return Ok(Some(text));
        };
        path = joined(parent, target);
    }
    Ok(None)
}

/// Where a link leads that is in `parent`; the defaults of `/etc` are in `usr/etc`.
fn joined(parent: &str, target: &str) -> String {
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => parent.split('/').collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.first() == Some(&"etc") {
        parts.insert(0, "usr");
    }
    parts.join("/")
}

fn open_store(sysroot: &Sysroot) -> Result<Option<ContainerStore>, BoundError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match rustix::fs::openat(sysroot.dir(), STORE, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.during("open directory", STORE)?,
    };
    let root = path_of(dir.as_fd())?;
    let run = match sysroot.run() {
        Some(run) => path_of(run)?.join(RUN),
        None => path_of(sysroot.dir())?.join(RUN_OFFLINE),
    };
    Ok(Some(ContainerStore::new(dir, root, run)))
}

fn make_store(sysroot: &Sysroot) -> Result<ContainerStore, BoundError> {
    let mut path = String::new();
    for part in STORE.split('/') {
        path.push_str(part);
        match rustix::fs::mkdirat(sysroot.dir(), &path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => path.push('/'),
            Err(error) => return Err(error).during("create", &path)?,
        }
    }
    let made = open_store(sysroot)?;
    made.ok_or_else(|| BoundError::Gone(STORE.to_owned()))
}

/// Where a directory is that is open: other programs take paths.
fn path_of(dir: BorrowedFd<'_>) -> Result<PathBuf, BoundError> {
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    Ok(std::fs::read_link(&link).during("follow", &link)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_count_from_the_root() {
        for (parent, target, expected) in [
            ("usr/lib/bootc", "/usr/share/a.image", "usr/share/a.image"),
            ("usr/lib/bootc", "../a.image", "usr/lib/a.image"),
            ("usr/lib/bootc", "../../../../etc/x/a", "usr/etc/x/a"),
            ("usr/lib/bootc", "./a", "usr/lib/bootc/a"),
        ] {
            assert_eq!(joined(parent, target), expected);
        }
    }
}
