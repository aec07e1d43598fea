//! Remotes beside the repository's config: a file for each in `etc/ostree/remotes.d` of a deployment.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use ostree::{IfPresent, Remote, RemoteError, Repo};
use ostree_format::keyfile::KeyFile;

use crate::outcome::Failure;

/// The remotes of a directory, which need not exist. Files that are damaged have none.
pub(crate) fn all(directory: &Path) -> io::Result<Vec<Remote>> {
    let mut remotes = Vec::new();
    for path in files(directory)? {
        let file = KeyFile::parse(&fs::read_to_string(path)?).unwrap_or_default();
        remotes.extend(Remote::all_in(&file));
    }
    Ok(remotes)
}

fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let is_conf = |path: &PathBuf| path.extension().is_some_and(|end| end == "conf");
    let mut paths: Vec<_> = paths?.into_iter().filter(is_conf).collect();
    paths.sort();
    Ok(paths)
}

/// Take a remote out of the file that it is in, and remove a file that has nothing else. Whether there was one.
pub(crate) fn delete(directory: &Path, name: &str) -> Result<bool, Failure> {
    for path in files(directory)? {
        let mut file = KeyFile::parse(&fs::read_to_string(&path)?).unwrap_or_default();
        let is_it = |remote: &Remote| remote.name == name;
        if !Remote::all_in(&file).iter().any(is_it) {
            continue;
        }
        file.remove_group(&format!("remote \"{name}\""));
        if file.groups().is_empty() {
            fs::remove_file(&path)?;
        } else {
            write(directory, &path, &file)?;
        }
        return Ok(true);
    }
    Ok(false)
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
    let name = format!("{}.conf", remote.name);
    write(directory, &directory.join(name), &file)
}

fn write(directory: &Path, path: &Path, file: &KeyFile) -> Result<(), Failure> {
    let open = crate::place::open_dir("the directory of remotes", directory)?;
    let name = Path::new(path.file_name().unwrap_or_default());
    durable::publish(open.as_fd(), name, file.to_string().as_bytes(), 0o644)?;
    Ok(())
}
