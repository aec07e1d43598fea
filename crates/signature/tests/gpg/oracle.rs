//! What the real programs say.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ostree_format::Metadata;
use signature::gpg::{Heading, Keyring, Policy, Verification, describe_all, verify};
use signature::{Scheme, detached};
use tempfile::TempDir;
use testkit::{command, run, stdout};

/// Five hours west of UTC, so that a date in UTC where a local one belongs is seen.
pub(crate) const ZONE: &str = "XXX5";
const OFFSET: i32 = -5 * 3600;

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A repository with one commit.
pub(crate) struct Repo {
    dir: TempDir,
    commit: String,
}

impl Repo {
    pub(crate) fn new() -> Self {
        let dir = testkit::scratch_dir();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("file"), "content\r\nwith lines\n").unwrap();
        run(&mut ostree(dir.path(), &["init", "--mode=archive"]));
        let tree = format!("--tree=dir={}", tree.display());
        let commit = ["commit", "--branch=test", "--subject=s", &tree];
        let commit = stdout(&mut ostree(dir.path(), &commit));
        Self { dir, commit }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn object(&self, kind: &str) -> PathBuf {
        let (directory, name) = self.commit.split_at(2);
        let repo = self.path().join("repo/objects");
        repo.join(directory).join(format!("{name}.{kind}"))
    }

    /// The bytes of the commit object.
    pub(crate) fn commit(&self) -> Vec<u8> {
        fs::read(self.object("commit")).unwrap()
    }

    pub(crate) fn metadata(&self) -> Metadata {
        Metadata::from_bytes(&fs::read(self.object("commitmeta")).unwrap()).unwrap()
    }

    pub(crate) fn set_metadata(&self, metadata: &Metadata) {
        fs::write(self.object("commitmeta"), metadata.to_bytes()).unwrap();
    }

    pub(crate) fn set_signatures(&self, signatures: &[Vec<u8>]) {
        let mut metadata = Metadata::new();
        for signature in signatures {
            detached::add(&mut metadata, Scheme::Gpg, signature.clone()).unwrap();
        }
        self.set_metadata(&metadata);
    }

    /// What `ostree show` prints about signatures with this keyring.
    #[track_caller]
    pub(crate) fn show(&self, keyring: &[u8]) -> String {
        let trusted = self.path().join("trusted");
        fs::create_dir_all(&trusted).unwrap();
        fs::write(trusted.join("keys.gpg"), keyring).unwrap();
        let mut show = ostree(self.path(), &["show", "test"]);
        show.env("OSTREE_GPG_HOME", trusted).env("TZ", ZONE);
        let text = String::from_utf8(run(&mut show).stdout).unwrap();
        let start = text.find("Found ").unwrap_or(text.len());
        text[start..].to_owned()
    }

    /// Our verdicts on the commit's signatures.
    pub(crate) fn verify(&self, keyring: &[u8], policy: &Policy) -> Verification {
        let mut keys = Keyring::new();
        keys.add(keyring).unwrap();
        let metadata = self.metadata();
        let signatures = detached::list(&metadata, Scheme::Gpg).unwrap();
        verify(&self.commit(), &signatures, &keys, policy, now())
    }
}

pub(crate) fn zone(_: u64) -> i32 {
    OFFSET
}

/// Our text for what `ostree show` prints.
pub(crate) fn describe(verification: &Verification) -> String {
    describe_all(verification, Heading::Found, &zone)
}

pub(crate) fn ostree(dir: &Path, arguments: &[&str]) -> std::process::Command {
    let mut ostree = command("ostree");
    let repo = format!("--repo={}", dir.join("repo").display());
    ostree.arg(repo).args(arguments);
    // Only keyrings that a test names.
    ostree.env("OSTREE_GPG_HOME", dir.join("nothing"));
    ostree
}
