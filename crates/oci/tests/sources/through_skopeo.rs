//! Transports that another program brings.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use error_class::{Classified, ErrorClass};
use oci::context::Context;
use oci::source::open;
use testkit::oci::{Image, Layer, LayoutBuilder};

use crate::scene::{context, read_all, skopeo, tar};

fn with_scratch(dir: &Path) -> Context {
    let mut context = context();
    context.scratch = Some(Arc::new(File::open(dir).unwrap().into()));
    context
}

#[test]
fn an_image_in_the_storage_of_containers_is_read_and_the_copy_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let mut layout = LayoutBuilder::new(dir.path().join("image"));
    let layer = Layer::new(tar("file", "content"));
    let diff_id = layer.diff_id();
    layout.tag("1", &Image::new().layer(layer));
    let storage = format!(
        "containers-storage:[vfs@{}+{}]",
        path("storage"),
        path("run")
    );
    let stored = format!("{storage}localhost/os:1");
    skopeo(&[
        "copy",
        "--quiet",
        &format!("oci:{}:1", path("image")),
        &stored,
    ]);

    let scratch = dir.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let context = with_scratch(&scratch);
    let source = open(&stored.parse().unwrap(), &context).unwrap();
    assert_eq!(source.reference().to_string(), stored);
    let digests = read_all(&*source);
    assert_eq!(digests.last().unwrap().to_string(), diff_id);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 1);
    drop(source);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);

    let missing = format!("{storage}localhost/no:1");
    let error = open(&missing.parse().unwrap(), &context).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound, "{error}");
    assert!(error.to_string().contains("skopeo says: "), "{error}");
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
}

#[test]
fn without_a_place_for_the_copy_it_is_said() {
    let reference = "docker-daemon:os:1".parse().unwrap();
    let error = open(&reference, &context()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unsupported);
    assert!(
        error.to_string().contains("directory for a copy"),
        "{error}"
    );
}
