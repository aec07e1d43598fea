//! Differences as `ostree diff` tells them.

use std::collections::BTreeSet;
use std::path::Path;

use ostree::{Expect, Repo, Tree, diff_trees};
use ostree_format::RepoMode;
use progress::{Interrupt, Silent};

use crate::model::{Item, commit, tree_for, try_all, write};
use crate::oracle::{init, open, theirs};
use crate::transactions::begin;

fn tree(repo: &Repo, rev: &str) -> Tree {
    let commit = repo.load_commit(&repo.resolve(rev).unwrap()).unwrap();
    repo.load_tree(&commit.contents, &commit.meta).unwrap()
}

fn ours(repo: &Repo, from: &str, to: &str) -> BTreeSet<String> {
    let diff = diff_trees(&tree(repo, from), &tree(repo, to));
    let lines = |letter: char, paths: Vec<Vec<u8>>| {
        let line = move |path: Vec<u8>| format!("{letter}    {}", String::from_utf8(path).unwrap());
        paths.into_iter().map(line).collect::<Vec<_>>()
    };
    let mut all = lines('M', diff.modified);
    all.extend(lines('D', diff.removed));
    all.extend(lines('A', diff.added));
    // The names with line breaks tear their lines apart.
    all.join("\n").lines().map(str::to_owned).collect()
}

fn assert_same(path: &Path, from: &str, to: &str) {
    let expected = theirs(path, &["diff", from, to]);
    let expected: BTreeSet<String> = expected.lines().map(str::to_owned).collect();
    assert_eq!(ours(&open(path), from, to), expected);
}

#[test]
fn recorded_commits_differ_as_recorded() {
    for mode in ["bare", "bare-user", "bare-user-only", "archive"] {
        let path = testkit::golden("repos").join(mode);
        let expected = testkit::golden("expect").join(format!("{mode}.diff"));
        let expected = std::fs::read_to_string(expected).unwrap();
        let expected: BTreeSet<String> = expected.lines().map(str::to_owned).collect();
        assert_eq!(
            ours(&open(&path), "golden/v^", "golden/v"),
            expected,
            "{mode}"
        );
        assert!(
            diff_trees(
                &tree(&open(&path), "golden/v"),
                &tree(&open(&path), "golden/v")
            )
            .is_empty()
        );
    }
}

/// Two trees that have much in common: the second is the first with parts of a third.
#[test]
fn random_trees_differ_alike() {
    let strategy = (tree_for(RepoMode::Bare), tree_for(RepoMode::Bare));
    try_all(12, &strategy, |(first, other)| {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("repo");
        let repo = init(&path, RepoMode::Bare);
        for (name, item) in [("one", &first), ("two", &mixed(&first, &other))] {
            let txn = begin(&repo);
            let tree = write(&txn, item);
            let commit = commit(&txn, &tree);
            txn.set_ref(name.parse().unwrap(), Expect::Absent, Some(commit));
            txn.commit(&Silent, &Interrupt::default()).unwrap();
        }
        assert_same(&path, "one", "two");
        assert_same(&path, "two", "one");
    });
}

fn mixed(first: &Item, other: &Item) -> Item {
    let (Item::Dir(attributes, one), Item::Dir(_, two)) = (first, other) else {
        return other.clone();
    };
    let mut children = one.clone();
    children.pop_first();
    for (name, item) in two {
        let item = one
            .get(name)
            .map_or_else(|| item.clone(), |below| mixed(below, item));
        children.insert(name.clone(), item);
    }
    Item::Dir(attributes.clone(), children)
}
