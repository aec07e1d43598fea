//! Removing what nothing needs.

use std::collections::{BTreeMap, HashSet};

use composefs_format::Digest;
use durable::IoContext as _;
use rustix::fs::AtFlags;

use crate::names::Category;
use crate::{Store, StoreError};

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects.
    pub objects: u64,
    /// Bytes on disk that became free: those of objects that no other store has under a name.
    pub bytes: u64,
    /// Images whose object was removed.
    pub images: u64,
    /// Streams whose object was removed.
    pub streams: u64,
}

impl Store {
    /// Everything that is needed: by the references, and by the entries called `roots`.
    ///
    /// # Errors
    /// [`StoreError`] when something that is needed cannot be read: then it is not known what else is.
    pub fn reachable(&self, roots: &[String]) -> Result<HashSet<Digest>, StoreError> {
        let mut live = HashSet::new();
        for digest in self.roots(Category::Images, roots)? {
            self.need_image(&digest, &mut live)?;
        }
        let images = self.entries(Category::Images)?;
        let images: HashSet<Digest> = images.into_values().flatten().collect();
        let mut streams = self.roots(Category::Streams, roots)?;
        while let Some(digest) = streams.pop() {
            if !live.insert(digest) {
                continue;
            }
            let stream = self.stream(&digest)?;
            live.extend(&stream.objects);
            for needed in stream.names.into_values() {
                if images.contains(&needed) {
                    // Its files are those of the layers beside it.
                    live.insert(needed);
                } else {
                    streams.push(needed);
                }
            }
        }
        Ok(live)
    }

    fn roots(&self, category: Category, roots: &[String]) -> Result<Vec<Digest>, StoreError> {
        let entries = self.entries(category)?;
        let mut found = Vec::new();
        for (name, entry) in self.references(category)? {
            let digest = entries.get(&entry).copied().flatten();
            found.push(digest.ok_or_else(|| StoreError::Link {
                path: format!("{}/refs/{name}", category.dir()),
            })?);
        }
        let wanted = |name: &&String| roots.contains(name);
        let extra = entries.keys().filter(wanted).cloned();
        for name in extra {
            found.extend(entries.get(&name).copied().flatten());
        }
        Ok(found)
    }

    fn need_image(&self, digest: &Digest, live: &mut HashSet<Digest>) -> Result<(), StoreError> {
        if !live.insert(*digest) {
            return Ok(());
        }
        for object in self.objects_of_image(digest)? {
            live.insert(object);
        }
        Ok(())
    }

    /// The objects of an image in this store, which must be an image of objects in this store.
    ///
    /// # Errors
    /// [`StoreError::Image`], [`StoreError::Damaged`].
    pub fn objects_of_image(&self, digest: &Digest) -> Result<Vec<Digest>, StoreError> {
        let bytes = self.read_object(digest)?;
        let objects = composefs_format::image_objects(&bytes);
        let objects = objects.map_err(|source| StoreError::Image {
            digest: digest.to_string(),
            source,
        })?;
        let named = |path: String| path.replace('/', "").parse();
        let digests: Result<Vec<Digest>, _> = objects.into_keys().map(named).collect();
        digests.map_err(|_| StoreError::Foreign {
            what: format!("the image {digest}, whose objects are in another store"),
        })
    }

    /// Remove all objects that nothing needs, and the names of those that are gone. Waits for whoever works here.
    ///
    /// # Errors
    /// [`StoreError`]; what was removed until then is gone.
    pub fn collect(&mut self, roots: &[String], dry_run: bool) -> Result<Collected, StoreError> {
        self.lock_alone()?;
        let collected = self.collect_locked(roots, dry_run);
        self.lock_shared()?;
        collected
    }

    fn collect_locked(&self, roots: &[String], dry_run: bool) -> Result<Collected, StoreError> {
        if !dry_run {
            self.remove_unfinished()?;
        }
        let live = self.reachable(roots)?;
        let mut collected = Collected::default();
        let dead = self.object_names()?.into_iter().flatten();
        let dead: BTreeMap<_, _> = dead
            .filter(|digest| !live.contains(digest))
            .map(|digest| (digest, ()))
            .collect();
        // Names first: an entry without its object would be damage.
        for category in [Category::Images, Category::Streams] {
            let removed = self.remove_entries(category, &dead, dry_run)?;
            match category {
                Category::Images => collected.images = removed,
                Category::Streams => collected.streams = removed,
            }
        }
        if !dry_run && collected.images + collected.streams > 0 {
            durable::sync_filesystem(self.dir())?;
        }
        for digest in dead.keys() {
            collected.objects += 1;
            collected.bytes += self.remove_object(digest, dry_run)?;
        }
        Ok(collected)
    }

    /// Links that were being made by somebody who was stopped, which would keep what they lead to.
    fn remove_unfinished(&self) -> Result<(), StoreError> {
        let is_unfinished = |name: &String| {
            let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
            last.starts_with('.') && last.ends_with(".tmp")
        };
        for category in [Category::Images, Category::Streams] {
            for name in self
                .references(category)?
                .keys()
                .filter(|name| is_unfinished(name))
            {
                self.remove_reference(category, name)?;
            }
            for name in self
                .entries(category)?
                .keys()
                .filter(|name| is_unfinished(name))
            {
                let path = format!("{}/{name}", category.dir());
                rustix::fs::unlinkat(self.dir(), &path, AtFlags::empty()).during("remove", path)?;
            }
        }
        Ok(())
    }

    fn remove_entries(
        &self,
        category: Category,
        dead: &BTreeMap<Digest, ()>,
        dry_run: bool,
    ) -> Result<u64, StoreError> {
        let mut removed = 0;
        for (name, digest) in self.entries(category)? {
            let Some(digest) = digest else { continue };
            if dead.contains_key(&digest) || !self.has_object(&digest)? {
                removed += 1;
                if !dry_run {
                    let path = format!("{}/{name}", category.dir());
                    rustix::fs::unlinkat(self.dir(), &path, AtFlags::empty())
                        .during("remove", path)?;
                }
            }
        }
        Ok(removed)
    }

    /// Bytes that are free then.
    fn remove_object(&self, digest: &Digest, dry_run: bool) -> Result<u64, StoreError> {
        let path = digest.object_path();
        let stat = rustix::fs::statat(self.objects(), &path, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.during("look at", &path)?;
        if !dry_run {
            rustix::fs::unlinkat(self.objects(), &path, AtFlags::empty())
                .during("remove", &path)?;
        }
        let bytes = u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
        Ok(if stat.st_nlink > 1 { 0 } else { bytes })
    }
}
