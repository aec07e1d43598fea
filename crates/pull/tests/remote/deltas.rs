//! Static deltas that the real program made.

use ostree_format::RepoMode;
use pull::{Error, Options};

use crate::scene::{Scene, main_ref};

fn first(scene: &Scene) -> Options<'static> {
    let mut options = main_ref();
    options.refs[0].commit = Some(scene.rev("srv", "main^").parse().unwrap());
    options.no_deltas = true;
    options
}

fn required() -> Options<'static> {
    let mut options = main_ref();
    options.require_deltas = true;
    options
}

#[test]
fn deltas_bring_what_loose_objects_would() {
    for arguments in [
        &["static-delta", "generate", "main"][..],
        &["static-delta", "generate", "--inline", "main"],
    ] {
        let scene = Scene::new();
        scene.theirs("srv", arguments);
        scene.summary();
        for mode in [RepoMode::Bare, RepoMode::BareUser, RepoMode::BareUserOnly] {
            let name = format!("repo-{mode}");
            let repo = scene.repo(&name, mode);
            scene.pull(&repo, &first(&scene)).unwrap();
            scene.server.heal();
            let report = scene.pull(&repo, &required()).unwrap();
            assert!(report.delta_parts > 0);
            assert_eq!(scene.server.count(".filez"), 0, "{mode}");
            scene.assert_clean(&name);
            assert_eq!(scene.rev(&name, "origin:main"), scene.rev("srv", "main"));
        }
    }
}

#[test]
fn from_nothing_and_what_it_would_cost() {
    let scene = Scene::new();
    scene.theirs("srv", &["static-delta", "generate", "--empty", "main"]);
    scene.summary();
    let repo = scene.repo("repo", RepoMode::BareUser);
    let mut options = required();
    options.dry_run = true;
    let cost = scene.pull(&repo, &options).unwrap();
    assert!(cost.delta_parts_total > 0 && cost.delta_bytes_unpacked > 700_000);
    assert!(scene.objects("repo").is_empty());
    options.dry_run = false;
    scene.pull(&repo, &options).unwrap();
    scene.assert_clean("repo");
}

#[test]
fn deltas_that_are_missing_or_damaged() {
    let scene = Scene::new();
    let repo = scene.repo("repo", RepoMode::BareUser);
    scene.pull(&repo, &first(&scene)).unwrap();
    let error = scene.pull(&repo, &required()).unwrap_err();
    assert!(
        matches!(error, Error::NoDelta { .. } | Error::NoDeltas),
        "{error}"
    );
    let archive = scene.repo("archive", RepoMode::Archive);
    let error = scene.pull(&archive, &required()).unwrap_err();
    assert!(matches!(error, Error::DeltasIntoArchive), "{error}");

    scene.theirs("srv", &["static-delta", "generate", "main"]);
    scene.summary();
    let before = scene.rev("repo", "origin:main");
    scene
        .server
        .fail("/0", crate::server::Fault::WrongByte, 100);
    scene.pull(&repo, &required()).unwrap_err();
    assert_eq!(scene.rev("repo", "origin:main"), before);
    scene.server.heal();
    scene
        .server
        .fail("superblock", crate::server::Fault::WrongByte, 1);
    let error = scene.pull(&repo, &required()).unwrap_err();
    assert!(matches!(error, Error::DeltaDigest(_)), "{error}");
    scene.server.heal();
    scene.pull(&repo, &required()).unwrap();
    scene.assert_clean("repo");
}
