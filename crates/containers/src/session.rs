//! Changing a storage: layers and images come in whole, and lists name them last.
//!
//! Programs that write to a storage at the same time are kept apart by its lock files, which are locked while something is
//! moved into place and a list is replaced, not while something is fetched. Source: `containers-storage(1)`, and what
//! `skopeo` 1.9.3 does, seen from outside.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use durable::{IoContext as _, Lock, crash_point};
use rustix::fs::{AtFlags, Mode, OFlags};

use crate::lists::{LAYERS, LayerRecord, read_list};
use crate::store::LAYERS_LOCK;
use crate::{ContainerStore, LayerId, LayerOrigin, LayerWriter, StagedLayer, StoreError};

mod image;
mod tidy;

pub use image::NewImage;
pub(crate) use image::file_of;

/// Where layers are written, below the storage.
const STAGING: &str = "bootroot-staging";
/// Locked by whoever writes there.
const SESSION_LOCK: &str = "bootroot.lock";
/// As many layers overlayfs puts together.
const MOST_LAYERS: usize = 500;

/// One who changes a storage. There is one at a time, beside other programs.
#[derive(Debug)]
pub struct StoreSession<'s> {
    store: &'s ContainerStore,
    staging: OwnedFd,
    /// When, as lists have it.
    now: String,
    timeout: Duration,
    count: AtomicU64,
    _lock: Lock,
}

/// Where a layer is written.
#[derive(Debug)]
pub struct Staged(PathBuf);

/// A layer that is complete, and what it is to be.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "all that makes a layer")]
pub struct NewLayer {
    /// Its number.
    pub id: LayerId,
    /// The one that it lies upon.
    pub parent: Option<LayerId>,
    /// Where it comes from.
    pub origin: LayerOrigin,
    /// Where it was written.
    pub staged: Staged,
    /// What was written.
    pub written: StagedLayer,
}

impl ContainerStore {
    /// Begin to change it. What a process left that was killed is removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(&self, now: u64, timeout: Duration) -> Result<StoreSession<'_>, StoreError> {
        self.ensure()?;
        let dir = self.dir();
        let lock = Lock::exclusive(dir, Path::new(SESSION_LOCK), timeout)?;
        durable::remove_all(dir, Path::new(STAGING))?;
        durable::create_dir_all(dir, Path::new(STAGING), 0o700)?;
        let session = StoreSession {
            store: self,
            staging: open_dir(dir, Path::new(STAGING))?,
            now: rfc3339(now),
            timeout,
            count: AtomicU64::new(0),
            _lock: lock,
        };
        session.tidy()?;
        Ok(session)
    }
}

impl StoreSession<'_> {
    /// The storage.
    #[must_use]
    pub fn store(&self) -> &ContainerStore {
        self.store
    }

    /// Begin to write a layer, of which nothing need be known yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stage(&self) -> Result<(Staged, LayerWriter), StoreError> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let name = PathBuf::from(number.to_string());
        let (staging, diff) = (self.staging.as_fd(), name.join("diff"));
        durable::create_dir_all(staging, &name, 0o700)?;
        for (below, mode) in [("diff", 0o555), ("work", 0o700), ("merged", 0o700)] {
            self.make_dir(&name.join(below), mode)?;
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let split = name.join("tar-split");
        let mode = Mode::from_raw_mode(0o600);
        let split = rustix::fs::openat(staging, &split, flags, mode).during("create", &split)?;
        let writer = LayerWriter::new(
            open_dir(staging, &diff)?,
            File::from(split),
            self.store.label("overlay/layer/diff/file", 0o100_644),
        );
        Ok((Staged(name), writer))
    }

    fn make_dir(&self, path: &Path, mode: u32) -> Result<(), StoreError> {
        let staging = self.staging.as_fd();
        durable::create_dir_all(staging, path, mode)?;
        let set = rustix::fs::chmodat(staging, path, Mode::from_raw_mode(mode), AtFlags::empty());
        set.during("set the mode of", path)?;
        self.store
            .set_label(staging, path, "overlay/layer/diff", 0o040_555)
    }

    /// Let layers be found that are complete, each behind the one it lies upon.
    ///
    /// # Errors
    /// [`StoreError`]; then the list is as it was.
    pub fn publish_layers(&self, layers: Vec<NewLayer>) -> Result<(), StoreError> {
        if layers.is_empty() {
            return Ok(());
        }
        crash_point("containers:layers-staged");
        durable::sync_filesystem(self.staging.as_fd())?;
        let dir = self.store.dir();
        let lock = Lock::exclusive(dir, Path::new(LAYERS_LOCK), self.timeout)?;
        let mut list: Vec<LayerRecord> = read_list(dir, LAYERS)?;
        for layer in layers {
            self.move_in(&layer)?;
            let record = LayerRecord {
                created: self.now.clone(),
                ..layer.record()
            };
            match list.iter_mut().find(|other| other.id == record.id) {
                Some(other) => *other = record,
                None => list.push(record),
            }
        }
        self.store.mend_lower(&list)?;
        crash_point("containers:layers-in-place");
        durable::sync_filesystem(self.staging.as_fd())?;
        self.store.replace_list(LAYERS, &list, LAYERS_LOCK)?;
        drop(lock);
        crash_point("containers:layers-listed");
        Ok(())
    }

    /// Moves a layer to its place; what was there is damaged.
    fn move_in(&self, layer: &NewLayer) -> Result<(), StoreError> {
        let (dir, staging) = (self.store.dir(), self.staging.as_fd());
        let (id, name) = (&layer.id, &layer.staged.0);
        let place = Path::new("overlay").join(id.as_str());
        let link = self.store.short_name(id)?.unwrap_or_else(|| id.short());
        self.write_new(&name.join("link"), link.as_bytes())?;
        match &layer.parent {
            Some(parent) => {
                let lower = self.store.lower_upon(parent)?;
                self.write_new(&name.join("lower"), lower.as_bytes())?;
                self.as_parent(name, parent)?;
            }
            None => self.make_dir(&name.join("empty"), 0o700)?,
        }
        let split = self.store.split_of(id);
        let renamed = rustix::fs::renameat(staging, name.join("tar-split"), dir, &split);
        renamed.during("rename", &split)?;
        self.store
            .set_label(dir, &split, &split.to_string_lossy(), 0o100_600)?;
        durable::remove_all(dir, &place)?;
        rustix::fs::renameat(staging, name, dir, &place).during("rename", &place)?;
        let target = Path::new("..").join(id.as_str()).join("diff");
        let link = Path::new("overlay/l").join(&link);
        durable::replace_symlink(dir, &link, &target)?;
        self.store
            .set_label(dir, &link, &link.to_string_lossy(), 0o120_777)
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let staging = self.staging.as_fd();
        durable::publish_no_sync(staging, path, bytes, 0o644)?;
        self.store
            .set_label(staging, path, "overlay/layer/link", 0o100_644)
    }

    /// The root of a layer is like that of the one below.
    fn as_parent(&self, name: &Path, parent: &LayerId) -> Result<(), StoreError> {
        let below = Path::new("overlay").join(parent.as_str()).join("diff");
        let stat = rustix::fs::statat(self.store.dir(), &below, AtFlags::empty());
        let mode = Mode::from_raw_mode(stat.during("look at", &below)?.st_mode & 0o7777);
        let diff = name.join("diff");
        let set = rustix::fs::chmodat(&self.staging, &diff, mode, AtFlags::empty());
        Ok(set.during("set the mode of", &diff)?)
    }
}

impl NewLayer {
    /// What lists say of it.
    fn record(&self) -> LayerRecord {
        let (parent, origin) = (self.parent.as_ref(), &self.origin);
        LayerRecord {
            id: self.id.to_string(),
            parent: parent.map(ToString::to_string).unwrap_or_default(),
            compressed_diff_digest: origin.blob_digest.clone(),
            compressed_size: origin.blob_size,
            diff_digest: origin.diff_id.clone(),
            compression: origin.compression.number(),
            ..self.written.record.clone()
        }
    }
}

impl ContainerStore {
    /// The short name that mounts of other layers know a layer by.
    pub(crate) fn short_name(&self, id: &LayerId) -> Result<Option<String>, StoreError> {
        let path = Path::new("overlay").join(id.as_str()).join("link");
        let bytes = durable::read_optional(self.dir(), &path, 1024)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let is_plain = |text: &String| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        Ok(text.filter(is_plain))
    }

    /// What a layer that lies upon `parent` is put together with.
    pub(crate) fn lower_upon(&self, parent: &LayerId) -> Result<String, StoreError> {
        let link = self.short_name(parent)?.unwrap_or_else(|| parent.short());
        let path = Path::new("overlay").join(parent.as_str()).join("lower");
        let below = durable::read_optional(self.dir(), &path, 64 * 1024)?;
        let below = below.and_then(|bytes| String::from_utf8(bytes).ok());
        let lower = match below.as_deref() {
            None | Some("") => format!("l/{link}"),
            Some(below) => format!("l/{link}:{below}"),
        };
        if lower.split(':').count() >= MOST_LAYERS {
            return Err(StoreError::TooManyLayers(parent.clone()));
        }
        Ok(lower)
    }

    /// Layers upon one that came again are put together with its name of now.
    fn mend_lower(&self, list: &[LayerRecord]) -> Result<(), StoreError> {
        let mut above: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for layer in list {
            above.entry(&layer.parent).or_default().push(&layer.id);
        }
        let mut next: Vec<&str> = above.remove("").unwrap_or_default();
        while let Some(parent) = next.pop() {
            let Ok(id) = parent.parse::<LayerId>() else {
                continue;
            };
            for child in above.remove(parent).unwrap_or_default() {
                self.mend_one(child, &id)?;
                next.push(child);
            }
        }
        Ok(())
    }

    fn mend_one(&self, child: &str, parent: &LayerId) -> Result<(), StoreError> {
        let path = Path::new("overlay").join(child).join("lower");
        let old = durable::read_optional(self.dir(), &path, 64 * 1024)?;
        let Some(old) = old.filter(|old| !old.is_empty()) else {
            return Ok(());
        };
        let new = self.lower_upon(parent)?;
        if old != new.as_bytes() {
            durable::publish(self.dir(), &path, new.as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

pub(crate) fn open_dir(dir: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(dir, path, flags, Mode::empty());
    Ok(opened.during("open", path)?)
}

/// A time as lists have it.
fn rfc3339(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
    let time = time.unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
