//! GPG signatures compared with the real `gpg`, `gpgv` and `ostree`.

mod home;
mod oracle;
mod signing;
mod verdicts;
