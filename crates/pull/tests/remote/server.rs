//! A server of files on loopback that fails as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How the server fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An answer with this status.
    Status(u16),
    /// The connection ends after half of the file.
    Cut,
    /// As `Cut`, and parts are not given either.
    CutWithoutRanges,
    /// One bit in the middle is another.
    WrongByte,
    /// Nothing comes.
    Stall,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Behaviour {
    /// What a path ends in, the fault, and how often it still happens.
    faults: Vec<(String, Fault, usize)>,
    seen: Vec<Seen>,
}

/// The server; it serves until the process ends.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    port: u16,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Server {
    pub(crate) fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            behaviour: Arc::default(),
        };
        let (root, behaviour) = (root.to_owned(), Arc::clone(&server.behaviour));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, behaviour) = (root.clone(), Arc::clone(&behaviour));
                std::thread::spawn(move || serve(stream, &root, &behaviour));
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Fail the next `times` requests for paths that end in `path`.
    pub(crate) fn fail(&self, path: &str, fault: Fault, times: usize) {
        self.behaviour
            .lock()
            .unwrap()
            .faults
            .push((path.to_owned(), fault, times));
    }

    /// Forget all faults and requests.
    pub(crate) fn heal(&self) {
        *self.behaviour.lock().unwrap() = Behaviour::default();
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.behaviour.lock().unwrap().seen.clone()
    }

    /// How many requests there were for paths that end in `path`.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen()
            .iter()
            .filter(|seen| seen.path.ends_with(path))
            .count()
    }
}

fn serve(stream: TcpStream, root: &Path, behaviour: &Mutex<Behaviour>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(seen) = request(&mut reader) {
        let fault = {
            let mut behaviour = behaviour.lock().unwrap();
            behaviour.seen.push(seen.clone());
            let mut faults = behaviour.faults.iter_mut();
            let found =
                faults.find(|(path, _, left)| *left > 0 && seen.path.ends_with(path.as_str()));
            found.map(|(_, fault, left)| {
                *left -= 1;
                *fault
            })
        };
        if answer(&mut stream, &file_of(root, &seen.path), &seen, fault).is_none() {
            return;
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|count| *count > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            return Some(Seen { path, headers });
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
}

fn file_of(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// `None` when the connection must end.
fn answer(stream: &mut TcpStream, file: &Path, seen: &Seen, fault: Option<Fault>) -> Option<()> {
    let status = match fault {
        Some(Fault::Status(status)) => Some(status),
        Some(Fault::Stall) => {
            std::thread::sleep(Duration::from_secs(60));
            return None;
        }
        _ => None,
    };
    let content = std::fs::read(file).ok().filter(|_| status.is_none());
    let Some(mut content) = content else {
        let status = status.unwrap_or(404);
        let head = format!("HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\n\r\n");
        return stream.write_all(head.as_bytes()).ok();
    };
    let tag = format!("\"{}\"", content.len());
    if seen.headers.get("if-none-match") == Some(&tag) {
        let head = "HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n";
        return stream.write_all(head.as_bytes()).ok();
    }
    let middle = content.len() / 2;
    if fault == Some(Fault::WrongByte) {
        content[middle] ^= 1;
    }
    let ranges = fault != Some(Fault::CutWithoutRanges);
    let begin = seen.headers.get("range").filter(|_| ranges);
    let begin: usize = begin.map_or(0, |range| {
        range
            .trim_start_matches("bytes=")
            .trim_end_matches('-')
            .parse()
            .unwrap()
    });
    let status = if begin > 0 {
        "206 Partial Content"
    } else {
        "200 OK"
    };
    let rest = &content[begin..];
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: {tag}\r\n\r\n",
        rest.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    if matches!(fault, Some(Fault::Cut | Fault::CutWithoutRanges)) {
        stream.write_all(&rest[..rest.len() / 2]).ok()?;
        return None;
    }
    stream.write_all(rest).ok()
}
