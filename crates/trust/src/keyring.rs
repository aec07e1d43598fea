//! GPG keyrings.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use ostree::{Remote, Repo};

use signature::gpg::Keyring;

use crate::stores::{io, regular_files};
use crate::{KeyStores, TrustError, policy};

/// Largest keyring that is read.
const MAX_KEYRING: u64 = 64 * 1024 * 1024;

/// The name of the keyring of a remote, in the repository or in `/etc/ostree/remotes.d`.
pub(crate) fn name(remote: &str) -> String {
    format!("{remote}.trustedkeys.gpg")
}

/// The GPG keys that are trusted for `remote`: its keyring and `gpgkeypath`. Only a remote without
/// a keyring trusts the keys of the system, too.
///
/// # Errors
/// [`TrustError`] names the keyring that is damaged or cannot be read.
pub fn keyring_of_remote(
    repo: &Repo,
    remote: &Remote,
    stores: &KeyStores,
) -> Result<Keyring, TrustError> {
    let mut keyring = Keyring::new();
    let name = name(&remote.name);
    let own = match stored(repo, &name)? {
        Some(bytes) => Some(bytes),
        None => stores.remote_keyring(&name)?,
    };
    if let Some(bytes) = &own {
        add(&mut keyring, bytes, Path::new(&name))?;
    }
    let value = remote.get("gpgkeypath").filter(|value| !value.is_empty());
    if let Some(value) = value {
        for path in policy::list(remote, "gpgkeypath", value)? {
            add_path(&mut keyring, Path::new(path), stores)?;
        }
    }
    if own.is_none() {
        add_system(&mut keyring, stores)?;
    }
    Ok(keyring)
}

/// All GPG keys that are known to a repository and the system, whoever they are trusted for: to show
/// who signed, not to decide.
///
/// # Errors
/// [`TrustError`] names the keyring that is damaged or cannot be read.
pub fn keyring_of_all(repo: &Repo, stores: &KeyStores) -> Result<Keyring, TrustError> {
    let mut keyring = Keyring::new();
    add_dir(&mut keyring, repo.dir())?;
    add_system(&mut keyring, stores)?;
    Ok(keyring)
}

/// Add the keyrings of a directory, `*.gpg`, for example of a GnuPG home directory of old.
///
/// # Errors
/// [`TrustError`] names the keyring that is damaged or cannot be read.
pub fn keyrings_in(keyring: &mut Keyring, dir: &OwnedFd) -> Result<(), TrustError> {
    add_dir(keyring, dir.as_fd())
}

pub(crate) fn stored(repo: &Repo, name: &str) -> Result<Option<Vec<u8>>, TrustError> {
    let path = Path::new(name);
    durable::read_optional(repo.dir(), path, MAX_KEYRING).map_err(|source| io(path, source))
}

/// The bytes of a keyring; an empty file has no keys.
pub(crate) fn add(keyring: &mut Keyring, bytes: &[u8], path: &Path) -> Result<(), TrustError> {
    if bytes.is_empty() {
        return Ok(());
    }
    keyring
        .add(bytes)
        .map(|_| ())
        .map_err(|source| TrustError::Keyring {
            path: path.display().to_string(),
            source,
        })
}

/// GnuPG's own files that are no keyrings.
fn is_keyring(name: &str) -> bool {
    name.ends_with(".gpg") && name != "trustdb.gpg" && name != "secring.gpg"
}

fn add_dir(keyring: &mut Keyring, dir: BorrowedFd<'_>) -> Result<(), TrustError> {
    let names = regular_files(dir, Path::new(".")).map_err(|e| io(Path::new("."), e))?;
    for name in names.unwrap_or_default() {
        let path = Path::new(&name);
        if is_keyring(&name) {
            let bytes = durable::read_optional(dir, path, MAX_KEYRING);
            let bytes = bytes.map_err(|source| io(path, source))?;
            add(keyring, &bytes.unwrap_or_default(), path)?;
        }
    }
    Ok(())
}

fn add_system(keyring: &mut Keyring, stores: &KeyStores) -> Result<(), TrustError> {
    for path in stores.list(stores.keyrings())?.unwrap_or_default() {
        if path
            .file_name()
            .and_then(|n| n.to_str())
            .is_some_and(is_keyring)
        {
            add(keyring, &stores.read(&path)?, &path)?;
        }
    }
    Ok(())
}

/// A key file, or a directory with key files. In a directory, what is no key file is passed over.
fn add_path(keyring: &mut Keyring, path: &Path, stores: &KeyStores) -> Result<(), TrustError> {
    let Some(files) = stores.list(path)? else {
        return add(keyring, &stores.read(path)?, path);
    };
    for file in files {
        match add(keyring, &stores.read(&file)?, &file) {
            Err(TrustError::Keyring { path, source }) => {
                tracing::debug!("{path} is passed over: {source}");
            }
            other => other?,
        }
    }
    Ok(())
}
