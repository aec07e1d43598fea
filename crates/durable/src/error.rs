use std::io;
use std::path::{Path, PathBuf};

use error_class::{Classified, ErrorClass};

/// A system call failed: what was being done, to what, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {source}", .path.display())]
pub struct Error {
    /// What was being done, for example `rename`.
    pub verb: &'static str,
    /// The path it was done to, relative to the directory that was handed in.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        self.source.class()
    }
}

/// Attach verb and path to a failed system call.
pub trait IoContext<T> {
    /// Turn the failure into an [`Error`].
    ///
    /// # Errors
    /// The failure itself.
    fn during(self, verb: &'static str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> IoContext<T> for Result<T, E> {
    fn during(self, verb: &'static str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|source| Error {
            verb,
            path: path.as_ref().to_owned(),
            source: source.into(),
        })
    }
}

/// What setting an extended attribute is called in an [`Error`].
#[must_use]
pub fn setting_attribute(name: &[u8]) -> &'static str {
    match name {
        b"security.selinux" => {
            "set the SELinux label (one that the kernel does not know needs CAP_MAC_ADMIN) of"
        }
        _ => "set attributes of",
    }
}

#[cfg(test)]
mod tests {
    use super::{IoContext as _, setting_attribute};

    #[test]
    fn a_label_that_is_refused_is_named() {
        let refused = Err::<(), _>(std::io::Error::from_raw_os_error(22));
        let error = refused.during(setting_attribute(b"security.selinux"), "etc/x");
        let said = error.unwrap_err().to_string();
        for expected in [
            "SELinux label",
            "CAP_MAC_ADMIN",
            "etc/x",
            "Invalid argument",
        ] {
            assert!(said.contains(expected), "{said}");
        }
        assert!(!setting_attribute(b"user.x").contains("SELinux"));
    }
}
