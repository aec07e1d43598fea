//! What upgrades tell before they fetch anything, and what they refuse.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::host::{Host, system};
use support::sysroot::ScratchSysroot;
use support::{answer, bootroot, refusal};
use testkit::oci::{Compression, Layer};
use testkit::tar::TarWriter;

/// A layer with dpkg's list of packages.
fn packages(list: &[(&str, &str)]) -> Layer {
    let paragraph = |(name, version): &(&str, &str)| {
        format!("Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n")
    };
    let text: String = list.iter().map(paragraph).collect();
    let tar = TarWriter::new()
        .dir("usr", 0o755)
        .dir("usr/lib", 0o755)
        .dir("usr/lib/sysimage", 0o755)
        .dir("usr/lib/sysimage/dpkg", 0o755)
        .file("usr/lib/sysimage/dpkg/status", 0o644, text);
    Layer::new(tar.finish()).compression(Compression::None)
}

fn space<'a>(plan: &'a Value, place: &str) -> &'a Value {
    let places = plan["space"].as_array().unwrap();
    places.iter().find(|found| found["place"] == place).unwrap()
}

#[test]
fn a_plan_needs_no_layer() {
    let host = Host::new();
    let list = packages(&[("bash", "1"), ("old", "1")]);
    host.publish_image("latest", &system("2", &[]).layer(list));
    host.run("upgrade");
    let list = packages(&[("bash", "2"), ("new", "1")]);
    let blob = list.digest();
    let next = system("3", &["quiet"])
        .label("ostree.linux", "6.1")
        .layer(list);
    host.publish_image("latest", &next);
    let blob = host
        .images()
        .join(format!("blobs/{}", blob.replace(':', "/")));
    let size = fs::metadata(&blob).unwrap().len();
    let kept = fs::read(&blob).unwrap();
    fs::remove_file(&blob).unwrap();

    let planned = host.json("upgrade", "upgrade --dry-run");
    let plan = &planned["plan"];
    assert_eq!(
        (&planned["pull"], &planned["change"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(plan["stored"], json!(false));
    assert_eq!(
        (&plan["current_version"], &plan["version"]),
        (&json!("2"), &json!("3"))
    );
    assert_eq!(
        (&plan["current_kernel"], &plan["kernel"]),
        (&json!("6.1"), &json!("6.1"))
    );
    assert_eq!(plan["layers"]["fetched"], 2);
    assert!(plan["bytes_to_fetch"].as_u64().unwrap() > size);
    assert_eq!(
        (&plan["packages"], &plan["kernel_arguments"]),
        (&Value::Null, &Value::Null)
    );
    // The first layer is packed, and nothing tells how large it is otherwise.
    let root = space(plan, "/");
    assert_eq!(root["estimate"], json!(true));
    assert!(root["needed"].as_u64() >= root["at_least"].as_u64());
    assert!(root["at_least"].as_u64() >= Some(size));
    assert_eq!(
        plan["removed"].as_array().unwrap().len(),
        1,
        "version 1 has to go"
    );
    let text = host.run("upgrade --dry-run");
    for expected in [
        "version:    2 -> 3",
        "kernel:     6.1",
        "/:",
        "to be removed: os ",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(
        !bootroot(&host.line("upgrade"))
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(host.versions(), ["2", "1"]);

    fs::write(&blob, kept).unwrap();
    host.run("upgrade --download-only");
    let exact = host.json("upgrade", "upgrade --dry-run");
    let plan = &exact["plan"];
    assert_eq!(
        (&plan["stored"], &plan["bytes_to_fetch"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(plan["packages"]["changed"], json!(["bash 1 -> 2"]));
    assert_eq!(plan["packages"]["added"], json!(["new 1"]));
    assert_eq!(plan["packages"]["removed"], json!(["old 1"]));
    assert_eq!(plan["kernel_arguments"]["added"], json!(["quiet"]));
    assert_eq!(space(plan, "/")["estimate"], json!(false));
    let done = host.json("upgrade", "upgrade");
    assert_eq!(done["change"]["removed"], exact["change"]["removed"]);
    assert_eq!(done["change"]["boots"], exact["change"]["boots"]);
    assert!(
        done["collected_bytes"].as_u64().unwrap() > 0,
        "version 1 is gone"
    );
    assert_eq!(host.versions(), ["3", "2"]);
    host.sysroot.ostree("fsck --repo=ostree/repo --quiet");
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_fetched() {
    let disk = testkit::disk::scratch_fs(32 << 20);
    let host = Host::new();
    let sysroot = disk.path();
    let line = |line: &str| format!("-q --sysroot {} {line}", sysroot.display());
    answer(&mut bootroot(&line(&format!(
        "deploy {} --stateroot os",
        host.image("latest")
    ))));
    let noise: Vec<u8> = (0..8_u32 << 20).map(|at| at.to_le_bytes()[0]).collect();
    let tar = TarWriter::new()
        .dir("usr", 0o755)
        .file("usr/large", 0o644, noise);
    // It is small as long as it is packed.
    let large = Layer::new(tar.finish()).annotation(
        "io.containers.estargz.uncompressed-size",
        &(8_u64 << 20).to_string(),
    );
    assert!(large.digest().starts_with("sha256:"));
    host.publish_image("latest", &system("2", &[]).layer(large));
    disk.fill_leaving(4 << 20);
    let text = refusal(&mut bootroot(&line("upgrade")), 7);
    for expected in ["not enough space", "new on /", "`bootroot image prune`"] {
        assert!(text.contains(expected), "{text}");
    }
    let planned: Value =
        serde_json::from_str(&answer(&mut bootroot(&line("upgrade --dry-run --json")))).unwrap();
    let root = space(&planned["plan"], "/");
    assert!(
        root["at_least"].as_u64() > root["available"].as_u64(),
        "{root}"
    );
    disk.empty();
    answer(&mut bootroot(&line("upgrade")));
    disk.fill_leaving(4 << 20);
    host.publish_image("latest", &system("3", &[]).layer(more(8 << 20)));
    let text = refusal(&mut bootroot(&line("upgrade")), 7);
    assert!(text.contains("`bootroot undeploy 1`"), "{text}");
    disk.empty();
    drop(Unlocked(sysroot));
}

/// Another layer of that size.
fn more(size: u64) -> Layer {
    let tar = TarWriter::new().dir("usr", 0o755).file(
        "usr/more",
        0o644,
        vec![7; usize::try_from(size).unwrap()],
    );
    Layer::new(tar.finish())
        .annotation("io.containers.estargz.uncompressed-size", &size.to_string())
}

/// Deployment directories are immutable, and the disk is removed with all that is on it.
struct Unlocked(std::path::PathBuf);

impl Drop for Unlocked {
    fn drop(&mut self) {
        let path = self.0.join("ostree/deploy");
        testkit::shell(&format!("chattr -R -f -i {} || true", path.display()));
    }
}

#[test]
fn nothing_is_planned_where_nothing_is_new() {
    let host = Host::new();
    let planned = host.json("upgrade", "upgrade --dry-run");
    assert_eq!(
        (&planned["plan"], &planned["change"]),
        (&Value::Null, &Value::Null)
    );
    assert!(host.run("upgrade --dry-run").contains("nothing to deploy"));
    let empty = ScratchSysroot::by_ostree();
    let line = format!("upgrade --dry-run --sysroot {}", empty.path().display());
    refusal(&mut bootroot(&line), 3);
}
