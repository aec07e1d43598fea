//! The golden data in `tests/golden`: what the real programs made and printed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{command, run, target_dir, workspace_root};

/// A directory with the unpacked golden data of `group`, shared by all tests: **read-only**.
///
/// Groups are the archives of `tests/golden` (`repos`, `expect`, `oci`, ...; its README says what
/// is in each). Owners, modes, ACLs and all extended attributes are as recorded, so this needs
/// root. The first caller unpacks it into the target directory, under a name that contains the
/// archive's digest; concurrent test processes may race, and exactly one of them wins.
///
/// # Panics
/// When the group does not exist, or cannot be unpacked.
pub fn golden(group: &str) -> PathBuf {
    let archive = archive(group);
    let bytes = fs::read(&archive)
        .unwrap_or_else(|error| panic!("no golden group {group}: {}: {error}", archive.display()));
    let digest = hex::encode(Sha256::digest(&bytes));
    let cache = target_dir().join("golden");
    let ready = cache.join(format!("{group}-{}", &digest[..16]));
    if !ready.is_dir() {
        unpack_and_publish(&archive, &cache, &ready);
    }
    ready
}

/// A private, writable copy of a golden group, removed when dropped.
///
/// It is unpacked afresh: a copy by hard links would let a test that writes into a repository's
/// objects spoil the shared one.
pub fn golden_copy(group: &str) -> TempDir {
    let dir = crate::scratch_dir();
    unpack(&archive(group), dir.path());
    dir
}

fn archive(group: &str) -> PathBuf {
    workspace_root()
        .join("tests/golden")
        .join(format!("{group}.tar.zst"))
}

fn unpack_and_publish(archive: &Path, cache: &Path, ready: &Path) {
    fs::create_dir_all(cache).expect("the target directory is writable");
    let fresh = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(cache)
        .expect("temporary directory");
    unpack(archive, fresh.path());
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(fresh.path(), open).expect("own directory");
    match fs::rename(fresh.path(), ready) {
        Ok(()) => drop(fresh.keep()),
        Err(error) if lost_the_race(&error) => {}
        Err(error) => panic!("cannot publish {}: {error}", ready.display()),
    }
}

fn lost_the_race(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
    )
}

fn unpack(archive: &Path, into: &Path) {
    let mut tar = command("tar");
    tar.args(["--zstd", "--numeric-owner", "--same-owner", "-p", "--acls"]);
    tar.args(["--xattrs", "--xattrs-include=*", "-xf"])
        .arg(archive)
        .arg("-C")
        .arg(into);
    run(&mut tar);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell;

    #[test]
    fn every_archive_can_be_unpacked() {
        let groups = fs::read_dir(workspace_root().join("tests/golden")).unwrap();
        let names = groups.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let groups: Vec<String> = names
            .filter_map(|name| name.strip_suffix(".tar.zst").map(str::to_owned))
            .collect();
        assert!(groups.len() >= 9, "{groups:?}");
        for group in &groups {
            assert!(
                golden(group).read_dir().unwrap().next().is_some(),
                "{group} is empty"
            );
        }
    }

    #[test]
    fn recorded_repositories_are_clean() {
        let repos = golden("repos");
        for mode in ["bare", "bare-user", "bare-user-only", "archive"] {
            let repo = repos.join(mode);
            let seen = shell(&format!("ostree --repo={} fsck", repo.display()));
            assert!(seen.contains("no errors found"), "{mode}: {seen}");
        }
    }

    #[test]
    fn concurrent_callers_get_the_same_directory() {
        let callers: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| golden("keys")))
            .collect();
        let mut seen: Vec<PathBuf> = callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect();
        seen.dedup();
        assert_eq!(seen.len(), 1);
        assert!(seen[0].join("ed25519.pem").is_file());
    }

    #[test]
    fn a_copy_can_be_written_to() {
        let copy = golden_copy("repos");
        fs::remove_file(copy.path().join("bare/config")).unwrap();
        assert!(golden("repos").join("bare/config").is_file());
    }

    #[test]
    #[should_panic(expected = "no golden group nonsense")]
    fn unknown_group_panics() {
        golden("nonsense");
    }
}
