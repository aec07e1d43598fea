//! Options of a pull.

use error_class::{Classified as _, ErrorClass};
use ostree::Depth;
use ostree_format::RepoMode;
use pull::{Error, Options, WantedRef};

use crate::scene::{Scene, main_ref};

fn commits(scene: &Scene, name: &str) -> usize {
    scene
        .objects(name)
        .iter()
        .filter(|object| object.ends_with(".commit"))
        .count()
}

fn is_partial(scene: &Scene, name: &str, rev: &str) -> bool {
    let commit = scene.rev("srv", rev);
    scene
        .path(&format!("{name}/state/{commit}.commitpartial"))
        .exists()
}

#[test]
fn ancestors_come_as_far_as_is_wanted_and_there() {
    let scene = Scene::new();
    let repo = scene.repo("repo", RepoMode::BareUser);
    let mut options = main_ref();
    for (depth, count) in [
        (Depth::Ancestors(0), 1),
        (Depth::Ancestors(1), 2),
        (Depth::All, 2),
    ] {
        options.depth = depth;
        scene.pull(&repo, &options).unwrap();
        assert_eq!(commits(&scene, "repo"), count, "{depth:?}");
    }
    scene.assert_clean("repo");
    // An ancestor that the remote lacks is no failure, a head is one.
    let first = scene.rev("srv", "main^");
    std::fs::remove_file(scene.path(&format!(
        "srv/objects/{}/{}.commit",
        &first[..2],
        &first[2..]
    )))
    .unwrap();
    let other = scene.repo("other", RepoMode::BareUser);
    scene.pull(&other, &options).unwrap();
    assert_eq!(commits(&scene, "other"), 1);
    options.refs[0].commit = Some(first.parse().unwrap());
    let error = scene
        .pull(&scene.repo("third", RepoMode::BareUser), &options)
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
}

#[test]
fn a_part_of_a_commit_is_marked_as_such() {
    let scene = Scene::new();
    let repo = scene.repo("repo", RepoMode::BareUser);
    let mut options = main_ref();
    options.commit_only = true;
    scene.pull(&repo, &options).unwrap();
    assert_eq!(scene.objects("repo").len(), 1);
    assert!(is_partial(&scene, "repo", "main"));
    options.commit_only = false;
    options.subpaths = vec!["/d/e".to_owned()];
    scene.pull(&repo, &options).unwrap();
    assert!(is_partial(&scene, "repo", "main"));
    assert_eq!(
        scene.theirs("repo", &["cat", "origin:main", "/d/e/deep"]),
        "deep"
    );
    testkit::fails(scene.ostree("repo").args(["cat", "origin:main", "/small"]));
    options.subpaths.clear();
    scene.pull(&repo, &options).unwrap();
    assert!(!is_partial(&scene, "repo", "main"));
    scene.assert_clean("repo");
}

#[test]
fn a_commit_by_its_checksum_and_a_ref_that_shall_be_one() {
    let scene = Scene::new();
    let repo = scene.repo("repo", RepoMode::BareUser);
    let first = scene.rev("srv", "main^");
    let mut options = Options::default();
    options.commits.push(first.parse().unwrap());
    scene.pull(&repo, &options).unwrap();
    assert_eq!(scene.theirs("repo", &["refs"]), "");
    let mut options = main_ref();
    options.refs.push(WantedRef {
        name: "main".parse().unwrap(),
        commit: Some(first.parse().unwrap()),
    });
    scene.pull(&repo, &options).unwrap();
    assert_eq!(
        scene.rev("repo", "origin:main"),
        first,
        "the last of two counts"
    );
    scene.assert_clean("repo");
}

#[test]
fn commits_of_other_refs_and_older_ones_are_refused() {
    let scene = Scene::new();
    scene.theirs("srv", &["refs", "--create=other", "main"]);
    scene.summary();
    let repo = scene.repo("repo", RepoMode::BareUser);
    let mut options = main_ref();
    options.refs[0].name = "other".parse().unwrap();
    let error = scene.pull(&repo, &options).unwrap_err();
    assert!(matches!(error, Error::Binding { .. }), "{error}");
    options.verify_bindings = false;
    scene.pull(&repo, &options).unwrap();

    let mut options = main_ref();
    options.timestamp_check = true;
    scene.pull(&repo, &options).unwrap();
    let old = ["commit", "-b", "main", "--tree=ref=main", "--timestamp=@1"];
    scene.theirs("srv", &old);
    scene.summary();
    let before = scene.rev("repo", "origin:main");
    let error = scene.pull(&repo, &options).unwrap_err();
    assert!(
        error.to_string().contains("chronologically older"),
        "{error}"
    );
    assert_eq!(scene.rev("repo", "origin:main"), before);
    options.timestamp_check = false;
    scene.pull(&repo, &options).unwrap();
}

#[test]
fn objects_that_another_repository_has_are_not_fetched() {
    let scene = Scene::new();
    let cache = scene.repo("cache", RepoMode::Archive);
    let mut first = main_ref();
    first.refs[0].commit = Some(scene.rev("srv", "main^").parse().unwrap());
    scene.pull(&cache, &first).unwrap();
    let caches = [cache];
    let mut options = main_ref();
    options.local_caches = &caches;
    let repo = scene.repo("repo", RepoMode::BareUser);
    let report = scene.pull(&repo, &options).unwrap();
    // The commit and the two directories that changed; the large file and the new one.
    assert_eq!((report.fetched_metadata, report.fetched_content), (3, 2));
    assert_eq!((report.imported_metadata, report.imported_content), (2, 4));
    scene.assert_clean("repo");
}

#[test]
fn files_that_a_user_cannot_hold_are_refused_when_asked() {
    let scene = Scene::new();
    let file = scene.path("statoverride");
    std::fs::write(&file, "2048 /small\n").unwrap();
    let tree = format!("--tree=dir={}", scene.path("tree").display());
    let statoverride = format!("--statoverride={}", file.display());
    scene.theirs("srv", &["commit", "-b", "suid", &statoverride, &tree]);
    scene.summary();
    let mut options = main_ref();
    options.refs[0].name = "suid".parse().unwrap();
    options.user_only_files = true;
    for mode in [RepoMode::BareUser, RepoMode::Archive] {
        let repo = scene.repo(&format!("repo-{mode}"), mode);
        let error = scene.pull(&repo, &options).unwrap_err();
        assert!(
            matches!(error, Error::FileMode { bits: 0o4000, .. }),
            "{error}"
        );
    }
}

#[test]
fn what_was_not_named_is_asked_for_by_the_configuration() {
    let scene = Scene::new();
    let repo = scene.repo("none", RepoMode::BareUser);
    let error = scene.pull(&repo, &Options::default()).unwrap_err();
    assert!(matches!(error, Error::NoBranches(_)), "{error}");
    let url = scene.server.url("srv");
    let repo = scene.repo_with(
        "some",
        RepoMode::BareUser,
        &[("url", &url), ("branches", "main;")],
    );
    scene.pull(&repo, &Options::default()).unwrap();
    assert_eq!(scene.rev("some", "origin:main"), scene.rev("srv", "main"));
    for (key, value) in [
        ("unconfigured-state", "log in first"),
        ("custom-backend", "other"),
    ] {
        let repo = scene.repo_with(key, RepoMode::BareUser, &[("url", &url), (key, value)]);
        let error = scene.pull(&repo, &main_ref()).unwrap_err();
        assert!(error.to_string().contains(value), "{error}");
    }
}
