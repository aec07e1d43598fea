//! Directories committed by us and by `ostree commit --tree=dir=`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use error_class::{Classified as _, ErrorClass};
use ostree::{
    CommitDirError, CommitDirOptions, CommittedDir, DevInoCache, Expect, Repo, TransactionOptions,
    WriteError, merge_trees,
};
use ostree_format::RepoMode;
use progress::{Interrupt, Silent};
use proptest::prelude::*;

use crate::model::{commit, materialise, tree_for, try_all};
use crate::oracle::{MODES, assert_clean, init, objects, open, ostree, theirs};
use crate::transactions::begin;

fn ours(
    repo: &Repo,
    sources: &[&Path],
    options: &CommitDirOptions<'_>,
) -> Result<CommittedDir, CommitDirError> {
    let txn = begin(repo);
    let mut whole: Option<CommittedDir> = None;
    for source in sources {
        let source = File::open(source).unwrap();
        let dir = txn.write_directory(source.as_fd(), options, &Silent, &Interrupt::default())?;
        match &mut whole {
            None => whole = Some(dir),
            Some(lower) => merge_trees(&mut lower.tree, dir.tree).unwrap(),
        }
    }
    let whole = whole.unwrap();
    let commit = commit(&txn, &whole.tree);
    txn.set_ref("main".parse().unwrap(), Expect::Any, Some(commit));
    txn.commit(&Silent, &Interrupt::default()).unwrap();
    Ok(whole)
}

fn root(repo: &Path) -> String {
    let repo = open(repo);
    let commit = repo.load_commit(&repo.resolve("main").unwrap()).unwrap();
    format!("{} {}", commit.contents, commit.meta)
}

/// Commit `source` with both into fresh repositories, and compare.
#[track_caller]
fn same(mode: RepoMode, source: &Path, options: &CommitDirOptions<'_>, arguments: &[&str]) {
    let scratch = tempfile::tempdir().unwrap();
    let (mine, their) = (scratch.path().join("ours"), scratch.path().join("theirs"));
    let done = ours(&init(&mine, mode), &[source], options).unwrap();
    assert_eq!(done.unmatched, ostree::Unmatched::default());
    init(&their, mode);
    let tree = format!("--tree=dir={}", source.display());
    theirs(
        &their,
        &[&["commit", "-b", "main", "-s", "x", &tree], arguments].concat(),
    );
    assert_eq!(root(&mine), root(&their), "{mode} {arguments:?}");
    assert_eq!(objects(&open(&mine)), objects(&open(&their)));
    assert_clean(&mine);
    assert_clean(&their);
}

fn paths_below(root: &Path) -> BTreeSet<String> {
    testkit::manifest(root).0.into_keys().collect()
}

#[test]
fn every_option_does_what_that_of_ostree_does() {
    let strategy = (tree_for(RepoMode::Bare), any::<prop::sample::Index>());
    try_all(6, &strategy, |(item, pick)| {
        let scratch = tempfile::tempdir().unwrap();
        let source = scratch.path().join("tree");
        materialise(&item, &source);
        link_hard(&source, &pick);
        let plain = CommitDirOptions::default();
        for mode in MODES {
            if mode != RepoMode::BareUserOnly {
                same(mode, &source, &plain, &[]);
            }
        }
        let canonical = CommitDirOptions {
            canonical_permissions: true,
            ..plain.clone()
        };
        same(RepoMode::BareUserOnly, &source, &plain, &[]);
        same(
            RepoMode::Bare,
            &source,
            &canonical,
            &["--canonical-permissions"],
        );
        let bare = CommitDirOptions {
            skip_xattrs: true,
            ro_executables: true,
            ..plain.clone()
        };
        same(
            RepoMode::Bare,
            &source,
            &bare,
            &["--no-xattrs", "--mode-ro-executables"],
        );
        let owned = CommitDirOptions {
            uid: Some(5),
            gid: Some(6),
            ..plain.clone()
        };
        same(
            RepoMode::Archive,
            &source,
            &owned,
            &["--owner-uid=5", "--owner-gid=6"],
        );
        lists(&source, &pick);
    });
}

/// A second name, in the root, for a file that is there.
fn link_hard(source: &Path, pick: &prop::sample::Index) {
    let files: Vec<String> = paths_below(source)
        .into_iter()
        .filter(|path| {
            let found = source.join(&path[1..]).symlink_metadata();
            found.is_ok_and(|found| found.is_file())
        })
        .collect();
    if !files.is_empty() {
        let file = source.join(&pick.get(&files)[1..]);
        fs::hard_link(file, source.join("second name")).unwrap();
    }
}

/// Stat overrides and a skip list for a path that is there.
fn lists(source: &Path, pick: &prop::sample::Index) {
    let all: Vec<String> = paths_below(source)
        .into_iter()
        .filter(|path| {
            source
                .join(&path[1..])
                .symlink_metadata()
                .is_ok_and(|m| !m.is_symlink())
        })
        .collect();
    if all.is_empty() {
        return;
    }
    let path = pick.get(&all);
    let list = |name: &str, text: String| {
        let file = source.with_extension(name);
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let added = CommitDirOptions {
        mode_add: [(path.into(), 0o2010)].into(),
        ..CommitDirOptions::default()
    };
    let file = list("add", format!("{} {path}\n", 0o2010));
    same(
        RepoMode::Bare,
        source,
        &added,
        &[&format!("--statoverride={file}")],
    );
    let set = CommitDirOptions {
        mode_set: [(path.into(), 0o4751)].into(),
        ..CommitDirOptions::default()
    };
    let file = list("set", format!("={} {path}\n", 0o4751));
    same(
        RepoMode::Bare,
        source,
        &set,
        &[&format!("--statoverride={file}")],
    );
    let skipped = CommitDirOptions {
        skip: [path.into()].into(),
        ..CommitDirOptions::default()
    };
    let file = list("skip", format!("{path}\n"));
    same(
        RepoMode::Bare,
        source,
        &skipped,
        &[&format!("--skip-list={file}")],
    );
}

#[test]
fn what_options_name_in_vain_is_reported() {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("tree");
    fs::create_dir_all(source.join("a")).unwrap();
    let options = CommitDirOptions {
        mode_add: [("/a".into(), 0o1000), ("/b".into(), 1)].into(),
        skip: ["/c".into()].into(),
        ..CommitDirOptions::default()
    };
    let repo = init(&scratch.path().join("repo"), RepoMode::Bare);
    let done = ours(&repo, &[&source], &options).unwrap();
    assert_eq!(done.unmatched.modes, [PathBuf::from("/b")]);
    assert_eq!(done.unmatched.skips, [PathBuf::from("/c")]);
}

#[test]
fn several_trees_are_laid_over_each_other() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir_all(at("a/both/deep")).unwrap();
    fs::create_dir_all(at("b/both/other")).unwrap();
    fs::write(at("a/both/file"), "a").unwrap();
    fs::write(at("b/both/file"), "b").unwrap();
    fs::write(at("a/both/.wh.file"), "").unwrap();
    fs::set_permissions(at("b/both"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(at("b"), fs::Permissions::from_mode(0o711)).unwrap();
    let options = CommitDirOptions::default();
    let (a, b) = (at("a"), at("b"));
    ours(&init(&at("ours"), RepoMode::Bare), &[&a, &b], &options).unwrap();
    init(&at("theirs"), RepoMode::Bare);
    let tree = |path: &Path| format!("--tree=dir={}", path.display());
    let command = ["commit", "-b", "main", "-s", "x", &tree(&a), &tree(&b)];
    theirs(&at("theirs"), &command);
    assert_eq!(root(&at("ours")), root(&at("theirs")));

    fs::remove_file(b.join("both/file")).unwrap();
    fs::create_dir(b.join("both/file")).unwrap();
    testkit::fails(ostree(&at("theirs")).args(command));
    let txn_repo = open(&at("ours"));
    let txn = begin(&txn_repo);
    let write = |path: &Path| {
        let dir = File::open(path).unwrap();
        txn.write_directory(dir.as_fd(), &options, &Silent, &Interrupt::default())
            .unwrap()
            .tree
    };
    let mut lower = write(&a);
    let error = merge_trees(&mut lower, write(&b)).unwrap_err();
    assert_eq!(error.path, "/both/file");
}

#[test]
fn unchanged_links_of_a_checkout_are_not_read_again() {
    for mode in [RepoMode::Bare, RepoMode::BareUser] {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir_all(at("tree/sub")).unwrap();
        for n in 0..20 {
            fs::write(at("tree/sub").join(n.to_string()), format!("content {n}")).unwrap();
        }
        let repo = at("repo");
        let plain = CommitDirOptions::default();
        ours(&init(&repo, mode), &[&at("tree")], &plain).unwrap();
        let checkout = at("checkout");
        let mut arguments = vec!["checkout", "-H", "main"];
        if mode == RepoMode::BareUser {
            arguments.insert(1, "-U");
        }
        let target = checkout.display().to_string();
        arguments.push(&target);
        theirs(&repo, &arguments);
        // Changed by replacing, as whoever works on linked checkouts must.
        fs::remove_file(checkout.join("sub/3")).unwrap();
        fs::write(checkout.join("sub/3"), "changed").unwrap();
        let opened = open(&repo);
        let cache = DevInoCache::of(&opened).unwrap();
        let options = CommitDirOptions {
            devino: Some(&cache),
            ..CommitDirOptions::default()
        };
        let done = ours(&opened, &[&checkout], &options).unwrap();
        assert_eq!(done.devino_hits, 19, "{mode}");
        let mine = root(&repo);
        let tree = format!("--tree=dir={target}");
        theirs(
            &repo,
            &[
                "commit",
                "-b",
                "main",
                "-s",
                "x",
                "--link-checkout-speedup",
                &tree,
            ],
        );
        assert_eq!(mine, root(&repo), "{mode}");
        // A modifier that changes a file makes a new object of it.
        let owned = CommitDirOptions {
            uid: Some(7),
            ..options.clone()
        };
        let done = ours(&opened, &[&checkout], &owned).unwrap();
        assert_eq!(done.devino_hits, 0);
        let trusted = CommitDirOptions {
            devino_canonical: true,
            ..owned
        };
        assert_eq!(
            ours(&opened, &[&checkout], &trusted).unwrap().devino_hits,
            19
        );
        assert_clean(&repo);
    }
}

#[test]
fn what_cannot_be_committed_is_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let scratch = tempfile::tempdir().unwrap();
    let repo = init(&scratch.path().join("repo"), RepoMode::Bare);
    let attempt = |make: &dyn Fn(&Path)| {
        let source = scratch.path().join("tree");
        fs::create_dir_all(source.join("d")).unwrap();
        for n in 0..1000 {
            fs::write(source.join("d").join(n.to_string()), "x").unwrap();
        }
        make(&source.join("d"));
        let error = ours(&repo, &[&source], &CommitDirOptions::default()).unwrap_err();
        fs::remove_dir_all(&source).unwrap();
        error
    };
    let error = attempt(&|d| {
        testkit::run(testkit::command("mkfifo").arg(d.join("fifo")));
    });
    assert!(error.to_string().contains("/d/fifo"), "{error}");
    assert_eq!(error.class(), ErrorClass::InvalidInput);
    let error = attempt(&|d| fs::write(d.join(OsStr::from_bytes(b"\xff")), "").unwrap());
    assert!(matches!(error, CommitDirError::NotUtf8 { .. }), "{error}");
    let error = attempt(&|d| {
        std::os::unix::fs::symlink(OsStr::from_bytes(b"\xff"), d.join("link")).unwrap();
    });
    assert!(error.to_string().contains("/d/link"), "{error}");
    let error = attempt(&|d| {
        let deep = d.join("d/".repeat(300));
        fs::create_dir_all(deep).unwrap();
    });
    assert!(matches!(error, CommitDirError::TooDeep { .. }), "{error}");

    // After a failure nothing can be committed.
    let txn = repo.begin(TransactionOptions::default()).unwrap();
    let source = scratch.path().join("tree");
    fs::create_dir(&source).unwrap();
    testkit::run(testkit::command("mkfifo").arg(source.join("fifo")));
    let dir = File::open(&source).unwrap();
    let options = CommitDirOptions::default();
    txn.write_directory(dir.as_fd(), &options, &Silent, &Interrupt::default())
        .unwrap_err();
    let interrupted = Interrupt::default();
    interrupted.raise();
    let error = txn
        .write_directory(dir.as_fd(), &options, &Silent, &interrupted)
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Interrupted);
    let result: Result<_, WriteError> = txn.commit(&Silent, &Interrupt::default());
    result.unwrap_err();
}
