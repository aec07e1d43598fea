//! Our verdicts and their text against those of `ostree show`, which asks gpg.

use signature::gpg::{Policy, Status, Verification};

use crate::home::{Home, LONG_AGO};
use crate::oracle::{Repo, describe};

/// As gpg is by default.
fn like_gpg() -> Policy {
    let mut policy = Policy::default();
    policy.accept_sha1 = true;
    policy
}

/// Compare, and return the verdicts for a look at what the text does not show.
#[track_caller]
fn compare(what: &str, repo: &Repo, keyring: &[u8], signatures: &[Vec<u8>]) -> Vec<Status> {
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
        home.key(
            &format!("{algorithm} <{algorithm}@example.com>"),
            algorithm,
            "sign",
            "never",
        );
    }
    let signatures: Vec<_> = algorithms.iter().map(|a| home.sign(a, &data)).collect();
    let statuses = compare("algorithms", &repo, &home.export(), &signatures);
    assert_eq!(statuses, vec![Status::Good; algorithms.len()]);
}
