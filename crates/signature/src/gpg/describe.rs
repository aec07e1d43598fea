//! Verdicts in libostree's words, which scripts look for.

use std::fmt::Write;

use super::date;
use super::{Report, Status, Verification};

/// Seconds east of UTC at a time given in seconds since 1970.
pub type Zone = dyn Fn(u64) -> i32;

/// The line above the signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heading {
    /// As `ostree show` has it: `Found 1 signature:`.
    Found,
    /// As `ostree admin upgrade` and others have it after a pull: `GPG: Verification enabled,
    /// found 1 signature:`.
    VerificationEnabled,
    /// As `ostree summary --view` has it: `Found 1 signature on the summary:`.
    FoundOnSummary,
}

/// The verdict on one signature, in lines that each begin with `prefix`:
///
/// ```text
/// Signature made Sat Nov 21 08:46:37 2026 using RSA key ID E10BEE832E96E697
/// Good signature from "Test Key 1 <one@example.com>"
/// ```
///
/// Dates are those of the C locale, where libostree follows `LC_TIME`. As there, a bad signature is
/// shown as made in 1970 with an unknown algorithm, since what it says of itself is not believed.
#[must_use]
pub fn describe(report: &Report, prefix: &str, zone: &Zone) -> String {
    let lines = [made(report, zone), verdict(report)];
    let more = other_primary(report)
        .into_iter()
        .chain(expiries(report, zone));
    let mut text = String::new();
    for line in lines.into_iter().chain(more) {
        // Writing into text cannot fail.
        let _ = writeln!(text, "{prefix}{line}");
    }
    text
}

/// The verdicts on all signatures, as `ostree show` prints them after the commit.
#[must_use]
pub fn describe_all(verification: &Verification, heading: Heading, zone: &Zone) -> String {
    let count = verification.reports.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut text = match heading {
        Heading::Found => format!("Found {count} signature{plural}:\n"),
        Heading::FoundOnSummary => format!("Found {count} signature{plural} on the summary:\n"),
        Heading::VerificationEnabled => {
            format!("GPG: Verification enabled, found {count} signature{plural}:\n")
        }
    };
    for report in &verification.reports {
        text.push('\n');
        text.push_str(&describe(report, "  ", zone));
    }
    text
}

/// What libostree says when no signature is valid: all verdicts, the last one first.
#[must_use]
pub fn describe_rejection(verification: &Verification, zone: &Zone) -> String {
    if verification.reports.is_empty() {
        return "No GPG signatures found".to_owned();
    }
    let reports = verification.reports.iter().rev();
    let text: String = reports.map(|r| describe(r, "", zone)).collect();
    text.trim_end().to_owned()
}

fn made(report: &Report, zone: &Zone) -> String {
    let at = report.made.unwrap_or(0);
    let when = date::format(at, zone(at));
    let algorithm = report.public_key_algorithm.unwrap_or("[unknown name]");
    let key = report.issuer.as_ref().map(super::Issuer::short);
    let key = key.unwrap_or_default();
    format!("Signature made {when} using {algorithm} key ID {key}")
}

fn verdict(report: &Report) -> String {
    let name = report.user_name.as_deref().unwrap_or("[unknown name]");
    let email = report.user_email.as_deref().unwrap_or("[unknown email]");
    let what = match report.status {
        Status::KeyMissing => return "Can't check signature: public key not found".to_owned(),
        Status::KeyRevoked => return "Key revoked".to_owned(),
        Status::Good => "Good",
        Status::SignatureExpired => "Expired",
        // An expired key is not told apart here, only by the line on its expiry.
        Status::KeyExpired | Status::Bad | Status::Refused(_) => "BAD",
    };
    format!("{what} signature from \"{name} <{email}>\"")
}

/// Whether the signature was made by something else than the primary key, as far as is known.
fn is_by_subkey(report: &Report) -> bool {
    let issuer = report.issuer.as_ref().map(ToString::to_string);
    issuer != report.primary.as_ref().map(ToString::to_string)
}

fn other_primary(report: &Report) -> Option<String> {
    let shown = report.status != Status::KeyMissing && is_by_subkey(report);
    let primary = report.primary.as_ref().map(super::Fingerprint::short);
    shown.then(|| format!("Primary key ID {}", primary.unwrap_or_default()))
}

fn expiries(report: &Report, zone: &Zone) -> impl Iterator<Item = String> {
    let signature = report.status == Status::SignatureExpired;
    let key = report.status == Status::KeyExpired;
    let primary = report.primary_expires.filter(|_| is_by_subkey(report));
    let expiry = |what: &str, at: Option<u64>, expired: bool| {
        let at = at?;
        let tense = if expired { "expired" } else { "expires" };
        Some(format!("{what} {tense} {}", date::format(at, zone(at))))
    };
    [
        expiry("Signature", report.expires, signature),
        expiry("Key", report.key_expires, key),
        expiry("Primary key", primary, key),
    ]
    .into_iter()
    .flatten()
}
