//! Verbs of `bootroot ostree` that die: whatever the moment, both fscks find nothing wrong, and the same command
//! completes the work.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::{answer, bootroot, ostree};
use tempfile::TempDir;

/// Two trees, each with enough files that work takes a while.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (tree, text) in [("one", "first"), ("two", "second")] {
            for n in 0..600 {
                let below = dir.path().join(tree).join(format!("d{}", n % 20));
                fs::create_dir_all(&below).unwrap();
                fs::write(below.join(n.to_string()), text.repeat(n)).unwrap();
            }
        }
        let bench = Self { dir };
        bench.theirs("--repo=source init --mode=archive");
        bench.theirs("--repo=source commit -b main -s x one");
        bench.theirs("--repo=source commit -b main -s y two");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    #[track_caller]
    fn theirs(&self, line: &str) -> String {
        answer(ostree(line).current_dir(self.dir.path()))
    }

    fn ours(&self, line: &str) -> Command {
        let mut command = bootroot(&format!("--quiet ostree {line}"));
        command.current_dir(self.dir.path());
        command
    }

    /// The command is killed at 12 moments, of which the last lie behind its end, and then completes.
    fn dies(&self, repo: &str, line: &str, between: impl Fn()) {
        for milliseconds in (0..48).step_by(4) {
            let mut child = self.ours(line).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(milliseconds));
            // It may have ended by itself.
            let _gone = child.kill();
            child.wait().unwrap();
            self.assert_clean(repo);
            between();
        }
        answer(&mut self.ours(line));
        self.assert_clean(repo);
    }

    #[track_caller]
    fn assert_clean(&self, repo: &str) {
        self.theirs(&format!("fsck --quiet --repo={repo}"));
        answer(&mut self.ours(&format!("fsck --quiet --repo={repo}")));
    }
}

/// Staging directories that are left.
fn staging(repo: &Path) -> usize {
    let names = fs::read_dir(repo.join("tmp")).unwrap();
    let staging = |entry: &fs::DirEntry| {
        let is_dir = entry.file_type().unwrap().is_dir();
        is_dir && entry.file_name().to_string_lossy().starts_with("staging-")
    };
    names.map(Result::unwrap).filter(staging).count()
}

#[test]
fn commits_survive_being_killed() {
    for mode in ["bare", "archive"] {
        let bench = Bench::new();
        bench.theirs(&format!("--repo=repo init --mode={mode}"));
        bench.dies("repo", "commit --repo=repo -b main -s x one", || ());
        bench.theirs("--repo=repo checkout -U main out");
        let [out, one] = ["out", "one"].map(|name| bench.path(name));
        testkit::shell(&format!("diff -r {} {}", out.display(), one.display()));
        // What the dead left is gone with the next that writes.
        assert_eq!(staging(&bench.path("repo")), 0, "{mode}");
    }
}

#[test]
fn pulls_survive_being_killed() {
    for mode in ["bare-user", "archive"] {
        let bench = Bench::new();
        bench.theirs(&format!("--repo=repo init --mode={mode}"));
        let pull = "pull-local --repo=repo --depth=-1 source main";
        bench.dies("repo", pull, || ());
        let head = bench.theirs("--repo=source rev-parse main");
        assert_eq!(bench.theirs("--repo=repo rev-parse main"), head);
        assert_eq!(staging(&bench.path("repo")), 0, "{mode}");
    }
}

#[test]
fn prunes_survive_being_killed() {
    let bench = Bench::new();
    bench.theirs("--repo=repo init --mode=bare-user");
    bench.theirs("--repo=repo pull-local --depth=-1 source main");
    let prune = "prune --repo=repo --refs-only --depth=0";
    bench.dies("repo", prune, || {
        // There is always something to delete.
        bench.theirs("--repo=repo pull-local --depth=-1 source main");
    });
    let objects = "find repo/objects -type f | wc -l";
    let script = format!("cd {} && {objects}", bench.dir.path().display());
    bench.theirs("--repo=fresh init --mode=bare-user");
    bench.theirs("--repo=fresh pull-local source main");
    let fresh = script.replace("repo/", "fresh/");
    assert_eq!(testkit::shell(&script), testkit::shell(&fresh));
}
