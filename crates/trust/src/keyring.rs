//! GPG keyrings.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use ostree::{Remote, RemoteError, Repo};

use signature::gpg::Keyring;

use crate::stores::{io, regular_files};
use crate::{KeyStores, TrustError, policy};

/// Largest keyring that is read.
const MAX_KEYRING: u64 = 64 * 1024 * 1024;

/// The name of the keyring of a remote, in the repository or in `/etc/ostree/remotes.d`.
pub(crate) fn name(remote: &str) -> String {
    format!("{remote}.trustedkeys.gpg")
}

/// The GPG keys that are trusted for `remote`: its own, and those of the system only when it has no
/// keyring.
pub(crate) fn of_remote(
    repo: &Repo,
    remote: &Remote,
    stores: &KeyStores,
) -> Result<Keyring, TrustError> {
    let (mut keyring, has_keyring) = own(repo, remote, stores)?;
    if !has_keyring {
        add_system(&mut keyring, stores)?;
    }
    Ok(keyring)
}

/// The GPG keys that are trusted for the remote `name`: its own, and those of the system only when it
/// has no keyring.
///
/// # Errors
/// As [`keys_of_remote`].
pub fn trusted_keys(repo: &Repo, name: &str, stores: &KeyStores) -> Result<Keyring, TrustError> {
    of_remote(repo, &find(repo, name)?, stores)
}

fn find(repo: &Repo, name: &str) -> Result<Remote, RemoteError> {
    let remote = repo.remote(name);
    remote.ok_or_else(|| RemoteError::NotFound(name.to_owned()))
}

/// The GPG keys of a remote itself: those of its keyring and of `gpgkeypath`.
///
/// # Errors
/// [`TrustError`] when there is no such remote; else it names the keyring that is damaged or cannot be
/// read.
pub fn keys_of_remote(repo: &Repo, name: &str, stores: &KeyStores) -> Result<Keyring, TrustError> {
    Ok(own(repo, &find(repo, name)?, stores)?.0)
}

/// The GPG keys of the system.
///
/// # Errors
/// [`TrustError`] names the keyring that is damaged or cannot be read.
pub fn keys_of_system(stores: &KeyStores) -> Result<Keyring, TrustError> {
    let mut keyring = Keyring::new();
    add_system(&mut keyring, stores)?;
    Ok(keyring)
}

/// The keys, and whether the remote has a keyring.
fn own(repo: &Repo, remote: &Remote, stores: &KeyStores) -> Result<(Keyring, bool), TrustError> {
    let mut keyring = Keyring::new();
    let name = name(&remote.name);
    let stored = match stored(repo, &name)? {
        Some(bytes) => Some(bytes),
        None => match stores.remote_keyring(&name)? {
            Some(bytes) => Some(bytes),
            None => inherited(repo, &name)?,
        },
    };
    if let Some(bytes) = &stored {
        add(&mut keyring, bytes, Path::new(&name))?;
    }
    let value = remote.get("gpgkeypath").filter(|value| !value.is_empty());
    if let Some(value) = value {
        for path in policy::list(remote, "gpgkeypath", value)? {
            add_path(&mut keyring, Path::new(path), stores)?;
        }
    }
    Ok((keyring, stored.is_some()))
}

/// All GPG keys that are known to a repository and the system, whoever they are trusted for: to show
/// who signed, not to decide.
///
/// # Errors
/// [`TrustError`] names the keyring that is damaged or cannot be read.
pub fn keys_of_all(repo: &Repo, stores: &KeyStores) -> Result<Keyring, TrustError> {
    let mut keyring = Keyring::new();
    add_dir(&mut keyring, repo.dir())?;
    add_system(&mut keyring, stores)?;
    Ok(keyring)
}

/// Add the public keys of a GnuPG home directory: its keyrings `*.gpg` and its keybox.
///
/// # Errors
/// [`TrustError`] names the keyring that is damaged or cannot be read.
pub fn add_keys_of_home(keyring: &mut Keyring, dir: &OwnedFd) -> Result<(), TrustError> {
    add_dir(keyring, dir.as_fd())?;
    let path = Path::new("pubring.kbx");
    let bytes = durable::read_optional(dir.as_fd(), path, MAX_KEYRING);
    let bytes = bytes.map_err(|source| io(path, source))?;
    add(keyring, &bytes.unwrap_or_default(), path)
}

/// The keyring of a repository that this one builds on.
fn inherited(repo: &Repo, name: &str) -> Result<Option<Vec<u8>>, TrustError> {
    let Some(parent) = repo.parent() else {
        return Ok(None);
    };
    match stored(parent, name)? {
        Some(bytes) => Ok(Some(bytes)),
        None => inherited(parent, name),
    }
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
