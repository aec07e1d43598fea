//! `bootroot image`, from images that are made here to the real `ostree`.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{answer, assert_valid, bootroot, ostree, refusal, said};
use tempfile::TempDir;
use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::{Entry, TarWriter};

/// A repository and a directory of images.
struct Bench {
    dir: TempDir,
    images: LayoutBuilder,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        answer(&mut ostree(&format!(
            "init --mode=bare --repo={}",
            dir.path().join("repo").display()
        )));
        let mut images = LayoutBuilder::new(dir.path().join("images"));
        images.tag("v1", &version("1", "first"));
        images.tag("v2", &version("2", "second"));
        Self { dir, images }
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn image(&self, tag: &str) -> String {
        self.images.reference(tag)
    }

    fn run(&self, line: &str) -> Command {
        bootroot(&format!("--repo {} {line}", self.repo().display()))
    }

    /// The JSON answer of a verb, which must follow its schema.
    #[track_caller]
    fn json(&self, schema: &str, line: &str) -> Value {
        let value =
            serde_json::from_str(&answer(&mut self.run(&format!("{line} --json")))).unwrap();
        assert_valid(schema, &value);
        value
    }

    /// The real program finds nothing wrong.
    #[track_caller]
    fn assert_sound(&self) {
        answer(&mut ostree(&format!(
            "fsck --quiet --repo={}",
            self.repo().display()
        )));
    }

    /// A refused pull leaves a sound repository without the image.
    #[track_caller]
    fn assert_refused(&self, line: &str, code: i32) -> String {
        let text = refusal(&mut self.run(line), code);
        self.assert_sound();
        assert_eq!(answer(&mut self.run("image list --quiet")), "");
        text
    }
}

fn layer(entries: &[Entry]) -> Layer {
    let tar = entries.iter().fold(TarWriter::new(), TarWriter::entry);
    Layer::new(tar.finish())
}

/// An image of two layers; the lower one is the same in all versions.
fn version(version: &str, content: &str) -> Image {
    let base = [
        Entry::dir("usr"),
        Entry::dir("usr/lib"),
        Entry::file("usr/lib/base", "base"),
        Entry::dir("etc"),
    ];
    Image::bootable()
        .label("org.opencontainers.image.version", version)
        .layer(layer(&base).created_by("base of all"))
        .layer(
            layer(&[Entry::dir("usr"), Entry::file("usr/version", content)]).created_by("version"),
        )
}

#[test]
fn an_image_is_pulled_listed_described_updated_and_removed() {
    let bench = Bench::new();
    let (v1, v2) = (bench.image("v1"), bench.image("v2"));

    let pulled = bench.json("image-pull", &format!("image pull {v1}"));
    assert_eq!(
        (&pulled["changed"], &pulled["layers"]["fetched"]),
        (&true.into(), &2.into())
    );
    assert_eq!(
        (&pulled["version"], &pulled["stored_as"]),
        (&"1".into(), &v1.as_str().into())
    );
    bench.assert_sound();
    let listing = format!(
        "ls -R {} --repo={}",
        pulled["commit"].as_str().unwrap(),
        bench.repo().display()
    );
    assert!(answer(&mut ostree(&listing)).contains("/usr/version"));

    let again = bench.json("image-pull", &format!("image pull {v1}"));
    assert_eq!(
        (&again["changed"], &again["bytes_fetched"]),
        (&false.into(), &0.into())
    );
    assert_eq!(again["commit"], pulled["commit"]);

    let second = bench.json(
        "image-pull",
        &format!("image pull ostree-unverified-image:{v2} --target-imgref {v1}"),
    );
    assert_eq!(
        (&second["layers"]["fetched"], &second["stored_as"]),
        (&1.into(), &v1.as_str().into())
    );

    let list = bench.json("image-list", "image list");
    let images = list["images"].as_array().unwrap();
    assert_eq!((images.len(), &images[0]["version"]), (1, &"2".into()));
    assert_eq!(images[0]["digest"], second["digest"]);
    assert_eq!(answer(&mut bench.run("image list -q")), format!("{v1}\n"));
    assert!(answer(&mut bench.run("image list")).starts_with("IMAGE"));

    let history = bench.json("image-history", &format!("image history {v1}"));
    assert_eq!(history["layers"][0]["created_by"], "base of all");
    assert!(answer(&mut bench.run(&format!("image history {v1}"))).contains("base of all"));

    let manifest: Value =
        serde_json::from_str(&answer(&mut bench.run(&format!("image metadata {v1}")))).unwrap();
    let config = answer(&mut bench.run(&format!("image metadata {v1} --config")));
    let config: Value = serde_json::from_str(&config).unwrap();
    let stored = |digest: &Value| fs::read(bench.images.blob(digest.as_str().unwrap())).unwrap();
    assert_eq!(
        manifest,
        serde_json::from_slice::<Value>(&stored(&second["digest"])).unwrap()
    );
    assert_eq!(
        config,
        serde_json::from_slice::<Value>(&stored(&manifest["config"]["digest"])).unwrap()
    );

    let removal = bench.json("image-remove", &format!("image remove {v1}"));
    assert_eq!(
        (&removal["removed"][0], &removal["layers_released"]),
        (&v1.as_str().into(), &2.into())
    );
    assert_eq!(
        answer(&mut ostree(&format!(
            "refs --repo={}",
            bench.repo().display()
        ))),
        ""
    );
    bench.assert_sound();
}

#[test]
fn a_check_tells_by_its_exit_code_and_fetches_nothing() {
    let bench = Bench::new();
    let (v1, v2) = (bench.image("v1"), bench.image("v2"));
    let check = |line: String| {
        let output = bench
            .run(&format!("{line} --check --json"))
            .output()
            .unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_valid("image-check", &value);
        (output.status.code().unwrap(), value)
    };
    let (code, value) = check(format!("image pull {v1}"));
    assert_eq!(
        (code, &value["stored_digest"], &value["layers"]["fetched"]),
        (77, &Value::Null, &2.into())
    );
    assert_eq!(answer(&mut bench.run("image list -q")), "");
    answer(&mut bench.run(&format!("image pull {v1}")));
    let (code, value) = check(format!("image pull {v1}"));
    assert_eq!(
        (code, &value["update_available"], &value["bytes_to_fetch"]),
        (0, &false.into(), &0.into())
    );
    let (code, value) = check(format!("image pull {v2} --target-imgref {v1}"));
    assert_eq!(
        (code, &value["stored_version"], &value["version"]),
        (77, &"1".into(), &"2".into())
    );
    assert_eq!(value["layers"]["fetched"], 1);
    let text = bench
        .run(&format!("image pull {v2} --target-imgref {v1} --check"))
        .output()
        .unwrap();
    assert!(
        String::from_utf8(text.stdout)
            .unwrap()
            .contains("update available")
    );
}

#[test]
fn an_image_without_a_name_is_not_listed() {
    let bench = Bench::new();
    let pulled = bench.json(
        "image-pull",
        &format!("image pull {} --no-imgref", bench.image("v1")),
    );
    assert_eq!(pulled["stored_as"], Value::Null);
    assert_eq!(answer(&mut bench.run("image list -q")), "");
    bench.assert_sound();
}

#[test]
fn removing_goes_on_when_one_image_is_missing() {
    let bench = Bench::new();
    answer(&mut bench.run(&format!("image pull {}", bench.image("v1"))));
    let output = bench
        .run(&format!("image remove oci:/none:x {}", bench.image("v1")))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("not stored: oci:/none:x") && said(&output).contains("hint: "));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .starts_with("removed oci:")
    );
    assert_eq!(answer(&mut bench.run("image list -q")), "");
}

#[test]
fn questions_about_unknown_images_are_errors_with_a_hint() {
    let bench = Bench::new();
    for line in ["image history oci:/none:x", "image metadata oci:/none:x"] {
        let text = refusal(&mut bench.run(&format!("{line} --json")), 3);
        let value = serde_json::from_str(&text).unwrap();
        assert_valid("error", &value);
        assert_eq!(
            (&value["error"]["class"], &value["error"]["exit_code"]),
            (&"not-found".into(), &3.into())
        );
        assert!(
            value["error"]["hint"]
                .as_str()
                .unwrap()
                .contains("image list")
        );
    }
    let usage = refusal(&mut bench.run("image history --json"), 2);
    assert_valid("error", &serde_json::from_str(&usage).unwrap());
    refusal(&mut bench.run("image history no-transport"), 2);
}

#[test]
fn a_damaged_image_does_not_hide_the_others() {
    let bench = Bench::new();
    answer(&mut bench.run(&format!("image pull {}", bench.image("v1"))));
    let pulled = bench.json("image-pull", &format!("image pull {}", bench.image("v2")));
    let commit = pulled["commit"].as_str().unwrap();
    fs::remove_file(
        bench
            .repo()
            .join(format!("objects/{}/{}.commit", &commit[..2], &commit[2..])),
    )
    .unwrap();
    let list = bench.json("image-list", "image list");
    let damaged: Vec<bool> = list["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["damaged"].is_string())
        .collect();
    assert_eq!(damaged, [false, true]);
}

#[test]
fn bad_images_are_refused_and_leave_nothing_behind() {
    let mut bench = Bench::new();
    // Blobs of the same content would share a file.
    let files = |content: &str| layer(&[Entry::dir("usr"), Entry::file("usr/x", content)]);
    let cut = |blob: Vec<u8>| blob[..blob.len() / 2].to_vec();
    let flip = |mut blob: Vec<u8>| {
        let middle = blob.len() / 2;
        blob[middle] ^= 1;
        blob
    };
    let zeros = format!("sha256:{}", "0".repeat(64));
    bench.images.tag(
        "cut",
        &Image::bootable().layer(files("cut").stored_blob(cut)),
    );
    bench.images.tag(
        "flip",
        &Image::bootable().layer(files("flip").stored_blob(flip)),
    );
    bench.images.tag(
        "liar",
        &Image::bootable().layer(files("liar").lie_diff_id(&zeros)),
    );
    bench
        .images
        .tag("plain", &Image::new().layer(files("plain")));
    bench.images.tag(
        "alien",
        &Image::bootable()
            .architecture("s390x")
            .layer(files("alien")),
    );
    for (tag, options, code, expected) in [
        ("cut", "", 4, "bytes instead of"),
        ("flip", "", 4, "layer sha256:"),
        ("liar", "", 4, "layer sha256:"),
        ("plain", "--require-bootable", 5, "not bootable"),
        ("alien", "--require-bootable", 5, "s390x"),
        ("none", "", 3, "none"),
    ] {
        let text =
            bench.assert_refused(&format!("image pull {} {options}", bench.image(tag)), code);
        assert!(text.contains(expected), "{tag}: {text}");
    }
}

#[test]
fn a_pull_that_failed_goes_on_with_what_is_missing() {
    let mut bench = Bench::new();
    let good = layer(&[Entry::dir("usr"), Entry::file("usr/good", "good")]);
    let large = layer(&[Entry::dir("usr"), Entry::file("usr/noise", noise(8 << 20))]);
    let image = |upper: Layer| Image::bootable().layer(good.clone()).layer(upper);
    // Found out at the end, when the other layer, which is fetched at the same time, is complete.
    let spoilt = |mut blob: Vec<u8>| {
        *blob.last_mut().unwrap() ^= 1;
        blob
    };
    bench
        .images
        .tag("os", &image(large.clone().stored_blob(spoilt)));
    let line = format!("image pull {}", bench.image("os"));
    bench.assert_refused(&line, 4);
    bench.images.tag("os", &image(large));
    let pulled = bench.json("image-pull", &line);
    assert_eq!(pulled["layers"]["fetched"], 1, "{pulled:#}");
    bench.assert_sound();
}

fn noise(size: usize) -> Vec<u8> {
    let mut noise = vec![0; size];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut noise)
        .unwrap();
    noise
}

#[test]
fn a_full_disk_is_refused_before_anything_is_fetched() {
    let mut bench = Bench::new();
    bench.images.tag(
        "big",
        &Image::bootable().layer(layer(&[
            Entry::dir("usr"),
            Entry::file("usr/noise", noise(6 << 20)),
        ])),
    );
    let disk = testkit::disk::scratch_fs(16 << 20);
    let repo = disk.path().join("repo");
    answer(&mut bootroot(&format!(
        "ostree init --repo {}",
        repo.display()
    )));
    let line = format!(
        "image pull {} --repo {}",
        bench.image("big"),
        repo.display()
    );
    disk.fill_leaving(4 << 20);
    let text = refusal(&mut bootroot(&line), 7);
    assert!(
        text.contains("not enough space") && text.contains("hint: "),
        "{text}"
    );
    answer(&mut ostree(&format!("fsck -q --repo={}", repo.display())));
    disk.empty();
    answer(&mut bootroot(&line));
}

#[test]
fn a_registry_wants_to_know_who_asks() {
    let bench = Bench::new();
    let registry = testkit::Registry::with_htpasswd();
    registry.push(&bench.image("v1"), "os:v1");
    let line = format!("image pull registry:{}", registry.reference("os:v1"));
    let home = bench.dir.path().display().to_string();
    let clean = |line: &str| {
        let mut command = bench.run(line);
        command
            .env("HOME", &home)
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("REGISTRY_AUTH_FILE");
        command
    };
    let text = refusal(&mut clean(&line), 11);
    assert!(
        text.contains(&registry.host()) && text.contains("hint: log in"),
        "{text}"
    );
    let auth = format!("{}:{}", testkit::HTPASSWD_USER, testkit::HTPASSWD_PASSWORD);
    let mut base64 = testkit::command("base64");
    fs::write(bench.dir.path().join("plain"), auth).unwrap();
    let auth = testkit::stdout(base64.arg(bench.dir.path().join("plain")));
    let file = bench.dir.path().join("auth.json");
    fs::write(
        &file,
        format!(
            r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#,
            registry.host()
        ),
    )
    .unwrap();
    answer(&mut clean(&format!("{line} --authfile {}", file.display())));
    answer(clean(&format!("{line} --check")).env("REGISTRY_AUTH_FILE", &file));
    refusal(
        clean(&format!("{line} --check --anonymous")).env("REGISTRY_AUTH_FILE", &file),
        11,
    );
    refusal(&mut clean(&format!("{line} --authfile /none.json")), 3);
}

#[test]
fn signatures_that_cannot_be_verified_are_not_passed_over() {
    let bench = Bench::new();
    let policy = bench.dir.path().join("policy.json");
    std::fs::write(
        &policy,
        r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
    )
    .unwrap();
    // No such remote; a policy that asks for nothing.
    for (scheme, code) in [
        ("ostree-remote-image:origin", 3),
        ("ostree-image-signed", 10),
    ] {
        let line = format!(
            "image pull --signature-policy {} {scheme}:{}",
            policy.display(),
            bench.image("v1")
        );
        let told = refusal(&mut bench.run(&line), code);
        assert!(
            told.contains("origin") || told.contains("must be signed"),
            "{told}"
        );
        assert_eq!(answer(&mut bench.run("image list -q")), "");
    }
}

#[test]
fn progress_counts_layers_and_bytes() {
    let bench = Bench::new();
    let v1 = answer(&mut bench.run(&format!("image pull {} --quiet", bench.image("v1"))));
    assert!(v1.contains("2 fetched"));
    let path = bench.dir.path().join("lines");
    let line = format!(
        "image pull {} --target-imgref {} --progress-fd 3",
        bench.image("v2"),
        bench.image("v1")
    );
    let command = format!(
        "exec {} --repo {} {line} 3>{}",
        env!("CARGO_BIN_EXE_bootroot"),
        bench.repo().display(),
        path.display()
    );
    answer(Command::new("sh").args(["-c", &command]));
    let lines: Vec<Value> = fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines.iter().for_each(|line| assert_valid("progress", line));
    let begun = |task: &str| {
        let all: Vec<&Value> = lines
            .iter()
            .filter(|line| line["type"] == "begin" && line["task"] == task)
            .collect();
        assert_eq!(all.len(), 1, "{task}: {lines:#?}");
        all[0]
    };
    let ended = |begin: &Value| {
        let end = lines
            .iter()
            .find(|line| line["type"] == "end" && line["id"] == begin["id"]);
        end.unwrap_or_else(|| panic!("{begin} has no end")).clone()
    };
    let (pull, fetch, present) = (begun("pull"), begun("fetch-layer"), begun("layer-present"));
    assert_eq!(
        (&pull["layers"], &pull["present"], &pull["unit"]),
        (&2.into(), &1.into(), &"bytes".into())
    );
    assert_eq!(
        (&fetch["index"], &fetch["of"], &fetch["total"]),
        (&1.into(), &2.into(), &pull["total"])
    );
    assert_eq!(
        (ended(pull)["outcome"].clone(), ended(pull)["done"].clone()),
        ("done".into(), pull["total"].clone())
    );
    assert_eq!(ended(present)["outcome"], "skipped");
}

#[test]
fn without_a_terminal_a_pull_is_one_line() {
    let bench = Bench::new();
    let output = bench
        .run(&format!("image pull {}", bench.image("v1")))
        .output()
        .unwrap();
    let said = said(&output);
    assert!(
        said.starts_with("pulling ") && said.contains("2 of 2 layers to fetch"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1);
    let quiet = bench
        .run(&format!("image pull {} --quiet", bench.image("v2")))
        .output()
        .unwrap();
    assert_eq!(support::said(&quiet), "");
}

#[test]
fn on_a_terminal_a_slow_pull_has_bars_that_go_away() {
    let mut bench = Bench::new();
    let slow = layer(&[
        Entry::dir("usr"),
        Entry::file("usr/noise", noise(128 << 10)),
    ]);
    let manifest = bench.images.tag("slow", &Image::bootable().layer(slow));
    let (listener, host) = server();
    drop(serve_slowly(
        listener,
        bench.images.dir().to_owned(),
        &manifest,
    ));
    let result = bench.dir.path().join("result");
    let pull = format!("image pull registry:{host}/os:v1 >{}", result.display());
    let command = format!(
        "{} --repo {} {pull}",
        env!("CARGO_BIN_EXE_bootroot"),
        bench.repo().display()
    );
    let mut script = testkit::command("script");
    let screen = answer(
        script
            .args(["-qec", &command, "/dev/null"])
            .env("TERM", "xterm"),
    );
    assert!(
        screen.contains("layer 1/1") && screen.contains("0/1 layers present"),
        "{screen:?}"
    );
    // The last thing that happens to the screen is that its lines are cleared.
    assert!(
        screen.trim_end().ends_with("\u{1b}[2K") || screen.ends_with("\u{1b}[1A"),
        "{screen:?}"
    );
    assert!(fs::read_to_string(result).unwrap().contains("pulled\n"));
}

/// A server that takes connections.
fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    (listener, host)
}

fn pull_from(bench: &Bench, host: &str) -> Child {
    let mut command = bench.run(&format!("image pull registry:{host}/os:v1"));
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(name: &str, child: &Child) {
    testkit::run(testkit::command("kill").args([name, &child.id().to_string()]));
}

#[track_caller]
fn assert_interrupted(child: Child, since: Instant) -> String {
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "took {:?}",
        since.elapsed()
    );
    said(&output)
}

#[test]
fn an_interrupt_ends_a_pull_cleanly() {
    let mut bench = Bench::new();
    let large = layer(&[Entry::dir("usr"), Entry::file("usr/noise", noise(4 << 20))]);
    let manifest = bench.images.tag("large", &Image::bootable().layer(large));
    let line = format!("image pull {}", bench.image("large"));
    for name in ["-INT", "-TERM"] {
        let (listener, host) = server();
        let child = pull_from(&bench, &host);
        let layer_begun = serve_slowly(listener, bench.images.dir().to_owned(), &manifest);
        layer_begun.recv().unwrap();
        let sent = Instant::now();
        signal(name, &child);
        let said = assert_interrupted(child, sent);
        assert!(
            said.contains("error: ") && said.contains("hint: run the same command again"),
            "{said}"
        );
        bench.assert_sound();
    }
    answer(&mut bench.run(&line));
}

/// A registry with one image, whose layers come so slowly that nobody can wait for their end. Tells
/// when one begins.
fn serve_slowly(listener: TcpListener, images: PathBuf, manifest: &str) -> Receiver<()> {
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

#[test]
fn a_second_interrupt_ends_the_process_at_once() {
    let bench = Bench::new();
    let (listener, host) = server();
    let child = pull_from(&bench, &host);
    let (connection, _) = listener.accept().unwrap();
    let sent = Instant::now();
    signal("-INT", &child);
    thread::sleep(Duration::from_secs(1));
    signal("-INT", &child);
    assert_interrupted(child, sent);
    drop(connection);
    bench.assert_sound();
}

#[test]
fn a_refused_connection_is_a_network_failure() {
    let bench = Bench::new();
    let (listener, host) = server();
    drop(listener);
    let text = refusal(
        &mut bench.run(&format!("image pull registry:{host}/os:v1")),
        12,
    );
    assert!(
        text.contains(&host) && text.contains("hint: run the same command again"),
        "{text}"
    );
}

#[test]
fn a_repository_that_is_not_there_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none");
    let text = refusal(
        &mut bootroot(&format!("image list --repo {}", path.display())),
        3,
    );
    assert!(text.contains("hint: ") && !path.exists(), "{text}");
}
