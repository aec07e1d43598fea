//! Commands that take a sysroot for that of the running system: in a mount namespace with a root of its own, where
//! `/sysroot` is the sysroot, `/run` is empty but for what says what was booted, and the rest is that of this machine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};

use ostree_format::Metadata;
use ostree_format::gvariant::Value;
use tempfile::TempDir;

use super::said;

/// A system that pretends to run.
pub(crate) struct Booted {
    /// What is `/run`; it stays between commands.
    run: TempDir,
    sysroot: std::path::PathBuf,
    /// What is mounted at `/boot`.
    boot: std::path::PathBuf,
    /// What is said to be mounted as the root.
    source: String,
    /// What is done before anything runs.
    before: String,
}

/// `$1` is the sysroot, `$2` what is `/run`, `$3` what is `/boot`, `$4` what is said to be mounted as the root, `$5` more to be
/// done; what follows is the command.
const SCRIPT: &str = r#"set -e
sysroot=$1 run=$2 boot=$3 source=$4 before=$5; shift 5
root=$run/newroot; mkdir -p "$root"; mount -t tmpfs "$source" "$root"
for dir in /*; do
    case $dir in /run|/sysroot|/boot) continue;; esac
    if [ -L "$dir" ]; then cp -P "$dir" "$root$dir"
    elif [ -d "$dir" ]; then mkdir "$root$dir"; mount --rbind "$dir" "$root$dir"; fi
done
mkdir "$root/run" "$root/sysroot" "$root/boot"
mount --bind "$sysroot" "$root/sysroot"
mount --bind "$boot" "$root/boot"
mount --bind "$run/run" "$root/run"
eval "$before"
exec chroot "$root" "$@""#;

impl Booted {
    /// Lets the deployment in this directory of the sysroot be the one that runs.
    pub(crate) fn new(sysroot: &Path, deployment: &Path) -> Self {
        let run = tempfile::tempdir().unwrap();
        let stat = fs::metadata(deployment).unwrap();
        let mut dict = Metadata::new();
        let root = Value::Tuple(vec![Value::U64(stat.dev()), Value::U64(stat.ino())]);
        dict.insert("backing-root-device-inode", root);
        fs::create_dir(run.path().join("run")).unwrap();
        fs::write(run.path().join("run/ostree-booted"), dict.to_bytes()).unwrap();
        let boot = sysroot.join("boot");
        let sysroot = sysroot.to_owned();
        Self {
            run,
            sysroot,
            boot,
            source: "none".to_owned(),
            before: String::new(),
        }
    }

    /// Lets a deployment be the one that runs whose root is this image of composefs, by a kernel that was told `line`.
    pub(crate) fn of_root(sysroot: &Path, id: &str, line: &str) -> Self {
        let run = tempfile::tempdir().unwrap();
        fs::create_dir(run.path().join("run")).unwrap();
        fs::write(run.path().join("cmdline"), line).unwrap();
        let state = format!("$sysroot/state/deploy/{id}");
        Self {
            boot: sysroot.join("boot"),
            sysroot: sysroot.to_owned(),
            source: format!("composefs:{id}"),
            before: format!(
                "mount --bind {state}/etc $root/etc; mount --bind {state}/var $root/var
                mount --bind $run/cmdline $root/proc/cmdline"
            ),
            run,
        }
    }

    /// As it would be with another directory at `/boot`, of which the sysroot knows nothing.
    pub(crate) fn with_boot(self, boot: &Path) -> Self {
        let boot = boot.to_owned();
        Self { boot, ..self }
    }

    /// A file in `/run`.
    pub(crate) fn run_file(&self, name: &str) -> std::path::PathBuf {
        self.run.path().join("run").join(name)
    }

    /// Runs a shell script in it; `bootroot` is the program that is tested.
    pub(crate) fn try_shell(&self, script: &str) -> Output {
        let script = script.replace("bootroot ", concat!(env!("CARGO_BIN_EXE_bootroot"), " "));
        Command::new("unshare")
            .args([
                "-m",
                "--propagation",
                "private",
                "bash",
                "-c",
                SCRIPT,
                "booted",
            ])
            .arg(&self.sysroot)
            .arg(self.run.path())
            .arg(&self.boot)
            .args([&self.source, &self.before])
            .args(["bash", "-c", &script])
            .output()
            .unwrap()
    }

    /// What a script prints that succeeds.
    #[track_caller]
    pub(crate) fn shell(&self, script: &str) -> String {
        let output = self.try_shell(script);
        assert!(output.status.success(), "{script}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}
