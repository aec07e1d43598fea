//! A real registry server on loopback.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use tempfile::TempDir;

use crate::{command, run, tool};

/// The user that a registry made with [`Registry::with_htpasswd`] knows.
pub const HTPASSWD_USER: &str = "tester";
/// The password of [`HTPASSWD_USER`].
pub const HTPASSWD_PASSWORD: &str = "open sesame";
/// bcrypt of [`HTPASSWD_PASSWORD`], the only hash that the registry takes.
const HTPASSWD_HASH: &str = "$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW";
const START_LIMIT: Duration = Duration::from_secs(20);

/// A `docker-registry` process that serves an empty storage directory on a free loopback port.
///
/// Killed and its storage removed when dropped; it also dies with the test process.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    dir: TempDir,
    port: u16,
    tls: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Options {
    htpasswd: bool,
    tls: bool,
    client_certificates: bool,
}

impl Registry {
    /// Starts a registry that answers anybody over plain HTTP.
    ///
    /// # Panics
    /// When the program is missing or does not come up; the message carries its log.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// Starts a registry that asks for [`HTPASSWD_USER`] and [`HTPASSWD_PASSWORD`] (basic
    /// authentication) over plain HTTP.
    pub fn with_htpasswd() -> Self {
        Self::with(Options {
            htpasswd: true,
            ..Options::default()
        })
    }

    /// Starts a registry that speaks HTTPS with a certificate signed by [`Registry::ca_certificate`].
    pub fn with_tls() -> Self {
        Self::with(Options {
            tls: true,
            ..Options::default()
        })
    }

    /// Starts one as [`Registry::with_tls`], which lets only those in who show a certificate by
    /// [`Registry::ca_certificate`], as that itself is with [`Registry::key`].
    pub fn with_client_certificates() -> Self {
        Self::with(Options {
            tls: true,
            client_certificates: true,
            ..Options::default()
        })
    }

    /// The key of [`Registry::ca_certificate`].
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    /// `127.0.0.1:PORT`, the host part of image references.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The `host/name:tag` of an image in this registry.
    pub fn reference(&self, name_and_tag: &str) -> String {
        format!("{}/{name_and_tag}", self.host())
    }

    /// The directory that the server stores blobs in: tests may corrupt them there.
    pub fn storage(&self) -> PathBuf {
        self.dir.path().join("storage")
    }

    /// The stored data of a blob (`sha256:...`), for tests that damage or remove it.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a sha256 digest");
        let blobs = self.storage().join("docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// The server's log so far: requests it got, in order.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).expect("the log is readable")
    }

    /// The certificate (PEM) to trust for [`Registry::with_tls`].
    pub fn ca_certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// Pushes an image from an OCI directory with skopeo and returns its reference.
    ///
    /// `source` is in skopeo's syntax (`oci:/dir:tag`); `name_and_tag` is `name:tag` here. Digests
    /// are preserved.
    ///
    /// # Panics
    /// When skopeo fails.
    pub fn push(&self, source: &str, name_and_tag: &str) -> String {
        let reference = self.reference(name_and_tag);
        let mut skopeo = command("skopeo");
        skopeo.args(["copy", "--quiet", "--insecure-policy", "--preserve-digests"]);
        skopeo.args(["--dest-tls-verify=false", "--dest-creds"]);
        skopeo.arg(format!("{HTPASSWD_USER}:{HTPASSWD_PASSWORD}"));
        run(skopeo.arg(source).arg(format!("docker://{reference}")));
        reference
    }

    fn with(options: Options) -> Self {
        let dir = crate::scratch_dir();
        // The port is free when looked up and may be taken when the server binds it: try again.
        for _ in 0..5 {
            let port = free_port();
            write_config(dir.path(), port, options);
            let mut child = spawn(dir.path());
            if answers(port, &mut child) {
                return Self {
                    child,
                    dir,
                    port,
                    tls: options.tls,
                };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let log = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
        panic!("docker-registry does not come up:\n{log}");
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

fn write_config(dir: &Path, port: u16, options: Options) {
    fs::create_dir_all(dir.join("storage")).expect("a temporary directory is writable");
    let mut config = format!(
        "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: false\nstorage:\n  filesystem:\n    \
         rootdirectory: {0}/storage\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n",
        dir.display()
    );
    if options.tls {
        make_certificate(dir);
        config += &format!(
            "  tls:\n    certificate: {0}/cert.pem\n    key: {0}/key.pem\n",
            dir.display()
        );
    }
    if options.client_certificates {
        config += &format!("    clientcas: [{}/cert.pem]\n", dir.display());
    }
    if options.htpasswd {
        write(
            dir,
            "htpasswd",
            &format!("{HTPASSWD_USER}:{HTPASSWD_HASH}\n"),
        );
        config += &format!(
            "auth:\n  htpasswd:\n    realm: test\n    path: {}/htpasswd\n",
            dir.display()
        );
    }
    write(dir, "config.yml", &config);
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).expect("a temporary directory is writable");
}

fn make_certificate(dir: &Path) {
    let mut openssl = command("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    openssl.args(["-days", "2", "-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    run(openssl
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem")));
}

/// Starts the server from a thread that lives as long as this process: the kernel's
/// parent-death signal (`setpriv --pdeathsig`) is bound to the *thread* that forked.
fn spawn(dir: &Path) -> Child {
    let log = File::create(dir.join("log")).expect("a temporary directory is writable");
    let mut server = command("setpriv");
    server
        .args(["--pdeathsig", "KILL"])
        .arg(tool("docker-registry"))
        .arg("serve");
    server
        .arg(dir.join("config.yml"))
        .env("OTEL_TRACES_EXPORTER", "none")
        .stdin(Stdio::null());
    server
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let _ = sender.send(server.spawn());
        loop {
            thread::park();
        }
    });
    receiver
        .recv()
        .expect("the thread answers")
        .expect("docker-registry can be started")
}

fn answers(port: u16, child: &mut Child) -> bool {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let deadline = Instant::now() + START_LIMIT;
    while Instant::now() < deadline {
        if child.try_wait().expect("own child").is_some() {
            return false;
        }
        if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            return child.try_wait().expect("own child").is_none();
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fails, golden, shell};

    fn status(curl_args: &str) -> String {
        shell(&format!(
            "curl -s -o /dev/null -w '%{{http_code}}' {curl_args}"
        ))
    }

    #[test]
    fn serves_what_was_pushed_with_unchanged_digests() {
        let registry = Registry::start();
        let image = golden("oci").join("encap-v1");
        let source = format!("oci:{}", image.display());
        let reference = registry.push(&source, "os/encap:v1");
        let inspect = |image: &str| {
            let mut skopeo = command("skopeo");
            skopeo.args([
                "inspect",
                "--tls-verify=false",
                "--format={{.Digest}}",
                image,
            ]);
            crate::stdout(&mut skopeo)
        };
        assert_eq!(inspect(&format!("docker://{reference}")), inspect(&source));
        assert!(registry.log().contains("/v2/os/encap/manifests/v1"));
    }

    #[test]
    fn htpasswd_is_asked_for() {
        let registry = Registry::with_htpasswd();
        let url = format!("http://{}/v2/", registry.host());
        assert_eq!(status(&url), "401");
        assert_eq!(
            status(&format!("-u '{HTPASSWD_USER}:{HTPASSWD_PASSWORD}' {url}")),
            "200"
        );
        assert_eq!(status(&format!("-u '{HTPASSWD_USER}:wrong' {url}")), "401");
    }

    #[test]
    fn tls_needs_its_certificate() {
        let registry = Registry::with_tls();
        let url = format!("{}://{}/v2/", registry.scheme(), registry.host());
        let ca = registry.ca_certificate();
        assert_eq!(status(&format!("--cacert {} {url}", ca.display())), "200");
        fails(command("curl").args(["-s", &url]));
    }

    #[test]
    fn is_gone_after_drop() {
        let registry = Registry::start();
        let (pid, dir) = (registry.child.id(), registry.dir.path().to_owned());
        drop(registry);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        assert!(!dir.exists());
    }
}
