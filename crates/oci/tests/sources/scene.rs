//! What most tests here begin with.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use oci::context::{Context, RetryPolicy, Timeouts};
use oci::digest::{Digest, DigestReader};
use oci::platform::Platform;
use oci::source::{Error, ImageSource, open};
use oci::spec::Descriptor;

/// A context for this machine's files, with pauses that tests can afford.
pub(crate) fn context() -> Context {
    let root = File::open("/").unwrap();
    let mut context = Context::new(root.into());
    context.platform = Platform::linux("amd64");
    context.retry = RetryPolicy {
        attempts: 4,
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(40),
        longest_retry_after: Duration::from_secs(2),
        seed: 1,
    };
    context.timeouts = Timeouts {
        resolve: Duration::from_secs(10),
        connect: Duration::from_secs(10),
        response: Duration::from_secs(2),
        stall: Duration::from_secs(1),
    };
    context
}

/// Opens an image.
pub(crate) fn source(reference: &str) -> Box<dyn ImageSource> {
    try_source(reference).unwrap()
}

pub(crate) fn try_source(reference: &str) -> Result<Box<dyn ImageSource>, Error> {
    open(&reference.parse().unwrap(), &context())
}

/// The digest in a descriptor.
pub(crate) fn digest_of(descriptor: &Descriptor) -> Digest {
    descriptor.digest().try_into().unwrap()
}

/// A blob from an offset on, unverified.
pub(crate) fn blob(source: &dyn ImageSource, descriptor: &Descriptor, offset: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = source.open_blob(descriptor, offset).unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Reads everything an image has, verified, and returns the digests: manifest, configuration,
/// layers.
pub(crate) fn read_all(source: &dyn ImageSource) -> Vec<Digest> {
    let manifest = source.manifest().unwrap().manifest;
    let config = source.config(&manifest).unwrap();
    config.diff_ids(&manifest).unwrap();
    let mut digests = vec![manifest.digest().clone(), config.digest().clone()];
    for layer in manifest.layers() {
        let raw = source.open_blob(&layer.descriptor, 0).unwrap();
        let mut reader = DigestReader::new(raw, layer.digest.clone(), layer.size);
        reader.drain().unwrap();
        digests.push(layer.digest.clone());
    }
    digests
}

/// Reads everything an image has and expects that to fail.
pub(crate) fn read_error(source: &dyn ImageSource) -> Error {
    let read = || {
        let manifest = source.manifest()?.manifest;
        source.config(&manifest)?;
        for layer in manifest.layers() {
            source.read_blob(&layer.descriptor, u64::MAX)?;
        }
        Ok(())
    };
    read().expect_err("the image is damaged")
}

/// Runs skopeo.
pub(crate) fn skopeo(arguments: &[&str]) -> String {
    let mut command = testkit::command("skopeo");
    command.arg("--insecure-policy").args(arguments);
    testkit::stdout(&mut command)
}

/// The digest that skopeo has for an image's manifest.
pub(crate) fn skopeo_digest(reference: &str) -> String {
    let mut command = testkit::command("skopeo");
    let arguments = ["inspect", "--raw", "--tls-verify=false", reference];
    let raw = testkit::run(command.args(arguments)).stdout;
    Digest::sha256(&raw).to_string()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An archive with one file.
pub(crate) fn tar(path: &str, content: &str) -> Vec<u8> {
    testkit::tar::TarWriter::new()
        .file(path, 0o644, content)
        .finish()
}
