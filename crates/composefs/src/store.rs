use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use composefs_format::{Algorithm, Digest, VerityHasher, Version};
use durable::IoContext as _;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::meta::Meta;
use crate::{Category, StoreError};

/// Where the repository describes itself.
const META: &str = "meta.json";

/// Largest description that is read.
const MAX_META: u64 = 1024 * 1024;

/// Largest stream or image that is read: they are held in memory.
const MAX_DOCUMENT: u64 = 4 << 30;

/// Objects may be more open here than where the system shows them, so nobody but root gets in.
const PRIVATE: u32 = 0o700;

/// Marks files that the kernel verifies, in `stx_attributes`.
const VERIFIED: u64 = 0x0010_0000;

/// An open repository of composefs.
#[derive(Debug)]
pub struct Store {
    dir: OwnedFd,
    objects: OwnedFd,
    algorithm: Algorithm,
    versions: Vec<Version>,
    demands_verity: bool,
}

impl Store {
    /// Open the repository at `path` below `base`; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] when it is one that this program must not write to.
    pub fn open(base: BorrowedFd<'_>, path: &Path) -> Result<Option<Self>, StoreError> {
        let Some((dir, algorithm, versions)) = described(base, path)? else {
            return Ok(None);
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let objects = rustix::fs::openat(&dir, "objects", flags, Mode::empty());
        let store = Self {
            objects: objects.during("open", "objects")?,
            demands_verity: is_verified(&dir)?,
            dir,
            algorithm,
            versions,
        };
        store.lock_shared()?;
        Ok(Some(store))
    }

    /// Open it, or make it, with digests of `algorithm`. What was begun is completed.
    ///
    /// # Errors
    /// [`StoreError`]; what was made until then stays.
    pub fn ensure(
        base: BorrowedFd<'_>,
        path: &Path,
        algorithm: Algorithm,
    ) -> Result<Self, StoreError> {
        let is_new = described(base, path)?.is_none();
        if is_new {
            durable::create_dir_all(base, path, PRIVATE)?;
        }
        // A new one of `cfsctl` has none of them.
        for name in ["objects", "images/refs", "streams/refs"] {
            durable::create_dir_all(base, &path.join(name), 0o755)?;
        }
        if is_new {
            // It is a repository once it says so.
            let meta = Meta::initial(algorithm).to_bytes()?;
            durable::publish(base, &path.join(META), &meta, 0o644)?;
        }
        Self::open(base, path)?.ok_or_else(|| StoreError::Foreign {
            what: "no description".to_owned(),
        })
    }

    /// The same repository once more, with the same lock.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self {
            dir: self.dir.try_clone()?,
            objects: self.objects.try_clone()?,
            algorithm: self.algorithm,
            versions: self.versions.clone(),
            demands_verity: self.demands_verity,
        })
    }

    /// What its digests are made with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The form of its images.
    #[must_use]
    pub fn version(&self) -> Version {
        self.versions.first().copied().unwrap_or_default()
    }

    /// All forms in which it has images, the one that counts first.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// Whether the kernel has to verify every object, as it verifies `meta.json`.
    #[must_use]
    pub const fn demands_verity(&self) -> bool {
        self.demands_verity
    }

    pub(crate) const fn now_demands_verity(&mut self) {
        self.demands_verity = true;
    }

    /// The description, and what it says.
    pub(crate) fn meta(&self) -> Result<(File, Vec<u8>), StoreError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, META, flags, Mode::empty());
        let file = File::from(file.during("open", META)?);
        let mut content = Vec::new();
        let read = (&file).take(MAX_META).read_to_end(&mut content);
        read.during("read", META)?;
        Ok((file, content))
    }

    /// The repository itself.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The directory of objects.
    #[must_use]
    pub fn objects(&self) -> BorrowedFd<'_> {
        self.objects.as_fd()
    }

    /// Whether nobody but its owner gets in: then objects may belong to anybody.
    ///
    /// # Errors
    /// What the system said.
    pub fn is_private(&self) -> Result<bool, StoreError> {
        let stat = rustix::fs::fstat(&self.dir).during("look at", ".")?;
        Ok(stat.st_mode & 0o077 == 0)
    }

    /// The directory of objects, reached so that they can be linked to and from other stores of the file system.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn bare_objects(&self) -> std::io::Result<OwnedFd> {
        durable::reach_bare(self.objects())
    }

    /// Whether there is an object with this digest.
    ///
    /// # Errors
    /// What the system said.
    pub fn has_object(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = digest.object_path();
        match rustix::fs::statat(&self.objects, &path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Ok(Err(error).during("look for object", path)?),
        }
    }

    /// Open an object.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or what the system said.
    pub fn open_object(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = digest.object_path();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.objects, &path, flags, Mode::empty()) {
            Ok(file) => Ok(file.into()),
            Err(Errno::NOENT) => Err(StoreError::Missing {
                digest: digest.to_string(),
            }),
            Err(error) => Ok(Err(error).during("open object", path)?),
        }
    }

    /// The content of an object that is no file of a root, verified.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], and as [`Store::open_object`].
    pub fn read_object(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let mut content = Vec::new();
        let file = self.open_object(digest)?;
        let read = file.take(MAX_DOCUMENT).read_to_end(&mut content);
        read.during("read object", digest.object_path())?;
        if VerityHasher::digest(self.algorithm, &content) != *digest {
            let digest = digest.to_string();
            return Err(StoreError::Damaged { digest });
        }
        Ok(content)
    }

    /// The names of all objects; what is in their directory and cannot be one by its path.
    ///
    /// # Errors
    /// What the system said.
    pub fn object_names(&self) -> Result<Vec<Result<Digest, String>>, StoreError> {
        let mut names = Vec::new();
        for head in self.list("objects")? {
            let dir = format!("objects/{head}");
            for name in self.list(&dir)? {
                let digest = format!("{head}{name}").parse::<Digest>().ok();
                let digest =
                    digest.filter(|digest| head.len() == 2 && digest.algorithm() == self.algorithm);
                names.push(digest.ok_or_else(|| format!("{dir}/{name}")));
            }
        }
        Ok(names)
    }

    /// What is in a directory of the repository; nothing when it is not there.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<String>, StoreError> {
        let dir = match self.open_dir(if path.is_empty() { "." } else { path }) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            other => other.during("open", path)?,
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&dir).during("read", path)? {
            let entry = entry.during("read", path)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(crate) fn open_dir(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, path, flags, Mode::empty())
    }

    /// Keep an image under its digest, and under a name if it has one. Everything that was written to the file
    /// system before is on disk before the image has its name, so that it never lacks an object.
    ///
    /// # Errors
    /// [`StoreError`]; the name stands for what it stood for before.
    pub fn add_image(&self, image: &[u8], name: Option<&str>) -> Result<Digest, StoreError> {
        let mut batch = self.begin()?;
        let digest = batch.add_image(image)?;
        if let Some(name) = name {
            batch.refer(Category::Images, name, &digest.to_string())?;
        }
        batch.commit()?;
        durable::sync_filesystem(self.dir())?;
        Ok(digest)
    }

    /// Makes the directory of an object.
    pub(crate) fn make_head(&self, object: &str) -> Result<(), StoreError> {
        let (head, _) = object.split_once('/').unwrap_or((object, ""));
        match rustix::fs::mkdirat(&self.objects, head, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Ok(Err(error).during("create", head)?),
        }
    }
}

/// The directory of a repository that this program may write to, and what it says about itself; `None` when it
/// says nothing.
fn described(
    base: BorrowedFd<'_>,
    path: &Path,
) -> Result<Option<(OwnedFd, Algorithm, Vec<Version>)>, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match rustix::fs::openat(base, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.during("open", path)?,
    };
    let Some(meta) = durable::read_optional(dir.as_fd(), Path::new(META), MAX_META)? else {
        return Ok(None);
    };
    let (algorithm, versions) = Meta::from_bytes(&meta)?.usable()?;
    Ok(Some((dir, algorithm, versions)))
}

/// Whether the kernel verifies the description, which means that it must verify all objects.
fn is_verified(dir: &OwnedFd) -> Result<bool, StoreError> {
    let mask = rustix::fs::StatxFlags::BASIC_STATS;
    let stat = rustix::fs::statx(dir, META, AtFlags::SYMLINK_NOFOLLOW, mask);
    let attributes = stat.during("look at", META)?.stx_attributes;
    Ok(attributes.bits() & VERIFIED != 0)
}
