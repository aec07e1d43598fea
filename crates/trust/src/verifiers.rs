//! Keys of the kinds of signatures other than GPG.

use std::path::Path;

use ostree::Remote;
use signature::{KeyError, Scheme, Verifier};

use crate::{KeyStores, Signatures, TrustError};

/// Directories with keys that are trusted, or revoked, for everything.
const SYSTEM: [&str; 2] = ["etc/ostree", "usr/share/ostree"];

/// The kinds that `sign-verify=true` means, in the order they are tried.
const ALL: [Scheme; 3] = [Scheme::Ed25519, Scheme::Spki, Scheme::Dummy];

/// A verifier for each kind that is asked for; `None` when none is.
pub(crate) fn verifiers(
    remote: &Remote,
    asked: &Signatures,
    stores: &KeyStores,
) -> Result<Option<Vec<Verifier>>, TrustError> {
    match asked {
        Signatures::NotVerified => Ok(None),
        Signatures::OfAnyKind => {
            let allowed = |scheme: &Scheme| *scheme != Scheme::Dummy || stores.allows_dummy();
            let each = ALL.into_iter().filter(allowed);
            each.map(|scheme| of_any_kind(remote, scheme, stores))
                .collect::<Result<_, _>>()
                .map(Some)
        }
        Signatures::Of(schemes) => schemes
            .iter()
            .map(|scheme| of_kind(remote, *scheme, stores))
            .collect::<Result<_, _>>()
            .map(Some),
    }
}

fn of_kind(remote: &Remote, scheme: Scheme, stores: &KeyStores) -> Result<Verifier, TrustError> {
    if scheme == Scheme::Dummy && !stores.allows_dummy() {
        return Err(TrustError::DummyNotAllowed);
    }
    configured(remote, scheme, stores)?.ok_or_else(|| TrustError::NoKeys {
        remote: remote.name.clone(),
        scheme,
    })
}

fn of_any_kind(
    remote: &Remote,
    scheme: Scheme,
    stores: &KeyStores,
) -> Result<Verifier, TrustError> {
    match configured(remote, scheme, stores)? {
        Some(verifier) => Ok(verifier),
        None => system_verifier(scheme, stores, None),
    }
}

/// The keys in the remote's own options; `None` when it has no such options.
fn configured(
    remote: &Remote,
    scheme: Scheme,
    stores: &KeyStores,
) -> Result<Option<Verifier>, TrustError> {
    let option = |what: &str| format!("verification-{scheme}-{what}");
    let (file, key) = (remote.get(&option("file")), remote.get(&option("key")));
    if file.is_none() && key.is_none() {
        return Ok(None);
    }
    let inline = |source| TrustError::InlineKey {
        remote: remote.name.clone(),
        key: option("key"),
        source,
    };
    let mut verifier = Verifier::new(scheme).map_err(inline)?;
    if let Some(path) = file {
        let path = Path::new(path);
        let text = text(stores.read(path)?, path)?;
        verifier
            .trust_file(&text)
            .map_err(|source| bad(path, source))?;
    }
    if let Some(key) = key {
        verifier.trust(key).map_err(inline)?;
    }
    Ok(Some(verifier))
}

/// A verifier with the keys of the system, or of another directory with the same names in it
/// (`ostree sign --keys-dir`).
///
/// Files with trusted keys that cannot be used are passed over.
///
/// # Errors
/// [`TrustError`] when a file with revoked keys cannot be used, since that would make a key trusted
/// again, and for GPG.
pub fn system_verifier(
    scheme: Scheme,
    stores: &KeyStores,
    instead: Option<&Path>,
) -> Result<Verifier, TrustError> {
    let usual = SYSTEM.map(Path::new);
    let dirs = instead.as_ref().map_or(&usual[..], std::slice::from_ref);
    let path = dirs[0];
    let mut verifier = Verifier::new(scheme).map_err(|source| bad(path, source))?;
    for file in files(dirs, &format!("trusted.{scheme}"), stores)? {
        let trusted = text(stores.read(&file)?, &file)
            .and_then(|text| verifier.trust_file(&text).map_err(|e| bad(&file, e)));
        if let Err(error) = trusted {
            tracing::warn!("passed over: {error}");
        }
    }
    for file in files(dirs, &format!("revoked.{scheme}"), stores)? {
        let text = text(stores.read(&file)?, &file)?;
        verifier.revoke_file(&text).map_err(|e| bad(&file, e))?;
    }
    Ok(verifier)
}

/// The file `name` and those in `name.d`, of each directory.
fn files(
    dirs: &[&Path],
    name: &str,
    stores: &KeyStores,
) -> Result<Vec<std::path::PathBuf>, TrustError> {
    let mut found = Vec::new();
    for dir in dirs {
        let file = dir.join(name);
        if stores.read_optional(&file)?.is_some() {
            found.push(file);
        }
        let more = stores.list(&dir.join(format!("{name}.d")))?;
        found.extend(more.unwrap_or_default());
    }
    Ok(found)
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String, TrustError> {
    String::from_utf8(bytes).map_err(|_| TrustError::NotText {
        path: path.display().to_string(),
    })
}

fn bad(path: &Path, source: KeyError) -> TrustError {
    TrustError::KeyFile {
        path: path.display().to_string(),
        source,
    }
}
