//! A registry with images, the keys to sign them with, and those who judge them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use image_trust::{Lookaside, Policy, Question, Verdict, verify};
use oci::context::Context;
use oci::digest::Digest;
use serde_json::json;
use tempfile::TempDir;
use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::TarWriter;
use testkit::{Registry, command, run, stdout};

pub(crate) struct Scene {
    dir: TempDir,
    pub(crate) registry: Registry,
    lookaside: Lookaside,
}

impl Scene {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn layout(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.path("image").display())
    }

    /// registries.d, for us and for skopeo.
    pub(crate) fn configure(&mut self, more: &str) {
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

    pub(crate) fn digest(&self, tag: &str) -> Digest {
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
    pub(crate) fn gpg_key(&self, name: &str) -> String {
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

    pub(crate) fn sign_simple(&self, name: &str, fingerprint: &str, tag: &str) {
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

    pub(crate) fn policy(&self, requirement: &serde_json::Value) -> Policy {
        let policy = json!({
            "default": [{"type": "reject"}],
            "transports": {"docker": {self.registry.host(): [requirement]}},
        });
        let bytes = serde_json::to_vec(&policy).unwrap();
        fs::write(self.path("policy.json"), &bytes).unwrap();
        Policy::parse("policy.json", &bytes).unwrap()
    }

    pub(crate) fn signed_by(&self, name: &str) -> Policy {
        self.policy(&json!({
            "type": "signedBy", "keyType": "GPGKeys",
            "keyPath": self.path(&format!("{name}.pub")),
        }))
    }

    pub(crate) fn judge(&self, policy: &Policy, tag: &str) -> Verdict {
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

    pub(crate) fn agree(&self, policy: &Policy, tag: &str, expected: bool) -> Verdict {
        let verdict = self.expect(policy, tag, expected);
        assert_eq!(self.skopeo_takes(tag), expected, "skopeo");
        verdict
    }

    /// Without skopeo, which Debian builds so that it refuses whatever asks for sigstore.
    pub(crate) fn expect(&self, policy: &Policy, tag: &str, expected: bool) -> Verdict {
        let verdict = self.judge(policy, tag);
        assert_eq!(verdict.accepted, expected, "{verdict:#?}");
        verdict
    }

    pub(crate) fn url(&self, path: &str) -> String {
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

    pub(crate) fn put_manifest(&self, name: &str, manifest: &serde_json::Value) -> (String, usize) {
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
    pub(crate) fn put_artifact(
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

    pub(crate) fn ec_key(&self, name: &str) {
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
    pub(crate) fn openssl_sign(&self, name: &str, message: &[u8]) -> String {
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

    pub(crate) fn sign_cosign(&self, key: &str, tag: &str, identity: &str) {
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

    pub(crate) fn sigstore_signed(&self, key: &str, identity: Option<serde_json::Value>) -> Policy {
        let mut requirement = json!({
            "type": "sigstoreSigned", "keyPath": self.path(&format!("{key}.pem")),
        });
        if let Some(identity) = identity {
            requirement["signedIdentity"] = identity;
        }
        self.policy(&requirement)
    }
}

pub(crate) fn read(path: &str) -> std::io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
