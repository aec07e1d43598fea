//! A SOCKS proxy (RFC 1928, RFC 1929) that leads every connection to one server.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Listens on loopback, takes anybody with or without a password, and tells what it was asked for: by
/// whom, and where to.
#[derive(Debug)]
pub struct SocksProxy {
    port: u16,
    asked: Receiver<String>,
}

impl SocksProxy {
    /// A proxy whose connections all lead to `upstream` (`host:port`).
    pub fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let (sender, asked) = channel();
        let upstream = upstream.to_owned();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (sender, upstream) = (sender.clone(), upstream.clone());
                // A client that goes away ends its connection and nothing else.
                thread::spawn(move || serve(client, &upstream, &sender));
            }
        });
        Self { port, asked }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The next request: `host:port`, with `user:password@` in front if it was made by somebody.
    ///
    /// # Panics
    /// When there was none.
    pub fn asked(&self) -> String {
        self.asked
            .try_recv()
            .expect("the proxy was asked for something")
    }
}

fn serve(mut client: TcpStream, upstream: &str, sender: &Sender<String>) -> io::Result<()> {
    let [_version, methods] = take::<2>(&mut client)?;
    let methods = take_some(&mut client, methods)?;
    let by_password = methods.contains(&2);
    client.write_all(&[5, if by_password { 2 } else { 0 }])?;
    let mut who = String::new();
    if by_password {
        let [_version, length] = take(&mut client)?;
        let user = take_some(&mut client, length)?;
        let [length] = take(&mut client)?;
        let password = take_some(&mut client, length)?;
        client.write_all(&[1, 0])?;
        let (user, password) = (
            String::from_utf8_lossy(&user),
            String::from_utf8_lossy(&password),
        );
        who = format!("{user}:{password}@");
    }
    let [_version, _connect, _reserved, kind] = take(&mut client)?;
    let host = match kind {
        1 => std::net::Ipv4Addr::from(take::<4>(&mut client)?).to_string(),
        _ => {
            let [length] = take(&mut client)?;
            String::from_utf8_lossy(&take_some(&mut client, length)?).into_owned()
        }
    };
    let port = u16::from_be_bytes(take(&mut client)?);
    let _unheard = sender.send(format!("{who}{host}:{port}"));
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    let server = TcpStream::connect(upstream)?;
    let (mut up, mut down, mut from) = (server.try_clone()?, server, client.try_clone()?);
    thread::spawn(move || io::copy(&mut from, &mut up));
    io::copy(&mut down, &mut client)?;
    Ok(())
}

fn take<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn take_some(client: &mut TcpStream, length: u8) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(length)];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}
