//! The verbs that change what boots, from the first image on; the real `ostree admin` looks on.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::host::Host;
use support::{assert_valid, bootroot};

#[test]
fn upgrade_carries_over_what_is_local() {
    let host = Host::new();
    let nothing = host.json("upgrade", "upgrade");
    assert_eq!(
        (&nothing["deployed"], &nothing["change"]),
        (&json!(false), &Value::Null)
    );
    host.run("upgrade --check");
    let etc = host.sysroot.path().to_owned();
    let name = host.json("etc-diff", "etc diff")["deployment"]
        .as_str()
        .unwrap()
        .to_owned();
    let etc = etc
        .join("ostree/deploy/os/deploy")
        .join(name.trim_start_matches("os "))
        .join("etc");
    fs::write(etc.join("version"), "mine\n").unwrap();
    fs::write(etc.join("new"), "mine\n").unwrap();
    let changes = host.json("etc-diff", "etc diff");
    assert_eq!(
        (&changes["modified"], &changes["added"]),
        (&json!(["version"]), &json!(["new"]))
    );
    assert_eq!(host.run("etc diff"), "M    version\nA    new\n");

    // An argument that the user has deleted stays deleted; one that the image drops goes.
    host.run("kargs --delete quiet --in-place");
    host.publish("latest", "2", &["quiet", "console=ttyS0"]);
    let available = bootroot(&host.line("upgrade --check --json"))
        .output()
        .unwrap();
    assert_eq!(available.status.code(), Some(77));
    assert_valid(
        "image-check",
        &serde_json::from_slice(&available.stdout).unwrap(),
    );
    host.run("upgrade --download-only");
    let planned = host.json("upgrade", "upgrade --dry-run");
    assert_eq!(
        (&planned["deployed"], &planned["change"]["made"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(planned["etc"]["conflicts"][0]["path"], "version");
    assert_eq!(host.versions(), ["1"]);
    let done = host.json("upgrade", "upgrade");
    assert_eq!(
        (&done["deployed"], &done["staged"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(done["change"]["boots"], planned["change"]["boots"]);
    assert_eq!(host.versions(), ["2", "1"]);
    assert_eq!(host.args(), "rw console=ttyS0");
    let changes = host.json("etc-diff", "etc diff");
    assert_eq!(
        (&changes["modified"], &changes["added"]),
        (&json!(["version"]), &json!(["new"]))
    );
    host.sysroot.ostree("fsck --repo=ostree/repo --quiet");
}

#[test]
fn download_only_deploys_nothing_and_switch_follows_another_image() {
    let host = Host::new();
    host.publish("next", "9", &[]);
    let next = host.image("next");
    let fetched = host.json("upgrade", &format!("switch {next} --download-only"));
    assert_eq!(fetched["deployed"], json!(false));
    assert_eq!(host.versions(), ["1"]);
    let done = host.json("upgrade", &format!("switch {next}"));
    assert_eq!(done["pull"]["bytes_fetched"], 0, "it was there already");
    assert_eq!(host.versions(), ["9", "1"]);
    let status: Value = serde_json::from_str(&host.run("status --json")).unwrap();
    let followed = status["deployments"][0]["image"]["reference"]
        .as_str()
        .unwrap();
    assert!(followed.ends_with(":next"), "{followed}");
    assert!(host.run("upgrade").contains("nothing to deploy"));
    host.refused("switch oci:/no/such:x", 3);
}

#[test]
fn rollback_toggles() {
    let host = Host::new();
    host.refused("rollback", 3);
    host.publish("latest", "2", &[]);
    host.run("upgrade");
    let planned = host.json("change", "rollback --dry-run");
    assert_eq!(
        (&planned["made"], &planned["changed"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(host.versions(), ["2", "1"]);
    let done = host.json("change", "rollback");
    assert_eq!(done["boots"], planned["boots"]);
    assert_eq!(host.versions(), ["1", "2"]);
    host.run("rollback");
    assert_eq!(host.versions(), ["2", "1"]);
    assert_eq!(host.json("change", "rollback 0")["changed"], json!(false));
    let commit = host.json("change", "rollback 1")["boots"][0]["deployment"].clone();
    let commit = commit.as_str().unwrap().trim_start_matches("os ")[..12].to_owned();
    host.run("rollback 1");
    host.run(&format!("rollback {commit}"));
    assert_eq!(host.versions(), ["1", "2"]);
    for line in ["rollback 7", "rollback booted", "rollback 0000000000000"] {
        host.refused(line, 3);
    }
}

#[test]
fn pinned_deployments_survive_upgrades_until_they_are_unpinned() {
    let host = Host::new();
    assert_eq!(host.json("pin", "pin 0")["changed"], json!(true));
    assert_eq!(host.json("pin", "pin 0")["changed"], json!(false));
    for version in ["2", "3"] {
        host.publish("latest", version, &[]);
        host.run("upgrade");
    }
    assert_eq!(host.versions(), ["3", "2", "1"]);
    assert!(
        host.sysroot
            .ostree("admin status --sysroot=.")
            .contains("Pinned: yes")
    );
    host.run("unpin 2");
    host.publish("latest", "4", &[]);
    host.run("upgrade");
    assert_eq!(host.versions(), ["4", "3"]);
    host.refused("pin 9", 3);
}

#[test]
fn undeploy_and_cleanup() {
    let host = Host::new();
    host.publish("latest", "2", &[]);
    host.run("upgrade");
    let planned = host.json("change", "undeploy 1 --dry-run");
    assert_eq!(planned["removed"].as_array().unwrap().len(), 1);
    assert_eq!(host.versions(), ["2", "1"]);
    assert_eq!(
        host.json("change", "undeploy 1")["removed"],
        planned["removed"]
    );
    assert_eq!(host.versions(), ["2"]);
    host.refused("undeploy 1", 3);
    let stray = host
        .sysroot
        .join(&format!("boot/ostree/os-{}", "0".repeat(64)));
    fs::create_dir(&stray).unwrap();
    let planned = host.json("cleanup", "cleanup --dry-run");
    assert_eq!(planned["boot_files"].as_array().unwrap().len(), 1);
    assert!(fs::metadata(&stray).is_ok());
    assert_eq!(
        host.json("cleanup", "cleanup")["boot_files"],
        planned["boot_files"]
    );
    assert!(fs::metadata(&stray).is_err());
    assert_eq!(host.json("cleanup", "cleanup --dry-run")["objects"], 0);
}

#[test]
fn other_kernel_arguments_can_be_taken_back() {
    let host = Host::new();
    assert_eq!(
        host.json("kargs", "kargs")["kernel_arguments"],
        json!(["rw", "quiet", "console=tty0"])
    );
    let line = "kargs --delete quiet --replace console=ttyS0 --append a=1 --append a=2";
    let planned = host.json("change", &format!("{line} --dry-run"));
    assert_eq!(host.args(), "rw quiet console=tty0");
    let done = host.json("change", line);
    assert_eq!(done["boots"], planned["boots"]);
    assert_eq!(host.args(), "rw console=ttyS0 a=1 a=2");
    host.run("rollback");
    assert_eq!(host.args(), "rw quiet console=tty0");
    host.run("kargs --append b --in-place");
    assert_eq!(host.versions().len(), 2);
    assert_eq!(host.args(), "rw quiet console=tty0 b");
    assert_eq!(
        host.json("change", "kargs --replace b")["changed"],
        json!(false)
    );
    for line in ["kargs --delete none", "kargs --replace none=1"] {
        let output = bootroot(&host.line(line)).output().unwrap();
        assert!(!output.status.success(), "{line}");
    }
}
