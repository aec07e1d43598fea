//! What `ostree --version` says.

/// The libostree that verbs, messages and formats are compared with.
pub(super) const LIKE: &str = "2026.4";

/// The features of libostree that are implemented, under its names. Test suites and other programs decide
/// by them what they may ask for: a name is added when everything behind it works.
const FEATURES: &[&str] = &[
    "inode64",
    "composefs",
    "libarchive",
    "gpgme",
    "sign-ed25519",
    "sign-spki",
    "initial-var",
];

/// The version and the features, in the YAML that `ostree` prints.
pub(crate) fn text() -> String {
    let features: String = FEATURES
        .iter()
        .map(|name| format!("  - {name}\n"))
        .collect();
    let own = env!("CARGO_PKG_VERSION");
    format!("libostree:\n Version: '{LIKE}'\n Bootroot: '{own}'\n Features:\n{features}")
}
