//! Where GPG keys are found.

use signature::gpg::{KeyQuery, Keyring};
use testkit::GpgHome;
use trust::{RemoteTrust, TrustError};

use crate::support::Scratch;

/// The users of the keys that the remote `origin` trusts.
fn trusted(scratch: &Scratch) -> Result<Vec<String>, TrustError> {
    let keyring = trust::trusted_keys(&scratch.repo(), "origin", &scratch.stores())?;
    Ok(users(&keyring))
}

fn users(keyring: &Keyring) -> Vec<String> {
    let listings = keyring.list(4_000_000_000);
    listings.iter().map(|l| l.users[0].text.clone()).collect()
}

fn keys(home: &GpgHome, users: &[&str]) {
    for user in users {
        home.key(user, "ed25519", "sign", "never");
    }
}

#[test]
fn a_keyring_of_its_own_replaces_that_of_the_system() {
    let (scratch, home) = (Scratch::new(), GpgHome::new());
    keys(&home, &["system", "own", "path"]);
    let export = |user: &str| home.gpg(&["--export", user], b"");
    assert_eq!(trusted(&scratch).unwrap(), [""; 0]);
    scratch.write("usr/share/ostree/trusted.gpg.d/k.gpg", &export("system"));
    scratch.write("usr/share/ostree/trusted.gpg.d/k.asc", &export("own"));
    scratch.write(
        "usr/share/ostree/trusted.gpg.d/trustdb.gpg",
        b"not a keyring",
    );
    assert_eq!(trusted(&scratch).unwrap(), ["system"]);
    scratch.write(
        "etc/keys/one.asc",
        &home.gpg(&["--armor", "--export", "path"], b""),
    );
    scratch.write("etc/keys/README", b"nothing to see here");
    scratch.set("gpgkeypath", "/etc/keys/one.asc,");
    assert_eq!(trusted(&scratch).unwrap(), ["path", "system"]);
    scratch.set("gpgkeypath", "/etc/keys");
    assert_eq!(trusted(&scratch).unwrap(), ["path", "system"]);

    // The real program writes the keyring, we read it; then the other way round.
    let file = scratch.write("own.gpg", &export("own"));
    scratch.ostree(&format!(
        "remote gpg-import --keyring={} origin",
        file.display()
    ));
    assert_eq!(trusted(&scratch).unwrap(), ["own", "path"]);
    let mut source = Keyring::new();
    source.add(&home.export()).unwrap();
    let import = |queries: &[KeyQuery]| {
        let imported = trust::import_keys(&scratch.repo(), "origin", &source, queries);
        imported.map(|imported| imported.new)
    };
    assert_eq!(import(&[KeyQuery::new("system")]).unwrap(), 1);
    assert_eq!(
        import(&[KeyQuery::new("system"), KeyQuery::new("own")]).unwrap(),
        0
    );
    assert!(matches!(
        import(&[KeyQuery::new("nobody")]),
        Err(TrustError::Import(_))
    ));
    // The real program would look for the path on the machine.
    scratch.unset("gpgkeypath");
    let listed = scratch.ostree("remote gpg-list-keys origin");
    let users: Vec<_> = listed
        .lines()
        .filter_map(|l| l.trim().strip_prefix("UID: "))
        .collect();
    assert_eq!(users, ["own", "system"]);
}

#[test]
fn keyrings_of_the_administrators_remotes() {
    let (scratch, home) = (Scratch::new(), GpgHome::new());
    keys(&home, &["admin"]);
    scratch.write(
        "etc/ostree/remotes.d/origin.trustedkeys.gpg",
        &home.export(),
    );
    assert_eq!(trusted(&scratch).unwrap(), [""; 0]);
    let stores = scratch.stores().with_remotes("/etc/ostree/remotes.d");
    let keyring = trust::trusted_keys(&scratch.repo(), "origin", &stores).unwrap();
    assert_eq!(users(&keyring), ["admin"]);
}

#[test]
fn damaged_and_missing_keyrings_are_named() {
    let (scratch, home) = (Scratch::new(), GpgHome::new());
    keys(&home, &["key"]);
    let said = |scratch: &Scratch| {
        let stores = scratch.stores();
        let trust = RemoteTrust::of(&scratch.repo(), "origin", &stores);
        trust.map(|_| ()).unwrap_err().to_string()
    };
    for bad in ["/no/such/dir/", "/no/such/key.asc", ",/key.asc"] {
        scratch.set("gpgkeypath", bad);
        let said = said(&scratch);
        let named = bad
            .trim_end_matches('/')
            .trim_end_matches("key.asc")
            .trim_end_matches(',');
        assert!(said.contains("No such file or directory"), "{said}");
        assert!(bad.starts_with(',') || said.contains(named), "{said}");
    }
    scratch.set("gpgkeypath", "/a,/b;/c");
    assert!(said(&scratch).contains("key value list contains more than one separator"));
    let export = home.export();
    scratch.write("cut.gpg", &export[..export.len() - 9]);
    scratch.set("gpgkeypath", "/cut.gpg");
    let cut = said(&scratch);
    assert!(
        cut.starts_with("cannot use keyring /cut.gpg: OpenPGP data are damaged"),
        "{cut}"
    );
    scratch.set("gpgkeypath", "");
    std::fs::write(scratch.path("repo/origin.trustedkeys.gpg"), "text").unwrap();
    let text = said(&scratch);
    assert_eq!(
        text,
        "cannot use keyring origin.trustedkeys.gpg: no OpenPGP data found"
    );
    // What is not needed is not looked at.
    scratch.set("gpg-verify", "false");
    RemoteTrust::of(&scratch.repo(), "origin", &scratch.stores()).unwrap();
    let nobody = RemoteTrust::of(&scratch.repo(), "nobody", &scratch.stores());
    assert!(
        nobody
            .unwrap_err()
            .to_string()
            .contains("\"nobody\" not found")
    );
}
