//! How images are reached: credentials, certificates, what the network may cost.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use containers::config::Config as Storage;
use error_class::{Classified, ErrorClass};
use oci::certs::{CertDirs, Place};
use oci::context::Context;
use oci::credentials::{AuthFile, AuthFileError, Credentials};
use oci::limits;
use oci::proxies::Proxies;
use oci::reference::{ImageReference, Transport};
use oci::registries::{Registries, RegistriesError};
use oci::registry::{CaRoots, CaRootsError};
use progress::Interrupt;
use rustix::fs::{Dir, DirEntry, Mode, OFlags};
use rustix::io::Errno;

/// Where a system keeps credentials for its own images, the most important first; those of ostree-ext
/// and bootc.
const SYSTEM_FILES: [&str; 3] = [
    "/run/ostree/auth.json",
    "/etc/ostree/auth.json",
    "/usr/lib/ostree/auth.json",
];

/// How images are reached.
#[derive(Debug)]
pub struct Access {
    /// The root directory of the running system; absolute paths start here.
    pub root: OwnedFd,
    /// Where relative paths start, those of `oci:` references and of the user's files.
    pub files: OwnedFd,
    /// The only credentials file to use.
    pub authfile: Option<PathBuf>,
    /// Use no credentials at all.
    pub anonymous: bool,
    /// The user's own credentials files, asked after those of the system; a missing one is fine.
    pub user_files: Vec<PathBuf>,
    /// The bundle of certificate authorities, instead of the system's.
    pub ca_bundle: Option<PathBuf>,
    /// The directory with certificates for whatever registry, instead of those for single ones.
    pub cert_dir: Option<PathBuf>,
    /// Whether registries must prove who they are; when nothing is said, configuration decides.
    pub tls_verify: Option<bool>,
    /// The only registries.conf to read.
    pub registries_conf: Option<PathBuf>,
    /// The directory with drop-ins for it, instead of the usual ones.
    pub registries_dir: Option<PathBuf>,
    /// Where the user has containers' configuration that comes before the system's.
    pub user_configuration: Option<PathBuf>,
    /// The image policy to follow instead of the user's or the system's.
    pub signature_policy: Option<PathBuf>,
    /// The directory that says where signatures are, instead of the usual ones.
    pub lookaside_dir: Option<PathBuf>,
    /// How servers elsewhere are reached.
    pub proxies: Proxies,
    /// Whether the storage of podman is that of the system, and we may read all of it.
    pub reads_storage: bool,
    /// The only storage.conf to read.
    pub storage_conf: Option<PathBuf>,
    /// The physical root whose stores may have layers that need not be fetched; podman's storage may, too, then.
    pub stores: Option<OwnedFd>,
    /// Spreads retries of many machines over time; any number of this machine's own.
    pub seed: u64,
}

/// Why images cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A file with credentials that was asked for is not there.
    #[error("there is no credentials file {}", .0.display())]
    NoAuthFile(PathBuf),
    /// A credentials file cannot be read.
    #[error(transparent)]
    Read(#[from] durable::Error),
    /// A credentials file cannot be understood.
    #[error(transparent)]
    AuthFile(#[from] AuthFileError),
    /// A registries.conf that was asked for is not there.
    #[error("there is no registries configuration {}", .0.display())]
    NoRegistriesConf(PathBuf),
    /// What is said about registries cannot be understood.
    #[error(transparent)]
    Registries(#[from] RegistriesError),
    /// A directory cannot be read.
    #[error("cannot read directory {}: {cause}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The certificate authorities cannot be read.
    #[error(transparent)]
    Roots(#[from] CaRootsError),
    /// A directory descriptor cannot be copied.
    #[error("cannot copy a directory descriptor")]
    Descriptor(#[source] std::io::Error),
}

impl Classified for AccessError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoAuthFile(_) | Self::NoRegistriesConf(_) => ErrorClass::NotFound,
            Self::Registries(error) => error.class(),
            Self::Directory { cause, .. } => cause.class(),
            Self::Read(error) => error.class(),
            Self::AuthFile(error) => error.class(),
            Self::Roots(error) => error.class(),
            Self::Descriptor(error) => error.class(),
        }
    }
}

/// Where containers-storage.conf(5) is, the one instead of the other.
const STORAGE_CONF: [&str; 2] = [
    "/etc/containers/storage.conf",
    "/usr/share/containers/storage.conf",
];

impl Access {
    /// What opening `image` needs. Files are only read when the image comes from a registry.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(crate) fn context(
        &self,
        image: &ImageReference,
        interrupt: &Interrupt,
    ) -> Result<Context, AccessError> {
        let mut context = Context::new(self.files.try_clone().map_err(AccessError::Descriptor)?);
        context.interrupt = interrupt.clone();
        context.retry.seed = self.seed;
        if image.transport == Transport::ContainersStorage && self.reads_storage {
            context.storage = self.storage()?;
        }
        context.stores = self.local_layers();
        if image.transport != Transport::Registry {
            return Ok(context);
        }
        context.registries = self.registries()?;
        context.credentials = self.all_credentials(&context.registries)?;
        context.roots = CaRoots::system(self.root.as_fd(), self.ca_bundle.as_deref())?;
        context.certs = self.certs()?;
        context.proxies = self.proxies.clone();
        context.always_verify = self.tls_verify == Some(true);
        if self.tls_verify == Some(false) {
            self.allow_insecure(image, &mut context);
        }
        Ok(context)
    }

    /// The same with credentials from `file` only.
    pub(crate) fn with_authfile(&self, file: &Path) -> Result<Self, AccessError> {
        let copy = |fd: &OwnedFd| fd.try_clone().map_err(AccessError::Descriptor);
        Ok(Self {
            root: copy(&self.root)?,
            files: copy(&self.files)?,
            authfile: Some(file.to_owned()),
            user_files: Vec::new(),
            ca_bundle: self.ca_bundle.clone(),
            cert_dir: self.cert_dir.clone(),
            registries_conf: self.registries_conf.clone(),
            registries_dir: self.registries_dir.clone(),
            user_configuration: self.user_configuration.clone(),
            signature_policy: self.signature_policy.clone(),
            lookaside_dir: self.lookaside_dir.clone(),
            proxies: self.proxies.clone(),
            storage_conf: self.storage_conf.clone(),
            stores: self.stores.as_ref().map(copy).transpose()?,
            ..*self
        })
    }

    /// Where podman keeps images, if that can be understood.
    pub(crate) fn storage(&self) -> Result<Option<Storage>, AccessError> {
        let chosen = self.storage_conf.as_deref();
        let usual = STORAGE_CONF.map(Path::new);
        let paths = chosen.map_or_else(|| usual.to_vec(), |chosen| vec![chosen]);
        for path in paths {
            if let Some(bytes) = self.read_bytes(path)? {
                return Ok(Storage::parse(&String::from_utf8_lossy(&bytes)));
            }
        }
        Ok(chosen.is_none().then(Storage::default))
    }

    /// The registry of the image, and its mirrors, need not prove anything.
    fn allow_insecure(&self, image: &ImageReference, context: &mut Context) {
        // What is wrong with the name is said when the image is opened.
        let Some(Ok(name)) = image.as_registry() else {
            return;
        };
        let sources = context.registries.sources(&name).unwrap_or_default();
        let hosts = sources.iter().map(|source| source.name.registry());
        context.insecure_hosts.extend(hosts.map(str::to_owned));
    }

    /// The credentials files, and the helpers that registries.conf names.
    fn all_credentials(&self, registries: &Registries) -> Result<Credentials, AccessError> {
        let credentials = self.credentials()?;
        if self.anonymous || self.authfile.is_some() {
            return Ok(credentials);
        }
        let (before, after) = registries.credential_helpers();
        Ok(credentials.with_helpers("registries.conf", before, after))
    }

    /// What registries.conf(5) and its drop-ins say: the user's file instead of the system's, the
    /// drop-ins of both.
    fn registries(&self) -> Result<Registries, AccessError> {
        let mut registries = Registries::default();
        let user = self.user_configuration.as_deref();
        let mut files = vec![Path::new("/etc/containers/registries.conf").to_owned()];
        files.extend(user.map(|dir| dir.join("registries.conf")));
        if let Some(chosen) = &self.registries_conf {
            let bytes = self.read_bytes(chosen)?;
            let bytes = bytes.ok_or_else(|| AccessError::NoRegistriesConf(chosen.clone()))?;
            registries.add(&chosen.to_string_lossy(), &bytes)?;
        } else {
            self.add_first(&mut registries, files.iter().rev())?;
        }
        let usual = Path::new("/etc/containers/registries.conf.d").to_owned();
        let of_user = user.map(|dir| dir.join("registries.conf.d"));
        let dirs = match &self.registries_dir {
            Some(chosen) => vec![chosen.clone()],
            None => [usual].into_iter().chain(of_user).collect(),
        };
        for dir in dirs {
            self.add_drop_ins(&mut registries, &dir)?;
        }
        Ok(registries)
    }

    fn add_first<'a>(
        &self,
        registries: &mut Registries,
        files: impl Iterator<Item = &'a PathBuf>,
    ) -> Result<(), AccessError> {
        for path in files {
            if let Some(bytes) = self.read_bytes(path)? {
                registries.add(&path.to_string_lossy(), &bytes)?;
                return Ok(());
            }
        }
        Ok(())
    }

    fn add_drop_ins(&self, registries: &mut Registries, dir: &Path) -> Result<(), AccessError> {
        for name in self.names_in(dir)? {
            let path = dir.join(&name);
            if path
                .extension()
                .is_some_and(|extension| extension == "conf")
                && let Some(bytes) = self.read_bytes(&path)?
            {
                registries.add(&path.to_string_lossy(), &bytes)?;
            }
        }
        Ok(())
    }

    /// The names in a directory, in order; none when there is none.
    pub(crate) fn names_in(&self, dir: &Path) -> Result<Vec<String>, AccessError> {
        let Some(descriptor) = self.open_dir(dir)? else {
            return Ok(Vec::new());
        };
        let list = || -> rustix::io::Result<Vec<String>> {
            let entries = Dir::read_from(&descriptor)?;
            let name = |entry: rustix::io::Result<DirEntry>| {
                Ok(entry?.file_name().to_string_lossy().into_owned())
            };
            entries.map(name).collect()
        };
        let mut names = list().map_err(|cause| AccessError::Directory {
            path: dir.to_owned(),
            cause: cause.into(),
        })?;
        names.sort();
        Ok(names)
    }

    fn open_dir(&self, path: &Path) -> Result<Option<OwnedFd>, AccessError> {
        let (base, below) = self.resolve(path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(base, below, flags, Mode::empty()) {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(cause) => Err(AccessError::Directory {
                path: path.to_owned(),
                cause: cause.into(),
            }),
        }
    }

    fn certs(&self) -> Result<CertDirs, AccessError> {
        if let Some(path) = &self.cert_dir {
            let dir = self.open_dir(path)?;
            let dir = dir.ok_or_else(|| AccessError::Directory {
                path: path.clone(),
                cause: std::io::ErrorKind::NotFound.into(),
            })?;
            let origin = path.clone();
            return Ok(CertDirs::only(Place { origin, dir }));
        }
        let of_user = self.user_configuration.as_ref();
        let of_system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        let mut places = Vec::new();
        for origin in of_user
            .map(|dir| dir.join("certs.d"))
            .into_iter()
            .chain(of_system)
        {
            if let Some(dir) = self.open_dir(&origin)? {
                places.push(Place { origin, dir });
            }
        }
        Ok(CertDirs::by_host(places))
    }

    fn credentials(&self) -> Result<Credentials, AccessError> {
        if self.anonymous {
            return Ok(Credentials::none());
        }
        if let Some(path) = &self.authfile {
            let file = self
                .read(path)?
                .ok_or_else(|| AccessError::NoAuthFile(path.clone()))?;
            return Ok(Credentials::from_files(vec![file]));
        }
        let system = SYSTEM_FILES.iter().map(Path::new);
        let user = self.user_files.iter().map(PathBuf::as_path);
        let found: Result<Vec<_>, _> = system.chain(user).map(|path| self.read(path)).collect();
        Ok(Credentials::from_files(
            found?.into_iter().flatten().collect(),
        ))
    }

    fn read(&self, path: &Path) -> Result<Option<AuthFile>, AccessError> {
        let parse = |bytes: Vec<u8>| AuthFile::parse(path.to_string_lossy(), &bytes);
        Ok(self.read_bytes(path)?.map(parse).transpose()?)
    }

    pub(crate) fn read_bytes(&self, path: &Path) -> Result<Option<Vec<u8>>, AccessError> {
        let (base, below) = self.resolve(path);
        Ok(durable::read_optional(base, below, limits::AUTH_FILE)?)
    }

    /// A path as the user means it: absolute ones start at the root.
    fn resolve<'a>(&'a self, path: &'a Path) -> (BorrowedFd<'a>, &'a Path) {
        match path.strip_prefix("/") {
            Ok(below) => (self.root.as_fd(), below),
            Err(_) => (self.files.as_fd(), path),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use oci::credentials::Lookup;

    use super::*;

    fn dir(path: &Path) -> OwnedFd {
        fs::File::open(path).unwrap().into()
    }

    fn access(root: &Path) -> Access {
        Access {
            root: dir(root),
            files: dir(root),
            authfile: None,
            anonymous: false,
            user_files: vec!["/home/me/auth.json".into(), "/nowhere/auth.json".into()],
            ca_bundle: None,
            cert_dir: None,
            tls_verify: None,
            registries_conf: None,
            registries_dir: None,
            user_configuration: None,
            signature_policy: None,
            lookaside_dir: None,
            proxies: Proxies::default(),
            reads_storage: false,
            storage_conf: None,
            stores: None,
            seed: 0,
        }
    }

    fn write(root: &Path, path: &str, registry: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // "me:secret"
        fs::write(
            path,
            format!(r#"{{"auths":{{"{registry}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#),
        )
        .unwrap();
    }

    fn origin(access: &Access, registry: &str) -> Option<String> {
        let lookups = access.credentials().unwrap().lookup(registry, "os");
        lookups.into_iter().find_map(|lookup| match lookup {
            Lookup::Found(found) => Some(found.origin),
            Lookup::Helper { .. } => None,
        })
    }

    #[test]
    fn the_files_of_the_system_come_before_those_of_the_user() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "etc/ostree/auth.json", "a.example");
        write(root.path(), "usr/lib/ostree/auth.json", "a.example");
        write(root.path(), "home/me/auth.json", "b.example");
        let access = access(root.path());
        assert_eq!(
            origin(&access, "a.example").as_deref(),
            Some("/etc/ostree/auth.json")
        );
        assert_eq!(
            origin(&access, "b.example").as_deref(),
            Some("/home/me/auth.json")
        );
        assert_eq!(origin(&access, "c.example"), None);
    }

    #[test]
    fn a_file_that_was_named_is_the_only_one_and_must_exist() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "etc/ostree/auth.json", "a.example");
        write(root.path(), "mine.json", "b.example");
        let mut access = access(root.path());
        access.authfile = Some("mine.json".into());
        assert_eq!(origin(&access, "b.example").as_deref(), Some("mine.json"));
        assert_eq!(origin(&access, "a.example"), None);
        access.authfile = Some("/none.json".into());
        assert_eq!(
            access.credentials().unwrap_err().class(),
            ErrorClass::NotFound
        );
        access.anonymous = true;
        assert_eq!(origin(&access, "a.example"), None);
    }
}
