//! What we sign, `gpg` and `ostree` accept; what `ostree` signs and imports, we read.

use std::fs;

use ostree_format::Metadata;
use signature::gpg::{
    KeyQuery, Keyring, Policy, SecretKeyring, SignError, Verification, describe_rejection,
    detached_signature, verify,
};
use signature::{Scheme, detached};
use testkit::{fails, run, stdout};

use crate::oracle::{Repo, ZONE, describe, now, ostree, zone};
use testkit::GpgHome as Home;

fn secret_keys(home: &Home) -> SecretKeyring {
    SecretKeyring::from_bytes(&home.export_secret()).unwrap()
}

fn sign(keys: &SecretKeyring, query: &str, data: &[u8]) -> Vec<u8> {
    let signer = keys.signer(&KeyQuery::new(query), now()).unwrap();
    signer.sign(data, now()).unwrap()
}

#[test]
fn ostree_accepts_what_we_sign() {
    let (home, repo) = (Home::new(), Repo::new());
    let algorithms = ["rsa2048", "ed25519", "nistp256", "dsa2048"];
    for algorithm in algorithms {
        home.key(algorithm, algorithm, "sign", "never");
    }
    let keys = secret_keys(&home);
    let signatures: Vec<_> = algorithms
        .iter()
        .map(|a| sign(&keys, a, &repo.commit()))
        .collect();
    repo.set_signatures(&signatures);
    let shown = repo.show(&home.export());
    assert_eq!(
        shown.matches("Good signature").count(),
        algorithms.len(),
        "{shown}"
    );
    assert_eq!(
        describe(&repo.verify(&home.export(), &Policy::default())),
        shown
    );
    // The public halves are a keyring of their own.
    assert_eq!(repo.show(&keys.public().to_bytes()), shown);
    assert_eq!(
        repo.verify(&keys.public().to_bytes(), &Policy::default())
            .valid(),
        4
    );
}

#[test]
fn the_key_that_signs_is_gpgs_choice() {
    let home = Home::new();
    let key = home.key("key", "ed25519", "cert,sign", "never");
    let chosen = |query: &str| {
        let signer = secret_keys(&home).signer(&KeyQuery::new(query), now());
        signer.map(|s| s.fingerprint().to_string())
    };
    assert_eq!(chosen("key").unwrap(), key);
    let subkey = home.subkey(&key, "ed25519", "sign", "never");
    home.subkey(&key, "cv25519", "encr", "never");
    let gpgs = home.sign("key", b"data");
    let gpgs = verify(
        b"data",
        &[&gpgs],
        secret_keys(&home).public(),
        &Policy::default(),
        now(),
    );
    assert_eq!(gpgs.reports[0].issuer.as_ref().unwrap().to_string(), subkey);
    for query in ["key", &key, &key[24..], &format!("0x{}", &subkey[24..])] {
        assert_eq!(chosen(query).unwrap(), subkey, "{query}");
    }
    assert_eq!(chosen(&format!("{key}!")).unwrap(), key);
    assert!(matches!(chosen("nobody"), Err(SignError::NoSuchKey { .. })));
    home.revoke(&key);
    assert!(matches!(chosen("key"), Err(SignError::NoSigningKey { .. })));
}

#[test]
fn secret_keys_that_are_not_to_be_had() {
    let home = Home::new();
    let key = home.key("key", "ed25519", "cert,sign", "never");
    let subkey = home.subkey(&key, "ed25519", "sign", "never");
    let query = KeyQuery::new(&format!("{key}!"));
    let stubs = home.gpg(&["--export-secret-subkeys"], b"");
    let stubs = SecretKeyring::from_bytes(&stubs).unwrap();
    assert!(matches!(
        stubs.signer(&query, now()),
        Err(SignError::NoSigningKey { .. })
    ));
    let held = stubs.signer(&KeyQuery::new(&key), now()).unwrap();
    assert_eq!(held.fingerprint().to_string(), subkey);

    let mut generate = testkit::command("gpg");
    generate
        .arg("--homedir")
        .arg(home.path())
        .args(["--batch", "--quiet"]);
    generate.args(["--pinentry-mode", "loopback", "--passphrase", "secret"]);
    run(generate.args(["--quick-generate-key", "locked", "ed25519", "sign", "never"]));
    let mut export = testkit::command("gpg");
    export
        .arg("--homedir")
        .arg(home.path())
        .args(["--batch", "--quiet"]);
    export.args(["--pinentry-mode", "loopback", "--passphrase", "secret"]);
    let locked = run(export.args(["--export-secret-keys", "locked"])).stdout;
    let locked = SecretKeyring::from_bytes(&locked).unwrap();
    let refused = locked.signer(&KeyQuery::new("locked"), now());
    assert!(
        matches!(refused, Err(SignError::Protected { .. })),
        "{refused:?}"
    );
}

#[test]
fn commits_that_ostree_signs_and_unsigns() {
    let (home, repo) = (Home::new(), Repo::new());
    let [one, two] = ["one", "two"].map(|user| home.key(user, "ed25519", "sign", "never"));
    let homedir = format!("--gpg-homedir={}", home.path().display());
    run(&mut ostree(
        repo.path(),
        &["gpg-sign", &homedir, "test", &one],
    ));
    let verdicts = repo.verify(&home.export(), &Policy::default());
    assert_eq!(verdicts.valid(), 1);
    assert_eq!(describe(&verdicts), repo.show(&home.export()));

    let mut metadata = repo.metadata();
    metadata.insert("note", "kept");
    let ours = sign(&secret_keys(&home), &two, &repo.commit());
    detached::add(&mut metadata, Scheme::Gpg, ours).unwrap();
    repo.set_metadata(&metadata);
    let keyring = home.export();
    let shown = repo.show(&keyring);
    assert_eq!(describe(&repo.verify(&keyring, &Policy::default())), shown);
    assert_eq!(shown.matches("Good signature").count(), 2, "{shown}");

    let mut delete = ostree(repo.path(), &["gpg-sign", "--delete", "test", &two]);
    delete.env("OSTREE_GPG_HOME", repo.path().join("trusted"));
    assert_eq!(stdout(&mut delete), "Signatures deleted: 1");
    let left = repo.metadata();
    assert_eq!(left.get_str("note"), Some("kept"));
    let gone = repo.verify(&keyring, &Policy::default());
    assert_eq!(find(&gone, &keyring, &two), None);
    assert_eq!(find(&gone, &keyring, &one), Some(0));
}

fn find(verification: &Verification, keyring: &[u8], query: &str) -> Option<usize> {
    let mut keys = Keyring::new();
    keys.add(keyring).unwrap();
    verification.find(&keys, &KeyQuery::new(query))
}

#[test]
fn signatures_are_found_by_what_users_call_keys() {
    let (home, repo) = (Home::new(), Repo::new());
    home.key("Other <other@example.com>", "ed25519", "sign", "never");
    let key = home.key("Some Name <some@example.com>", "ed25519", "cert", "never");
    let subkey = home.subkey(&key, "ed25519", "sign", "never");
    repo.set_signatures(&["Other", "Some"].map(|user| home.sign(user, &repo.commit())));
    let keyring = home.export();
    let verdicts = repo.verify(&keyring, &Policy::default());
    let short = format!("0x{}", key[32..].to_lowercase());
    let names = [
        key.as_str(),
        &subkey,
        &subkey[24..],
        &short,
        "=Some Name <some@example.com>",
        "<some@example.com>",
        "@some@ex",
        "some name",
        "*NAME",
    ];
    for name in names {
        assert_eq!(find(&verdicts, &keyring, name), Some(1), "{name}");
    }
    for name in ["=Some Name", "<some@example>", "nobody", &key[1..17]] {
        assert_eq!(find(&verdicts, &keyring, name), None, "{name}");
    }
}

#[test]
fn summaries_that_ostree_signs() {
    let (home, repo) = (Home::new(), Repo::new());
    let key = home.key("key", "ed25519", "sign", "never");
    let homedir = format!("--gpg-homedir={}", home.path().display());
    let sign = ["summary", "--update", "--gpg-sign", &key, &homedir];
    run(&mut ostree(repo.path(), &sign));
    let read = |name: &str| fs::read(repo.path().join("repo").join(name)).unwrap();
    let metadata = Metadata::from_bytes(&read("summary.sig")).unwrap();
    let signatures = detached::list(&metadata, Scheme::Gpg).unwrap();
    let mut keys = Keyring::new();
    keys.add(&home.export()).unwrap();
    let verdicts = verify(
        &read("summary"),
        &signatures,
        &keys,
        &Policy::default(),
        now(),
    );
    assert!(verdicts.require_valid().is_ok(), "{verdicts:?}");
    let other = verify(b"other", &signatures, &keys, &Policy::default(), now());
    assert!(other.require_valid().is_err());
}

/// A pull that verifies commit and summary takes both when we signed them and stored the keyring;
/// without the key it fails with the words of [`describe_rejection`].
#[test]
fn pulls_that_verify() {
    let (home, repo) = (Home::new(), Repo::new());
    home.key("key", "rsa2048", "sign", "never");
    home.key("other", "ed25519", "sign", "never");
    let keys = secret_keys(&home);
    let served = |name: &str| repo.path().join("repo").join(name);
    repo.set_signatures(&["key", "other"].map(|user| sign(&keys, user, &repo.commit())));
    run(&mut ostree(repo.path(), &["summary", "--update"]));
    let mut metadata = Metadata::new();
    let summary = fs::read(served("summary")).unwrap();
    let signature = sign(&keys, "key", &summary);
    detached::add(&mut metadata, Scheme::Gpg, signature).unwrap();
    fs::write(served("summary.sig"), metadata.to_bytes()).unwrap();

    let client = testkit::scratch_dir();
    run(&mut ostree(client.path(), &["init", "--mode=archive"]));
    let add = ["remote", "add", "R", "http://localhost/"];
    run(&mut ostree(client.path(), &add));
    let source = served("");
    let pull = |verify: &[&str]| {
        let mut pull = ostree(client.path(), &["pull-local", "--remote=R"]);
        pull.args(verify).arg(&source).arg("test").env("TZ", ZONE);
        pull
    };
    let refused = fails(&mut pull(&["--gpg-verify"]));
    let said = String::from_utf8(refused.stderr).unwrap();
    let ours = describe_rejection(&repo.verify(b"", &Policy::default()), &zone);
    assert!(said.trim_end().ends_with(&ours), "{said}\n{ours}");

    let keyring = client.path().join("repo/R.trustedkeys.gpg");
    fs::write(keyring, keys.public().to_bytes()).unwrap();
    run(&mut pull(&["--gpg-verify", "--gpg-verify-summary"]));
}

#[test]
fn what_gpg_itself_signs_for_us() {
    let (home, repo) = (Home::new(), Repo::new());
    let data = repo.commit();
    home.key("one", "ed25519", "sign", "never");
    home.key("two", "rsa2048", "sign", "never");
    let armored = home.sign_with(&["--armor", "--local-user", "one"], "two", &data);
    let signatures = detached_signature(&armored).unwrap();
    assert_eq!(signatures.len(), 2);
    repo.set_signatures(&signatures);
    assert_eq!(
        repo.show(&home.export()).matches("Good signature").count(),
        2
    );
    let inline = home.gpg(&["--local-user", "one", "--sign"], &data);
    assert!(detached_signature(&inline).is_err());
    assert!(matches!(
        detached_signature(b""),
        Err(SignError::NotASignature)
    ));
    assert!(detached_signature(&home.export()).is_err());
}
