//! A repository of the real `ostree`, and an empty root that keys are looked for in.

use std::fs;
use std::path::{Path, PathBuf};

use ostree::Repo;
use ostree_format::Checksum;
use tempfile::TempDir;
use testkit::command;
use trust::KeyStores;

pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// The repository has a remote `origin` without a keyring.
    pub(crate) fn new() -> Self {
        let scratch = Self(tempfile::tempdir().unwrap());
        fs::create_dir(scratch.path("root")).unwrap();
        fs::create_dir(scratch.path("tree")).unwrap();
        scratch.ostree("init --mode=archive");
        scratch.ostree("remote add origin http://localhost/");
        scratch
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The answer of the real program.
    #[track_caller]
    pub(crate) fn ostree(&self, line: &str) -> String {
        let mut ostree = command("ostree");
        ostree.arg(format!("--repo={}", self.path("repo").display()));
        ostree
            .args(line.split_whitespace())
            .current_dir(self.0.path());
        testkit::stdout(&mut ostree)
    }

    /// Set an option of the remote.
    #[track_caller]
    pub(crate) fn set(&self, key: &str, value: &str) {
        self.config(&["set", &format!("remote \"origin\".{key}"), value]);
    }

    /// Remove an option of the remote.
    #[track_caller]
    pub(crate) fn unset(&self, key: &str) {
        self.config(&["unset", &format!("remote \"origin\".{key}")]);
    }

    #[track_caller]
    fn config(&self, arguments: &[&str]) {
        let mut ostree = command("ostree");
        ostree.arg(format!("--repo={}", self.path("repo").display()));
        testkit::run(ostree.arg("config").args(arguments));
    }

    /// A commit by the real program, with more options.
    #[track_caller]
    pub(crate) fn commit(&self, options: &str) -> Checksum {
        let line = format!("commit -b main -s x --tree=dir=tree {options}");
        self.ostree(&line).parse().unwrap()
    }

    /// Put a file below the root.
    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path("root").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn stores(&self) -> KeyStores {
        KeyStores::new(fs::File::open(self.path("root")).unwrap().into())
    }

    pub(crate) fn repo(&self) -> Repo {
        Repo::open_at(rustix::fs::CWD, &self.path("repo")).unwrap()
    }

    /// The stored bytes of a commit and of its detached metadata.
    pub(crate) fn stored(&self, commit: &Checksum) -> (Vec<u8>, Option<Vec<u8>>) {
        let name = commit.to_string();
        let (head, rest) = name.split_at(2);
        let path = |end| self.path(&format!("repo/objects/{head}/{rest}.{end}"));
        (
            fs::read(path("commit")).unwrap(),
            fs::read(path("commitmeta")).ok(),
        )
    }
}

pub(crate) fn golden(group: &str, name: &str) -> Vec<u8> {
    fs::read(Path::new(&testkit::golden(group)).join(name)).unwrap()
}
