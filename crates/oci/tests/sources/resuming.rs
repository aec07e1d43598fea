//! Blobs that are continued by another try, in another process as far as anybody can tell.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use oci::digest::DigestReader;
use oci::parts::{PartLimits, Parts};
use oci::source::{Error, ImageSource, open};
use oci::spec::Descriptor;

use crate::scene::{context, digest_of};
use crate::server::{Reply, Repository, Server};

/// Long ago, so that nothing is too old.
const NOW: u64 = 1_000_000_000;

/// A server that sends at most so many bytes of a blob per answer, and counts them.
struct Cutting {
    server: Server,
    sent: Arc<AtomicUsize>,
    allowed: Arc<Mutex<Option<usize>>>,
}

impl Cutting {
    fn start(repository: &Repository) -> Self {
        let sent = Arc::new(AtomicUsize::new(0));
        let allowed = Arc::new(Mutex::new(None));
        let (repository, count, limit) =
            (repository.clone(), Arc::clone(&sent), Arc::clone(&allowed));
        let server = Server::start(move |request| {
            let reply = repository.reply(request);
            if !request.target.contains("/blobs/") {
                return reply;
            }
            let left = repository.layer.len() - request.offset();
            let now = limit.lock().unwrap().unwrap_or(left).min(left);
            count.fetch_add(now, Ordering::SeqCst);
            if now < left {
                reply.cut_after(now)
            } else {
                reply
            }
        });
        Self {
            server,
            sent,
            allowed,
        }
    }

    fn allow(&self, bytes: Option<usize>) {
        *self.allowed.lock().unwrap() = bytes;
    }

    /// The image as a new process sees it, which does not try again by itself.
    fn source(&self, dir: &Path) -> Box<dyn ImageSource> {
        let mut context = context();
        context.retry.attempts = 1;
        let dir = File::open(dir).unwrap().into();
        context.parts = Some(Parts::open(dir, PartLimits::default(), NOW).unwrap());
        let reference = format!("registry:{}/org/os:1", self.server.host());
        open(&reference.parse().unwrap(), &context).unwrap()
    }
}

fn layer_of(source: &dyn ImageSource) -> Descriptor {
    source.manifest().unwrap().manifest.layers()[0]
        .descriptor
        .clone()
}

fn read(source: &dyn ImageSource, layer: &Descriptor) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let raw = source.open_blob(layer, 0)?;
    DigestReader::new(raw, digest_of(layer), layer.size()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parts_in(dir: &Path) -> Vec<fs::DirEntry> {
    fs::read_dir(dir).unwrap().map(Result::unwrap).collect()
}

#[test]
fn cut_anywhere_no_byte_is_fetched_twice() {
    let repository = Repository::new(1 << 20);
    let size = repository.layer.len();
    let steps = [
        1, 100, 4096, 65_535, 65_536, 65_537, 7, 131_072, 200_001, 1, 262_144, 99_999,
    ];
    let cutting = Cutting::start(&repository);
    let dir = tempfile::tempdir().unwrap();
    let layer = layer_of(&*cutting.source(dir.path()));
    for step in steps {
        cutting.allow(Some(step));
        read(&*cutting.source(dir.path()), &layer).unwrap_err();
    }
    let fetched: usize = steps.iter().sum();
    assert_eq!(
        parts_in(dir.path())[0].metadata().unwrap().len(),
        fetched as u64
    );
    cutting.allow(None);
    let source = cutting.source(dir.path());
    assert!(read(&*source, &layer).unwrap() == repository.layer);
    assert_eq!(cutting.sent.load(Ordering::SeqCst), size);
    assert!(source.forget_part(&layer));
    assert!(parts_in(dir.path()).is_empty());
}

#[test]
fn a_blob_that_was_fetched_whole_needs_no_registry() {
    let repository = Repository::new(1 << 20);
    let cutting = Cutting::start(&repository);
    let dir = tempfile::tempdir().unwrap();
    let layer = layer_of(&*cutting.source(dir.path()));
    read(&*cutting.source(dir.path()), &layer).unwrap();
    let again = cutting.source(dir.path());
    drop(cutting);
    assert!(read(&*again, &layer).unwrap() == repository.layer);
}

#[test]
fn a_damaged_beginning_is_noticed_and_can_be_dropped() {
    let repository = Repository::new(1 << 20);
    let cutting = Cutting::start(&repository);
    let dir = tempfile::tempdir().unwrap();
    let layer = layer_of(&*cutting.source(dir.path()));
    cutting.allow(Some(300_000));
    read(&*cutting.source(dir.path()), &layer).unwrap_err();
    cutting.allow(None);
    let part = parts_in(dir.path())[0].path();
    let mut bytes = fs::read(&part).unwrap();
    bytes[1000] ^= 1;
    fs::write(&part, bytes).unwrap();
    let source = cutting.source(dir.path());
    let error = read(&*source, &layer).unwrap_err();
    assert!(matches!(
        Error::from_stream(source.reference(), error),
        Error::Content { .. }
    ));
    assert!(source.forget_part(&layer), "the beginning is to blame");
    assert!(read(&*source, &layer).unwrap() == repository.layer);
    assert!(!source.forget_part(&layer));
}

#[test]
fn a_server_without_ranges_is_bearable() {
    let repository = Repository::new(1 << 20);
    let serving = repository.clone();
    let cut = Arc::new(AtomicUsize::new(0));
    let times = Arc::clone(&cut);
    let server = Server::start(move |request| {
        if !request.target.contains("/blobs/") {
            return serving.reply(request);
        }
        let whole = Reply::new(200, serving.layer.clone());
        match times.fetch_add(1, Ordering::SeqCst) {
            0 => whole.cut_after(500_000),
            _ => whole,
        }
    });
    let cutting = Cutting {
        server,
        sent: Arc::default(),
        allowed: Arc::default(),
    };
    let dir = tempfile::tempdir().unwrap();
    let layer = layer_of(&*cutting.source(dir.path()));
    read(&*cutting.source(dir.path()), &layer).unwrap_err();
    assert!(read(&*cutting.source(dir.path()), &layer).unwrap() == repository.layer);
}
