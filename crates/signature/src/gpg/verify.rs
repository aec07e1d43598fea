//! Verification of detached signatures.

use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{Packet, Signature, SignatureType, SubpacketData};
use pgp::types::{EddsaLegacyPublicParams, PublicParams, VerifyingKey};

use super::certificate::Certificate;
use super::id::{Fingerprint, Issuer, KeyId};
use super::keyring::{Keyring, Position};
use super::low_s::EitherForm;
use super::self_signature::{created, expires, is_timely};
use super::validity::{self, KeyValidity, Validity};
use super::{Policy, Refusal, Report, Status, Verification};
use super::{critical, names, packet, user_id};

/// Verify `signatures`, the elements of `ostree.gpgsigs`, over `data`, the raw bytes of the commit
/// object or of the `summary` file.
///
/// `now` is in seconds since 1970. This never fails: what cannot be read is reported as refused,
/// so that it neither hides nor spoils the others.
#[must_use]
pub fn verify(
    data: &[u8],
    signatures: &[&[u8]],
    keyring: &Keyring,
    policy: &Policy,
    now: u64,
) -> Verification {
    let context = Context {
        data,
        keyring,
        policy,
        now,
    };
    let entries = signatures.iter().enumerate();
    let reports = entries.flat_map(|(entry, bytes)| context.entry(entry, bytes));
    Verification {
        reports: reports.collect(),
    }
}

struct Context<'c> {
    data: &'c [u8],
    keyring: &'c Keyring,
    policy: &'c Policy,
    now: u64,
}

impl Context<'_> {
    fn entry(&self, entry: usize, bytes: &[u8]) -> Vec<Report> {
        match packet::split(bytes) {
            Ok(packets) if !packets.is_empty() => {
                let parsed = packets.iter().map(packet::RawPacket::parse);
                parsed.map(|p| self.packet(entry, p)).collect()
            }
            _ => vec![Report::refused(entry, Refusal::Unreadable)],
        }
    }

    fn packet(&self, entry: usize, packet: Option<Packet>) -> Report {
        match packet {
            Some(Packet::Signature(signature)) if signature.config().is_some() => {
                self.signature(entry, &signature)
            }
            _ => Report::refused(entry, Refusal::Unreadable),
        }
    }

    fn signature(&self, entry: usize, signature: &Signature) -> Report {
        let candidates = issuers(signature);
        let mut found = candidates.iter().filter_map(|i| self.keyring.find(i));
        let Some((certificate, position)) = found.next() else {
            let status = self.without_key(signature);
            return Report {
                status,
                ..claims(entry, signature)
            };
        };
        let validity = validity::judge(certificate, self.keyring, self.now);
        let status = self.with_key(signature, certificate, position, &validity);
        let report = Report {
            status,
            primary: Some(validity.primary.fingerprint.clone()),
            primary_expires: validity.primary.expires,
            ..self.known(entry, status, signature, &validity, position)
        };
        with_user(report, &validity)
    }

    /// gpg looks at the algorithms before it looks for the key.
    fn without_key(&self, signature: &Signature) -> Status {
        self.refused_algorithm(signature)
            .map_or(Status::KeyMissing, Status::Refused)
    }

    fn refused_algorithm(&self, signature: &Signature) -> Option<Refusal> {
        let config = signature.config()?;
        if !matches!(config.typ, SignatureType::Binary | SignatureType::Text) {
            return Some(Refusal::NotOverData);
        }
        if config.hash_alg.digest_size().is_none() {
            return Some(Refusal::HashAlgorithm);
        }
        let known =
            config.pub_alg.can_sign() && !matches!(config.pub_alg, PublicKeyAlgorithm::Unknown(_));
        (!known).then_some(Refusal::PublicKeyAlgorithm)
    }

    fn with_key(
        &self,
        signature: &Signature,
        certificate: &Certificate,
        position: Position,
        validity: &Validity,
    ) -> Status {
        let judged = match position {
            Position::Primary => self.by_key(signature, &certificate.primary, &validity.primary),
            Position::Subkey(index) => {
                let keys = certificate
                    .subkeys()
                    .nth(index)
                    .zip(validity.subkeys.get(index));
                match keys {
                    Some(((key, _), state)) => self.by_key(signature, key, state),
                    None => Err(Status::KeyMissing),
                }
            }
        };
        judged.map_or_else(|status| status, |()| Status::Good)
    }

    /// The checks in the order of gpg (`check_signature2` and `check_sig_and_print`), which shows
    /// in the verdict when several fail.
    fn by_key(
        &self,
        signature: &Signature,
        key: &impl VerifyingKey,
        state: &KeyValidity,
    ) -> Result<(), Status> {
        let refused = |when: bool, refusal| match when {
            true => Err(Status::Refused(refusal)),
            false => Ok(()),
        };
        if let Some(refusal) = self.refused_algorithm(signature) {
            return Err(Status::Refused(refusal));
        }
        let unknown = !is_supported(key.public_params());
        refused(unknown, Refusal::PublicKeyAlgorithm)?;
        refused(!state.valid, Refusal::InvalidKey)?;
        refused(!is_timely(signature, key, self.now), Refusal::TimeConflict)?;
        let hash = signature.hash_alg();
        let weak = hash.is_none_or(|hash| self.policy.refuses_for_data(hash));
        refused(weak, Refusal::HashAlgorithm)?;
        refused(!state.may_sign, Refusal::WrongUsage)?;
        if signature.verify(&EitherForm(key), self.data).is_err()
            || critical::has_unknown(signature)
        {
            return Err(Status::Bad);
        }
        refused(!state.back_signed, Refusal::NotCrossCertified)?;
        match () {
            () if expires(signature).is_some_and(|at| at <= self.now) => {
                Err(Status::SignatureExpired)
            }
            () if state.expired => Err(Status::KeyExpired),
            () if state.revoked => Err(Status::KeyRevoked),
            () => Ok(()),
        }
    }

    /// What is believed of what the signature says, now that the verdict is known.
    fn known(
        &self,
        entry: usize,
        status: Status,
        signature: &Signature,
        validity: &Validity,
        position: Position,
    ) -> Report {
        let key = validity.key(position);
        match status {
            Status::Bad => Report {
                issuer: Some(Issuer::KeyId(claimed_key_id(signature))),
                ..Report::refused(entry, Refusal::Unreadable)
            },
            Status::Refused(_) | Status::KeyMissing => {
                let claims = claims(entry, signature);
                let named = key.filter(|k| is(claims.issuer.as_ref(), &k.fingerprint));
                Report {
                    key_expires: named.and_then(|k| k.expires),
                    ..claims
                }
            }
            _ => Report {
                issuer: key.map(|k| Issuer::Fingerprint(k.fingerprint.clone())),
                expires: expires(signature),
                key_expires: key.and_then(|k| k.expires),
                ..claims(entry, signature)
            },
        }
    }
}

fn is_supported(key: &PublicParams) -> bool {
    match key {
        PublicParams::ECDSA(key) => key.is_supported(),
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Unsupported { .. })
        | PublicParams::Unknown { .. } => false,
        _ => true,
    }
}

fn is(issuer: Option<&Issuer>, fingerprint: &Fingerprint) -> bool {
    matches!(issuer, Some(Issuer::Fingerprint(named)) if named == fingerprint)
}

/// What the signature says of itself.
fn claims(entry: usize, signature: &Signature) -> Report {
    let key_id = || Issuer::KeyId(claimed_key_id(signature));
    let fingerprint = claimed_fingerprint(signature).map(Issuer::Fingerprint);
    let config = signature.config();
    Report {
        issuer: Some(fingerprint.unwrap_or_else(key_id)),
        made: Some(created(signature)),
        public_key_algorithm: config.and_then(|c| names::public_key(c.pub_alg)),
        hash_algorithm: config.and_then(|c| names::hash(c.hash_alg)),
        ..Report::refused(entry, Refusal::Unreadable)
    }
}

fn with_user(report: Report, validity: &Validity) -> Report {
    let user = validity.users.first().map(|u| user_id::split(&u.text));
    let (user_name, user_email) = match user {
        Some(user) => (Some(user.name), Some(user.email)),
        None => (None, None),
    };
    Report {
        user_name,
        user_email,
        ..report
    }
}

/// What names the key, best first: a fingerprint that is signed, then a key ID.
fn issuers(signature: &Signature) -> Vec<Issuer> {
    let fingerprint = claimed_fingerprint(signature).map(Issuer::Fingerprint);
    let ids = signature.issuer_key_id().into_iter();
    let ids = ids.map(|id| Issuer::KeyId(KeyId::from_slice(id.as_ref())));
    fingerprint.into_iter().chain(ids).collect()
}

fn claimed_fingerprint(signature: &Signature) -> Option<Fingerprint> {
    let mut hashed = signature.config()?.hashed_subpackets();
    hashed.find_map(|s| match &s.data {
        SubpacketData::IssuerFingerprint(f) => Some(Fingerprint::from_slice(f.as_bytes())),
        _ => None,
    })
}

/// All zero when it names none.
fn claimed_key_id(signature: &Signature) -> KeyId {
    let ids = signature.issuer_key_id();
    ids.first().map_or_else(
        || KeyId::from_slice(&[]),
        |id| KeyId::from_slice(id.as_ref()),
    )
}
