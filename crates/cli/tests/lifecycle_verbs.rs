//! Verbs that change what a host follows, and what it is.

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use serde_json::{Value, json};
use support::host::{Host, system};
use support::sysroot::ScratchSysroot;
use support::{answer, assert_valid, bootroot, refusal, said};

fn status(host: &Host) -> Value {
    host.json("status", "status")
}

/// The directory of the deployment that boots first.
fn first(host: &Host) -> std::path::PathBuf {
    let status = status(host);
    let deployment = &status["deployments"][0];
    let (commit, serial) = (
        deployment["commit"].as_str().unwrap(),
        &deployment["serial"],
    );
    let stateroot = deployment["stateroot"].as_str().unwrap();
    host.sysroot.join(&format!(
        "ostree/deploy/{stateroot}/deploy/{commit}.{serial}"
    ))
}

/// Runs a verb with a document on standard input.
fn edit(host: &Host, document: &str, line: &str) -> std::process::Output {
    use std::io::Write as _;
    let mut command = bootroot(&host.line(line));
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(document.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn status_has_the_fields_of_bootc_in_every_format() {
    let host = Host::new();
    host.publish_image("latest", &system("2", &[]));
    let check = bootroot(&host.line("upgrade --check")).output().unwrap();
    assert_eq!(check.status.code(), Some(77));
    let status = status(&host);
    assert_eq!(status["apiVersion"], "org.containers.bootc/v1");
    assert_eq!(status["spec"]["image"]["transport"], "oci");
    let name = format!("{}:latest", host.images().display());
    assert_eq!(status["spec"]["image"]["image"], json!(name));
    // Nothing runs here.
    assert_eq!(status["status"]["booted"], Value::Null);
    let entry = &status["status"]["otherDeployments"][0];
    assert_eq!(
        (
            &entry["image"]["version"],
            &entry["cachedUpdate"]["version"]
        ),
        (&json!("1"), &json!("2"))
    );
    assert_eq!(
        entry["image"]["architecture"],
        status["deployments"][0]["image"]["architecture"]
    );
    assert_eq!(
        entry["ostree"]["checksum"],
        status["deployments"][0]["commit"]
    );
    assert_eq!(entry["store"], "ostreeContainer");
    let yaml = host.run("status --format yaml");
    assert!(yaml.contains("bootOrder: default\n"), "{yaml}");
    assert!(yaml.contains("  otherDeployments:\n"), "{yaml}");
    assert_eq!(host.run("status --format json"), host.run("status --json"));
    assert_eq!(host.run("status --format human"), host.run("status"));
    assert!(
        host.run("status -v").contains("signature:  "),
        "{}",
        host.run("status -v")
    );
    let booted = host.json("status", "status --booted");
    assert_eq!(booted["deployments"], json!([]));
    assert_eq!(host.run("status --booted"), "No deployments.\n");
    refusal(&mut bootroot(&host.line("status --format-version 2")), 2);
}

#[test]
fn an_edit_changes_the_image_or_the_order() {
    let host = Host::new();
    host.publish("next", "9", &[]);
    let same = host.run("status --format yaml");
    let output = edit(&host, &same, "edit");
    assert_eq!(output.stdout, b"nothing to change\n", "{}", said(&output));
    let nothing = edit(&host, &same, "edit --json");
    assert_valid("upgrade", &serde_json::from_slice(&nothing.stdout).unwrap());
    let other = same.replace(":latest", ":next");
    let planned = edit(&host, &other, "edit -f - --dry-run --json");
    let planned: Value = serde_json::from_slice(&planned.stdout).unwrap();
    assert_valid("upgrade", &planned);
    assert_eq!(host.versions(), ["1"]);
    let output = edit(&host, &other, "edit");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(host.versions(), ["9", "1"]);
    // JSON from a file; what is beside the spec does not count.
    let file = host.images().join("host.json");
    let image = status(&host)["spec"]["image"].clone();
    let spec = json!({"spec": {"image": image, "bootOrder": "rollback"}});
    fs::write(&file, spec.to_string()).unwrap();
    host.run(&format!("edit -f {}", file.display()));
    assert_eq!(host.versions(), ["1", "9"]);
    for bad in [
        "",
        "spec: [",
        "kind: BootcHost\n",
        "spec:\n  image: null\n",
        "spec:\n  image: {image: x, transport: tape}\n",
        "spec:\n  image: {image: x, transport: oci}\n  bootOrder: rollback\n",
    ] {
        let output = edit(&host, bad, "edit");
        assert_eq!(output.status.code(), Some(5), "{bad}: {}", said(&output));
    }
    assert_eq!(host.versions(), ["1", "9"]);
}

#[test]
fn an_editor_changes_the_document() {
    let host = Host::new();
    host.publish("next", "9", &[]);
    // `script` gives the command a terminal.
    let script = format!(
        "script -qec '{} {}' /dev/null",
        env!("CARGO_BIN_EXE_bootroot"),
        host.line("edit")
    );
    let run = |editor: &str| {
        let mut command = testkit::command("sh");
        command
            .args(["-c", &script])
            .env("EDITOR", editor)
            .env_remove("VISUAL");
        command.stdin(Stdio::null()).output().unwrap()
    };
    let failed = run("false");
    assert!(!failed.status.success());
    assert_eq!(host.versions(), ["1"]);
    let output = run("sed -i 0,/:latest/s//:next/");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(host.versions(), ["9", "1"]);
}

#[test]
fn a_required_signature_is_kept_until_it_is_let_go() {
    let host = Host::new();
    host.publish("next", "9", &[]);
    let next = host.image("next");
    let switched = host.json(
        "switch-in-place",
        &format!("switch --mutate-in-place --enforce-container-sigpolicy {next}"),
    );
    assert_eq!(switched["changed"], json!(true));
    assert_eq!(
        switched["image"],
        json!(format!("ostree-image-signed:{next}"))
    );
    assert_eq!(
        status(&host)["spec"]["image"]["signature"],
        "containerPolicy"
    );
    // No policy of this machine asks for one.
    let policy = host.images().join("policy.json");
    fs::write(
        &policy,
        r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
    )
    .unwrap();
    let policy = format!("--signature-policy {}", policy.display());
    host.refused(&format!("switch {next} {policy}"), 10);
    assert_eq!(host.versions(), ["1"]);
    host.run(&format!(
        "switch {next} {policy} --drop-signature-requirement"
    ));
    assert_eq!(host.versions(), ["9", "1"]);
    assert_eq!(status(&host)["spec"]["image"].get("signature"), None);
}

#[test]
fn in_place_only_what_is_followed_changes() {
    let host = Host::new();
    let before = host.sysroot.facts();
    let line = format!(
        "switch --mutate-in-place --transport oci {}:next",
        host.images().display()
    );
    let planned = host.json("switch-in-place", &format!("{line} --dry-run"));
    assert_eq!(
        (&planned["made"], &planned["changed"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(host.sysroot.facts(), before);
    host.run(&line);
    let after = host.sysroot.facts();
    let changed: Vec<_> = after.iter().filter(|fact| !before.contains(fact)).collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(
        changed[0].contains("container-image-reference=ostree-unverified-image:oci:"),
        "{changed:?}"
    );
    assert_eq!(host.json("switch-in-place", &line)["changed"], json!(false));
    // Without a transport it is in a registry, as for bootc.
    let plain = host.json(
        "switch-in-place",
        "switch --mutate-in-place localhost:5000/os",
    );
    let followed = "ostree-unverified-registry:localhost:5000/os";
    assert_eq!(plain["image"], json!(followed));
    host.refused("switch --mutate-in-place /a/directory", 5);
}

#[test]
fn a_ref_is_forgotten_by_a_switch_unless_it_is_retained() {
    for retain in [false, true] {
        let host = Host::new();
        let sysroot = ScratchSysroot::by_ostree();
        sysroot.ostree("admin deploy --sysroot=. --os=testos --karg=quiet os/x");
        let option = if retain { "--retain" } else { "" };
        let line = format!(
            "-q --sysroot {} switch {} {option}",
            sysroot.path().display(),
            host.image("latest")
        );
        answer(&mut bootroot(&line));
        let refs = sysroot.ostree("refs --repo=ostree/repo");
        assert_eq!(refs.lines().any(|name| name == "os/x"), retain, "{refs}");
        let theirs = sysroot.ostree("admin status --sysroot=.");
        assert_eq!(theirs.matches("testos ").count(), 2, "{theirs}");
    }
}

#[test]
fn another_tag_and_what_was_fetched_before() {
    let host = Host::new();
    host.publish("next", "2", &[]);
    host.run("upgrade --tag next");
    assert_eq!(host.versions(), ["2", "1"]);
    host.refused("upgrade --tag a/b", 5);
    host.publish("next", "3", &[]);
    host.run("upgrade --download-only");
    host.publish("next", "4", &[]);
    let done = host.json("upgrade", "upgrade --from-downloaded");
    assert_eq!(done["plan"]["version"], "3", "the registry was not asked");
    assert_eq!(host.versions(), ["3", "2"]);
    assert_eq!(
        host.json("upgrade", "upgrade --from-downloaded")["deployed"],
        json!(false)
    );
}

#[test]
fn images_bring_their_arguments_along_from_the_first_deployment_on() {
    let host = Host::new();
    assert_eq!(host.args(), "rw quiet console=tty0");
    host.publish("other", "2", &["console=ttyS0"]);
    host.run(&format!("deploy {} --stateroot os", host.image("other")));
    assert_eq!(host.args(), "rw console=ttyS0");
    host.run(&format!(
        "deploy {} --stateroot os --karg ro",
        host.image("other")
    ));
    assert_eq!(host.args(), "ro console=ttyS0");
    let config = host
        .sysroot
        .ostree("config get sysroot.readonly --repo=ostree/repo");
    assert_eq!(config, "true\n");
}

#[test]
fn a_reset_takes_nothing_along() {
    let host = Host::new();
    let etc = first(&host).join("etc");
    fs::write(etc.join("mine"), "mine").unwrap();
    fs::write(
        etc.join("fstab"),
        "UUID=1 / xfs rw 0 0\nUUID=2 /boot ext4 defaults 0 0\n",
    )
    .unwrap();
    host.run("kargs --in-place --append mine=1 --append root=LABEL=root");
    let planned = host.json("reset", "reset --dry-run --karg extra");
    assert_eq!(
        (&planned["made"], &planned["stateroot"]),
        (&json!(false), &json!("os-1"))
    );
    assert_eq!(host.versions(), ["1"]);
    let done = host.json("reset", "reset --karg extra");
    let arguments = json!(["rw", "root=LABEL=root", "quiet", "console=tty0", "extra"]);
    assert_eq!(done["kernel_arguments"], arguments);
    assert_eq!(planned["kernel_arguments"], arguments);
    assert_eq!(
        (&done["left"], &done["commit"]),
        (&json!("os"), &planned["commit"])
    );
    let new = first(&host);
    assert!(new.to_str().unwrap().contains("/os-1/"), "{new:?}");
    assert!(!new.join("etc/mine").exists());
    assert_eq!(
        fs::read_to_string(new.join("etc/fstab")).unwrap(),
        "UUID=2 /boot ext4 defaults 0 0\n"
    );
    assert!(
        host.sysroot
            .ostree("admin status --sysroot=.")
            .contains("os-1 ")
    );
    // The old one can still be booted, and a name is not taken twice.
    host.refused("reset --stateroot os", 5);
    host.publish("next", "2", &[]);
    let image = host.image("next");
    let done = host.json(
        "reset",
        &format!("reset {image} --stateroot fresh --no-root-kargs"),
    );
    assert_eq!(done["kernel_arguments"], json!([]));
    assert_eq!(status(&host)["deployments"].as_array().unwrap().len(), 3);
    what_is_left_behind_can_be_removed(&host);
}

/// Of the stateroots `os`, `os-1` and `fresh`, each with a deployment, those that came first.
fn what_is_left_behind_can_be_removed(host: &Host) {
    let stateroots = || status(host)["stateroots"].clone();
    host.refused("stateroot remove none", 3);
    let said = host.refused("stateroot remove os", 5);
    assert!(said.contains("--with-deployments"), "{said}");
    fs::write(host.sysroot.join("ostree/deploy/os/var/data"), [1; 100_000]).unwrap();
    let line = "stateroot remove os --with-deployments";
    let planned = host.json("stateroot-remove", &format!("{line} --dry-run"));
    assert_eq!(stateroots(), json!(["fresh", "os", "os-1"]));
    let done = host.json("stateroot-remove", line);
    assert_eq!(
        (&planned["made"], &done["made"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(planned["change"]["removed"], done["change"]["removed"]);
    assert_eq!(done["change"]["removed"].as_array().unwrap().len(), 1);
    assert!(done["var_bytes"].as_u64().unwrap() >= 100_000, "{done}");
    assert_eq!(stateroots(), json!(["fresh", "os-1"]));
    // One without deployments needs no word more.
    host.run("undeploy 1");
    assert_eq!(stateroots(), json!(["fresh", "os-1"]));
    host.run("stateroot remove os-1");
    assert_eq!(stateroots(), json!(["fresh"]));
    let said = host.refused("stateroot remove fresh --with-deployments", 5);
    assert!(said.contains("nothing would boot"), "{said}");
    host.sysroot.ostree("fsck --repo=ostree/repo --quiet");
}

#[test]
fn everything_can_be_undeployed() {
    let host = Host::new();
    host.publish("latest", "2", &[]);
    host.run("upgrade");
    let planned = host.json("change", "undeploy --all --dry-run");
    assert_eq!(planned["removed"].as_array().unwrap().len(), 2);
    assert_eq!(host.versions(), ["2", "1"]);
    host.run("undeploy --all");
    assert_eq!(status(&host)["deployments"], json!([]));
    refusal(&mut bootroot(&host.line("undeploy")), 2);
    assert!(host.run("image list").contains(":latest"));
    let image = host.image("latest");
    host.run(&format!("deploy {image} --stateroot os"));
    assert_eq!(host.versions(), ["2"]);
}

#[test]
fn the_root_is_made_read_only_in_fstab() {
    let host = Host::new();
    let fstab = first(&host).join("etc/fstab");
    assert_eq!(
        host.json("etc-fix-fstab", "etc fix-fstab")["changed"],
        json!(false)
    );
    fs::write(&fstab, "UUID=1 / xfs defaults 0 0\n").unwrap();
    assert_eq!(
        host.json("etc-fix-fstab", "etc fix-fstab --dry-run")["changed"],
        json!(true)
    );
    assert_eq!(
        fs::read_to_string(&fstab).unwrap(),
        "UUID=1 / xfs defaults 0 0\n"
    );
    host.run("etc fix-fstab");
    assert!(
        fs::read_to_string(&fstab)
            .unwrap()
            .ends_with("\nUUID=1 / xfs defaults,ro 0 0\n")
    );
    assert_eq!(
        host.json("etc-fix-fstab", "etc fix-fstab")["changed"],
        json!(false)
    );
}

#[test]
fn the_base_of_a_derived_commit_is_kept() {
    let host = Host::new();
    let base = status(&host)["deployments"][0]["commit"]
        .as_str()
        .unwrap()
        .to_owned();
    let commit = format!(
        "commit --repo=ostree/repo -b derived --tree=ref={base} --add-metadata-string=bootc.derived={base}"
    );
    let derived = host.sysroot.ostree(&commit).trim().to_owned();
    host.sysroot
        .ostree("admin deploy --sysroot=. --os=os derived");
    host.run("undeploy 1");
    host.sysroot
        .ostree("refs --repo=ostree/repo --delete derived");
    let shown = status(&host);
    assert_eq!(
        (
            &shown["deployments"][0]["commit"],
            &shown["deployments"][0]["base_commit"]
        ),
        (&json!(derived), &json!(base))
    );
    host.run("cleanup");
    let refs = host
        .sysroot
        .ostree("refs --repo=ostree/repo --list ostree/container/baseimage");
    assert_eq!(refs, "ostree/container/baseimage/bootc/0\n");
    host.run("image prune");
    host.sysroot
        .ostree(&format!("fsck --repo=ostree/repo --quiet {base}"));
    host.publish("latest", "2", &[]);
    host.run(&format!("deploy {} --stateroot os", host.image("latest")));
    host.run("undeploy 1");
    host.run("cleanup");
    let refs = host
        .sysroot
        .ostree("refs --repo=ostree/repo --list ostree/container/baseimage");
    assert_eq!(refs, "");
}

#[test]
fn the_journal_is_told_what_was_done() {
    let host = Host::new();
    let socket = host.images().join("journal");
    let journal = UnixDatagram::bind(&socket).unwrap();
    journal.set_nonblocking(true).unwrap();
    let run = |line: &str| {
        answer(bootroot(&host.line(line)).env("BOOTROOT_JOURNAL", &socket));
        let mut buffer = [0; 4096];
        let length = journal.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    };
    host.publish("latest", "2", &[]);
    assert_eq!(run("upgrade --dry-run"), None);
    let told = run("upgrade").unwrap();
    let documented = fs::read_to_string(testkit::workspace_root().join("docs/journal.md")).unwrap();
    let id = |told: &str| {
        let id = told
            .lines()
            .find_map(|line| line.strip_prefix("MESSAGE_ID="));
        id.unwrap().to_owned()
    };
    let upgraded = id(&told);
    assert!(
        documented.contains(&format!("`{upgraded}` | `upgrade` has")),
        "{told}"
    );
    assert!(told.contains("SYSLOG_IDENTIFIER=bootroot\n"), "{told}");
    let digest = status(&host)["deployments"][0]["image"]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        told.contains(&format!("BOOTROOT_DIGEST={digest}\n")),
        "{told}"
    );
    assert_eq!(run("upgrade"), None, "nothing was done");
    let rolled_back = id(&run("rollback").unwrap());
    assert!(documented.contains(&format!("`{rolled_back}` | `rollback`")));
    assert_ne!(upgraded, rolled_back);
    for line in [
        "kargs --append x",
        "cleanup",
        "switch --mutate-in-place oci:/x",
    ] {
        let id = id(&run(line).unwrap());
        assert!(documented.contains(&id), "{line}");
    }
}
