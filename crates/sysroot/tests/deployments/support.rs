//! What the tests of this crate share: sysroots of ours and of `ostree admin`, and listings of them.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ostree_format::Checksum;
use progress::{Interrupt, Silent};
use sysroot::{
    DeployError, DeployRequest, DeploymentId, EntryNames, Finalized, Layout, Locked, Origin,
    Running, State, Sysroot, SysrootOptions,
};
use testkit::{command, run};

/// Long enough for any test.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sysroot on disk.
pub(crate) struct Lab {
    pub(crate) root: PathBuf,
    pub(crate) options: SysrootOptions,
}

/// Options that leave nothing behind that only root can remove.
pub(crate) fn options() -> SysrootOptions {
    let mut options = SysrootOptions::default();
    options.mutable_deployments = true;
    options
}

/// As [`options`], with entry files named as ostree 2022.7 does it.
pub(crate) fn old_options() -> SysrootOptions {
    let mut options = options();
    options.entry_names = EntryNames::NumberAndStateroot;
    options
}

impl Lab {
    /// A sysroot made by us.
    pub(crate) fn ours(root: PathBuf, options: SysrootOptions) -> Self {
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        Sysroot::create(
            File::open(&root).unwrap().into(),
            Layout::Modern,
            options.clone(),
        )
        .unwrap();
        Self::configured(root, options)
    }

    /// A sysroot made by `ostree admin init-fs`.
    pub(crate) fn theirs(root: PathBuf) -> Self {
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        run(command("ostree")
            .args(["admin", "init-fs", "--modern"])
            .arg(&root));
        Self::configured(root, old_options())
    }

    /// A sysroot that is there.
    pub(crate) fn at(root: PathBuf, options: SysrootOptions) -> Self {
        Self { root, options }
    }

    fn configured(root: PathBuf, options: SysrootOptions) -> Self {
        let lab = Self { root, options };
        lab.ostree(&["config", "set", "sysroot.bootloader", "none"]);
        lab
    }

    /// `ostree --repo=...`
    pub(crate) fn ostree(&self, arguments: &[&str]) -> String {
        let repo = format!("--repo={}", self.root.join("ostree/repo").display());
        testkit::stdout(command("ostree").arg(repo).args(arguments))
    }

    /// `ostree admin VERB --sysroot=...`
    pub(crate) fn admin(&self, verb: &str, arguments: &[&str]) -> String {
        testkit::stdout(&mut self.admin_command(verb, arguments))
    }

    pub(crate) fn admin_command(&self, verb: &str, arguments: &[&str]) -> std::process::Command {
        let mut admin = command("ostree");
        admin
            .args(["admin", verb])
            .arg(format!("--sysroot={}", self.root.display()))
            .args(arguments);
        admin.env("OSTREE_SYSROOT_DEBUG", "mutable-deployments");
        admin
    }

    /// Commit a tree with a fixed time, so that it is the same commit everywhere.
    pub(crate) fn commit(&self, branch: &str, tree: &Path, version: &str) -> Checksum {
        let tree = format!("--tree=dir={}", tree.display());
        let version = format!("--add-metadata-string=version={version}");
        let time = "--timestamp=2024-01-01T00:00:00Z";
        self.ostree(&["commit", "--fsync=no", "-b", branch, &tree, &version, time])
            .parse()
            .unwrap()
    }

    pub(crate) fn open(&self) -> Sysroot {
        Sysroot::open(
            File::open(&self.root).unwrap().into(),
            self.options.clone(),
            None,
        )
        .unwrap()
    }

    /// The same sysroot, as that of a system which runs the last of its deployments and whose `/run` is
    /// `run` in it.
    pub(crate) fn running(&self) -> Sysroot {
        let run = self.root.join("run");
        fs::create_dir_all(run.join("ostree")).unwrap();
        fs::write(run.join("ostree-booted"), "").unwrap();
        let last = self.load().deployments.len() - 1;
        let open = |path: PathBuf| OwnedFd::from(File::open(path).unwrap());
        let root = open(self.deployment(last));
        let running = Running::look(open(run), root.as_fd()).unwrap();
        assert!(running.is_some());
        Sysroot::open(open(self.root.clone()), self.options.clone(), running).unwrap()
    }

    /// Stage as the running system would.
    pub(crate) fn stage(&self, request: &DeployRequest, hold: bool) -> DeploymentId {
        let sysroot = self.running();
        let locked = sysroot.lock(PATIENCE).unwrap();
        let plan = locked
            .plan_deploy(&locked.load().unwrap(), request)
            .unwrap();
        let quiet = (&Silent, Interrupt::default());
        locked.stage(&plan, hold, None, quiet.0, &quiet.1).unwrap()
    }

    /// Complete what is staged, as the running system would.
    pub(crate) fn finalize(&self) -> Result<Finalized, DeployError> {
        self.running().lock(PATIENCE).unwrap().finalize_staged(None)
    }

    pub(crate) fn load(&self) -> State {
        self.open().load().unwrap()
    }

    pub(crate) fn locked<T>(&self, work: impl FnOnce(&Locked<'_>) -> T) -> T {
        let sysroot = self.open();
        work(&sysroot.lock(PATIENCE).unwrap())
    }

    pub(crate) fn init_stateroot(&self, name: &str) {
        self.locked(|locked| locked.init_stateroot(&name.parse().unwrap()).unwrap());
    }

    pub(crate) fn deploy(&self, request: &DeployRequest) -> Result<DeploymentId, DeployError> {
        self.locked(|locked| {
            let plan = locked.plan_deploy(&locked.load().unwrap(), request)?;
            locked.apply_deploy(&plan, None, &Silent, &Interrupt::default())
        })
    }

    /// The deployment with this index.
    pub(crate) fn id(&self, index: usize) -> DeploymentId {
        self.load().deployments[index].id.clone()
    }

    pub(crate) fn undeploy(&self, index: usize) {
        let id = self.id(index);
        self.locked(|locked| {
            let plan = locked.plan_undeploy(&locked.load().unwrap(), &id).unwrap();
            locked.apply_list(&plan, None, &Silent).unwrap();
        });
    }

    pub(crate) fn set_default(&self, index: usize) {
        let id = self.id(index);
        self.locked(|locked| {
            let plan = locked
                .plan_set_default(&locked.load().unwrap(), &id)
                .unwrap();
            locked.apply_list(&plan, None, &Silent).unwrap();
        });
    }

    pub(crate) fn pin(&self, index: usize, pinned: bool) -> bool {
        let id = self.id(index);
        self.locked(|locked| locked.set_pinned(&id, pinned).unwrap())
    }

    /// The directory of the deployment with this index.
    pub(crate) fn deployment(&self, index: usize) -> PathBuf {
        self.root.join(self.id(index).path())
    }

    /// Boot entries and origin files: path and text.
    pub(crate) fn texts(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for line in listing(&self.root) {
            let path = line.path.as_str();
            if line.kind == 'f'
                && (path.ends_with(".conf") && path.starts_with("boot/")
                    || path.ends_with(".origin"))
            {
                found.push((
                    line.path.clone(),
                    fs::read_to_string(self.root.join(path)).unwrap(),
                ));
            }
        }
        found
    }
}

/// A request to deploy `commit` to `stateroot`, following the ref `refspec`.
pub(crate) fn request(stateroot: &str, commit: Checksum, refspec: &str) -> DeployRequest {
    let mut request = DeployRequest::new(stateroot.parse().unwrap(), commit);
    request.origin = Some(Origin::from_refspec(refspec));
    request
}

pub(crate) fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) path: String,
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) target: String,
    /// Number of links of files.
    pub(crate) links: u64,
    /// Whether the time is 0; of links not looked at.
    pub(crate) epoch: bool,
}

/// Everything below a directory but the objects of the repository and its temporary files.
pub(crate) fn listing(root: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let kind = match meta.file_type() {
                kind if kind.is_dir() => 'd',
                kind if kind.is_symlink() => 'l',
                kind if kind.is_file() => 'f',
                _ => '?',
            };
            let target = if kind == 'l' {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                String::new()
            };
            let relative = path.strip_prefix(root).unwrap().display().to_string();
            if relative == "ostree/repo/objects" || relative.starts_with("ostree/repo/tmp/") {
                continue;
            }
            lines.push(Line {
                path: relative,
                kind,
                mode: meta.mode() & 0o7777,
                owner: (meta.uid(), meta.gid()),
                target,
                links: if kind == 'f' { meta.nlink() } else { 1 },
                epoch: kind != 'l' && meta.mtime() == 0,
            });
            if kind == 'd' {
                waiting.push(path);
            }
        }
    }
    lines.sort();
    lines
}

/// Assert that two listings are the same, showing what differs.
#[track_caller]
pub(crate) fn assert_same(theirs: &[Line], ours: &[Line]) {
    let only = |a: &[Line], b: &[Line], sign: &str| -> Vec<String> {
        a.iter()
            .filter(|line| !b.contains(line))
            .map(|line| format!("{sign} {line:?}"))
            .collect()
    };
    let mut differences = only(theirs, ours, "-");
    differences.extend(only(ours, theirs, "+"));
    assert!(
        differences.is_empty(),
        "- theirs, + ours:\n{}",
        differences.join("\n")
    );
}

/// A small system's tree.
pub(crate) fn make_tree(tree: &Path, version: &str, kernel: &str) {
    testkit::shell(&format!(
        r#"set -e; umask 022; T={}; V={version}; K={kernel}
        mkdir -p $T/usr/lib/modules/$K $T/usr/etc/sub/deep $T/usr/bin $T/var/lib/foo $T/boot $T/sysroot $T/proc
        echo kernel-$K > $T/usr/lib/modules/$K/vmlinuz; echo initrd-$K > $T/usr/lib/modules/$K/initramfs.img
        printf 'NAME=T\nPRETTY_NAME="Test OS"\nID=test\n' > $T/usr/lib/os-release
        echo a$V > $T/usr/etc/a; echo b > $T/usr/etc/b; : > $T/usr/etc/empty; ln -s a $T/usr/etc/link
        echo s > $T/usr/etc/sub/s; echo d > $T/usr/etc/sub/deep/d; chmod 700 $T/usr/etc/sub/deep
        echo bin-$V > $T/usr/bin/x; chmod 4755 $T/usr/bin/x; chown 1000:1000 $T/usr/etc/b
        echo vf > $T/var/lib/foo/file; ln -s sysroot/ostree $T/ostree; mkdir $T/tmp; chmod 1777 $T/tmp"#,
        tree.display()
    ));
}
