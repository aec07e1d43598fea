//! Logically bound images: fetched before a system that binds them may boot, and removed when none does any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use containers::{ContainerStore, StoreSession};
use containers_image::{Pulled, WantedImage};
use oci::digest::Digest;
use oci::manifest::{Layer, RawConfig, RawManifest};
use oci::reference::{ImageReference, OstreeImageReference, Transport};
use oci::source::{ImageSource, open};
use ostree_format::Checksum;
use progress::{Interrupt, Progress};
use serde::Serialize;
use sysroot::Sysroot;

use crate::bound_root::{Bound, BoundRoot, parse};
use crate::bound_store::{BoundPlace, BoundRecord, Shelf};
use crate::image_explain::enforce;
use crate::layer_count::LayerCount;
use crate::space::{USUAL_RATIO, unpacked};
use crate::{Access, BoundError};

/// How long to wait for others that work on the store.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// An image that is bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoundImageStatus {
    /// Its name, with registry and tag.
    pub image: String,
    /// The digest of its manifest; nothing when it is not there.
    pub digest: Option<String>,
}

/// What fetching the images of a root did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BoundPlan {
    /// The images, each with the digest that the root has it by from now on.
    pub images: Vec<BoundImageStatus>,
    /// Compressed bytes that have to be fetched.
    pub bytes_to_fetch: u64,
    /// Unpacked bytes that are new in the store.
    pub bytes_needed: u64,
    /// Whether that is an estimate.
    pub estimate: bool,
    /// Layers that are, or were, new in the store.
    pub layers: LayerCount,
}

/// An image whose documents are known.
pub(crate) struct Resolved {
    pub(crate) name: String,
    pub(crate) source: Box<dyn ImageSource>,
    pub(crate) manifest: RawManifest,
    pub(crate) config: RawConfig,
}

/// Fetch the images that a root binds. All are found, and there is room for them, before any layer is fetched; layers are
/// fetched several at once, and the images are named together when all are there. What the root had bound before stays
/// as it was; otherwise each name is asked for again, and where that cannot be answered the image that has the name
/// stays.
///
/// # Errors
/// [`BoundError`]; layers that were fetched by then stay until the next clean-up.
pub fn fetch_bound_images(
    place: BoundPlace<'_>,
    root: &BoundRoot,
    access: &Access,
    now: u64,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<BoundPlan, BoundError> {
    if root.images.is_empty() {
        return Ok(BoundPlan::default());
    }
    let asked = Asked::new(access, now, progress, interrupt);
    let store = place.make()?.labelled(root.labeler.clone());
    let session = store.begin(now, LOCK_TIMEOUT)?;
    let mut record = BoundRecord::read(&store)?;
    let (digests, wanted) = asked.settle_all(&Shelf::new(&store)?, &record, root)?;
    let mut plan = plan(Some(&store), &digests, &wanted)?;
    plan.has_room(&store, progress)?;
    let images: Vec<WantedImage<'_>> = wanted.iter().map(Resolved::wanted).collect();
    for one in &wanted {
        progress.note(&format!("fetching the bound image {}", one.name));
    }
    if !images.is_empty() {
        let pulled =
            containers_image::pull(&session, &images, &BTreeSet::new(), progress, interrupt);
        plan.carried_out(&pulled.map_err(|error| BoundError::Fetch(Box::new(error)))?);
    }
    durable::crash_point("bound:fetched");
    record.set(root, digests);
    record.write(&store)?;
    Ok(plan)
}

/// What [`fetch_bound_images`] would fetch. Nothing is changed.
///
/// # Errors
/// [`BoundError`].
pub fn plan_bound_images(
    place: BoundPlace<'_>,
    root: &BoundRoot,
    access: &Access,
    now: u64,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<BoundPlan, BoundError> {
    if root.images.is_empty() {
        return Ok(BoundPlan::default());
    }
    let asked = Asked::new(access, now, progress, interrupt);
    let store = place.open()?;
    let record = store.as_ref().map(BoundRecord::read).transpose()?;
    let shelf = store.as_ref().map(Shelf::new).transpose()?;
    let (record, shelf) = (record.unwrap_or_default(), shelf.unwrap_or_default());
    let (digests, wanted) = asked.settle_all(&shelf, &record, root)?;
    plan(store.as_ref(), &digests, &wanted)
}

/// How images are asked for.
pub(crate) struct Asked<'a> {
    pub(crate) access: &'a Access,
    pub(crate) now: u64,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) interrupt: &'a Interrupt,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(
        access: &'a Access,
        now: u64,
        progress: &'a dyn Progress,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            access,
            now,
            progress,
            interrupt,
        }
    }

    /// Which images a root's names stand for, and those that are not there.
    fn settle_all(
        &self,
        shelf: &Shelf<'_>,
        record: &BoundRecord,
        root: &BoundRoot,
    ) -> Result<(BTreeMap<String, String>, Vec<Resolved>), BoundError> {
        let mut digests = BTreeMap::new();
        let mut wanted = Vec::new();
        for bound in &root.images {
            self.interrupt.check()?;
            let (digest, found) = self.settle(shelf, record, root, bound)?;
            digests.insert(bound.name.clone(), digest);
            wanted.extend(found);
        }
        Ok((digests, wanted))
    }

    /// Which image a name stands for, and that image unless it is there and whole by that name.
    fn settle(
        &self,
        shelf: &Shelf<'_>,
        record: &BoundRecord,
        root: &BoundRoot,
        bound: &Bound,
    ) -> Result<(String, Option<Resolved>), BoundError> {
        let pinned = parse(&bound.name)?.digest().map(Digest::to_string);
        let has_name = |digest: &str| {
            let image = shelf.whole(digest);
            image.is_some_and(|image| image.names.contains(&bound.name))
        };
        if let Some(digest) = record
            .digest(root, &bound.name)
            .filter(|one| shelf.whole(one).is_some())
        {
            return Ok((digest.to_owned(), None));
        }
        if let Some(digest) = pinned.filter(|digest| has_name(digest)) {
            return Ok((digest, None));
        }
        match self.resolve(bound) {
            Ok(found) => {
                let digest = found.manifest.digest().to_string();
                let found = (!has_name(&digest)).then_some(found);
                Ok((digest, found))
            }
            Err(error) => {
                let there = shelf
                    .named(&bound.name)
                    .filter(|image| shelf.is_whole(image));
                let stays = there.filter(|_| !matches!(error, BoundError::Interrupted(_)));
                let Some(there) = stays else {
                    return Err(error);
                };
                let cause = std::error::Error::source(&error);
                let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
                self.progress.note(&format!(
                    "{} stays what it is in the store, as its registry does not answer: {cause}",
                    bound.name
                ));
                Ok((there.digest.clone(), None))
            }
        }
    }

    pub(crate) fn resolve(&self, bound: &Bound) -> Result<Resolved, BoundError> {
        let own;
        let access = match &bound.auth_file {
            Some(file) => {
                own = self.access.with_authfile(file)?;
                &own
            }
            None => self.access,
        };
        let image = ImageReference::new(Transport::Registry, bound.name.clone());
        let context = access.context(&image, self.interrupt)?;
        let failed = |source| BoundError::Resolve {
            image: bound.name.clone(),
            source: Box::new(source),
        };
        let source = open(&image, &context).map_err(failed)?;
        let manifest = source.manifest().map_err(failed)?.manifest;
        let reference = OstreeImageReference::unverified(image);
        let digest = manifest.digest();
        let judged = enforce(
            &reference,
            source.as_ref(),
            digest,
            access,
            &context,
            self.now,
        );
        judged.map_err(|source| BoundError::Trust {
            image: bound.name.clone(),
            source: Box::new(source),
        })?;
        let config = source.config(&manifest).map_err(failed)?;
        Ok(Resolved {
            name: bound.name.clone(),
            source,
            manifest,
            config,
        })
    }
}

impl Resolved {
    fn wanted(&self) -> WantedImage<'_> {
        self.wanted_as(vec![self.name.clone()])
    }

    /// The image by these names.
    pub(crate) fn wanted_as(&self, names: Vec<String>) -> WantedImage<'_> {
        WantedImage {
            source: self.source.as_ref(),
            manifest: &self.manifest,
            config: &self.config,
            names,
            files: None,
        }
    }
}

impl Resolved {
    /// Its layers that the store has not, with the digests of their archives.
    fn missing(&self, store: Option<&ContainerStore>) -> Result<Vec<(&Layer, Digest)>, BoundError> {
        let fetch = |error| BoundError::Fetch(Box::new(error));
        let all = self.manifest.layers();
        let missing = match store {
            Some(store) => containers_image::missing(store, &self.manifest, &self.config),
            None => Ok((0..all.len()).collect()),
        };
        let diff_ids = self.config.diff_ids(&self.manifest);
        let diff_ids = diff_ids.map_err(|error| fetch(error.into()))?;
        let missing = missing.map_err(fetch)?.into_iter();
        let found = missing.filter_map(|index| all.get(index).zip(diff_ids.get(index).cloned()));
        Ok(found.collect())
    }
}

pub(crate) fn plan(
    store: Option<&ContainerStore>,
    digests: &BTreeMap<String, String>,
    wanted: &[Resolved],
) -> Result<BoundPlan, BoundError> {
    let (mut layers, mut local) = (BTreeMap::new(), BTreeSet::new());
    for one in wanted {
        for (layer, diff_id) in one.missing(store)? {
            if !one.source.local_layers(&diff_id).is_empty() {
                local.insert(layer.digest.to_string());
            }
            layers.insert(layer.digest.to_string(), layer);
        }
    }
    let to_fetch = layers.iter().filter(|(digest, _)| !local.contains(*digest));
    let bytes_to_fetch = to_fetch.map(|(_, layer)| layer.size).sum();
    let sum = unpacked(layers.values().copied(), || USUAL_RATIO);
    let images = digests.iter().map(|(image, digest)| BoundImageStatus {
        image: image.clone(),
        digest: Some(digest.clone()),
    });
    Ok(BoundPlan {
        images: images.collect(),
        bytes_to_fetch,
        bytes_needed: sum.likely,
        estimate: sum.estimate,
        layers: LayerCount {
            total: layers.len(),
            fetched: layers.len() - local.len(),
            local: Some(local.len()),
        },
    })
}

impl BoundPlan {
    /// What was planned was done, and this is what it was.
    pub(crate) fn carried_out(&mut self, pulled: &Pulled) {
        self.bytes_to_fetch = pulled.bytes;
        self.layers = LayerCount {
            total: pulled.layers,
            fetched: pulled.fetched,
            local: Some(pulled.layers.saturating_sub(pulled.fetched)),
        };
    }

    /// Nothing when nothing is bound.
    pub(crate) fn unless_empty(self) -> Option<Self> {
        (!self.images.is_empty()).then_some(self)
    }

    pub(crate) fn has_room(
        &self,
        store: &ContainerStore,
        progress: &dyn Progress,
    ) -> Result<(), BoundError> {
        // Where that cannot be told, writing tells.
        let Ok(stat) = rustix::fs::fstatvfs(store.dir()) else {
            return Ok(());
        };
        let available = stat.f_bavail.saturating_mul(stat.f_frsize);
        let needed = match self.estimate {
            true => self.bytes_to_fetch,
            false => self.bytes_needed,
        };
        if needed > available {
            return Err(BoundError::NoSpace {
                needed,
                available,
                store: store.places().0.to_owned(),
            });
        }
        if self.bytes_needed > available {
            progress.note(&format!(
                "space may not suffice: about {} bytes of bound images are new, and {available} bytes are free",
                self.bytes_needed
            ));
        }
        Ok(())
    }
}

/// Whether everything that a root binds is there, when nobody else is at work on the system.
///
/// # Errors
/// [`BoundError::Gone`] when it is not.
pub fn check_bound_images(place: BoundPlace<'_>, root: &BoundRoot) -> Result<(), BoundError> {
    if root.images.is_empty() {
        return Ok(());
    }
    let store = place.make()?;
    let (record, shelf) = (BoundRecord::read(&store)?, Shelf::new(&store)?);
    let is_gone = |bound: &&Bound| shelf.bound(&record, root, &bound.name).is_none();
    match root.images.iter().find(is_gone) {
        Some(gone) => Err(BoundError::Gone(gone.name.clone())),
        None => Ok(()),
    }
}

/// Remove what none of these roots, which are all that can boot, binds any more; how many images.
///
/// # Errors
/// [`BoundError`]; what was removed by then stays removed.
pub fn prune_bound_images(
    place: BoundPlace<'_>,
    roots: &[BoundRoot],
    now: u64,
) -> Result<usize, BoundError> {
    let Some(store) = place.open()? else {
        return Ok(0);
    };
    let session = store.begin(now, LOCK_TIMEOUT)?;
    let mut record = BoundRecord::read(&store)?;
    let digests = record.digests(roots);
    // Others may have fetched what a root binds: there it is the name that counts.
    let unknown = roots.iter().filter(|root| !record.knows(root));
    let names: Vec<&str> = unknown.flat_map(BoundRoot::names).collect();
    let removed = session.collect(|image| {
        digests.contains(&image.digest)
            || image
                .names
                .iter()
                .any(|name| names.contains(&name.as_str()))
    })?;
    if record.keep(roots) {
        record.write(&store)?;
    }
    name_again(&session, &record, roots)?;
    Ok(removed)
}

/// A name that the removed image had goes back to the one that the first root has by it.
fn name_again(
    session: &StoreSession<'_>,
    record: &BoundRecord,
    roots: &[BoundRoot],
) -> Result<(), BoundError> {
    for root in roots {
        let shelf = Shelf::new(session.store())?;
        for name in root.names().filter(|name| shelf.named(name).is_none()) {
            let image = record
                .digest(root, name)
                .and_then(|digest| shelf.whole(digest));
            if let Some(id) = image.and_then(|image| image.id.parse().ok()) {
                session.name_image(&id, &[name.to_owned()])?;
            }
        }
    }
    Ok(())
}

/// What roots bind.
///
/// # Errors
/// [`BoundError`].
pub fn list_bound_images(
    place: BoundPlace<'_>,
    roots: &[BoundRoot],
) -> Result<Vec<BoundImageStatus>, BoundError> {
    let store = place.open()?;
    let mut found = BTreeMap::new();
    let shelf = store.as_ref().map(Shelf::new).transpose()?;
    let record = store.as_ref().map(BoundRecord::read).transpose()?;
    for root in roots {
        for name in root.names() {
            let there = shelf.as_ref().zip(record.as_ref());
            let image = there.and_then(|(shelf, record)| shelf.bound(record, root, name));
            found.insert((name, image.map(|image| image.digest.clone())), ());
        }
    }
    let status = found.into_keys().map(|(name, digest)| BoundImageStatus {
        image: name.to_owned(),
        digest,
    });
    Ok(status.collect())
}

impl BoundRoot {
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(|bound| bound.name.as_str())
    }
}

/// Fetch what the system that a commit is binds.
pub(crate) fn fetch_bound(
    sysroot: &Sysroot,
    commit: &Checksum,
    asked: &Asked<'_>,
) -> Result<BoundPlan, BoundError> {
    let root = labelled(sysroot, commit)?;
    let place = BoundPlace::of(sysroot);
    let (progress, interrupt) = (asked.progress, asked.interrupt);
    fetch_bound_images(place, &root, asked.access, asked.now, progress, interrupt)
}

pub(crate) fn check_bound(sysroot: &Sysroot, commit: &Checksum) -> Result<(), BoundError> {
    let root = BoundRoot::of_commit(sysroot.repo(), commit)?;
    check_bound_images(BoundPlace::of(sysroot), &root)
}

/// Remove what no deployment binds any more; how many images.
///
/// # Errors
/// [`BoundError`]; nothing is removed when it is not known what is bound.
pub fn prune_container_store(sysroot: &Sysroot) -> Result<usize, BoundError> {
    // Nothing gets a time of removal.
    prune_bound_images(BoundPlace::of(sysroot), &bound_roots(sysroot)?, 0)
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
    let store = BoundPlace::of(sysroot).make()?;
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
    list_bound_images(BoundPlace::of(sysroot), &bound_roots(sysroot)?)
}

/// All deployments, and what they bind.
///
/// # Errors
/// [`BoundError`].
pub fn bound_roots(sysroot: &Sysroot) -> Result<Vec<BoundRoot>, BoundError> {
    let state = sysroot.load()?;
    let listed = state.listed();
    let roots = listed.iter();
    roots
        .map(|one| labelled(sysroot, &one.id().commit))
        .collect()
}

/// What the system in a commit binds, and what of that would be fetched.
pub(crate) fn plan_bound(
    sysroot: &Sysroot,
    commit: &Checksum,
    asked: &Asked<'_>,
) -> Result<BoundPlan, BoundError> {
    let root = BoundRoot::of_commit(sysroot.repo(), commit)?;
    let place = BoundPlace::of(sysroot);
    let (progress, interrupt) = (asked.progress, asked.interrupt);
    plan_bound_images(place, &root, asked.access, asked.now, progress, interrupt)
}

/// The root in a commit, with its policy where that is needed.
pub(crate) fn labelled(sysroot: &Sysroot, commit: &Checksum) -> Result<BoundRoot, BoundError> {
    let root = BoundRoot::of_commit(sysroot.repo(), commit)?;
    if root.is_empty() {
        return Ok(root);
    }
    let policy = ::image::policy_of_commit(sysroot.repo(), commit)?;
    Ok(root.labelled(policy))
}
