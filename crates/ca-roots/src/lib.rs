//! The certificate authorities that servers must be vouched for by.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use error_class::{Classified, ErrorClass};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts};

/// Largest bundle of certificate authorities that is read, in bytes.
const MAX_BUNDLE: u64 = 8 << 20;

/// Where distributions keep the bundle of system-wide authorities, relative to the root.
const SYSTEM_BUNDLES: &[&str] = &[
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
];

/// Certificate authorities that are trusted. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct CaRoots(Arc<Vec<CertificateDer<'static>>>);

impl CaRoots {
    /// None at all: no HTTPS server is trusted.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The authorities of the system below `root`: the file `chosen` if there is one (what
    /// `SSL_CERT_FILE` says, which the caller reads), otherwise the first bundle found at the usual
    /// places; none if there is no bundle.
    ///
    /// # Errors
    /// A file cannot be read or is not a certificate bundle; the chosen one is missing.
    pub fn system(root: BorrowedFd<'_>, chosen: Option<&Path>) -> Result<Self, CaRootsError> {
        if let Some(path) = chosen {
            return Self::from_file(root, path)?.ok_or_else(|| {
                let path = path.display().to_string();
                CaRootsError::Missing(path)
            });
        }
        for path in SYSTEM_BUNDLES {
            if let Some(roots) = Self::from_file(root, Path::new(path))? {
                return Ok(roots);
            }
        }
        Ok(Self::none())
    }

    fn from_file(root: BorrowedFd<'_>, path: &Path) -> Result<Option<Self>, CaRootsError> {
        let pem = durable::read_optional(root, path, MAX_BUNDLE)?;
        let parse = |pem: Vec<u8>| Self::none().with_pem(&path.to_string_lossy(), &pem);
        pem.map(parse).transpose()
    }

    /// These and the authorities in a PEM file; `origin` names it in messages. Anything else in the
    /// file is ignored.
    ///
    /// # Errors
    /// The file has a malformed certificate, or none.
    pub fn with_pem(&self, origin: &str, pem: &[u8]) -> Result<Self, CaRootsError> {
        let mut certificates = self.0.to_vec();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| CaRootsError::Malformed {
                origin: origin.to_owned(),
                cause: error.to_string(),
            })?;
            certificates.push(certificate);
        }
        if certificates.len() == self.0.len() {
            return Err(CaRootsError::Empty(origin.to_owned()));
        }
        Ok(Self(Arc::new(certificates)))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the form of the HTTP library.
    #[must_use]
    pub fn to_ureq(&self) -> RootCerts {
        let own = |der: &CertificateDer<'_>| Certificate::from_der(der).to_owned();
        RootCerts::Specific(Arc::new(self.0.iter().map(own).collect()))
    }

    /// Each of them, in DER.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter()
    }
}

/// A bundle of certificate authorities is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaRootsError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] durable::Error),
    /// It was chosen and is not there.
    #[error("certificate bundle {0} does not exist")]
    Missing(String),
    /// It is not well-formed PEM.
    #[error("certificate bundle {origin} is malformed: {cause}")]
    Malformed {
        /// The file.
        origin: String,
        /// Why.
        cause: String,
    },
    /// It has no certificate.
    #[error("certificate bundle {0} has no certificate")]
    Empty(String),
}

impl Classified for CaRootsError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Io(cause) => cause.class(),
            Self::Missing(_) => ErrorClass::NotFound,
            Self::Malformed { .. } | Self::Empty(_) => ErrorClass::InvalidInput,
        }
    }
}
