//! skopeo and umoci must accept what this module builds, and refuse its lies.

use super::*;
use crate::tar::TarWriter;
use crate::{command, fails, run, stdout};

fn tree() -> Vec<u8> {
    TarWriter::new()
        .dir("usr", 0o755)
        .file("usr/hello", 0o644, "hello")
        .finish()
}

fn upper() -> Vec<u8> {
    TarWriter::new()
        .file("usr/.wh.hello", 0o644, "")
        .file("usr/world", 0o644, "world")
        .finish()
}

fn copy(layout: &LayoutBuilder, tag: &str) -> std::process::Command {
    let mut skopeo = command("skopeo");
    skopeo.args([
        "copy",
        "--quiet",
        "--insecure-policy",
        &layout.reference(tag),
    ]);
    skopeo.arg(format!("dir:{}", layout.dir().join("../copy").display()));
    skopeo
}

fn layout() -> (tempfile::TempDir, LayoutBuilder) {
    let dir = crate::scratch_dir();
    let layout = LayoutBuilder::new(dir.path().join("oci"));
    (dir, layout)
}

#[test]
fn skopeo_copies_and_umoci_unpacks_every_compression() {
    for compression in [Compression::None, Compression::Gzip] {
        let (dir, mut layout) = layout();
        let lower = Layer::new(tree())
            .compression(compression)
            .created_by("lower");
        let image = Image::bootable()
            .layer(lower)
            .layer(Layer::new(upper()).compression(compression));
        layout.tag("v1", &image);
        run(&mut copy(&layout, "v1"));
        let bundle = dir.path().join("bundle");
        let image = format!("{}:v1", layout.dir().display());
        run(command("umoci")
            .args(["unpack", "--image", &image])
            .arg(&bundle));
        assert_eq!(
            std::fs::read_to_string(bundle.join("rootfs/usr/world")).unwrap(),
            "world"
        );
        assert!(!bundle.join("rootfs/usr/hello").exists());
    }
}

#[test]
fn zstd_layers_decompress_to_their_diff_id() {
    let (_dir, mut layout) = layout();
    let layer = Layer::new(tree()).compression(Compression::Zstd);
    layout.tag("v1", &Image::new().layer(layer.clone()));
    run(&mut copy(&layout, "v1"));
    let plain = run(command("zstd")
        .args(["-dc"])
        .arg(layout.blob(&layer.digest())));
    assert_eq!(digest(&plain.stdout), layer.diff_id());
}

#[test]
fn skopeo_sees_labels_and_creation_time() {
    let (_dir, mut layout) = layout();
    layout.tag(
        "v1",
        &Image::bootable()
            .layer(Layer::new(tree()))
            .created(Some("2020-05-06T07:08:09Z")),
    );
    let text = stdout(command("skopeo").args(["inspect", &layout.reference("v1")]));
    let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(seen["Labels"]["containers.bootc"], "1");
    assert_eq!(seen["Created"], "2020-05-06T07:08:09Z");
    assert_eq!(seen["Architecture"], "amd64");
}

#[test]
fn index_is_resolved_to_the_platform() {
    let (_dir, mut layout) = layout();
    let amd = Image::new().layer(Layer::new(tree()));
    let arm = Image::new()
        .layer(Layer::new(upper()))
        .architecture("arm64");
    let entry = |image| Platform {
        image,
        variant: None,
    };
    layout.tag_index("multi", &[entry(&arm), entry(&amd)]);
    for architecture in ["amd64", "arm64"] {
        let mut skopeo = command("skopeo");
        skopeo.args([
            "--override-arch",
            architecture,
            "inspect",
            "--format={{.Architecture}}",
        ]);
        assert_eq!(stdout(skopeo.arg(layout.reference("multi"))), architecture);
    }
}

/// skopeo does not look for Docker manifests in OCI directories, so it gets a `dir:` of the blobs.
#[test]
fn docker_media_types_are_accepted() {
    let (dir, mut layout) = layout();
    let layer = Layer::new(tree());
    let manifest = layout.tag("v1", &Image::new().layer(layer).docker_media_types());
    let flat = dir.path().join("flat");
    std::fs::create_dir(&flat).unwrap();
    run(command("cp")
        .arg("-r")
        .arg(layout.dir().join("blobs/sha256/."))
        .arg(&flat));
    std::fs::copy(layout.blob(&manifest), flat.join("manifest.json")).unwrap();
    std::fs::write(flat.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    let mut skopeo = command("skopeo");
    skopeo.args([
        "copy",
        "--quiet",
        "--insecure-policy",
        &format!("dir:{}", flat.display()),
    ]);
    run(skopeo.arg(format!("oci:{}:v1", dir.path().join("converted").display())));
}

#[test]
fn lies_are_noticed_by_skopeo() {
    let other = digest(b"something else");
    let lies = [
        Layer::new(tree()).lie_digest(&other),
        Layer::new(tree()).stored_blob(|blob| blob[..blob.len() - 9].to_vec()),
    ];
    for lie in lies {
        let (_dir, mut layout) = layout();
        layout.tag("v1", &Image::new().layer(lie));
        fails(&mut copy(&layout, "v1"));
    }
}

#[test]
fn lies_about_size_and_diff_id_are_written() {
    let (_dir, mut layout) = layout();
    let other = digest(b"something else");
    let layer = Layer::new(tree()).lie_size(7).lie_diff_id(&other);
    let manifest = layout.tag("v1", &Image::new().layer(layer));
    let read = |digest: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(layout.blob(digest)).unwrap()).unwrap()
    };
    let manifest = read(&manifest);
    assert_eq!(manifest["layers"][0]["size"], 7);
    let config = read(manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(config["rootfs"]["diff_ids"][0], other);
}

#[test]
fn damage_can_be_described_truly() {
    let (_dir, mut layout) = layout();
    let layer = Layer::new(tree())
        .stored_blob(|blob| blob[..20].to_vec())
        .describe_stored_blob();
    let stored = layer.digest();
    layout.tag("v1", &Image::new().layer(layer));
    assert_eq!(
        digest(&std::fs::read(layout.blob(&stored)).unwrap()),
        stored
    );
    run(&mut copy(&layout, "v1"));
}

#[test]
fn a_tag_moves_to_the_newer_image() {
    let (_dir, mut layout) = layout();
    layout.tag("v1", &Image::new());
    let newer = layout.tag("v1", &Image::new().layer(Layer::new(tree())));
    let seen = stdout(command("skopeo").args([
        "inspect",
        "--format={{.Digest}}",
        &layout.reference("v1"),
    ]));
    assert_eq!(seen, newer);
}
