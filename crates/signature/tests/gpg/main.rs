//! GPG signatures compared with the real `gpg`, `gpgv` and `ostree`.

mod forged;
mod keyrings;
mod oracle;
mod signing;
mod verdicts;
