//! How images are reached: credentials, certificates, what the network may cost.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use error_class::{Classified, ErrorClass};
use oci::context::Context;
use oci::credentials::{AuthFile, AuthFileError, Credentials};
use oci::limits;
use oci::reference::{ImageReference, Transport};
use oci::registry::{CaRoots, CaRootsError};
use progress::Interrupt;

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
    /// Accept plain HTTP and any certificate from the registry of the image.
    pub insecure: bool,
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
            Self::NoAuthFile(_) => ErrorClass::NotFound,
            Self::Read(error) => error.class(),
            Self::AuthFile(error) => error.class(),
            Self::Roots(error) => error.class(),
            Self::Descriptor(error) => error.class(),
        }
    }
}

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
        if image.transport != Transport::Registry {
            return Ok(context);
        }
        context.credentials = self.credentials()?;
        context.roots = CaRoots::system(self.root.as_fd(), self.ca_bundle.as_deref())?;
        if let Some(Ok(name)) = image.as_registry().filter(|_| self.insecure) {
            context.insecure_hosts.insert(name.registry().to_owned());
        }
        Ok(context)
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
        let (base, below) = self.resolve(path);
        let bytes = durable::read_optional(base, below, limits::AUTH_FILE)?;
        let parse = |bytes: Vec<u8>| AuthFile::parse(path.to_string_lossy(), &bytes);
        Ok(bytes.map(parse).transpose()?)
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
            insecure: false,
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
        match access.credentials().unwrap().lookup(registry, "os") {
            Lookup::Found(found) => Some(found.origin),
            _ => None,
        }
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
