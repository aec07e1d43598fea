//! Verifying all stores of a system, and mending them from each other and from where images came from.

use std::collections::{BTreeSet, HashSet};
use std::io;

use composefs::{Category, Damage, Store, StoreError};
use composefs_format::{Digest, File, VerityHasher, read_image};
use composefs_image::{Listed, RootKind};
use error_class::{Classified, ErrorClass};
use oci::reference::{ImageReference, OstreeImageReference};
use ostree::{FsckOptions, ReadError, Repo};
use ostree_format::{ObjectKind, ObjectName};
use progress::{Interrupt, Interrupted, Progress};

use crate::bound_images::Asked;
use crate::bound_repair::BoundDamage;
use crate::{Access, ComposefsPullError, ComposefsPullOptions, composefs_pull, image_repair};
use crate::{BoundPlace, BoundRoot};

/// What was found in all stores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fsck {
    /// Objects that were read and hashed.
    pub objects: u64,
    /// Everything that is wrong, or was.
    pub found: Vec<String>,
    /// What of it is still wrong after mending; all, when nothing was to be mended.
    pub left: Vec<String>,
}

/// Why the stores were not verified, or not mended as far as they can be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FsckError {
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The composefs repository cannot be changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The OSTree repository cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for FsckError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Interrupted(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// The stores of a system, as far as there are any.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Stores<'s> {
    /// The repository of commits.
    pub repo: Option<&'s Repo>,
    /// The composefs repository.
    pub composefs: Option<&'s Store>,
    /// The store of bound images, and the roots that need them.
    pub bound: Option<(BoundPlace<'s>, &'s [BoundRoot])>,
    /// Images of composefs that the kernel has to verify so that deployments boot.
    pub strict: Option<&'s BTreeSet<Digest>>,
}

impl<'s> Stores<'s> {
    /// These.
    #[must_use]
    pub const fn new(repo: Option<&'s Repo>, composefs: Option<&'s Store>) -> Self {
        Self {
            repo,
            composefs,
            bound: None,
            strict: None,
        }
    }

    /// With images of composefs that the kernel has to verify.
    #[must_use]
    pub const fn with_strict(self, strict: &'s BTreeSet<Digest>) -> Self {
        Self {
            strict: Some(strict),
            ..self
        }
    }

    /// With the store of bound images as well, of which `roots` need some.
    #[must_use]
    pub const fn with_bound(self, place: BoundPlace<'s>, roots: &'s [BoundRoot]) -> Self {
        Self {
            bound: Some((place, roots)),
            ..self
        }
    }
}

/// Reads and hashes everything in all stores. With `mend`, which says how images are reached and the time in seconds
/// since 1970, what is damaged or missing is taken from the other store, or else fetched from where its image came
/// from, which must have the same digest and be signed as the policy asks.
///
/// # Errors
/// [`FsckError`]; what is wrong with the stores is in what is returned.
pub fn fsck(
    stores: Stores<'_>,
    mend: Option<(&Access, u64)>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Fsck, FsckError> {
    let before = Found::look(stores, progress, interrupt)?;
    let found = before.all();
    let Some((access, now)) = mend.filter(|_| !found.is_empty()) else {
        return Ok(Fsck {
            objects: before.objects,
            left: found.clone(),
            found,
        });
    };
    let mender = Mender {
        stores,
        access,
        now,
        progress,
        interrupt,
    };
    mender.mend(&before)?;
    let after = Found::look(stores, progress, interrupt)?;
    Ok(Fsck {
        objects: before.objects,
        found,
        left: after.all(),
    })
}

/// What is wrong in which store.
struct Found {
    objects: u64,
    commits: Vec<String>,
    composefs: Vec<Damage>,
    /// Images that would not boot.
    unsealed: Vec<Digest>,
    bound: BoundDamage,
}

impl Found {
    fn look(
        stores: Stores<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, Interrupted> {
        let mut found = Self {
            objects: 0,
            commits: Vec::new(),
            composefs: Vec::new(),
            unsealed: Vec::new(),
            bound: BoundDamage::default(),
        };
        if let Some(repo) = stores.repo {
            let report = repo.fsck(&FsckOptions::default(), progress, interrupt)?;
            found.objects += report.objects;
            found.commits = report.damage.iter().map(ToString::to_string).collect();
        }
        if let Some(store) = stores.composefs {
            let report = store.check(progress, interrupt)?;
            found.objects += report.objects;
            found.composefs = report.damage;
            let strict = stores.strict.into_iter().flatten();
            // One that is not there at all is told as missing.
            let is_open = |digest: &&Digest| store.is_sealed(digest).is_ok_and(|sealed| !sealed);
            found.unsealed = strict.filter(is_open).copied().collect();
        }
        if let Some((place, roots)) = stores.bound {
            found.bound = BoundDamage::look(place, roots, interrupt)?;
            found.objects += found.bound.looked_at;
        }
        Ok(found)
    }

    fn all(&self) -> Vec<String> {
        let commits = self
            .commits
            .iter()
            .map(|damage| format!("ostree: {damage}"));
        let composefs = self.composefs.iter();
        let composefs = composefs.map(|damage| format!("composefs: {damage}"));
        let unsealed = self.unsealed.iter().map(|digest| {
            format!("composefs: root {digest} is not verified by the kernel; its boot entry demands that")
        });
        let bound = self.bound.all();
        let bound = bound.map(|damage| format!("containers: {damage}"));
        commits
            .chain(composefs)
            .chain(unsealed)
            .chain(bound)
            .collect()
    }
}

struct Mender<'a> {
    stores: Stores<'a>,
    access: &'a Access,
    now: u64,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

impl Mender<'_> {
    /// Commits first: their files can be shared then.
    fn mend(&self, found: &Found) -> Result<(), FsckError> {
        if let Some(repo) = self.stores.repo.filter(|_| !found.commits.is_empty()) {
            self.mend_commits(repo)?;
        }
        self.mend_bound(&found.bound)?;
        let Some(store) = self
            .stores
            .composefs
            .filter(|_| !found.composefs.is_empty() || !found.unsealed.is_empty())
        else {
            return Ok(());
        };
        let lost = lost(store, &found.composefs)?;
        if let Some(repo) = self.stores.repo {
            self.share(repo, store, &lost)?;
        }
        self.fetch(store)?;
        self.seal(store, &lost, &found.unsealed)
    }

    /// What came back is verified where its image is, and so are images that came back themselves: the entries of those that
    /// were verified demand it. An image that is not whole is told as such.
    fn seal(
        &self,
        store: &Store,
        lost: &HashSet<Digest>,
        unsealed: &[Digest],
    ) -> Result<(), FsckError> {
        for digest in store.entries(Category::Images)?.into_values().flatten() {
            let is_wanted = lost.contains(&digest) || unsealed.contains(&digest);
            if is_wanted || store.is_sealed(&digest).unwrap_or_default() {
                let sealed = store.seal_image(&digest, self.progress, self.interrupt);
                self.interrupt.check()?;
                self.note(&digest.to_string(), sealed.err());
            }
        }
        Ok(())
    }

    fn mend_commits(&self, repo: &Repo) -> Result<(), FsckError> {
        let images = image::list_images(repo).unwrap_or_default();
        for (image, _) in images {
            self.interrupt.check()?;
            let (access, now) = (self.access, self.now);
            let mended = image_repair(repo, &image, access, now, self.progress, self.interrupt);
            self.note(&image.to_string(), mended.err());
        }
        Ok(())
    }

    fn mend_bound(&self, damage: &BoundDamage) -> Result<(), FsckError> {
        let Some((place, roots)) = self.stores.bound.filter(|_| !damage.is_empty()) else {
            return Ok(());
        };
        let asked = Asked::new(self.access, self.now, self.progress, self.interrupt);
        let mended = damage.mend(place, roots, &asked);
        self.interrupt.check()?;
        self.note("that is bound", mended.err());
        Ok(())
    }

    /// One image that cannot be mended is no reason not to mend the others.
    fn note(&self, image: &str, error: Option<impl std::fmt::Display>) {
        if let Some(error) = error {
            self.progress
                .note(&format!("image {image} was not mended: {error}"));
        }
    }

    /// Files whose content the other repository has become objects again. Only files of the right size are read.
    fn share(&self, repo: &Repo, store: &Store, lost: &HashSet<Digest>) -> Result<(), FsckError> {
        let sizes = sizes(store, lost)?;
        if sizes.is_empty() {
            return Ok(());
        }
        for head in 0..=u8::MAX {
            self.interrupt.check()?;
            for name in repo.objects_in(head)? {
                if name.kind == ObjectKind::File {
                    share_object(repo, store, &name, &sizes, lost)?;
                }
            }
        }
        Ok(())
    }

    /// Images that are not whole are pulled again: what is there is not fetched.
    fn fetch(&self, store: &Store) -> Result<(), FsckError> {
        let names = match composefs_image::list(store) {
            Ok(names) => names,
            Err(error) => {
                self.note("of any name", Some(error));
                return Ok(());
            }
        };
        for listed in names {
            self.interrupt.check()?;
            if is_whole(store, &listed) {
                continue;
            }
            let Ok(image) = listed.name.parse::<ImageReference>() else {
                let unknown = "its name does not say where it comes from";
                self.note(&listed.name, Some(unknown));
                continue;
            };
            // The name may stand for another image there by now.
            let pinned = image.pinned(&listed.manifest).unwrap_or(image);
            let image = OstreeImageReference::unverified(pinned);
            let mut options = ComposefsPullOptions {
                name: Some(listed.name.clone()),
                bootable: had_boot_root(store, &listed),
                now: self.now,
            };
            let (progress, interrupt) = (self.progress, self.interrupt);
            let pull = |options: &ComposefsPullOptions| {
                composefs_pull(store, &image, self.access, options, progress, interrupt)
            };
            let mut pulled = pull(&options);
            let no_system = ComposefsPullError::is_of_no_system;
            if options.bootable && pulled.as_ref().is_err_and(no_system) {
                options.bootable = false;
                pulled = pull(&options);
            }
            self.note(&listed.name, pulled.err());
        }
        Ok(())
    }
}

/// The objects that are not there, once those that are damaged have been removed.
fn lost(store: &Store, damage: &[Damage]) -> Result<HashSet<Digest>, StoreError> {
    let mut lost = HashSet::new();
    for one in damage {
        match one {
            Damage::Object { digest, .. } if store.discard_damaged(digest)? => {
                lost.insert(*digest);
            }
            Damage::Missing { digest, .. } => drop(lost.insert(*digest)),
            _ => {}
        }
    }
    Ok(lost)
}

/// How long the files among `lost` are, as the images that can be read say.
fn sizes(store: &Store, lost: &HashSet<Digest>) -> Result<HashSet<u64>, StoreError> {
    let mut sizes = HashSet::new();
    for digest in store.entries(Category::Images)?.into_values().flatten() {
        let tree = store.read_object(&digest).ok();
        let Some((tree, _)) = tree.and_then(|bytes| read_image(&bytes).ok()) else {
            continue;
        };
        let visited = tree.try_for_each_leaf(&mut |_, file: &File| -> Result<(), StoreError> {
            let file = match file {
                File::Linked(file) => file,
                file => file,
            };
            if let File::External {
                size,
                digest: Some(digest),
                ..
            } = file
                && lost.contains(digest)
            {
                sizes.insert(*size);
            }
            Ok(())
        });
        visited?;
    }
    Ok(sizes)
}

fn share_object(
    repo: &Repo,
    store: &Store,
    name: &ObjectName,
    sizes: &HashSet<u64>,
    lost: &HashSet<Digest>,
) -> Result<(), FsckError> {
    // What is damaged there has been told.
    let Ok(mut object) = repo.open_file(&name.checksum) else {
        return Ok(());
    };
    if !sizes.contains(&object.size) {
        return Ok(());
    }
    let mut hasher = VerityHasher::new(store.algorithm());
    if io::copy(&mut object.content, &mut hasher).is_err() {
        return Ok(());
    }
    let digest = hasher.finish();
    if let (true, Some(file)) = (lost.contains(&digest), object.content.as_plain()) {
        store.adopt(file, &digest)?;
    }
    Ok(())
}

/// Whether everything that the image needs is there.
fn is_whole(store: &Store, listed: &Listed) -> bool {
    let Ok(image) = composefs_image::find(store, &listed.name) else {
        return false;
    };
    let streams: BTreeSet<Digest> = image.layers.iter().map(|(_, stream)| *stream).collect();
    let has = |digest: &Digest| store.has_object(digest).unwrap_or_default();
    let layers = streams.iter().all(|digest| {
        let stream = store.stream(digest);
        stream.is_ok_and(|stream| stream.objects.iter().all(has))
    });
    layers && image.images.values().all(has)
}

fn had_boot_root(store: &Store, listed: &Listed) -> bool {
    // Of what cannot be read, nothing is left out.
    composefs_image::find(store, &listed.name)
        .map_or(true, |image| image.image(store, RootKind::Boot).is_some())
}
