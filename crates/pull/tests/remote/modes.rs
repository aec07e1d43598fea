//! What was pulled is what the real program pulls, in every mode and in both directions.

use ostree_format::RepoMode;

use crate::scene::{MODES, Scene, main_ref};

#[test]
fn the_same_objects_as_ostree_in_every_mode() {
    let scene = Scene::new();
    for mode in MODES {
        let (ours, theirs) = (format!("ours-{mode}"), format!("theirs-{mode}"));
        let repo = scene.repo(&ours, mode);
        let report = scene.pull(&repo, &main_ref()).unwrap();
        scene.assert_clean(&ours);
        scene.theirs(&theirs, &["init", &format!("--mode={mode}")]);
        let url = scene.server.url("srv");
        scene.theirs(
            &theirs,
            &["remote", "add", "--no-gpg-verify", "origin", &url],
        );
        scene.theirs(&theirs, &["pull", "origin", "main"]);
        assert_eq!(scene.objects(&ours), scene.objects(&theirs), "{mode}");
        let main = scene.rev("srv", "main");
        assert_eq!(scene.rev(&ours, "origin:main"), main);
        // Four directories and their one kind of metadata, files, link, and the commit.
        assert_eq!(
            (report.fetched_metadata, report.fetched_content),
            (5, 6),
            "{mode}"
        );
        let again = scene.pull(&repo, &main_ref()).unwrap();
        assert_eq!(
            (again.fetched_metadata, again.fetched_content),
            (0, 0),
            "{mode}"
        );
    }
}

#[test]
fn a_mirror_is_a_repository_that_ostree_pulls_from() {
    let scene = Scene::new();
    let repo = scene.repo("mirror", RepoMode::Archive);
    let mut options = pull::Options::default();
    options.mirror = true;
    scene.pull(&repo, &options).unwrap();
    scene.assert_clean("mirror");
    assert_eq!(
        Scene::bytes(&scene.path("mirror/summary")),
        Scene::bytes(&scene.path("srv/summary"))
    );
    // Packed files are kept as they came.
    for object in scene.objects("mirror") {
        let bytes = |repo: &str| Scene::bytes(&scene.path(&format!("{repo}/objects/{object}")));
        assert_eq!(bytes("mirror"), bytes("srv"), "{object}");
    }
    scene.theirs("client", &["init", "--mode=bare-user"]);
    let url = scene.server.url("mirror");
    scene.theirs(
        "client",
        &["remote", "add", "--no-gpg-verify", "origin", &url],
    );
    scene.theirs("client", &["pull", "origin", "main"]);
    scene.assert_clean("client");
    assert_eq!(scene.rev("client", "origin:main"), scene.rev("srv", "main"));
}

#[test]
fn repositories_of_this_machine_in_every_mode() {
    let scene = Scene::new();
    let archive = scene.repo_with(
        "archive",
        RepoMode::Archive,
        &[("url", &format!("file://{}", scene.path("srv").display()))],
    );
    let report = scene.pull(&archive, &main_ref()).unwrap();
    assert!(report.local);
    assert_eq!((report.imported_metadata, report.imported_content), (5, 6));
    scene.assert_clean("archive");
    for mode in MODES {
        let name = format!("from-{mode}");
        let bare = scene.repo(&name, mode);
        scene.pull(&bare, &main_ref()).unwrap();
        let url = format!("file://{}", scene.path(&name).display());
        // The ref is that of a remote there, so it is found by its name alone.
        let name = format!("to-{mode}");
        let local = scene.repo_with(&name, RepoMode::BareUser, &[("url", &url)]);
        scene.pull(&local, &main_ref()).unwrap();
        scene.assert_clean(&name);
    }
}
