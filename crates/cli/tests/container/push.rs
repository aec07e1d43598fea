//! Images that go straight to a registry.

use std::fs;
use std::process::Command;

use testkit::{HTPASSWD_PASSWORD, HTPASSWD_USER, Registry};

use crate::bench::Bench;
use crate::support::{answer, refusal};

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
