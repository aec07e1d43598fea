//! Where files are: without a summary, on mirrors, behind metalinks; and what is sent along.

use std::os::fd::AsFd as _;

use ostree_format::RepoMode;
use pull::cookies::{self, Cookie};
use pull::{Error, Options};

use crate::scene::{Scene, main_ref};

#[test]
fn without_a_summary_refs_are_files() {
    let scene = Scene::new();
    std::fs::remove_file(scene.path("srv/summary")).unwrap();
    let repo = scene.repo("repo", RepoMode::BareUser);
    scene.pull(&repo, &main_ref()).unwrap();
    scene.assert_clean("repo");
    let mut options = Options::default();
    options.mirror = true;
    let error = scene.pull(&repo, &options).unwrap_err();
    assert!(matches!(error, Error::NoSummary), "{error}");
    std::fs::write(scene.path("srv/refs/heads/main"), "<html>\n".repeat(20)).unwrap();
    let error = scene.pull(&repo, &main_ref()).unwrap_err();
    let Error::InvalidRev { content, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(content.len(), 64);
}

#[test]
fn the_first_mirror_that_has_an_object_gives_it() {
    let scene = Scene::new();
    testkit::shell(&format!(
        "cd {} && cp -a srv one && cp -a srv two && rm one/objects/{} two/objects/{}",
        scene.path("").display(),
        scene.object_of("/small"),
        scene.object_of("/large"),
    ));
    let list = ["# mirrors", "", "ftp://nowhere/", "gone", "one", "two"];
    let list = list.map(|line| match line {
        "gone" | "one" | "two" => scene.server.url(line),
        other => other.to_owned(),
    });
    std::fs::write(scene.path("list"), list.join("\n")).unwrap();
    let mirrors = format!("mirrorlist={}", scene.server.url("list"));
    let repo = scene.repo_with("repo", RepoMode::BareUser, &[("url", &mirrors)]);
    scene.pull(&repo, &main_ref()).unwrap();
    scene.assert_clean("repo");

    // Objects from the mirrors, all else from the remote itself.
    let url = scene.server.url("srv");
    let options = [("url", url.as_str()), ("contenturl", mirrors.as_str())];
    let repo = scene.repo_with("split", RepoMode::BareUser, &options);
    scene.server.heal();
    scene.pull(&repo, &main_ref()).unwrap();
    assert_eq!(scene.server.count("srv/summary"), 1);
    let seen = scene.server.seen();
    let from_remote = |seen: &&crate::server::Seen| seen.path.starts_with("/srv/objects");
    assert!(
        seen.iter()
            .filter(from_remote)
            .all(|seen| seen.path.ends_with(".commitmeta"))
    );

    std::fs::write(scene.path("list"), scene.server.url("gone")).unwrap();
    let error = scene.pull(&repo, &main_ref()).unwrap_err();
    assert!(matches!(error, Error::NoMirrors(_)), "{error}");
}

#[test]
fn a_metalink_leads_to_the_summary_that_it_describes() {
    let scene = Scene::new();
    let sum = testkit::shell(&format!(
        "sha256sum < {}",
        scene.path("srv/summary").display()
    ));
    let size = Scene::bytes(&scene.path("srv/summary")).len();
    let url = |path: &str, rank: u32| {
        let url = scene.server.url(path);
        format!("<url protocol=\"http\" preference=\"{rank}\">{url}</url>")
    };
    std::fs::write(scene.path("srv/bad"), "bad").unwrap();
    let link = format!(
        "<metalink><files><file name=\"summary\"><size>{size}</size><verification><hash type=\"sha256\">{}\
         </hash></verification><resources>{}{}{}</resources></file></files></metalink>",
        sum.split(' ').next().unwrap(),
        url("srv/bad", 9),
        url("srv/none", 8),
        url("srv/summary", 7),
    );
    std::fs::write(scene.path("link.xml"), link).unwrap();
    let metalink = scene.server.url("link.xml");
    let repo = scene.repo_with("repo", RepoMode::BareUser, &[("metalink", &metalink)]);
    scene.pull(&repo, &main_ref()).unwrap();
    scene.assert_clean("repo");
    std::fs::write(scene.path("srv/summary"), "other").unwrap();
    let error = scene.pull(&repo, &main_ref()).unwrap_err();
    assert!(matches!(error, Error::Metalink(_)), "{error}");
}

#[test]
fn headers_cookies_and_passwords_go_with_every_request() {
    let mut scene = Scene::new();
    scene
        .network
        .headers
        .push(("X-Token".to_owned(), "secret".to_owned()));
    let url = scene.server.url("srv").replace("//", "//me:word@");
    let repo = scene.repo_with("repo", RepoMode::BareUser, &[("url", &url)]);
    let cookie = Cookie::new("127.0.0.1", "/srv", "name", "value", 0).unwrap();
    cookies::add(repo.dir().as_fd(), "origin", cookie).unwrap();
    scene.pull(&repo, &main_ref()).unwrap();
    let seen = scene.server.seen();
    assert!(seen.len() > 5);
    for request in &seen {
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        assert_eq!(header("x-token"), Some("secret"));
        assert_eq!(header("cookie"), Some("name=value"));
        // `me:word`
        assert_eq!(header("authorization"), Some("Basic bWU6d29yZA=="));
        assert_eq!(header("user-agent"), Some("test"));
    }
}

#[test]
fn another_address_than_the_configured_one() {
    let scene = Scene::new();
    let repo = scene.repo_with(
        "repo",
        RepoMode::BareUser,
        &[("url", "http://127.0.0.1:1/")],
    );
    let mut options = main_ref();
    options.url = Some(scene.server.url("srv"));
    scene.pull(&repo, &options).unwrap();
    scene.assert_clean("repo");
}
