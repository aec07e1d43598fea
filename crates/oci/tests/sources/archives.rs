//! `oci-archive:` and `docker-archive:`.

use std::fs;
use std::path::{Path, PathBuf};

use error_class::{Classified, ErrorClass};
use oci::FileError;
use oci::layout::LayoutError;
use oci::source::Error;
use tempfile::{TempDir, tempdir};
use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::{Entry, TarWriter};
use testkit::{golden, shell};

use crate::scene::{
    blob, digest_of, read_all, skopeo, skopeo_digest, source, tar, text, try_source,
};

fn file_error(reference: &str) -> FileError {
    match try_source(reference).unwrap_err() {
        Error::Layout { cause, .. } => match *cause {
            LayoutError::File(error) => error,
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    }
}

fn golden_layout(name: &str) -> String {
    format!("oci:{}", golden("oci").join(name).display())
}

fn skopeo_archive(dir: &TempDir, transport: &str, from: &str, suffix: &str) -> String {
    let to = format!("{transport}:{}/image.tar{suffix}", dir.path().display());
    skopeo(&["copy", "--quiet", from, &to]);
    to
}

#[test]
fn oci_archives_of_skopeo_are_read_in_place() {
    for name in ["encap-v1", "chunked-v1"] {
        let dir = tempdir().unwrap();
        let from = golden_layout(name);
        let to = skopeo_archive(&dir, "oci-archive", &from, ":some/name:tag");
        assert_eq!(read_all(&*source(&to)), read_all(&*source(&from)));
        let untagged = format!("oci-archive:{}/image.tar", dir.path().display());
        assert_eq!(read_all(&*source(&untagged)), read_all(&*source(&from)));
    }
}

#[test]
fn archives_of_gnu_tar_are_read_whatever_its_habits() {
    let layout = golden("oci").join("encap-v1");
    let expected = read_all(&*source(&golden_layout("encap-v1")));
    let dir = tempdir().unwrap();
    let archive = dir.path().join("image.tar");
    for arguments in [
        "--format=gnu .",
        "--format=pax .",
        "--format=ustar *",
        "--format=v7 *",
    ] {
        let (layout, archive) = (text(&layout), text(&archive));
        shell(&format!("cd {layout}; tar -cf {archive} {arguments}"));
        let source = source(&format!("oci-archive:{archive}"));
        assert_eq!(read_all(&*source), expected, "{arguments}");
    }
}

#[test]
fn several_threads_may_read_one_archive() {
    let dir = tempdir().unwrap();
    let to = skopeo_archive(&dir, "oci-archive", &golden_layout("chunked-v1"), "");
    let source = source(&to);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| read_all(&*source));
        }
    });
    let manifest = source.manifest().unwrap().manifest;
    let config = manifest.manifest().config();
    let whole = blob(&*source, config, 0);
    assert_eq!(blob(&*source, config, 10), whole[10..]);
    assert_eq!(blob(&*source, config, 1 << 40), b"");
}

#[test]
fn compressed_archives_are_refused_by_name() {
    let dir = tempdir().unwrap();
    for (program, suffix) in [
        ("gzip", "gz"),
        ("zstd -q", "zst"),
        ("xz", "xz"),
        ("bzip2", "bz2"),
    ] {
        let path = format!("{}/image.tar.{suffix}", dir.path().display());
        shell(&format!("printf x | {program} > {path}"));
        for transport in ["oci-archive", "docker-archive"] {
            let error = file_error(&format!("{transport}:{path}"));
            assert_eq!(
                error.to_string(),
                format!("{path} is a compressed archive: decompress it first")
            );
            assert_eq!(error.class(), ErrorClass::Unsupported);
        }
    }
}

#[test]
fn truncated_archives_are_damaged_at_every_length() {
    let dir = tempdir().unwrap();
    let mut layout = LayoutBuilder::new(dir.path().join("layout"));
    layout.tag("os", &Image::new().layer(Layer::new(tar("file", "x"))));
    // The last file fits into one block, so what is cut before that block loses something.
    let members = "oci-layout blobs index.json";
    shell(&format!(
        "cd {}; tar -b1 -cf ../image.tar {members}",
        text(layout.dir())
    ));
    let path = dir.path().join("image.tar");
    let reference = format!("oci-archive:{}", text(&path));
    let whole = fs::read(&path).unwrap();
    let expected = read_all(&*source(&reference));
    let end = whole.len() - 1024;
    for length in (0..=end - 512).step_by(100) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(opened_or_read_fails(&reference), "{length}");
    }
    // Without the end marker, or with half of it, nothing is lost.
    for length in [end, end + 512] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(read_all(&*source(&reference)), expected);
    }
}

fn opened_or_read_fails(reference: &str) -> bool {
    let Ok(source) = try_source(reference) else {
        return true;
    };
    let Ok(resolved) = source.manifest() else {
        return true;
    };
    let layers = resolved.manifest.layers();
    source.config(&resolved.manifest).is_err()
        || layers
            .iter()
            .any(|layer| source.read_blob(&layer.descriptor, u64::MAX).is_err())
}

#[test]
fn garbage_is_damaged() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("image.tar");
    let reference = format!("oci-archive:{}", text(&path));
    fs::write(&path, vec![b'x'; 2048]).unwrap();
    assert!(matches!(
        file_error(&reference),
        FileError::Tar { offset: 0, .. }
    ));
    fs::write(&path, b"").unwrap();
    let error = try_source(&reference).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("this is not an image: there is no index.json"),
        "{error}"
    );
    let error = try_source(&format!("{reference}.absent")).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    let error = file_error(&format!("oci-archive:{}", text(dir.path())));
    assert!(matches!(error, FileError::NotRegular(_)), "{error}");
}

#[test]
fn an_archive_of_very_many_entries_is_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("image.tar");
    let mut archive = TarWriter::new();
    for n in 0..100_001 {
        archive = archive.entry(&Entry::file(format!("{n}"), ""));
    }
    fs::write(&path, archive.finish()).unwrap();
    let error = file_error(&format!("oci-archive:{}", text(&path)));
    assert!(matches!(error, FileError::TooManyEntries { .. }), "{error}");
}

/// The image has no registry manifest in this form, so the layers and the configuration are what
/// must agree.
#[test]
fn docker_archives_of_skopeo_are_read() {
    let dir = tempdir().unwrap();
    let from = golden_layout("chunked-v1");
    let to = skopeo_archive(&dir, "docker-archive", &from, ":quay.io/org/os:1");
    let path = format!("docker-archive:{}/image.tar", dir.path().display());
    let original = source(&from);
    let manifest = original.manifest().unwrap().manifest;
    let config = original.config(&manifest).unwrap();
    let diff_ids = config.diff_ids(&manifest).unwrap();
    for reference in [to.as_str(), path.as_str(), &format!("{path}:@0")] {
        let digests = read_all(&*source(reference));
        assert_eq!(digests[1], *config.digest());
        assert_eq!(digests[2..], diff_ids);
    }
    let error = try_source(&format!("{path}:quay.io/org/os:2")).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    assert!(
        error.to_string().ends_with("there is: :quay.io/org/os:1"),
        "{error}"
    );
    assert!(skopeo_digest(&path).starts_with("sha256:"));
}

/// An archive as `docker save` writes it, from files.
fn docker_archive(dir: &Path, files: &[Entry]) -> PathBuf {
    let path = dir.join("docker.tar");
    let archive = files.iter().fold(TarWriter::new(), TarWriter::entry);
    fs::write(&path, archive.finish()).unwrap();
    path
}

fn config(layers: &[&Layer]) -> String {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id()).collect();
    serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
    .to_string()
}

#[test]
fn docker_archives_with_links_and_compressed_layers_are_read() {
    let dir = tempdir().unwrap();
    let plain = tar("file", "x");
    let zipped = Layer::new(tar("file", "y"));
    let blobs = {
        let mut layout = LayoutBuilder::new(dir.path().join("layout"));
        layout.tag("os", &Image::new().layer(zipped.clone()));
        fs::read(layout.blob(&zipped.digest())).unwrap()
    };
    let first = Layer::new(plain.clone());
    let manifest = r#"[{"Config": "c.json", "RepoTags": null,
        "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"]}]"#;
    let path = docker_archive(
        dir.path(),
        &[
            Entry::file("a/layer.tar", &plain),
            Entry::symlink("b/layer.tar", "../a/layer.tar"),
            Entry::file("c/layer.tar", &blobs),
            Entry::file("c.json", config(&[&first, &first, &zipped])),
            Entry::file("manifest.json", manifest),
        ],
    );
    let digests = read_all(&*source(&format!("docker-archive:{}", text(&path))));
    let layers: Vec<_> = digests[2..].iter().map(ToString::to_string).collect();
    assert_eq!(layers, [first.diff_id(), first.diff_id(), zipped.digest()]);
}

#[test]
fn broken_docker_archives_are_refused() {
    let dir = tempdir().unwrap();
    let layer = Layer::new(tar("file", "x"));
    let one = r#"[{"Config": "c.json", "RepoTags": ["os:1"], "Layers": ["l"]}]"#;
    let escape = r#"[{"Config": "../c.json", "RepoTags": ["os:1"], "Layers": ["l"]}]"#;
    let two = one.replace("}]", r#"}, {"Config": "c.json", "Layers": []}]"#);
    for (manifest, config, message) in [
        (
            one,
            config(&[]),
            "manifest.json has 1 layers, the image configuration 0",
        ),
        (
            one,
            config(&[&layer]),
            "l, which manifest.json refers to, is missing",
        ),
        (one, "{}".to_owned(), "the image configuration is malformed"),
        (
            escape,
            config(&[&layer]),
            "../c.json, which manifest.json refers to, is missing",
        ),
        (
            &two,
            config(&[]),
            "there are several images, append one of the names: :os:1, :@1",
        ),
        ("[]", config(&[]), "there is no image"),
        ("{}", config(&[]), "manifest.json is malformed"),
    ] {
        let files = [
            Entry::file("manifest.json", manifest),
            Entry::file("c.json", config),
        ];
        let path = docker_archive(dir.path(), &files);
        let error = try_source(&format!("docker-archive:{}", text(&path))).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn links_that_lead_in_circles_end() {
    let dir = tempdir().unwrap();
    let manifest = r#"[{"Config": "a", "RepoTags": null, "Layers": []}]"#;
    let files = [
        Entry::file("manifest.json", manifest),
        Entry::symlink("a", "b"),
        Entry::symlink("b", "a"),
    ];
    let path = docker_archive(dir.path(), &files);
    let error = try_source(&format!("docker-archive:{}", text(&path))).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a, which manifest.json refers to, is missing")
    );
}

#[test]
fn layers_of_an_archive_are_told_by_digest_alone() {
    let dir = tempdir().unwrap();
    let to = skopeo_archive(&dir, "oci-archive", &golden_layout("encap-v1"), "");
    let source = source(&to);
    let manifest = source.manifest().unwrap().manifest;
    let config = manifest.manifest().config();
    let mut other = config.clone();
    other.set_digest((&oci::digest::Digest::sha256(b"absent")).into());
    let error = source.open_blob(&other, 0).err().unwrap();
    assert_eq!(error.class(), ErrorClass::Corrupt);
    assert!(error.to_string().ends_with("is missing"), "{error}");
    assert_ne!(digest_of(config), digest_of(&other));
}
