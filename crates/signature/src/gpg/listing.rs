//! The keys of a keyring, as `ostree remote gpg-list-keys` shows them.

use std::fmt::Write;

use pgp::crypto::hash::HashAlgorithm;

use super::describe::Zone;
use super::id::Fingerprint;
use super::keyring::Keyring;
use super::validity::{self, KeyValidity};
use super::{date, user_id};

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// The primary key, then the subkeys.
    pub keys: Vec<KeyInfo>,
    /// The primary user ID, then the others.
    pub users: Vec<UserInfo>,
}

/// One key of a certificate. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// When it was made.
    pub created: u64,
    /// When it expires, if ever.
    pub expires: Option<u64>,
    /// Whether it, or its primary key, was revoked.
    pub revoked: bool,
    /// Whether it, or its primary key, has expired.
    pub expired: bool,
    /// Whether it is not bound to the certificate by a valid signature.
    pub invalid: bool,
}

/// One user ID.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserInfo {
    /// The whole text.
    pub text: String,
    /// Whether it, or the primary key, was revoked.
    pub revoked: bool,
    /// Where updates of the key may be found, when it has a mail address.
    pub urls: Option<WkdUrls>,
}

/// Where a Web Key Directory would have the key of a mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WkdUrls {
    /// The advanced method: a host of its own.
    pub advanced: String,
    /// The direct method.
    pub direct: String,
}

impl Keyring {
    /// The certificates, judged at `now` (seconds since 1970).
    #[must_use]
    pub fn list(&self, now: u64) -> Vec<Listing> {
        self.certificates
            .iter()
            .map(|certificate| {
                let validity = validity::judge(certificate, self, now);
                Listing {
                    keys: validity.keys().map(KeyInfo::of).collect(),
                    users: validity.users.iter().map(UserInfo::of).collect(),
                }
            })
            .collect()
    }
}

impl KeyInfo {
    /// gpg says one thing about a key: that it is invalid, else revoked, else expired.
    fn of(key: &KeyValidity) -> Self {
        Self {
            fingerprint: key.fingerprint.clone(),
            created: key.created,
            expires: key.expires,
            invalid: !key.valid,
            revoked: key.valid && key.revoked,
            expired: key.valid && !key.revoked && key.expired,
        }
    }
}

impl UserInfo {
    fn of(user: &validity::UserValidity) -> Self {
        Self {
            urls: user_id::mailbox(&user.text).as_deref().and_then(wkd_urls),
            text: user.text.clone(),
            revoked: user.revoked,
        }
    }
}

impl Listing {
    /// The text of `ostree remote gpg-list-keys`, with dates of the C locale.
    #[must_use]
    pub fn describe(&self, zone: &Zone) -> String {
        let mut text = String::new();
        let mut keys = self.keys.iter();
        if let Some(primary) = keys.next() {
            describe_key(&mut text, primary, "Key", "  ", zone);
        }
        for user in &self.users {
            describe_user(&mut text, user);
        }
        for subkey in keys {
            describe_key(&mut text, subkey, "  Subkey", "    ", zone);
        }
        text
    }
}

// Writing into text cannot fail.
fn describe_key(text: &mut String, key: &KeyInfo, title: &str, indent: &str, zone: &Zone) {
    let revoked = if key.revoked { " (revoked)" } else { "" };
    let invalid = if key.invalid { " (invalid)" } else { "" };
    let when = |at| date::format(at, zone(at));
    let _ = writeln!(text, "{title}: {}{revoked}{invalid}", key.fingerprint);
    let _ = writeln!(text, "{indent}Created: {}", when(key.created));
    if let Some(at) = key.expires {
        let tense = if key.expired { "Expired" } else { "Expires" };
        let _ = writeln!(text, "{indent}{tense}: {}", when(at));
    }
}

fn describe_user(text: &mut String, user: &UserInfo) {
    let revoked = if user.revoked { " (revoked)" } else { "" };
    let urls = user.urls.as_ref();
    let (advanced, direct) = urls.map_or(("", ""), |u| (&u.advanced, &u.direct));
    let _ = writeln!(text, "  UID: {}{revoked}", user.text);
    let _ = writeln!(text, "  Advanced update URL: {advanced}");
    let _ = writeln!(text, "  Direct update URL: {direct}");
}

/// Where updates of the key of `email` may be found (draft-koch-openpgp-webkey-service, section
/// 3.1); nothing when it is no mail address.
#[must_use]
pub fn wkd_urls(email: &str) -> Option<WkdUrls> {
    let (local, domain) = email.split_once('@')?;
    if domain.contains('@') {
        return None;
    }
    let lowered = local.to_ascii_lowercase();
    let digest = HashAlgorithm::Sha1.digest(lowered.as_bytes()).ok()?;
    let path = format!("hu/{}?l={}", zbase32(&digest), escaped(local));
    let lower_domain = domain.to_ascii_lowercase();
    Some(WkdUrls {
        advanced: format!(
            "https://openpgpkey.{domain}/.well-known/openpgpkey/{lower_domain}/{path}"
        ),
        direct: format!("https://{domain}/.well-known/openpgpkey/{path}"),
    })
}

/// z-base-32 of whole groups of five bytes, which a SHA-1 digest has.
fn zbase32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
    let digit = |group: &[u8], place: usize| {
        let number = group.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        char::from(ALPHABET[usize::from((number >> (35 - 5 * place)) as u8 & 31)])
    };
    let groups = bytes.chunks_exact(5);
    groups
        .flat_map(|group| (0..8).map(move |place| digit(group, place)))
        .collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_libostree() {
        // Expected by libostree's test-remote-gpg-list-keys.sh.
        let urls = wkd_urls("test@test.com").unwrap();
        let path = "hu/iffe93qcsgp4c8ncbb378rxjo6cn9q6u?l=test";
        assert_eq!(
            urls.advanced,
            format!("https://openpgpkey.test.com/.well-known/openpgpkey/test.com/{path}")
        );
        assert_eq!(
            urls.direct,
            format!("https://test.com/.well-known/openpgpkey/{path}")
        );
        assert!(wkd_urls("a+b@c").unwrap().direct.ends_with("?l=a%2Bb"));
        assert_eq!(wkd_urls("nobody"), None);
        assert_eq!(wkd_urls("a@b@c"), None);
    }
}
