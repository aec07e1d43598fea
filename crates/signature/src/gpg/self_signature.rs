//! The signatures that a primary key has made on its own certificate.

use pgp::errors::Result as PgpResult;
use pgp::packet::{
    KeyFlags, PublicSubkey, Signature, SignatureConfig, SignatureType, SubpacketData, UserId,
};
use pgp::types::{KeyDetails, RevocationKey, Tag};

use super::certificate::{Binding, Certificate};
use super::critical;
use super::keyring::Keyring;
use super::low_s::EitherForm;
use super::policy;

/// Judges the signatures of one certificate at one time.
pub(super) struct Judge<'c> {
    pub(super) certificate: &'c Certificate,
    pub(super) keyring: &'c Keyring,
    pub(super) now: u64,
}

/// What the signatures on the primary key alone say.
#[derive(Default)]
pub(super) struct Direct<'c> {
    pub(super) revoked: bool,
    /// Whether there is a valid one that is not a revocation.
    pub(super) signed: bool,
    pub(super) flags: Option<KeyFlags>,
    pub(super) key_expires: Option<u64>,
    revokers: Vec<&'c RevocationKey>,
}

/// What the newest self-signature on a user ID says.
#[derive(Debug, PartialEq)]
pub(super) enum UserState {
    Unsigned,
    Revoked,
    Expired,
    Live(LiveUser),
}

#[derive(Debug, PartialEq)]
pub(super) struct LiveUser {
    pub(super) created: u64,
    pub(super) primary: bool,
    pub(super) flags: Option<KeyFlags>,
    pub(super) key_expires: Option<u64>,
}

pub(super) struct SubkeyState {
    pub(super) binding: Option<SubkeyBinding>,
    pub(super) revoked: bool,
}

/// What the newest binding signature of a subkey says.
pub(super) struct SubkeyBinding {
    pub(super) flags: Option<KeyFlags>,
    pub(super) key_expires: Option<u64>,
    pub(super) back_signed: bool,
}

impl UserState {
    pub(super) const fn live(&self) -> Option<&LiveUser> {
        match self {
            Self::Live(user) => Some(user),
            _ => None,
        }
    }
}

impl<'c> Judge<'c> {
    /// The signatures on the primary key alone. Its revokers are gathered from all of them, the
    /// rest comes from the newest that has not expired.
    pub(super) fn direct(&self) -> Direct<'c> {
        let key = &self.certificate.primary;
        let mut direct = Direct::default();
        let mut newest = None;
        for signature in parsed(&self.certificate.direct) {
            if !self.holds(signature, key, || signature.verify_key(&EitherForm(key))) {
                continue;
            }
            match signature.typ() {
                Some(SignatureType::KeyRevocation) => direct.revoked = true,
                Some(SignatureType::Key) => {
                    direct.revokers.extend(revokers(signature));
                    if !self.is_expired(signature) {
                        newest = newer(newest, signature);
                    }
                }
                _ => {}
            }
        }
        if let Some(signature) = newest {
            direct.signed = true;
            direct.flags = flags(signature);
            direct.key_expires = key_expires(signature, key);
        }
        direct.revoked |= self.is_revoked_by_others(&direct.revokers);
        direct
    }

    /// Whether a key that this one has named as its revoker has revoked it.
    fn is_revoked_by_others(&self, revokers: &[&RevocationKey]) -> bool {
        let key = &self.certificate.primary;
        let named = |c: &&Certificate| {
            let fingerprint = c.fingerprint.as_bytes();
            revokers.iter().any(|r| *r.fingerprint == *fingerprint)
        };
        self.keyring.certificates.iter().filter(named).any(|c| {
            parsed(&self.certificate.direct)
                .filter(|s| s.typ() == Some(SignatureType::KeyRevocation))
                .any(|s| {
                    self.holds(s, &c.primary, || {
                        s.verify_key_third_party(key, &EitherForm(&c.primary))
                    })
                })
        })
    }

    /// The newest certification or revocation of a user ID decides; a newer certification undoes
    /// a revocation.
    pub(super) fn user(&self, user: &UserId, signatures: &[Binding]) -> UserState {
        let key = &self.certificate.primary;
        let mut newest = None;
        for signature in parsed(signatures) {
            let verified = || signature.verify_certification(&EitherForm(key), Tag::UserId, user);
            if self.holds(signature, key, verified) {
                newest = newer(newest, signature);
            }
        }
        match newest {
            None => UserState::Unsigned,
            Some(s) if s.typ() == Some(SignatureType::CertRevocation) => UserState::Revoked,
            Some(s) if self.is_expired(s) => UserState::Expired,
            Some(s) => UserState::Live(LiveUser {
                created: created(s),
                primary: s.is_primary(),
                flags: flags(s),
                key_expires: key_expires(s, key),
            }),
        }
    }

    /// The newest binding that has not expired decides; a revocation holds whatever its date.
    pub(super) fn subkey(&self, subkey: &PublicSubkey, signatures: &[Binding]) -> SubkeyState {
        let key = &self.certificate.primary;
        let mut newest = None;
        let mut revoked = false;
        for signature in parsed(signatures) {
            if !self.holds(signature, key, || {
                signature.verify_subkey_binding(&EitherForm(key), subkey)
            }) {
                continue;
            }
            match signature.typ() {
                Some(SignatureType::SubkeyRevocation) => revoked = true,
                _ if self.is_expired(signature) => {}
                _ => newest = newer(newest, signature),
            }
        }
        let binding = newest.map(|signature| SubkeyBinding {
            flags: flags(signature),
            key_expires: key_expires(signature, subkey),
            back_signed: self.is_back_signed(subkey, signature),
        });
        SubkeyState { binding, revoked }
    }

    /// Whether the newest signature of the subkey on the primary key that `binding` carries is
    /// valid. It may stand in the unhashed area: it proves itself.
    fn is_back_signed(&self, subkey: &PublicSubkey, binding: &Signature) -> bool {
        let back = embedded(binding)
            .filter(|s| s.typ() == Some(SignatureType::KeyBinding))
            .fold(None, |newest: Option<&Signature>, s| match newest {
                Some(known) if created(known) >= created(s) => newest,
                _ => Some(s),
            });
        back.is_some_and(|s| {
            let primary = &self.certificate.primary;
            self.holds(s, subkey, || {
                s.verify_primary_key_binding(&EitherForm(subkey), primary)
            })
        })
    }

    /// Whether a signature by `key` on a certificate counts: not older than the key, no weak hash,
    /// nothing critical that is unknown, and mathematically valid.
    fn holds(
        &self,
        signature: &Signature,
        key: &impl KeyDetails,
        verified: impl FnOnce() -> PgpResult<()>,
    ) -> bool {
        let weak = signature.hash_alg().is_none_or(policy::is_weak);
        !weak
            && is_timely(signature, key, self.now)
            && !critical::has_unknown(signature)
            && verified().is_ok()
    }

    fn is_expired(&self, signature: &Signature) -> bool {
        expires(signature).is_some_and(|at| at <= self.now)
    }
}

/// Whether the key was there when the signature was made, and is not from the future.
pub(super) fn is_timely(signature: &Signature, key: &impl KeyDetails, now: u64) -> bool {
    let key_created = u64::from(key.created_at().as_secs());
    key_created <= created(signature) && key_created <= now
}

/// When the signature was made; 0 when it does not say.
pub(super) fn created(signature: &Signature) -> u64 {
    signature.created().map_or(0, |at| u64::from(at.as_secs()))
}

/// When the signature expires, if ever.
pub(super) fn expires(signature: &Signature) -> Option<u64> {
    let after = signature.signature_expiration_time()?.as_secs();
    (after != 0).then(|| created(signature) + u64::from(after))
}

fn key_expires(signature: &Signature, key: &impl KeyDetails) -> Option<u64> {
    let after = signature.key_expiration_time()?.as_secs();
    (after != 0).then(|| u64::from(key.created_at().as_secs()) + u64::from(after))
}

fn flags(signature: &Signature) -> Option<KeyFlags> {
    let mut hashed = signature.config()?.hashed_subpackets();
    hashed.find_map(|s| match &s.data {
        SubpacketData::KeyFlags(flags) => Some(flags.clone()),
        _ => None,
    })
}

fn embedded(signature: &Signature) -> impl Iterator<Item = &Signature> {
    let config = signature.config().into_iter();
    config
        .flat_map(|c| c.hashed_subpackets().chain(c.unhashed_subpackets()))
        .filter_map(|s| match &s.data {
            SubpacketData::EmbeddedSignature(signature) => Some(&**signature),
            _ => None,
        })
}

fn revokers(signature: &Signature) -> impl Iterator<Item = &RevocationKey> {
    let config = signature.config().into_iter();
    config
        .flat_map(SignatureConfig::hashed_subpackets)
        .filter_map(|s| match &s.data {
            SubpacketData::RevocationKey(key) => Some(key),
            _ => None,
        })
}

fn parsed(bindings: &[Binding]) -> impl Iterator<Item = &Signature> {
    bindings.iter().filter_map(|b| b.packet.as_ref())
}

/// The newer of the two; of two with the same date, the one that stands later.
fn newer<'s>(known: Option<&'s Signature>, other: &'s Signature) -> Option<&'s Signature> {
    match known {
        Some(known) if created(known) > created(other) => Some(known),
        _ => Some(other),
    }
}
