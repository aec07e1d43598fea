//! A real registry server: `docker-registry`.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use error_class::{Classified, ErrorClass};
use oci::credentials::{AuthFile, Credentials};
use oci::registry::{CaRoots, Problem};
use oci::source::{Error, ImageSource, open};
use tempfile::{TempDir, tempdir};
use testkit::oci::{Image, Layer, LayoutBuilder, Platform};
use testkit::{HTPASSWD_PASSWORD, HTPASSWD_USER, Registry, golden};

use crate::scene::{blob, context, read_all, read_error, skopeo_digest, source, tar};

fn golden_layout(name: &str) -> String {
    format!("oci:{}", golden("oci").join(name).display())
}

fn problem(error: Error) -> Problem {
    match error {
        Error::Registry(error) => error.problem,
        other => panic!("{other}"),
    }
}

#[test]
fn images_are_pulled_as_they_were_pushed() {
    let registry = Registry::start();
    for name in ["encap-v1", "chunked-v1"] {
        let from = golden_layout(name);
        let reference = registry.push(&from, &format!("os/{name}:v1"));
        let pulled = source(&format!("registry:{reference}"));
        assert_eq!(read_all(&*pulled), read_all(&*source(&from)));
        let digest = skopeo_digest(&format!("docker://{reference}"));
        let manifest = pulled.manifest().unwrap().manifest;
        assert_eq!(manifest.digest().to_string(), digest);
        let pinned = format!("registry:{}@{digest}", reference.trim_end_matches(":v1"));
        assert_eq!(read_all(&*source(&pinned)), read_all(&*pulled));
        let layer = &manifest.layers()[0].descriptor;
        let whole = blob(&*pulled, layer, 0);
        assert!(blob(&*pulled, layer, 1000) == whole[1000..]);
        assert!(blob(&*pulled, layer, layer.size()).is_empty());
    }
}

#[test]
fn layers_are_pulled_by_several_threads() {
    let registry = Registry::start();
    let from = golden_layout("chunked-v1");
    let reference = registry.push(&from, "os/chunked:v1");
    let pulled = source(&format!("docker://{reference}"));
    let expected = read_all(&*source(&from));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(read_all(&*pulled), expected));
        }
    });
    let pings = registry.log().matches("GET /v2/ HTTP").count();
    // Skopeo's own, and ours.
    assert!(pings <= 4, "{pings}");
}

#[test]
fn what_is_not_there_is_not_found() {
    let registry = Registry::start();
    let reference = registry.push(&golden_layout("encap-v1"), "os/encap:v1");
    for absent in [
        "os/encap:v2",
        "os/other:v1",
        &format!("os/encap@sha256:{}", "0".repeat(64)),
    ] {
        let error = source(&format!("registry:{}", registry.reference(absent))).manifest();
        let error = error.unwrap_err();
        assert_eq!(error.class(), ErrorClass::NotFound, "{error}");
        let printed = error.to_string();
        assert!(printed.starts_with(&format!("registry {}, repository os/", registry.host())));
        assert!(printed.contains("MANIFEST_UNKNOWN") || printed.contains("NAME_UNKNOWN"));
    }
    let pulled = source(&format!("registry:{reference}"));
    let manifest = pulled.manifest().unwrap().manifest;
    fs::remove_file(registry.blob(&manifest.layers()[0].digest.to_string())).unwrap();
    let error = problem(read_error(&*pulled));
    assert_eq!(error.class(), ErrorClass::NotFound, "{error}");
    assert!(error.to_string().contains("BLOB_UNKNOWN"), "{error}");
}

#[test]
fn damage_in_the_registry_is_noticed() {
    let registry = Registry::start();
    let reference = registry.push(&golden_layout("encap-v1"), "os/encap:v1");
    let pulled = source(&format!("registry:{reference}"));
    let manifest = pulled.manifest().unwrap().manifest;
    let stored = registry.blob(&manifest.layers()[0].digest.to_string());
    let mut bytes = fs::read(&stored).unwrap();
    bytes[5000] ^= 1;
    fs::write(&stored, &bytes).unwrap();
    let error = read_error(&*pulled);
    assert!(matches!(error, Error::Content { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("is damaged: its digest is sha256:"),
        "{error}"
    );
    bytes.truncate(5000);
    fs::write(&stored, &bytes).unwrap();
    let error = problem(read_error(&*pulled));
    assert!(
        matches!(error, Problem::WrongSize { actual: 5000, .. }),
        "{error}"
    );
}

#[test]
fn indexes_are_followed_to_the_platform() {
    let registry = Registry::start();
    let dir = tempdir().unwrap();
    let mut layout = LayoutBuilder::new(dir.path());
    let image = |content: &str| Image::new().layer(Layer::new(tar("file", content)));
    let (amd, arm) = (image("amd"), image("arm").architecture("arm64"));
    let entry = |image| Platform {
        image,
        variant: None,
    };
    let index = layout.tag_index("os", &[entry(&arm), entry(&amd)]);
    let reference = registry.reference("os/multi:1");
    let mut copy = testkit::command("skopeo");
    copy.args([
        "copy",
        "--quiet",
        "--insecure-policy",
        "--all",
        "--dest-tls-verify=false",
    ]);
    testkit::run(
        copy.arg(layout.reference("os"))
            .arg(format!("docker://{reference}")),
    );
    for architecture in ["amd64", "arm64"] {
        let mut context = context();
        context.platform = oci::platform::Platform::linux(architecture);
        let reference = format!("registry:{reference}").parse().unwrap();
        let pulled = open(&reference, &context).unwrap();
        let resolved = pulled.manifest().unwrap();
        assert_eq!(resolved.index.unwrap().digest().to_string(), index);
        let config = pulled.config(&resolved.manifest).unwrap();
        assert_eq!(config.config().architecture().to_string(), architecture);
        read_all(&*pulled);
    }
}

fn with_password(host: &str, password: &str) -> Credentials {
    use base64::Engine;
    let auth = format!("{HTPASSWD_USER}:{password}");
    let auth = base64::engine::general_purpose::STANDARD.encode(auth);
    let json = serde_json::json!({"auths": {format!("{host}/os"): {"auth": auth}}});
    let file = AuthFile::parse("/etc/ostree/auth.json", json.to_string().as_bytes());
    Credentials::from_files(vec![file.unwrap()])
}

#[test]
fn passwords_open_what_they_should() {
    let registry = Registry::with_htpasswd();
    let from = golden_layout("encap-v1");
    let reference = format!("registry:{}", registry.push(&from, "os/encap:v1"));
    let pull = |credentials: Credentials| {
        let mut context = context();
        context.credentials = credentials;
        let pulled = open(&reference.parse().unwrap(), &context).unwrap();
        pulled.manifest().map(|_| read_all(&*pulled))
    };
    let host = registry.host();
    let pulled = pull(with_password(&host, HTPASSWD_PASSWORD)).unwrap();
    assert_eq!(pulled, read_all(&*source(&from)));
    for (credentials, message) in [
        (
            Credentials::none(),
            "authentication failed, no credentials were found for it".to_owned(),
        ),
        (
            with_password("other.io", HTPASSWD_PASSWORD),
            "no credentials were found for it".to_owned(),
        ),
        (
            with_password(&host, "wrong"),
            format!("authentication failed, with entry \"{host}/os\" of /etc/ostree/auth.json"),
        ),
    ] {
        let error = pull(credentials).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unauthenticated);
        assert!(error.to_string().contains(&message), "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
}

#[test]
fn certificates_are_checked() {
    let registry = TlsRegistry::start();
    let from = golden_layout("encap-v1");
    let reference = format!("registry:{}/os/encap:v1", registry.host());
    let mut copy = testkit::command("skopeo");
    copy.args([
        "copy",
        "--quiet",
        "--insecure-policy",
        "--dest-tls-verify=false",
    ]);
    testkit::run(
        copy.arg(&from)
            .arg(reference.replace("registry:", "docker://")),
    );
    let open_with = |change: &dyn Fn(&mut oci::context::Context)| -> Box<dyn ImageSource> {
        let mut context = context();
        change(&mut context);
        open(&reference.parse().unwrap(), &context).unwrap()
    };
    let expected = read_all(&*source(&from));
    let ca = fs::read(registry.authority()).unwrap();
    let trusting = open_with(&|context| {
        context.roots = CaRoots::none().with_pem("test", &ca).unwrap();
    });
    assert_eq!(read_all(&*trusting), expected);
    let insecure = open_with(&|context| {
        context.insecure_hosts.insert(registry.host());
    });
    assert_eq!(read_all(&*insecure), expected);
    let strict = open_with(&|_| ());
    let error = problem(strict.manifest().unwrap_err());
    assert!(matches!(error, Problem::Tls { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Tls);
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[test]
fn system_certificates_are_found() {
    let root = fs::File::open("/").unwrap();
    let root = std::os::fd::AsFd::as_fd(&root);
    let system = CaRoots::system(root, None).unwrap();
    assert!(system.len() > 20, "{}", system.len());
    let dir = tempdir().unwrap();
    let empty = fs::File::open(dir.path()).unwrap();
    let empty = std::os::fd::AsFd::as_fd(&empty);
    assert!(CaRoots::system(empty, None).unwrap().is_empty());
    let bundle = dir.path().join("bundle.pem");
    let error = CaRoots::system(root, Some(&bundle)).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    for (text, message) in [
        ("", "has no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "is malformed",
        ),
    ] {
        fs::write(&bundle, text).unwrap();
        let error = CaRoots::system(root, Some(&bundle)).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

/// A `docker-registry` whose certificate is signed by an authority, which that of testkit's is not:
/// the TLS library does not take an authority's own certificate from a server.
struct TlsRegistry {
    child: Child,
    dir: TempDir,
    port: u16,
}

impl TlsRegistry {
    fn start() -> Self {
        let dir = tempdir().unwrap();
        let port = {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            listener.local_addr().unwrap().port()
        };
        testkit::shell(&format!(
            r#"cd {path}
            key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
            openssl req -x509 $key -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
            openssl req -new $key -subj /CN=registry -keyout key.pem -out request.pem
            printf 'subjectAltName=IP:127.0.0.1' > extensions
            openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                -extfile extensions -out cert.pem
            cat > config.yml <<END
version: 0.1
storage: {{filesystem: {{rootdirectory: {path}/storage}}}}
http: {{addr: "127.0.0.1:{port}", tls: {{certificate: {path}/cert.pem, key: {path}/key.pem}}}}
END"#,
            path = dir.path().display(),
        ));
        let mut server = testkit::command("docker-registry");
        server.arg("serve").arg(dir.path().join("config.yml"));
        server
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = server.env("OTEL_TRACES_EXPORTER", "none").spawn().unwrap();
        let registry = Self { child, dir, port };
        registry.wait();
        registry
    }

    fn wait(&self) {
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("docker-registry does not come up");
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
}

impl Drop for TlsRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
