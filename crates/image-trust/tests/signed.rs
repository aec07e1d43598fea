//! Images signed by the real programs, in a real registry; and what must not count.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use image_trust::{Lookaside, Policy, Question, Verdict, verify};
use oci::context::Context;
use oci::digest::Digest;
use serde_json::json;
use tempfile::TempDir;
use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::TarWriter;
use testkit::{Registry, command, run, stdout};

struct Scene {
    dir: TempDir,
    registry: Registry,
    lookaside: Lookaside,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = LayoutBuilder::new(dir.path().join("image"));
        for tag in ["one", "other"] {
            let tar = TarWriter::new().file("file", 0o644, tag).finish();
            layout.tag(tag, &Image::new().layer(Layer::new(tar)));
        }
        let scene = Self {
            dir,
            registry: Registry::start(),
            lookaside: Lookaside::default(),
        };
        scene.registry.push(&scene.layout("one"), "org/os:1");
        scene.registry.push(&scene.layout("other"), "org/os:2");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn layout(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.path("image").display())
    }

    /// registries.d, for us and for skopeo.
    fn configure(&mut self, more: &str) {
        let text = format!(
            "docker:\n  {}:\n    lookaside: file://{1}\n    sigstore: file://{1}\n    sigstore-staging: file://{1}\n{more}",
            self.registry.host(),
            self.path("sigs").display()
        );
        // Old versions of skopeo know only the old words.
        let theirs: String = text
            .lines()
            .filter(|l| !l.contains("lookaside"))
            .map(|l| l.to_owned() + "\n")
            .collect();
        fs::create_dir_all(self.path("registries.d")).unwrap();
        fs::write(self.path("registries.d/a.yaml"), theirs).unwrap();
        self.lookaside = Lookaside::default();
        self.lookaside.add("a.yaml", &text).unwrap();
    }

    fn digest(&self, tag: &str) -> Digest {
        let reference = format!(
            "docker://{}",
            self.registry.reference(&format!("org/os:{tag}"))
        );
        let mut skopeo = command("skopeo");
        skopeo.args([
            "inspect",
            "--tls-verify=false",
            "--format={{.Digest}}",
            &reference,
        ]);
        stdout(&mut skopeo).trim().parse().unwrap()
    }

    /// A GPG home with one key, and its public part in `NAME.pub`; its fingerprint.
    fn gpg_key(&self, name: &str) -> String {
        let home = self.path(name);
        fs::create_dir_all(&home).unwrap();
        run(command("chmod").arg("700").arg(&home));
        run(command("gpg").env("GNUPGHOME", &home).args([
            "--batch",
            "--quiet",
            "--passphrase",
            "",
            "--quick-gen-key",
            &format!("{name} <{name}@example.com>"),
            "ed25519",
            "sign",
            "never",
        ]));
        let public = self.path(&format!("{name}.pub"));
        run(command("gpg")
            .env("GNUPGHOME", &home)
            .args(["--export", "-o"])
            .arg(&public));
        let list = stdout(
            command("gpg")
                .env("GNUPGHOME", &home)
                .args(["--list-keys", "--with-colons"]),
        );
        let line = list.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    fn sign_simple(&self, name: &str, fingerprint: &str, tag: &str) {
        let mut skopeo = command("skopeo");
        skopeo
            .env("GNUPGHOME", self.path(name))
            .arg("--insecure-policy");
        skopeo.arg("--registries.d").arg(self.path("registries.d"));
        skopeo.args([
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            "--src-tls-verify=false",
        ]);
        let reference = format!(
            "docker://{}",
            self.registry.reference(&format!("org/os:{tag}"))
        );
        run(skopeo.args(["--sign-by", fingerprint, &reference, &reference]));
    }

    fn policy(&self, requirement: &serde_json::Value) -> Policy {
        let policy = json!({
            "default": [{"type": "reject"}],
            "transports": {"docker": {self.registry.host(): [requirement]}},
        });
        let bytes = serde_json::to_vec(&policy).unwrap();
        fs::write(self.path("policy.json"), &bytes).unwrap();
        Policy::parse("policy.json", &bytes).unwrap()
    }

    fn signed_by(&self, name: &str) -> Policy {
        self.policy(&json!({
            "type": "signedBy", "keyType": "GPGKeys",
            "keyPath": self.path(&format!("{name}.pub")),
        }))
    }

    fn judge(&self, policy: &Policy, tag: &str) -> Verdict {
        let root: std::os::fd::OwnedFd = File::open("/").unwrap().into();
        let image = format!(
            "registry:{}",
            self.registry.reference(&format!("org/os:{tag}"))
        );
        verify(&Question {
            image: &image.parse().unwrap(),
            digests: &[self.digest(tag)],
            policy,
            policy_origin: "policy.json",
            lookaside: &self.lookaside,
            context: &Context::new(root),
            read: &read,
            now: std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .unwrap()
                .as_secs(),
        })
        .unwrap()
    }

    /// Whether skopeo takes the image by the policy that was made last.
    fn skopeo_takes(&self, tag: &str) -> bool {
        let mut skopeo = command("skopeo");
        skopeo.arg("--policy").arg(self.path("policy.json"));
        skopeo.arg("--registries.d").arg(self.path("registries.d"));
        skopeo.args([
            "copy",
            "--quiet",
            "--remove-signatures",
            "--src-tls-verify=false",
        ]);
        let reference = format!(
            "docker://{}",
            self.registry.reference(&format!("org/os:{tag}"))
        );
        let target = tempfile::tempdir().unwrap();
        skopeo
            .arg(reference)
            .arg(format!("dir:{}", target.path().display()));
        skopeo.output().unwrap().status.success()
    }

    fn agree(&self, policy: &Policy, tag: &str, expected: bool) -> Verdict {
        let verdict = self.expect(policy, tag, expected);
        assert_eq!(self.skopeo_takes(tag), expected, "skopeo");
        verdict
    }

    /// Without skopeo, which Debian builds so that it refuses whatever asks for sigstore.
    fn expect(&self, policy: &Policy, tag: &str, expected: bool) -> Verdict {
        let verdict = self.judge(policy, tag);
        assert_eq!(verdict.accepted, expected, "{verdict:#?}");
        verdict
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v2/org/os/{path}", self.registry.host())
    }

    fn put_blob(&self, bytes: &[u8]) -> serde_json::Value {
        let file = self.path("blob");
        fs::write(&file, bytes).unwrap();
        let post = ["-sS", "-X", "POST", "-o", "/dev/null", "-D", "-"];
        let head = stdout(command("curl").args(post).arg(self.url("blobs/uploads/")));
        let location = head
            .lines()
            .find_map(|line| line.strip_prefix("Location: "))
            .unwrap();
        let digest = Digest::sha256(bytes).to_string();
        let mark = if location.contains('?') { '&' } else { '?' };
        run(command("curl")
            .args([
                "-sSf",
                "-X",
                "PUT",
                "-H",
                "Content-Type: application/octet-stream",
            ])
            .arg("--data-binary")
            .arg(format!("@{}", file.display()))
            .arg(format!("{}{mark}digest={digest}", location.trim())));
        json!({"digest": digest, "size": bytes.len()})
    }

    fn put_manifest(&self, name: &str, manifest: &serde_json::Value) -> (String, usize) {
        let file = self.path("manifest");
        let bytes = serde_json::to_vec(manifest).unwrap();
        fs::write(&file, &bytes).unwrap();
        let kind = format!("Content-Type: {}", manifest["mediaType"].as_str().unwrap());
        run(command("curl")
            .args(["-sSf", "-X", "PUT", "-H", &kind, "--data-binary"])
            .arg(format!("@{}", file.display()))
            .arg(self.url(&format!("manifests/{name}"))));
        (Digest::sha256(&bytes).to_string(), bytes.len())
    }

    /// A manifest with one layer and its annotations, under a name.
    fn put_artifact(
        &self,
        name: &str,
        kind: &str,
        content: &[u8],
        annotations: &BTreeMap<&str, String>,
    ) -> (String, usize) {
        let mut config = self.put_blob(b"{}");
        config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
        let mut layer = self.put_blob(content);
        layer["mediaType"] = json!(kind);
        layer["annotations"] = json!(annotations);
        self.put_manifest(
            name,
            &json!({
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": config, "layers": [layer],
            }),
        )
    }

    fn ec_key(&self, name: &str) {
        let key = self.path(&format!("{name}.key"));
        run(command("openssl")
            .args([
                "ecparam",
                "-genkey",
                "-name",
                "prime256v1",
                "-noout",
                "-out",
            ])
            .arg(&key));
        run(command("openssl")
            .args(["ec", "-pubout", "-in"])
            .arg(&key)
            .arg("-out")
            .arg(self.path(&format!("{name}.pem"))));
    }

    /// The signature in Base64, as openssl makes it.
    fn openssl_sign(&self, name: &str, message: &[u8]) -> String {
        let file = self.path("message");
        fs::write(&file, message).unwrap();
        let out = self.path("signature");
        run(command("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(self.path(&format!("{name}.key")))
            .arg("-out")
            .arg(&out)
            .arg(&file));
        stdout(command("base64").arg("-w0").arg(&out))
            .trim()
            .to_owned()
    }

    fn sign_cosign(&self, key: &str, tag: &str, identity: &str) {
        let digest = self.digest(tag);
        let payload = json!({
            "critical": {
                "identity": {"docker-reference": identity},
                "image": {"docker-manifest-digest": digest.to_string()},
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = serde_json::to_vec(&payload).unwrap();
        let signature = self.openssl_sign(key, &payload);
        let annotations = [("dev.cosignproject.cosign/signature", signature)].into();
        let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
        let name = format!("sha256-{}.sig", digest.hex());
        self.put_artifact(&name, kind, &payload, &annotations);
    }

    fn sigstore_signed(&self, key: &str, identity: Option<serde_json::Value>) -> Policy {
        let mut requirement = json!({
            "type": "sigstoreSigned", "keyPath": self.path(&format!("{key}.pem")),
        });
        if let Some(identity) = identity {
            requirement["signedIdentity"] = identity;
        }
        self.policy(&requirement)
    }
}

fn read(path: &str) -> std::io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

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
fn what_is_not_evaluated_is_refused() {
    let mut scene = Scene::new();
    scene.configure("    use-sigstore-attachments: true\n");
    let fulcio = json!({"type": "sigstoreSigned", "fulcio": {"caPath": "/ca", "oidcIssuer": "x", "subjectEmail": "y"}});
    let verdict = scene.judge(&scene.policy(&fulcio), "1");
    assert!(verdict.refusal().contains("not supported"), "{verdict:?}");
    let missing = json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/no/key"});
    let verdict = scene.judge(&scene.policy(&missing), "1");
    assert!(
        verdict.refusal().contains("there is no key file /no/key"),
        "{verdict:?}"
    );
}
