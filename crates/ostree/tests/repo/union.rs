//! Checkouts into directories that are there already, as `ostree checkout` makes them.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::Path;

use error_class::{Classified as _, ErrorClass};
use ostree::{CheckoutError, CheckoutOptions, CheckoutStats, Existing, Repo};
use ostree_format::RepoMode;
use progress::{Interrupt, Silent};

use crate::oracle::{init, open, ostree, theirs};

fn check_out(
    repo: &Repo,
    rev: &str,
    into: &Path,
    options: &CheckoutOptions<'_>,
) -> Result<CheckoutStats, CheckoutError> {
    let commit = repo.resolve(rev).unwrap();
    let parent = File::open(into.parent().unwrap()).unwrap();
    let name = Path::new(into.file_name().unwrap());
    repo.checkout(
        &commit,
        parent.as_fd(),
        name,
        options,
        &Silent,
        &Interrupt::default(),
    )
}

/// Two commits with much in common, and whiteouts in the second.
fn repository(path: &Path, mode: RepoMode) -> Repo {
    let repo = init(path, mode);
    let tree = path.with_extension("tree");
    let write = |name: &str, text: &str| {
        let file = tree.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    let commit = |branch: &str| {
        let source = format!("--tree=dir={}", tree.display());
        let canonical = "--canonical-permissions";
        theirs(
            path,
            &["commit", "-b", branch, "-s", "x", canonical, &source],
        );
    };
    for name in [
        "same",
        "d/same",
        "d/gone",
        "o/old",
        "o/sub/old",
        "empty/x",
        "only-one",
    ] {
        write(name, name);
    }
    write("zero", "");
    std::os::unix::fs::symlink("same", tree.join("link")).unwrap();
    commit("one");
    fs::remove_file(tree.join("only-one")).unwrap();
    write("only-two", "2");
    commit("two");
    write("same", "changed");
    commit("changed");
    write("d/.wh.gone", "");
    write("o/.wh..wh..opq", "");
    write("o/new", "new");
    for name in ["d/gone", "o/old", "o/sub/old"] {
        fs::remove_file(tree.join(name)).unwrap();
    }
    commit("whiteouts");
    repo
}

#[test]
fn every_mode_of_union_does_what_that_of_ostree_does() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let cases: [(&str, Existing, bool, &[&str], bool); 6] = [
        ("two", Existing::Union, false, &["--union"], true),
        ("changed", Existing::Union, false, &["--union"], true),
        ("changed", Existing::Add, false, &["--union-add"], true),
        (
            "two",
            Existing::Identical,
            false,
            &["--union-identical", "-H"],
            true,
        ),
        (
            "changed",
            Existing::Identical,
            false,
            &["--union-identical", "-H"],
            false,
        ),
        (
            "whiteouts",
            Existing::Union,
            true,
            &["--union", "--whiteouts"],
            true,
        ),
    ];
    for mode in [RepoMode::Bare, RepoMode::BareUserOnly, RepoMode::Archive] {
        let path = path.join(mode.name());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let repo = repository(&path, mode);
        for (number, (rev, existing, whiteouts, arguments, succeeds)) in
            cases.into_iter().enumerate()
        {
            if existing == Existing::Identical && mode == RepoMode::Archive {
                continue;
            }
            let at = |who: &str| path.with_extension(format!("{who}-{number}"));
            let (ours, oracle) = (at("ours"), at("theirs"));
            let options = CheckoutOptions {
                existing,
                whiteouts,
                require_hardlinks: existing == Existing::Identical,
                ..CheckoutOptions::default()
            };
            check_out(&repo, "one", &ours, &CheckoutOptions::default()).unwrap();
            let user: &[&str] = match mode {
                RepoMode::BareUserOnly => &["-U"],
                _ => &[],
            };
            let target = oracle.display().to_string();
            let run = |rev: &str, arguments: &[&str]| {
                let mut command = ostree(&path);
                command.args(["checkout", "--disable-cache"]).args(user);
                command.args(arguments).args([rev, &target]);
                command
            };
            testkit::run(&mut run("one", &[]));
            let result = check_out(&repo, rev, &ours, &options);
            assert_eq!(
                result.is_ok(),
                succeeds,
                "{mode} {rev} {arguments:?}: {result:?}"
            );
            if succeeds {
                testkit::run(&mut run(rev, arguments));
                testkit::manifest(&oracle).assert_same(&testkit::manifest(&ours));
            } else {
                testkit::fails(&mut run(rev, arguments));
                let error = result.unwrap_err();
                assert_eq!(error.class(), ErrorClass::InvalidInput);
                assert!(error.to_string().contains("same"), "{error}");
            }
        }
    }
}

#[test]
fn copies_are_refused_where_links_are_required() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let repo = repository(&path, RepoMode::Archive);
    let into = scratch.path().join("out");
    let options = CheckoutOptions {
        require_hardlinks: true,
        ..CheckoutOptions::default()
    };
    let error = check_out(&repo, "one", &into, &options).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unsupported, "{error}");
    let target = scratch.path().join("theirs").display().to_string();
    testkit::fails(ostree(&path).args(["checkout", "-H", "one", &target]));
    let bare = scratch.path().join("bare");
    repository(&bare, RepoMode::Bare);
    let stats = check_out(
        &open(&bare),
        "one",
        &scratch.path().join("linked"),
        &options,
    )
    .unwrap();
    assert_eq!(stats.copied, 1, "the empty file");
}
