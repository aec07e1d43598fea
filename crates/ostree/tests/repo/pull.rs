//! Pulling between repositories of all modes, compared with `ostree pull-local`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use error_class::{Classified as _, ErrorClass};
use ostree::{Depth, PullError, PullLocalOptions, PullStats, Repo};
use ostree_format::{ObjectKind, RepoMode};
use progress::{Interrupt, Silent};

use crate::oracle::{MODES, assert_clean, fsck, init, open, ostree, theirs};

fn pull(
    to: &Path,
    from: &Path,
    rev: &str,
    options: &PullLocalOptions,
) -> Result<PullStats, PullError> {
    open(to).pull_local(
        &open(from),
        &[rev.to_owned()],
        options,
        &Silent,
        &Interrupt::default(),
    )
}

fn all(path: &Path) -> BTreeSet<String> {
    let repo = open(path);
    let names = (0..=u8::MAX).flat_map(|head| repo.objects_in(head).unwrap());
    names.map(|name| name.to_string()).collect()
}

fn state(path: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(path.join("state")).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn directory(mode: RepoMode) -> &'static str {
    match mode {
        RepoMode::Archive => "archive",
        other => other.name(),
    }
}

/// Pull with both into fresh repositories, and compare.
#[track_caller]
fn same(mode: RepoMode, from: &Path, rev: &str, options: &PullLocalOptions, arguments: &[&str]) {
    let scratch = tempfile::tempdir_in(from.parent().unwrap()).unwrap();
    let at = |name: &str| scratch.path().join(name);
    init(&at("ours"), mode);
    init(&at("theirs"), mode);
    let stats = pull(&at("ours"), from, rev, options).unwrap();
    let source = from.display().to_string();
    let mut command = vec!["pull-local", &source, rev];
    command.extend(arguments);
    let printed = theirs(&at("theirs"), &command);
    assert_eq!(
        all(&at("ours")),
        all(&at("theirs")),
        "{} -> {mode}",
        from.display()
    );
    assert_eq!(state(&at("ours")), state(&at("theirs")));
    assert_eq!(
        theirs(&at("ours"), &["refs"]),
        theirs(&at("theirs"), &["refs"])
    );
    let counted = format!(
        "{} metadata, {} content objects imported",
        stats.metadata, stats.content
    );
    assert!(printed.contains(&counted), "{counted}: {printed}");
    assert_clean(&at("ours"));
    if mode != RepoMode::Archive && open(from).mode() == mode {
        let linked =
            |repo: &Path| -> u64 { object_files(repo).iter().map(|m| m.nlink() - 1).sum() };
        assert!(options.untrusted || linked(&at("ours")) > 0);
    }
}

fn object_files(repo: &Path) -> Vec<fs::Metadata> {
    let opened = open(repo);
    let names = (0..=u8::MAX).flat_map(|head| opened.objects_in(head).unwrap());
    names
        .filter(|name| name.kind == ObjectKind::File)
        .map(|name| repo.join("objects").join(name.loose_path(opened.mode())))
        .map(|path| path.symlink_metadata().unwrap())
        .collect()
}

#[test]
fn every_mode_is_pulled_into_every_other() {
    let source = testkit::golden_copy("repos");
    for from in MODES {
        for to in MODES {
            // Files of these cannot be held there: `ostree` writes objects that do not hash to
            // their names, or refuses a mode. Tested below.
            if to == RepoMode::BareUserOnly && from != to {
                continue;
            }
            let from = source.path().join(directory(from));
            same(to, &from, "golden/v", &PullLocalOptions::default(), &[]);
        }
    }
}

#[test]
fn options_do_what_those_of_ostree_do() {
    let source = testkit::golden_copy("repos");
    let from = source.path().join("bare");
    let plain = PullLocalOptions::default();
    let deep = PullLocalOptions {
        depth: Depth::All,
        ..plain.clone()
    };
    same(RepoMode::Bare, &from, "golden/v", &deep, &["--depth=-1"]);
    let one = PullLocalOptions {
        depth: Depth::Ancestors(1),
        untrusted: true,
        ..plain.clone()
    };
    same(
        RepoMode::Bare,
        &from,
        "golden/v",
        &one,
        &["--depth=1", "--untrusted"],
    );
    let remote = PullLocalOptions {
        remote: Some("origin".into()),
        ..plain.clone()
    };
    same(
        RepoMode::BareUser,
        &from,
        "golden/v",
        &remote,
        &["--remote=origin"],
    );
    let commits = PullLocalOptions {
        commit_only: true,
        depth: Depth::All,
        ..plain.clone()
    };
    let arguments = ["--commit-metadata-only", "--depth=-1"];
    same(RepoMode::Archive, &from, "golden/v", &commits, &arguments);
    let commit = open(&from).resolve("golden/v^").unwrap().to_string();
    same(RepoMode::Archive, &from, &commit, &plain, &[]);
}

#[test]
fn a_partial_commit_is_completed() {
    let source = testkit::golden_copy("repos");
    let (from, to) = (source.path().join("bare"), source.path().join("new"));
    init(&to, RepoMode::Archive);
    let commits = PullLocalOptions {
        commit_only: true,
        ..PullLocalOptions::default()
    };
    pull(&to, &from, "golden/v", &commits).unwrap();
    assert_eq!(state(&to).len(), 1);
    assert_eq!(fsck(&open(&to)).partial_commits, 1);
    pull(&to, &from, "golden/v", &PullLocalOptions::default()).unwrap();
    assert!(state(&to).is_empty());
    assert_eq!(assert_clean(&to).commits, 1);
    // Again there is nothing to do.
    let stats = pull(&to, &from, "golden/v", &PullLocalOptions::default()).unwrap();
    assert_eq!(stats, PullStats::default());
    // A commit that is whole is not made partial.
    pull(&to, &from, "golden/v", &commits).unwrap();
    assert!(state(&to).is_empty());
}

/// What cannot be held is refused, where `ostree` leaves objects that do not hash to their names.
#[test]
fn what_bare_user_only_cannot_hold_is_refused() {
    let source = testkit::golden_copy("repos");
    let (from, to) = (source.path().join("bare"), source.path().join("new"));
    init(&to, RepoMode::BareUserOnly);
    let error = pull(&to, &from, "golden/v", &PullLocalOptions::default()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unsupported, "{error}");
    assert!(all(&to).is_empty());
    let strict = PullLocalOptions {
        user_only_files: true,
        ..PullLocalOptions::default()
    };
    let other = source.path().join("other");
    init(&other, RepoMode::Bare);
    let error = pull(&other, &from, "golden/v", &strict).unwrap_err();
    assert!(matches!(error, PullError::Mode { .. }), "{error}");
    let printed = [
        "pull-local",
        "--bareuseronly-files",
        &from.display().to_string(),
        "golden/v",
    ]
    .map(str::to_owned);
    testkit::fails(ostree(&other).args(printed));
    // Files that it can hold come over from every mode.
    let canonical = source.path().join("bare-user-only");
    for mode in MODES {
        same(
            mode,
            &canonical,
            "golden/v",
            &strict,
            &["--bareuseronly-files"],
        );
    }
}

#[test]
fn plain_files_of_bare_user_are_linked_into_bare_user_only() {
    let source = testkit::golden_copy("repos");
    let at = |name: &str| source.path().join(name);
    let plain = PullLocalOptions::default();
    init(&at("user"), RepoMode::BareUser);
    pull(&at("user"), &at("bare-user-only"), "golden/v", &plain).unwrap();
    init(&at("only"), RepoMode::BareUserOnly);
    pull(&at("only"), &at("user"), "golden/v", &plain).unwrap();
    assert_clean(&at("only"));
    let files = object_files(&at("only"));
    let linked = |file: &&fs::Metadata| file.nlink() > 1;
    assert!(files.iter().filter(linked).count() > 0);
    // Symbolic links are files in the one and links in the other.
    assert!(
        files
            .iter()
            .filter(|file| file.is_symlink())
            .all(|file| file.nlink() == 1)
    );
    assert!(files.iter().any(fs::Metadata::is_symlink));
    same(RepoMode::BareUserOnly, &at("user"), "golden/v", &plain, &[]);
}

fn damaged(mode: RepoMode, harm: impl Fn(&Path)) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let source = testkit::golden_copy("repos");
    let from = source.path().join(directory(mode));
    let repo = open(&from);
    let commit = repo
        .load_commit(&repo.resolve("golden/v").unwrap())
        .unwrap();
    let tree = repo.load_tree(&commit.contents, &commit.meta).unwrap();
    let file = tree
        .try_for_each_leaf(&mut |_, file| {
            let size = repo.open_file(file).unwrap().size;
            if size > 10_000 { Err(*file) } else { Ok(()) }
        })
        .unwrap_err();
    let name = ostree_format::ObjectName::new(file, ObjectKind::File);
    harm(&from.join("objects").join(name.loose_path(mode)));
    let to = source.path().join("new");
    (source, from, to)
}

#[test]
fn damage_of_the_source_stays_there() {
    for mode in [RepoMode::Bare, RepoMode::Archive] {
        let flip = |path: &Path| {
            let mut bytes = fs::read(path).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
        };
        let (_source, from, to) = damaged(mode, flip);
        init(&to, RepoMode::BareUser);
        let untrusted = PullLocalOptions {
            untrusted: true,
            ..PullLocalOptions::default()
        };
        let error = pull(&to, &from, "golden/v", &untrusted).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Corrupt, "{error}");
        assert!(all(&to).is_empty());
        let (_source, from, to) = damaged(mode, |path| fs::remove_file(path).unwrap());
        init(&to, mode);
        let error = pull(&to, &from, "golden/v", &PullLocalOptions::default()).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
        assert!(all(&to).is_empty());
    }
}

#[test]
fn a_commit_of_another_ref_is_refused() {
    let source = testkit::golden_copy("repos");
    let (from, to) = (source.path().join("bare"), source.path().join("new"));
    let commit = open(&from).resolve("golden/v").unwrap().to_string();
    theirs(&from, &["refs", "--create=evil", &commit]);
    let repo: Repo = init(&to, RepoMode::Bare);
    let error = pull(&to, &from, "evil", &PullLocalOptions::default()).unwrap_err();
    assert!(matches!(error, PullError::NotBound { .. }), "{error}");
    let source_path = from.display().to_string();
    testkit::fails(ostree(&to).args(["pull-local", &source_path, "evil"]));
    let lenient = PullLocalOptions {
        verify_bindings: false,
        ..PullLocalOptions::default()
    };
    pull(&to, &from, "evil", &lenient).unwrap();
    assert_eq!(repo.resolve("evil").unwrap().to_string(), commit);
    let error = pull(&to, &from, "none", &lenient).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
}

/// Libostree reads split-xattrs repositories but does not write them; its `fsck` is the judge.
#[test]
fn split_xattrs_repositories_are_written_and_read() {
    let source = testkit::golden_copy("repos");
    let at = |name: &str| source.path().join(name);
    for from in [RepoMode::Bare, RepoMode::Archive] {
        let (from, split) = (at(directory(from)), at("split"));
        let repo = init(&split, RepoMode::BareSplitXattrs);
        let deep = PullLocalOptions {
            depth: Depth::All,
            ..PullLocalOptions::default()
        };
        pull(&split, &from, "golden/v", &deep).unwrap();
        pull(&split, &from, "golden/multi", &deep).unwrap();
        let seen = theirs(&split, &["fsck"]);
        assert!(seen.contains("no errors found"), "{seen}");
        let list = ["ls", "-R", "-C", "-X", "golden/v"];
        assert_eq!(theirs(&split, &list), theirs(&from, &list));
        let report = fsck(&repo);
        assert!(report.damage.is_empty(), "{:?}", report.damage);
        let back = at("back");
        init(&back, RepoMode::Bare);
        pull(&back, &split, "golden/v", &PullLocalOptions::default()).unwrap();
        assert_clean(&back);

        // Without its commit, nothing of its attributes is left either.
        let prune = |depth| {
            let options = ostree::PruneOptions {
                refs_only: true,
                depth,
                ..ostree::PruneOptions::default()
            };
            repo.prune(&options, &Silent, &Interrupt::default())
                .unwrap()
        };
        assert!(prune(Depth::Ancestors(0)).deleted > 0);
        assert!(theirs(&split, &["fsck"]).contains("no errors found"));
        assert!(fsck(&repo).damage.is_empty());
        fs::remove_dir_all(split.join("refs/heads/golden")).unwrap();
        prune(Depth::All);
        assert!(all(&split).is_empty(), "{:?}", all(&split));
        fs::remove_dir_all(&split).unwrap();
        fs::remove_dir_all(&back).unwrap();
    }
    // As with `ostree`, nobody writes such a repository unawares.
    let repo = init(&at("other"), RepoMode::BareSplitXattrs);
    let txn = repo.begin(ostree::TransactionOptions::default()).unwrap();
    let header = ostree_format::FileHeader::regular(0, 0, 0o644, ostree_format::Xattrs::new());
    let error = txn.write_file(&header, b"x").unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unsupported);
}
