//! What goes wrong on the way: the answer is either right or one clear error, in bounded time.

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use error_class::{Classified, ErrorClass};
use oci::digest::Digest;
use oci::registry::Problem;
use oci::source::{Error, ImageSource, open};
use progress::Interrupted;

use crate::scene::{blob, context, read_all, source};
use crate::server::{Reply, Repository, Request, Server, partial};

fn pull(server: &Server) -> Box<dyn ImageSource> {
    source(&format!("registry:{}/org/os:1", server.host()))
}

fn problem(error: Error) -> Problem {
    match error {
        Error::Registry(error) => error.problem,
        other => panic!("{other}"),
    }
}

/// A sound registry, except for what `fault` says about a request; it is told how many of the kind
/// came before.
fn faulty(
    repository: &Repository,
    kind: &'static str,
    fault: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
) -> Server {
    let sound = repository.clone();
    let count = AtomicUsize::new(0);
    Server::start(move |request| {
        let concerned = request.target.contains(kind);
        let number = || count.fetch_add(1, Ordering::SeqCst);
        concerned
            .then(|| fault(request, number()))
            .flatten()
            .unwrap_or_else(|| sound.reply(request))
    })
}

fn repository() -> Repository {
    Repository::new(300_000)
}

/// Reads the layer of the image of [`Repository`], unverified.
fn read_layer(server: &Server) -> Result<Vec<u8>, Error> {
    let pulled = pull(server);
    let manifest = pulled.manifest()?.manifest;
    let layer = &manifest.layers()[0].descriptor;
    let mut bytes = Vec::new();
    let mut reader = pulled.open_blob(layer, 0)?;
    match reader.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Error::from_stream(pulled.reference(), error)),
    }
}

fn layer_requests(server: &Server, repository: &Repository) -> Vec<Request> {
    let digest = Digest::sha256(&repository.layer).to_string();
    let requests = server.requests().into_iter();
    requests
        .filter(|request| request.target.contains(&digest))
        .collect()
}

#[test]
fn connections_are_used_again() {
    let repository = repository();
    let server = faulty(&repository, "nothing", |_, _| None);
    let pulled = pull(&server);
    for _ in 0..5 {
        read_all(&*pulled);
    }
    assert_eq!(server.requests().len(), 15);
    assert_eq!(server.connections(), 1);
}

#[test]
fn passing_failures_are_passed_over() {
    for status in [408, 429, 500, 502, 503, 504] {
        for kind in ["/manifests/", "/blobs/"] {
            let repository = repository();
            let server = faulty(&repository, kind, move |_, n| {
                (n < 2).then(|| Reply::new(status, "trouble"))
            });
            assert!(
                read_layer(&server).unwrap() == repository.layer,
                "{status} {kind}"
            );
        }
    }
}

#[test]
fn lasting_failures_end_after_a_few_attempts() {
    for (status, requests, class) in [
        (503, 4, ErrorClass::Network),
        (429, 4, ErrorClass::RateLimited),
        (400, 1, ErrorClass::Forbidden),
        (403, 1, ErrorClass::Forbidden),
        (404, 1, ErrorClass::NotFound),
        (501, 1, ErrorClass::Forbidden),
    ] {
        let repository = repository();
        let server = faulty(&repository, "/manifests/", move |_, _| {
            Some(Reply::new(status, "no"))
        });
        let error = read_layer(&server).unwrap_err();
        assert_eq!(error.class(), class, "{status}: {error}");
        assert_eq!(server.requests().len(), requests, "{status}");
        let named = format!("registry {}, repository org/os: ", server.host());
        assert!(error.to_string().starts_with(&named), "{error}");
    }
}

#[test]
fn the_server_says_when_to_come_back() {
    let repository = repository();
    let server = faulty(&repository, "/manifests/", |_, n| {
        (n == 0).then(|| Reply::new(429, "").header("Retry-After", "1"))
    });
    let begun = Instant::now();
    read_layer(&server).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let server = faulty(&repository, "/manifests/", |_, _| {
        Some(Reply::new(429, "").header("Retry-After", "3600"))
    });
    let error = problem(read_layer(&server).unwrap_err());
    assert!(matches!(error, Problem::RateLimited { .. }));
    assert_eq!(
        error.to_string(),
        "too many requests, to be repeated in 3600 s; log in for a higher limit or try later"
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_blob_is_continued_where_it_broke_off() {
    let repository = repository();
    let size = repository.layer.len();
    for step in [70_000, 130_000, size - 1] {
        let layer = repository.layer.clone();
        let server = faulty(&repository, "/blobs/", move |request, _| {
            let rest = layer.len() - request.offset();
            (rest > step).then(|| partial(&layer, request).cut_after(step))
        });
        assert!(read_layer(&server).unwrap() == repository.layer, "{step}");
        let offsets: Vec<_> = layer_requests(&server, &repository)
            .iter()
            .map(Request::offset)
            .collect();
        let expected: Vec<_> = (0..size).step_by(step).collect();
        assert_eq!(offsets, expected, "nothing is fetched twice");
    }
}

#[test]
fn every_place_to_break_off_at_is_continued_from() {
    let repository = Repository::new(2_000);
    let size = repository.layer.len();
    let cut = Arc::new(AtomicUsize::new(0));
    let layer = repository.layer.clone();
    let place = Arc::clone(&cut);
    let server = faulty(&repository, "/blobs/", move |request, _| {
        let place = place.load(Ordering::SeqCst);
        (request.offset() == 0).then(|| partial(&layer, request).cut_after(place))
    });
    let pulled = pull(&server);
    let manifest = pulled.manifest().unwrap().manifest;
    let descriptor = &manifest.layers()[0].descriptor;
    // A cut before the first byte is asked for from the start again, and never ends here.
    for place in (1..size).step_by(61).chain([size - 1]) {
        cut.store(place, Ordering::SeqCst);
        assert!(blob(&*pulled, descriptor, 0) == repository.layer, "{place}");
    }
}

#[test]
fn a_server_without_ranges_is_read_from_the_start_again() {
    let repository = repository();
    let layer = repository.layer.clone();
    let server = faulty(&repository, "/blobs/", move |_, n| {
        let whole = Reply::new(200, layer.clone());
        Some(if n < 2 {
            whole.cut_after(100_000 * (n + 1))
        } else {
            whole
        })
    });
    assert!(read_layer(&server).unwrap() == repository.layer);
    assert_eq!(layer_requests(&server, &repository).len(), 3);
}

#[test]
fn a_blob_that_never_gets_further_is_given_up() {
    let repository = repository();
    let layer = repository.layer.clone();
    let server = faulty(&repository, "/blobs/", move |request, _| {
        let end = 100_000usize.saturating_sub(request.offset());
        Some(partial(&layer, request).cut_after(end))
    });
    let error = problem(read_layer(&server).unwrap_err());
    assert_eq!(error.class(), ErrorClass::Network);
    let position = match &error {
        Problem::BrokeOff { position, .. } => *position,
        other => panic!("{other}"),
    };
    assert_eq!(position, 100_000);
    assert!(layer_requests(&server, &repository).len() <= 5);
}

#[test]
fn a_stalled_transfer_is_noticed_and_continued() {
    let repository = repository();
    let layer = repository.layer.clone();
    let server = faulty(&repository, "/blobs/", move |request, n| {
        (n == 0).then(|| partial(&layer, request).stall_after(50_000, Duration::from_secs(8)))
    });
    let begun = Instant::now();
    assert!(read_layer(&server).unwrap() == repository.layer);
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_server_that_never_answers_is_a_timeout() {
    let repository = repository();
    let server = faulty(&repository, "/manifests/", |_, _| {
        thread::sleep(Duration::from_secs(3));
        None
    });
    let mut context = context();
    context.retry.attempts = 1;
    context.timeouts.response = Duration::from_millis(300);
    let reference = format!("registry:{}/org/os:1", server.host());
    let pulled = open(&reference.parse().unwrap(), &context).unwrap();
    let error = problem(pulled.manifest().unwrap_err());
    assert!(matches!(error, Problem::Timeout { .. }), "{error}");
    let expected = format!(
        "{} did not answer in time while waiting for an answer",
        server.host()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn wrong_sizes_are_noticed_before_they_are_read() {
    let repository = repository();
    let layer = repository.layer.clone();
    let size = layer.len();
    let replies = [
        Reply::new(200, layer.clone()).announcing(size + 1000),
        Reply::new(200, layer.clone()).announcing(size - 1000),
        Reply::new(200, [&layer[..], b"more"].concat()),
        Reply::new(200, [&layer[..], b"more"].concat()).chunked(),
    ];
    for (n, reply) in replies.into_iter().enumerate() {
        let server = faulty(&repository, "/blobs/", move |_, _| Some(reply.clone()));
        let error = problem(read_layer(&server).unwrap_err());
        assert!(matches!(error, Problem::WrongSize { .. }), "{n}: {error}");
        assert_eq!(error.class(), ErrorClass::Corrupt);
        assert_eq!(layer_requests(&server, &repository).len(), 1);
    }
}

#[test]
fn unannounced_sizes_are_fine_if_they_are_right() {
    let repository = repository();
    let layer = repository.layer.clone();
    let server = faulty(&repository, "/blobs/", move |_, _| {
        Some(Reply::new(200, layer.clone()).chunked())
    });
    assert!(read_layer(&server).unwrap() == repository.layer);
}

#[test]
fn wrong_ranges_are_refused() {
    let repository = repository();
    let layer = repository.layer.clone();
    let size = layer.len();
    for (range, message) in [
        (
            format!("bytes 2000-{}/{size}", size - 1),
            "range begins at 2000, not 1000".to_owned(),
        ),
        (
            format!("bytes 1000-{}/{}", size - 1, size + 1),
            format!("instead of {size}"),
        ),
        (
            "nonsense".to_owned(),
            "partial answer without a range".to_owned(),
        ),
    ] {
        let layer = layer.clone();
        let server = faulty(&repository, "/blobs/", move |_, _| {
            Some(Reply::new(206, &layer[1000..]).header("Content-Range", &range))
        });
        let pulled = pull(&server);
        let manifest = pulled.manifest().unwrap().manifest;
        let error = pulled.open_blob(&manifest.layers()[0].descriptor, 1000);
        let error = error.err().unwrap();
        assert!(error.to_string().contains(&message), "{error}");
    }
}

#[test]
fn wrong_content_is_never_accepted() {
    let repository = repository();
    let mut other = repository.manifest.clone();
    other.push(b' ');
    let reply = Reply::new(200, other).header(
        "Docker-Content-Digest",
        Digest::sha256(&repository.manifest),
    );
    let wrong = reply.clone();
    let server = faulty(&repository, "/manifests/", move |_, _| Some(wrong.clone()));
    let error = pull(&server).manifest().unwrap_err();
    assert!(matches!(error, Error::Content { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Corrupt);

    let bare = Reply::new(200, [&repository.manifest[..], b" "].concat());
    let server = faulty(&repository, "/manifests/", move |_, _| Some(bare.clone()));
    pull(&server).manifest().unwrap();
    let digest = Digest::sha256(&repository.manifest);
    let pinned = source(&format!("registry:{}/org/os@{digest}", server.host()));
    let error = pinned.manifest().unwrap_err();
    assert!(matches!(error, Error::Content { .. }), "{error}");
    let named = format!("content of {digest} is damaged");
    assert!(error.to_string().contains(&named), "{error}");
}

#[test]
fn a_manifest_must_be_one_and_small() {
    let repository = repository();
    let large = vec![b' '; (4 << 20) + 1];
    for (body, class) in [
        (&b"<html>"[..], ErrorClass::Corrupt),
        (b"{}", ErrorClass::Corrupt),
        (&large, ErrorClass::Unsupported),
    ] {
        let reply = Reply::new(200, body);
        let server = faulty(&repository, "/manifests/", move |_, _| Some(reply.clone()));
        let error = pull(&server).manifest().unwrap_err();
        assert_eq!(error.class(), class, "{error}");
    }
    let index = Reply::new(200, repository.manifest.clone())
        .header("Content-Type", "application/vnd.oci.image.index.v1+json");
    let server = faulty(&repository, "/manifests/", move |_, _| Some(index.clone()));
    let error = pull(&server).manifest().unwrap_err();
    assert!(error.to_string().contains("is ambiguous"), "{error}");
}

#[test]
fn redirects_end() {
    let repository = repository();
    let server = faulty(&repository, "/blobs/", |request, _| {
        Some(Reply::redirect(&request.target))
    });
    let error = problem(read_layer(&server).unwrap_err());
    assert!(error.to_string().ends_with("too many redirects"), "{error}");
    for (location, message) in [
        (
            "http://registry.invalid/blob",
            "http://registry.invalid would be plain HTTP",
        ),
        (
            "ftp://registry.invalid/blob",
            "redirect without a usable location",
        ),
        ("http://", "redirect without a usable location"),
    ] {
        let server = faulty(&repository, "/blobs/", move |_, _| {
            Some(Reply::redirect(location))
        });
        let error = problem(read_layer(&server).unwrap_err());
        assert!(error.to_string().contains(message), "{location}: {error}");
        assert_eq!(layer_requests(&server, &repository).len(), 1);
    }
}

#[test]
fn what_is_no_registry_is_said_to_be_none() {
    for (status, message) in [
        (404, "there is no registry API at /v2/"),
        (401, "it wants authentication but does not say which"),
        (
            418,
            "the server refused registry API (/v2/) with status 418",
        ),
    ] {
        let server = Server::start(move |_| Reply::new(status, "<html>nothing</html>"));
        let error = pull(&server).manifest().unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn nobody_there_is_a_network_failure() {
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = source(&format!("registry:127.0.0.1:{port}/os"))
        .manifest()
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Network);
    let expected = format!("connection to 127.0.0.1:{port} failed: ");
    assert!(error.to_string().contains(&expected), "{error}");

    let error = problem(
        source("registry:registry.invalid/os")
            .manifest()
            .unwrap_err(),
    );
    assert_eq!(error.class(), ErrorClass::NoAddress);
    let expected = "cannot find the address of registry.invalid: ";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn an_interrupt_ends_everything_soon() {
    let repository = repository();
    let server = faulty(&repository, "/manifests/", |_, _| Some(Reply::new(503, "")));
    let mut context = context();
    context.retry.attempts = u32::MAX;
    context.retry.first_pause = Duration::from_secs(60);
    context.retry.longest_pause = Duration::from_secs(60);
    let interrupt = context.interrupt.clone();
    let reference = format!("registry:{}/org/os:1", server.host());
    let pulled = open(&reference.parse().unwrap(), &context).unwrap();
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            interrupt.raise();
        });
        let error = pulled.manifest().unwrap_err();
        assert_eq!(error.class(), ErrorClass::Interrupted);
    });
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_interrupt_reaches_whoever_reads_a_blob() {
    let repository = repository();
    let server = faulty(&repository, "nothing", |_, _| None);
    let context = context();
    let reference = format!("registry:{}/org/os:1", server.host());
    let pulled = open(&reference.parse().unwrap(), &context).unwrap();
    let manifest = pulled.manifest().unwrap().manifest;
    let mut reader = pulled
        .open_blob(&manifest.layers()[0].descriptor, 0)
        .unwrap();
    reader.read_exact(&mut [0; 100]).unwrap();
    context.interrupt.raise();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(Interrupted::is_cause_of(&error));
}

#[test]
fn errors_keep_their_class_through_a_reader() {
    let repository = repository();
    let layer = repository.layer.clone();
    let server = faulty(&repository, "/blobs/", move |request, n| {
        Some(match n {
            0 => partial(&layer, request).cut_after(1000),
            _ => Reply::new(403, "gone"),
        })
    });
    let pulled = pull(&server);
    let manifest = pulled.manifest().unwrap().manifest;
    let mut reader = pulled
        .open_blob(&manifest.layers()[0].descriptor, 0)
        .unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(
        Error::cause_of(&error).unwrap().class(),
        ErrorClass::Forbidden
    );
}

#[test]
fn sources_can_be_shared_and_outlived() {
    let repository = repository();
    let server = Arc::new(faulty(&repository, "nothing", |_, _| None));
    let pulled = pull(&server);
    let manifest = pulled.manifest().unwrap().manifest;
    let layer = manifest.layers()[0].descriptor.clone();
    let expected = blob(&*pulled, &layer, 0);
    let mut reader = pulled.open_blob(&layer, 0).unwrap();
    drop(pulled);
    let read = thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    assert!(read.join().unwrap() == expected);
}
