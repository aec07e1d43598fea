//! Stored images that are written again, with layers above the commit that they wrap.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};

use image::{ExportToOCIOpts, ImportOptions, WrittenImage};
use oci::layout::OciDirWriter;
use ostree_format::RepoMode;
use progress::{Interrupt, Silent};
use testkit::oci::{Image, Layer};
use testkit::tar::{Entry, TarWriter};

use crate::golden::add_layer;
use crate::support::{Scene, assert_same_lines};

const LABEL: &[u8] = b"system_u:object_r:own_t:s0\0";

fn upper() -> Vec<u8> {
    let labelled = Entry::file("usr/bin/labelled", "labelled").xattr("security.selinux", LABEL);
    let with_more = Entry::file("usr/bin/more", "more")
        .mode(0o4711)
        .owner(7, 8)
        .xattr("user.more", b"\0=\n")
        .xattr("security.selinux", LABEL);
    TarWriter::new()
        .entry(&Entry::dir("usr").xattr("security.selinux", LABEL))
        .dir("usr/bin", 0o755)
        .entry(&labelled)
        .entry(&with_more)
        .hardlink("usr/bin/again", "usr/bin/labelled")
        .hardlink("usr/bin/below", "usr/lib/modules/6.1.0-golden/vmlinuz")
        .symlink("usr/bin/link", "more")
        .file("usr/lib/modules/.wh.6.1.0-golden", 0o644, "")
        .finish()
}

/// Pull what is at `reference`, export it as `name`; the merged tree and what was written.
fn pull_and_export(scene: &Scene, reference: &str, name: &str) -> (String, WrittenImage) {
    let pulled = scene
        .pull_reference(reference, &ImportOptions::default())
        .unwrap();
    let base: OwnedFd = File::open(scene.dir.path()).unwrap().into();
    let sink = Box::new(OciDirWriter::create(base.as_fd(), name).unwrap());
    let written = image::export(
        &scene.repo,
        &reference.parse().unwrap(),
        sink,
        Some("t"),
        &ExportToOCIOpts::default(),
        &Silent,
        &Interrupt::default(),
    );
    let merged = scene.listing(&pulled.state.merge_commit.to_string());
    scene.assert_clean();
    (merged, written.unwrap())
}

fn exported(scene: &Scene, name: &str) -> String {
    format!("oci:{}:t", scene.dir.path().join(name).display())
}

#[test]
fn layers_above_a_commit_are_kept_with_their_labels() {
    let first = Scene::new();
    let dir = first.dir.path().join("derived");
    add_layer(&testkit::golden("oci").join("chunked-v1"), &dir, &upper());
    let (before, written) = pull_and_export(&first, &format!("oci:{}", dir.display()), "out");
    assert_eq!(written.layers.len(), 7);
    assert!(before.contains("own_t"), "{before}");

    let second = Scene::with_mode(RepoMode::BareUser);
    let (after, again) = pull_and_export(&second, &exported(&first, "out"), "out");
    assert_same_lines(&after, &before);
    // What was written here once is written the same way from then on.
    assert_eq!(again.digest, written.digest);
}

#[test]
fn labels_of_a_plain_image_are_kept() {
    let mut first = Scene::new();
    let base = TarWriter::new()
        .dir("usr", 0o755)
        .dir("usr/lib", 0o755)
        .dir("usr/lib/modules", 0o755)
        .dir("usr/lib/modules/6.1.0-golden", 0o755)
        .file("usr/lib/modules/6.1.0-golden/vmlinuz", 0o644, "kernel");
    let image = Image::bootable()
        .layer(Layer::new(base.finish()).created_by("base"))
        .layer(Layer::new(upper()).created_by("upper").annotation("a", "b"));
    first.layout.tag("v1", &image);
    let (before, written) = pull_and_export(&first, &first.layout.reference("v1"), "out");
    // The lower layer says what /usr is like.
    assert_eq!(before.matches("own_t").count(), 3, "{before}");
    assert_eq!(written.layers[1].title, "upper");
    let second = Scene::new();
    let (after, again) = pull_and_export(&second, &exported(&first, "out"), "out");
    assert_same_lines(&after, &before);
    assert_eq!(again.digest, written.digest);
}
