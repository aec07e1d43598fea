//! A connection that breaks where a test wants it to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Passes bytes between clients and a server on loopback, counts those that go to the clients, and
/// cuts or stalls after as many as the test says. Gone when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    sent: AtomicU64,
    fault: Mutex<Option<Fault>>,
    cuts: AtomicU64,
    /// Connections of an earlier generation are closed.
    generation: AtomicU64,
    stopped: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Fault {
    /// When so many bytes have been sent in all.
    at: u64,
    then: Then,
}

#[derive(Debug, Clone, Copy)]
enum Then {
    Stall,
    Cut,
    /// Cut, and again after as many bytes.
    CutEvery(u64),
}

impl FaultProxy {
    /// A proxy in front of `upstream` (`host:port`) that does no harm yet.
    pub fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            sent: AtomicU64::new(0),
            fault: Mutex::new(None),
            cuts: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let serving = Arc::clone(&serving);
                thread::spawn(move || serving.connect(client));
            }
        });
        Self {
            port: address.port(),
            shared,
        }
    }

    /// `127.0.0.1:PORT`, the host part of image references.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Bytes that went to clients so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// Close the connection that would carry the next byte once `bytes` more have gone to clients; then
    /// do no harm again.
    pub fn cut_after(&self, bytes: u64) {
        self.set(bytes, Then::Cut);
    }

    /// As [`cut_after`](Self::cut_after), again and again, until [`pass`](Self::pass).
    pub fn cut_every(&self, bytes: u64) {
        self.set(bytes, Then::CutEvery(bytes));
    }

    /// How many connections were cut so far.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// Send nothing more once `bytes` more have gone to clients, until [`pass`](Self::pass).
    pub fn stall_after(&self, bytes: u64) {
        self.set(bytes, Then::Stall);
    }

    /// Close every connection there is, and do no harm to later ones.
    pub fn hang_up(&self) {
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
        self.pass();
    }

    /// Do no harm from now on.
    pub fn pass(&self) {
        *self.shared.fault() = None;
    }

    fn set(&self, bytes: u64, then: Then) {
        let at = self.sent() + bytes;
        *self.shared.fault() = Some(Fault { at, then });
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn fault(&self) -> std::sync::MutexGuard<'_, Option<Fault>> {
        self.fault.lock().expect("no thread panics with the lock")
    }

    fn connect(&self, client: TcpStream) {
        let Ok(server) = TcpStream::connect(&self.upstream) else {
            return;
        };
        let (mut from_client, mut to_server) = (clone(&client), clone(&server));
        thread::spawn(move || {
            let _copied = std::io::copy(&mut from_client, &mut to_server);
            let _closed = to_server.shutdown(Shutdown::Write);
        });
        self.pass_down(server, client);
    }

    fn pass_down(&self, mut server: TcpStream, mut client: TcpStream) {
        let generation = self.generation.load(Ordering::SeqCst);
        let mut buf = [0; 16 << 10];
        while let Ok(n @ 1..) = server.read(&mut buf) {
            let mut rest = &buf[..n];
            while !rest.is_empty() {
                let Some(now) = self.allowed(rest.len(), generation) else {
                    let _closed = client.shutdown(Shutdown::Both);
                    let _closed = server.shutdown(Shutdown::Both);
                    return;
                };
                if client.write_all(&rest[..now]).is_err() {
                    return;
                }
                rest = &rest[now..];
            }
        }
        let _closed = client.shutdown(Shutdown::Write);
    }

    /// How many of `wanted` bytes may be sent now, counted as sent; none when it is time to cut.
    fn allowed(&self, wanted: usize, generation: u64) -> Option<usize> {
        loop {
            let mut fault = self.fault();
            if self.generation.load(Ordering::SeqCst) != generation {
                return None;
            }
            let sent = self.sent.load(Ordering::SeqCst);
            let left = match *fault {
                None => wanted,
                Some(fault) => usize::try_from(fault.at - sent.min(fault.at)).unwrap_or(wanted),
            };
            if left > 0 {
                let now = wanted.min(left);
                self.sent.fetch_add(now as u64, Ordering::SeqCst);
                return Some(now);
            }
            match fault.map(|fault| fault.then) {
                None | Some(Then::Stall) => {}
                Some(Then::Cut) => {
                    *fault = None;
                    self.cuts.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
                Some(then @ Then::CutEvery(bytes)) => {
                    *fault = Some(Fault {
                        at: sent + bytes,
                        then,
                    });
                    self.cuts.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
            }
            drop(fault);
            if self.stopped.load(Ordering::SeqCst) {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a socket can be shared")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for client in listener.incoming() {
                let _sent = client.unwrap().write_all(answer);
            }
        });
        host
    }

    fn receive(proxy: &FaultProxy) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut stream = TcpStream::connect(proxy.host()).unwrap();
        let _cut = stream.read_to_end(&mut bytes);
        bytes
    }

    #[test]
    fn passes_and_cuts_and_counts() {
        let proxy = FaultProxy::start(&server(b"0123456789"));
        assert_eq!(receive(&proxy), b"0123456789");
        proxy.cut_after(4);
        assert_eq!(receive(&proxy), b"0123");
        assert_eq!(receive(&proxy), b"0123456789");
        assert_eq!(proxy.sent(), 24);
        proxy.cut_every(3);
        assert_eq!(receive(&proxy), b"012");
        assert_eq!(receive(&proxy), b"012");
        assert_eq!(proxy.cuts(), 3);
    }

    #[test]
    fn stalls_until_told_to_pass() {
        let proxy = Arc::new(FaultProxy::start(&server(b"0123456789")));
        proxy.stall_after(4);
        let receiving = Arc::clone(&proxy);
        let received = thread::spawn(move || receive(&receiving));
        while proxy.sent() < 4 {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!received.is_finished());
        proxy.pass();
        assert_eq!(received.join().unwrap(), b"0123456789");
    }
}
