//! Bare keys, against what a newer libostree and OpenSSL have made.

use std::fs;
use std::path::PathBuf;

use error_class::{Classified, ErrorClass};
use ostree_format::Metadata;
use signature::{KeyError, Rejected, Scheme, Signer, Verifier, VerifyError, detached};
use testkit::{golden, run};

fn signed(name: &str) -> Vec<u8> {
    fs::read(golden("sign").join(name)).unwrap()
}

fn metadata(name: &str) -> Metadata {
    Metadata::from_bytes(&signed(name)).unwrap()
}

fn key(name: &str) -> String {
    fs::read_to_string(golden("keys").join(name)).unwrap()
}

fn public_key_file(scheme: Scheme) -> String {
    key(match scheme {
        Scheme::Spki => "ed448.pub.pem",
        _ => "ed25519.pub.b64",
    })
}

fn secret_key_file(scheme: Scheme) -> String {
    key(match scheme {
        Scheme::Spki => "ed448.pem",
        _ => "ed25519.secret.b64",
    })
}

fn verifier(scheme: Scheme) -> Verifier {
    let mut verifier = Verifier::new(scheme).unwrap();
    verifier.trust_file(&public_key_file(scheme)).unwrap();
    verifier
}

#[test]
fn commits_that_libostree_signed() {
    let commit = signed("v2.commit");
    for scheme in [Scheme::Ed25519, Scheme::Spki] {
        let metadata = metadata(&format!("v2.commitmeta.{scheme}"));
        let said = verifier(scheme).verify(&commit, &metadata).unwrap();
        let said = said.to_string();
        let recorded = String::from_utf8(signed(&format!("verify.{scheme}.txt"))).unwrap();
        assert!(
            recorded.lines().any(|line| line == said),
            "{said}\n{recorded}"
        );
        let other = verifier(scheme).verify(&commit[1..], &metadata);
        assert_eq!(other.unwrap_err().class(), ErrorClass::Untrusted);
    }
}

#[test]
fn summaries_that_libostree_signed() {
    let metadata = metadata("summary.sig.ed25519");
    let summary = signed("summary.ed25519");
    let verifier = verifier(Scheme::Ed25519);
    verifier.verify(&summary, &metadata).unwrap();
    assert!(verifier.verify(&summary[1..], &metadata).is_err());
}

/// EdDSA has no randomness: the same key over the same bytes gives the same metadata.
#[test]
fn what_we_sign_is_what_libostree_signed() {
    let recorded = [
        (Scheme::Ed25519, "v2.commit", "v2.commitmeta.ed25519"),
        (Scheme::Spki, "v2.commit", "v2.commitmeta.spki"),
        (Scheme::Ed25519, "summary.ed25519", "summary.sig.ed25519"),
    ];
    for (scheme, data, metadata) in recorded {
        let signers = Signer::from_file(scheme, &secret_key_file(scheme)).unwrap();
        let mut ours = Metadata::new();
        signers[0].sign(&signed(data), &mut ours).unwrap();
        assert_eq!(ours.to_bytes(), signed(metadata), "{metadata}");
    }
}

#[test]
fn keys_on_the_command_line() {
    let (commit, metadata) = (signed("v2.commit"), metadata("v2.commitmeta.ed25519"));
    let mut verifier = Verifier::new(Scheme::Ed25519).unwrap();
    verifier.trust(key("ed25519.pub.b64").trim()).unwrap();
    verifier.verify(&commit, &metadata).unwrap();
    let signer = Signer::new(Scheme::Ed25519, key("ed25519.secret.b64").trim()).unwrap();
    let mut ours = Metadata::new();
    signer.sign(&commit, &mut ours).unwrap();
    assert_eq!(ours, metadata);

    let der = |name: &str| {
        let pem = key(name);
        pem.lines()
            .filter(|l| !l.starts_with('-'))
            .collect::<String>()
    };
    let mut verifier = Verifier::new(Scheme::Spki).unwrap();
    verifier.trust(&der("ed448.pub.pem")).unwrap();
    let metadata = self::metadata("v2.commitmeta.spki");
    verifier.verify(&commit, &metadata).unwrap();
    Signer::new(Scheme::Spki, &der("ed448.pem")).unwrap();
}

/// A key of OpenSSL's for each algorithm, and its signature over `data`.
fn openssl(algorithm: &[&str], data: &[u8]) -> (String, String, Option<Vec<u8>>) {
    let dir = testkit::scratch_dir();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    fs::write(path("data"), data).unwrap();
    let openssl = |arguments: &[&str]| {
        let mut command = testkit::command("openssl");
        command
            .current_dir(dir.path())
            .args(arguments)
            .output()
            .unwrap()
    };
    openssl(&[&["genpkey", "-out", "secret", "-algorithm"], algorithm].concat());
    openssl(&["pkey", "-in", "secret", "-pubout", "-out", "public"]);
    openssl(&[
        "pkeyutl",
        "-sign",
        "-rawin",
        "-inkey",
        "secret",
        "-in",
        "data",
        "-out",
        "signature",
    ]);
    let read = |name: &str| fs::read_to_string(path(name)).unwrap();
    (
        read("secret"),
        read("public"),
        fs::read(path("signature")).ok(),
    )
}

#[test]
fn spki_keys_of_openssl() {
    for algorithm in ["ed25519", "ed448"] {
        let (secret, public, signature) = openssl(&[algorithm], b"data");
        let mut metadata = Metadata::new();
        let signers = Signer::from_file(Scheme::Spki, &secret).unwrap();
        signers[0].sign(b"data", &mut metadata).unwrap();
        let ours = detached::list(&metadata, Scheme::Spki).unwrap();
        assert_eq!(ours, [signature.unwrap()], "{algorithm}");
        let mut verifier = Verifier::new(Scheme::Spki).unwrap();
        verifier.trust_file(&public).unwrap();
        verifier.verify(b"data", &metadata).unwrap();
    }
}

#[test]
fn other_algorithms_are_named() {
    let (secret, public, _) = openssl(&["rsa", "-pkeyopt", "rsa_keygen_bits:1024"], b"data");
    let mut verifier = Verifier::new(Scheme::Spki).unwrap();
    let error = verifier.trust_file(&public).unwrap_err();
    assert_eq!(
        error,
        KeyError::Algorithm {
            oid: "1.2.840.113549.1.1.1".into()
        }
    );
    assert_eq!(error.class(), ErrorClass::Unsupported);
    let error = Signer::from_file(Scheme::Spki, &secret).unwrap_err();
    assert!(matches!(error, KeyError::Algorithm { .. }));
    let error = verifier.trust_file(&secret).unwrap_err();
    assert!(matches!(error, KeyError::Label { line: 1, .. }), "{error}");
    assert!(matches!(
        Verifier::new(Scheme::Gpg),
        Err(KeyError::NeedsKeyring { .. })
    ));
}

/// Keys that nobody has: their public halves are those of seeds 1, 2, 3 ...
fn strangers(count: u8) -> String {
    let line = |seed: u8| {
        let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key();
        base64::Engine::encode(&base64::prelude::BASE64_STANDARD, key.as_bytes()) + "\n"
    };
    (1..=count).map(line).collect()
}

#[test]
fn key_files_and_their_messages() {
    let (commit, metadata) = (signed("v2.commit"), metadata("v2.commitmeta.ed25519"));
    let with = |trusted: &str, revoked: &str| {
        let mut verifier = Verifier::new(Scheme::Ed25519).unwrap();
        verifier.trust_file(trusted).unwrap();
        verifier.revoke_file(revoked).unwrap();
        verifier
            .verify(&commit, &metadata)
            .map_err(|error| error.to_string())
    };
    let right = public_key_file(Scheme::Ed25519);
    assert!(with(&(strangers(100) + &right), &strangers(100)).is_ok());
    assert!(with(&format!("not a key\n\n{right}"), "").is_ok());
    assert_eq!(
        with(&strangers(100), "").unwrap_err(),
        "ed25519: Signature couldn't be verified; tried 100 keys"
    );
    let hex = |file: &str| {
        let key = signature::ed25519::PublicKey::from_base64(file).unwrap();
        hex::encode(key.as_bytes())
    };
    assert_eq!(
        with(&strangers(1), "").unwrap_err(),
        format!(
            "ed25519: Signature couldn't be verified with: key '{}'",
            hex(&strangers(1))
        )
    );
    assert_eq!(
        with(&right, &right).unwrap_err(),
        "ed25519: no signatures found"
    );
    assert!(
        with(&(strangers(1) + &right), &right)
            .unwrap_err()
            .contains(&hex(&strangers(1)))
    );
}

#[test]
fn key_files_without_a_key() {
    let mut verifier = Verifier::new(Scheme::Ed25519).unwrap();
    assert!(matches!(
        verifier.trust_file(""),
        Err(KeyError::Empty { .. })
    ));
    assert!(matches!(
        verifier.trust_file("?\nAAAA"),
        Err(KeyError::NotBase64 { .. })
    ));
    // What was meant to be revoked must not stay trusted in silence.
    assert!(verifier.revoke_file("?").is_err());
    assert!(matches!(
        Signer::from_file(Scheme::Ed25519, ""),
        Err(KeyError::Empty { .. })
    ));
    let unsigned = verifier.verify(b"", &Metadata::new()).unwrap_err();
    assert_eq!(
        unsigned.to_string(),
        "ed25519: commit have no signatures of my type"
    );
    let keyless = verifier.verify(b"", &metadata("v2.commitmeta.ed25519"));
    let no_keys = VerifyError::Rejected(Rejected::NoKeys {
        scheme: Scheme::Ed25519,
    });
    assert_eq!(keyless, Err(no_keys));
}

#[test]
fn what_cannot_be_a_signature_hides_nothing() {
    let commit = signed("v2.commit");
    let mut metadata = Metadata::new();
    detached::add(&mut metadata, Scheme::Ed25519, b"short".to_vec()).unwrap();
    let refused = verifier(Scheme::Ed25519)
        .verify(&commit, &metadata)
        .unwrap_err();
    let ill_formed = Rejected::IllFormed {
        scheme: Scheme::Ed25519,
        place: 0,
        size: 5,
    };
    assert_eq!(refused, VerifyError::Rejected(ill_formed));
    let secret = secret_key_file(Scheme::Ed25519);
    let signer = Signer::from_file(Scheme::Ed25519, &secret).unwrap();
    signer[0].sign(&commit, &mut metadata).unwrap();
    verifier(Scheme::Ed25519)
        .verify(&commit, &metadata)
        .unwrap();
}

/// The dummy scheme against the real `ostree sign`, which knows no other here.
#[test]
fn dummy_signatures_of_ostree() {
    let dir = testkit::scratch_dir();
    let repo = format!("--repo={}", dir.path().join("repo").display());
    let ostree = |arguments: &[&str]| {
        let mut ostree = testkit::command("ostree");
        ostree
            .env("OSTREE_DUMMY_SIGN_ENABLED", "1")
            .arg(&repo)
            .args(arguments);
        ostree
    };
    fs::create_dir(dir.path().join("tree")).unwrap();
    let tree = format!("--tree=dir={}", dir.path().join("tree").display());
    run(&mut ostree(&["init", "--mode=archive"]));
    let commit = testkit::stdout(&mut ostree(&["commit", "--branch=b", &tree]));
    run(&mut ostree(&["sign", "--sign-type=dummy", "b", "theirs"]));
    let objects = dir.path().join("repo/objects").join(&commit[..2]);
    let object = |kind: &str| objects.join(format!("{}.{kind}", &commit[2..]));
    let data = fs::read(object("commit")).unwrap();
    let mut metadata = Metadata::from_bytes(&fs::read(object("commitmeta")).unwrap()).unwrap();
    let verify = |key: &str, metadata: &Metadata| {
        let mut verifier = Verifier::new(Scheme::Dummy).unwrap();
        verifier.trust(key).unwrap();
        verifier
            .verify(&data, metadata)
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        verify("theirs", &metadata).unwrap().to_string(),
        "dummy: Signature verified"
    );
    let signer = Signer::new(Scheme::Dummy, "ours").unwrap();
    signer.sign(&data, &mut metadata).unwrap();
    fs::write(object("commitmeta"), metadata.to_bytes()).unwrap();
    for key in ["ours", "theirs"] {
        run(&mut ostree(&[
            "sign",
            "--verify",
            "--sign-type=dummy",
            "b",
            key,
        ]));
    }
    assert_eq!(
        verify("other", &metadata).unwrap_err(),
        "signature: dummy: incorrect signatures found: 2"
    );
}
