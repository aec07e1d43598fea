//! The verbs on a system that takes itself for the running one: what is staged, held, released and given up.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::booted::Booted;
use support::host::Host;
use support::{assert_valid, said};

struct Machine {
    host: Host,
    booted: Booted,
}

impl Machine {
    fn new() -> Self {
        let host = Host::new();
        // The mounts that would be made read-only are those of this machine.
        let name = host.json("etc-diff", "etc diff")["deployment"].clone();
        let name = name.as_str().unwrap().trim_start_matches("os ").to_owned();
        let deployment = host
            .sysroot
            .join(&format!("ostree/deploy/os/deploy/{name}"));
        let booted = Booted::new(host.sysroot.path(), &deployment);
        Self { host, booted }
    }

    #[track_caller]
    fn json(&self, schema: &str, line: &str) -> Value {
        let value = serde_json::from_str(&self.booted.shell(&format!("bootroot -q {line} --json")));
        let value = value.unwrap();
        assert_valid(schema, &value);
        value
    }

    fn status(&self) -> Value {
        self.json("status", "status")["status"].clone()
    }

    fn reboot_required(&self) -> Option<String> {
        fs::read_to_string(self.booted.run_file("reboot-required")).ok()
    }
}

#[test]
fn an_upgrade_is_staged_and_can_be_given_up() {
    let machine = Machine::new();
    let status = machine.status();
    assert_eq!(
        (&status["staged"], &status["type"]),
        (&Value::Null, &json!("bootcHost"))
    );
    assert_eq!(status["booted"]["image"]["version"], "1");
    machine.host.publish("latest", "2", &[]);
    let done = machine.json("upgrade", "upgrade");
    assert_eq!(
        (&done["staged"], &done["held"]),
        (&json!(true), &json!(false))
    );
    let status = machine.status();
    let digest = status["staged"]["image"]["imageDigest"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(status["staged"]["downloadOnly"], json!(false));
    let said = machine.reboot_required().unwrap();
    assert_eq!(
        said,
        format!("bootroot: Reboot required for image: {digest}")
    );
    let text = machine.booted.shell("bootroot status");
    assert!(
        text.contains("(staged)") && text.contains("(booted)"),
        "{text}"
    );
    assert_eq!(machine.json("upgrade", "upgrade")["deployed"], json!(false));
    let change = machine.json("change", "rollback");
    assert!(change["discarded_stage"].is_string());
    assert_eq!(machine.status()["staged"], Value::Null);
    assert_eq!(machine.reboot_required(), None);
    // The reason of somebody else stays.
    fs::write(
        machine.booted.run_file("reboot-required"),
        "*** System restart required ***\n",
    )
    .unwrap();
    machine.json("upgrade", "upgrade --download-only");
    machine.json("change", "rollback");
    assert!(machine.reboot_required().unwrap().starts_with("***"));
}

#[test]
fn what_is_only_downloaded_waits_for_its_release() {
    let machine = Machine::new();
    machine.host.publish("latest", "2", &[]);
    let held = machine.json("upgrade", "upgrade --download-only");
    assert_eq!(
        (&held["staged"], &held["held"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(machine.status()["staged"]["downloadOnly"], json!(true));
    assert_eq!(machine.reboot_required(), None);
    assert!(
        machine
            .booted
            .shell("bootroot finalize-staged")
            .contains("locked")
    );
    assert_eq!(machine.host.versions(), ["1"]);
    let planned = machine.json("upgrade", "upgrade --from-downloaded --dry-run");
    assert_eq!(planned["deployed"], json!(false));
    assert_eq!(machine.status()["staged"]["downloadOnly"], json!(true));
    // What is newer by now is not asked for.
    machine.host.publish("latest", "3", &[]);
    let released = machine.json("upgrade", "upgrade --from-downloaded");
    assert_eq!(released["deployed"], json!(true));
    assert_eq!(machine.status()["staged"]["downloadOnly"], json!(false));
    assert!(machine.reboot_required().is_some());
    machine.booted.shell("bootroot finalize-staged");
    assert_eq!(machine.host.versions(), ["2", "1"]);
    let status = machine.json("status", "status");
    assert_eq!(status["status"]["rollbackQueued"], json!(true));
    assert_eq!(status["spec"]["bootOrder"], "rollback");
}

#[test]
fn status_needs_no_privileges() {
    let machine = Machine::new();
    // The sysroot is below a directory that is for its owner only.
    testkit::shell(&format!(
        "chmod 755 {}",
        machine.host.sysroot.path().display()
    ));
    let text = machine
        .booted
        .try_shell("setpriv --reuid 65534 --regid 65534 --clear-groups bootroot status --json");
    assert!(text.status.success(), "{}", said(&text));
    let value: Value = serde_json::from_slice(&text.stdout).unwrap();
    assert_valid("status", &value);
    assert_eq!(value["status"]["booted"]["image"]["version"], "1");
    assert_eq!(
        machine
            .booted
            .shell("bootroot status --booted")
            .matches("os ")
            .count(),
        1
    );
}

#[test]
fn the_running_deployment_is_not_undeployed() {
    let machine = Machine::new();
    let refused = machine.booted.try_shell("bootroot undeploy --all");
    assert_eq!(refused.status.code(), Some(5), "{}", said(&refused));
    assert_eq!(machine.host.versions(), ["1"]);
    let same = machine.json("change", "kargs --append x");
    assert_eq!(same["boots"].as_array().unwrap().len(), 2);
    // Other arguments need the kernel to start anew.
    let status = machine.status();
    let systemd = std::path::Path::new("/usr/lib/systemd/system/soft-reboot.target").exists();
    assert_eq!(status["booted"]["softRebootCapable"], json!(systemd));
    assert_eq!(status["rollback"]["softRebootCapable"], json!(false));
}

#[test]
fn usr_becomes_writable_until_the_next_boot() {
    let machine = Machine::new();
    let text = machine
        .booted
        .shell("bootroot usr-overlay; : > /usr/new; echo /usr/*");
    // What the image has in /usr, and what is new there; nothing of this machine's.
    assert_eq!(
        text,
        "/usr is writable until the next boot\n/usr/etc /usr/lib /usr/new\n"
    );
    let value = machine.json("status", "status");
    let overlay = json!({"accessMode": "readWrite", "persistence": "transient"});
    assert_eq!(value["status"]["usrOverlay"], overlay);
    let again = machine.booted.try_shell("bootroot usr-overlay");
    assert_eq!(again.status.code(), Some(5), "{}", said(&again));
}

/// Systems whose `/boot` is a partition may have it mounted there alone, and not below `/sysroot`.
#[test]
fn boot_may_be_mounted_at_boot_alone() {
    let Machine { host, booted } = Machine::new();
    let partition = testkit::disk::scratch_fs(32 * 1024 * 1024);
    let of_sysroot = host.sysroot.join("boot");
    testkit::shell(&format!(
        "cp -a {0}/. {1} && rm -r {0}/*",
        of_sysroot.display(),
        partition.path().display()
    ));
    let machine = Machine {
        booted: booted.with_boot(&partition.path()),
        host,
    };
    assert_eq!(machine.status()["booted"]["image"]["version"], "1");
    machine.host.publish("latest", "2", &[]);
    machine.json("upgrade", "upgrade");
    machine.booted.shell("bootroot finalize-staged");
    let status = machine.status();
    assert_eq!(status["rollbackQueued"], json!(true));
    assert_eq!(status["rollback"]["image"]["version"], "2");
    let args = "bootroot kargs --append more; bootroot kargs; bootroot cleanup";
    assert!(machine.booted.shell(args).contains("more"));
    // The entry of each kernel leads to files on the partition, and nothing was written beside it.
    let entries = fs::read_dir(partition.path().join("loader/entries")).unwrap();
    let linux = |entry: std::io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("linux /"));
        partition.path().join(line.unwrap()).exists()
    };
    let found: Vec<_> = entries.map(linux).collect();
    assert!(
        found.len() >= 2 && found.iter().all(|is_there| *is_there),
        "{found:?}"
    );
    assert_eq!(fs::read_dir(of_sysroot).unwrap().count(), 0);
    // The same deployments, as the real program sees them.
    testkit::shell(&format!(
        "cp -a {}/. {}",
        partition.path().display(),
        machine.host.sysroot.join("boot").display()
    ));
    assert_eq!(machine.host.versions()[0], "2");
}
