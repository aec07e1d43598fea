//! Roots that are mounted only when somebody has signed them whose key the initramfs has, by our own program there, as
//! Debian's `ostree-prepare-root` is built without such signatures: a machine upgrades itself to a signed root, notices
//! what was tampered with, goes back, and refuses what another key would have to have signed.

mod support;

use support::machine::{Machine, assert_has, assert_lacks};
use testkit::boot::mini_composefs_image;

/// What the guest does when it is up.
const SCRIPT: &str = r#"
repo=/sysroot/ostree/repo
grep ' / ' /proc/mounts | sed 's/^/TEST root: /'
case $step in
upgrade)
    mount -o remount,rw /sysroot
    run config ostree config set ex-integrity.fsverity yes
    run copy ostree admin post-copy
    run upgrade bootroot -q upgrade
    echo mine > /etc/local.conf;;
tamper)
    run status bootroot status
    touch /sysroot/x 2>/dev/null && echo "TEST /sysroot is writable"
    touch /usr/x 2>/dev/null && echo "TEST /usr is writable"
    run files head -n 1 /etc/mini.conf /etc/local.conf /usr/share/doc/mini/README
    mount -o remount,rw /sysroot
    readme=$(find $repo/objects -name '*.file' -size -2 -type f | while read file; do
        [ "$(cat "$file")" = mini ] && echo "$file" && break; done)
    rm "$readme" && echo evil > "$readme" && echo "TEST an object is another one"
    run rollback bootroot -q rollback;;
look)
    cat /usr/share/doc/mini/README > /dev/null || echo "TEST a file cannot be read"
    grep -q evil /usr/share/doc/mini/README 2>/dev/null && echo "TEST what was put there is read"
    run status bootroot status;;
esac
"#;

#[test]
fn a_machine_boots_only_what_is_signed() {
    let machine = Machine::install_signed(&mini_composefs_image(), SCRIPT);

    // As it was installed, from a file system that does not verify anything yet.
    let refused = machine.boot_in_vain("bootroot.composefs=signed");
    assert_has(&refused, &["BOOT-FAILED: setup-root"]);
    assert_has(
        &refused,
        &["fs-verity is not enabled on the image of the deployment"],
    );
    let console = machine.boot("upgrade");
    assert_has(&console, &["RUNNING Mini 1", "TEST copy: exit 0"]);
    assert_has(
        &console,
        &["TEST upgrade: exit 0", "UNIT Finalized deployment"],
    );

    let signed = "bootroot.composefs=signed";
    let refused = machine.boot_in_vain(&format!("{signed} bootroot.keypath=/other.key"));
    assert_has(&refused, &["BOOT-FAILED: setup-root"]);
    assert_has(
        &refused,
        &["nobody whose key is in /other.key has signed commit"],
    );

    let console = machine.boot(&format!("tamper {signed}"));
    assert_has(
        &console,
        &[
            "RUNNING Mini 2",
            "TEST root: composefs / overlay",
            "verity=require",
        ],
    );
    assert_has(
        &console,
        &["WRITABLE /etc /var", "(booted)", "CONFIG color = green"],
    );
    assert_has(&console, &["TEST files: mine", "TEST files: mini"]);
    assert_has(
        &console,
        &["TEST an object is another one", "TEST rollback: exit 0"],
    );
    assert_lacks(&console, &["is writable"]);

    let console = machine.boot(&format!("look {signed}"));
    assert_has(&console, &["RUNNING Mini 1", "verity=require", "(booted)"]);
    assert_has(
        &console,
        &["TEST a file cannot be read", "TEST status: exit 0"],
    );
    assert_lacks(&console, &["TEST what was put there is read"]);
}
