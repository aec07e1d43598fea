//! Signatures by keys: simple ones of skopeo, sigstore ones in tags and bundles.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use image_trust::Verdict;
use serde_json::json;
use testkit::{command, stdout};

use crate::scene::Scene;

fn only_reason(verdict: &Verdict) -> String {
    verdict.findings[0].refused[0].because.clone()
}

#[test]
fn simple_signatures_of_skopeo_count_for_their_image_and_key_alone() {
    let mut scene = Scene::new();
    scene.configure("");
    let (ours, _theirs) = (scene.gpg_key("ours"), scene.gpg_key("theirs"));
    let policy = scene.signed_by("ours");
    let unsigned = scene.agree(&policy, "1", false);
    assert!(
        unsigned.refusal().contains("there is no signature"),
        "{unsigned:?}"
    );

    scene.sign_simple("ours", &ours, "1");
    let verdict = scene.agree(&policy, "1", true);
    let signer = verdict.signers().next().unwrap();
    assert_eq!((signer.kind.as_str(), &signer.key), ("gpg", &ours));
    assert_eq!(
        signer.identity.as_deref(),
        Some(scene.registry.reference("org/os:1").as_str())
    );
    assert!(verdict.scope.contains(&scene.registry.host()));
    scene.agree(&policy, "2", false);

    let theirs = scene.signed_by("theirs");
    let refused = scene.agree(&theirs, "1", false);
    assert!(
        only_reason(&refused).contains("no trusted key"),
        "{refused:?}"
    );

    // The signature of one image under the name of another.
    let place = |tag: &str| {
        let hex = scene.digest(tag).hex().to_owned();
        scene.path(&format!("sigs/org/os@sha256={hex}"))
    };
    fs::create_dir_all(place("2")).unwrap();
    fs::copy(
        place("1").join("signature-1"),
        place("2").join("signature-1"),
    )
    .unwrap();
    let refused = scene.agree(&scene.signed_by("ours"), "2", false);
    assert!(
        only_reason(&refused).contains("another image"),
        "{refused:?}"
    );

    damage(&place("1").join("signature-1"));
    scene.agree(&scene.signed_by("ours"), "1", false);
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn signatures_count_under_the_names_that_the_policy_takes() {
    let mut scene = Scene::new();
    scene.configure("");
    let ours = scene.gpg_key("ours");
    scene.sign_simple("ours", &ours, "1");
    // The same image under another tag.
    scene.registry.push(&scene.layout("one"), "org/os:3");
    let signed = |identity: serde_json::Value| {
        scene.policy(&json!({
            "type": "signedBy", "keyType": "GPGKeys", "keyPath": scene.path("ours.pub"),
            "signedIdentity": identity,
        }))
    };
    let refused = scene.agree(&scene.signed_by("ours"), "3", false);
    assert!(only_reason(&refused).contains("org/os:1"), "{refused:?}");
    scene.agree(&signed(json!({"type": "matchRepository"})), "3", true);
    let exact = scene.registry.reference("org/os:1");
    let exact = json!({"type": "exactReference", "dockerReference": exact});
    scene.agree(&signed(exact), "3", true);
    let exact = json!({"type": "exactRepository", "dockerRepository": "example.com/os"});
    scene.agree(&signed(exact), "3", false);
}

#[test]
fn sigstore_signatures_in_tags_count() {
    let mut scene = Scene::new();
    scene.configure("    use-sigstore-attachments: true\n");
    scene.ec_key("ours");
    scene.ec_key("theirs");
    let policy = scene.sigstore_signed("ours", None);
    scene.expect(&policy, "1", false);
    scene.sign_cosign("ours", "1", &scene.registry.reference("org/os:1"));
    let verdict = scene.expect(&policy, "1", true);
    let signer = verdict.signers().next().unwrap();
    assert_eq!(signer.kind, "sigstore");
    assert!(
        signer.key.ends_with("ours.pem") && signer.place.ends_with(|c: char| c.is_ascii_hexdigit())
    );
    scene.expect(&scene.sigstore_signed("theirs", None), "1", false);

    // As cosign signs: without a tag.
    scene.sign_cosign("ours", "2", &scene.registry.reference("org/os"));
    scene.expect(&scene.sigstore_signed("ours", None), "2", false);
    let repository = Some(json!({"type": "matchRepository"}));
    scene.expect(&scene.sigstore_signed("ours", repository), "2", true);

    // Without leave to look into the registry.
    scene.configure("");
    let refused = scene.expect(&scene.sigstore_signed("ours", None), "1", false);
    assert!(
        refused.refusal().contains("use-sigstore-attachments"),
        "{refused:?}"
    );
}

#[test]
fn bundles_that_refer_to_the_image_count() {
    let mut scene = Scene::new();
    scene.configure("    use-sigstore-attachments: true\n");
    scene.ec_key("ours");
    scene.ec_key("theirs");
    let digest = scene.digest("1");
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.hex()}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1", "predicate": {},
    })
    .to_string();
    let kind = "application/vnd.in-toto+json";
    let signed = format!(
        "DSSEv1 {} {kind} {} {statement}",
        kind.len(),
        statement.len()
    );
    let signature = scene.openssl_sign("ours", signed.as_bytes());
    fs::write(scene.path("statement"), &statement).unwrap();
    let payload = stdout(command("base64").arg("-w0").arg(scene.path("statement")));
    let media_type = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let bundle = json!({
        "mediaType": media_type, "verificationMaterial": {"publicKey": {"hint": ""}},
        "dsseEnvelope": {"payload": payload.trim(), "payloadType": kind, "signatures": [{"sig": signature}]},
    });
    let (referrer, size) = scene.put_artifact(
        "bundle",
        media_type,
        bundle.to_string().as_bytes(),
        &BTreeMap::new(),
    );
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": referrer, "size": size, "artifactType": media_type,
        }],
    });
    scene.put_manifest(&format!("sha256-{}", digest.hex()), &index);

    let verdict = scene.judge(&scene.sigstore_signed("ours", None), "1");
    assert!(verdict.accepted, "{verdict:#?}");
    assert!(
        verdict
            .signers()
            .next()
            .unwrap()
            .place
            .starts_with("referrer sha256:")
    );
    let theirs = scene.judge(&scene.sigstore_signed("theirs", None), "1");
    assert!(
        only_reason(&theirs).contains("no trusted key"),
        "{theirs:?}"
    );
    // It says nothing about names.
    let exact = Some(json!({"type": "matchExact"}));
    let named = scene.judge(&scene.sigstore_signed("ours", exact), "1");
    assert!(only_reason(&named).contains("names no image"), "{named:?}");
    assert!(
        !scene
            .judge(&scene.sigstore_signed("ours", None), "2")
            .accepted
    );
}

#[test]
fn keys_that_are_not_there_are_named() {
    let mut scene = Scene::new();
    scene.configure("    use-sigstore-attachments: true\n");
    let missing = json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/no/key"});
    let verdict = scene.judge(&scene.policy(&missing), "1");
    assert!(
        verdict.refusal().contains("there is no key file /no/key"),
        "{verdict:?}"
    );
}
