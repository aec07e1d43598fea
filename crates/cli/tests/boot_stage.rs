//! What bootroot stages is completed by the real libostree when the machine shuts down, and the other way round.
//! `.config/nextest.toml` runs this after everything else.

mod support;

use std::path::Path;

use support::machine::{Machine, assert_has, assert_lacks};
use testkit::boot::{mini_composefs_image, mini_image};

/// What the guest does when it is up. What is staged in `theirs` is completed as it goes down, by our unit.
const SCRIPT: &str = r#"
run version libostree --version
case $step in
ours)
    echo mine > /etc/local.conf
    run stage bootroot -q upgrade
    run status libostree admin status
    echo late > /etc/late.conf
    run complete libostree admin finalize-staged
    ls /run/ostree | grep staged-deployment && echo "TEST it is still staged";;
theirs)
    run files head -n 1 /etc/local.conf /etc/late.conf /etc/new.conf
    run before bootroot status
    v1=$(libostree admin status | sed -n 's/^  os \([0-9a-f]*\)\.0 (rollback)$/\1/p')
    run stage libostree admin deploy --stage --os=os $v1
    run status bootroot status
    echo later > /etc/later.conf;;
look)
    run files head -n 1 /etc/local.conf /etc/late.conf /etc/later.conf
    run names ls /etc
    run status bootroot status
    run fsck ostree fsck --quiet;;
esac
"#;

fn each_completes_what_the_other_has_staged(
    image: &Path,
    suite: Option<&'static str>,
    version: &str,
) {
    let machine = Machine::install_beside_libostree(image, suite, SCRIPT);

    let console = machine.boot("ours");
    assert_has(&console, &["RUNNING Mini 1", version, "TEST stage: exit 0"]);
    assert_has(&console, &["(staged)", "TEST complete: exit 0"]);
    assert_lacks(&console, &["TEST it is still staged", "UNIT"]);

    let console = machine.boot("theirs");
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK mini 2", "CONFIG color = green"],
    );
    for text in ["mine", "late", "new in version 2"] {
        assert_has(&console, &[&format!("TEST files: {text}")]);
    }
    assert_has(&console, &["TEST before: exit 0", "(rollback)"]);
    assert_has(&console, &["TEST stage: exit 0", "(staged)"]);
    assert_has(&console, &["UNIT Finalized deployment os"]);

    let console = machine.boot("look");
    assert_has(
        &console,
        &["BOOTROOT-BOOT-OK mini 1", "CONFIG color = blue"],
    );
    for text in ["mine", "late", "later"] {
        assert_has(&console, &[&format!("TEST files: {text}")]);
    }
    assert_has(&console, &["TEST status: exit 0", "TEST fsck: exit 0"]);
    assert_lacks(&console, &["TEST names: new.conf", "UNIT"]);
}

#[test]
fn with_libostree_of_debian_12() {
    each_completes_what_the_other_has_staged(&mini_image(), None, "Version: '2022.7'");
}

/// Its roots are images of composefs.
#[test]
fn with_libostree_of_sid() {
    let image = mini_composefs_image();
    each_completes_what_the_other_has_staged(&image, Some("sid"), "Version: '202");
}
