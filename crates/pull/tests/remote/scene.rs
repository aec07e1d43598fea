//! A repository of the real `ostree` behind a server, and one of ours that pulls from it.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ostree::{IfPresent, Repo};
use ostree_format::RepoMode;
use ostree_format::refs::RefName;
use progress::{Interrupt, Silent};
use pull::{Error, Network, Options, Remote, Report, Surroundings, Unverified, Verify, WantedRef};

use crate::server::Server;

/// Every mode that the `ostree` command can make.
pub(crate) const MODES: [RepoMode; 4] = [
    RepoMode::Bare,
    RepoMode::BareUser,
    RepoMode::BareUserOnly,
    RepoMode::Archive,
];

pub(crate) struct Scene {
    dir: tempfile::TempDir,
    pub(crate) server: Server,
    pub(crate) network: Network,
    pub(crate) interrupt: Interrupt,
    root: OwnedFd,
}

impl Scene {
    /// A served archive `srv` with two commits of `main`, the second of which changes a large file.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path());
        let mut network = Network::new("test");
        network.first_pause = Duration::from_millis(1);
        let scene = Self {
            dir,
            server,
            network,
            interrupt: Interrupt::default(),
            root: File::open("/").unwrap().into(),
        };
        scene.theirs("srv", &["init", "--mode=archive"]);
        let tree = scene.path("tree");
        std::fs::create_dir_all(tree.join("d/e")).unwrap();
        std::fs::write(tree.join("small"), "small").unwrap();
        std::fs::write(tree.join("d/empty"), "").unwrap();
        std::fs::write(tree.join("d/e/deep"), "deep").unwrap();
        std::os::unix::fs::symlink("small", tree.join("link")).unwrap();
        std::fs::write(tree.join("large"), noise(700_000, 1)).unwrap();
        scene.commit("first");
        std::fs::write(tree.join("large"), noise(700_000, 2)).unwrap();
        std::fs::write(tree.join("d/new"), "new").unwrap();
        scene.commit("second");
        scene.summary();
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The real `ostree` on the repository `name`.
    pub(crate) fn ostree(&self, name: &str) -> Command {
        let mut command = testkit::command("ostree");
        command.arg(format!("--repo={}", self.path(name).display()));
        command
    }

    #[track_caller]
    pub(crate) fn theirs(&self, name: &str, arguments: &[&str]) -> String {
        testkit::stdout(self.ostree(name).args(arguments))
    }

    /// Commit `tree` to `main`; owned by root, so that every mode can hold it.
    pub(crate) fn commit(&self, subject: &str) -> String {
        let tree = format!("--tree=dir={}", self.path("tree").display());
        let arguments = [
            "commit",
            "-b",
            "main",
            "-s",
            subject,
            "--canonical-permissions",
            &tree,
        ];
        self.theirs("srv", &arguments)
    }

    pub(crate) fn summary(&self) {
        self.theirs("srv", &["summary", "-u"]);
    }

    pub(crate) fn rev(&self, name: &str, rev: &str) -> String {
        self.theirs(name, &["rev-parse", rev])
    }

    /// A repository of ours with the remote `origin`.
    pub(crate) fn repo(&self, name: &str, mode: RepoMode) -> Repo {
        self.repo_with(name, mode, &[("url", &self.server.url("srv"))])
    }

    pub(crate) fn repo_with(&self, name: &str, mode: RepoMode, options: &[(&str, &str)]) -> Repo {
        let mut repo = Repo::init_at(self.root.as_fd(), &self.path(name), mode).unwrap();
        let mut remote = ostree::Remote::new("origin", "").unwrap();
        remote.options.clear();
        remote.set("gpg-verify", "false");
        for (key, value) in options {
            remote.set(key, value);
        }
        repo.add_remote(&remote, IfPresent::Fail).unwrap();
        repo
    }

    pub(crate) fn pull(&self, repo: &Repo, options: &Options<'_>) -> Result<Report, Error> {
        self.pull_verified(repo, options, &Unverified)
    }

    pub(crate) fn pull_verified(
        &self,
        repo: &Repo,
        options: &Options<'_>,
        verify: &dyn Verify,
    ) -> Result<Report, Error> {
        let surroundings = Surroundings {
            network: &self.network,
            root: self.root.as_fd(),
            cache: None,
            verify,
        };
        let remote = Remote::find(repo, "origin").unwrap();
        pull::pull(
            repo,
            &remote,
            options,
            surroundings,
            &Silent,
            &self.interrupt,
        )
    }

    /// The real program finds the repository whole.
    #[track_caller]
    pub(crate) fn assert_clean(&self, name: &str) {
        let seen = self.theirs(name, &["fsck"]);
        assert!(seen.contains("no errors found"), "{seen}");
    }

    /// Paths of all objects below the repository `name`.
    pub(crate) fn objects(&self, name: &str) -> BTreeSet<String> {
        let objects = self.path(name).join("objects");
        let mut found = BTreeSet::new();
        for head in std::fs::read_dir(objects).unwrap() {
            let head = head.unwrap();
            for object in std::fs::read_dir(head.path()).unwrap() {
                let name = object.unwrap().file_name().into_string().unwrap();
                found.insert(format!("{}/{name}", head.file_name().to_str().unwrap()));
            }
        }
        found
    }

    /// Path below `objects` of the content object of a file of `main`, in an archive.
    pub(crate) fn object_of(&self, path: &str) -> String {
        let line = self.theirs("srv", &["ls", "-C", "main", path]);
        let checksum = line.split_whitespace().nth(4).unwrap().to_owned();
        format!("{}/{}.filez", &checksum[..2], &checksum[2..])
    }

    pub(crate) fn bytes(path: &Path) -> Vec<u8> {
        std::fs::read(path).unwrap()
    }
}

/// Bytes that do not compress, always the same ones for a seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// `main`, with all choices as they are by default.
pub(crate) fn main_ref() -> Options<'static> {
    let mut options = Options::default();
    options.refs.push(WantedRef {
        name: "main".parse::<RefName>().unwrap(),
        commit: None,
    });
    options
}
