//! Verdicts on GPG signatures of commits and summaries.

use error_class::{Classified as _, ErrorClass};
use ostree_format::Checksum;
use signature::gpg::{KeyQuery, Status};
use testkit::GpgHome;
use testkit::gpg_home::LONG_AGO;
use trust::{Reason, RemoteTrust, Signing, SigningError, Untrusted, Verdict};

use crate::support::Scratch;

const NOW: u64 = 4_000_000_000;

fn trust(scratch: &Scratch) -> RemoteTrust {
    RemoteTrust::of(&scratch.repo(), "origin", &scratch.stores()).unwrap()
}

fn verdict(scratch: &Scratch, commit: &Checksum) -> Result<Verdict, Untrusted> {
    let (bytes, detached) = scratch.stored(commit);
    trust(scratch).verify_commit(commit, &bytes, detached.as_deref(), NOW)
}

fn why(scratch: &Scratch, commit: &Checksum) -> Status {
    let untrusted = verdict(scratch, commit).unwrap_err();
    assert_eq!(untrusted.class(), ErrorClass::Untrusted);
    let reports = &untrusted.verification().unwrap().reports;
    assert_eq!(reports.len(), 1);
    reports[0].status
}

#[test]
fn good_unknown_unsigned_and_bad_are_told_apart() {
    let (scratch, home) = (Scratch::new(), GpgHome::new());
    let key = home.key("Signer <s@example.com>", "ed25519", "sign", "never");
    let unsigned = scratch.commit("");
    let untrusted = verdict(&scratch, &unsigned).unwrap_err();
    assert_eq!(untrusted.reason, Reason::NoGpgSignature);
    assert!(
        untrusted.to_string().contains("gpg-verify=false"),
        "{untrusted}"
    );

    let home_option = format!("--gpg-homedir={}", home.path().display());
    let signed = scratch.commit(&format!("--gpg-sign={key} {home_option}"));
    assert_eq!(why(&scratch, &signed), Status::KeyMissing);
    scratch.write("usr/share/ostree/trusted.gpg.d/k.gpg", &home.export());
    let verified = verdict(&scratch, &signed).unwrap();
    assert_eq!(verified.sign, None);
    let report = &verified.gpg.unwrap().reports[0];
    assert_eq!(report.user_email.as_deref(), Some("s@example.com"));
    assert_eq!(report.primary.as_ref().unwrap().to_string(), key);

    let (mut bytes, detached) = scratch.stored(&signed);
    bytes[0] ^= 1;
    let bad = trust(&scratch).verify_commit(&signed, &bytes, detached.as_deref(), NOW);
    let bad = bad.unwrap_err();
    assert!(bad.to_string().contains("BAD signature"), "{bad}");
    bytes[0] ^= 1;
    let damaged = trust(&scratch).verify_commit(&signed, &bytes, Some(b"borkbork"), NOW);
    assert_eq!(damaged.unwrap_err().reason, Reason::Damaged { gpg: true });
    scratch.set("gpg-verify", "false");
    let trusting = trust(&scratch);
    let verdict = trusting.verify_commit(&signed, &bytes, Some(b"borkbork"), NOW);
    assert_eq!(verdict.unwrap(), Verdict::default());
}

#[test]
fn expired_and_revoked_keys_are_told_apart() {
    let (scratch, home) = (Scratch::new(), GpgHome::new());
    let past = ["--faked-system-time", LONG_AGO];
    let expiring = ["--quick-generate-key", "old", "ed25519", "sign", "1y"];
    home.gpg(&[&past[..], &expiring].concat(), b"");
    let revoked = home.key("revoked", "ed25519", "sign", "never");
    let commit = scratch.commit("");
    let (bytes, _) = scratch.stored(&commit);
    let with = |signature: Vec<u8>| {
        let mut metadata = ostree_format::Metadata::new();
        signature::detached::add(&mut metadata, signature::Scheme::Gpg, signature).unwrap();
        metadata.to_bytes()
    };
    let by_old = with(home.sign_with(&past, "old", &bytes));
    let by_revoked = with(home.sign(&revoked, &bytes));
    home.revoke(&revoked);
    scratch.write("usr/share/ostree/trusted.gpg.d/k.gpg", &home.export());
    let trust = trust(&scratch);
    let status = |detached: &[u8]| {
        let untrusted = trust.verify_commit(&commit, &bytes, Some(detached), NOW);
        let untrusted = untrusted.unwrap_err();
        let status = untrusted.verification().unwrap().reports[0].status;
        (status, untrusted.to_string())
    };
    let (old, said) = status(&by_old);
    assert_eq!(old, Status::KeyExpired);
    assert!(said.contains("Key expired"), "{said}");
    let (revoked, said) = status(&by_revoked);
    assert_eq!(revoked, Status::KeyRevoked);
    assert!(said.contains("Key revoked"), "{said}");
}

#[test]
fn summaries_need_signatures_when_asked_for() {
    let (scratch, home) = (Scratch::new(), GpgHome::new());
    let key = home.key("Signer", "ed25519", "sign", "never");
    scratch.write("usr/share/ostree/trusted.gpg.d/k.gpg", &home.export());
    scratch.commit("");
    let home_option = format!("--gpg-homedir={}", home.path().display());
    scratch.ostree(&format!("summary -u --gpg-sign={key} {home_option}"));
    let summary = std::fs::read(scratch.path("repo/summary")).unwrap();
    let signatures = std::fs::read(scratch.path("repo/summary.sig")).unwrap();
    let lax = trust(&scratch).verify_summary(&summary, None, NOW).unwrap();
    assert_eq!(lax, Verdict::default());
    scratch.set("gpg-verify-summary", "true");
    let strict = trust(&scratch);
    let good = strict
        .verify_summary(&summary, Some(&signatures), NOW)
        .unwrap();
    assert_eq!(good.gpg.unwrap().valid(), 1);
    let none = strict.verify_summary(&summary, None, NOW).unwrap_err();
    assert!(
        none.to_string().contains("no summary signatures found"),
        "{none}"
    );
    let other = strict.verify_summary(&summary[8..], Some(&signatures), NOW);
    assert!(other.unwrap_err().gpg().is_some());
}

#[test]
fn what_we_sign_with_a_home_directory_ostree_accepts() {
    let (scratch, home) = (Scratch::new(), GpgHome::new());
    let key = home.key("Signer <s@example.com>", "rsa2048", "sign", "never");
    let second = home.key("Second <t@example.com>", "ed25519", "sign", "never");
    let commit = scratch.commit("--add-detached-metadata-string=kept=yes");
    let repo = scratch.repo();
    let signing = |key: &str| Signing {
        keys: Vec::new(),
        home: trust::GpgHome::new(Some(home.path().to_owned())),
        gpg: vec![key.to_owned()],
    };
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    trust::sign_commit(&repo, &commit, &signing(&key), now).unwrap();
    trust::sign_commit(&repo, &commit, &signing("t@example.com"), now).unwrap();
    let again = trust::sign_commit(&repo, &commit, &signing(&key), now).unwrap_err();
    assert!(again.to_string().contains("already signed"), "{again}");
    let missing = signing("nobody@example.com").sign(b"x", &mut Default::default(), now);
    assert!(matches!(missing, Err(SigningError::Gpg(_))));
    let missing = missing.unwrap_err().to_string();
    assert!(
        missing.starts_with("No gpg key found with ID nobody"),
        "{missing}"
    );

    std::fs::write(scratch.path("repo/origin.trustedkeys.gpg"), home.export()).unwrap();
    let shown = scratch.ostree("show main");
    assert!(shown.contains("Found 2 signatures:"), "{shown}");
    for user in ["Signer <s@", "Second <t@"] {
        assert!(
            shown.contains(&format!("Good signature from \"{user}")),
            "{shown}"
        );
    }
    let keyring = trust::keys_of_all(&repo, &scratch.stores()).unwrap();
    let queries = [KeyQuery::new(&second), KeyQuery::new("none@example.com")];
    let deleted = trust::delete_signatures(&repo, &commit, &keyring, &queries, now).unwrap();
    assert_eq!(deleted, 1);
    let shown = scratch.ostree("show main");
    assert!(shown.contains("Found 1 signature:"), "{shown}");
    assert!(shown.contains("Good signature from \"Signer"), "{shown}");
    let kept = scratch.ostree("show --print-detached-metadata-key=kept main");
    assert_eq!(kept, "'yes'");
}
