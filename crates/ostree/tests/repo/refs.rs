//! Refs: names, aliases, conflicts, and what `ostree refs` says of ours.

use std::fs;
use std::path::Path;

use error_class::{Classified as _, ErrorClass};
use ostree::{Expect, RefEdit, Repo, WriteError};
use ostree_format::refs::RefName;
use ostree_format::{Checksum, RepoMode};

use crate::oracle::{init, open, theirs};

fn edit(name: &str, expect: Expect, commit: Option<Checksum>) -> RefEdit {
    RefEdit {
        name: name.parse().unwrap(),
        expect,
        commit,
    }
}

/// A repository with one commit.
fn with_commit(path: &Path) -> (Repo, Checksum) {
    init(path, RepoMode::Archive);
    let tree = path.with_extension("tree");
    fs::create_dir(&tree).unwrap();
    let source = format!("--tree=dir={}", tree.display());
    let commit = theirs(path, &["commit", "--orphan", "-s", "x", &source]);
    (open(path), commit.parse().unwrap())
}

#[test]
fn edits_are_seen_by_ostree_and_expectations_hold() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let (repo, commit) = with_commit(&path);
    let other = Checksum::of(b"other");
    repo.edit_refs(&[
        edit("os/a", Expect::Absent, Some(commit)),
        edit("origin:os/a", Expect::Any, Some(commit)),
    ])
    .unwrap();
    assert_eq!(theirs(&path, &["refs"]), "origin:os/a\nos/a");
    assert_eq!(
        theirs(&path, &["rev-parse", "origin:os/a"]),
        commit.to_string()
    );

    // The first edit is not done when the second finds something else than it expects.
    let error = repo.edit_refs(&[
        edit("os/b", Expect::Absent, Some(commit)),
        edit("os/a", Expect::Exactly(other), None),
    ]);
    let Err(WriteError::RefChanged { found, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(found, Some(commit));
    assert_eq!(theirs(&path, &["refs", "--list", "os"]), "os/a");
    repo.edit_refs(&[edit("os/a", Expect::Exactly(commit), None)])
        .unwrap();
    assert_eq!(theirs(&path, &["refs"]), "origin:os/a");
    // Removing what is not there is no error, as with `ostree refs --delete`.
    repo.edit_refs(&[edit("os/a", Expect::Any, None)]).unwrap();
}

#[test]
fn a_ref_does_not_take_the_place_of_a_directory_of_refs() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let (repo, commit) = with_commit(&path);
    let set = |name| repo.edit_refs(&[edit(name, Expect::Any, Some(commit))]);
    set("a/b/c").unwrap();
    for name in ["a", "a/b", "a/b/c/d"] {
        let error = set(name).unwrap_err();
        assert_eq!(error.class(), ErrorClass::InvalidInput, "{error}");
        let target = commit.to_string();
        testkit::fails(crate::oracle::ostree(&path).args(["refs", "--create", name, &target]));
    }
    // Once the refs below are gone, their directories are in nobody's way.
    repo.edit_refs(&[edit("a/b/c", Expect::Any, None)]).unwrap();
    set("a").unwrap();
    assert_eq!(theirs(&path, &["refs"]), "a");
    let checksum_like = commit.to_string();
    assert_eq!(
        set(&checksum_like).unwrap_err().class(),
        ErrorClass::InvalidInput
    );
}

#[test]
fn aliases_are_those_of_ostree() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let (repo, commit) = with_commit(&path);
    repo.edit_refs(&[edit("os/x86/26", Expect::Any, Some(commit))])
        .unwrap();
    let name = |name: &str| name.parse::<RefName>().unwrap();
    repo.set_ref_alias(&name("os/x86/stable"), &name("os/x86/26"))
        .unwrap();
    repo.set_ref_alias(&name("latest"), &name("os/x86/26"))
        .unwrap();
    theirs(&path, &["refs", "-A", "--create=theirs/one", "os/x86/26"]);
    assert_eq!(theirs(&path, &["rev-parse", "latest"]), commit.to_string());
    let aliases = repo.list_ref_aliases().unwrap();
    let shown: Vec<String> = aliases.iter().map(|(a, t)| format!("{a} -> {t}")).collect();
    let mut listed: Vec<String> = theirs(&path, &["refs", "-A", "--list"])
        .lines()
        .map(str::to_owned)
        .collect();
    listed.sort();
    assert_eq!(shown, listed);
    assert_eq!(repo.resolve("os/x86/stable").unwrap(), commit);
    assert!(repo.list_refs().unwrap().len() == 4);
}
