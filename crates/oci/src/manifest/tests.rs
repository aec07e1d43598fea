use super::*;

use error_class::{Classified, ErrorClass};
use serde_json::{Value, json};

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": {"mediaType": media_type::OCI_CONFIG, "digest": DIGEST, "size": 3},
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": DIGEST, "size": 3,
        }],
    })
}

fn index() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": [{"mediaType": media_type::OCI_MANIFEST, "digest": DIGEST, "size": 3}],
    })
}

fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    match value.pointer_mut(pointer) {
        Some(place) => *place = new,
        None => value[&pointer[1..]] = new,
    }
    value
}

fn without(mut value: Value, member: &str) -> Value {
    value.as_object_mut().unwrap().remove(member);
    value
}

fn parse(value: &Value) -> Result<Manifest, ManifestError> {
    Document::new(value.to_string().into_bytes(), None).parse()
}

#[test]
fn images_and_indexes_are_told_apart() {
    let Manifest::Image(parsed) = parse(&image()).unwrap() else {
        panic!("not an image");
    };
    assert_eq!(parsed.bytes(), image().to_string().as_bytes());
    assert_eq!(parsed.digest(), &Digest::sha256(parsed.bytes()));
    let [layer] = parsed.layers() else {
        panic!("not one layer");
    };
    assert_eq!(layer.digest.to_string(), DIGEST);
    assert_eq!((layer.size, layer.compression), (3, Compression::Gzip));
    assert!(matches!(parse(&index()).unwrap(), Manifest::Index(_)));
    for value in [image(), index()] {
        parse(&without(value, "mediaType")).unwrap();
    }
}

#[test]
fn docker_documents_are_read() {
    let docker = with(image(), "/mediaType", media_type::DOCKER_MANIFEST.into());
    let docker = with(
        docker,
        "/config/mediaType",
        media_type::DOCKER_CONFIG.into(),
    );
    let gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let docker = with(docker, "/layers/0/mediaType", gzip.into());
    assert!(matches!(parse(&docker).unwrap(), Manifest::Image(_)));
    let list = with(index(), "/mediaType", media_type::DOCKER_LIST.into());
    assert!(matches!(parse(&list).unwrap(), Manifest::Index(_)));
}

#[test]
fn contradictions_are_refused() {
    let cases = [
        with(image(), "/manifests", json!([])),
        with(index(), "/layers", json!([])),
        with(image(), "/mediaType", media_type::OCI_INDEX.into()),
        with(index(), "/mediaType", media_type::DOCKER_MANIFEST.into()),
        json!({"schemaVersion": 2}),
    ];
    for value in cases {
        let error = parse(&value).unwrap_err();
        assert!(matches!(error, ManifestError::Ambiguous(_)), "{error}");
        assert_eq!(error.class(), ErrorClass::Corrupt);
    }
    let bytes = image().to_string().into_bytes();
    let error = Document::new(bytes, Some(media_type::OCI_INDEX)).parse();
    assert!(matches!(error.unwrap_err(), ManifestError::Ambiguous(_)));
}

#[test]
fn a_member_that_occurs_twice_is_refused() {
    let text = index().to_string();
    let twice = text.replacen('{', r#"{"manifests":[],"#, 1);
    let error = Document::new(twice.into_bytes(), None).parse().unwrap_err();
    assert!(matches!(error, ManifestError::Json { .. }), "{error}");
}

#[test]
fn what_is_not_an_image_is_unsupported() {
    let empty = "application/vnd.oci.empty.v1+json";
    let cases = [
        with(image(), "/config/mediaType", empty.into()),
        with(image(), "/mediaType", "application/vnd.cncf.chart".into()),
        with(image(), "/schemaVersion", 1.into()),
        with(image(), "/layers/0/mediaType", empty.into()),
    ];
    for value in cases {
        let error = parse(&value).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unsupported, "{error}");
    }
}

#[test]
fn hostile_descriptors_are_refused() {
    for bad in [
        "sha256:../../etc/passwd",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "../x",
        "",
    ] {
        for place in ["/layers/0/digest", "/config/digest"] {
            let parsed = parse(&with(image(), place, bad.into()));
            assert!(parsed.is_err(), "{place} {bad}");
        }
    }
    let error = parse(&with(image(), "/layers/0/size", (-1).into())).unwrap_err();
    assert!(matches!(error, ManifestError::Json { .. }), "{error}");
}

#[test]
fn a_wrong_digest_is_noticed() {
    let expected = DIGEST.parse().unwrap();
    let bytes = image().to_string().into_bytes();
    let error = Document::pinned(bytes, None, &expected).unwrap_err();
    assert!(matches!(error, VerifyError::Mismatch { .. }));
    let document = Document::pinned(b"abc".to_vec(), None, &expected).unwrap();
    assert_eq!(document.digest(), &expected);
}

#[test]
fn diff_ids_must_match_the_layers() {
    let Manifest::Image(manifest) = parse(&image()).unwrap() else {
        panic!("not an image");
    };
    let config = |diff_ids: Value| {
        let value = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let bytes = value.to_string().into_bytes();
        RawConfig::from_bytes(Digest::sha256(&bytes), bytes).unwrap()
    };
    let right = config(json!([DIGEST])).diff_ids(&manifest).unwrap();
    assert_eq!(right, [DIGEST.parse().unwrap()]);
    for wrong in [json!([]), json!([DIGEST, DIGEST]), json!(["x"])] {
        assert!(config(wrong).diff_ids(&manifest).is_err());
    }
}
