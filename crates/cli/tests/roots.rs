//! Systems whose roots are images of composefs, by the commands: deployed, upgraded, told of, gone back, and mounted as in
//! an initramfs.

mod support;

use std::fs;

use serde_json::Value;
use support::roots::System;
use support::{bootroot, refusal, said};

#[test]
fn a_root_is_deployed_upgraded_and_gone_back_from() {
    let system = System::new();
    let [one] = system.roots().try_into().unwrap();
    assert_eq!(system.titles(), ["Small 1"]);
    fs::write(system.etc(&one, "mine"), "mine").unwrap();

    system.publish("2", "loud");
    let check = bootroot(&system.line("upgrade --check")).output().unwrap();
    assert_eq!(check.status.code(), Some(77), "{check:?}");
    let upgraded = system.json("upgrade", "upgrade");
    assert_eq!(upgraded["deployed"], true, "{upgraded}");
    let args = &upgraded["change"]["boots"][0]["kernel_arguments"];
    let two = system.roots()[0].clone();
    let expected = ["root=LABEL=root", "rw", "loud"];
    assert_eq!(*args, serde_json::json!(expected), "{upgraded}");
    assert_eq!(system.roots(), [two.clone(), one.clone()]);
    assert_eq!(
        fs::read_to_string(system.etc(&two, "version")).unwrap(),
        "2\n"
    );
    assert_eq!(
        fs::read_to_string(system.etc(&two, "mine")).unwrap(),
        "mine"
    );
    let again = system.run("upgrade");
    assert!(again.contains("nothing to deploy"), "{again}");

    let change = system.json("change", "rollback");
    assert_eq!(change["boots"][0]["deployment"], one, "{change}");
    assert_eq!(system.titles(), ["Small 1", "Small 2"]);
    system.run(&format!("rollback {}", &two[..12]));
    assert_eq!(system.titles(), ["Small 2", "Small 1"]);
    let refused = refusal(&mut bootroot(&system.line("rollback 7")), 3);
    assert!(refused.contains("deployment 7"), "{refused}");

    // The name of the image stands for another one by now, but what is deployed stays.
    system.publish("3", "loud");
    let image = system.image();
    system.run(&format!("composefs pull --bootable {image}"));
    system.run("composefs prune");
    let status = system.json("status", "status");
    for root in status["roots"].as_array().unwrap() {
        assert_eq!(root["problems"], serde_json::json!([]), "{root}");
    }
    let checked = system.run("composefs check");
    assert!(!checked.contains("damaged"), "{checked}");
    let entry = &status["status"]["otherDeployments"][0];
    assert_eq!(entry["composefs"]["verity"], two, "{status}");
    assert_eq!(entry["composefs"]["bootType"], "bls", "{status}");
    assert_eq!(entry["image"]["image"]["transport"], "oci", "{status}");
    assert_eq!(entry["ostree"], Value::Null, "{status}");
    let seen = system.run("status");
    assert!(seen.contains(&format!("composefs {two}")), "{seen}");
}

#[test]
fn a_root_is_mounted_as_it_is_configured() {
    let system = System::new();
    let [root] = system.roots().try_into().unwrap();
    let line = format!("rw composefs=?{root}");
    let look =
        "cat $1/etc/version; cat $1/usr/lib/os-release; grep ' /run/root ' /proc/mounts | tail -1
        touch $1/usr/x 2>/dev/null && echo /usr is writable
        touch $1/sysroot/x 2>/dev/null && echo /sysroot is writable
        echo changed > $1/etc/version; touch $1/var/new; ls $1/sysroot/composefs";
    let seen = system.set_up(&line, "", look);
    let text = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.status.success(), "{}", said(&seen));
    assert!(text.starts_with("1\nPRETTY_NAME=\"Small 1\"\n"), "{text}");
    assert!(
        text.contains(&format!("composefs:{root} /run/root overlay ro,")),
        "{text}"
    );
    assert!(!text.contains("writable"), "{text}");
    // What changed is in the state.
    assert_eq!(
        fs::read_to_string(system.etc(&root, "version")).unwrap(),
        "changed\n"
    );
    assert!(system.root.join("state/os/default/var/new").exists());

    let forget =
        "cat $1/etc/version; echo x > $1/etc/version; touch $1/new; echo y > $1/usr/lib/os-release
        grep ' /run/root ' /proc/mounts | tail -1";
    let conf = "[root]\ntransient = true\n[etc]\ntransient = true\n";
    let seen = system.set_up(&line, conf, forget);
    let text = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(seen.status.success(), "{}", said(&seen));
    assert!(text.starts_with("1\n"), "{text}");
    assert!(
        text.contains(&format!("transient:composefs={root}")),
        "{text}"
    );
    assert_eq!(
        fs::read_to_string(system.etc(&root, "version")).unwrap(),
        "changed\n"
    );

    let kept = "echo z > $1/etc/version; cat $1/etc/version";
    let conf = "[etc]\nmount = \"overlay\"\n[var]\nmount = \"none\"\n";
    let seen = system.set_up(&line, conf, kept);
    assert!(seen.status.success(), "{}", said(&seen));
    assert_eq!(
        fs::read_to_string(system.etc(&root, "upper/version")).unwrap(),
        "z\n"
    );
}

#[test]
fn what_keeps_a_root_from_being_mounted_is_said() {
    let system = System::new();
    let [root] = system.roots().try_into().unwrap();
    let refused = |line: &str, conf: &str| {
        let seen = system.set_up(line, conf, "echo MOUNTED");
        assert!(!seen.status.success(), "{}", said(&seen));
        said(&seen)
    };
    let other = "ab".repeat(64);
    let text = refused(&format!("composefs=?{other}"), "");
    assert!(text.contains("no image") && text.contains(&root), "{text}");
    let text = refused("composefs=what", "");
    assert!(text.contains("composefs=what"), "{text}");
    let text = refused("rw", "");
    assert!(text.contains("composefs=DIGEST"), "{text}");
    // Nothing verifies it, which it must be without the mark.
    let text = refused(&format!("composefs={root}"), "");
    assert!(
        text.contains("does not verify") || text.contains("verity"),
        "{text}"
    );

    // A configuration that nobody understands is no reason not to boot.
    let seen = system.set_up(&format!("composefs=?{root}"), "[etc\n", "echo MOUNTED");
    let text = said(&seen);
    assert!(
        seen.status.success() && text.contains("is passed over"),
        "{text}"
    );

    let state = system.root.join(&format!("state/deploy/{root}"));
    fs::rename(&state, state.with_extension("away")).unwrap();
    let text = refused(&format!("composefs=?{root}"), "");
    assert!(text.contains("no state of the deployment"), "{text}");
    fs::rename(state.with_extension("away"), &state).unwrap();

    // A bit of the image is another one.
    let image = system.root.join(&format!("composefs/images/{root}"));
    let object = fs::canonicalize(image).unwrap();
    let mut bytes = fs::read(&object).unwrap();
    bytes[2000] ^= 1;
    fs::write(&object, bytes).unwrap();
    let text = refused(&format!("composefs=?{root}"), "");
    assert!(text.contains("is damaged"), "{text}");
    // The commands go on telling what is deployed.
    assert_eq!(system.roots(), [root]);
}
