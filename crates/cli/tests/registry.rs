//! How registries are reached: credentials, helpers, mirrors, certificates, proxies, policies.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use serde_json::Value;
use support::{answer, assert_valid, bootroot, refusal};
use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::TarWriter;
use testkit::{FaultProxy, HTPASSWD_PASSWORD, HTPASSWD_USER, Registry, SocksProxy};

struct Bench {
    dir: tempfile::TempDir,
    registry: Registry,
    digest: String,
}

impl Bench {
    fn new(registry: Registry) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = LayoutBuilder::new(dir.path().join("image"));
        let tar = TarWriter::new().file("file", 0o644, "content").finish();
        let digest = layout.tag("1", &Image::bootable().layer(Layer::new(tar)));
        let source = format!("oci:{}:1", dir.path().join("image").display());
        registry.push(&source, "org/os:1");
        let bench = Self {
            dir,
            registry,
            digest,
        };
        // Nothing that this machine says about registries.
        bench.write("registries.conf", "");
        bench.write(
            "policy.json",
            r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
        );
        fs::create_dir(bench.path("none")).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn image(&self) -> String {
        format!("registry:{}", self.registry.reference("org/os:1"))
    }

    fn command(&self, line: &str) -> Command {
        let mut command = bootroot(line);
        for name in [
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "http_proxy",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
        ] {
            command.env_remove(name);
        }
        command
            .env("HOME", self.path("none"))
            .env("XDG_RUNTIME_DIR", self.path("none"))
            .env("CONTAINERS_REGISTRIES_CONF", self.path("registries.conf"))
            .env("CONTAINERS_REGISTRIES_CONF_DIR", self.path("none"));
        command
    }

    fn check(&self, image: &str, more: &str) -> Command {
        self.command(&format!("auth check --json {image} {more}"))
    }

    /// The answer of `auth check`, whatever the exit code, which must be the one expected.
    fn checked(&self, command: &mut Command, code: i32) -> Value {
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        let value = serde_json::from_slice(&output.stdout).unwrap();
        assert_valid("auth-check", &value);
        value
    }

    fn authfile(&self, password: &str) -> PathBuf {
        self.write("plain", &format!("{HTPASSWD_USER}:{password}"));
        let encoded = testkit::stdout(
            testkit::command("base64")
                .arg("-w0")
                .arg(self.path("plain")),
        );
        let json = serde_json::json!({"auths": {self.registry.host(): {"auth": encoded.trim()}}});
        self.write("auth.json", &json.to_string())
    }
}

#[test]
fn auth_check_says_which_entry_is_used_and_whether_it_is_accepted() {
    let bench = Bench::new(Registry::with_htpasswd());
    let image = bench.image();
    let none = bench.checked(&mut bench.check(&image, "--anonymous"), 11);
    assert_eq!(none["places"][0]["file"], Value::Null);
    assert_eq!(none["places"][0]["wants"], "password");

    let file = bench.authfile(HTPASSWD_PASSWORD);
    let with_file = format!("--authfile {}", file.display());
    let right = bench.checked(&mut bench.check(&image, &with_file), 0);
    assert_eq!(right["accepted"], true);
    assert_eq!(right["places"][0]["file"], file.to_str().unwrap());
    assert_eq!(right["places"][0]["entry"], bench.registry.host());

    bench.authfile("wrong");
    let wrong = bench.checked(&mut bench.check(&image, &with_file), 11);
    let problem = wrong["places"][0]["problem"].as_str().unwrap();
    assert!(
        problem.contains("auth.json") && !problem.contains("wrong"),
        "{problem}"
    );

    let missing = image.replace("os:1", "no:1");
    bench.authfile(HTPASSWD_PASSWORD);
    bench.checked(&mut bench.check(&missing, &with_file), 3);
}

#[test]
fn credential_helpers_are_asked() {
    let bench = Bench::new(Registry::with_htpasswd());
    fs::create_dir(bench.path("bin")).unwrap();
    let script = format!(
        "#!/bin/sh\nread -r server\ntest \"$1\" = get || exit 1\n\
         test \"$server\" = {} || {{ echo 'credentials not found in native keychain'; exit 1; }}\n\
         echo '{{\"ServerURL\": \"x\", \"Username\": \"{HTPASSWD_USER}\", \"Secret\": \"{HTPASSWD_PASSWORD}\"}}'\n",
        bench.registry.host()
    );
    let program = bench.write("bin/docker-credential-test", &script);
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    let search = format!(
        "{}:{}",
        bench.path("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let host = bench.registry.host();
    for json in [
        serde_json::json!({"credHelpers": {&host: "test"}}),
        serde_json::json!({"auths": {&host: {}}, "credsStore": "test"}),
    ] {
        let file = bench.write("auth.json", &json.to_string());
        let with_file = format!("--authfile {}", file.display());
        let mut check = bench.check(&bench.image(), &with_file);
        let found = bench.checked(check.env("PATH", &search), 0);
        assert_eq!(found["places"][0]["entry"], "docker-credential-test");
        let mut check = bench.check(&bench.image(), &with_file);
        let absent = bench.checked(check.env("PATH", "/usr/bin:/bin"), 3);
        let problem = absent["places"][0]["problem"].as_str().unwrap();
        assert!(problem.contains("docker-credential-test"), "{problem}");
    }
    bench.write("registries.conf", "credential-helpers = ['test']\n");
    let mut check = bench.check(&bench.image(), "");
    let found = bench.checked(check.env("PATH", &search), 0);
    assert_eq!(found["places"][0]["file"], "registries.conf");
}

#[test]
fn images_come_from_mirrors_and_other_locations() {
    let bench = Bench::new(Registry::start());
    let proxy = FaultProxy::start(&bench.registry.host());
    let conf = |text: &str| bench.write("registries.conf", text);
    conf(&format!(
        "[[registry]]\nprefix = 'example.invalid/our'\nlocation = '{0}/org'\n\
         [[registry.mirror]]\nlocation = '127.0.0.1:1/org'\n[[registry.mirror]]\nlocation = '{0}/org'\n\
         [aliases]\nshort = 'example.invalid/our/os'\n[[registry]]\nlocation = 'blocked.invalid'\nblocked = true\n",
        proxy.host()
    ));
    for image in ["registry:example.invalid/our/os:1", "registry:short:1"] {
        let found = bench.checked(&mut bench.check(image, ""), 0);
        let places = found["places"].as_array().unwrap();
        assert_eq!(places.len(), 3, "{found}");
        assert_eq!(places[1]["name"], format!("{}/org/os:1", proxy.host()));
        assert!(places[0]["problem"].is_string() && places[1]["problem"].is_null());
        assert!(
            places[0]["configured_by"]
                .as_str()
                .unwrap()
                .contains("registries.conf")
        );
    }
    answer(&mut bench.command(&format!(
        "--repo {} ostree init",
        bench.path("repo").display()
    )));
    let pull = format!(
        "--repo {} image pull --json --signature-policy {} registry:short:1",
        bench.path("repo").display(),
        bench.path("policy.json").display()
    );
    let pulled: Value = serde_json::from_str(&answer(&mut bench.command(&pull))).unwrap();
    assert_eq!(pulled["digest"], bench.digest);
    let told = refusal(&mut bench.check("registry:blocked.invalid/x", ""), 10);
    assert!(told.contains("blocked"), "{told}");
    let missing = bench.checked(&mut bench.check("registry:example.invalid/our/no:1", ""), 3);
    assert_eq!(missing["accepted"], false);
}

#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_where_it_is_named() {
    let bench = Bench::new(Registry::with_tls());
    bench.checked(&mut bench.check(&bench.image(), ""), 14);
    bench.checked(&mut bench.check(&bench.image(), "--tls-verify=false"), 0);
    bench.checked(&mut bench.check(&bench.image(), "--tls-verify=true"), 14);
    fs::create_dir(bench.path("certs")).unwrap();
    fs::copy(bench.registry.ca_certificate(), bench.path("certs/ca.crt")).unwrap();
    let with_dir = format!("--cert-dir {}", bench.path("certs").display());
    let found = bench.checked(&mut bench.check(&bench.image(), &with_dir), 0);
    let server = found["places"][0]["server"].as_str().unwrap();
    assert!(server.starts_with("https://"), "{server}");
    // Trusted, but not by this name.
    let elsewhere = bench.image().replace("127.0.0.1", "localhost.localhost");
    let other = bench.check(&elsewhere, &with_dir).output().unwrap();
    assert!(matches!(other.status.code(), Some(14 | 15)), "{other:?}");
    fs::copy(bench.registry.ca_certificate(), bench.path("certs/me.cert")).unwrap();
    let alone = bench.checked(&mut bench.check(&bench.image(), &with_dir), 5);
    let problem = alone["places"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("me.cert has no key"), "{problem}");
}

/// A proxy that leads every `CONNECT` to one server; what it was asked for.
fn connect_proxy(upstream: String) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, asked) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (sender, upstream) = (sender.clone(), upstream.clone());
            thread::spawn(move || serve(client, &upstream, &sender));
        }
    });
    (address, asked)
}

fn serve(client: TcpStream, upstream: &str, sender: &std::sync::mpsc::Sender<String>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let _unheard = sender.send(first.trim().to_owned());
    let mut line = String::new();
    while line.trim() != "" || line.is_empty() {
        line.clear();
        if reader.read_line(&mut line).unwrap() == 0 {
            return;
        }
    }
    let mut client = client;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let server = TcpStream::connect(upstream).unwrap();
    let (mut up, mut down) = (server.try_clone().unwrap(), server);
    thread::spawn(move || std::io::copy(&mut reader, &mut up));
    let _ended = std::io::copy(&mut down, &mut client);
}

#[test]
fn proxies_are_used_but_for_exceptions() {
    let bench = Bench::new(Registry::start());
    let (proxy, asked) = connect_proxy(bench.registry.host());
    bench.write(
        "registries.conf",
        "[[registry]]\nlocation = 'registry.invalid'\ninsecure = true\n",
    );
    let image = "registry:registry.invalid/org/os:1";
    let mut check = bench.check(image, "");
    let by_proxy = |check: &mut Command, except: &str, code| {
        check.env("http_proxy", &proxy).env("HTTPS_PROXY", &proxy);
        bench.checked(check.env("NO_PROXY", except), code)
    };
    by_proxy(&mut check, "other.invalid", 0);
    assert_eq!(
        asked.recv().unwrap(),
        "CONNECT registry.invalid:443 HTTP/1.1"
    );
    assert_eq!(
        asked.recv().unwrap(),
        "CONNECT registry.invalid:80 HTTP/1.1"
    );
    by_proxy(&mut bench.check(image, ""), "other.invalid,.invalid", 15);
}

#[test]
fn socks_proxies_are_used_with_names_or_addresses() {
    let bench = Bench::new(Registry::start());
    let proxy = SocksProxy::start(&bench.registry.host());
    bench.write(
        "registries.conf",
        "[[registry]]\nlocation = 'registry.invalid'\ninsecure = true\n\
         [[registry]]\nlocation = '192.0.2.1'\ninsecure = true\n",
    );
    let by_name = "registry:registry.invalid/org/os:1";
    let mut check = bench.check(by_name, "");
    check.env("ALL_PROXY", format!("socks5h://me:secret@{}", proxy.host()));
    bench.checked(&mut check, 0);
    assert_eq!(proxy.asked(), "me:secret@registry.invalid:443");
    assert_eq!(proxy.asked(), "me:secret@registry.invalid:80");
    // Without the letter the name is looked up here, and there is no such name.
    let mut check = bench.check(by_name, "");
    bench.checked(
        check.env("https_proxy", format!("socks5://{}", proxy.host())),
        15,
    );
    let mut check = bench.check("registry:192.0.2.1/org/os:1", "");
    bench.checked(
        check.env("ALL_PROXY", format!("socks5://{}", proxy.host())),
        0,
    );
    assert_eq!(proxy.asked(), "192.0.2.1:443");
    let mut check = bench.check(by_name, "");
    let found = bench.checked(check.env("ALL_PROXY", "socks7://me:secret@host:1"), 5);
    let problem = found["places"][0]["problem"].as_str().unwrap();
    assert!(
        problem.contains("\"host:1\" is not an address"),
        "{problem}"
    );
}

#[test]
fn an_image_that_must_be_signed_needs_a_policy_that_says_by_whom() {
    let bench = Bench::new(Registry::start());
    answer(&mut bench.command(&format!(
        "--repo {} ostree init",
        bench.path("repo").display()
    )));
    let signed = format!("ostree-image-signed:{}", bench.image());
    let (repo, policy) = (bench.path("repo"), bench.path("policy.json"));
    let pull = |image: &str| {
        bench.command(&format!(
            "--repo {} image pull --signature-policy {} {image}",
            repo.display(),
            policy.display()
        ))
    };
    let told = refusal(&mut pull(&signed), 10);
    assert!(told.contains("accepts by default"), "{told}");
    bench.write("policy.json", r#"{"default": [{"type": "reject"}]}"#);
    for image in [&signed, &bench.image()] {
        let told = refusal(&mut pull(image), 10);
        assert!(told.contains("rejects the image"), "{told}");
    }
    let verify = format!(
        "image verify --explain --json --signature-policy {} {}",
        policy.display(),
        bench.image()
    );
    let output = bench.command(&verify).output().unwrap();
    assert_eq!(output.status.code(), Some(10));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_valid("image-trust", &value);
    assert_eq!(value["verdict"]["digest"], bench.digest);
}

#[test]
fn our_certificate_is_shown_to_the_registry_that_it_is_for() {
    let registry = Registry::with_client_certificates();
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("certs.d").join(registry.host());
    fs::create_dir_all(&own).unwrap();
    fs::copy(registry.ca_certificate(), own.join("ca.crt")).unwrap();
    let check = || {
        let line = format!(
            "auth check registry:{} --anonymous --cert-dir {}",
            registry.reference("org/os:1"),
            own.display()
        );
        bootroot(&line).output().unwrap()
    };
    let refused = check();
    assert!(
        matches!(refused.status.code(), Some(12 | 14)),
        "{refused:?}"
    );
    fs::copy(registry.ca_certificate(), own.join("me.cert")).unwrap();
    fs::copy(registry.key(), own.join("me.key")).unwrap();
    // Let in, where there is no such image.
    let let_in = check();
    assert_eq!(let_in.status.code(), Some(3), "{let_in:?}");
}
