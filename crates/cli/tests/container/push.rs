//! Images that go straight to a registry.

use std::fs;
use std::process::Command;

use testkit::{HTPASSWD_PASSWORD, HTPASSWD_USER, Registry};

use crate::bench::Bench;
use crate::support::{answer, assert_valid, refusal};

/// Content that does not get smaller, so that layers have more than what goes out at once.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

struct Scene {
    bench: Bench,
    registry: Registry,
}

impl Scene {
    fn new() -> Self {
        let bench = Bench::new();
        fs::create_dir_all(bench.path("tree/usr/share/large")).unwrap();
        fs::write(bench.path("tree/usr/share/large/file"), noise(1, 10 << 20)).unwrap();
        bench.commit("");
        let registry = Registry::with_htpasswd();
        let scene = Self { bench, registry };
        let plain = scene.bench.path("plain");
        fs::write(&plain, format!("{HTPASSWD_USER}:{HTPASSWD_PASSWORD}")).unwrap();
        let encoded = testkit::stdout(testkit::command("base64").arg("-w0").arg(&plain));
        let entry = serde_json::json!({"auth": encoded.trim()});
        let json = serde_json::json!({"auths": {scene.registry.host(): entry}});
        fs::write(scene.bench.path("auth.json"), json.to_string()).unwrap();
        scene
    }

    fn image(&self, name: &str) -> String {
        format!("registry:{}", self.registry.reference(name))
    }

    fn run(&self, line: &str) -> Command {
        let auth = self.bench.path("auth.json");
        self.bench
            .run(&format!("{line} --authfile {}", auth.display()))
    }

    /// The uploads that were finished since the log had `before` bytes.
    fn uploads(&self, before: usize) -> usize {
        let log = self.registry.log();
        let new = log[before..].lines();
        new.filter(|line| line.contains("\"PUT /v2/") && line.contains("/blobs/uploads/"))
            .count()
    }
}

#[test]
fn a_commit_goes_to_a_registry_and_what_is_there_is_not_sent_again() {
    let scene = Scene::new();
    let image = scene.image("org/os:1");
    refusal(
        &mut scene
            .bench
            .run(&format!("container encapsulate --anonymous os {image}")),
        11,
    );
    let line = format!("container encapsulate --chunked os {image}");
    let first = answer(&mut scene.run(&line));
    let sent = scene.uploads(0);
    assert!(sent > 3, "{sent}");

    let before = scene.registry.log().len();
    assert_eq!(answer(&mut scene.run(&line)), first);
    assert_eq!(
        scene.uploads(before),
        0,
        "{}",
        &scene.registry.log()[before..]
    );

    // An update: the layers that changed, and the configuration.
    fs::write(scene.bench.path("tree/usr/bin/sh"), "another shell").unwrap();
    scene.bench.commit("");
    let before = scene.registry.log().len();
    let line = format!(
        "container encapsulate --chunked --previous {image} os {}",
        scene.image("org/os:2")
    );
    answer(&mut scene.run(&line));
    assert_eq!(scene.uploads(before), 3);

    let mut skopeo = testkit::command("skopeo");
    let creds = format!("{HTPASSWD_USER}:{HTPASSWD_PASSWORD}");
    skopeo.args(["inspect", "--tls-verify=false", "--creds", &creds]);
    skopeo.args(["--format", "{{.Digest}}"]);
    let seen =
        testkit::stdout(skopeo.arg(format!("docker://{}", scene.registry.reference("org/os:1"))));
    assert_eq!(seen.trim(), first.trim());
}

#[test]
fn blobs_of_another_repository_are_mounted() {
    let scene = Scene::new();
    let (image, signed) = (scene.image("org/os:1"), scene.image("org/signed:1"));
    answer(&mut scene.run(&format!("container encapsulate --chunked os {image}")));
    let before = scene.registry.log().len();
    let line = format!("container image replace-detached-metadata --src {image} --dest {signed}");
    answer(&mut scene.run(&line));
    // Only the layer with the commit and the configuration are new, and without metadata not even they.
    let sent = scene.uploads(before);
    assert!(sent <= 2, "{sent}");
    answer(&mut scene.run(&format!("image pull {signed}")));
    let whole = scene
        .bench
        .json("image-integrity", &format!("image check {signed}"));
    assert_eq!(whole["whole"], true);
}

#[test]
fn a_stored_image_goes_to_a_registry_as_it_came() {
    let scene = Scene::new();
    let image = scene.bench.image("image");
    let digest = answer(
        &mut scene
            .bench
            .run(&format!("container encapsulate --chunked os {image}")),
    );
    answer(&mut scene.bench.run(&format!("image pull {image}")));
    let pushed = scene.image("org/pushed:1");
    let text = answer(&mut scene.run(&format!("container image push {image} {pushed}")));
    assert_eq!(text, format!("Exported: {digest}"));
}

#[test]
fn an_image_is_copied_byte_for_byte() {
    let scene = Scene::new();
    let (image, copy) = (scene.bench.image("image"), scene.image("org/copy:1"));
    let digest = answer(
        &mut scene
            .bench
            .run(&format!("container encapsulate --chunked os {image}")),
    );
    let copied = |from: &str, to: &str| {
        let text = answer(&mut scene.run(&format!("container copy --json {from} {to}")));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_valid("container-copy", &value);
        assert_eq!(value["digest"], digest.trim());
        (
            value["bytes_sent"].as_u64(),
            value["bytes_present"].as_u64(),
        )
    };
    let (sent, present) = copied(&image, &copy);
    assert!(sent > Some(10 << 20) && present == Some(0));
    // Now it is there, and another repository of the registry gets it without us.
    assert_eq!(copied(&image, &copy), (Some(0), sent));
    assert_eq!(copied(&copy, &scene.image("org/more:1")), (Some(0), sent));
    let archive = format!("oci-archive:{}", scene.bench.path("image.tar").display());
    assert_eq!(copied(&copy, &archive), (sent, Some(0)));
    let mut skopeo = testkit::command("skopeo");
    let seen = testkit::stdout(skopeo.args(["inspect", "--format", "{{.Digest}}", &archive]));
    assert_eq!(seen.trim(), digest.trim());

    let policy = scene.bench.path("policy.json");
    fs::write(&policy, r#"{"default": [{"type": "reject"}]}"#).unwrap();
    let line = format!(
        "container copy {image} {} --signature-policy {}",
        scene.bench.image("new"),
        policy.display()
    );
    refusal(&mut scene.run(&line), 10);
    assert!(!scene.bench.path("new").exists());
    // A damaged layer does not get through.
    let blobs = scene.bench.path("image/blobs/sha256");
    let largest = testkit::shell(&format!("ls -S {} | head -1", blobs.display()));
    let largest = blobs.join(largest.trim());
    let mut bytes = fs::read(&largest).unwrap();
    bytes[5_000_000] ^= 1;
    fs::write(&largest, bytes).unwrap();
    refusal(
        &mut scene.run(&format!(
            "container copy {image} {}",
            scene.bench.image("new")
        )),
        4,
    );
    assert!(!scene.bench.path("new/index.json").exists());
}
