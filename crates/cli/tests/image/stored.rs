//! Images that are stored: pulled, listed, described, updated, removed.

use std::fs;

use serde_json::Value;

use crate::bench::Bench;
use crate::support::{answer, assert_valid, ostree, refusal, said};

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
