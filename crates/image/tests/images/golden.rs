//! Images that ostree-ext made, and what it made of them.

use std::fs;
use std::path::Path;

use image::ImportOptions;
use testkit::tar::TarWriter;

use crate::support::{Scene, assert_same_lines};

fn expected(name: &str) -> String {
    fs::read_to_string(testkit::golden("expect").join(name)).unwrap()
}

fn pull_golden(scene: &Scene, image: &str) -> image::Imported {
    let reference = format!("oci:{}", testkit::golden("oci").join(image).display());
    scene
        .pull_reference(&reference, &ImportOptions::default())
        .unwrap()
}

#[test]
fn encapsulated_image_gives_the_commit_that_was_wrapped() {
    let scene = Scene::new();
    let imported = pull_golden(&scene, "encap-v1");
    let base = imported.state.base_commit.unwrap().to_string();
    assert_eq!(base, expected("bare.v1.rev").trim());
    assert_same_lines(&scene.listing(&base), &expected("bare.v1.ls"));
    scene.assert_clean();
}

#[test]
fn chunked_image_is_stored_as_ostree_ext_stores_it() {
    let scene = Scene::new();
    let imported = pull_golden(&scene, "chunked-v1");
    let merged = imported.state.merge_commit.to_string();
    assert_same_lines(&scene.listing(&merged), &expected("oci.chunked.merged.ls"));
    // Every layer has the very commit that ostree-ext gave it.
    let theirs = expected("oci.chunked.refs-revs");
    let layers: Vec<_> = theirs
        .lines()
        .filter(|line| line.contains("/blob/"))
        .collect();
    assert_eq!(layers.len(), 6);
    for line in layers {
        let (name, commit) = line.split_once(' ').unwrap();
        assert_eq!(scene.ostree(&["rev-parse", name]).trim(), commit, "{name}");
    }
    scene.assert_clean();
}

#[test]
fn metadata_is_under_the_keys_of_ostree_ext() {
    let scene = Scene::new();
    let imported = pull_golden(&scene, "chunked-v1");
    let merged = imported.state.merge_commit.to_string();
    let digest = scene.ostree(&[
        "show",
        "--print-metadata-key=ostree.manifest-digest",
        &merged,
    ]);
    assert_eq!(
        digest.trim(),
        format!("'{}'", expected("oci.chunked-v1.digest").trim())
    );
    // The config in their merge commit and in ours say the same.
    let theirs = expected("oci.chunked.merged.commit.raw");
    let ours = scene.ostree(&["show", "--raw", &merged]);
    for key in [
        "ostree.manifest-digest",
        "ostree.manifest",
        "ostree.container.image-config",
    ] {
        assert_eq!(json_under(&ours, key), json_under(&theirs, key), "{key}");
    }
}

/// The JSON document that `ostree show --raw` prints under a metadata key.
fn json_under(raw: &str, key: &str) -> serde_json::Value {
    let (_, rest) = raw.split_once(&format!("'{key}': <'")).unwrap();
    let (text, _) = rest.split_once("'>").unwrap();
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[test]
fn derived_layer_over_an_encapsulated_base() {
    let scene = Scene::new();
    let dir = scene.dir.path().join("derived");
    let tar = TarWriter::new()
        .dir("usr", 0o755)
        .dir("usr/bin", 0o755)
        .file("usr/bin/derived", 0o755, "derived")
        .dir("opt", 0o755)
        .file("opt/only-with-a-writable-root", 0o644, "x")
        .finish();
    add_layer(&testkit::golden("oci").join("encap-v1"), &dir, &tar);
    let options = ImportOptions::default();
    let imported = scene
        .pull_reference(&format!("oci:{}", dir.display()), &options)
        .unwrap();
    let merged = imported.state.merge_commit.to_string();
    // The parent is the base, and everything of it is still there.
    let base = expected("bare.v1.rev");
    assert_eq!(
        scene.ostree(&["rev-parse", &format!("{merged}^")]).trim(),
        base.trim()
    );
    let diff = scene.ostree(&["diff", base.trim(), &merged]);
    assert_eq!(diff.trim_end(), "A    /usr/bin/derived");
    assert_eq!(imported.filtered.values().next().unwrap()["opt"], 2);
    scene.assert_clean();
}

/// Copy an OCI directory with one more, uncompressed layer on top.
pub(crate) fn add_layer(from: &Path, to: &Path, tar: &[u8]) {
    testkit::shell(&format!("cp -a '{}' '{}'", from.display(), to.display()));
    let blobs = to.join("blobs/sha256");
    let read = |digest: &serde_json::Value| -> serde_json::Value {
        let name = digest
            .as_str()
            .unwrap()
            .strip_prefix("sha256:")
            .unwrap()
            .to_owned();
        serde_json::from_slice(&fs::read(blobs.join(name)).unwrap()).unwrap()
    };
    let put = |bytes: &[u8]| {
        let digest = testkit::oci::digest(bytes);
        fs::write(blobs.join(digest.strip_prefix("sha256:").unwrap()), bytes).unwrap();
        digest
    };
    let mut index: serde_json::Value =
        serde_json::from_slice(&fs::read(to.join("index.json")).unwrap()).unwrap();
    let mut manifest = read(&index["manifests"][0]["digest"]);
    let mut config = read(&manifest["config"]["digest"]);
    let layer = put(tar);
    config["rootfs"]["diff_ids"]
        .as_array_mut()
        .unwrap()
        .push(layer.clone().into());
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    manifest["layers"]
        .as_array_mut()
        .unwrap()
        .push(serde_json::json!({"mediaType": media_type, "digest": layer, "size": tar.len()}));
    let config = serde_json::to_vec(&config).unwrap();
    manifest["config"]["digest"] = put(&config).into();
    manifest["config"]["size"] = config.len().into();
    let manifest = serde_json::to_vec(&manifest).unwrap();
    index["manifests"][0]["digest"] = put(&manifest).into();
    index["manifests"][0]["size"] = manifest.len().into();
    fs::write(to.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
}
