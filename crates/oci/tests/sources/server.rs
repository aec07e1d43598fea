//! A registry that does what a test tells it to: fail, stall, lie, redirect.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use oci::digest::Digest;
use oci::media_type::{OCI_CONFIG, OCI_MANIFEST};
use serde_json::json;

use crate::scene::tar;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte that a `Range` header asks for.
    pub(crate) fn offset(&self) -> usize {
        let range = self.header("range").map(|range| {
            let range = range.strip_prefix("bytes=").unwrap();
            range.strip_suffix('-').unwrap().parse().unwrap()
        });
        range.unwrap_or(0)
    }
}

/// An answer, right or wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// What `Content-Length` says, if not the truth.
    length: Option<usize>,
    chunked: bool,
    /// Send this much of the body and then close, or stall.
    stop_after: Option<usize>,
    stall: Duration,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            ..Self::default()
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn redirect(location: impl Into<String>) -> Self {
        Self::new(307, "").header("Location", location)
    }

    pub(crate) fn announcing(mut self, length: usize) -> Self {
        self.length = Some(length);
        self
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.stop_after = Some(bytes);
        self
    }

    pub(crate) fn stall_after(mut self, bytes: usize, pause: Duration) -> Self {
        self.stop_after = Some(bytes);
        self.stall = pause;
        self
    }

    fn send(&self, stream: &mut TcpStream) -> std::io::Result<bool> {
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &if self.chunked {
            "Transfer-Encoding: chunked\r\n\r\n".to_owned()
        } else {
            let length = self.length.unwrap_or(self.body.len());
            format!("Content-Length: {length}\r\n\r\n")
        };
        stream.write_all(head.as_bytes())?;
        let end = self.stop_after.unwrap_or(usize::MAX).min(self.body.len());
        let body = &self.body[..end];
        if self.chunked && !body.is_empty() {
            write!(stream, "{:x}\r\n", body.len())?;
        }
        stream.write_all(body)?;
        if self.stop_after.is_some() {
            stream.flush()?;
            thread::sleep(self.stall);
            return Ok(false);
        }
        if self.chunked {
            stream.write_all(b"\r\n0\r\n\r\n")?;
        }
        Ok(self.length.is_none())
    }
}

/// A server on loopback; gone when dropped.
pub(crate) struct Server {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<dyn Fn(&Request) -> Reply + Send + Sync>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    stopped: AtomicBool,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            requests: Mutex::default(),
            connections: AtomicUsize::default(),
            stopped: AtomicBool::default(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let serving = Arc::clone(&serving);
                thread::spawn(move || serving.serve(stream.unwrap()));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host())
    }

    /// The requests so far, without those for `/v2/` itself.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let requests = self.shared.requests.lock().unwrap();
        requests
            .iter()
            .filter(|r| r.target != "/v2/")
            .cloned()
            .collect()
    }

    /// How many requests there were for `/v2/` itself.
    pub(crate) fn pings(&self) -> usize {
        let requests = self.shared.requests.lock().unwrap();
        requests.iter().filter(|r| r.target == "/v2/").count()
    }

    /// How many connections were made for HTTP.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
        let mut writer = stream.try_clone().unwrap();
        let mut reader = BufReader::new(stream);
        let mut first = true;
        while let Some(request) = read_request(&mut reader) {
            if std::mem::take(&mut first) {
                self.connections.fetch_add(1, Ordering::SeqCst);
            }
            self.requests.lock().unwrap().push(request.clone());
            let reply = (self.handler)(&request);
            if !reply.send(&mut writer).unwrap_or(false) {
                return;
            }
        }
    }
}

/// None at the end of the connection, and for what is not HTTP (a TLS greeting).
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    if *reader.fill_buf().ok()?.first()? == 0x16 {
        return None;
    }
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        target,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

/// What a well-behaved registry has: one image under the tag `1` of `org/os`.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) manifest: Vec<u8>,
    pub(crate) layer: Vec<u8>,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Repository {
    /// With a layer of about so many bytes.
    pub(crate) fn new(layer_size: usize) -> Self {
        let content: String = (0..)
            .map(|n| format!("{n:07} "))
            .take(layer_size / 8)
            .collect();
        let layer = tar("file", &content);
        let describe = |media_type: &str, bytes: &[u8]| {
            let digest = Digest::sha256(bytes);
            json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
        };
        let layer_entry = describe("application/vnd.oci.image.layer.v1.tar", &layer);
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [layer_entry["digest"]]},
        })
        .to_string()
        .into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": describe(OCI_CONFIG, &config), "layers": [layer_entry],
        });
        let by_digest = |bytes: &Vec<u8>| (Digest::sha256(bytes).to_string(), bytes.clone());
        Self {
            manifest: manifest.to_string().into_bytes(),
            blobs: [&layer, &config].map(by_digest).into(),
            layer,
        }
    }

    /// The answer that is right.
    pub(crate) fn reply(&self, request: &Request) -> Reply {
        let path = request.target.split('?').next().unwrap();
        if path == "/v2/" {
            return Reply::new(200, "{}");
        }
        let digest = Digest::sha256(&self.manifest).to_string();
        let is_manifest = |wanted: &str| wanted == "1" || wanted == digest;
        if path
            .strip_prefix("/v2/org/os/manifests/")
            .is_some_and(is_manifest)
        {
            return Reply::new(200, self.manifest.clone())
                .header("Content-Type", OCI_MANIFEST)
                .header("Docker-Content-Digest", digest);
        }
        let blob = path
            .rsplit_once('/')
            .and_then(|(_, digest)| self.blobs.get(digest));
        match blob {
            Some(blob) => partial(blob, request),
            None => Reply::new(
                404,
                r#"{"errors": [{"code": "NAME_UNKNOWN", "message": "no"}]}"#,
            ),
        }
    }
}

/// The part of a blob that a request asks for.
pub(crate) fn partial(blob: &[u8], request: &Request) -> Reply {
    let offset = request.offset();
    if request.header("range").is_none() {
        return Reply::new(200, blob);
    }
    let range = format!("bytes {offset}-{}/{}", blob.len() - 1, blob.len());
    Reply::new(206, &blob[offset..]).header("Content-Range", range)
}
