//! Images whose commit must be signed for a remote, with a real key and a real repository.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use error_class::{Classified as _, ErrorClass};
use host::{Access, PullError, PullOptions, pull};
use image::EncapsulateOptions;
use oci::proxies::Proxies;
use ostree::Repo;
use ostree_format::RepoMode;
use progress::{Interrupt, Silent};
use testkit::{command, run};

fn dir(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

fn access() -> Access {
    Access {
        root: dir(Path::new("/")),
        files: dir(Path::new("/")),
        authfile: None,
        anonymous: true,
        user_files: Vec::new(),
        ca_bundle: None,
        cert_dir: None,
        tls_verify: None,
        registries_conf: None,
        registries_dir: None,
        user_configuration: None,
        signature_policy: None,
        lookaside_dir: None,
        proxies: Proxies::default(),
        reads_storage: false,
        storage_conf: None,
        stores: None,
        seed: 0,
    }
}

struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// A GPG home with one key, its public part in `NAME.pub`.
    fn key(&self, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
        run(command("chmod").args(["700", &self.path(name)]));
        let user = format!("{name}@example.com");
        let make = ["--batch", "--quiet", "--passphrase", "", "--quick-gen-key"];
        let gpg = || {
            let mut gpg = command("gpg");
            gpg.env("GNUPGHOME", self.path(name));
            gpg
        };
        run(gpg().args(make).args([&user, "ed25519", "sign", "never"]));
        run(gpg().args(["--export", "-o", &self.path(&format!("{name}.pub"))]));
    }

    /// An image that wraps a commit, signed by a key if one is named.
    fn image(&self, tag: &str, key: Option<&str>) -> String {
        let source = self.path("source");
        if !Path::new(&source).exists() {
            run(command("ostree").args(["init", "--mode=bare", &format!("--repo={source}")]));
        }
        let tree = self.path("tree");
        fs::create_dir_all(format!("{tree}/usr")).unwrap();
        fs::write(format!("{tree}/usr/file"), tag).unwrap();
        let mut commit = command("ostree");
        commit.args(["commit", &format!("--repo={source}"), "-b", tag]);
        commit.arg(format!("--tree=dir={tree}"));
        if let Some(key) = key {
            commit.arg(format!("--gpg-homedir={}", self.path(key)));
            commit.arg(format!("--gpg-sign={key}@example.com"));
        }
        run(&mut commit);
        let repo = Repo::open(dir(Path::new(&source))).unwrap();
        let place = format!("oci:{}:{tag}", self.path("images"));
        let (options, interrupt) = (EncapsulateOptions::default(), Interrupt::default());
        let target = place.parse().unwrap();
        host::encapsulate(
            &repo,
            tag,
            &target,
            &access(),
            &options,
            &Silent,
            &interrupt,
        )
        .unwrap();
        place
    }

    /// A repository with a remote that has a key.
    fn repo(&self, name: &str, key: &str, options: &str) -> Repo {
        let base = dir(self.dir.path());
        drop(Repo::init_at(base.as_fd(), Path::new(name), RepoMode::Bare).unwrap());
        let config = self.path(&format!("{name}/config"));
        let text = fs::read_to_string(&config).unwrap();
        let remote = format!("{text}\n[remote \"os\"]\nurl=https://example.invalid\n{options}\n");
        fs::write(config, remote).unwrap();
        let public = self.path(&format!("{key}.pub"));
        fs::copy(public, self.path(&format!("{name}/os.trustedkeys.gpg"))).unwrap();
        Repo::open_at(base.as_fd(), Path::new(name)).unwrap()
    }
}

fn try_pull(repo: &Repo, place: &str) -> Result<host::Pulled, PullError> {
    let image = format!("ostree-remote-image:os:{place}").parse().unwrap();
    let mut options = PullOptions::default();
    options.now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    pull(
        repo,
        &image,
        &access(),
        &options,
        &Silent,
        &Interrupt::default(),
    )
}

fn images(repo: &Repo) -> usize {
    host::image_list(repo).unwrap().images.len()
}

#[test]
fn only_what_the_key_of_the_remote_signed_gets_a_name() {
    let scene = Scene::new();
    scene.key("ours");
    scene.key("theirs");
    let good = scene.image("good", Some("ours"));
    let repo = scene.repo("a", "ours", "gpg-verify=true");
    for bad in [
        scene.image("unsigned", None),
        scene.image("foreign", Some("theirs")),
    ] {
        let error = try_pull(&repo, &bad).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Untrusted, "{error}");
        assert!(error.to_string().contains("remote os"), "{error}");
        assert_eq!(images(&repo), 0);
    }
    assert!(try_pull(&repo, &good).unwrap().changed);
    assert_eq!(images(&repo), 1);
    assert!(!try_pull(&repo, &good).unwrap().changed);

    // What is stored is verified again.
    fs::copy(scene.path("theirs.pub"), scene.path("a/os.trustedkeys.gpg")).unwrap();
    let error = try_pull(&repo, &good).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Untrusted, "{error}");
}

#[test]
fn a_remote_that_asks_for_nothing_vouches_for_nothing() {
    let scene = Scene::new();
    scene.key("ours");
    let good = scene.image("good", Some("ours"));
    let repo = scene.repo("a", "ours", "gpg-verify=false");
    let error = try_pull(&repo, &good).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Untrusted, "{error}");
    assert_eq!(images(&repo), 0);
}
