//! Pruning, compared with `ostree prune` on a copy of the same repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use error_class::{Classified as _, ErrorClass};
use ostree::{Depth, PruneError, PruneOptions, Repo};
use ostree_format::{Checksum, ObjectKind, RepoMode};
use progress::{Interrupt, Silent};
use tempfile::TempDir;

use crate::oracle::{assert_clean, fsck, init, open, ostree, theirs};
use crate::transactions::{begin, stage};

/// Branch `main` with six commits at times 100, 200, …; `side` with three; an orphan; a remote's and a
/// mirrored ref; one commit that all share as ancestor; a static delta to the newest and the oldest.
fn history(mode: RepoMode) -> (TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    init(&path, mode);
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("same"), "same").unwrap();
    let commit = |branch: &[&str], time: u32, text: &str| {
        fs::create_dir_all(tree.join(text)).unwrap();
        fs::write(tree.join(text).join("file"), text).unwrap();
        let source = format!("--tree=dir={}", tree.display());
        let time = format!("--timestamp=@{time}");
        let mut arguments = vec!["commit", "-s", "x", &source, &time];
        arguments.extend(branch);
        let commit = theirs(&path, &arguments);
        fs::remove_dir_all(tree.join(text)).unwrap();
        commit
    };
    for n in 1..=6 {
        commit(&["-b", "main"], n * 100, &format!("a{n}"));
    }
    let shared = theirs(&path, &["rev-parse", "main^^"]);
    commit(&["-b", "side", &format!("--parent={shared}")], 150, "b1");
    commit(&["-b", "side"], 350, "b2");
    commit(&["-b", "side"], 250, "b3");
    commit(&["--orphan"], 900, "orphan");
    let remote = commit(&["--orphan"], 900, "remote");
    theirs(&path, &["refs", "--create=origin:r", &remote]);
    let mirrored = commit(&["--orphan"], 900, "mirror");
    fs::create_dir_all(path.join("refs/mirrors/org.example.C")).unwrap();
    fs::write(path.join("refs/mirrors/org.example.C/m"), mirrored + "\n").unwrap();
    // An object that belongs to nothing.
    let repo = open(&path);
    let txn = begin(&repo);
    stage(&txn, 2, "garbage");
    txn.commit(&Silent, &Interrupt::default()).unwrap();
    (scratch, path)
}

fn all(path: &Path) -> BTreeSet<String> {
    let repo = open(path);
    let names = (0..=u8::MAX).flat_map(|head| repo.objects_in(head).unwrap());
    names.map(|name| name.to_string()).collect()
}

fn counts(printed: &str) -> (u64, u64) {
    let number = |line: &str| {
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    let find = |what: &str| printed.lines().find(|line| line.contains(what));
    let total = number(find("Total ").unwrap());
    let deleted = find("Deleted").or(find("Would delete"));
    let deleted = deleted.map(|line| number(line.split(" objects").next().unwrap()));
    (total, deleted.unwrap_or(0))
}

/// Prune with both, and compare what is left.
#[track_caller]
fn same(repo: &Path, options: &PruneOptions, arguments: &[&str]) -> u64 {
    let copy = repo.with_extension("theirs");
    testkit::run(testkit::command("cp").arg("-a").arg(repo).arg(&copy));
    let mine = repo.with_extension("ours");
    testkit::run(testkit::command("cp").arg("-a").arg(repo).arg(&mine));
    let printed = theirs(&copy, &[&["prune"], arguments].concat());
    let before: u64 = stored(&mine);
    let plan = open(&mine);
    // The plan holds the lock; it must be gone before the prune.
    let planned = plan
        .plan_prune(options, &Interrupt::default())
        .unwrap()
        .stats();
    assert_eq!(all(&mine), all(repo), "a plan deletes nothing");
    let done = plan.prune(options, &Silent, &Interrupt::default()).unwrap();
    assert_eq!(done, planned);
    assert_eq!(before - stored(&mine), done.bytes, "{arguments:?}");
    assert_eq!(
        (done.objects, done.deleted),
        counts(&printed),
        "{arguments:?}"
    );
    assert_eq!(all(&mine), all(&copy), "{arguments:?}");
    let deltas = |path: &Path| open(path).list_deltas().unwrap();
    assert_eq!(deltas(&mine), deltas(&copy));
    if !options.commit_only {
        assert!(fsck(&open(&mine)).damage.is_empty());
    }
    for path in [copy, mine] {
        fs::remove_dir_all(path).unwrap();
    }
    done.deleted
}

fn stored(path: &Path) -> u64 {
    let repo = open(path);
    let names = (0..=u8::MAX).flat_map(|head| repo.objects_in(head).unwrap());
    names
        .map(|name| repo.stored_size(&name).unwrap().unwrap())
        .sum()
}

fn refs_only(depth: Depth) -> PruneOptions {
    PruneOptions {
        refs_only: true,
        depth,
        ..PruneOptions::default()
    }
}

#[test]
fn every_choice_keeps_what_ostree_keeps() {
    for mode in [RepoMode::Archive, RepoMode::Bare] {
        let (_scratch, repo) = history(mode);
        let none = PruneOptions::default();
        assert_eq!(
            same(&repo, &none, &[]),
            0,
            "a commit without ref is no garbage"
        );
        let few = Depth::Ancestors;
        assert!(same(&repo, &refs_only(Depth::All), &["--refs-only"]) > 0);
        assert!(same(&repo, &refs_only(few(0)), &["--refs-only", "--depth=0"]) > 0);
        assert!(same(&repo, &refs_only(few(2)), &["--refs-only", "--depth=2"]) > 0);
        // From here on `ostree` does not look at mirrored refs, and would leave one dangling.
        fs::remove_dir_all(repo.join("refs/mirrors/org.example.C")).unwrap();
        let younger = |limit| PruneOptions {
            keep_younger_than: Some(limit),
            ..PruneOptions::default()
        };
        for limit in [50, 150, 300, 351, 1000] {
            let date = format!("--keep-younger-than=@{limit}");
            same(&repo, &younger(limit), &[&date]);
        }
        let branches = |name: &str, depth| PruneOptions {
            branch_depths: [(name.to_owned(), depth)].into(),
            depth: few(0),
            ..PruneOptions::default()
        };
        same(
            &repo,
            &branches("main", few(1)),
            &["--retain-branch-depth=main=1", "--depth=0"],
        );
        same(
            &repo,
            &branches("side", Depth::All),
            &["--retain-branch-depth=side=-1", "--depth=0"],
        );
        let only = PruneOptions {
            only_branches: vec!["main".parse().unwrap()],
            depth: few(0),
            ..PruneOptions::default()
        };
        same(&repo, &only, &["--only-branch=main", "--depth=0"]);
        let commits = PruneOptions {
            commit_only: true,
            ..refs_only(few(0))
        };
        same(
            &repo,
            &commits,
            &["--refs-only", "--depth=0", "--commit-only"],
        );
    }
}

#[test]
fn static_deltas_to_deleted_commits_go_too() {
    let (_scratch, repo) = history(RepoMode::Archive);
    theirs(&repo, &["static-delta", "generate", "--empty", "--to=main"]);
    theirs(
        &repo,
        &["static-delta", "generate", "--from=main^^", "--to=main^"],
    );
    theirs(
        &repo,
        &["static-delta", "generate", "--from=main^", "--to=main"],
    );
    assert_eq!(open(&repo).list_deltas().unwrap().len(), 3);
    same(
        &repo,
        &refs_only(Depth::Ancestors(0)),
        &["--refs-only", "--depth=0"],
    );
    let options = refs_only(Depth::Ancestors(0));
    open(&repo)
        .prune(&options, &Silent, &Interrupt::default())
        .unwrap();
    assert_eq!(open(&repo).list_deltas().unwrap().len(), 2);
    assert_clean(&repo);
}

#[test]
fn a_deleted_commit_leaves_a_tombstone() {
    let (_scratch, repo) = history(RepoMode::Archive);
    let copy = repo.with_extension("theirs");
    testkit::run(testkit::command("cp").arg("-a").arg(&repo).arg(&copy));
    let victim = theirs(&repo, &["rev-parse", "main^^^^"]);
    let commit: Checksum = victim.parse().unwrap();
    let mut mine = open(&repo);
    let newest = mine.resolve("main").unwrap();
    let error = mine.delete_commit(&newest).unwrap_err();
    assert!(matches!(error, PruneError::Referenced { .. }), "{error}");
    testkit::fails(ostree(&copy).args(["prune", &format!("--delete-commit={newest}")]));
    mine.delete_commit(&commit).unwrap();
    mine.prune(&PruneOptions::default(), &Silent, &Interrupt::default())
        .unwrap();
    theirs(&copy, &["prune", &format!("--delete-commit={victim}")]);
    assert_eq!(all(&repo), all(&copy));
    let name = ostree_format::ObjectName::new(commit, ObjectKind::TombstoneCommit);
    let file = |repo: &Path| {
        fs::read(
            repo.join("objects")
                .join(name.loose_path(RepoMode::Archive)),
        )
    };
    assert_eq!(file(&repo).unwrap(), file(&copy).unwrap());
    let config = |repo: &Path| fs::read_to_string(repo.join("config")).unwrap();
    assert_eq!(config(&repo).trim_end(), config(&copy).trim_end());
    let error = mine.delete_commit(&commit).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
}

#[test]
fn mirrored_refs_are_kept_whatever_the_choice() {
    let (_scratch, repo) = history(RepoMode::Bare);
    let options = PruneOptions {
        keep_younger_than: Some(u64::MAX),
        ..PruneOptions::default()
    };
    open(&repo)
        .prune(&options, &Silent, &Interrupt::default())
        .unwrap();
    assert!(fsck(&open(&repo)).damage.is_empty());
}

#[test]
fn partial_commits_are_kept_with_what_is_there() {
    let source = testkit::golden_copy("repos");
    let partial = source.path().join("partial");
    let before = all(&partial);
    let stats = open(&partial)
        .prune(&PruneOptions::default(), &Silent, &Interrupt::default())
        .unwrap();
    assert_eq!(stats.deleted, 0);
    assert_eq!(all(&partial), before);
    // Without refs the commit goes, and so does its mark.
    fs::remove_dir_all(partial.join("refs/heads")).unwrap();
    fs::remove_dir_all(partial.join("refs/remotes")).unwrap();
    fs::create_dir(partial.join("refs/heads")).unwrap();
    fs::create_dir(partial.join("refs/remotes")).unwrap();
    open(&partial)
        .prune(&refs_only(Depth::All), &Silent, &Interrupt::default())
        .unwrap();
    assert!(all(&partial).is_empty());
    assert_eq!(fs::read_dir(partial.join("state")).unwrap().count(), 0);
}

#[test]
fn a_hole_in_a_tree_or_a_damaged_ref_deletes_nothing() {
    let (_scratch, path) = history(RepoMode::Bare);
    let repo = open(&path);
    let before = all(&path);
    let head = path.join("refs/heads/bad");
    fs::write(&head, "x\n").unwrap();
    let prune = |repo: &Repo| {
        repo.prune(
            &refs_only(Depth::Ancestors(0)),
            &Silent,
            &Interrupt::default(),
        )
    };
    let error = prune(&repo).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Corrupt, "{error}");
    fs::remove_file(&head).unwrap();
    let commit = repo.load_commit(&repo.resolve("main").unwrap()).unwrap();
    let name = ostree_format::ObjectName::new(commit.contents, ObjectKind::DirTree);
    let object = path.join("objects").join(name.loose_path(RepoMode::Bare));
    let saved = fs::read(&object).unwrap();
    fs::remove_file(&object).unwrap();
    let error = prune(&repo).unwrap_err();
    assert!(
        error.to_string().contains(&commit.contents.to_string()),
        "{error}"
    );
    fs::write(&object, saved).unwrap();
    assert_eq!(all(&path), before);
    prune(&repo).unwrap();
}

/// Writers and pruners at once: nothing that a ref names is ever lost.
#[test]
fn writers_and_pruners_do_not_harm_each_other() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    init(&path, RepoMode::Bare);
    let write = |number: usize| {
        let repo = open(&path);
        for round in 0..12 {
            let txn = begin(&repo);
            // Every writer brings back what the pruner may just have deleted.
            let commit = stage(&txn, 20, &format!("{}", round % 3));
            let name = format!("r{number}").parse().unwrap();
            txn.set_ref(name, ostree::Expect::Any, Some(commit));
            txn.commit(&Silent, &Interrupt::default()).unwrap();
        }
    };
    let prune = || {
        let repo = open(&path);
        for _ in 0..12 {
            repo.prune(
                &refs_only(Depth::Ancestors(0)),
                &Silent,
                &Interrupt::default(),
            )
            .unwrap();
        }
    };
    std::thread::scope(|scope| {
        (0..2).for_each(|number| drop(scope.spawn(move || write(number))));
        scope.spawn(prune);
    });
    assert_clean(&path);
}

/// A reader beside a pruner: what a ref names can always be read to the end.
#[test]
fn a_reader_beside_a_pruner_misses_nothing() {
    for mode in [RepoMode::Bare, RepoMode::Archive] {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("repo");
        init(&path, mode);
        let commit = |name: Option<&str>, content: &str| {
            let repo = open(&path);
            let txn = begin(&repo);
            let commit = stage(&txn, 30, content);
            if let Some(name) = name {
                txn.set_ref(name.parse().unwrap(), ostree::Expect::Any, Some(commit));
            }
            txn.commit(&Silent, &Interrupt::default()).unwrap();
        };
        commit(Some("kept"), "kept");
        let done = std::sync::atomic::AtomicBool::new(false);
        let read = || {
            let repo = open(&path);
            let mut rounds = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) || rounds == 0 {
                rounds += 1;
                let commit = repo.load_commit(&repo.resolve("kept").unwrap()).unwrap();
                let tree = repo.load_tree(&commit.contents, &commit.meta).unwrap();
                let whole = tree.try_for_each_leaf(&mut |_, file| {
                    let mut content = Vec::new();
                    let mut object = repo.open_file(file)?;
                    std::io::Read::read_to_end(&mut object.content, &mut content).unwrap();
                    assert!(content.starts_with(b"kept "));
                    Ok::<_, ostree::ReadError>(())
                });
                whole.unwrap();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(read);
            for round in 0..20 {
                // What no ref names shares its objects with nobody, and goes.
                commit(None, &format!("garbage {round}"));
                let options = refs_only(Depth::Ancestors(0));
                let pruned = open(&path).prune(&options, &Silent, &Interrupt::default());
                assert!(pruned.unwrap().deleted > 30);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_clean(&path);
    }
}
