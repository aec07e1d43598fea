//! Changing the keyring of a remote.

use std::path::Path;

use ostree::{RemoteError, Repo};
use signature::gpg::{Imported, KeyQuery, Keyring};

use crate::TrustError;
use crate::keyring::{add, name, stored};
use crate::stores::io;

/// Take over from `source` the keys that `queries` name, or all when there are none, into the
/// keyring of the remote `remote` of `repo`.
///
/// # Errors
/// [`TrustError`]; the keyring is as before then.
pub fn import_keys(
    repo: &Repo,
    remote: &str,
    source: &Keyring,
    queries: &[KeyQuery],
) -> Result<Imported, TrustError> {
    if repo.remote(remote).is_none() {
        return Err(RemoteError::NotFound(remote.to_owned()).into());
    }
    let name = name(remote);
    let path = Path::new(&name);
    let mut keyring = Keyring::new();
    add(
        &mut keyring,
        &stored(repo, &name)?.unwrap_or_default(),
        path,
    )?;
    let imported = keyring
        .import(source, queries)
        .map_err(TrustError::Import)?;
    durable::publish(repo.dir(), path, &keyring.to_bytes(), 0o644)
        .map_err(|source| io(path, source))?;
    Ok(imported)
}
