//! A repository, and images of what is in it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{answer, assert_valid, bootroot, ostree};

/// A repository with one commit, `os`.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bench = Self { dir };
        let tree = bench.path("tree");
        for (path, text) in [
            ("usr/lib/modules/6.1/vmlinuz", "kernel"),
            ("usr/lib/modules/6.1/initramfs.img", "initramfs"),
            ("usr/bin/sh", "shell"),
            ("usr/share/doc/sh/README", "read"),
            ("usr/etc/conf", "configuration"),
        ] {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        answer(&mut ostree(&format!(
            "init --mode=bare --repo={}",
            bench.path("repo").display()
        )));
        bench.commit("--add-metadata-string=version=1");
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn commit(&self, more: &str) -> String {
        let (repo, tree) = (self.path("repo"), self.path("tree"));
        let line = format!(
            "commit --repo={} --branch=os --tree=dir={} --timestamp=2024-01-02T03:04:05Z {more}",
            repo.display(),
            tree.display()
        );
        answer(&mut ostree(&line)).trim().to_owned()
    }

    pub(crate) fn image(&self, name: &str) -> String {
        format!("oci:{}:t", self.path(name).display())
    }

    pub(crate) fn run(&self, line: &str) -> Command {
        bootroot(&format!("--repo {} {line}", self.path("repo").display()))
    }

    #[track_caller]
    pub(crate) fn json(&self, schema: &str, line: &str) -> Value {
        let text = answer(&mut self.run(&format!("{line} --json")));
        let value = serde_json::from_str(&text).unwrap();
        assert_valid(schema, &value);
        value
    }

    pub(crate) fn other_repo(&self) -> PathBuf {
        let other = self.path("other");
        answer(&mut ostree(&format!(
            "init --mode=archive --repo={}",
            other.display()
        )));
        other
    }

    /// The file of the object at a path of the commit.
    pub(crate) fn object(&self, path: &str) -> PathBuf {
        let line = format!("ls -C --repo={} os {path}", self.path("repo").display());
        let listed = answer(&mut ostree(&line));
        let (head, tail) = listed.split_whitespace().nth(4).unwrap().split_at(2);
        self.path(&format!("repo/objects/{head}/{tail}.file"))
    }
}
