//! What the keys of a certificate are worth at a given time.
//!
//! The rules are gpg's (`merge_selfsigs` in GnuPG's `g10/getkey.c`); see the module's head.

use pgp::packet::{KeyFlags, PublicKey, PublicSubkey, UserId};
use pgp::types::KeyDetails;

use super::certificate::{Certificate, Component};
use super::id::Fingerprint;
use super::keyring::{Keyring, Position};
use super::self_signature::{Direct, Judge, SubkeyState, UserState};

/// A certificate, judged.
#[derive(Debug)]
pub(super) struct Validity {
    pub(super) primary: KeyValidity,
    pub(super) subkeys: Vec<KeyValidity>,
    /// The primary user ID first, then the others in order.
    pub(super) users: Vec<UserValidity>,
}

/// One key, judged. Times are seconds since 1970.
#[derive(Debug)]
pub(super) struct KeyValidity {
    pub(super) fingerprint: Fingerprint,
    pub(super) created: u64,
    pub(super) expires: Option<u64>,
    /// Whether the primary key has signed it, itself included.
    pub(super) valid: bool,
    pub(super) revoked: bool,
    pub(super) expired: bool,
    pub(super) may_sign: bool,
    /// Whether it has signed the primary key in turn; primary keys need not.
    pub(super) back_signed: bool,
}

#[derive(Debug)]
pub(super) struct UserValidity {
    pub(super) text: String,
    pub(super) revoked: bool,
}

impl Validity {
    pub(super) fn key(&self, position: Position) -> Option<&KeyValidity> {
        match position {
            Position::Primary => Some(&self.primary),
            Position::Subkey(index) => self.subkeys.get(index),
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &KeyValidity> {
        std::iter::once(&self.primary).chain(&self.subkeys)
    }
}

/// Judge `certificate` at `now`; `keyring` may hold keys that it has named as its revokers.
pub(super) fn judge(certificate: &Certificate, keyring: &Keyring, now: u64) -> Validity {
    let judge = Judge {
        certificate,
        keyring,
        now,
    };
    let direct = judge.direct();
    let users: Vec<_> = certificate
        .users()
        .map(|(user, component)| (user, judge.user(user, &component.signatures)))
        .collect();
    let primary = primary(&certificate.primary, &direct, &users, now);
    let subkeys = certificate
        .subkeys()
        .map(|(key, component)| subkey(&judge, key, component, &primary))
        .collect();
    Validity {
        users: in_order(&users, primary.revoked),
        primary,
        subkeys,
    }
}

type JudgedUser<'c> = (&'c UserId, UserState);

fn primary(
    key: &PublicKey,
    direct: &Direct<'_>,
    users: &[JudgedUser<'_>],
    now: u64,
) -> KeyValidity {
    let expires = direct
        .key_expires
        .or_else(|| newest(users, |state| state.key_expires).map(|(_, expires)| expires));
    let flags = direct
        .flags
        .clone()
        .or_else(|| newest(users, |state| state.flags.clone()).map(|(_, flags)| flags));
    let signed = users.iter().any(|(_, state)| *state != UserState::Unsigned);
    KeyValidity {
        fingerprint: Fingerprint::of(key),
        created: created(key),
        expires,
        valid: direct.signed || signed,
        revoked: direct.revoked,
        expired: expires.is_some_and(|at| at < now),
        may_sign: may_sign(flags.as_ref(), key),
        back_signed: true,
    }
}

/// What the newest live user ID that says anything about it says.
fn newest<T>(
    users: &[JudgedUser<'_>],
    says: impl Fn(&super::self_signature::LiveUser) -> Option<T>,
) -> Option<(u64, T)> {
    let live = users.iter().filter_map(|(_, state)| state.live());
    let mut chosen: Option<(u64, T)> = None;
    for user in live {
        if let Some(said) = says(user)
            && chosen.as_ref().is_none_or(|(at, _)| user.created > *at)
        {
            chosen = Some((user.created, said));
        }
    }
    chosen
}

fn subkey(
    judge: &Judge<'_>,
    key: &PublicSubkey,
    component: &Component,
    primary: &KeyValidity,
) -> KeyValidity {
    let SubkeyState { binding, revoked } = judge.subkey(key, &component.signatures);
    let expires = binding.as_ref().and_then(|b| b.key_expires);
    let flags = binding.as_ref().and_then(|b| b.flags.as_ref());
    KeyValidity {
        fingerprint: Fingerprint::of(key),
        created: created(key),
        expires,
        valid: primary.valid && binding.is_some(),
        revoked: primary.revoked || revoked,
        expired: primary.expired || expires.is_some_and(|at| at < judge.now),
        may_sign: binding.is_some() && may_sign(flags, key),
        back_signed: binding.as_ref().is_some_and(|b| b.back_signed),
    }
}

/// Without key flags, a key may do what its algorithm can.
fn may_sign(flags: Option<&KeyFlags>, key: &impl KeyDetails) -> bool {
    key.algorithm().can_sign() && flags.is_none_or(KeyFlags::sign)
}

fn created(key: &impl KeyDetails) -> u64 {
    u64::from(key.created_at().as_secs())
}

/// The primary user ID first. It is the newest of those that call themselves primary, else the
/// newest at all, else (when none is live) any; length and then bytes break ties.
fn in_order(users: &[JudgedUser<'_>], revoked: bool) -> Vec<UserValidity> {
    let rank = |(user, state): &JudgedUser<'_>| {
        let live = state.live();
        let (flagged, created) = live.map_or((false, 0), |l| (l.primary, l.created));
        let text = user.id().to_vec();
        (live.is_some(), flagged, created, text.len(), text)
    };
    // The first of equals must win, so the search for the greatest runs backwards.
    let first = (0..users.len()).rev().max_by_key(|i| rank(&users[*i]));
    let mut judged: Vec<_> = users
        .iter()
        .map(|(user, state)| UserValidity {
            text: String::from_utf8_lossy(user.id()).into_owned(),
            revoked: revoked || *state == UserState::Revoked,
        })
        .collect();
    if let Some(first) = first {
        judged[..=first].rotate_right(1);
    }
    judged
}
