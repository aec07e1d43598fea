//! Pulls that do not succeed, and what is left behind.

use std::fs;

use testkit::oci::{Image, Layer};
use testkit::tar::Entry;

use crate::bench::{Bench, layer, noise};
use crate::slow_server::server;
use crate::support::{answer, bootroot, ostree, refusal};

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
