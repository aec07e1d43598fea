//! `bootroot deploy`, from an image to a system that the real `ostree admin` takes for its own.

mod support;

use std::fs;

use serde_json::Value;
use support::sysroot::ScratchSysroot;
use support::{answer, assert_valid, bootroot, refusal, said};
use tempfile::TempDir;
use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::TarWriter;

/// Images of a small system in two versions, and one that cannot boot.
struct Images {
    _dir: TempDir,
    layout: LayoutBuilder,
}

impl Images {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = LayoutBuilder::new(dir.path());
        layout.tag("v1", &system("1"));
        layout.tag("v2", &system("2"));
        let tar = TarWriter::new().dir("usr", 0o755).file("usr/x", 0o644, "x");
        layout.tag(
            "kernelless",
            &Image::bootable().layer(Layer::new(tar.finish())),
        );
        Self { _dir: dir, layout }
    }

    fn reference(&self, tag: &str) -> String {
        self.layout.reference(tag)
    }
}

fn system(version: &str) -> Image {
    let base = TarWriter::new()
        .dir("etc", 0o755)
        .file("etc/hostname", 0o644, "image\n")
        .dir("usr", 0o755)
        .dir("usr/lib", 0o755)
        .file(
            "usr/lib/os-release",
            0o644,
            format!("NAME=Small\nPRETTY_NAME=\"Small {version}\"\n"),
        )
        .dir("usr/lib/modules", 0o755)
        .dir("usr/lib/modules/6.1", 0o755)
        .file("usr/lib/modules/6.1/vmlinuz", 0o644, "a kernel")
        .file("usr/lib/modules/6.1/initramfs.img", 0o644, "an initramfs")
        .dir("var", 0o755)
        .dir("sysroot", 0o755);
    let image = Image::bootable().label("org.opencontainers.image.version", version);
    image.layer(Layer::new(base.finish()))
}

/// Runs a verb on a sysroot and gives its JSON answer, which must follow its schema.
#[track_caller]
fn json(sysroot: &ScratchSysroot, schema: &str, line: &str) -> Value {
    let line = format!("--sysroot {} {line} --json", sysroot.path().display());
    let value = serde_json::from_str(&answer(&mut bootroot(&line))).unwrap();
    assert_valid(schema, &value);
    value
}

/// The deployments that the real program sees, as `COMMIT.SERIAL`.
fn seen_by_ostree(sysroot: &ScratchSysroot) -> Vec<String> {
    let status = sysroot.ostree("admin status --sysroot=.");
    status
        .lines()
        .filter_map(|line| line.trim().strip_prefix("small "))
        .map(str::to_owned)
        .collect()
}

fn name(deployed: &Value) -> String {
    format!(
        "{}.{}",
        deployed["commit"].as_str().unwrap(),
        deployed["serial"]
    )
}

#[test]
fn an_image_becomes_a_system_in_an_empty_directory() {
    let (images, sysroot) = (Images::new(), ScratchSysroot::empty());
    let root = sysroot.join("new");
    let line = format!(
        "deploy {} --stateroot small --karg root=LABEL=root --karg console=tty0 --karg console=ttyS0",
        images.reference("v1")
    );
    let text = answer(&mut bootroot(&format!(
        "--sysroot {} {line}",
        root.display()
    )));
    assert!(
        text.contains("deployed\n") && text.contains("kernel:     6.1\n"),
        "{text}"
    );
    let entry = fs::read_dir(root.join("boot/loader/entries"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let entry = fs::read_to_string(entry).unwrap();
    assert!(
        entry.contains("\noptions root=LABEL=root console=tty0 console=ttyS0 ostree=/ostree/boot."),
        "{entry}"
    );
    let status = support::ostree("admin status --sysroot=new")
        .current_dir(sysroot.path())
        .output()
        .unwrap();
    assert!(
        String::from_utf8(status.stdout)
            .unwrap()
            .contains("  small ")
    );
    sysroot.ostree("fsck -q --repo=new/ostree/repo");
}

#[test]
fn a_second_image_is_deployed_in_front_and_keeps_etc_and_arguments() {
    let (images, sysroot) = (Images::new(), ScratchSysroot::empty());
    let tracked = "ostree-unverified-registry:example.org/small:latest";
    let deploy = |tag: &str, more: &str| {
        let line = format!(
            "deploy {} --target-imgref {tracked} --stateroot small {more}",
            images.reference(tag)
        );
        json(&sysroot, "deploy", &line)
    };
    let first = deploy("v1", "--karg quiet --karg ro");
    assert_eq!(
        (&first["stateroot_created"], &first["image"]),
        (&true.into(), &tracked.into())
    );
    assert_eq!(
        first["pull"]["stored_as"],
        "docker://example.org/small:latest"
    );
    let etc = sysroot
        .join(first["path"].as_str().unwrap())
        .join("etc/hostname");
    fs::write(etc, "mine\n").unwrap();

    let second = deploy("v2", "");
    assert_eq!(
        (&second["stateroot_created"], &second["version"]),
        (&false.into(), &"2".into())
    );
    assert_eq!(
        second["kernel_arguments"],
        serde_json::json!(["quiet", "ro"])
    );
    let etc = sysroot
        .join(second["path"].as_str().unwrap())
        .join("etc/hostname");
    assert_eq!(fs::read_to_string(etc).unwrap(), "mine\n");

    let status = json(&sysroot, "status", "status");
    let versions: Vec<&str> = status["deployments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["version"].as_str().unwrap())
        .collect();
    assert_eq!(versions, ["2", "1"]);
    let image = &status["deployments"][0]["image"];
    assert_eq!(
        (&image["reference"], &image["digest"]),
        (&tracked.into(), &second["pull"]["digest"])
    );
    assert_eq!(status["deployments"][1]["image"]["update"], Value::Null);
    assert_eq!(seen_by_ostree(&sysroot), [name(&second), name(&first)]);
}

#[test]
fn both_programs_work_on_the_same_system() {
    let (images, sysroot) = (Images::new(), ScratchSysroot::by_ostree());
    sysroot.ostree("admin deploy --sysroot=. --os=testos --karg=quiet os/x");
    let ours = json(
        &sysroot,
        "deploy",
        &format!("deploy {} --stateroot small", images.reference("v1")),
    );
    assert_eq!(seen_by_ostree(&sysroot), [name(&ours)]);
    sysroot.ostree("admin deploy --sysroot=. --os=testos os/x");
    let status = json(&sysroot, "status", "status");
    let names: Vec<&str> = status["deployments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["stateroot"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 3, "{status:#}");
    assert!(names.contains(&"small"));
    let index = names.iter().position(|name| *name == "small").unwrap();
    sysroot.ostree(&format!("admin undeploy --sysroot=. {index}"));
    assert_eq!(
        json(&sysroot, "status", "status")["deployments"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let again = json(
        &sysroot,
        "deploy",
        &format!("deploy {} --stateroot small", images.reference("v1")),
    );
    assert_eq!(
        (&again["pull"]["changed"], &again["stateroot_created"]),
        (&false.into(), &false.into())
    );
}

#[test]
fn what_cannot_boot_is_refused_and_changes_nothing() {
    let (images, sysroot) = (Images::new(), ScratchSysroot::empty());
    json(
        &sysroot,
        "deploy",
        &format!("deploy {} --stateroot small", images.reference("v1")),
    );
    let before = seen_by_ostree(&sysroot);
    let line = |rest: &str| format!("--sysroot {} deploy {rest}", sysroot.path().display());
    let output = bootroot(&line(&format!(
        "{} --stateroot small",
        images.reference("kernelless")
    )))
    .output()
    .unwrap();
    let text = said(&output);
    assert!(
        text.contains("error: cannot deploy") && text.contains("  caused by: "),
        "{text}"
    );
    assert!(output.status.code().is_some_and(|code| code > 2), "{text}");
    refusal(
        &mut bootroot(&line(&format!(
            "{} --stateroot small",
            images.reference("none")
        ))),
        3,
    );
    refusal(
        &mut bootroot(&line(&format!(
            "{} --stateroot a/b",
            images.reference("v1")
        ))),
        2,
    );
    assert_eq!(seen_by_ostree(&sysroot), before);
    sysroot.ostree("fsck -q --repo=ostree/repo");
}

#[test]
fn a_repository_alone_cannot_be_deployed_to() {
    let (images, sysroot) = (Images::new(), ScratchSysroot::by_ostree());
    let repo = sysroot.join("ostree/repo");
    let line = format!(
        "--repo {} deploy {} --stateroot small",
        repo.display(),
        images.reference("v1")
    );
    assert!(refusal(&mut bootroot(&line), 5).contains("needs a system"));
}

#[test]
fn a_deploy_that_was_killed_is_completed_by_the_same_command() {
    let (images, sysroot) = (Images::new(), ScratchSysroot::empty());
    let first = json(
        &sysroot,
        "deploy",
        &format!(
            "deploy {} --stateroot small --karg quiet",
            images.reference("v1")
        ),
    );
    let line = format!(
        "--sysroot {} deploy {} --stateroot small",
        sysroot.path().display(),
        images.reference("v2")
    );
    for point in [
        "sysroot:checked-out",
        "sysroot:etc-made",
        "sysroot:deployment-made",
    ] {
        let output = bootroot(&line)
            .env("BOOTROOT_CRASH_AT", point)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), None, "{point} was not passed");
        let status = json(&sysroot, "status", "status");
        assert_eq!(status["deployments"][0]["version"], "1");
        assert_eq!(seen_by_ostree(&sysroot), [name(&first)]);
    }
    answer(&mut bootroot(&line));
    let status = json(&sysroot, "status", "status");
    assert_eq!(
        (
            &status["deployments"][0]["version"],
            &status["deployments"][0]["serial"]
        ),
        (&"2".into(), &0.into())
    );
    sysroot.ostree("fsck -q --repo=ostree/repo");
}
