//! Images: their documents, and the list of them.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use durable::{Lock, crash_point};
use sha2::{Digest as _, Sha256};

use super::StoreSession;
use crate::lists::{IMAGES, ImageRecord, read_list};
use crate::store::IMAGES_LOCK;
use crate::{ImageId, LayerId, StoreError};

/// An image whose layers are there.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "all that an image is made of")]
pub struct NewImage {
    /// Its number.
    pub id: ImageId,
    /// Its names, with registry and tag or digest; no other image has them afterwards.
    pub names: Vec<String>,
    /// Its manifest, as it came.
    pub manifest: Vec<u8>,
    /// The digest of that, with the algorithm in front.
    pub manifest_digest: String,
    /// Its configuration, as it came.
    pub config: Vec<u8>,
    /// The digest of that, with the algorithm in front.
    pub config_digest: String,
    /// Its uppermost layer; nothing when it has none.
    pub layer: Option<LayerId>,
    /// When it was made, as its configuration says.
    pub created: Option<String>,
}

/// Documents by their names, in the order in which lists have them.
type Documents<'a> = [(String, &'a [u8]); 4];

impl StoreSession<'_> {
    /// Let images be found, all of them at once.
    ///
    /// # Errors
    /// [`StoreError`]; then the list is as it was.
    pub fn publish_images(&self, images: &[NewImage]) -> Result<(), StoreError> {
        let dir = self.store.dir();
        let lock = Lock::exclusive(dir, Path::new(IMAGES_LOCK), self.timeout)?;
        let mut list: Vec<ImageRecord> = read_list(dir, IMAGES)?;
        for image in images {
            self.write_documents(image)?;
            self.enter(image, &mut list);
        }
        crash_point("containers:images-written");
        durable::sync_filesystem(self.staging.as_fd())?;
        self.store.replace_list(IMAGES, &list, IMAGES_LOCK)?;
        drop(lock);
        crash_point("containers:images-listed");
        Ok(())
    }

    fn write_documents(&self, image: &NewImage) -> Result<(), StoreError> {
        let dir = self.store.dir();
        let place = Path::new("overlay-images").join(image.id.as_str());
        durable::create_dir_all(dir, &place, 0o700)?;
        self.store
            .set_label(dir, &place, &place.to_string_lossy(), 0o040_700)?;
        for (key, bytes) in image.documents() {
            let path = place.join(file_of(&key));
            durable::publish_no_sync(dir, &path, bytes, 0o600)?;
            self.store
                .set_label(dir, &path, &path.to_string_lossy(), 0o100_600)?;
        }
        Ok(())
    }

    fn enter(&self, image: &NewImage, list: &mut Vec<ImageRecord>) {
        for other in list
            .iter_mut()
            .filter(|other| other.id != image.id.as_str())
        {
            give_up(other, &image.names);
        }
        let at = list.iter().position(|other| other.id == image.id.as_str());
        let at = at.unwrap_or_else(|| {
            list.push(ImageRecord {
                id: image.id.to_string(),
                created: image.created.clone().unwrap_or_else(|| self.now.clone()),
                ..ImageRecord::default()
            });
            list.len() - 1
        });
        if let Some(record) = list.get_mut(at) {
            image.describe(record);
        }
    }
}

impl NewImage {
    fn documents(&self) -> Documents<'_> {
        let hex = self
            .manifest_digest
            .split_once(':')
            .map_or("", |(_, hex)| hex);
        [
            (self.config_digest.clone(), &self.config),
            (format!("manifest-{}", self.manifest_digest), &self.manifest),
            ("manifest".to_owned(), &self.manifest),
            // There are none, which programs ask for.
            (format!("signature-{hex}"), &[]),
        ]
    }

    fn describe(&self, record: &mut ImageRecord) {
        let fresh = self.names.iter();
        let fresh: Vec<_> = fresh.filter(|name| !record.names.contains(name)).collect();
        for name in fresh.into_iter().rev() {
            record.names.insert(0, name.clone());
            record.names_history.retain(|other| other != name);
            record.names_history.insert(0, name.clone());
        }
        record.digest.clone_from(&self.manifest_digest);
        record.layer = self
            .layer
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let signatures = BTreeMap::from([(&self.manifest_digest, [(); 0])]);
        let metadata = BTreeMap::from([("signatures-sizes", signatures)]);
        record.metadata = serde_json::to_string(&metadata).unwrap_or_default();
        for (key, bytes) in self.documents() {
            let digest = hex::encode(Sha256::digest(bytes));
            record
                .big_data_sizes
                .insert(key.clone(), bytes.len() as u64);
            record
                .big_data_digests
                .insert(key.clone(), format!("sha256:{digest}"));
            if !record.big_data_names.contains(&key) {
                record.big_data_names.push(key);
            }
        }
    }
}

/// Takes names from an image, which is still to be found by its digest then.
fn give_up(image: &mut ImageRecord, names: &[String]) {
    let (lost, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut image.names)
        .into_iter()
        .partition(|name| names.contains(name));
    image.names = kept;
    let by_digest = lost
        .iter()
        .filter(|name| !name.contains('@'))
        .filter_map(|name| {
            let (repository, _) = name.rsplit_once(':')?;
            Some(format!("{repository}@{}", image.digest))
        });
    for name in by_digest.filter(|_| !image.digest.is_empty()) {
        if !image.names.contains(&name) {
            image.names.push(name);
        }
    }
}

/// The file that a document of an image is in.
pub(crate) fn file_of(key: &str) -> PathBuf {
    let is_plain = |c: char| matches!(c, '.' | '0'..='9' | 'a'..='z');
    if key.chars().all(is_plain) {
        return key.into();
    }
    format!("={}", STANDARD.encode(key)).into()
}

impl StoreSession<'_> {
    /// Give an image that is there more names, which no other image has afterwards.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn name_image(&self, id: &ImageId, names: &[String]) -> Result<(), StoreError> {
        let dir = self.store.dir();
        let lock = Lock::exclusive(dir, Path::new(IMAGES_LOCK), self.timeout)?;
        let mut list: Vec<ImageRecord> = read_list(dir, IMAGES)?;
        for image in &mut list {
            if image.id != id.as_str() {
                give_up(image, names);
                continue;
            }
            for name in names {
                if !image.names.contains(name) {
                    image.names.push(name.clone());
                    image.names_history.push(name.clone());
                }
            }
        }
        self.store.replace_list(IMAGES, &list, IMAGES_LOCK)?;
        drop(lock);
        Ok(())
    }
}
