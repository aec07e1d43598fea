//! Images that the real skopeo and cosign signed, with keys, with certificates, with a log, and what the
//! same programs say about them. The group `sigstore` of the golden data.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use image_trust::{Lookaside, Policy, Question, Verdict, verify};
use oci::context::Context;
use oci::digest::Digest;
use serde_json::{Value, json};
use testkit::{Registry, command, golden, run, stdout};

use crate::scene::read;

/// The registry that they were signed in.
const SIGNED_IN: &str = "127.0.0.1:5643";
const EMAIL: &str = "alice@example.com";
const ISSUER: &str = "https://login.example.com";
const WORKFLOW: &str = "https://git.example.com/org/os/.workflows/build.yml@refs/heads/main";
const ACCEPT: &str = "Accept: application/vnd.oci.image.manifest.v1+json";
const YEAR: u64 = 365 * 86400;

struct Signed {
    registry: Registry,
    dir: PathBuf,
    digests: BTreeMap<String, Digest>,
}

type Taken = BTreeMap<String, BTreeMap<String, BTreeMap<String, bool>>>;

impl Signed {
    fn new() -> Self {
        let dir = golden("sigstore");
        let registry = Registry::start();
        let storage = registry.storage();
        run(command("cp")
            .arg("-rT")
            .arg(dir.join("registry"))
            .arg(storage));
        let digests: BTreeMap<String, String> = json_file(&dir.join("digests.json"));
        let parsed = digests.into_iter();
        let parsed = parsed.map(|(tag, digest)| (tag, digest.parse().unwrap()));
        Self {
            digests: parsed.collect(),
            registry,
            dir,
        }
    }

    fn judge_at(&self, requirement: &Value, tag: &str, now: u64) -> Verdict {
        let mut requirement = requirement.clone();
        requirement["type"] = json!("sigstoreSigned");
        if requirement.get("signedIdentity").is_none() && !tag.contains("bundle") {
            let repository = format!("{SIGNED_IN}/org/os");
            let identity = json!({"type": "exactRepository", "dockerRepository": repository});
            requirement["signedIdentity"] = identity;
        }
        let text = json!({"default": [requirement]}).to_string();
        let text = text.replace("KEYS", &self.dir.join("keys").to_string_lossy());
        let mut lookaside = Lookaside::default();
        let attachments = "default-docker: {use-sigstore-attachments: true}";
        lookaside.add("a.yaml", attachments).unwrap();
        let root: OwnedFd = File::open("/").unwrap().into();
        let reference = self.registry.reference(&format!("org/os:{tag}"));
        verify(&Question {
            image: &format!("registry:{reference}").parse().unwrap(),
            digests: std::slice::from_ref(&self.digests[tag]),
            policy: &Policy::parse("policy.json", text.as_bytes()).unwrap(),
            policy_origin: "policy.json",
            lookaside: &lookaside,
            context: &Context::new(root),
            read: &read,
            now,
        })
        .unwrap()
    }

    fn judge(&self, requirement: &Value, tag: &str) -> Verdict {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        self.judge_at(requirement, tag, now.as_secs())
    }

    fn reason(&self, requirement: &Value, tag: &str) -> String {
        let verdict = self.judge(requirement, tag);
        assert!(!verdict.accepted, "{verdict:#?}");
        verdict.findings[0].refused[0].because.clone()
    }

    /// What stands under the tag of an image's signature.
    fn signature(&self, tag: &str) -> (String, Value) {
        let host = self.registry.host();
        let hex = self.digests[tag].hex();
        let url = format!("http://{host}/v2/org/os/manifests/sha256-{hex}.sig");
        let text = stdout(command("curl").args(["-sSf", "-H", ACCEPT, &url]));
        (url, serde_json::from_str(&text).unwrap())
    }

    fn put(&self, url: &str, manifest: &Value) {
        let kind = format!("Content-Type: {}", manifest["mediaType"].as_str().unwrap());
        let body = manifest.to_string();
        let put = [
            "-sSf",
            "-X",
            "PUT",
            "-H",
            &kind,
            "--data-binary",
            &body,
            url,
        ];
        run(command("curl").args(put));
    }
}

fn json_file<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> T {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn fulcio(more: &Value) -> Value {
    let mut fulcio = json!({"caPath": "KEYS/fulcio-chain.pem", "oidcIssuer": ISSUER});
    let members = more.as_object().unwrap().clone();
    fulcio.as_object_mut().unwrap().extend(members);
    json!({"fulcio": fulcio, "rekorPublicKeyPath": "KEYS/rekor.pub"})
}

#[test]
fn signatures_in_tags_are_taken_as_skopeo_takes_them() {
    let signed = Signed::new();
    let policies: BTreeMap<String, Value> = json_file(&signed.dir.join("policies.json"));
    let taken: Taken = json_file(&signed.dir.join("taken.json"));
    for (name, by_skopeo) in &taken["skopeo"] {
        for (tag, expected) in by_skopeo {
            let verdict = signed.judge(&policies[name], tag);
            assert_eq!(verdict.accepted, *expected, "{name}, {tag}: {verdict:#?}");
        }
    }
    let all = taken["skopeo"].values().flat_map(BTreeMap::values);
    assert!(all.clone().count() > 100 && all.filter(|taken| **taken).count() >= 15);
}

#[test]
fn bundles_are_taken_as_cosign_takes_them() {
    let signed = Signed::new();
    let taken: Taken = json_file(&signed.dir.join("taken.json"));
    let policies: BTreeMap<String, Value> = json_file(&signed.dir.join("policies.json"));
    let mut seen = 0;
    for (name, by_cosign) in &taken["cosign"] {
        let requirement = match name.as_str() {
            "fulcio" => fulcio(&json!({"subjectEmail": EMAIL})),
            "fulcio by URI" => fulcio(&json!({"subjectURI": WORKFLOW})),
            other => policies[other].clone(),
        };
        for (tag, expected) in by_cosign {
            let verdict = signed.judge(&requirement, tag);
            assert_eq!(verdict.accepted, *expected, "{name}, {tag}: {verdict:#?}");
            seen += usize::from(*expected);
        }
    }
    assert!(seen >= 5);
}

#[test]
fn who_signed_and_when_is_told() {
    let signed = Signed::new();
    let wanted = fulcio(&json!({"subjectEmail": EMAIL}));
    for tag in ["skopeo-fulcio", "cosign-bundle-fulcio"] {
        let verdict = signed.judge(&wanted, tag);
        let signer = verdict.signers().next().unwrap();
        assert_eq!(signer.key, format!("{EMAIL} ({ISSUER})"));
        assert!(signer.logged.is_some_and(|time| time > 1_790_000_000));
    }
    // The certificate was valid for ten minutes; what counts is the time that the log vouches for.
    let far = u64::try_from(i64::MAX).unwrap();
    assert!(signed.judge_at(&wanted, "skopeo-fulcio", far).accepted);
    // Those of other authorities must be valid now.
    let host = json!({"subjectHostname": "sign.example.com", "caRootsPath": "KEYS/pki-root.pem",
        "caIntermediatesPath": "KEYS/pki-intermediate.pem"});
    let host = json!({"pki": host});
    let verdict = signed.judge_at(&host, "cosign-pki", 1_800_000_000 + 20 * YEAR);
    assert!(!verdict.accepted, "{verdict:#?}");
    let verdict = signed.judge(&host, "cosign-pki");
    assert_eq!(verdict.signers().next().unwrap().key, "sign.example.com");
}

#[test]
fn builds_are_known_by_uri() {
    let signed = Signed::new();
    for tag in ["skopeo-fulcio-uri", "cosign-bundle-fulcio-uri"] {
        for good in [
            json!({"subjectURI": WORKFLOW}),
            json!({"buildSignerURI": WORKFLOW}),
            json!({"subjectURI": WORKFLOW, "buildSignerURI": WORKFLOW}),
        ] {
            let verdict = signed.judge(&fulcio(&good), tag);
            assert!(verdict.accepted, "{good} {verdict:#?}");
        }
        for bad in [
            json!({"subjectURI": format!("{WORKFLOW}2")}),
            json!({"buildSignerURI": "https://git.example.com/org/os"}),
            json!({"subjectURI": WORKFLOW, "subjectEmail": EMAIL}),
        ] {
            let because = signed.reason(&fulcio(&bad), tag);
            assert!(because.contains("the policy asks for"), "{because}");
        }
    }
    // One who logged in himself is no build.
    let because = signed.reason(&fulcio(&json!({"subjectURI": WORKFLOW})), "skopeo-fulcio");
    assert!(because.contains("is for []"), "{because}");
}

#[test]
fn what_is_missing_or_does_not_fit_is_named() {
    let signed = Signed::new();
    let log = "KEYS/rekor.pub";
    let key = json!({"keyPath": "KEYS/cosign.pub", "rekorPublicKeyPath": log});
    let email = fulcio(&json!({"subjectEmail": EMAIL}));
    let mut above = email.clone();
    above["fulcio"]["caPath"] = json!("KEYS/fulcio.pem");
    for (requirement, tag, expected) in [
        (
            &key,
            "skopeo-key",
            "does not say that a transparency log has it",
        ),
        (
            &key,
            "cosign-bundle-key",
            "does not say that a transparency log has it",
        ),
        (&key, "cosign-bundle-fulcio", "no trusted key made it"),
        (&email, "skopeo-key-log", "without a certificate"),
        (&email, "cosign-bundle-key-log", "without a certificate"),
        // A bundle brings no certificates from between.
        (
            &above,
            "cosign-bundle-fulcio",
            "its certificate does not count",
        ),
    ] {
        let because = signed.reason(requirement, tag);
        assert!(because.contains(expected), "{tag}: {because}");
    }
    let gone = json!({"fulcio": {"caPath": "/no/ca", "oidcIssuer": "x", "subjectEmail": "y"},
        "rekorPublicKeyPath": log});
    let refusal = signed.judge(&gone, "skopeo-fulcio").refusal();
    assert!(refusal.contains("there is no key file /no/ca"), "{refusal}");
}

#[test]
fn entries_of_other_signatures_and_times_do_not_count() {
    let signed = Signed::new();
    let email = fulcio(&json!({"subjectEmail": EMAIL}));
    assert!(signed.judge(&email, "skopeo-fulcio").accepted);
    let annotation = "dev.sigstore.cosign/bundle";
    let (url, good) = signed.signature("skopeo-fulcio");
    let other = signed.signature("skopeo-fulcio-uri").1["layers"][0]["annotations"].clone();
    let entry = good["layers"][0]["annotations"][annotation]
        .as_str()
        .unwrap();
    let entry: Value = serde_json::from_str(entry).unwrap();
    let with = |entry: &str| {
        let mut manifest = good.clone();
        manifest["layers"][0]["annotations"][annotation] = json!(entry);
        signed.put(&url, &manifest);
        signed.reason(&email, "skopeo-fulcio")
    };
    let because = with(other[annotation].as_str().unwrap());
    assert!(because.contains("about another signature"), "{because}");
    let mut later = entry.clone();
    let time = later["Payload"]["integratedTime"].as_i64().unwrap();
    later["Payload"]["integratedTime"] = json!(time + 1);
    let because = with(&later.to_string());
    assert!(because.contains("no trusted log promised"), "{because}");
    let mut more = entry;
    more["Payload"]["more"] = json!(1);
    let because = with(&more.to_string());
    assert!(because.contains("malformed"), "{because}");
    // The same signature with the certificate of somebody else.
    let mut manifest = good;
    let certificate = "dev.sigstore.cosign/certificate";
    manifest["layers"][0]["annotations"][certificate] = other[certificate].clone();
    signed.put(&url, &manifest);
    let because = signed.reason(&email, "skopeo-fulcio");
    assert!(because.contains("about another key"), "{because}");
}
