//! Verifying the store of bound images, and mending it from where the images came from.

use std::collections::BTreeSet;

use containers::{ContainerStore, ImageId, StoreDamage, StoredContainerImage};
use containers_image::WantedImage;
use oci::digest::Digest;
use progress::{Interrupt, Interrupted};

use crate::bound_images::{Asked, LOCK_TIMEOUT, Resolved};
use crate::bound_root::{Bound, BoundRoot, parse};
use crate::bound_store::{BoundPlace, BoundRecord, Shelf};
use crate::{BoundError, fetch_bound_images};

/// What is wrong with the store, and what roots lack of it.
#[derive(Debug, Default)]
pub(crate) struct BoundDamage {
    /// Layers and images that were read.
    pub(crate) looked_at: u64,
    unusable: Option<String>,
    damage: Vec<StoreDamage>,
    layers: BTreeSet<containers::LayerId>,
    /// Names of images that are not there, and the roots that need them.
    missing: Vec<(String, String)>,
}

impl BoundDamage {
    /// # Errors
    /// Stop was asked for.
    pub(crate) fn look(
        place: BoundPlace<'_>,
        roots: &[BoundRoot],
        interrupt: &Interrupt,
    ) -> Result<Self, Interrupted> {
        let store = match place.open() {
            Ok(store) => store,
            Err(error) => return Ok(Self::unusable(&error)),
        };
        let mut found = Self::default();
        if let Some(store) = &store {
            let report = store.check(interrupt)?;
            found.looked_at = report.looked_at;
            found.layers = report.layers();
            found.damage = report.damage;
        }
        found.missing = missing(store.as_ref(), roots);
        Ok(found)
    }

    fn unusable(error: &BoundError) -> Self {
        Self {
            unusable: Some(error.to_string()),
            ..Self::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.unusable.is_none() && self.damage.is_empty() && self.missing.is_empty()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = String> {
        let damage = self.damage.iter().map(ToString::to_string);
        let missing = self.missing.iter();
        let missing = missing.map(|(name, root)| format!("{name}, which {root} binds, is missing"));
        self.unusable.iter().cloned().chain(damage).chain(missing)
    }

    /// Fetches again what is damaged or missing, by digest. An image that cannot be had is told and left.
    ///
    /// # Errors
    /// [`BoundError`].
    pub(crate) fn mend(
        &self,
        place: BoundPlace<'_>,
        roots: &[BoundRoot],
        asked: &Asked<'_>,
    ) -> Result<(), BoundError> {
        let labeler = roots.iter().find_map(|root| root.labeler.clone());
        let store = place.make()?.labelled(labeler);
        for damage in &self.damage {
            if let StoreDamage::List { path, .. } = damage {
                store.set_aside(path)?;
            }
        }
        self.mend_damaged(&store, roots, asked)?;
        for root in roots {
            self.mend_missing(place, &store, root, asked)?;
        }
        Ok(())
    }

    /// Images that are in the list.
    fn mend_damaged(
        &self,
        store: &ContainerStore,
        roots: &[BoundRoot],
        asked: &Asked<'_>,
    ) -> Result<(), BoundError> {
        let mut found: Vec<Resolved> = Vec::new();
        for image in store.images()? {
            asked.interrupt.check()?;
            if self.hits(store, &image)? {
                match again(&image, roots, asked) {
                    Ok(resolved) => found.push(resolved),
                    Err(error) => asked.tell(&image.digest, &error),
                }
            }
        }
        // One that is damaged at its source does not keep the others from being mended.
        for one in &found {
            let session = store.begin(asked.now, LOCK_TIMEOUT)?;
            let wanted: [WantedImage<'_>; 1] = [one.wanted_as(Vec::new())];
            let (progress, interrupt) = (asked.progress, asked.interrupt);
            let layers = &self.layers;
            let pulled = containers_image::pull(&session, &wanted, layers, progress, interrupt);
            if let Err(error) = pulled {
                asked.tell(
                    &one.wanted_as(Vec::new()).manifest.digest().to_string(),
                    &error,
                );
            }
        }
        Ok(())
    }

    fn hits(
        &self,
        store: &ContainerStore,
        image: &StoredContainerImage,
    ) -> Result<bool, BoundError> {
        let Ok(id) = image.id.parse::<ImageId>() else {
            return Ok(false);
        };
        let is_it =
            |damage: &StoreDamage| matches!(damage, StoreDamage::Image { id: of, .. } if *of == id);
        if self.damage.iter().any(is_it) {
            return Ok(true);
        }
        let layers = store.layers_of(&id)?;
        Ok(layers.iter().any(|layer| self.layers.contains(layer)))
    }

    fn mend_missing(
        &self,
        place: BoundPlace<'_>,
        store: &ContainerStore,
        root: &BoundRoot,
        asked: &Asked<'_>,
    ) -> Result<(), BoundError> {
        let record = BoundRecord::read(store)?;
        for bound in &root.images {
            let is_missing = Shelf::new(store)?
                .bound(&record, root, &bound.name)
                .is_none();
            if !is_missing {
                continue;
            }
            let fetched = match record.digest(root, &bound.name) {
                Some(digest) => by_digest(store, bound, digest, asked),
                None => fetch_bound_images(
                    place,
                    &root.with_only(bound),
                    asked.access,
                    asked.now,
                    asked.progress,
                    asked.interrupt,
                )
                .map(drop),
            };
            if let Err(error) = fetched {
                asked.tell(&bound.name, &error);
            }
        }
        Ok(())
    }
}

impl Asked<'_> {
    fn tell(&self, image: &str, error: &dyn std::error::Error) {
        self.progress
            .note(&format!("the bound image {image} was not mended: {error}"));
    }
}

/// What roots bind and the store has not.
fn missing(store: Option<&ContainerStore>, roots: &[BoundRoot]) -> Vec<(String, String)> {
    let looked =
        store.and_then(|store| Some((BoundRecord::read(store).ok()?, Shelf::new(store).ok()?)));
    let mut missing = Vec::new();
    for root in roots {
        for name in root.names() {
            let image = looked.as_ref();
            let image = image.and_then(|(record, shelf)| shelf.bound(record, root, name));
            if image.is_none() {
                missing.push((name.to_owned(), root.key.clone()));
            }
        }
    }
    missing
}

/// The image, where one of its names says that it comes from.
fn again(
    image: &StoredContainerImage,
    roots: &[BoundRoot],
    asked: &Asked<'_>,
) -> Result<Resolved, BoundError> {
    let mut last = BoundError::Gone(image.id.clone());
    for name in &image.names {
        let bounds = roots.iter().flat_map(|root| &root.images);
        let auth_file = bounds
            .filter(|bound| bound.name == *name)
            .find_map(|bound| bound.auth_file.clone());
        let bound = Bound {
            name: pinned(name, &image.digest)?,
            auth_file,
        };
        match asked.resolve(&bound) {
            Ok(resolved) => return Ok(resolved),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn by_digest(
    store: &ContainerStore,
    bound: &Bound,
    digest: &str,
    asked: &Asked<'_>,
) -> Result<(), BoundError> {
    let found = asked.resolve(&Bound {
        name: pinned(&bound.name, digest)?,
        auth_file: bound.auth_file.clone(),
    })?;
    // The name may stand for a newer image by now.
    let name = match store.named(&bound.name)? {
        Some(_) => pinned(&bound.name, digest)?,
        None => bound.name.clone(),
    };
    let session = store.begin(asked.now, LOCK_TIMEOUT)?;
    let wanted = [found.wanted_as(vec![name])];
    let again = BTreeSet::new();
    let (progress, interrupt) = (asked.progress, asked.interrupt);
    let pulled = containers_image::pull(&session, &wanted, &again, progress, interrupt);
    pulled.map_err(|error| BoundError::Fetch(Box::new(error)))?;
    Ok(())
}

fn pinned(name: &str, digest: &str) -> Result<String, BoundError> {
    let gone = |_| BoundError::Gone(name.to_owned());
    let digest: Digest = digest.parse().map_err(gone)?;
    Ok(parse(name)?.pinned(&digest).to_string())
}
