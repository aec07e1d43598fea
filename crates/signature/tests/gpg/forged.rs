//! Certificates that gpg itself would not make, and bytes that somebody has changed.

use pgp::composed::{Deserializable, SignedPublicKey, SignedSecretKey};
use pgp::packet::{
    KeyFlags, PacketTrait, SignatureConfig, SignatureType, Subpacket, SubpacketData,
};
use pgp::ser::Serialize;
use pgp::types::{Duration, Password, SigningKey, Tag, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use signature::gpg::{Refusal, Status};

use crate::oracle::{Repo, now};
use crate::verdicts::{compare, like_gpg};
use testkit::gpg_home::{GpgHome as Home, LONG_AGO};

fn public(home: &Home, user: &str) -> SignedPublicKey {
    SignedPublicKey::from_bytes(&home.gpg(&["--export", user], b"")[..]).unwrap()
}

fn secret(home: &Home, user: &str) -> SignedSecretKey {
    SignedSecretKey::from_bytes(&home.gpg(&["--export-secret-keys", user], b"")[..]).unwrap()
}

fn bytes(key: &SignedPublicKey) -> Vec<u8> {
    key.to_bytes().unwrap()
}

fn config(key: &impl SigningKey, kind: SignatureType, more: Vec<SubpacketData>) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, key.algorithm(), key.hash_alg());
    let made = Timestamp::from_secs(now().try_into().unwrap());
    let hashed = [
        SubpacketData::SignatureCreationTime(made),
        SubpacketData::IssuerFingerprint(key.fingerprint()),
        SubpacketData::IssuerKeyId(key.legacy_key_id()),
    ];
    let hashed = hashed.into_iter().chain(more);
    config.hashed_subpackets = hashed.map(|d| Subpacket::regular(d).unwrap()).collect();
    config
}

fn sign(key: &impl SigningKey, data: &[u8]) -> Vec<u8> {
    let config = config(key, SignatureType::Binary, Vec::new());
    let signature = config.sign(key, &Password::empty(), data).unwrap();
    let mut out = Vec::new();
    signature.to_writer_with_header(&mut out).unwrap();
    out
}

#[test]
fn keys_without_a_valid_self_signature() {
    let (home, repo) = (Home::new(), Repo::new());
    home.key("key", "ed25519", "sign", "never");
    home.key("other", "ed25519", "sign", "never");
    let signature = [home.sign("key", &repo.commit())];
    let invalid = Status::Refused(Refusal::InvalidKey);

    let mut unsigned = public(&home, "key");
    unsigned.details.users[0].signatures.clear();
    assert_eq!(
        compare("unsigned", &repo, &bytes(&unsigned), &signature),
        [invalid]
    );

    let mut renamed = public(&home, "key");
    renamed.details.users[0].id = public(&home, "other").details.users.remove(0).id;
    assert_eq!(
        compare("renamed", &repo, &bytes(&renamed), &signature),
        [invalid]
    );
}

/// The only self-signature made anew, with what `change` does to it.
fn resigned(home: &Home, user: &str, change: impl Fn(&mut SignatureConfig)) -> Vec<u8> {
    let secret = secret(home, user).primary_key;
    let mut public = public(home, user);
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    let flags = vec![SubpacketData::KeyFlags(flags)];
    let mut config = config(&secret, SignatureType::CertPositive, flags);
    change(&mut config);
    let (key, password) = (secret.public_key(), Password::empty());
    let user = &mut public.details.users[0];
    let signature = config.sign_certification(&secret, key, &password, Tag::UserId, &user.id);
    user.signatures = vec![signature.unwrap()];
    bytes(&public)
}

#[test]
fn self_signatures_that_do_not_count() {
    let (home, repo) = (Home::new(), Repo::new());
    let past = ["--faked-system-time", LONG_AGO];
    let generate = ["--quick-generate-key", "key", "ed25519", "sign", "never"];
    home.gpg(&[&past[..], &generate].concat(), b"");
    let signature = [home.sign("key", &repo.commit())];
    let judge = |what: &str, change: &dyn Fn(&mut SignatureConfig)| {
        compare(what, &repo, &resigned(&home, "key", change), &signature)[0]
    };
    let created = |at| Subpacket::regular(SubpacketData::SignatureCreationTime(at)).unwrap();
    let invalid = Status::Refused(Refusal::InvalidKey);
    let not_for_signing = Status::Refused(Refusal::WrongUsage);
    assert_eq!(judge("plain", &|_| {}), not_for_signing);

    let critical = &|config: &mut SignatureConfig| {
        let unknown = SubpacketData::SignersUserID(b"key".to_vec().into());
        config
            .hashed_subpackets
            .push(Subpacket::critical(unknown).unwrap());
    };
    assert_eq!(judge("critical", critical), invalid);

    let early = &|config: &mut SignatureConfig| {
        config.hashed_subpackets[0] = created(Timestamp::from_secs(1_000_000_000));
    };
    assert_eq!(judge("older than the key", early), invalid);

    // What it says is void, but it was there: the key is valid and may do what keys may.
    let expired = &|config: &mut SignatureConfig| {
        config.hashed_subpackets[0] = created(Timestamp::from_secs(1_600_000_000));
        let after = SubpacketData::SignatureExpirationTime(Duration::from_secs(1));
        config
            .hashed_subpackets
            .push(Subpacket::regular(after).unwrap());
    };
    assert_eq!(judge("expired", expired), Status::Good);
}

#[test]
fn subkeys_that_are_not_the_owners() {
    let (home, repo) = (Home::new(), Repo::new());
    let thief = home.key("thief", "ed25519", "cert", "never");
    let victim = home.key("victim", "ed25519", "cert", "never");
    home.subkey(&victim, "ed25519", "sign", "never");
    let signature = [home.sign("victim", &repo.commit())];

    // The subkey with its own binding under a foreign primary key.
    let mut taken = public(&home, &thief);
    taken.public_subkeys = public(&home, &victim).public_subkeys;
    let seen = compare("taken", &repo, &bytes(&taken), &signature);
    assert_eq!(seen, [Status::Refused(Refusal::InvalidKey)]);

    // Bound by the thief, who cannot make the subkey sign in turn.
    let primary = secret(&home, &thief).primary_key;
    let mut flags = KeyFlags::default();
    flags.set_sign(true);
    let mut bound = taken.clone();
    let subkey = &mut bound.public_subkeys[0];
    let genuine = subkey.signatures[0].embedded_signature().cloned().unwrap();
    let mut bind = |more: Vec<SubpacketData>| {
        let data = [vec![SubpacketData::KeyFlags(flags.clone())], more].concat();
        let config = config(&primary, SignatureType::SubkeyBinding, data);
        let password = Password::empty();
        let binding = config
            .sign_subkey_binding(&primary, primary.public_key(), &password, &subkey.key)
            .unwrap();
        subkey.signatures = vec![binding];
        bytes(&bound_with(&taken, subkey.clone()))
    };
    let refused = [Status::Refused(Refusal::NotCrossCertified)];
    assert_eq!(
        compare("bound", &repo, &bind(Vec::new()), &signature),
        refused
    );
    let stolen = vec![SubpacketData::EmbeddedSignature(Box::new(genuine))];
    assert_eq!(compare("stolen", &repo, &bind(stolen), &signature), refused);
}

fn bound_with(key: &SignedPublicKey, subkey: pgp::composed::SignedPublicSubKey) -> SignedPublicKey {
    let mut key = key.clone();
    key.public_subkeys = vec![subkey];
    key
}

#[test]
fn keys_for_other_uses() {
    let (home, repo) = (Home::new(), Repo::new());
    let key = home.key("key", "rsa2048", "cert", "never");
    home.subkey(&key, "rsa2048", "encr", "never");
    let secret = secret(&home, &key);
    let signatures = [
        sign(&secret.primary_key, &repo.commit()),
        sign(&secret.secret_subkeys[0].key, &repo.commit()),
    ];
    let seen = compare("uses", &repo, &home.export(), &signatures);
    assert_eq!(seen, [Status::Refused(Refusal::WrongUsage); 2]);
}

#[test]
fn signatures_that_are_not_over_data() {
    let (home, repo) = (Home::new(), Repo::new());
    let key = public(&home, &home.key("key", "ed25519", "sign", "never"));
    let mut certification = Vec::new();
    let signature = &key.details.users[0].signatures[0];
    signature.to_writer_with_header(&mut certification).unwrap();
    repo.set_signatures(&[
        certification,
        b"no packet".to_vec(),
        Vec::new(),
        bytes(&key),
    ]);
    let seen = repo.verify(&home.export(), &like_gpg()).reports;
    let seen: Vec<_> = seen.iter().map(|r| (r.entry, r.status)).collect();
    let unreadable = Status::Refused(Refusal::Unreadable);
    let certification = Status::Refused(Refusal::NotOverData);
    let expected = [
        (0, certification),
        (1, unreadable),
        (2, unreadable),
        // A key, its user ID, and the signature on that.
        (3, unreadable),
        (3, unreadable),
        (3, certification),
    ];
    assert_eq!(seen, expected);
}

/// Whatever bit of a keyring or signature is changed: what is still good says the same as before
/// (the bit was a hint that nobody signed), and gpgv takes the signature too.
#[test]
fn changed_bits_change_no_verdict_for_the_better() {
    let (home, repo) = (Home::new(), Repo::new());
    let key = home.key("key", "ed25519", "cert", "2y");
    home.subkey(&key, "ed25519", "sign", "1y");
    let (keyring, signature) = (home.export(), home.sign(&key, &repo.commit()));
    let verify = |keyring: &[u8], signature: &[u8]| {
        repo.set_signatures(&[signature.to_vec()]);
        // Damage to the framing is refused, but must not panic.
        let readable = signature::gpg::Keyring::new().add(keyring).is_ok();
        readable.then(|| repo.verify(keyring, &like_gpg()))
    };
    let before = verify(&keyring, &signature).unwrap();
    assert_eq!(before.valid(), 1);
    let strategy = (any::<bool>(), any::<prop::sample::Index>(), 0..8u8);
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(1000)
    });
    let outcome = runner.run(&strategy, |(in_keyring, place, bit)| {
        let (mut keyring, mut signature) = (keyring.clone(), signature.clone());
        let changed = if in_keyring {
            &mut keyring
        } else {
            &mut signature
        };
        *place.get_mut(changed) ^= 1 << bit;
        if let Some(after) = verify(&keyring, &signature).filter(|v| v.valid() > 0) {
            prop_assert_eq!(&after, &before);
            prop_assert!(in_keyring || gpgv_accepts(&repo, &keyring, &signature));
        }
        Ok(())
    });
    outcome.unwrap();
}

/// Nothing that is not OpenPGP, or only begins like it, makes a parser panic.
#[test]
fn any_bytes_are_survived() {
    let tags = prop::collection::vec(any::<u8>(), 0..300).prop_flat_map(|body| {
        let length = u8::try_from(body.len().min(180)).unwrap();
        (0..20u8).prop_map(move |tag| [&[0xc0 | tag, length], &body[..]].concat())
    });
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(5000)
    });
    let outcome = runner.run(&prop::collection::vec(tags, 1..4), |packets| {
        let bytes = packets.concat();
        let mut keys = signature::gpg::Keyring::new();
        if keys.add(&bytes).is_ok() {
            let _ = keys.list(now());
        }
        let _ = signature::gpg::SecretKeyring::from_bytes(&bytes);
        let _ = signature::gpg::detached_signature(&bytes);
        let verdicts = signature::gpg::verify(b"", &[&bytes], &keys, &like_gpg(), now());
        prop_assert_eq!(verdicts.valid(), 0);
        let _ = signature::gpg::describe_rejection(&verdicts, &|_| 0);
        Ok(())
    });
    outcome.unwrap();
}

fn gpgv_accepts(repo: &Repo, keyring: &[u8], signature: &[u8]) -> bool {
    let file = |name: &str, content: &[u8]| {
        let path = repo.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let mut gpgv = testkit::command("gpgv");
    gpgv.arg("--keyring").arg(file("keyring", keyring));
    gpgv.arg(file("signature", signature))
        .arg(file("data", &repo.commit()));
    gpgv.output().unwrap().status.success()
}
