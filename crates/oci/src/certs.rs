//! Certificates for single registries: containers-certs.d(5).
//!
//! A directory has one directory for each registry, named `host` or `host:port`. In it, every `*.crt` is
//! a certificate authority that is trusted besides the system's, and every `NAME.cert` with its
//! `NAME.key` a certificate that proves who we are.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use error_class::{Classified, ErrorClass};
use rustix::fs::{Dir, Mode, OFlags};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::limits;
use crate::registry::{CaRoots, CaRootsError};

/// Where certificates for single registries are. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct CertDirs(Arc<Places>);

#[derive(Debug, Default)]
enum Places {
    /// Directories with one directory for each registry, the most important first.
    ByHost(Vec<Place>),
    /// One directory for whatever registry.
    Only(Place),
    #[default]
    None,
}

/// A directory, and what messages call it.
#[derive(Debug)]
pub struct Place {
    /// Its path.
    pub origin: PathBuf,
    /// The directory.
    pub dir: OwnedFd,
}

/// What is special about one registry.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostCerts {
    /// Authorities that are trusted besides the system's.
    pub(crate) roots: CaRoots,
    /// What proves who we are.
    pub(crate) identity: Option<Identity>,
}

/// A certificate with its chain, and the key that belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Arc<PrivateKeyDer<'static>>,
}

impl CertDirs {
    /// Directories with one directory for each registry, the most important first: the first that has
    /// something for a registry is the one that is used.
    #[must_use]
    pub fn by_host(dirs: Vec<Place>) -> Self {
        Self(Arc::new(Places::ByHost(dirs)))
    }

    /// One directory, used for whatever registry is asked.
    #[must_use]
    pub fn only(dir: Place) -> Self {
        Self(Arc::new(Places::Only(dir)))
    }

    /// What there is for a registry (`host[:port]`).
    pub(crate) fn load(&self, registry: &str) -> Result<HostCerts, CertsError> {
        match &*self.0 {
            Places::None => Ok(HostCerts::default()),
            Places::Only(place) => load(place.dir.as_fd(), &place.origin),
            Places::ByHost(places) => {
                // A registry cannot have a name that leads out of the directory, but for `.`s.
                for place in places.iter().filter(|_| !registry.starts_with('.')) {
                    if let Some(dir) = open_dir(place.dir.as_fd(), registry)? {
                        return load(dir.as_fd(), &place.origin.join(registry));
                    }
                }
                Ok(HostCerts::default())
            }
        }
    }
}

fn open_dir(base: BorrowedFd<'_>, name: &str) -> Result<Option<OwnedFd>, CertsError> {
    use rustix::io::Errno;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(base, name, flags, Mode::empty()) {
        Ok(dir) => Ok(Some(dir)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(CertsError::Read {
            path: name.into(),
            cause: error.into(),
        }),
    }
}

fn load(dir: BorrowedFd<'_>, origin: &Path) -> Result<HostCerts, CertsError> {
    let mut certs = HostCerts::default();
    for name in names(dir).map_err(|cause| CertsError::Read {
        path: origin.to_owned(),
        cause,
    })? {
        let path = Path::new(&name);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => {
                let pem = read(dir, path, origin)?;
                let shown = origin.join(path).display().to_string();
                certs.roots = certs.roots.with_pem(&shown, &pem)?;
            }
            Some("cert") => certs.identity = Some(identity(dir, path, origin)?),
            Some("key") if !exists(dir, &path.with_extension("cert")) => {
                return Err(CertsError::Alone {
                    path: origin.join(path),
                    missing: "cert",
                });
            }
            _ => {}
        }
    }
    Ok(certs)
}

fn names(dir: BorrowedFd<'_>) -> std::io::Result<Vec<OsString>> {
    use std::os::unix::ffi::OsStringExt;
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        names.push(OsString::from_vec(entry?.file_name().to_bytes().to_vec()));
    }
    names.sort();
    Ok(names)
}

fn exists(dir: BorrowedFd<'_>, path: &Path) -> bool {
    rustix::fs::statat(dir, path, rustix::fs::AtFlags::empty()).is_ok()
}

fn read(dir: BorrowedFd<'_>, path: &Path, origin: &Path) -> Result<Vec<u8>, CertsError> {
    let read =
        durable::read_optional(dir, path, limits::CERTIFICATES).map_err(CaRootsError::from)?;
    read.ok_or_else(|| CertsError::Read {
        path: origin.join(path),
        cause: std::io::ErrorKind::NotFound.into(),
    })
}

fn identity(dir: BorrowedFd<'_>, path: &Path, origin: &Path) -> Result<Identity, CertsError> {
    let key = path.with_extension("key");
    if !exists(dir, &key) {
        return Err(CertsError::Alone {
            path: origin.join(path),
            missing: "key",
        });
    }
    let malformed = |path: &Path, cause: String| CertsError::Malformed {
        path: origin.join(path),
        cause,
    };
    let pem = read(dir, path, origin)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|cause| malformed(path, cause.to_string()))?;
    if chain.is_empty() {
        return Err(malformed(path, "it has no certificate".to_owned()));
    }
    let pem = read(dir, &key, origin)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|cause| malformed(&key, format!("it has no usable key: {cause}")))?;
    Ok(Identity {
        chain,
        key: Arc::new(key),
    })
}

/// Certificates for a registry are unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertsError {
    /// A file or directory cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// An authority's certificate is unusable.
    #[error(transparent)]
    Roots(#[from] CaRootsError),
    /// A certificate without its key, or the other way round.
    #[error("{} has no {} of the same name beside it", .path.display(), .missing)]
    Alone {
        /// The file that is there.
        path: PathBuf,
        /// The extension of the one that is not.
        missing: &'static str,
    },
    /// A certificate or key of ours is not one.
    #[error("{}: {cause}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
}

impl Classified for CertsError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { cause, .. } => cause.class(),
            Self::Roots(cause) => cause.class(),
            Self::Alone { .. } | Self::Malformed { .. } => ErrorClass::InvalidInput,
        }
    }
}
