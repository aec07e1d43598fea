//! The verbs on systems whose roots are images of composefs: planned, then done.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::roots::System;
use support::{answer, bootroot, refusal};
use testkit::oci::Layer;
use testkit::tar::TarWriter;

fn space<'a>(plan: &'a Value, place: &str) -> &'a Value {
    let mut places = plan["space"].as_array().unwrap().iter();
    places.find(|space| space["place"] == place).unwrap()
}

/// All names in a system, and what its boot entries say.
fn facts(system: &System) -> String {
    let script = format!(
        "cd {} && find . -not -name '.bootroot-lock' | sort && cat boot/loader/entries/*.conf",
        system.root.path().display()
    );
    testkit::shell(&script)
}

#[test]
fn an_upgrade_does_what_was_planned() {
    let system = System::new();
    let [one] = system.roots().try_into().unwrap();
    system.publish("2", "loud");
    let before = facts(&system);
    let planned = system.json("upgrade", "upgrade --dry-run");
    let plan = &planned["plan"];
    assert_eq!(plan["version"], "2", "{planned}");
    assert_eq!(plan["current_version"], "1", "{planned}");
    assert_eq!(plan["layers"], json!({"total": 1, "fetched": 1}));
    assert_eq!(
        (&plan["stored"], &plan["kernel_arguments"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(plan["current_kernel"], "6.1", "{planned}");
    assert!(
        space(plan, "/")["needed"].as_u64().unwrap() > 1000,
        "{plan}"
    );
    // As much as the kernel and the initramfs before, "kernel 1" and "an initramfs".
    assert_eq!(space(plan, "/boot")["needed"], 20, "{plan}");
    assert_eq!(facts(&system), before);

    let image = system.image();
    system.run(&format!("composefs pull --bootable {image}"));
    let planned = system.json("upgrade", "upgrade --dry-run");
    let plan = &planned["plan"];
    assert_eq!(
        plan["kernel_arguments"],
        json!({"added": ["loud"], "removed": ["quiet"]})
    );
    assert_eq!(
        (&plan["kernel"], &plan["stored"]),
        (&json!("6.1"), &json!(true))
    );
    assert_eq!(space(plan, "/")["needed"], 0, "{plan}");
    assert_eq!(planned["change"]["made"], false);
    let done = system.json("upgrade", "upgrade");
    assert_eq!(done["change"]["boots"], planned["change"]["boots"]);
    assert_eq!(done["change"]["boots"][1]["deployment"], one, "{done}");
    assert_eq!(done["plan"]["stored"], true, "{done}");

    // The next one drives out the first.
    system.publish("3", "loud");
    let planned = system.json("upgrade", "upgrade --dry-run");
    assert_eq!(planned["plan"]["removed"], json!([one]), "{planned}");
    let said = system.run("upgrade --dry-run");
    assert!(said.contains(&format!("to be removed: {one}")), "{said}");
    let done = system.json("upgrade", "upgrade");
    assert_eq!(done["change"]["removed"], json!([one]), "{done}");
    let nothing = system.json("upgrade", "upgrade --dry-run");
    assert_eq!(
        (&nothing["plan"], &nothing["change"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn what_is_pinned_stays_and_what_is_undeployed_goes() {
    let system = System::new();
    let [one] = system.roots().try_into().unwrap();
    system.publish("2", "quiet");
    system.run("upgrade");
    let two = system.roots()[0].clone();
    let planned = system.json("pin", "pin 1 --dry-run");
    assert_eq!(
        planned,
        json!({"schema": "bootroot.pin/1", "index": 1, "deployment": one, "pinned": true, "changed": true})
    );
    assert_eq!(system.json("pin", &format!("pin {}", &one[..10])), planned);
    assert_eq!(system.json("pin", "pin 1")["changed"], false);
    assert_eq!(system.json("status", "status")["roots"][1]["pinned"], true);
    system.publish("3", "quiet");
    system.run("upgrade");
    let three = system.roots()[0].clone();
    assert_eq!(system.roots(), [three.clone(), two.clone(), one.clone()]);

    let before = facts(&system);
    let planned = system.json("change", "undeploy 1 --dry-run");
    assert_eq!(planned["removed"], json!([two]), "{planned}");
    assert_eq!(facts(&system), before);
    let done = system.json("change", "undeploy 1");
    assert_eq!(
        (&done["removed"], &done["made"]),
        (&json!([two]), &json!(true))
    );
    assert_eq!(done["boots"], planned["boots"]);
    assert_eq!(system.roots(), [three.clone(), one.clone()]);
    assert!(!system.root.join(&format!("state/deploy/{two}")).exists());
    refusal(&mut bootroot(&system.line("undeploy 2")), 3);

    assert_eq!(system.json("pin", "unpin 1")["changed"], true);
    system.publish("4", "quiet");
    system.run("upgrade");
    assert_eq!(system.roots()[1..], [three]);
    let change = system.json("change", "rollback --dry-run");
    assert_eq!(change["made"], false);
    assert_eq!(change["boots"][0]["deployment"], system.roots()[1]);
    system.json("change", "undeploy --all");
    assert_eq!(
        fs::read_dir(system.root.join("state/deploy"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(
        fs::read_dir(system.root.join("boot/loader/entries"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn kernel_arguments_change_in_their_entry() {
    let system = System::new();
    let [one] = system.roots().try_into().unwrap();
    assert_eq!(system.run("kargs"), "root=LABEL=root rw quiet\n");
    let before = facts(&system);
    let planned = system.json("change", "kargs --append a=1 --delete quiet --dry-run");
    let args = json!(["root=LABEL=root", "rw", "a=1"]);
    assert_eq!(planned["boots"][0]["kernel_arguments"], args);
    assert_eq!(facts(&system), before);
    let done = system.json("change", "kargs --append a=1 --delete quiet");
    assert_eq!(
        (&done["boots"], &done["changed"]),
        (&planned["boots"], &json!(true))
    );
    system.run("kargs --replace a=2");
    let shown = system.json("kargs", "kargs");
    let args = json!(["root=LABEL=root", "rw", "a=2"]);
    assert_eq!(shown["kernel_arguments"], args);
    let entries = testkit::shell(&format!(
        "cat {}/boot/loader/entries/*.conf",
        system.root.path().display()
    ));
    let options = format!("options root=LABEL=root rw a=2 composefs=?{one}\n");
    assert!(entries.contains(&options), "{entries}");
    refusal(&mut bootroot(&system.line("kargs --delete b=1")), 3);
    let again = system.json("change", "kargs --replace a=2");
    assert_eq!(again["changed"], false, "{again}");

    // What was changed is carried over, and what the image brings along is changed.
    system.publish("2", "loud");
    system.run("upgrade");
    assert_eq!(system.run("kargs"), "root=LABEL=root rw a=2 loud\n");
}

#[test]
fn what_is_left_over_is_found_and_removed() {
    let system = System::new();
    let other = "ab".repeat(64);
    for name in [
        format!("state/deploy/{other}/etc"),
        format!("boot/bootc_composefs-{other}"),
    ] {
        fs::create_dir_all(system.root.join(&name)).unwrap();
    }
    system.publish("2", "quiet");
    let image = system.image();
    system.run(&format!("composefs pull --bootable {image} --name other"));
    system.run("composefs remove other");
    let before = facts(&system);
    let planned = system.json("cleanup", "cleanup --dry-run");
    assert_eq!(planned["deployments"], json!([other]), "{planned}");
    let kernel = format!("bootc_composefs-{other}");
    assert_eq!(planned["boot_files"], json!([kernel]), "{planned}");
    assert!(planned["objects"].as_u64().unwrap() > 0, "{planned}");
    assert_eq!(facts(&system), before);
    let done = system.json("cleanup", "cleanup");
    for field in ["deployments", "boot_files", "objects", "bytes"] {
        assert_eq!(done[field], planned[field], "{done}");
    }
    let rest = system.json("cleanup", "cleanup --dry-run");
    assert_eq!(
        (&rest["objects"], &rest["deployments"]),
        (&json!(0), &json!([]))
    );
    let status = system.json("status", "status");
    assert_eq!(status["roots"][0]["problems"], json!([]), "{status}");
}

#[test]
fn what_was_changed_in_etc_is_told() {
    let system = System::new();
    let [one] = system.roots().try_into().unwrap();
    assert_eq!(system.run("etc diff"), "");
    fs::write(system.etc(&one, "version"), "mine\n").unwrap();
    fs::write(
        system.etc(&one, "fstab"),
        "LABEL=root / ext4 defaults 0 0\n",
    )
    .unwrap();
    let diff = system.json("etc-diff", "etc diff");
    assert_eq!(diff["deployment"], one);
    assert_eq!(
        (&diff["modified"], &diff["added"]),
        (&json!(["version"]), &json!(["fstab"]))
    );
    system.run("etc fix-fstab");
    let fixed = fs::read_to_string(system.etc(&one, "fstab")).unwrap();
    assert!(fixed.contains("ro"), "{fixed}");
    refusal(&mut bootroot(&system.line("etc diff --stateroot other")), 3);

    let switched = system.json(
        "switch-in-place",
        "switch --mutate-in-place oci:/srv/other:latest",
    );
    assert_eq!(
        (&switched["deployment"], &switched["changed"]),
        (&json!(one), &json!(true))
    );
    let status = system.json("status", "status");
    let image = status["roots"][0]["image"]["reference"].as_str().unwrap();
    assert!(image.ends_with("oci:/srv/other:latest"), "{image}");
}

/// A layer that is larger than any disk, as long as it is not looked into.
fn large() -> Layer {
    let tar = TarWriter::new()
        .dir("usr", 0o755)
        .file("usr/large", 0o644, "x");
    let size = (1_u64 << 50).to_string();
    Layer::new(tar.finish()).annotation("io.containers.estargz.uncompressed-size", &size)
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_fetched() {
    let system = System::new();
    system.publish("2", "quiet");
    system.run("upgrade");
    system.publish_with("3", "quiet", Some(large()));
    let before = facts(&system);
    let text = refusal(&mut bootroot(&system.line("upgrade")), 7);
    for expected in ["not enough space", "new on /", "`bootroot undeploy 1`"] {
        assert!(text.contains(expected), "{text}");
    }
    let image = system.image();
    let line = format!("composefs pull {image}");
    let text = refusal(&mut bootroot(&system.line(&line)), 7);
    assert!(text.contains("`bootroot composefs remove`"), "{text}");
    // Directories for what is fetched in part may be there.
    let after = facts(&system);
    let new: Vec<_> = after
        .lines()
        .filter(|line| !before.contains(line))
        .collect();
    assert!(
        new.iter().all(|name| name.contains("partial-blobs")),
        "{new:?}"
    );
    let planned: Value = serde_json::from_str(&answer(&mut bootroot(
        &system.line("upgrade --dry-run --json"),
    )))
    .unwrap();
    let root = space(&planned["plan"], "/");
    assert!(
        root["at_least"].as_u64() > root["available"].as_u64(),
        "{root}"
    );
}

#[test]
fn a_reset_goes_back_to_how_the_image_came() {
    let system = System::new();
    let [one] = system.roots().try_into().unwrap();
    fs::write(system.etc(&one, "mine"), "mine").unwrap();
    let fstab = "LABEL=boot /boot ext4 defaults 0 2\nLABEL=x /srv ext4 defaults 0 0\n";
    fs::write(system.etc(&one, "fstab"), fstab).unwrap();
    system.run("kargs --append mine=1");
    let before = facts(&system);
    let planned = system.json("reset", "reset --dry-run");
    assert_eq!(
        (&planned["made"], &planned["change"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(facts(&system), before);
    let done = system.json("reset", "reset");
    for field in ["stateroot", "left", "image", "root", "kernel_arguments"] {
        assert_eq!(done[field], planned[field], "{done}");
    }
    assert_eq!(
        (&done["stateroot"], &done["left"], &done["root"]),
        (&json!("default-1"), &json!("default"), &json!(one))
    );
    assert_eq!(system.run("kargs"), "root=LABEL=root rw quiet\n");
    assert!(!system.etc(&one, "mine").exists());
    assert_eq!(
        fs::read_to_string(system.etc(&one, "fstab")).unwrap(),
        "LABEL=boot /boot ext4 defaults 0 2\n"
    );
    let refused = refusal(&mut bootroot(&system.line("reset --stateroot default")), 5);
    assert!(refused.contains("is there already"), "{refused}");
}

#[test]
fn what_a_reset_has_left_goes_when_it_is_told_to() {
    let system = System::new();
    let kept = system.root.join("state/os/default/var/kept");
    fs::write(&kept, "kept").unwrap();
    let remove = "stateroot remove default";
    let refused = refusal(&mut bootroot(&system.line(remove)), 5);
    assert!(refused.contains("has deployments"), "{refused}");
    system.run("reset");
    assert_eq!(system.json("cleanup", "cleanup")["strays"], json!([]));
    assert!(kept.exists());
    let status = system.json("status", "status");
    assert_eq!(status["stateroots"], json!(["default", "default-1"]));
    let before = facts(&system);
    let planned = system.json("stateroot-remove", &format!("{remove} --dry-run"));
    assert_eq!(
        (&planned["made"], &planned["stateroot"], &planned["change"]),
        (&json!(false), &json!("default"), &json!(null))
    );
    assert!(planned["var_bytes"].as_u64() >= Some(4096), "{planned}");
    assert_eq!(facts(&system), before);

    // A deployment from before the reset still has it.
    system.publish("2", "quiet");
    system.run("upgrade");
    let [two, one] = system.roots().try_into().unwrap();
    let link = |id: &str| system.root.join(&format!("state/deploy/{id}/var"));
    fs::remove_file(link(&one)).unwrap();
    std::os::unix::fs::symlink("../../os/default/var", link(&one)).unwrap();
    refusal(&mut bootroot(&system.line(remove)), 5);
    assert!(kept.exists());
    let with_it = format!("{remove} --with-deployments");
    let planned = system.json("stateroot-remove", &format!("{with_it} --dry-run"));
    let boots = planned["change"]["boots"].as_array().unwrap();
    assert_eq!((boots.len(), &boots[0]["deployment"]), (1, &json!(two)));
    let mut killed = bootroot(&system.line(&with_it));
    let killed = killed.env("BOOTROOT_CRASH_AT", "roots:stateroot-removed");
    assert!(!killed.output().unwrap().status.success());
    assert!(!system.root.join("state/os/default").exists());
    assert_eq!(system.roots(), std::slice::from_ref(&two));
    let refused = refusal(&mut bootroot(&system.line(remove)), 3);
    assert!(refused.contains("there is no stateroot"), "{refused}");
    assert_eq!(
        fs::read_link(link(&two)).unwrap(),
        std::path::Path::new("../../os/default-1/var")
    );

    let last = "stateroot remove default-1 --with-deployments";
    let refused = refusal(&mut bootroot(&system.line(last)), 5);
    assert!(refused.contains("nothing would boot"), "{refused}");
}
