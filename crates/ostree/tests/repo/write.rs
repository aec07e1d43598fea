//! The same random tree written by us and by `ostree commit`: the same objects, in every mode.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ostree::{Expect, Repo, TransactionOptions};
use ostree_format::refs::Refspec;
use ostree_format::{ObjectKind, ObjectName, RepoMode};
use progress::{Interrupt, Silent};

use crate::model::{Item, commit, materialise, tree_for, try_all, write};
use crate::oracle::{assert_clean, init, objects, open, theirs};

fn main_ref() -> Refspec {
    "main".parse().unwrap()
}

fn ours(repo: &Repo, item: &Item) {
    let txn = repo.begin(TransactionOptions::default()).unwrap();
    let tree = write(&txn, item);
    let commit = commit(&txn, &tree);
    txn.set_ref(main_ref(), Expect::Absent, Some(commit));
    txn.commit(&Silent, &Interrupt::default()).unwrap();
}

fn check(mode: RepoMode, item: &Item) {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    ours(&init(&at("ours"), mode), item);
    materialise(item, &at("tree"));
    theirs(&at("theirs"), &["init", &format!("--mode={mode}")]);
    let source = format!("--tree=dir={}", at("tree").display());
    theirs(&at("theirs"), &["commit", "-b", "main", "-s", "x", &source]);

    assert_clean(&at("ours"));
    assert_clean(&at("theirs"));
    let (mine, their) = (open(&at("ours")), open(&at("theirs")));
    assert_eq!(objects(&mine), objects(&their));
    let list = ["ls", "-R", "-C", "-X", "main"];
    assert_eq!(theirs(&at("ours"), &list), theirs(&at("theirs"), &list));
    let root = |repo: &Repo| {
        let commit = repo.load_commit(&repo.resolve("main").unwrap()).unwrap();
        (commit.contents, commit.meta)
    };
    assert_eq!(root(&mine), root(&their));
    let tree = |repo: &Repo| {
        let (contents, meta) = root(repo);
        repo.load_tree(&contents, &meta).unwrap()
    };
    assert_eq!(tree(&mine), tree(&their));
    for name in (0..=u8::MAX).flat_map(|head| mine.objects_in(head).unwrap()) {
        if name.kind != ObjectKind::Commit {
            assert_same_file(&name, mode, &at("ours"), &at("theirs"));
        }
    }
    assert!(crate::oracle::left_in_tmp(&at("ours")).is_empty());
}

/// The object's file is the same on disk. Two deflaters pack differently, so archived content is not
/// compared by bytes; that it hashes to its name was checked by both `fsck`s.
fn assert_same_file(name: &ObjectName, mode: RepoMode, ours: &Path, theirs: &Path) {
    let path = |repo: &Path| repo.join("objects").join(name.loose_path(mode));
    let (ours, theirs) = (path(ours), path(theirs));
    let stat = |path: &Path| path.symlink_metadata().unwrap();
    let (mine, their) = (stat(&ours), stat(&theirs));
    assert_eq!(mine.mode(), their.mode(), "mode of {name}");
    assert_eq!(
        (mine.uid(), mine.gid()),
        (their.uid(), their.gid()),
        "{name}"
    );
    let xattrs = |path: &Path| testkit::manifest(path.parent().unwrap()).0;
    let file = format!("/{}", ours.file_name().unwrap().to_str().unwrap());
    let entries = (xattrs(&ours), xattrs(&theirs));
    assert_eq!(entries.0[&file].xattrs, entries.1[&file].xattrs, "{name}");
    if !mine.is_symlink() && (mode != RepoMode::Archive || name.kind != ObjectKind::File) {
        assert_eq!(
            fs::read(&ours).unwrap(),
            fs::read(&theirs).unwrap(),
            "{name}"
        );
    }
    let content = name.kind == ObjectKind::File && !mine.is_symlink();
    if content && mode != RepoMode::Archive {
        assert_eq!((mine.mtime(), their.mtime()), (0, 0), "{name}");
    }
}

fn run(mode: RepoMode) {
    try_all(16, &tree_for(mode), |item| check(mode, &item));
}

#[test]
fn bare_writes_what_ostree_writes() {
    run(RepoMode::Bare);
}

#[test]
fn bare_user_writes_what_ostree_writes() {
    run(RepoMode::BareUser);
}

#[test]
fn bare_user_only_writes_what_ostree_writes() {
    run(RepoMode::BareUserOnly);
}

#[test]
fn archive_writes_what_ostree_writes() {
    run(RepoMode::Archive);
}

/// Every level of deflate, and none, is read back by both.
#[test]
fn every_deflate_level_is_readable() {
    let cases = (0u32..=9, tree_for(RepoMode::Archive));
    try_all(8, &cases, |(level, item)| {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("repo");
        init(&path, RepoMode::Archive);
        theirs(
            &path,
            &["config", "set", "archive.zlib-level", &level.to_string()],
        );
        ours(&open(&path), &item);
        assert_clean(&path);
    });
}
