//! `bootroot setup-root` of deployments of OSTree, in a mount name space: what it mounts, and what it refuses.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ostree_format::Metadata;
use ostree_format::gvariant::Value;
use support::host::{Host, tree};
use support::{answer, bootroot, said};
use testkit::golden;
use testkit::oci::{Image, Layer};

/// A system with one deployment whose root is an image, and the directory that plays the initramfs.
struct System {
    host: Host,
    initramfs: tempfile::TempDir,
    link: String,
}

impl System {
    fn new() -> Self {
        let tree = tree("1")
            .dir("usr/lib/ostree", 0o755)
            .file(
                "usr/lib/ostree/prepare-root.conf",
                0o644,
                "[composefs]\nenabled = yes\n",
            )
            .file("etc/version", 0o644, "1\n");
        let tree = ["boot", "run", "sysroot", "var"]
            .into_iter()
            .fold(tree, |tree, name| tree.dir(name, 0o755));
        let host = Host::new();
        let image = Image::bootable().layer(Layer::new(tree.finish()));
        host.publish_image("first", &image);
        host.run(&format!("switch {}", host.image("first")));
        let initramfs = testkit::scratch_dir();
        fs::create_dir_all(initramfs.path().join("etc/ostree")).unwrap();
        let entry = fs::read_to_string(host.sysroot.join("boot/loader/entries/ostree-2.conf"));
        let entry = entry.unwrap();
        let link = entry
            .split_whitespace()
            .find(|word| word.starts_with("ostree="));
        Self {
            link: link.unwrap().to_owned(),
            host,
            initramfs,
        }
    }

    fn configure(&self, text: &str) {
        fs::write(
            self.initramfs.path().join("etc/ostree/prepare-root.conf"),
            text,
        )
        .unwrap();
    }

    /// Mounts the root over a bind mount of the physical one, and runs a script there.
    fn set_up(&self, line: &str, script: &str) -> Output {
        let whole = format!(
            "set -e; mount -t tmpfs none /run; mkdir /run/root; mount --bind {root} /run/root
             {bootroot} --sysroot /run/root setup-root --initramfs {initramfs} --cmdline '{line}'
             cd /run/root; {script}",
            root = self.host.sysroot.path().display(),
            bootroot = env!("CARGO_BIN_EXE_bootroot"),
            initramfs = self.initramfs.path().display(),
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "--propagation", "private", "bash", "-c", &whole]);
        unshare.output().unwrap()
    }

    #[track_caller]
    fn shown(&self, script: &str) -> String {
        let seen = self.set_up(&self.link, script);
        assert!(seen.status.success(), "{}", said(&seen));
        String::from_utf8(seen.stdout).unwrap()
    }

    #[track_caller]
    fn refused(&self, line: &str) -> String {
        let seen = self.set_up(line, "echo MOUNTED");
        assert!(!seen.status.success(), "{}", said(&seen));
        said(&seen)
    }

    /// The directory of the deployment that boots first.
    fn deployment(&self) -> PathBuf {
        let link = self.link.trim_start_matches("ostree=/");
        fs::canonicalize(self.host.sysroot.join(link)).unwrap()
    }
}

#[test]
fn the_image_is_the_root_and_what_is_local_is_writable() {
    let system = System::new();
    system.configure("[composefs]\nenabled = yes\n");
    let seen = system.shown(
        "cat etc/version; stat -fc %T .
         for dir in etc usr sysroot sysroot/ostree/deploy/os/var; do
             if touch $dir/x 2>/dev/null; then echo $dir; fi
         done",
    );
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(
        lines,
        ["1", "overlayfs", "etc", "sysroot/ostree/deploy/os/var"]
    );
    assert!(system.deployment().join("etc/x").exists(), "{seen}");

    let forgets = "[composefs]\nenabled = yes\n[root]\ntransient = true\n[etc]\ntransient = true\n";
    system.configure(forgets);
    let seen = system.shown("echo new > usr/lib/new; echo new > etc/new; cat usr/lib/new etc/new");
    assert_eq!(seen, "new\nnew\n");
    assert!(!system.deployment().join("etc/new").exists());
}

/// The keys are those that `ostree-prepare-root` of libostree 2026.4 writes.
#[test]
fn the_system_that_comes_is_told_its_deployment() {
    let system = System::new();
    system.configure("[composefs]\nenabled = yes\n");
    let noted = system.initramfs.path().join("noted");
    system.shown(&format!("cp /run/ostree-booted {}", noted.display()));
    let noted = Metadata::from_bytes(&fs::read(noted).unwrap()).unwrap();
    let stat = fs::metadata(system.deployment()).unwrap();
    let place = Value::Tuple(vec![Value::U64(stat.dev()), Value::U64(stat.ino())]);
    assert_eq!(noted.get("backing-root-device-inode"), Some(&place));
    let flags = [
        ("root.transient", false),
        ("root.transient-ro", false),
        ("composefs", true),
        ("composefs.verity", false),
        ("sysroot-ro", true),
    ];
    for (key, is) in flags {
        assert_eq!(noted.get(key), Some(&Value::Bool(is)), "{key}");
    }
    assert_eq!(noted.iter().count(), flags.len() + 1);
}

#[test]
fn what_is_not_to_be_trusted_is_not_mounted() {
    let system = System::new();
    let keys = |name: &str| system.initramfs.path().join("etc/ostree").join(name);
    system.configure("[composefs]\nenabled = no\n");
    assert_contains(
        &system.refused(&system.link),
        "ostree-prepare-root mounts such roots",
    );
    system.configure("[composefs]\nenabled = signed\n");
    assert_contains(
        &system.refused(&system.link),
        "no /etc/ostree/initramfs-root-binding.key",
    );
    fs::write(keys("initramfs-root-binding.key"), "no key\n").unwrap();
    assert_contains(&system.refused(&system.link), "cannot be used");
    let public = golden("keys").join("ed25519.pub.b64");
    fs::copy(public, keys("initramfs-root-binding.key")).unwrap();
    assert_contains(&system.refused(&system.link), "has no signature");

    // Signed by the right key, but the kernel verifies nothing on this file system, or nothing says what.
    let commit = system.deployment();
    let commit = commit.file_name().unwrap().to_str().unwrap().to_owned();
    let (commit, _) = commit.split_once('.').unwrap();
    sign(&system.host.sysroot.join("ostree/repo"), commit);
    assert_contains(&system.refused(&system.link), "ostree.composefs.digest.v0");

    system.configure("[composefs]\nenabled = perhaps\n");
    assert_contains(
        &system.refused(&system.link),
        "composefs.enabled is \"perhaps\"",
    );
    system.configure("[composefs]\nenabled = yes\n");
    let other = system.link.replace("/0", "/7");
    assert_contains(
        &system.refused(&other),
        "there is no deployment /ostree/boot.",
    );
    assert_contains(&system.refused("ostree=what"), "invalid ostree= argument");
    assert_contains(&system.refused("rw"), "nor ostree=");
}

fn sign(repo: &Path, commit: &str) {
    let key = golden("keys").join("ed25519.secret.b64");
    answer(&mut bootroot(&format!(
        "ostree sign --repo {} --sign-type=ed25519 --keys-file={} {commit}",
        repo.display(),
        key.display()
    )));
}

#[track_caller]
fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in:\n{text}");
}
