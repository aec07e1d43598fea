//! Images of root directories, and who else can read them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::bench::Bench;
use crate::support::{answer, bootroot, refusal};

#[test]
fn a_directory_becomes_an_image_that_others_read() {
    let bench = Bench::new();
    let (tree, image) = (bench.path("tree"), bench.image("image"));
    fs::create_dir(tree.join("etc")).unwrap();
    fs::remove_dir_all(tree.join("usr/etc")).unwrap();
    fs::write(tree.join("etc/motd"), "hello").unwrap();
    fs::set_permissions(tree.join("usr/bin/sh"), fs::Permissions::from_mode(0o4755)).unwrap();
    let line = format!(
        "container encapsulate-directory --chunked --image-version 3 {} {image}",
        tree.display()
    );
    let written = answer(bootroot(&line).env("SOURCE_DATE_EPOCH", "1700000000"));
    let skopeo = |format: &str| {
        let mut skopeo = testkit::command("skopeo");
        testkit::stdout(skopeo.args(["inspect", "--format", format, &image]))
    };
    assert_eq!(skopeo("{{.Digest}}").trim(), written.trim());
    assert_eq!(
        skopeo("{{.Created}}").trim(),
        "2023-11-14 22:13:20 +0000 UTC"
    );
    // An engine sees the files where a running system has them.
    let bundle = bench.path("bundle");
    testkit::run(testkit::command("umoci").args(["unpack", "--image"]).args([
        format!("{}:t", bench.path("image").display()),
        bundle.display().to_string(),
    ]));
    let unpacked = bundle.join("rootfs");
    assert_eq!(
        fs::read_to_string(unpacked.join("etc/motd")).unwrap(),
        "hello"
    );
    let shell = fs::metadata(unpacked.join("usr/bin/sh")).unwrap();
    assert_eq!(shell.permissions().mode() & 0o7777, 0o4755);
    // Another program copies it on the way to a repository.
    let copy = bench.image("copy");
    let mut skopeo = testkit::command("skopeo");
    testkit::run(skopeo.args(["copy", "--quiet", "--insecure-policy", &image, &copy]));
    answer(&mut bench.run(&format!("image pull {copy}")));
    let read = bench.json("image-integrity", &format!("image check {copy}"));
    assert_eq!(read["whole"], true);
}

#[test]
fn what_is_no_directory_is_refused() {
    let bench = Bench::new();
    let image = bench.image("image");
    let line = format!(
        "container encapsulate-directory {}/none {image}",
        bench.path("").display()
    );
    refusal(&mut bootroot(&line), 3);
    let line = format!("container encapsulate-directory --change-frequencies x . {image}");
    refusal(&mut bootroot(&line), 2);
    assert!(!bench.path("image").exists());
}
