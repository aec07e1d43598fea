//! Remotes beside the repository's config: a file for each in `etc/ostree/remotes.d` of a deployment.

use std::fs;
use std::io;
use std::path::Path;

use ostree::{IfPresent, Remote, RemoteError, Repo};
use ostree_format::keyfile::KeyFile;

use crate::outcome::Failure;

/// The remotes of a directory, which need not exist. Files that are damaged have none.
pub(crate) fn all(directory: &Path) -> io::Result<Vec<Remote>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut remotes = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "conf")
        {
            let file = KeyFile::parse(&fs::read_to_string(path)?).unwrap_or_default();
            remotes.extend(Remote::all_in(&file));
        }
    }
    Ok(remotes)
}

/// Add a remote as a file of its own.
pub(crate) fn add(
    repo: &Repo,
    directory: &Path,
    remote: &Remote,
    how: IfPresent,
) -> Result<(), Failure> {
    let is_same = |other: &Remote| other.name == remote.name;
    if repo.remote(&remote.name).is_some() || all(directory)?.iter().any(is_same) {
        match how {
            IfPresent::Fail => return Err(RemoteError::Exists(remote.name.clone()).into()),
            IfPresent::Keep => return Ok(()),
            IfPresent::Replace => {}
        }
    }
    let mut file = KeyFile::new();
    remote.write_to(&mut file);
    fs::create_dir_all(directory)?;
    let open = crate::place::open_dir("the directory of remotes", directory)?;
    let name = format!("{}.conf", remote.name);
    let text = file.to_string();
    let place = std::os::fd::AsFd::as_fd(&open);
    durable::publish(place, Path::new(&name), text.as_bytes(), 0o644)?;
    Ok(())
}
