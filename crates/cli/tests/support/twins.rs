//! The same steps by both programs.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::{answer, bootroot, ostree, refusal, sorted_lines};

/// Two empty repositories and a small tree.
pub(crate) struct Twins {
    pub(crate) dir: TempDir,
}

impl Twins {
    pub(crate) fn new(mode: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ours", "theirs"] {
            let repo = dir.path().join(name);
            answer(&mut ostree(&format!(
                "init --mode={mode} --repo={}",
                repo.display()
            )));
        }
        let twins = Self { dir };
        let tree = twins.path("tree");
        fs::create_dir_all(tree.join("usr/lib/modules/6.1.0")).unwrap();
        fs::write(tree.join("usr/lib/modules/6.1.0/vmlinuz"), "kernel").unwrap();
        fs::write(tree.join("hello"), "hello\n").unwrap();
        fs::set_permissions(tree.join("hello"), fs::Permissions::from_mode(0o775)).unwrap();
        symlink("hello", tree.join("link")).unwrap();
        twins
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn ours(&self, line: &str) -> Command {
        self.command(bootroot(&format!("ostree {line} --repo ours")))
    }

    pub(crate) fn theirs(&self, line: &str) -> Command {
        self.command(ostree(&format!("{line} --repo=theirs")))
    }

    pub(crate) fn command(&self, mut command: Command) -> Command {
        command.current_dir(self.dir.path());
        command
    }

    /// Both programs say the same, each about its repository.
    #[track_caller]
    pub(crate) fn same(&self, line: &str) -> String {
        let ours = answer(&mut self.ours(line));
        assert_eq!(ours, answer(&mut self.theirs(line)), "{line}");
        ours
    }

    /// Both give the same lines, whose order the real program leaves to chance.
    #[track_caller]
    pub(crate) fn same_lines(&self, line: &str) {
        let ours = answer(&mut self.ours(line));
        let theirs = answer(&mut self.theirs(line));
        assert_eq!(sorted_lines(&ours), sorted_lines(&theirs), "{line}");
    }

    /// Both programs refuse.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str) {
        refusal(&mut self.ours(line), 1);
        refusal(&mut self.theirs(line), 1);
    }

    /// The real program finds nothing wrong with ours.
    #[track_caller]
    pub(crate) fn check(&self) {
        let ours = self.path("ours");
        answer(&mut ostree(&format!("fsck --repo={}", ours.display())));
    }

    /// Three commits of `main`, from 1970 on.
    pub(crate) fn history(&self) {
        for (time, text) in [(100, "one"), (200, "two"), (300, "three")] {
            fs::write(self.path("tree/hello"), text).unwrap();
            self.same(&format!(
                "commit -b main -s {text} -m body --timestamp=@{time} tree"
            ));
        }
    }
}
