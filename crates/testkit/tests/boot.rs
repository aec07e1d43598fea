//! The boot helpers, shown with the real programs alone: whatever fails here is not bootroot's fault.

use testkit::boot::{boot_disk, boot_keeping, deploy_with_ostree, fake_boot, mini_image};

#[test]
fn mini_image_boots_twice_and_keeps_what_it_wrote() {
    let dir = testkit::scratch_dir();
    let (sysroot, disk) = (dir.path().join("sysroot"), dir.path().join("disk.img"));
    let image = format!("{}:v1", mini_image().display());
    deploy_with_ostree(&image, &sysroot, "mini", &["--karg=rw"]);
    let script =
        "sed 's/^/TEST /' /var/counted; echo again >> /var/counted; mount -o remount,rw /sysroot\n";
    std::fs::write(
        sysroot.join("ostree/deploy/mini/var/bootroot-test.sh"),
        script,
    )
    .unwrap();

    let seen = fake_boot(&sysroot, "cat /etc/mini.conf; ls /run/ostree-booted");
    assert_eq!(seen, "color = blue\n/run/ostree-booted");

    let first = boot_keeping(&sysroot, &disk);
    assert!(
        first.contains("RUNNING Mini 1") && !first.contains("again"),
        "{first}"
    );
    let second = boot_disk(&disk);
    assert!(second.contains("BOOTROOT-BOOT-OK mini 1"), "{second}");
    assert!(second.contains("TEST again"), "{second}");
}
