//! Booting what was deployed: for real in QEMU, or as far as a mount namespace goes.
//!
//! The work is done by the programs in `scripts/`; each says in its first lines what it needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{run, stdout, target_dir, workspace_root};

/// An OCI directory with a tiny bootable image under the tags `v1` and `v2` (they differ in
/// `os-release`, `/etc/mini.conf` and `/etc/new.conf`), built on first use: **read-only**.
///
/// # Panics
/// When it cannot be built: it needs a Debian mirror the first time.
pub fn mini_image() -> PathBuf {
    let image = cache().join("mini");
    run(script("build-mini-image").arg(&image));
    image
}

/// As [`mini_image`], of a Debian whose `ostree-prepare-root` mounts roots by composefs. The kernel argument
/// `bootroot.composefs=VALUE` says how the initramfs is configured to do that, `yes` if nothing does.
///
/// # Panics
/// When it cannot be built: it needs a Debian mirror the first time.
pub fn mini_composefs_image() -> PathBuf {
    let image = cache().join("mini-of-sid");
    run(script("build-mini-image")
        .arg(&image)
        .args(["--suite", "sid"]));
    image
}

/// Deploys an image (`OCI_DIR:TAG`) into an offline sysroot with the real programs (umoci and
/// `ostree`), for comparison with what bootroot makes of it.
pub fn deploy_with_ostree(image: &str, sysroot: &Path, stateroot: &str, options: &[&str]) {
    let mut deploy = script("deploy-with-ostree");
    run(deploy.arg(image).arg(sysroot).arg(stateroot).args(options));
}

/// Runs a shell script in the default deployment of an offline sysroot, after the real
/// `ostree-prepare-root` has set it up in a private mount namespace; returns its output. Takes a
/// tenth of a second. What the script writes to `/etc` and `/var` stays in the sysroot.
///
/// # Panics
/// When the deployment cannot be set up or the script fails.
pub fn fake_boot(sysroot: &Path, shell_script: &str) -> String {
    stdout(
        script("fake-boot")
            .arg(sysroot)
            .args(["/bin/sh", "-euc", shell_script]),
    )
}

/// Boots the default deployment of an offline sysroot in QEMU until it says that it is up, and
/// returns what it printed about itself. The sysroot is not modified. A script at
/// `var/bootroot-test.sh` in the stateroot is run in the guest.
///
/// # Panics
/// When the marker does not appear, with the end of the console.
pub fn boot(sysroot: &Path, kernel_arguments: &[&str]) -> String {
    stdout(script("boot-sysroot").arg(sysroot).args(kernel_arguments))
}

/// As [`boot`], but the guest's disk is kept in `disk` with all that the guest wrote, so that
/// [`boot_disk`] can boot it again.
pub fn boot_keeping(sysroot: &Path, disk: &Path) -> String {
    stdout(script("boot-sysroot").env("KEEP_DISK", disk).arg(sysroot))
}

/// Boots the default entry of a disk that [`boot_keeping`] left, which the guest writes to.
pub fn boot_disk(disk: &Path) -> String {
    stdout(script("boot-disk").env("DISK_WRITABLE", "1").arg(disk))
}

/// As [`boot_disk`] with another entry than the default one: what a user picks in the boot menu.
pub fn boot_disk_entry(disk: &Path, file_name: &str) -> String {
    let mut boot = script("boot-disk");
    boot.env("DISK_WRITABLE", "1").env("BOOT_ENTRY", file_name);
    stdout(boot.arg(disk))
}

/// As [`mini_image`], but a whole Debian with systemd, which takes half a minute to boot. Its default that
/// differs is `/etc/bootroot-demo/config`.
///
/// # Panics
/// When it cannot be built: it needs a Debian mirror the first time.
pub fn demo_image() -> PathBuf {
    let image = cache().join("demo");
    run(script("build-demo-image").arg(&image));
    image
}

/// As [`demo_image`], of a Debian whose `ostree-prepare-root` mounts roots by composefs.
///
/// # Panics
/// When it cannot be built: it needs a Debian mirror the first time.
pub fn demo_composefs_image() -> PathBuf {
    let image = cache().join("demo-of-sid");
    run(script("build-demo-image")
        .arg(&image)
        .args(["--suite", "sid"]));
    image
}

/// Adds bootroot and its units to both tags of [`mini_image`] or [`demo_image`]; the result is the OCI directory
/// `out`.
pub fn add_bootroot(image: &Path, binary: &Path, out: &Path) {
    run(script("add-bootroot").arg(image).arg(binary).arg(out));
}

/// As [`add_bootroot`], to [`mini_composefs_image`]: the program is in the initramfs, too, which mounts with it what
/// `composefs=` names.
pub fn add_bootroot_to_initramfs(image: &Path, binary: &Path, out: &Path) {
    let mut add = script("add-bootroot");
    run(add.arg(image).arg(binary).arg(out).arg("--initramfs"));
}

/// As [`add_bootroot`], to [`demo_composefs_image`]: its dracut makes an initramfs that mounts with the program what
/// `composefs=` names.
pub fn add_bootroot_by_dracut(image: &Path, binary: &Path, out: &Path) {
    let mut add = script("add-bootroot");
    run(add.arg(image).arg(binary).arg(out).arg("--dracut"));
}

/// As [`add_bootroot_to_initramfs`], with the files in the directory `more` in the initramfs, too, for example keys.
pub fn add_bootroot_and_more_to_initramfs(image: &Path, binary: &Path, more: &Path, out: &Path) {
    let mut add = script("add-bootroot");
    add.arg(image).arg(binary).arg(out);
    run(add.arg("--initramfs").arg(more));
}

/// Adds to a tag of an image a unified kernel image that boots it with these kernel arguments.
pub fn add_uki(image: &Path, tag: &str, arguments: &str) {
    run(script("add-uki").arg(image).arg(tag).arg(arguments));
}

/// Adds the real `ostree` to what [`add_bootroot`] has made, as `libostree`: this machine's, or that of a Debian release.
///
/// # Panics
/// When it cannot be done: for another release it needs a Debian mirror the first time.
pub fn add_libostree(image: &Path, suite: Option<&str>, out: &Path) {
    let mut add = script("add-libostree");
    add.arg(image).arg(out);
    run(add.args(suite.map(|suite| ["--suite", suite]).into_iter().flatten()));
}

/// A machine with a disk of its own, which reaches the loopback of this one at [`Guest::HOST`]. It remembers what
/// it writes, and loses what it did not sync when it is cut off.
#[derive(Debug)]
pub struct Guest {
    disk: PathBuf,
    by_firmware: bool,
    /// How many seconds a boot may take.
    patience: u32,
}

/// How many seconds a boot may take, also on a machine that has other things to do.
const PATIENCE: u32 = 280;

impl Guest {
    /// The address at which the guest finds what listens on loopback here.
    pub const HOST: &'static str = "10.0.2.2";

    /// A machine whose disk, the file `disk`, is a copy of an offline sysroot.
    pub fn install(sysroot: &Path, disk: &Path) -> Self {
        let mut install = script("boot-sysroot");
        install.env("KEEP_DISK", disk).env("NO_BOOT", "1");
        run(install.arg(sysroot));
        let disk = disk.to_owned();
        Self {
            disk,
            by_firmware: false,
            patience: PATIENCE,
        }
    }

    /// The same machine, which may take twice as long to do what it has to: it runs a whole Debian.
    pub fn install_slow(sysroot: &Path, disk: &Path) -> Self {
        Self {
            patience: 2 * PATIENCE,
            ..Self::install(sysroot, disk)
        }
    }

    /// As [`Self::install`], with a real boot loader of its own: one of those that `scripts/boot-firmware` knows. What
    /// would be kernel arguments is the machine's serial number.
    pub fn install_loader(loader: &str, sysroot: &Path, disk: &Path) -> Self {
        let file_system = disk.with_extension("ext4");
        Self::install(sysroot, &file_system);
        let mut install = script("boot-firmware");
        run(install
            .args(["install", loader])
            .arg(&file_system)
            .arg(disk));
        let disk = disk.to_owned();
        Self {
            disk,
            by_firmware: true,
            patience: PATIENCE,
        }
    }

    /// Boots the default entry until the guest says that it is up, and returns what it printed about itself.
    ///
    /// # Panics
    /// When the marker does not appear, with the end of the console.
    pub fn boot(&self, kernel_arguments: &[&str]) -> String {
        stdout(&mut self.booting(kernel_arguments))
    }

    /// Boots the default entry, of which the guest does not come up; the end of the console.
    ///
    /// # Panics
    /// When it comes up.
    pub fn boot_in_vain(&self, kernel_arguments: &[&str]) -> String {
        let output = self.booting(kernel_arguments).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn booting(&self, kernel_arguments: &[&str]) -> Command {
        let program = if self.by_firmware {
            "boot-firmware"
        } else {
            "boot-disk"
        };
        let mut boot = script(program);
        boot.env("DISK_WRITABLE", "1").env("BOOT_ONLINE", "1");
        boot.env("BOOT_TIMEOUT", self.patience.to_string());
        boot.arg(&self.disk).args(kernel_arguments);
        boot
    }
}

fn cache() -> PathBuf {
    std::env::var_os("BOOTROOT_CACHE").map_or_else(|| target_dir().join("lab"), PathBuf::from)
}

fn script(name: &str) -> Command {
    let mut command = Command::new(workspace_root().join("scripts").join(name));
    command
        .env("BOOTROOT_CACHE", cache())
        .env("BOOT_TIMEOUT", "120");
    command
}
