//! Reading a storage of the driver `overlay`: its lists of images and layers, and what is kept of each.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use serde::de::DeserializeOwned;

mod tar_split;

pub use tar_split::LayerFiles;
use tar_split::TarSplit;

use crate::session::file_of;
use crate::{ContainerStore, LayerId};

/// Longest list of a storage or document of an image that is read, in bytes.
const LONGEST: u64 = 256 << 20;
/// How many layers an image may have.
const MOST_LAYERS: usize = 4096;

/// Storages that images are looked for in, the one before the other.
#[derive(Debug)]
pub struct Storages(Vec<Storage>);

#[derive(Debug)]
struct Storage {
    root: OwnedFd,
    images: Vec<ListedImage>,
    layers: Vec<ListedLayer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ListedImage {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    layer: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ListedLayer {
    id: String,
    #[serde(default)]
    parent: String,
    #[serde(default)]
    diff_digest: String,
    #[serde(default)]
    diff_size: u64,
}

/// An image in a storage.
#[derive(Debug)]
pub struct StoredImage {
    /// Its number, 64 hexadecimal digits.
    pub id: String,
    /// From the lowest to the highest.
    pub layers: Vec<StoredLayer>,
    documents: OwnedFd,
}

/// A layer in a storage.
#[derive(Debug)]
pub struct StoredLayer {
    /// The digest of its archive, uncompressed, with the algorithm in front.
    pub diff_id: String,
    /// The size of that, in bytes.
    pub size: u64,
    files: OwnedFd,
    /// The storage, and the file in it with the archive's headers.
    storage: OwnedFd,
    headers: PathBuf,
}

impl Storages {
    /// Opens storages by the paths of their directories, which relative ones start from `base`; those that are
    /// not there are left out.
    ///
    /// # Errors
    /// One is there and cannot be read.
    pub fn open<'p>(
        base: BorrowedFd<'_>,
        paths: impl IntoIterator<Item = &'p Path>,
    ) -> io::Result<Self> {
        let mut found = Vec::new();
        for path in paths {
            match directory(base, path) {
                Ok(root) => {
                    let root = durable::reach_bare(root.as_fd())?;
                    found.push(Storage::read(root)?);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(found))
    }

    /// The image of a name, which must be whole, with registry and tag.
    ///
    /// # Errors
    /// It cannot be read. None when there is no such image, or one of its layers is kept in a way that is
    /// not understood.
    pub fn by_name(&self, name: &str) -> io::Result<Option<StoredImage>> {
        let is_it = |image: &ListedImage| {
            let mut names = image.names.iter().flatten();
            names.any(|other| other == name)
        };
        self.find(is_it)
    }

    /// The image of a number, which must be whole.
    ///
    /// # Errors
    /// As [`by_name`](Self::by_name).
    pub fn by_id(&self, id: &str) -> io::Result<Option<StoredImage>> {
        self.find(|image| image.id == id)
    }

    /// A layer whose archive has this digest, with the algorithm in front.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn layer_with(&self, diff_id: &str) -> io::Result<Option<StoredLayer>> {
        for storage in &self.0 {
            let mut layers = storage.layers.iter();
            if let Some(layer) = layers.find(|layer| layer.diff_digest == diff_id)
                && let Some(opened) = storage.layer(layer)?
            {
                return Ok(Some(opened));
            }
        }
        Ok(None)
    }

    fn find(&self, is_it: impl Fn(&ListedImage) -> bool) -> io::Result<Option<StoredImage>> {
        for storage in &self.0 {
            let Some(image) = storage.images.iter().find(|image| is_it(image)) else {
                continue;
            };
            let path = Path::new("overlay-images").join(safe(&image.id)?);
            let documents = directory(storage.root.as_fd(), &path)?;
            let layers = self.layers_below(&image.layer)?;
            return Ok(layers.map(|layers| StoredImage {
                id: image.id.clone(),
                layers,
                documents,
            }));
        }
        Ok(None)
    }

    /// A layer and those below it, the lowest first; they may be in several storages.
    fn layers_below(&self, top: &str) -> io::Result<Option<Vec<StoredLayer>>> {
        let mut layers = Vec::new();
        let mut next = top;
        while !next.is_empty() {
            let of_storage = |storage: &'_ Storage| {
                let mut layers = storage.layers.iter();
                layers.position(|layer| layer.id == next)
            };
            let found = self
                .0
                .iter()
                .find_map(|storage| of_storage(storage).map(|at| (storage, &storage.layers[at])));
            let opened = match found {
                Some((storage, layer)) if layers.len() < MOST_LAYERS => storage.layer(layer)?,
                _ => None,
            };
            let Some((layer, opened)) = found.map(|(_, layer)| layer).zip(opened) else {
                return Ok(None);
            };
            layers.push(opened);
            next = &layer.parent;
        }
        layers.reverse();
        Ok(Some(layers))
    }
}

impl ContainerStore {
    /// A layer whose archive has this digest.
    ///
    /// # Errors
    /// The lists cannot be read.
    pub fn layer_with(&self, diff_id: &str) -> io::Result<Option<StoredLayer>> {
        self.layer_that(|layer| layer.diff_digest == diff_id)
    }

    /// The layer of this number. None when it is kept in a way that is not understood, too.
    ///
    /// # Errors
    /// The lists cannot be read, or the layer's files are not there.
    pub fn layer(&self, id: &LayerId) -> io::Result<Option<StoredLayer>> {
        self.layer_that(|layer| layer.id == id.as_str())
    }

    fn layer_that(&self, is_it: impl Fn(&ListedLayer) -> bool) -> io::Result<Option<StoredLayer>> {
        let storage = Storage::read(self.dir().try_clone_to_owned()?)?;
        let found = storage.layers.iter().find(|layer| is_it(layer));
        found.map_or(Ok(None), |layer| storage.layer(layer))
    }
}

impl Storage {
    fn read(root: OwnedFd) -> io::Result<Self> {
        // Layers that do not outlive the next boot have a list of their own.
        let mut layers = list(&root, "overlay-layers/layers.json")?;
        layers.extend(list(&root, "overlay-layers/volatile-layers.json")?);
        Ok(Self {
            images: list(&root, "overlay-images/images.json")?,
            layers,
            root,
        })
    }

    /// None when its archive cannot be made again from what is kept.
    fn layer(&self, layer: &ListedLayer) -> io::Result<Option<StoredLayer>> {
        let id = safe(&layer.id)?;
        let headers = PathBuf::from(format!("overlay-layers/{id}.tar-split.gz"));
        let dir = directory(self.root.as_fd(), &Path::new("overlay").join(id))?;
        // Files are under other names in there.
        let in_composefs = exists(&dir, Path::new("composefs-data"));
        if in_composefs || layer.diff_digest.is_empty() || !exists(&self.root, &headers) {
            return Ok(None);
        }
        Ok(Some(StoredLayer {
            diff_id: layer.diff_digest.clone(),
            size: layer.diff_size,
            files: directory(dir.as_fd(), Path::new("diff"))?,
            storage: self.root.try_clone()?,
            headers,
        }))
    }
}

impl StoredImage {
    /// A document that is kept with the image: `manifest`, or one by its digest.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn document(&self, key: &str) -> io::Result<Vec<u8>> {
        read_whole(regular_file(self.documents.as_fd(), &file_of(key))?)
    }
}

impl StoredLayer {
    /// The layer's archive, as it was before it was unpacked; unverified.
    ///
    /// # Errors
    /// It cannot be read. The reader fails when a file of the layer is not there any more, or shorter.
    pub fn archive(&self) -> io::Result<impl io::Read + Send + use<>> {
        self.tar_split()
    }

    /// The same, and the files that it is made of while it is read.
    ///
    /// # Errors
    /// As there.
    pub fn archive_and_files(&self) -> io::Result<(impl io::Read + Send + use<>, LayerFiles)> {
        let archive = self.tar_split()?;
        let files = archive.files()?;
        Ok((archive, files))
    }

    fn tar_split(&self) -> io::Result<TarSplit> {
        let headers = regular_file(self.storage.as_fd(), &self.headers)?;
        TarSplit::new(headers, self.files.try_clone()?)
    }
}

fn exists(base: &OwnedFd, path: &Path) -> bool {
    rustix::fs::statat(base, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

fn list<T: DeserializeOwned>(root: &OwnedFd, path: &str) -> io::Result<Vec<T>> {
    let bytes = match regular_file(root.as_fd(), Path::new(path)) {
        Ok(file) => read_whole(file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let malformed = |cause: serde_json::Error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{path} is malformed: {cause}"),
        )
    };
    let list: Option<Vec<T>> = serde_json::from_slice(&bytes).map_err(malformed)?;
    Ok(list.unwrap_or_default())
}

fn read_whole(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// A number from a list, which becomes part of a path.
fn safe(id: &str) -> io::Result<&str> {
    let is_safe = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_safe
        .then_some(id)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{id:?} is no number")))
}

fn directory(base: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(base, path, flags, Mode::empty()).map_err(|error| named(error, path))
}

fn regular_file(base: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(base, path, flags, Mode::empty());
    let file = File::from(file.map_err(|error| named(error, path))?);
    if !file.metadata()?.is_file() {
        return Err(named(rustix::io::Errno::INVAL, path));
    }
    Ok(file)
}

fn named(error: rustix::io::Errno, path: &Path) -> io::Error {
    let path: PathBuf = path.into();
    io::Error::new(
        error.kind(),
        format!("cannot open {}: {error}", path.display()),
    )
}
