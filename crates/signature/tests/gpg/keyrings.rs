//! Keyrings as `gpg` and `ostree remote gpg-import` write and list them.

use std::fs;

use signature::gpg::{KeyQuery, Keyring, KeyringError, Policy, Status};
use testkit::{run, stdout};

use crate::oracle::{Repo, ZONE, describe, now, ostree, zone};
use testkit::GpgHome as Home;

fn keyring(bytes: &[u8]) -> Keyring {
    let mut keys = Keyring::new();
    keys.add(bytes).unwrap();
    keys
}

fn names(keys: &Keyring) -> Vec<String> {
    keys.fingerprints().map(ToString::to_string).collect()
}

#[test]
fn every_form_of_a_keyring_holds_the_same() {
    let home = Home::new();
    let users = ["one", "two", "three"];
    let expected = users.map(|user| home.key(user, "ed25519", "sign", "never"));
    let armored = |user: &str| home.gpg(&["--armor", "--export", user], b"");
    let forms = [
        ("binary", home.export()),
        ("armored", home.gpg(&["--armor", "--export"], b"")),
        ("concatenated armor", users.map(armored).concat()),
        ("keybox", fs::read(home.path().join("pubring.kbx")).unwrap()),
        ("secret", home.export_secret()),
        ("written by us", keyring(&home.export()).to_bytes()),
    ];
    for (form, bytes) in forms {
        assert_eq!(names(&keyring(&bytes)), expected, "{form}");
    }
    assert_eq!(keyring(&home.export()).to_bytes(), home.export());
}

#[test]
fn what_is_no_keyring_is_refused() {
    let mut keys = Keyring::new();
    assert!(matches!(keys.add(b"text\n"), Err(KeyringError::NotOpenPgp)));
    let unfinished = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA";
    assert!(matches!(keys.add(unfinished), Err(KeyringError::Armor(_))));
    let home = Home::new();
    home.key("one", "ed25519", "sign", "never");
    let cut = home.export();
    let cut = keys.add(&cut[..cut.len() - 1]);
    assert!(matches!(cut, Err(KeyringError::Framing { offset }) if offset > 0));
    assert_eq!(keys.add(b""), Ok(0));
    assert!(keys.is_empty());
}

#[test]
fn revocations_in_a_second_keyring_count() {
    let (home, repo) = (Home::new(), Repo::new());
    let key = home.key("key", "ed25519", "sign", "never");
    let before = home.export();
    repo.set_signatures(&[home.sign(&key, &repo.commit())]);
    home.revoke(&key);
    let after = home.export();
    for order in [[&before, &after], [&after, &before]] {
        let mut keys = Keyring::new();
        for bytes in order {
            keys.add(bytes).unwrap();
        }
        assert_eq!(keys.len(), 1);
        let seen = repo.verify(&keys.to_bytes(), &Policy::default());
        assert_eq!(seen.reports[0].status, Status::KeyRevoked);
        assert_eq!(describe(&seen), repo.show(&keys.to_bytes()));
    }
}

#[test]
fn import_counts_as_ostree_does() {
    let (home, repo) = (Home::new(), Repo::new());
    let [one, two, three] =
        ["one", "two", "three"].map(|user| home.key(user, "ed25519", "sign", "never"));
    let all = home.path().join("all.gpg");
    fs::write(&all, home.export()).unwrap();
    run(&mut ostree(
        repo.path(),
        &["remote", "add", "R", "http://localhost/"],
    ));
    let source = keyring(&home.export());
    let mut ours = Keyring::new();
    let mut import = |ids: &[&str]| {
        let queries: Vec<_> = ids.iter().map(|id| KeyQuery::new(id)).collect();
        let imported = ours.import(&source, &queries).unwrap();
        let file = format!("--keyring={}", all.display());
        let theirs = [&["remote", "gpg-import", &file, "R"], ids].concat();
        let said = stdout(&mut ostree(repo.path(), &theirs));
        assert!(
            said.starts_with(&format!("Imported {} GPG key", imported.new)),
            "{said}"
        );
        let stored = fs::read(repo.path().join("repo/R.trustedkeys.gpg")).unwrap();
        assert_eq!(names(&keyring(&stored)), names(&ours));
    };
    import(&[&one[24..]]);
    import(&[&two, &three]);
    import(&[&one, &three]);
    import(&[]);
    let missing = ours.import(&source, &[KeyQuery::new("nobody")]);
    assert!(matches!(missing, Err(KeyringError::NoSuchKey { query }) if query == "nobody"));
}

/// What we store as a remote's keyring, ostree trusts; what it lists, we list.
#[test]
fn keys_are_listed_as_ostree_does() {
    let (home, repo) = (Home::new(), Repo::new());
    let past = ["--faked-system-time", "20200101T000000"];
    let expired = [
        "--quick-generate-key",
        "Old <old@example.com>",
        "ed25519",
        "sign",
        "1y",
    ];
    home.gpg(&[&past[..], &expired].concat(), b"");
    let key = home.key("Some <Some.One@Example.com>", "rsa2048", "cert", "2y");
    home.subkey(&key, "ed25519", "sign", "1y");
    home.subkey(&key, "cv25519", "encr", "never");
    home.gpg(&["--quick-add-uid", &key, "No Mail"], b"");
    let revoked = home.key("Gone <gone@example.com>", "ed25519", "sign", "never");
    home.subkey(&revoked, "ed25519", "sign", "never");
    home.revoke(&revoked);
    let partly = home.key(
        "Partly (odd) <partly@example.com>",
        "ed25519",
        "sign",
        "never",
    );
    home.subkey(&partly, "ed25519", "sign", "never");
    home.dialogue(&["--edit-key", &partly], "key 1\nrevkey\ny\n0\n\ny\nsave\n");
    home.gpg(&["--quick-add-uid", &partly, "partly@other.example"], b"");
    home.gpg(
        &["--quick-revoke-uid", &partly, "partly@other.example"],
        b"",
    );

    run(&mut ostree(
        repo.path(),
        &["remote", "add", "R", "http://localhost/"],
    ));
    let keys = keyring(&home.export());
    fs::write(repo.path().join("repo/R.trustedkeys.gpg"), keys.to_bytes()).unwrap();
    let mut list = ostree(repo.path(), &["remote", "gpg-list-keys", "R"]);
    let theirs = stdout(list.env("TZ", ZONE));
    let ours: String = keys.list(now()).iter().map(|l| l.describe(&zone)).collect();
    assert_eq!(ours.trim_end(), theirs);
}
