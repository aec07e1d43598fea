//! Soft reboots: the root of another deployment is mounted where systemd changes to it.

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::booted::Booted;
use support::host::{Host, tree};
use support::{assert_valid, said};
use testkit::oci::{Image, Layer};

/// What every script begins with: mounts are shared as on a real system, and the service manager is one that can.
const PROLOGUE: &str = "set -e
mount --make-rshared /
mkdir -p /run/units; : > /run/units/soft-reboot.target
mount --bind /run/units /usr/lib/systemd/system
";

/// An image whose root is mounted by composefs. All have the same kernel, unless they are told otherwise.
fn system(version: &str, config: &str, kernel: &str) -> Image {
    let tree = tree("1")
        .dir("usr/lib/ostree", 0o755)
        .file("usr/lib/ostree/prepare-root.conf", 0o644, config)
        .file("usr/lib/version", 0o644, format!("{version}\n"))
        .file("usr/lib/modules/6.1/vmlinuz", 0o644, kernel)
        .file("etc/version", 0o644, format!("{version}\n"));
    let tree = ["boot", "run", "sysroot", "var"]
        .into_iter()
        .fold(tree, |tree, name| tree.dir(name, 0o755));
    let image = Image::bootable().label("org.opencontainers.image.version", version);
    image.layer(Layer::new(tree.finish()))
}

const COMPOSEFS: &str = "[composefs]\nenabled = yes\n";

/// A system that pretends to run version 1, and can have version 2.
struct Machine {
    host: Host,
    booted: Booted,
}

impl Machine {
    fn new(new: &Image) -> Self {
        let host = Host::new();
        host.publish_image("first", &system("1", COMPOSEFS, "kernel"));
        host.run(&format!("switch {}", host.image("first")));
        host.run("undeploy 1");
        let deployments = host.sysroot.join("ostree/deploy/os/deploy");
        let deployments = fs::read_dir(deployments).unwrap();
        let deployment = deployments
            .map(|entry| entry.unwrap().path())
            .find(|path| path.join("usr/lib/version").exists())
            .unwrap();
        let booted = Booted::new(host.sysroot.path(), &deployment);
        host.publish_image("first", new);
        Self { host, booted }
    }

    fn status(text: &str) -> Value {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_valid("status", &value);
        value
    }
}

#[test]
fn the_root_of_a_stage_is_mounted_and_has_the_last_changes() {
    let machine = Machine::new(&system("2", COMPOSEFS, "kernel"));
    let text = machine.booted.shell(&format!(
        "{PROLOGUE}
        bootroot -q upgrade --soft-reboot required > /dev/null
        cat /run/nextroot/usr/lib/version /run/nextroot/etc/version
        findmnt -rno TARGET,FSTYPE -R /run/nextroot | sort
        if touch /run/nextroot/sysroot/x /run/nextroot/usr/x 2>/dev/null; then echo writable; fi
        touch /run/nextroot/etc/x; rm /run/nextroot/etc/x
        bootroot status --json > /run/status-before
        old=$(echo /sysroot/ostree/deploy/os/deploy/*/etc/version | tr ' ' '\\n' | xargs grep -lx 1)
        echo local > ${{old%/*}}/local
        bootroot finalize-staged > /dev/null
        cat /run/nextroot/etc/local
        bootroot ostree admin boot-complete
        bootroot status --json > /run/status-after
        "
    ));
    let lines: Vec<_> = text.lines().collect();
    let (said, mounts) = (&lines[..2], &lines[2..lines.len() - 1]);
    assert_eq!(said, ["2", "2"], "{text}");
    assert_eq!(lines.last(), Some(&"local"), "{text}");
    let places: Vec<_> = mounts
        .iter()
        .map(|line| line.split_once(' ').unwrap().0)
        .collect();
    assert_eq!(
        places,
        ["", "/boot", "/etc", "/sysroot"].map(|place| format!("/run/nextroot{place}"))
    );
    assert!(mounts[0].ends_with(" overlay"), "{text}");
    let read = |name| fs::read_to_string(machine.booted.run_file(name)).unwrap();
    let before = Machine::status(&read("status-before"));
    let targets = |status: &Value| -> Vec<Value> {
        let deployments = status["deployments"].as_array().unwrap();
        let facts = deployments
            .iter()
            .map(|one| json!([one["version"], one["booted"], one["soft_reboot_target"]]));
        facts.collect()
    };
    assert_eq!(
        targets(&before),
        [json!(["2", false, true]), json!(["1", true, false])]
    );
    // The system that comes finds itself.
    let after = Machine::status(&read("status-after"));
    assert_eq!(
        targets(&after),
        [json!(["2", true, false]), json!(["1", false, false])]
    );
}

#[test]
fn what_is_prepared_is_taken_back_by_a_reset_and_by_whatever_comes_after() {
    let machine = Machine::new(&system("2", COMPOSEFS, "kernel"));
    let text = machine.booted.shell(&format!(
        "{PROLOGUE}
        is() {{ findmnt -rno TARGET /run/nextroot | head -1; ls /run/ostree | grep nextroot || :; echo .; }}
        bootroot -q upgrade > /dev/null; is
        bootroot ostree admin prepare-soft-reboot 0; is
        bootroot ostree admin status | grep -c '(staged) (soft-reboot)'
        bootroot prepare-soft-reboot --reset; is
        bootroot prepare-soft-reboot pending > /dev/null; is
        bootroot -q rollback > /dev/null; is
        "
    ));
    let prepared = "/run/nextroot\nnextroot-booted\n.\n";
    let expected = format!(".\n{prepared}1\nno soft reboot is prepared any more\n.\n{prepared}.\n");
    assert_eq!(text, expected);
    assert_eq!(machine.host.versions(), ["1"]);
}

#[track_caller]
fn refused(new: &Image, words: &str, expected: &str) {
    let machine = Machine::new(new);
    let output = machine.booted.try_shell(&format!(
        "{PROLOGUE} bootroot -q upgrade > /dev/null; if bootroot {words}; then exit 99; else code=$?; fi
        [ ! -e /run/ostree/nextroot-booted ] && ! findmnt -n /run/nextroot; exit $code"
    ));
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains(expected), "{}", said(&output));
}

#[test]
fn what_needs_the_kernel_to_start_anew_is_refused() {
    let other_kernel = system("2", COMPOSEFS, "another kernel");
    refused(
        &other_kernel,
        "prepare-soft-reboot pending",
        "has another kernel or other arguments",
    );
    refused(
        &system("2", "", "kernel"),
        "prepare-soft-reboot pending",
        "not supported without composefs",
    );
    refused(
        &system("2", "[composefs]\nenabled = signed\n", "kernel"),
        "prepare-soft-reboot pending",
        "only its initramfs can verify",
    );
}

#[test]
fn where_it_may_be_it_is_only_prepared_when_it_can_be() {
    let machine = Machine::new(&system("2", COMPOSEFS, "another kernel"));
    let output = machine.booted.try_shell(&format!(
        "{PROLOGUE} bootroot -q upgrade --soft-reboot auto > /dev/null
        [ ! -e /run/ostree/nextroot-booted ]
        bootroot -q upgrade --soft-reboot required > /dev/null"
    ));
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(
        said(&output).contains("another kernel"),
        "{}",
        said(&output)
    );
    assert!(Path::new(&machine.booted.run_file("ostree/staged-deployment")).exists());
}

/// It is there as a whole or not at all, whenever the program that prepares it is killed.
#[test]
fn what_is_prepared_appears_in_one_step() {
    let machine = Machine::new(&system("2", COMPOSEFS, "kernel"));
    let text = machine.booted.shell(&format!(
        "{PROLOGUE}
        is() {{ echo $(findmnt -rno TARGET -R /run/nextroot | sort) $(bootroot ostree admin status | grep -c '(soft-reboot)'); }}
        bootroot -q upgrade > /dev/null
        for point in assembled noted mounted; do
            echo $point
            if BOOTROOT_CRASH_AT=sysroot:next-root-$point bootroot prepare-soft-reboot pending > /dev/null; then exit 9; fi
            is
            bootroot prepare-soft-reboot pending > /dev/null; is
            findmnt -rno TARGET | grep ^/run/ostree || :
            bootroot prepare-soft-reboot --reset > /dev/null; is
        done
        "
    ));
    let whole = "/run/nextroot /run/nextroot/boot /run/nextroot/etc /run/nextroot/sysroot 1\n";
    let expected =
        format!("assembled\n0\n{whole}0\nnoted\n0\n{whole}0\nmounted\n{whole}{whole}0\n");
    assert_eq!(text, expected);
}
