//! A registry that makes pulls wait.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

/// A server that takes connections.
pub(crate) fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    (listener, host)
}

/// A registry with one image, whose layers come so slowly that nobody can wait for their end. Tells
/// when one begins.
pub(crate) fn serve_slowly(listener: TcpListener, images: PathBuf, manifest: &str) -> Receiver<()> {
    let (begun, layer_begun) = mpsc::channel();
    let manifest = manifest.to_owned();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (images, manifest, begun) = (images.clone(), manifest.clone(), begun.clone());
            thread::spawn(move || serve(connection, &images, &manifest, &begun));
        }
    });
    layer_begun
}

/// Answers requests until the other side is gone.
fn serve(connection: TcpStream, images: &Path, manifest: &str, begun: &Sender<()>) -> Option<()> {
    let mut requests = BufReader::new(connection.try_clone().ok()?).lines();
    let mut out = connection;
    loop {
        let request = requests.next()?.ok()?;
        while !requests.next()?.ok()?.is_empty() {}
        let path = request.split(' ').nth(1)?;
        let digest = if path.contains("/manifests/") {
            manifest
        } else {
            path.rsplit('/').next()?
        };
        let blob =
            fs::read(images.join("blobs").join(digest.replace(':', "/"))).unwrap_or_default();
        let length = blob.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json";
        write!(out, "{head}\r\nContent-Length: {length}\r\n\r\n").ok()?;
        for (index, part) in blob.chunks(16 << 10).enumerate() {
            out.write_all(part).ok()?;
            if index == 1 {
                begun.send(()).ok();
            }
            thread::sleep(Duration::from_millis(if index == 0 { 0 } else { 200 }));
        }
    }
}
