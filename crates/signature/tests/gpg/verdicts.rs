//! Our verdicts and their text against those of `ostree show`, which asks gpg.

use signature::gpg::{Policy, Refusal, Status, Verification};

use crate::oracle::{Repo, describe};
use testkit::gpg_home::{GpgHome as Home, LONG_AGO};

const GOOD: Status = Status::Good;

/// As gpg is by default.
pub(crate) fn like_gpg() -> Policy {
    let mut policy = Policy::default();
    policy.accept_sha1 = true;
    policy
}

/// Compare, and return the verdicts for a look at what the text does not show.
#[track_caller]
pub(crate) fn compare(
    what: &str,
    repo: &Repo,
    keyring: &[u8],
    signatures: &[Vec<u8>],
) -> Vec<Status> {
    repo.set_signatures(signatures);
    let ours = repo.verify(keyring, &like_gpg());
    assert_eq!(describe(&ours), repo.show(keyring), "{what}: {ours:#?}");
    statuses(&ours)
}

fn statuses(verification: &Verification) -> Vec<Status> {
    verification.reports.iter().map(|r| r.status).collect()
}

#[test]
fn good_signatures_of_every_algorithm() {
    let (home, repo) = (Home::new(), Repo::new());
    let data = repo.commit();
    let algorithms = [
        "rsa2048",
        "ed25519",
        "nistp256",
        "nistp384",
        "nistp521",
        "secp256k1",
        "dsa2048",
    ];
    for algorithm in algorithms {
        let user = format!("{algorithm} <{algorithm}@example.com>");
        home.key(&user, algorithm, "sign", "never");
    }
    let signatures: Vec<_> = algorithms.iter().map(|a| home.sign(a, &data)).collect();
    // Half of the signatures by this curve are of the form that some libraries refuse.
    let curve: Vec<_> = (0..8)
        .map(|i| {
            let notation = format!("n@example.com={i}");
            home.sign_with(&["--sig-notation", &notation], "secp256k1", &data)
        })
        .collect();
    assert_eq!(
        compare("secp256k1", &repo, &home.export(), &curve),
        [GOOD; 8]
    );
    let seen = compare("algorithms", &repo, &home.export(), &signatures);
    assert_eq!(seen, [GOOD; 7]);
    // Several signatures in one entry count one by one.
    let seen = compare("joined", &repo, &home.export(), &[signatures.concat()]);
    assert_eq!(seen, [GOOD; 7]);
    let seen = compare("unknown", &repo, b"", &signatures);
    assert_eq!(seen, [Status::KeyMissing; 7]);
}

#[test]
fn signatures_that_do_not_fit() {
    let (home, repo) = (Home::new(), Repo::new());
    let data = repo.commit();
    let one = home.key("one", "rsa2048", "sign", "never");
    let two = home.key("two", "ed25519", "cert", "2y");
    home.subkey(&two, "ed25519", "sign", "1y");
    let other = [b"other", &data[..]].concat();
    let good = [&one, &two].map(|key| home.sign(key, &data));
    for key in [&one, &two] {
        let signatures = [&good[..], &[home.sign(key, &other)]].concat();
        let seen = compare("other data", &repo, &home.export(), &signatures);
        assert_eq!(seen, [GOOD, GOOD, Status::Bad]);
    }
}

/// gpg in batch mode, as libostree runs it, ends after a signature that is bad or has expired, and
/// never looks at those behind it. We do: a good one must not be hidden so.
#[test]
fn good_signatures_behind_bad_ones() {
    let (home, repo) = (Home::new(), Repo::new());
    let data = repo.commit();
    home.key("key", "ed25519", "sign", "never");
    repo.set_signatures(&[home.sign("key", b"other"), home.sign("key", &data)]);
    let mut ours = repo.verify(&home.export(), &like_gpg());
    assert_eq!(statuses(&ours), [Status::Bad, GOOD]);
    ours.reports.truncate(1);
    assert_eq!(describe(&ours), repo.show(&home.export()));
}

#[test]
fn expiry_of_signatures() {
    let (home, repo) = (Home::new(), Repo::new());
    let data = repo.commit();
    let past = ["--faked-system-time", LONG_AGO];
    let generate = ["--quick-generate-key", "old", "ed25519", "sign", "never"];
    home.gpg(&[&past[..], &generate].concat(), b"");
    let week = [&past[..], &["--default-sig-expire", "1w"]].concat();
    let signatures = [
        home.sign_with(&past, "old", &data),
        home.sign_with(&["--default-sig-expire", "1w"], "old", &data),
        home.sign_with(&["--faked-system-time", "20990101T000000"], "old", &data),
        home.sign_with(&week, "old", &data),
    ];
    let seen = compare("signatures", &repo, &home.export(), &signatures);
    assert_eq!(seen, [GOOD, GOOD, GOOD, Status::SignatureExpired]);
}

#[test]
fn expiry_of_keys() {
    let (home, repo) = (Home::new(), Repo::new());
    let data = repo.commit();
    let past = |rest: &[&'static str]| [&["--faked-system-time", LONG_AGO], rest].concat();
    home.gpg(
        &past(&["--quick-generate-key", "key", "ed25519", "sign", "1y"]),
        b"",
    );
    home.gpg(
        &past(&["--quick-generate-key", "primary", "ed25519", "cert", "1y"]),
        b"",
    );
    home.gpg(
        &past(&["--quick-generate-key", "subkey", "ed25519", "cert", "never"]),
        b"",
    );
    home.gpg(
        &past(&["--quick-generate-key", "both", "ed25519", "cert,sign", "1y"]),
        b"",
    );
    for user in ["primary", "subkey", "both"] {
        let primary = home.fingerprint(user);
        let expiry = if user == "primary" { "never" } else { "6m" };
        let mut add = home.command();
        add.args(["--faked-system-time", LONG_AGO, "--quick-add-key"]);
        testkit::run(add.args([&primary, "ed25519", "sign", expiry]));
    }
    let past = ["--faked-system-time", LONG_AGO];
    let users = ["key", "primary", "subkey", "both"];
    let mut signatures: Vec<_> = users.map(|u| home.sign_with(&past, u, &data)).to_vec();
    let week = [&past[..], &["--default-sig-expire", "1w"]].concat();
    signatures.push(home.sign_with(&week, "key", &data));
    let seen = compare("keys", &repo, &home.export(), &signatures);
    assert_eq!(seen[..4], [Status::KeyExpired; 4]);
    assert_eq!(seen[4], Status::SignatureExpired);
    // The newest self-signature decides.
    for user in users {
        home.gpg(
            &["--quick-set-expire", &home.fingerprint(user), "never"],
            b"",
        );
    }
    let seen = compare("renewed", &repo, &home.export(), &signatures);
    assert_eq!(seen[..2], [GOOD; 2]);
    assert_eq!(seen[2..4], [Status::KeyExpired; 2]);
}

#[test]
fn revocation_of_keys() {
    let (home, repo) = (Home::new(), Repo::new());
    let data = repo.commit();
    let key = home.key("key", "rsa2048", "sign", "never");
    let whole = home.key("whole", "ed25519", "cert", "never");
    home.subkey(&whole, "ed25519", "sign", "1y");
    let part = home.key("part", "ed25519", "sign", "never");
    home.subkey(&part, "ed25519", "sign", "never");
    let signatures = [&key, &whole, &part].map(|k| home.sign(k, &data));
    assert_eq!(
        compare("before", &repo, &home.export(), &signatures),
        [GOOD; 3]
    );
    home.revoke(&key);
    home.revoke(&whole);
    let revoke = "key 1\nrevkey\ny\n0\n\ny\nsave\n";
    home.dialogue(&["--edit-key", &part], revoke);
    let signatures = [&signatures[..], &[home.sign(&part, &data)]].concat();
    let seen = compare("after", &repo, &home.export(), &signatures);
    let revoked = Status::KeyRevoked;
    assert_eq!(seen, [revoked, revoked, revoked, GOOD]);
}

#[test]
fn revocation_by_a_named_revoker() {
    let (home, repo) = (Home::new(), Repo::new());
    let data = repo.commit();
    let key = home.key("key", "ed25519", "sign", "never");
    let revoker = home.key("revoker", "ed25519", "sign", "never");
    let before = home.gpg(&["--export", &key], b"");
    let signature = [home.sign(&key, &data)];
    home.dialogue(
        &["--edit-key", &key],
        &format!("addrevoker\n{revoker}\ny\nsave\n"),
    );
    let dialogue = ["--desig-revoke", &key];
    let mut revoke = testkit::command("gpg");
    revoke
        .arg("--homedir")
        .arg(home.path())
        .args(["--no-tty", "--command-fd", "0"]);
    revoke.args(["--pinentry-mode", "loopback", "--passphrase", ""]);
    let certificate = testkit::gpg_home::run_with(revoke.args(dialogue), b"y\n0\n\ny\n");
    home.gpg(&["--import"], &certificate);
    assert_eq!(compare("before", &repo, &before, &signature), [GOOD]);
    let seen = compare("revoked", &repo, &home.export(), &signature);
    assert_eq!(seen, [Status::KeyRevoked]);
    // Without the revoker's key, nobody can tell.
    let alone = home.gpg(&["--export", &key], b"");
    assert_eq!(compare("alone", &repo, &alone, &signature), [GOOD]);
}

#[test]
fn hash_algorithms() {
    let (home, repo) = (Home::new(), Repo::new());
    let data = repo.commit();
    home.key("key", "rsa2048", "sign", "never");
    let hashes = [
        "SHA224",
        "SHA256",
        "SHA384",
        "SHA512",
        "RIPEMD160",
        "SHA1",
        "MD5",
    ];
    let signatures: Vec<_> = hashes
        .iter()
        .map(|hash| {
            let options = ["--allow-weak-digest-algos", "--digest-algo", hash];
            home.sign_with(&options, "key", &data)
        })
        .collect();
    let refused = Status::Refused(Refusal::HashAlgorithm);
    let seen = compare("hashes", &repo, &home.export(), &signatures);
    assert_eq!(seen[..6], [GOOD; 6]);
    assert_eq!(seen[6], refused);
    // Unless told otherwise, SHA-1 is refused as gpg refuses it with --weak-digest.
    let ours = repo.verify(&home.export(), &Policy::default());
    assert_eq!(statuses(&ours)[4..], [GOOD, refused, refused]);
    std::fs::write(home.path().join("data"), &data).unwrap();
    std::fs::write(home.path().join("sha1"), &signatures[5]).unwrap();
    let mut verify = home.command();
    verify
        .current_dir(home.path())
        .args(["--weak-digest", "SHA1"]);
    verify.args(["--status-fd", "1", "--verify", "sha1", "data"]);
    let said = String::from_utf8(testkit::fails(&mut verify).stdout).unwrap();
    // Digest algorithm 2, and the error "invalid digest algorithm".
    assert!(
        said.contains("ERRSIG") && said.contains(" 1 2 00 ") && said.contains(" 5 "),
        "{said}"
    );
}

#[test]
fn weak_hashes_on_keys() {
    let (home, repo) = (Home::new(), Repo::new());
    let data = repo.commit();
    for hash in ["SHA1", "MD5"] {
        let weak = ["--allow-weak-digest-algos", "--cert-digest-algo", hash];
        let generate = ["--quick-generate-key", hash, "rsa2048", "sign", "never"];
        home.gpg(&[&weak[..], &generate].concat(), b"");
    }
    let allow = ["--allow-weak-digest-algos"];
    let signatures = ["SHA1", "MD5"].map(|user| home.sign_with(&allow, user, &data));
    let seen = compare("self-signatures", &repo, &home.export(), &signatures);
    assert_eq!(seen, [GOOD, Status::Refused(Refusal::InvalidKey)]);
}

#[test]
fn text_mode() {
    let (home, repo) = (Home::new(), Repo::new());
    home.key("key", "ed25519", "sign", "never");
    let signature = home.sign_with(&["--textmode"], "key", &repo.commit());
    let seen = compare("text", &repo, &home.export(), &[signature]);
    assert_eq!(seen, [GOOD]);
}

#[test]
fn critical_notations() {
    let (home, repo) = (Home::new(), Repo::new());
    home.key("key", "ed25519", "sign", "never");
    let data = repo.commit();
    let signatures = ["n@example.com=v", "!n@example.com=v"]
        .map(|notation| home.sign_with(&["--sig-notation", notation], "key", &data));
    let seen = compare("notations", &repo, &home.export(), &signatures);
    assert_eq!(seen, [GOOD, Status::Bad]);
}

#[test]
fn signatures_older_than_their_key() {
    let (home, repo) = (Home::new(), Repo::new());
    home.key("key", "rsa2048", "sign", "never");
    let early = [
        "--ignore-time-conflict",
        "--ignore-valid-from",
        "--faked-system-time",
        LONG_AGO,
    ];
    let signature = home.sign_with(&early, "key", &repo.commit());
    let seen = compare("early", &repo, &home.export(), &[signature]);
    assert_eq!(seen, [Status::Refused(Refusal::TimeConflict)]);
}

#[test]
fn user_ids() {
    let (home, repo) = (Home::new(), Repo::new());
    let data = repo.commit();
    let users = [
        "Full Name (comment) <full@example.com>",
        "mail@example.com",
        "<bracket@example.com>",
        "Only Name",
        "Jörg Müller <jörg@example.com>",
        "Two (a) (b) <one@example.com> <two@example.com>",
    ];
    let mut signatures = Vec::new();
    for user in users {
        let mut generate = home.command();
        generate.args(["--allow-freeform-uid", "--quick-generate-key", user]);
        testkit::run(generate.args(["ed25519", "sign", "never"]));
        signatures.push(home.sign(&format!("={user}"), &data));
    }
    let several = home.key("First <first@example.com>", "ed25519", "sign", "never");
    for user in [
        "Second <second@example.com>",
        "Third one <third@example.com>",
    ] {
        home.gpg(&["--quick-add-uid", &several, user], b"");
    }
    signatures.push(home.sign(&several, &data));
    compare("user IDs", &repo, &home.export(), &signatures);
    home.gpg(
        &[
            "--quick-set-primary-uid",
            &several,
            "Second <second@example.com>",
        ],
        b"",
    );
    compare("primary", &repo, &home.export(), &signatures);
    home.gpg(
        &[
            "--quick-revoke-uid",
            &several,
            "Second <second@example.com>",
        ],
        b"",
    );
    compare("revoked", &repo, &home.export(), &signatures);
    let revoke = ["--quick-revoke-uid", &several, "First <first@example.com>"];
    home.gpg(&revoke, b"");
    compare("one left", &repo, &home.export(), &signatures);
}
