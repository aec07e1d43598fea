//! ed25519 and spki: verdicts on what a newer libostree has signed.

use ostree_format::Checksum;
use signature::Scheme;
use trust::{KeyStores, Reason, RemoteTrust, TrustError, Untrusted, Verdict};

use crate::support::{Scratch, golden};

const PUBLIC: &str = "ed25519.pub.b64";

/// A remote that asks for no GPG signatures, but for these.
fn asking_for(sign: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.set("gpg-verify", "false");
    scratch.set("sign-verify", sign);
    scratch.set("sign-verify-summary", sign);
    scratch
}

fn trust(scratch: &Scratch) -> Result<RemoteTrust, TrustError> {
    RemoteTrust::of(&scratch.repo(), "origin", &scratch.stores())
}

/// The verdict on the commit with the signatures of this kind.
fn verdict(scratch: &Scratch, kind: &str) -> Result<Verdict, Untrusted> {
    let commit = golden("sign", "v2.commit");
    let detached = golden("sign", &format!("v2.commitmeta.{kind}"));
    let name = Checksum::of(&commit);
    trust(scratch)
        .unwrap()
        .verify_commit(&name, &commit, Some(&detached), 0)
}

fn public() -> String {
    String::from_utf8(golden("keys", PUBLIC))
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
fn keys_of_the_remote() {
    let scratch = asking_for("ed25519");
    scratch.set("verification-ed25519-key", &public());
    let verified = verdict(&scratch, "ed25519").unwrap().sign.unwrap();
    assert_eq!(verified.scheme(), Scheme::Ed25519);
    let recorded = String::from_utf8(golden("sign", "verify.ed25519.txt")).unwrap();
    assert!(recorded.contains(verified.key()), "{recorded}");
    let other = verdict(&scratch, "spki").unwrap_err();
    assert_eq!(other.reason, Reason::OtherKinds);
    let summary = golden("sign", "summary.ed25519");
    let signatures = golden("sign", "summary.sig.ed25519");
    let trust = trust(&scratch).unwrap();
    trust
        .verify_summary(&summary, Some(&signatures), 0)
        .unwrap();
    let bad = trust
        .verify_summary(&summary[8..], Some(&signatures), 0)
        .unwrap_err();
    assert!(
        bad.to_string()
            .contains("ed25519: Signature couldn't be verified with: key"),
        "{bad}"
    );
    let none = trust.verify_summary(&summary, None, 0).unwrap_err();
    assert!(
        none.to_string().contains("sign-verify-summary=false"),
        "{none}"
    );
    let damaged = trust
        .verify_summary(&summary, Some(b"invalid\n"), 0)
        .unwrap_err();
    assert!(
        damaged.to_string().contains("No signatures found"),
        "{damaged}"
    );
}

#[test]
fn key_files_of_the_remote() {
    let scratch = asking_for("spki,ed25519");
    scratch.write("keys/spki.pem", &golden("keys", "ed448.pub.pem"));
    scratch.write("keys/ed25519", &golden("keys", PUBLIC));
    scratch.set("verification-spki-file", "/keys/spki.pem");
    let missing = trust(&scratch).unwrap_err();
    assert!(matches!(
        missing,
        TrustError::NoKeys {
            scheme: Scheme::Ed25519,
            ..
        }
    ));
    scratch.set("verification-ed25519-file", "/keys/ed25519");
    for kind in ["spki", "ed25519"] {
        assert!(verdict(&scratch, kind).is_ok(), "{kind}");
    }
    scratch.set("verification-ed25519-file", "/keys/none");
    let missing = trust(&scratch).unwrap_err().to_string();
    assert!(
        missing.starts_with("cannot open keys (/keys/none): "),
        "{missing}"
    );
    scratch.write("keys/bad", b"no key\n");
    scratch.set("verification-ed25519-file", "/keys/bad");
    let bad = trust(&scratch).unwrap_err().to_string();
    assert!(
        bad.starts_with("cannot use key file /keys/bad: invalid ed25519 key"),
        "{bad}"
    );
}

#[test]
fn keys_of_the_system_and_revoked_ones() {
    let scratch = asking_for("true");
    let none = verdict(&scratch, "ed25519").unwrap_err();
    assert!(none.to_string().contains("no keys loaded"), "{none}");
    scratch.write("etc/ostree/trusted.ed25519.d/README", b"not a key\n");
    scratch.write(
        "usr/share/ostree/trusted.ed25519.d/one",
        &golden("keys", PUBLIC),
    );
    scratch.write("etc/ostree/trusted.spki", &golden("keys", "ed448.pub.pem"));
    for kind in ["spki", "ed25519"] {
        assert!(verdict(&scratch, kind).is_ok(), "{kind}");
    }
    scratch.write("etc/ostree/revoked.ed25519.d/one", &golden("keys", PUBLIC));
    let revoked = verdict(&scratch, "ed25519").unwrap_err();
    assert!(
        revoked.to_string().contains("no signatures found"),
        "{revoked}"
    );
    scratch.write("etc/ostree/revoked.spki", b"-----BEGIN PUBLIC KEY-----\n");
    let damaged = trust(&scratch).unwrap_err().to_string();
    assert!(
        damaged.starts_with("cannot use key file etc/ostree/revoked.spki: "),
        "{damaged}"
    );
    // Keys of its own, and those of the system do not count.
    let other = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
    scratch.set("verification-spki-file", "/etc/ostree/trusted.spki");
    scratch.set("verification-ed25519-key", other);
    assert!(verdict(&scratch, "ed25519").is_err());
}

#[test]
fn the_dummy_kind_must_be_allowed() {
    let scratch = asking_for("dummy");
    scratch.set("verification-dummy-key", "secret");
    assert!(matches!(trust(&scratch), Err(TrustError::DummyNotAllowed)));
    let allowing = |stores: KeyStores| stores.with_dummy(true);
    let trust = RemoteTrust::of(&scratch.repo(), "origin", &allowing(scratch.stores())).unwrap();
    let signed = |text: &str| {
        let mut metadata = ostree_format::Metadata::new();
        let signer = signature::Signer::new(Scheme::Dummy, text).unwrap();
        signer.sign(b"data", &mut metadata).unwrap();
        metadata.to_bytes()
    };
    let verify = |text| trust.verify_summary(b"data", Some(&signed(text)), 0);
    assert_eq!(verify("secret").unwrap().sign.unwrap().key(), "secret");
    assert!(
        verify("other")
            .unwrap_err()
            .to_string()
            .contains("incorrect signatures found: 1")
    );
}
