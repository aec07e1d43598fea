//! What we write, as the real tools read it.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use oci::archive::OciArchiveWriter;
use oci::copy::copy_all;
use oci::destination::{Destination, create};
use oci::digest::Digest;
use oci::layout::OciDirWriter;
use oci::media_type::{Compression, OCI_CONFIG, OCI_MANIFEST};
use oci::sink::{ImageSink, WriteError, Written};
use oci::spec::{Descriptor, MediaType};
use progress::{Interrupt, Silent};
use tempfile::tempdir;
use testkit::oci::{Image, Layer, LayoutBuilder, Platform};
use testkit::{Registry, command, golden, stdout};

use crate::scene::{context, read_all, skopeo, source, tar, text};

/// Writes an image of one uncompressed layer; returns the descriptor of its manifest.
fn write_image(sink: &mut dyn ImageSink, content: &str) -> Descriptor {
    let put = |sink: &mut dyn ImageSink, bytes: &[u8], media_type: &str| {
        let mut blob = sink.blob().unwrap();
        // In pieces, as an encoder does it.
        for piece in bytes.chunks(1000) {
            blob.write_all(piece).unwrap();
        }
        blob.finish()
            .unwrap()
            .descriptor(MediaType::from(media_type))
    };
    let layer = tar("file", content);
    let layer = put(sink, &layer, Compression::None.layer_media_type());
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.digest()]},
    });
    let config = put(sink, config.to_string().as_bytes(), OCI_CONFIG);
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer],
    });
    let manifest = put(sink, manifest.to_string().as_bytes(), OCI_MANIFEST);
    assert!(
        sink.has_blob(&manifest.digest().try_into().unwrap())
            .unwrap()
    );
    assert!(!sink.has_blob(&Digest::sha256(b"absent")).unwrap());
    manifest
}

fn dir_writer(base: &Path) -> OciDirWriter {
    let base = File::open(base).unwrap();
    OciDirWriter::create(base.as_fd(), "layout").unwrap()
}

fn archive_writer(base: &Path) -> OciArchiveWriter {
    let base = File::open(base).unwrap();
    OciArchiveWriter::create(base.as_fd(), "image.tar").unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Skopeo verifies every digest while it copies.
fn skopeo_reads(reference: &str) {
    let dir = tempdir().unwrap();
    skopeo(&[
        "copy",
        "--quiet",
        reference,
        &format!("dir:{}", text(dir.path())),
    ]);
}

#[test]
fn layouts_are_read_by_skopeo_and_umoci() {
    let dir = tempdir().unwrap();
    let mut writer = Box::new(dir_writer(dir.path()));
    let manifest = write_image(&mut *writer, "x");
    ImageSink::finish(writer, &manifest, Some("one")).unwrap();
    let layout = dir.path().join("layout");
    let reference = format!("oci:{}:one", text(&layout));
    skopeo_reads(&reference);
    let list = stdout(command("umoci").args(["ls", "--layout"]).arg(&layout));
    assert_eq!(list, "one");
    let read = read_all(&*source(&reference));
    assert_eq!(read[0].to_string(), manifest.digest().to_string());
    assert_eq!(names(&layout), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(names(&layout.join("blobs/sha256")).len(), 3);
}

#[test]
fn layouts_are_extended_and_tags_move() {
    let dir = tempdir().unwrap();
    let write = |content: &str, tag: Option<&str>| {
        let mut writer = Box::new(dir_writer(dir.path()));
        let manifest = write_image(&mut *writer, content);
        ImageSink::finish(writer, &manifest, tag).unwrap();
        manifest.digest().to_string()
    };
    write("1", Some("a"));
    let second = write("2", Some("b"));
    let moved = write("3", Some("a"));
    let untagged = write("4", None);
    assert_eq!(write("4", None), untagged);
    let layout = dir.path().join("layout");
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let listed: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["digest"].as_str().unwrap())
        .collect();
    assert_eq!(listed, [second, moved.clone(), untagged]);
    let read = read_all(&*source(&format!("oci:{}:a", text(&layout))));
    assert_eq!(read[0].to_string(), moved);
    skopeo_reads(&format!("oci:{}:b", text(&layout)));
}

#[test]
fn layouts_of_others_are_extended() {
    let dir = tempdir().unwrap();
    let layout = dir.path().join("layout");
    let golden = format!("oci:{}", golden("oci").join("encap-v1").display());
    let theirs = format!("oci:{}:theirs", text(&layout));
    skopeo(&["copy", "--quiet", &golden, &theirs]);
    let mut writer = Box::new(dir_writer(dir.path()));
    let manifest = write_image(&mut *writer, "x");
    ImageSink::finish(writer, &manifest, Some("ours")).unwrap();
    assert_eq!(read_all(&*source(&theirs)), read_all(&*source(&golden)));
    skopeo_reads(&theirs);
    skopeo_reads(&format!("oci:{}:ours", text(&layout)));
}

#[test]
fn nothing_is_visible_before_the_end() {
    let dir = tempdir().unwrap();
    let writer = dir_writer(dir.path());
    let mut blob = writer.blob().unwrap();
    blob.write_all(b"half").unwrap();
    let layout = dir.path().join("layout");
    assert_eq!(names(&layout.join("blobs/sha256")).len(), 1);
    drop(blob);
    assert!(names(&layout.join("blobs/sha256")).is_empty());
    assert_eq!(names(&layout), ["blobs", "oci-layout"]);
    let mut archive = archive_writer(dir.path());
    archive.write_blob(b"blob").unwrap();
    drop(archive);
    assert_eq!(names(dir.path()), ["layout"]);
}

#[test]
fn several_threads_may_write_the_same_blobs() {
    let dir = tempdir().unwrap();
    let writer = dir_writer(dir.path());
    let contents: Vec<Vec<u8>> = (0..20u8).map(|n| vec![n; 10_000]).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for content in &contents {
                    let Written { digest, size } = writer.write_blob(content).unwrap();
                    assert_eq!((digest, size), (Digest::sha256(content), 10_000));
                }
            });
        }
    });
    let blobs = dir.path().join("layout/blobs/sha256");
    assert_eq!(names(&blobs).len(), 20);
    for (content, digest) in contents.iter().map(|c| (c, Digest::sha256(c))) {
        assert_eq!(fs::read(blobs.join(digest.hex())).unwrap(), *content);
    }
}

#[test]
fn an_index_that_cannot_be_read_is_not_replaced() {
    let dir = tempdir().unwrap();
    let mut writer = Box::new(dir_writer(dir.path()));
    let manifest = write_image(&mut *writer, "x");
    let index = dir.path().join("layout/index.json");
    fs::write(&index, "broken").unwrap();
    let error = ImageSink::finish(writer, &manifest, Some("one")).unwrap_err();
    assert!(matches!(error, WriteError::Index(_)), "{error}");
    assert_eq!(fs::read(&index).unwrap(), b"broken");
}

#[test]
fn archives_are_read_by_skopeo_and_tar() {
    let dir = tempdir().unwrap();
    let mut writer = Box::new(archive_writer(dir.path()));
    let manifest = write_image(&mut *writer, "x");
    ImageSink::finish(writer, &manifest, Some("one")).unwrap();
    let path = dir.path().join("image.tar");
    let reference = format!("oci-archive:{}:one", text(&path));
    skopeo_reads(&reference);
    assert_eq!(
        read_all(&*source(&reference))[0].to_string(),
        manifest.digest().to_string()
    );
    let list = stdout(command("tar").arg("-tf").arg(&path));
    assert_eq!(list.lines().count(), 5);
    assert!(list.ends_with("oci-layout\nindex.json"));
    assert_eq!(names(dir.path()), ["image.tar"]);
}

#[test]
fn the_same_archive_is_written_whatever_was_dropped_on_the_way() {
    let dir = tempdir().unwrap();
    let write = |dropped: &[u8]| {
        let mut writer = Box::new(archive_writer(dir.path()));
        writer.write_blob(b"first").unwrap();
        writer.write_blob(b"first").unwrap();
        writer.blob().write_all(dropped).unwrap();
        let manifest = write_image(&mut *writer, "x");
        ImageSink::finish(writer, &manifest, None).unwrap();
        fs::read(dir.path().join("image.tar")).unwrap()
    };
    let plain = write(b"");
    assert!(write(&[b'z'; 100_000]) == plain);
    assert!(write(&[b'z'; 600]) == plain);
    skopeo_reads(&format!("oci-archive:{}/image.tar", text(dir.path())));
}

#[test]
fn images_for_all_platforms_are_copied_with_their_index() {
    let dir = tempdir().unwrap();
    let image = |architecture: &str| {
        let own = Layer::new(tar("file", architecture));
        let shared = Layer::new(tar("shared", "by both"));
        Image::new()
            .architecture(architecture)
            .layer(shared)
            .layer(own)
    };
    let images = [image("arm64"), image("amd64")];
    let entries = images.each_ref().map(|image| Platform {
        image,
        variant: None,
    });
    let mut layout = LayoutBuilder::new(dir.path().join("image"));
    let digest = layout.tag_index("os", &entries);
    let registry = Registry::start();
    let pushed = format!("registry:{}", registry.reference("org/os:1"));
    let archive = format!("oci-archive:{}:os", dir.path().join("image.tar").display());
    let copies = [
        (layout.reference("os"), &pushed),
        (pushed.clone(), &archive),
    ];
    for (from, to) in copies {
        let Destination { sink, tag } = create(&to.parse().unwrap(), &context()).unwrap();
        let from = source(&from);
        let (quiet, go) = (Silent, Interrupt::default());
        let copied = copy_all(&*from, sink, tag.as_deref(), &quiet, &go).unwrap();
        assert_eq!(copied.digest.to_string(), digest);
        // The layer of both images is sent once.
        assert!(copied.present > 0 && copied.sent > copied.present);
        assert_eq!(source(to).top().unwrap().digest().to_string(), digest);
    }
    for reference in [pushed.replacen("registry:", "docker://", 1), archive] {
        let back = dir.path().join("back");
        let target = format!("dir:{}", back.display());
        skopeo(&[
            "copy",
            "--quiet",
            "--all",
            "--src-tls-verify=false",
            &reference,
            &target,
        ]);
        let manifest = fs::read(back.join("manifest.json")).unwrap();
        assert_eq!(Digest::sha256(&manifest).to_string(), digest);
        fs::remove_dir_all(&back).unwrap();
    }
}
