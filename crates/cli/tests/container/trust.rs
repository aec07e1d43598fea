//! Signatures that references and policies ask for, of images that are fetched for other ends than a pull.

use std::fs;

use serde_json::Value;
use testkit::GpgHome;

use crate::bench::Bench;
use crate::support::{answer, bootroot, ostree, refusal};

/// A commit that is signed, in an image; and a repository that has a remote with the key of `trusted`.
fn signed(trusted: &str) -> (Bench, String) {
    let home = GpgHome::new();
    home.key("One <one@example.com>", "ed25519", "sign", "never");
    home.key("Two <two@example.com>", "ed25519", "sign", "never");
    let bench = Bench::new();
    bench.commit(&format!(
        "--gpg-sign=one@example.com --gpg-homedir={}",
        home.path().display()
    ));
    let image = bench.image("image");
    answer(&mut bench.run(&format!("container encapsulate --chunked os {image}")));
    let other = bench.other_repo();
    let key = bench.path("key.gpg");
    fs::write(&key, home.gpg(&["--export", trusted], b"")).unwrap();
    answer(&mut ostree(&format!(
        "remote add --repo={} --gpg-import={} vendor http://localhost/none",
        other.display(),
        key.display()
    )));
    (bench, image)
}

#[test]
fn a_commit_comes_out_of_an_image_if_its_remote_signed_it() {
    let (bench, image) = signed("one@example.com");
    let other = bench.path("other");
    let take = |remote: &str| {
        bootroot(&format!(
            "--repo {} container unencapsulate --write-ref out ostree-remote-image:{remote}:{image}",
            other.display()
        ))
    };
    answer(&mut take("vendor"));
    let taken = answer(&mut ostree(&format!(
        "rev-parse --repo={} out",
        other.display()
    )));
    let wrapped = answer(&mut ostree(&format!(
        "rev-parse --repo={} os",
        bench.path("repo").display()
    )));
    assert_eq!(taken, wrapped);
    let unknown = take("nobody").output().unwrap();
    assert!(!unknown.status.success(), "{unknown:?}");
}

#[test]
fn a_commit_that_somebody_else_signed_gets_no_name() {
    let (bench, image) = signed("two@example.com");
    let other = bench.path("other");
    let line = format!(
        "--repo {} container unencapsulate --write-ref out ostree-remote-image:vendor:{image}",
        other.display()
    );
    let told = refusal(&mut bootroot(&line), 10);
    assert!(
        told.contains("is not signed as remote vendor asks"),
        "{told}"
    );
    let refs = answer(&mut ostree(&format!("refs --repo={}", other.display())));
    assert_eq!(refs, "");
    // Without signatures it is just as bad.
    let bare = bench.image("bare");
    answer(&mut bench.run(&format!(
        "container image replace-detached-metadata --src {image} --dest {bare}"
    )));
    let line = line.replace(&image, &bare);
    refusal(&mut bootroot(&line), 10);
}

#[test]
fn policies_count_whatever_an_image_is_fetched_for() {
    let bench = Bench::new();
    let image = bench.image("image");
    answer(&mut bench.run(&format!("container encapsulate os {image}")));
    answer(&mut bench.run(&format!("image pull {image}")));
    let policy = bench.path("policy.json");
    fs::write(&policy, r#"{"default": [{"type": "reject"}]}"#).unwrap();
    let policy = format!("--signature-policy {}", policy.display());
    let unknown = bench.image("unknown");
    answer(&mut bench.run(&format!("container encapsulate --label a=b os {unknown}")));
    let object = bench.object("/usr/bin/sh");
    fs::remove_file(&object).unwrap();
    for line in [
        format!("image check --repair {image}"),
        format!("image compare {image} {unknown}"),
        format!("container compare {image} {unknown}"),
        format!("container unencapsulate {image}"),
        format!(
            "container image replace-detached-metadata --src {image} --dest {}",
            bench.image("new")
        ),
    ] {
        let told = refusal(&mut bench.run(&format!("{line} {policy}")), 10);
        assert!(told.contains("rejects the image"), "{line}: {told}");
    }
    assert!(!bench.path("new/index.json").exists());
    assert!(!object.exists());
    // What is stored is compared without asking, since nothing is fetched.
    answer(&mut bench.run(&format!("image compare {image} {image} {policy}")));
}

/// `ostree-prepare-root` looks for the signatures of the commit in the image only where the one that it was stored as has no
/// detached metadata.
#[test]
fn nothing_is_noted_between_a_signed_commit_and_whoever_mounts_it() {
    let (bench, image) = signed("one@example.com");
    let other = bench.path("other");
    let notes = other.join("extensions/bootroot");
    let lost = notes.join("ab".repeat(32));
    fs::create_dir_all(&notes).unwrap();
    fs::write(&lost, "of a commit that is gone").unwrap();
    let pulled = answer(&mut bootroot(&format!(
        "-q --repo {} image pull --json {image}",
        other.display()
    )));
    let pulled: Value = serde_json::from_str(&pulled).unwrap();
    let commit = pulled["commit"].as_str().unwrap();
    let (head, rest) = commit.split_at(2);
    let detached = format!("objects/{head}/{rest}.commitmeta");
    assert!(!other.join(detached).exists(), "{pulled}");
    let noted = fs::read(notes.join(commit)).unwrap();
    assert!(String::from_utf8_lossy(&noted).contains("bootroot.image-verdict"));
    assert!(!lost.exists());
    let parent = answer(&mut ostree(&format!(
        "rev-parse --repo={} {commit}^",
        other.display()
    )));
    let (head, rest) = parent.trim().split_at(2);
    assert!(
        other
            .join(format!("objects/{head}/{rest}.commitmeta"))
            .exists()
    );
}
