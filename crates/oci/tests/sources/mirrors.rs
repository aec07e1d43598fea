//! Images from other places than their names say, and to registries.

use std::fs;
use std::io::{Read as _, Write as _};

use error_class::{Classified, ErrorClass};
use oci::context::Context;
use oci::destination::{Destination, create};
use oci::digest::Digest;
use oci::media_type::{OCI_CONFIG, OCI_MANIFEST};
use oci::source::{ImageSource, open};
use oci::spec::{Descriptor, MediaType};
use testkit::Registry;

use crate::scene::{context, read_all, skopeo_digest, tar};
use crate::server::{Reply, Repository, Server};

const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

fn with_conf(text: &str) -> Context {
    let mut context = context();
    context
        .registries
        .add("test.conf", text.as_bytes())
        .unwrap();
    context
}

fn image(context: &Context) -> Box<dyn ImageSource> {
    open(
        &"registry:example.invalid/org/os:1".parse().unwrap(),
        context,
    )
    .unwrap()
}

fn mirrored(mirrors: &[&Server], itself: &Server) -> Context {
    let tables: String = mirrors
        .iter()
        .map(|mirror| format!("[[registry.mirror]]\nlocation = '{}'\n", mirror.host()))
        .collect();
    with_conf(&format!(
        "[[registry]]\nprefix = 'example.invalid'\nlocation = '{}'\n{tables}",
        itself.host()
    ))
}

fn sound(repository: &Repository) -> Server {
    let repository = repository.clone();
    Server::start(move |request| repository.reply(request))
}

#[test]
fn the_first_mirror_that_has_the_image_is_enough() {
    let repository = Repository::new(100_000);
    let (mirror, itself) = (sound(&repository), sound(&repository));
    let digests = read_all(&*image(&mirrored(&[&mirror], &itself)));
    assert_eq!(digests[0], Digest::sha256(&repository.manifest));
    assert!(itself.requests().is_empty());
}

#[test]
fn what_a_mirror_lacks_comes_from_the_next_place() {
    let repository = Repository::new(100_000);
    let serving = repository.clone();
    let without_blobs = Server::start(move |request| {
        if request.target.contains("/blobs/") {
            return Reply::new(404, "");
        }
        serving.reply(request)
    });
    let broken = Server::start(|_| Reply::new(500, ""));
    let itself = sound(&repository);
    read_all(&*image(&mirrored(&[&broken, &without_blobs], &itself)));
    let from_itself = itself.requests();
    assert!(
        from_itself
            .iter()
            .all(|request| request.target.contains("/blobs/"))
    );
    assert!(!from_itself.is_empty());
}

#[test]
fn when_no_place_has_it_all_are_named() {
    let (mirror, itself) = (
        Server::start(|_| Reply::new(500, "")),
        Server::start(|request| match request.target.as_str() {
            "/v2/" => Reply::new(200, "{}"),
            _ => Reply::new(404, ""),
        }),
    );
    let error = image(&mirrored(&[&mirror], &itself))
        .manifest()
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    let told = error.to_string();
    assert!(told.contains("mirrors failed before: "), "{told}");
    assert!(
        told.contains(&mirror.host()) && told.contains(&itself.host()),
        "{told}"
    );
}

fn blob(sink: &mut dyn oci::sink::ImageSink, bytes: &[u8], kind: &str) -> Descriptor {
    let mut blob = sink.blob().unwrap();
    blob.write_all(bytes).unwrap();
    blob.finish().unwrap().descriptor(MediaType::from(kind))
}

#[test]
fn what_is_written_to_a_registry_is_read_by_skopeo_and_by_us() {
    let registry = Registry::start();
    let reference = format!("registry:{}", registry.reference("new/os:1"));
    let reference = reference.parse().unwrap();
    // More than one chunk, and one that is empty but for its frame.
    let layers = [
        tar("large", &"0123456789abcdef".repeat(1_200_000)),
        tar("small", ""),
    ];
    let Destination { mut sink, tag } = create(&reference, &context()).unwrap();
    let described: Vec<_> = layers
        .iter()
        .map(|layer| blob(&mut *sink, layer, OCI_LAYER))
        .collect();
    assert!(sink.has_blob(&Digest::sha256(&layers[0])).unwrap());
    assert!(!sink.has_blob(&Digest::sha256(b"other")).unwrap());
    let diff_ids: Vec<_> = layers
        .iter()
        .map(|layer| Digest::sha256(layer).to_string())
        .collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = blob(&mut *sink, config.to_string().as_bytes(), OCI_CONFIG);
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": described,
    });
    let bytes = manifest.to_string().into_bytes();
    let manifest = blob(&mut *sink, &bytes, OCI_MANIFEST);
    sink.finish(&manifest, tag.as_deref()).unwrap();

    let expected = Digest::sha256(&bytes).to_string();
    assert_eq!(
        skopeo_digest(&format!("docker://{}", registry.reference("new/os:1"))),
        expected
    );
    let stored = fs::read(registry.blob(&Digest::sha256(&layers[0]).to_string())).unwrap();
    assert!(stored == layers[0]);
    let pulled = open(&reference, &context()).unwrap();
    assert_eq!(read_all(&*pulled).len(), 4);
    let mut small = Vec::new();
    let small_layer = pulled
        .open_blob(&described[1], 0)
        .unwrap()
        .read_to_end(&mut small);
    assert_eq!(small_layer.unwrap(), layers[1].len());
}
