//! Images that are refused: one clear error, and a repository as it was.

use error_class::{Classified as _, ErrorClass};
use image::{ImportError, ImportOptions, PlanError};
use testkit::oci::{Compression, Image, Layer};
use testkit::tar::{Entry, TarWriter};

use crate::support::{PullError, Scene};

fn good() -> Vec<u8> {
    let content: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    TarWriter::new()
        .dir("usr", 0o755)
        .file("usr/file", 0o644, content)
        .finish()
}

/// Pull an image with `layer` in it, which must fail; then the same without the fault, which must not.
fn refused(layer: Layer) -> ImportError {
    let mut scene = Scene::new();
    let below = TarWriter::new()
        .dir("usr", 0o755)
        .file("usr/below", 0o644, "b")
        .finish();
    let image = |layer: Layer| {
        Image::bootable()
            .layer(Layer::new(below.clone()))
            .layer(layer)
    };
    let error = match scene.pull("bad", &image(layer)) {
        Err(PullError::Import(error)) => error,
        other => panic!("{other:?}"),
    };
    scene.assert_clean();
    assert!(
        scene
            .ostree(&["refs", "--list", "ostree/container/image"])
            .is_empty()
    );
    scene.pull("good", &image(Layer::new(good()))).unwrap();
    scene.assert_clean();
    error
}

fn assert_says(error: &ImportError, class: ErrorClass, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.class(), class, "{text}");
    for word in words {
        assert!(text.contains(word), "{text:?} lacks {word:?}");
    }
}

#[test]
fn truncated_blob() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let layer = Layer::new(good()).compression(compression);
        let digest = layer.digest();
        let error = refused(layer.stored_blob(|mut blob| {
            blob.truncate(blob.len() / 2);
            blob
        }));
        assert_says(&error, ErrorClass::Corrupt, &[&digest]);
    }
}

#[test]
fn flipped_bit_is_told_as_a_wrong_digest_whatever_breaks_first() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let layer = Layer::new(good()).compression(compression);
        let digest = layer.digest();
        let error = refused(layer.stored_blob(|mut blob| {
            let middle = blob.len() / 2;
            blob[middle] ^= 0x10;
            blob
        }));
        assert_says(&error, ErrorClass::Corrupt, &[&digest, "digest"]);
    }
}

#[test]
fn damaged_tar_header_in_a_damaged_blob_is_told_as_a_wrong_digest() {
    let layer = Layer::new(good()).compression(Compression::None);
    let digest = layer.digest();
    let error = refused(layer.stored_blob(|mut blob| {
        blob[512] ^= 0xff;
        blob
    }));
    assert_says(&error, ErrorClass::Corrupt, &[&digest, "digest"]);
}

#[test]
fn lying_diff_id() {
    let wrong = format!("sha256:{}", "0".repeat(64));
    let error = refused(Layer::new(good()).lie_diff_id(&wrong));
    assert_says(&error, ErrorClass::Corrupt, &["diff_id", &wrong]);
}

#[test]
fn garbage_that_is_described_rightly() {
    let garbage = b"this is no archive at all, but long enough to look like a header".repeat(20);
    let diff_id = testkit::oci::digest(&garbage);
    let layer = Layer::new(good())
        .stored_blob(|_| garbage)
        .describe_stored_blob();
    let error = refused(layer.lie_diff_id(&diff_id));
    assert_says(&error, ErrorClass::Corrupt, &["tar", "offset"]);
}

#[test]
fn unsupported_compression() {
    let xz = |_| b"\xfd7zXZ\0 and so on".to_vec();
    let error = refused(Layer::new(good()).stored_blob(xz).describe_stored_blob());
    assert_says(&error, ErrorClass::Unsupported, &["xz"]);
}

#[test]
fn decompression_bomb() {
    // A gigabyte of zeros and a bit, in a zstd stream of some thirty kilobytes.
    let zeros = std::io::Read::take(std::io::repeat(0), (1 << 30) + (200 << 20));
    let bomb = zstd_of(zeros);
    let error = refused(
        Layer::new(good())
            .stored_blob(|_| bomb)
            .describe_stored_blob(),
    );
    assert_says(&error, ErrorClass::InvalidInput, &["limit"]);
}

fn zstd_of(mut content: impl std::io::Read) -> Vec<u8> {
    use std::process::{Command, Stdio};
    let mut zstd = Command::new(testkit::tool("zstd"))
        .arg("-q")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = zstd.stdin.take().unwrap();
    std::io::copy(&mut content, &mut input).unwrap();
    drop(input);
    zstd.wait_with_output().unwrap().stdout
}

#[test]
fn entries_that_cannot_be_stored() {
    let with = |entry: Entry| Layer::new(TarWriter::new().dir("usr", 0o755).entry(&entry).finish());
    for (entry, words) in [
        (
            Entry::file("usr/../../etc/shadow", "x"),
            &["usr/../../etc/shadow", ".."][..],
        ),
        (
            Entry::device("usr/null", b'3', 1, 3),
            &["usr/null", "character device"],
        ),
        (Entry::fifo("usr/pipe"), &["usr/pipe", "fifo"]),
        (Entry::file(b"usr/\xff", "x"), &["\\xff", "UTF-8"]),
        (
            Entry::hardlink("usr/x", "usr/absent"),
            &["usr/x", "usr/absent"],
        ),
        (
            Entry::file("usr/x", "x").owner(1 << 33, 0),
            &["usr/x", "owner"],
        ),
    ] {
        let error = refused(with(entry));
        assert_says(&error, ErrorClass::InvalidInput, words);
    }
}

#[test]
fn not_enough_space() {
    let disk = testkit::disk::scratch_fs(24 << 20);
    let mut scene = Scene::new();
    let base = std::fs::File::open(disk.path()).unwrap();
    let path = std::path::Path::new("repo");
    scene.repo = ostree::Repo::init_at(
        std::os::fd::AsFd::as_fd(&base),
        path,
        ostree_format::RepoMode::Bare,
    )
    .unwrap();
    let content: Vec<u8> = (0..8_000_000u32).flat_map(u32::to_le_bytes).collect();
    let tar = TarWriter::new()
        .dir("usr", 0o755)
        .file("usr/large", 0o644, content)
        .finish();
    let image = Image::bootable().layer(Layer::new(tar).compression(Compression::Zstd));
    match scene.pull("large", &image) {
        Err(PullError::Import(error)) => {
            assert_says(&error, ErrorClass::NoSpace, &["not enough space"]);
        }
        other => panic!("{other:?}"),
    }
    let left = std::fs::read_dir(disk.path().join("repo/tmp"))
        .unwrap()
        .count();
    assert_eq!(left, 1, "only tmp/cache stays");
}

#[test]
fn labels_and_platforms() {
    let mut scene = Scene::new();
    let mut options = ImportOptions::default();
    options.require_bootable = true;
    let layer = || Layer::new(good());
    scene.layout.tag("plain", &Image::new().layer(layer()));
    scene.layout.tag(
        "arm",
        &Image::bootable().architecture("arm64").layer(layer()),
    );
    scene.layout.tag(
        "lie",
        &Image::bootable()
            .label("ostree.final-diffid", "sha256:0")
            .layer(layer()),
    );
    let pull = |tag: &str| match scene.pull_reference(&scene.layout.reference(tag), &options) {
        Err(PullError::Plan(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(pull("plain"), PlanError::NotBootable(_)));
    assert!(matches!(pull("arm"), PlanError::WrongArchitecture { .. }));
    assert!(matches!(pull("lie"), PlanError::Layout { .. }));
    scene.assert_clean();
}
