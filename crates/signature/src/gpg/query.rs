use super::certificate::Certificate;
use super::id::Fingerprint;
use super::keyring::Keyring;
use super::{Issuer, Verification, user_id};

/// A key as users name it to gpg and ostree (`gpg`'s manual, "How to specify a user ID").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyQuery {
    text: String,
    form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// The end of a fingerprint, in upper case: a short or long key ID, or the whole.
    Hex { digits: String, exact: bool },
    /// `=`: the whole user ID.
    Whole(String),
    /// `<...>`: the mail address.
    Mail(String),
    /// `@`: part of the mail address.
    MailPart(String),
    /// Part of the user ID.
    Part(String),
}

impl KeyQuery {
    /// Understand `text`: hexadecimal digits (8, 16, 32, 40 or 64, with or without `0x`; with `!`
    /// at the end, this very key), `=user id`, `<mail>`, `@part of mail`, else part of a user ID.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            form: hex_form(text.trim()).unwrap_or_else(|| user_form(text.trim())),
        }
    }

    /// The text it was made from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key that it names when it asks for this very key and no other of the certificate.
    pub(super) fn exact(&self) -> Option<&str> {
        match &self.form {
            Form::Hex { digits, exact } if *exact => Some(digits),
            _ => None,
        }
    }

    pub(super) fn matches(&self, certificate: &Certificate) -> bool {
        let mut users = certificate
            .users()
            .map(|(user, _)| String::from_utf8_lossy(user.id()));
        match &self.form {
            Form::Hex { digits, .. } => fingerprints(certificate).any(|f| f.ends_with(digits)),
            Form::Whole(whole) => users.any(|user| user == whole.as_str()),
            Form::Mail(mail) => users.any(|u| user_id::mailbox(&u).is_some_and(|m| m == *mail)),
            Form::MailPart(part) => {
                users.any(|u| user_id::mailbox(&u).is_some_and(|m| m.contains(part)))
            }
            Form::Part(part) => users.any(|user| user.to_ascii_lowercase().contains(part)),
        }
    }
}

fn hex_form(text: &str) -> Option<Form> {
    let plain = text.strip_suffix('!');
    let (digits, exact) = (plain.unwrap_or(text), plain.is_some());
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    let sizes = [8, 16, 32, 40, 64];
    let is_hex = sizes.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| Form::Hex {
        digits: digits.to_ascii_uppercase(),
        exact,
    })
}

fn user_form(text: &str) -> Form {
    let mut rest = text.chars();
    match rest.next() {
        Some('=') => Form::Whole(rest.as_str().to_owned()),
        Some('<') => Form::Mail(rest.as_str().trim_end_matches('>').to_ascii_lowercase()),
        Some('@') => Form::MailPart(rest.as_str().to_ascii_lowercase()),
        Some('*') => Form::Part(rest.as_str().to_ascii_lowercase()),
        _ => Form::Part(text.to_ascii_lowercase()),
    }
}

fn fingerprints(certificate: &Certificate) -> impl Iterator<Item = String> {
    let subkeys = certificate.subkeys();
    let subkeys = subkeys.map(|(key, _)| Fingerprint::of(key).to_string());
    std::iter::once(certificate.fingerprint.to_string()).chain(subkeys)
}

impl Keyring {
    pub(super) fn select(&self, query: &KeyQuery) -> Option<&Certificate> {
        self.certificates.iter().find(|c| query.matches(c))
    }

    /// The primary key of the first certificate that `query` names.
    #[must_use]
    pub fn primary(&self, query: &KeyQuery) -> Option<&Fingerprint> {
        self.select(query).map(|c| &c.fingerprint)
    }
}

impl Verification {
    /// The first signature that a key of the certificate named by `query` has made (or says so),
    /// as its place in the reports: libostree's `ostree_gpg_verify_result_lookup`.
    ///
    /// Nothing when `keyring` does not have the certificate.
    #[must_use]
    pub fn find(&self, keyring: &Keyring, query: &KeyQuery) -> Option<usize> {
        let wanted = keyring.primary(query)?;
        self.reports.iter().position(|report| {
            let primary = |i: &Issuer| keyring.find(i).map(|(c, _)| &c.fingerprint);
            report.issuer.as_ref().and_then(primary) == Some(wanted)
        })
    }
}
