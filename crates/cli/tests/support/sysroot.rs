//! Sysroots on disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{answer, ostree};

/// A sysroot in a temporary directory.
pub(crate) struct ScratchSysroot(TempDir);

impl ScratchSysroot {
    /// An empty directory.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Made by the real program: stateroot `testos` with the commit `os/x`, not deployed yet.
    pub(crate) fn by_ostree() -> Self {
        let scratch = Self::empty();
        scratch.ostree("admin init-fs --modern .");
        scratch.ostree("admin os-init testos --sysroot=.");
        scratch.ostree("--repo=ostree/repo config set sysroot.bootloader none");
        let tree = tempfile::tempdir().unwrap();
        make_tree(tree.path());
        let commit = "--repo=ostree/repo commit -b os/x -s x --owner-uid=0 --owner-gid=0";
        scratch.ostree(&format!(
            "{commit} --add-metadata-string=version=1.5 --tree=dir={}",
            tree.path().display()
        ));
        scratch
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// The answer of the real program, started in the sysroot.
    #[track_caller]
    pub(crate) fn ostree(&self, line: &str) -> String {
        answer(ostree(line).current_dir(self.path()))
    }

    /// What decides about what boots: texts of entries in boot order and origins, targets of links, refs. Of
    /// `/var` nothing: a new stateroot has some directories there or none, depending on the version of `ostree`.
    pub(crate) fn facts(&self) -> Vec<String> {
        let script = "cd $1
            for f in $(ls -rv boot/loader/entries/*.conf 2>/dev/null); do echo ENTRY; cat $f; done
            for f in ostree/deploy/*/deploy/*.origin; do test -f $f && { echo $f; cat $f; }; done
            find boot ostree/boot.* -type l -printf '%p -> %l\\n' 2>/dev/null | sort
            find boot -type f ! -name '*.conf' -printf '%p %s\\n' | sort
            find ostree/deploy -mindepth 3 -maxdepth 3 -type d ! -path '*/backing/*' ! -path '*/var/*' | sort
            ostree refs --repo=ostree/repo ostree | sort";
        let script = script.replace("$1", &self.path().display().to_string());
        testkit::shell(&script).lines().map(str::to_owned).collect()
    }
}

/// A tree with a kernel, as small as can be deployed.
fn make_tree(tree: &Path) {
    for (path, content) in [
        ("usr/lib/modules/6.1/vmlinuz", "a kernel"),
        ("usr/lib/modules/6.1/initramfs.img", "an initramfs"),
        ("usr/lib/os-release", "PRETTY_NAME=\"Test OS\"\n"),
        ("usr/etc/hostname", "test\n"),
    ] {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

impl Drop for ScratchSysroot {
    fn drop(&mut self) {
        // Deployment directories are immutable.
        let deployments = self.join("ostree/deploy");
        Command::new("chattr")
            .args(["-R", "-f", "-i"])
            .arg(deployments)
            .status()
            .unwrap();
    }
}
