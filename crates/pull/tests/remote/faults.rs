//! Servers that fail: what passes is waited for, what does not is named, and what came is kept.

use std::time::Duration;

use error_class::{Classified as _, ErrorClass};
use ostree_format::RepoMode;
use pull::{Error, Problem};

use crate::scene::{MODES, Scene, main_ref};
use crate::server::Fault;

#[test]
fn failures_that_pass_are_waited_for() {
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(408),
        Fault::Cut,
    ] {
        let scene = Scene::new();
        for path in ["summary", ".commit", ".dirtree", ".filez"] {
            scene.server.fail(path, fault, 2);
        }
        let repo = scene.repo("repo", RepoMode::BareUser);
        scene.pull(&repo, &main_ref()).unwrap();
        scene.assert_clean("repo");
    }
}

#[test]
fn a_file_that_breaks_off_is_continued_where_the_server_gives_parts() {
    for (fault, begun_anew) in [(Fault::Cut, 0), (Fault::CutWithoutRanges, 1)] {
        let scene = Scene::new();
        let large = scene.object_of("/large");
        scene.server.fail(&large, fault, 1);
        if begun_anew == 1 {
            scene.server.fail(&large, Fault::Status(416), 1);
        }
        let repo = scene.repo("repo", RepoMode::Archive);
        scene.pull(&repo, &main_ref()).unwrap();
        scene.assert_clean("repo");
        let seen = scene.server.seen();
        let asked = seen.iter().filter(|seen| seen.path.ends_with(&large));
        let whole = asked
            .filter(|seen| !seen.headers.contains_key("range"))
            .count();
        assert_eq!(whole, 1 + begun_anew, "{fault:?}");
    }
}

#[test]
fn what_does_not_pass_is_named_and_what_came_is_kept() {
    let scene = Scene::new();
    let small = scene.object_of("/small");
    for (fault, class) in [
        (Fault::Status(404), ErrorClass::NotFound),
        (Fault::Status(500), ErrorClass::Network),
        (Fault::CutWithoutRanges, ErrorClass::Network),
        (Fault::WrongByte, ErrorClass::Corrupt),
    ] {
        let name = format!("repo-{fault:?}").replace(['(', ')'], "-");
        let repo = scene.repo(&name, RepoMode::BareUser);
        scene.server.fail(&small, fault, 100);
        let error = scene.pull(&repo, &main_ref()).unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(error.to_string().contains(&small[3..20]), "{error}");
        assert!(
            testkit::fails(scene.ostree(&name).args(["rev-parse", "origin:main"]))
                .stdout
                .is_empty()
        );
        // The commit is here, and known not to be whole.
        let main = scene.rev("srv", "main");
        assert!(
            scene
                .path(&format!("{name}/state/{main}.commitpartial"))
                .exists()
        );
        scene.server.heal();
        let report = scene.pull(&repo, &main_ref()).unwrap();
        assert!(report.fetched_content >= 1);
        // The commit at least was kept, which leads to all the rest.
        assert!(report.fetched_metadata < 5, "{fault:?}");
        assert!(
            !scene
                .path(&format!("{name}/state/{main}.commitpartial"))
                .exists()
        );
        scene.assert_clean(&name);
        scene.server.heal();
    }
}

#[test]
fn damaged_objects_are_stored_in_no_mode() {
    for mode in MODES {
        let scene = Scene::new();
        let large = scene.object_of("/large");
        scene.server.fail(&large, Fault::WrongByte, 1);
        let repo = scene.repo("repo", mode);
        let error = scene.pull(&repo, &main_ref()).unwrap_err();
        assert!(
            matches!(error, Error::Corrupted { .. } | Error::BadContent { .. }),
            "{error}"
        );
        scene.theirs("repo", &["fsck", "-q"]);
        scene.server.heal();
        scene.pull(&repo, &main_ref()).unwrap();
        scene.assert_clean("repo");
    }
}

#[test]
fn without_retries_the_first_failure_is_the_last() {
    let mut scene = Scene::new();
    scene.network.retries = 0;
    scene.server.fail("summary", Fault::Status(500), 1);
    let repo = scene.repo("repo", RepoMode::BareUser);
    let error = scene.pull(&repo, &main_ref()).unwrap_err();
    assert!(error.to_string().contains("HTTP 500"), "{error}");
    assert_eq!(scene.server.count("/summary"), 1);
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let mut scene = Scene::new();
    scene.network.retries = 0;
    scene.network.stall = Duration::from_millis(200);
    scene.server.fail(".filez", Fault::Stall, 100);
    let repo = scene.repo("repo", RepoMode::BareUser);
    let error = scene.pull(&repo, &main_ref()).unwrap_err();
    let timed_out = matches!(
        &error,
        Error::Fetch {
            problem: Problem::Timeout(_),
            ..
        }
    );
    assert!(timed_out, "{error}");
}

#[test]
fn an_interrupt_is_noticed_while_a_server_says_nothing() {
    let scene = Scene::new();
    scene.server.fail(".filez", Fault::Stall, 100);
    let repo = scene.repo("repo", RepoMode::BareUser);
    let interrupt = scene.interrupt.clone();
    let server = scene.server.clone();
    let raiser = std::thread::spawn(move || {
        while server.count(".filez") == 0 {
            std::thread::yield_now();
        }
        interrupt.raise();
    });
    let error = scene.pull(&repo, &main_ref()).unwrap_err();
    raiser.join().unwrap();
    assert_eq!(error.class(), ErrorClass::Interrupted);
    // What came before is kept.
    let main = scene.rev("srv", "main");
    assert!(
        scene
            .path(&format!("repo/state/{main}.commitpartial"))
            .exists()
    );
}

#[test]
fn nobody_is_there() {
    let mut scene = Scene::new();
    scene.network.retries = 1;
    let repo = scene.repo_with("repo", RepoMode::Bare, &[("url", "http://127.0.0.1:1/srv")]);
    let error = scene.pull(&repo, &main_ref()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Network, "{error}");
}
