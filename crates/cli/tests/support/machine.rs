//! A machine in QEMU with bootroot inside, and a registry that it reaches.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use testkit::boot::{
    Guest, add_bootroot, add_bootroot_and_more_to_initramfs, add_bootroot_by_dracut,
    add_bootroot_to_initramfs, add_libostree, add_uki,
};
use testkit::{Registry, golden, scratch_dir};

use super::sysroot::ScratchSysroot;
use super::{answer, bootroot};

/// What every script begins with: the step that the command line asks for, and a verb to run others.
const PROLOGUE: &str = r#"
step=$(cat /proc/cmdline /sys/class/dmi/id/product_serial | sed -n 's/.*bootroot.step=\([a-z]*\).*/\1/p')
run() { name=$1; shift; "$@" > /tmp/out 2>&1; echo "TEST $name: exit $?"; sed "s/^/TEST $name: /" /tmp/out; }
image=ostree-unverified-registry:REGISTRY/os/test
mkdir -p /etc/containers
printf '[[registry]]\nlocation = "REGISTRY"\ninsecure = true\n' > /etc/containers/registries.conf
"#;

/// How a machine is installed.
struct Kind {
    /// Adds the program to the image: where that is, the program, where the result goes.
    add_bootroot: fn(&Path, &Path, &Path),
    /// Deploys what is found by one reference from here, and by another from the machine.
    deploy: fn(&ScratchSysroot, &str, &str),
    /// Where its `/var` is, below the physical root.
    var: &'static str,
    /// Puts it on a disk.
    install: fn(&Path, &Path) -> Guest,
}

/// A system of OSTree whose boot loader the harness plays.
const OF_OSTREE: Kind = Kind {
    add_bootroot,
    deploy,
    var: "ostree/deploy/os/var",
    install: Guest::install,
};

/// One whose root is an image of composefs, which bootroot mounts in the initramfs.
const OF_COMPOSEFS: Kind = Kind {
    add_bootroot: add_bootroot_to_initramfs,
    deploy: deploy_root,
    var: "state/os/default/var",
    install: Guest::install,
};

/// A machine that runs version 1 of an image and follows the tag `latest` of the registry, which has version 2 by now.
/// `v1` and `v2` are there, too.
pub(crate) struct Machine {
    _registry: Registry,
    _scratch: TempDir,
    guest: Guest,
}

impl Machine {
    /// Install it from an OCI directory, to which bootroot is added. The script runs in the guest when it is up.
    pub(crate) fn install(image: &Path, script: &str) -> Self {
        Self::install_as(&OF_OSTREE, image, script)
    }

    /// As [`Self::install`], with the real `ostree` of a Debian release beside it, or that of this machine.
    pub(crate) fn install_beside_libostree(
        image: &Path,
        suite: Option<&'static str>,
        script: &str,
    ) -> Self {
        let beside = Kind {
            add_bootroot: match suite {
                None => |image, binary, out| add_both(image, binary, None, out),
                Some("sid") => |image, binary, out| add_both(image, binary, Some("sid"), out),
                Some(other) => panic!("no machine has the ostree of {other}"),
            },
            ..OF_OSTREE
        };
        Self::install_as(&beside, image, script)
    }

    /// As [`Self::install`], booted by the real GRUB, from a BIOS.
    pub(crate) fn install_grub(image: &Path, script: &str) -> Self {
        let by_grub = Kind {
            deploy: deploy_for_grub,
            install: |sysroot, disk| Guest::install_loader("grub-bios", sysroot, disk),
            ..OF_OSTREE
        };
        Self::install_as(&by_grub, image, script)
    }

    /// As [`Self::install_grub`], from UEFI.
    pub(crate) fn install_grub_efi(image: &Path, script: &str) -> Self {
        let by_grub = Kind {
            deploy: deploy_for_grub,
            install: |sysroot, disk| Guest::install_loader("grub-efi", sysroot, disk),
            ..OF_OSTREE
        };
        Self::install_as(&by_grub, image, script)
    }

    /// As [`Self::install`], booted by the real systemd-boot. `/boot` is a partition, which is mounted there alone.
    pub(crate) fn install_systemd_boot(image: &Path, script: &str) -> Self {
        let by_systemd_boot = Kind {
            deploy: deploy_for_firmware,
            install: |sysroot, disk| Guest::install_loader("systemd-boot", sysroot, disk),
            ..OF_OSTREE
        };
        Self::install_as(&by_systemd_boot, image, script)
    }

    /// As [`Self::install`], with a root that is an image of composefs, which bootroot mounts in the initramfs.
    pub(crate) fn install_root(image: &Path, script: &str) -> Self {
        Self::install_as(&OF_COMPOSEFS, image, script)
    }

    /// As [`Self::install_root`], of an image with systemd whose dracut makes the initramfs.
    pub(crate) fn install_root_of_dracut(image: &Path, script: &str) -> Self {
        let by_dracut = Kind {
            add_bootroot: add_bootroot_by_dracut,
            install: Guest::install_slow,
            ..OF_COMPOSEFS
        };
        Self::install_as(&by_dracut, image, script)
    }

    /// As [`Self::install_root`], by unified kernel images that the image has, booted by the real systemd-boot from the EFI
    /// system partition.
    pub(crate) fn install_unified(image: &Path, script: &str) -> Self {
        let unified = Kind {
            add_bootroot: add_bootroot_and_seal,
            deploy: deploy_unified,
            install: |sysroot, disk| Guest::install_loader("systemd-boot-esp", sysroot, disk),
            ..OF_COMPOSEFS
        };
        Self::install_as(&unified, image, script)
    }

    /// As [`Self::install`], from an image whose commits are signed. The initramfs has the key, and another one in
    /// `/other.key`.
    pub(crate) fn install_signed(image: &Path, script: &str) -> Self {
        let signed = Kind {
            add_bootroot: add_bootroot_and_sign,
            ..OF_OSTREE
        };
        Self::install_as(&signed, image, script)
    }

    fn install_as(kind: &Kind, image: &Path, script: &str) -> Self {
        let (registry, scratch) = (Registry::start(), scratch_dir());
        let with_bootroot = scratch.path().join("image");
        let binary = Path::new(env!("CARGO_BIN_EXE_bootroot"));
        (kind.add_bootroot)(image, binary, &with_bootroot);
        let push = |from: &str, to: &str| {
            let source = format!("oci:{}:{from}", with_bootroot.display());
            registry.push(&source, &format!("os/test:{to}"))
        };
        let here = push("v1", "latest");
        let sysroot = ScratchSysroot::empty();
        (kind.deploy)(&sysroot, &here, &here.replace("127.0.0.1", Guest::HOST));
        let host = registry.host().replace("127.0.0.1", Guest::HOST);
        let script = format!("{PROLOGUE}{script}").replace("REGISTRY", &host);
        let var = sysroot.join(kind.var);
        std::fs::write(var.join("bootroot-test.sh"), script).unwrap();
        for (from, to) in [("v2", "latest"), ("v1", "v1"), ("v2", "v2")] {
            push(from, to);
        }
        let guest = (kind.install)(sysroot.path(), &scratch.path().join("disk.img"));
        Self {
            _registry: registry,
            _scratch: scratch,
            guest,
        }
    }

    /// Boot what the boot loader has first, and let the script take a step; what was printed.
    pub(crate) fn boot(&self, step: &str) -> String {
        let step = format!("bootroot.step={step}");
        self.guest.boot(&step.split(' ').collect::<Vec<_>>())
    }

    /// Let it try to boot with these kernel arguments, which it does not; what was printed.
    pub(crate) fn boot_in_vain(&self, arguments: &str) -> String {
        self.guest
            .boot_in_vain(&arguments.split(' ').collect::<Vec<_>>())
    }
}

fn add_both(image: &Path, binary: &Path, suite: Option<&str>, out: &Path) {
    let scratch = scratch_dir();
    let with_bootroot = scratch.path().join("image");
    add_bootroot(image, binary, &with_bootroot);
    add_libostree(&with_bootroot, suite, out);
}

/// Commits of both versions of the image are signed, and become images that are wrapped around them.
fn add_bootroot_and_sign(image: &Path, binary: &Path, out: &Path) {
    let scratch = scratch_dir();
    let (with_bootroot, repo) = (scratch.path().join("image"), scratch.path().join("repo"));
    let (keys, more) = (golden("keys"), scratch.path().join("more"));
    std::fs::create_dir_all(more.join("etc/ostree")).unwrap();
    let trusted = more.join("etc/ostree/initramfs-root-binding.key");
    std::fs::copy(keys.join("ed25519.pub.b64"), trusted).unwrap();
    // RFC 8032, section 7.1, test 2.
    let other = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n";
    std::fs::write(more.join("other.key"), other).unwrap();
    add_bootroot_and_more_to_initramfs(image, binary, &more, &with_bootroot);
    let repo = repo.display();
    answer(&mut bootroot(&format!(
        "ostree init --mode=bare --repo {repo}"
    )));
    for tag in ["v1", "v2"] {
        let pulled = answer(&mut bootroot(&format!(
            "-q image pull --json --repo {repo} oci:{}:{tag}",
            with_bootroot.display()
        )));
        let pulled: Value = serde_json::from_str(&pulled).unwrap();
        let (commit, key) = (
            pulled["commit"].as_str().unwrap(),
            keys.join("ed25519.secret.b64"),
        );
        answer(&mut bootroot(&format!(
            "ostree commit --repo {repo} -b {tag} --tree=ref={commit} --generate-composefs-metadata \
             --sign-type=ed25519 --sign-from-file={}",
            key.display()
        )));
        answer(&mut bootroot(&format!(
            "-q container encapsulate --repo {repo} {tag} oci:{}:{tag} --label containers.bootc=1 \
             --label ostree.bootable=true",
            out.display()
        )));
    }
}

/// Each version has a unified kernel image that names its root. That of the second one is to be verified.
fn add_bootroot_and_seal(image: &Path, binary: &Path, out: &Path) {
    add_bootroot_to_initramfs(image, binary, out);
    let store = ScratchSysroot::empty();
    for (tag, mark) in [("v1", "?"), ("v2", "")] {
        let pulled = answer(&mut bootroot(&format!(
            "-q --sysroot {} composefs pull --bootable oci:{}:{tag}",
            store.path().display(),
            out.display()
        )));
        let (_, root) = pulled.split_once("boot root: ").unwrap();
        let root = root.lines().next().unwrap();
        let arguments = "root=LABEL=root rw panic=-1 console=ttyS0 bootroot.demo";
        add_uki(out, tag, &format!("{arguments} composefs={mark}{root}"));
    }
}

fn deploy(sysroot: &ScratchSysroot, here: &str, there: &str) {
    let path = sysroot.path().display();
    answer(&mut bootroot(&format!(
        "-q --sysroot {path} deploy ostree-unverified-registry:{here} --stateroot os \
         --target-imgref ostree-unverified-registry:{there} \
         --karg root=LABEL=root --karg rw --karg panic=-1"
    )));
    // What systems have where `/sysroot` shall not be changed by mistake.
    answer(&mut bootroot(&format!(
        "ostree config set sysroot.readonly true --repo {path}/ostree/repo"
    )));
}

/// GRUB finds `/boot` on the root file system.
fn deploy_for_grub(sysroot: &ScratchSysroot, here: &str, there: &str) {
    deploy(sysroot, here, there);
    let path = sysroot.path().display();
    answer(&mut bootroot(&format!(
        "ostree config set sysroot.bootprefix true --repo {path}/ostree/repo"
    )));
    add_arguments(sysroot);
}

/// `/boot` is on a partition of its own.
fn deploy_for_firmware(sysroot: &ScratchSysroot, here: &str, there: &str) {
    deploy(sysroot, here, there);
    add_arguments(sysroot);
}

/// Nobody adds kernel arguments at boot.
fn add_arguments(sysroot: &ScratchSysroot) {
    let path = sysroot.path().display();
    for line in [
        format!("ostree config set sysroot.bootloader none --repo {path}/ostree/repo"),
        format!(
            "-q --sysroot {path} kargs --in-place --append console=ttyS0 --append bootroot.demo"
        ),
    ] {
        answer(&mut bootroot(&line));
    }
}

fn deploy_root(sysroot: &ScratchSysroot, here: &str, there: &str) {
    let path = sysroot.path().display();
    answer(&mut bootroot(&format!(
        "-q --sysroot {path} deploy --composefs ostree-unverified-registry:{here} \
         --target-imgref ostree-unverified-registry:{there} \
         --karg root=LABEL=root --karg rw --karg panic=-1"
    )));
}

/// The EFI system partition will be mounted at `/boot/efi`.
fn deploy_unified(sysroot: &ScratchSysroot, here: &str, there: &str) {
    std::fs::create_dir_all(sysroot.join("boot/efi/EFI/systemd")).unwrap();
    let path = sysroot.path().display();
    answer(&mut bootroot(&format!(
        "-q --sysroot {path} deploy --composefs ostree-unverified-registry:{here} \
         --target-imgref ostree-unverified-registry:{there}"
    )));
}

#[track_caller]
pub(crate) fn assert_has(console: &str, lines: &[&str]) {
    for line in lines {
        assert!(console.contains(line), "no {line:?} in:\n{console}");
    }
}

#[track_caller]
pub(crate) fn assert_lacks(console: &str, lines: &[&str]) {
    for line in lines {
        assert!(!console.contains(line), "{line:?} in:\n{console}");
    }
}
