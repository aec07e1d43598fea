//! `bootroot status`, on sysroots that the real `ostree admin` made.

mod support;

use std::fs;

use serde_json::Value;
use support::sysroot::ScratchSysroot;
use support::{answer, assert_valid, bootroot, refusal};

/// The JSON answer, which must follow its schema.
#[track_caller]
fn status(sysroot: &ScratchSysroot) -> Value {
    let line = format!("status --json --sysroot {}", sysroot.path().display());
    let value = serde_json::from_str(&answer(&mut bootroot(&line))).unwrap();
    assert_valid("status", &value);
    value
}

fn text(sysroot: &ScratchSysroot) -> String {
    answer(&mut bootroot(&format!(
        "status --sysroot {}",
        sysroot.path().display()
    )))
}

/// Two deployments of one commit; the second is pinned.
fn deployed_twice() -> ScratchSysroot {
    let sysroot = ScratchSysroot::by_ostree();
    sysroot.ostree("admin deploy --sysroot=. --os=testos --karg=root=LABEL=root --karg=quiet os/x");
    sysroot.ostree("admin deploy --sysroot=. --os=testos os/x");
    sysroot.ostree("admin pin --sysroot=. 1");
    sysroot
}

#[test]
fn a_sysroot_without_deployments_has_none() {
    let sysroot = ScratchSysroot::by_ostree();
    assert_eq!(status(&sysroot)["deployments"], Value::Array(vec![]));
    assert_eq!(text(&sysroot), "No deployments.\n");
}

#[test]
fn deployments_are_shown_as_ostree_admin_shows_them() {
    let sysroot = deployed_twice();
    let status = status(&sysroot);
    let deployments = status["deployments"].as_array().unwrap();
    let theirs = sysroot.ostree("admin status --sysroot=.");
    let names: Vec<&str> = theirs
        .lines()
        .filter_map(|line| line.trim().strip_prefix("testos "))
        .collect();
    let ours: Vec<String> = deployments
        .iter()
        .map(|deployment| {
            format!(
                "{}.{}",
                deployment["commit"].as_str().unwrap(),
                deployment["serial"]
            )
        })
        .collect();
    assert_eq!(ours, names);
    let (first, second) = (&deployments[0], &deployments[1]);
    assert_eq!(
        (&first["booted"], &second["index"]),
        (&false.into(), &1.into())
    );
    assert_eq!(
        (&first["pinned"], &second["pinned"]),
        (&false.into(), &true.into())
    );
    assert_eq!(
        (&first["refspec"], &first["version"]),
        (&"os/x".into(), &"1.5".into())
    );
    assert_eq!(
        first["kernel_arguments"],
        serde_json::json!(["root=LABEL=root", "quiet"])
    );
    assert_eq!(status["stateroots"], serde_json::json!(["testos"]));
    assert!(text(&sysroot).contains(".0 (pinned)\n"));
}

#[test]
fn what_is_damaged_is_shown_and_the_rest_too() {
    let sysroot = deployed_twice();
    let boot = fs::read_dir(sysroot.join("boot/ostree"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::remove_file(boot.join("vmlinuz-6.1")).unwrap();
    let before = status(&sysroot);
    assert!(
        before["deployments"][0]["problems"][0]["problem"]
            .as_str()
            .unwrap()
            .contains("vmlinuz-6.1")
    );
    let entries = fs::read_dir(sysroot.join("boot/loader/entries")).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    fs::write(&entries[0], "options quiet\n").unwrap();
    let after = status(&sysroot);
    assert_eq!(after["deployments"].as_array().unwrap().len(), 1);
    let damaged = after["damaged"][0]["boot_entry"].as_str();
    assert_eq!(damaged, entries[0].file_name().unwrap().to_str());
    let text = text(&sysroot);
    assert!(text.contains("damaged:") && text.contains("fix:"), "{text}");
}

#[test]
fn a_repository_alone_has_no_status() {
    let sysroot = ScratchSysroot::by_ostree();
    let line = format!("status --repo {}", sysroot.join("ostree/repo").display());
    assert!(refusal(&mut bootroot(&line), 5).contains("error: this needs a system"));
    let text = refusal(
        &mut bootroot(&format!(
            "status --sysroot {}",
            sysroot.join("none").display()
        )),
        3,
    );
    assert!(text.contains("hint: "), "{text}");
}
