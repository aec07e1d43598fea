//! A writer that dies at every crash point in turn: the repository is whole, and the same work
//! afterwards succeeds.

use std::path::Path;
use std::process::Command;

use ostree::{Expect, TransactionOptions};
use ostree_format::RepoMode;
use progress::{Interrupt, Silent};

use crate::oracle::{assert_clean, init, left_in_tmp, open};
use crate::transactions::stage;

const REPO: &str = "CRASH_TEST_REPO";
const AT: &str = "CRASH_TEST_AT";

/// The work that is interrupted; run in a process of its own by the tests below.
#[test]
#[ignore = "the victim of the other tests of this file"]
fn victim() {
    let path = std::env::var_os(REPO).expect("run by the other tests");
    let at = std::env::var(AT).unwrap().parse().unwrap();
    durable::crash::arm("*", at);
    write(Path::new(&path));
}

fn write(path: &Path) {
    let repo = open(path);
    let txn = repo.begin(TransactionOptions::default()).unwrap();
    let commit = stage(&txn, 30, "new");
    txn.set_ref("r".parse().unwrap(), Expect::Any, Some(commit));
    txn.set_ref("more/r2".parse().unwrap(), Expect::Any, Some(commit));
    txn.commit(&Silent, &Interrupt::default()).unwrap();
}

/// Whether the victim came to its end.
fn survives(path: &Path, at: u32) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "crash::victim"])
        .env(REPO, path)
        .env(AT, at.to_string())
        .output()
        .unwrap();
    let ended = output.status.code();
    assert!(matches!(ended, Some(0) | None), "{output:?}");
    ended == Some(0)
}

fn dies_everywhere(mode: RepoMode) {
    // Locked, synced, then one point for each of the 256 directories of objects, of which a few will
    // do, then commits and refs up to the end.
    let points = (1..6).chain((6..258).step_by(42)).chain(258..);
    let mut last = 0;
    for at in points {
        last = at;
        if !dies_at(mode, at) {
            break;
        }
    }
    // One commit, published, and two for each of two refs.
    assert_eq!(last - 1, 2 + 256 + 1 + 1 + 4, "points passed");
}

/// Whether the victim died.
fn dies_at(mode: RepoMode, at: u32) -> bool {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let repo = init(&path, mode);
    let txn = repo.begin(TransactionOptions::default()).unwrap();
    let old = stage(&txn, 3, "old");
    txn.set_ref("r".parse().unwrap(), Expect::Any, Some(old));
    txn.commit(&Silent, &Interrupt::default()).unwrap();

    let survived = survives(&path, at);
    assert_clean(&path);
    let now = repo.resolve("r").unwrap();
    write(&path);
    let new = repo.resolve("r").unwrap();
    assert!(now == old || now == new, "death {at}");
    assert_eq!(repo.resolve("more/r2").unwrap(), new);
    assert_clean(&path);
    // Dead between lock and directory, it leaves the empty lock file until that expires.
    let left = left_in_tmp(&path);
    let only_lock = left.len() == 1 && left[0].ends_with("-lock");
    assert!(
        left.is_empty() || at == 1 && only_lock,
        "death {at}: {left:?}"
    );
    !survived
}

#[test]
fn bare_survives_every_death() {
    dies_everywhere(RepoMode::Bare);
}

#[test]
fn archive_survives_every_death() {
    dies_everywhere(RepoMode::Archive);
}
