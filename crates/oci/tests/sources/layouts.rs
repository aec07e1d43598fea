//! `oci:` and `dir:`.

use std::fs;
use std::path::Path;

use error_class::{Classified, ErrorClass};
use oci::canonical;
use oci::context::Context;
use oci::digest::Digest;
use oci::layout::LayoutError;
use oci::manifest::ManifestError;
use oci::media_type::Compression;
use oci::source::{Error, open};
use serde_json::{Value, json};
use tempfile::tempdir;
use testkit::oci::{Image, Layer, LayoutBuilder, Platform};
use testkit::{golden, shell};

use crate::scene::{
    blob, context, digest_of, read_all, read_error, skopeo, skopeo_digest, source, tar, text,
    try_source,
};

fn layout_error(reference: &str) -> LayoutError {
    match try_source(reference).unwrap_err() {
        Error::Layout { cause, .. } => *cause,
        other => panic!("{other}"),
    }
}

fn image(content: &str) -> Image {
    Image::new().layer(Layer::new(tar("file", content)))
}

fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

#[test]
fn golden_images_are_read_as_ostree_ext_and_skopeo_read_them() {
    for (name, layers) in [("encap-v1", 1), ("chunked-v1", 6)] {
        let reference = format!("oci:{}", golden("oci").join(name).display());
        let expected = golden("expect").join(format!("oci.{name}.digest"));
        let expected = fs::read_to_string(expected).unwrap();
        let digests = read_all(&*source(&reference));
        assert_eq!(digests[0].to_string(), expected.trim());
        assert_eq!(digests[0].to_string(), skopeo_digest(&reference));
        assert_eq!(digests.len(), 2 + layers);
    }
}

/// What ostree-ext 0.15.3 stored in the merge commit that it made of this image: the members that a
/// typed manifest and configuration keep. (It did not sort them yet; newer ones do.)
fn stored_by_ostree_ext(key: &str) -> Value {
    let commit = golden("expect").join("oci.chunked.merged.commit.raw");
    let commit = fs::read_to_string(commit).unwrap();
    let (_, rest) = commit.split_once(&format!("'{key}': <'")).unwrap();
    let (stored, _) = rest.split_once("'>").unwrap();
    serde_json::from_str(stored).unwrap()
}

#[test]
fn canonical_forms_keep_what_ostree_ext_keeps() {
    let reference = format!("oci:{}", golden("oci").join("chunked-v1").display());
    let source = source(&reference);
    let manifest = source.manifest().unwrap().manifest;
    let config = source.config(&manifest).unwrap();
    for (key, value) in [
        ("ostree.manifest", manifest.canonical()),
        ("ostree.container.image-config", config.canonical()),
    ] {
        let stored = stored_by_ostree_ext(key);
        assert_eq!(
            serde_json::from_str::<Value>(&value).unwrap(),
            stored,
            "{key}"
        );
        assert_eq!(value, canonical::to_string(&stored).unwrap(), "{key}");
    }
    // These were written in canonical form.
    assert_eq!(manifest.canonical().as_bytes(), manifest.bytes());
    assert_eq!(config.canonical().as_bytes(), config.bytes());
}

#[test]
fn blobs_can_be_read_from_an_offset() {
    let source = source(&format!("oci:{}", golden("oci").join("encap-v1").display()));
    let manifest = source.manifest().unwrap().manifest;
    let config = manifest.manifest().config();
    let whole = blob(&*source, config, 0);
    assert_eq!(Digest::sha256(&whole), digest_of(config));
    for offset in [1, 100, whole.len(), whole.len() + 5] {
        let rest = whole.get(offset..).unwrap_or_default();
        assert_eq!(blob(&*source, config, offset as u64), rest);
    }
}

#[test]
fn the_tag_decides_between_several_images() {
    let dir = tempdir().unwrap();
    let mut layout = LayoutBuilder::new(dir.path().join("layout"));
    let one = layout.tag("one", &image("1"));
    let path = layout.dir().display().to_string();
    let manifest = |selector: &str| {
        let source = source(&format!("oci:{path}{selector}"));
        source.manifest().unwrap().manifest.digest().to_string()
    };
    assert_eq!(manifest(""), one);
    let two = layout.tag("quay.io/org/two:2", &image("2"));
    assert_eq!(manifest(":one"), one);
    assert_eq!(manifest(":quay.io/org/two:2"), two);
    assert_eq!(manifest(&format!("@{two}")), two);
    assert_eq!(manifest(":@0"), one);
    assert_eq!(manifest(":@1"), two);
    let error = layout_error(&format!("oci:{path}"));
    assert_eq!(
        error.to_string(),
        "there are several images, append one of the names: :one, :quay.io/org/two:2"
    );
    assert_eq!(error.class(), ErrorClass::InvalidInput);
    for absent in [":three", ":@2", &format!("@sha256:{}", "0".repeat(64))] {
        let error = layout_error(&format!("oci:{path}{absent}"));
        assert!(matches!(error, LayoutError::NoSuchImage { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::NotFound);
        assert!(
            error
                .to_string()
                .ends_with("there is: :one, :quay.io/org/two:2")
        );
    }
}

#[test]
fn skopeo_names_images_as_we_find_them() {
    let dir = tempdir().unwrap();
    let from = format!("oci:{}", golden("oci").join("encap-v1").display());
    let to = format!("oci:{}/copy:quay.io/org/os:1", dir.path().display());
    skopeo(&["copy", "--quiet", &from, &to]);
    assert_eq!(read_all(&*source(&to)), read_all(&*source(&from)));
}

#[test]
fn relative_paths_start_at_the_given_directory() {
    let dir = tempdir().unwrap();
    let mut layout = LayoutBuilder::new(dir.path().join("layout"));
    layout.tag("one", &image("1"));
    let here = fs::File::open(dir.path()).unwrap();
    let mut context = Context::new(here.into());
    context.platform = "linux/amd64".parse().unwrap();
    let opened = open(&"oci:layout:one".parse().unwrap(), &context).unwrap();
    assert_eq!(read_all(&*opened).len(), 3);
    let error = open(&"oci:absent:one".parse().unwrap(), &context).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
}

#[test]
fn indexes_are_followed_to_the_platform() {
    let dir = tempdir().unwrap();
    let mut layout = LayoutBuilder::new(dir.path().join("layout"));
    let (amd, arm) = (image("amd"), image("arm").architecture("arm64"));
    let platform = |image, variant| Platform { image, variant };
    let index = layout.tag_index("os", &[platform(&arm, Some("v8")), platform(&amd, None)]);
    let reference = layout.reference("os");
    let mut context = context();
    for (wanted, image) in [("linux/amd64", &amd), ("linux/arm64", &arm)] {
        context.platform = wanted.parse().unwrap();
        let source = open(&reference.parse().unwrap(), &context).unwrap();
        let resolved = source.manifest().unwrap();
        assert_eq!(resolved.index.unwrap().digest().to_string(), index);
        let config = source.config(&resolved.manifest).unwrap();
        assert_eq!(format!("linux/{}", config.config().architecture()), wanted);
        let mut alone = LayoutBuilder::new(dir.path().join(wanted));
        let expected = alone.tag("os", image);
        assert_eq!(resolved.manifest.digest().to_string(), expected);
    }
    context.platform = "linux/s390x".parse().unwrap();
    let error = open(&reference.parse().unwrap(), &context)
        .unwrap()
        .manifest();
    let error = error.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidInput);
    assert!(
        error
            .to_string()
            .ends_with("there is: linux/arm64/v8, linux/amd64"),
        "{error}"
    );
}

/// An index around an index around ... an image, `depth` times.
fn nested(layout: &mut LayoutBuilder, depth: usize) {
    let media_type = "application/vnd.oci.image.index.v1+json";
    let mut entry = {
        layout.tag("os", &image("1"));
        let index: Value =
            serde_json::from_slice(&fs::read(layout.dir().join("index.json")).unwrap()).unwrap();
        index["manifests"][0].clone()
    };
    entry.as_object_mut().unwrap().remove("annotations");
    for _ in 0..depth {
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [entry]});
        let bytes = index.to_string().into_bytes();
        let digest = layout.put_blob(&bytes);
        entry = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
    }
    edit_json(&layout.dir().join("index.json"), |index| {
        index["manifests"] = json!([entry]);
    });
}

#[test]
fn nesting_has_a_limit() {
    let dir = tempdir().unwrap();
    for (depth, accepted) in [(1, true), (4, true), (5, false), (50, false)] {
        let mut layout = LayoutBuilder::new(dir.path().join(depth.to_string()));
        nested(&mut layout, depth);
        let found = source(&format!("oci:{}", layout.dir().display())).manifest();
        match found {
            Ok(_) => assert!(accepted, "{depth}"),
            Err(Error::Manifest { cause, .. }) => {
                assert!(!accepted, "{depth}");
                assert!(matches!(*cause, ManifestError::Nesting(_)), "{cause}");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn an_image_for_several_platforms_may_be_listed_directly() {
    let dir = tempdir().unwrap();
    let mut layout = LayoutBuilder::new(dir.path().join("layout"));
    layout.tag("a", &image("amd"));
    layout.tag("b", &image("arm").architecture("arm64"));
    edit_json(&layout.dir().join("index.json"), |index| {
        for (n, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
            let entry = &mut index["manifests"][n];
            entry["annotations"]["org.opencontainers.image.ref.name"] = "os".into();
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
        }
    });
    for selector in ["", ":os"] {
        let source = source(&format!("oci:{}{selector}", layout.dir().display()));
        let config = source.config(&source.manifest().unwrap().manifest).unwrap();
        assert_eq!(config.config().architecture().to_string(), "amd64");
    }
}

#[test]
fn docker_images_and_all_compressions_are_read() {
    let dir = tempdir().unwrap();
    let mut layout = LayoutBuilder::new(dir.path().join("layout"));
    let layer = |compression| {
        let content = format!("{compression:?}");
        Layer::new(tar("file", &content)).compression(compression)
    };
    let image = Image::new()
        .layer(layer(testkit::oci::Compression::None))
        .layer(layer(testkit::oci::Compression::Gzip))
        .layer(layer(testkit::oci::Compression::Zstd));
    let expected = [Compression::None, Compression::Gzip, Compression::Zstd];
    for (tag, image) in [
        ("docker", image.clone().docker_media_types()),
        ("oci", image),
    ] {
        layout.tag(tag, &image);
        let source = source(&layout.reference(tag));
        assert_eq!(read_all(&*source).len(), 5);
        let manifest = source.manifest().unwrap().manifest;
        let found: Vec<_> = manifest.layers().iter().map(|l| l.compression).collect();
        assert_eq!(found, expected, "{tag}");
    }
}

#[test]
fn damage_is_noticed_and_named() {
    let dir = tempdir().unwrap();
    let good = Layer::new(tar("f", "x"));
    let digest = good.digest();
    let flipped = good.clone().stored_blob(|mut blob| {
        *blob.last_mut().unwrap() ^= 1;
        blob
    });
    let shorter = good.clone().stored_blob(|mut blob| {
        blob.pop();
        blob
    });
    let cases = [
        ("flipped", flipped, "is damaged: its digest is sha256:"),
        ("shorter", shorter, " bytes instead of "),
        ("small lie", good.clone().lie_size(3), " bytes instead of 3"),
        (
            "big lie",
            good.clone().lie_size(1 << 50),
            " bytes instead of ",
        ),
        (
            "foreign",
            good.clone()
                .lie_media_type("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
            "is a foreign layer",
        ),
        (
            "unknown",
            good.lie_media_type("text/plain"),
            "is not a tar layer",
        ),
    ];
    for (name, layer, message) in cases {
        let mut layout = LayoutBuilder::new(dir.path().join(name));
        layout.tag("os", &Image::new().layer(layer));
        let reference = layout.reference("os");
        let error = read_error(&*source(&reference));
        let printed = error.to_string();
        assert!(
            printed.contains(&format!("image {reference}: ")),
            "{printed}"
        );
        assert!(printed.contains(message), "{printed}");
        let named = printed.contains(&digest) || printed.contains("layer 0 of manifest");
        assert!(named, "{printed}");
    }
}

#[test]
fn missing_and_replaced_files_are_noticed() {
    let dir = tempdir().unwrap();
    let mut layout = LayoutBuilder::new(dir.path().join("layout"));
    let manifest = layout.tag("os", &image("1"));
    let reference = layout.reference("os");
    let manifest = layout.blob(&manifest);
    let spoilt = |spoil: &dyn Fn()| {
        let kept = fs::read(&manifest).unwrap();
        fs::remove_file(&manifest).unwrap();
        spoil();
        let error = source(&reference).manifest().unwrap_err();
        shell(&format!("rm -rf {}", text(&manifest)));
        fs::write(&manifest, kept).unwrap();
        error
    };
    let error = spoilt(&|| ());
    assert!(error.to_string().ends_with("is missing"), "{error}");
    assert_eq!(error.class(), ErrorClass::Corrupt);
    let error = spoilt(&|| fs::create_dir(&manifest).unwrap());
    assert!(
        error.to_string().ends_with("is not a regular file"),
        "{error}"
    );
    let error = spoilt(&|| drop(shell(&format!("mkfifo {}", text(&manifest)))));
    assert!(
        error.to_string().ends_with("is not a regular file"),
        "{error}"
    );
    let error = spoilt(&|| fs::write(&manifest, vec![b' '; (4 << 20) + 1]).unwrap());
    assert!(
        error.to_string().ends_with("is larger than 4194304 bytes"),
        "{error}"
    );
    source(&reference).manifest().unwrap();
}

#[test]
fn hostile_indexes_lead_nowhere() {
    let dir = tempdir().unwrap();
    let mut layout = LayoutBuilder::new(dir.path().join("layout"));
    layout.tag("os", &image("1"));
    let reference = layout.reference("os");
    let index = layout.dir().join("index.json");
    fs::write(dir.path().join("secret"), "{}").unwrap();
    let good = fs::read_to_string(&index).unwrap();
    let mut parsed: Value = serde_json::from_str(&good).unwrap();
    for digest in [
        "sha256:../../../secret",
        "../../secret",
        "sha256:",
        "md5:00",
    ] {
        parsed["manifests"][0]["digest"] = digest.into();
        fs::write(&index, parsed.to_string()).unwrap();
        let error = match try_source(&reference) {
            Ok(source) => source.manifest().unwrap_err(),
            Err(error) => error,
        };
        let class = error.class();
        let refused = matches!(class, ErrorClass::Corrupt | ErrorClass::Unsupported);
        assert!(refused, "{digest}: {error}");
    }
    for broken in ["", "[]", r#"{"schemaVersion": 2}"#] {
        fs::write(&index, broken).unwrap();
        assert!(
            matches!(layout_error(&reference), LayoutError::Json { .. }),
            "{broken}"
        );
    }
}

#[test]
fn what_is_no_layout_is_said_to_be_none() {
    let dir = tempdir().unwrap();
    let path = text(dir.path());
    let error = layout_error(&format!("oci:{path}"));
    assert_eq!(
        error.to_string(),
        "this is not an image: there is no index.json"
    );
    let error = layout_error(&format!("dir:{path}"));
    assert_eq!(
        error.to_string(),
        "this is not an image: there is no manifest.json"
    );
    fs::write(
        dir.path().join("oci-layout"),
        r#"{"imageLayoutVersion": "2.0.0"}"#,
    )
    .unwrap();
    assert!(matches!(
        layout_error(&format!("oci:{path}")),
        LayoutError::Version(_)
    ));
    let error = try_source(&format!("oci:{path}/nothing")).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    assert!(
        error
            .to_string()
            .contains(&format!("open directory {path}/nothing")),
        "{error}"
    );
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(try_source(&format!("oci:{}", text(&file))).is_err());
}

#[test]
fn directories_of_skopeo_are_read() {
    let dir = tempdir().unwrap();
    for name in ["encap-v1", "chunked-v1"] {
        let from = format!("oci:{}", golden("oci").join(name).display());
        let to = format!("dir:{}", dir.path().join(name).display());
        skopeo(&["copy", "--quiet", &from, &to]);
        assert_eq!(read_all(&*source(&to)), read_all(&*source(&from)));
        assert_eq!(skopeo_digest(&to), skopeo_digest(&from));
    }
}

#[test]
fn directories_with_an_index_are_read() {
    let dir = tempdir().unwrap();
    let mut layout = LayoutBuilder::new(dir.path().join("layout"));
    let (amd, arm) = (image("amd"), image("arm").architecture("arm64"));
    let entry = |image| Platform {
        image,
        variant: None,
    };
    layout.tag_index("os", &[entry(&arm), entry(&amd)]);
    let from = layout.reference("os");
    let to = format!("dir:{}", dir.path().join("dir").display());
    skopeo(&["copy", "--quiet", "--all", &from, &to]);
    assert_eq!(read_all(&*source(&to)), read_all(&*source(&from)));
}

#[test]
fn signatures_that_cannot_be_checked_are_not_ignored() {
    let image = format!("oci:{}", golden("oci").join("encap-v1").display());
    let fetch = |scheme: &str| {
        let reference = format!("{scheme}:{image}").parse().unwrap();
        oci::fetch::fetch_manifest_and_config(&reference, &context())
    };
    let (resolved, config) = fetch("ostree-unverified-image").unwrap();
    assert_eq!(config.diff_ids(&resolved.manifest).unwrap().len(), 1);
    fetch("ostree-remote-image:golden").unwrap();
    let error = fetch("ostree-image-signed").unwrap_err();
    assert!(matches!(error, Error::PolicyUnsupported(_)), "{error}");
}
