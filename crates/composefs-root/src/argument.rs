//! The kernel argument that says which image is the root.

use std::fmt;

use boot_format::KernelArgs;
use composefs_format::{Algorithm, Digest};
use error_class::{Classified, ErrorClass};

/// The usual argument.
const SHORT: &str = "composefs";

/// The one that says its format and algorithm, of which there may be several.
const LONG: &str = "composefs.digest";

/// Which image is mounted as the root: `composefs=DIGEST`, or `composefs=?DIGEST` where the kernel need not
/// verify it.
///
/// Source: the module `cmdline` of composefs-rs, whose longer form `composefs.digest=v1-sha512-12:DIGEST` is read, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootArgument {
    /// The digest of the image.
    pub digest: Digest,
    /// Whether image and objects need not be verified by the kernel.
    pub unverified: bool,
}

/// An argument that names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the kernel argument {0:?} names no image: it must have the digest of one in hexadecimal")]
pub struct InvalidRootArgument(String);

impl InvalidRootArgument {
    /// Of this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Classified for InvalidRootArgument {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl RootArgument {
    /// The one on a kernel command line, `None` when the root is no image. The first of the longer ones whose
    /// algorithm is `algorithm` counts, if that is known, then the shorter one.
    ///
    /// # Errors
    /// [`InvalidRootArgument`].
    pub fn find(
        args: &KernelArgs,
        algorithm: Option<Algorithm>,
    ) -> Result<Option<Self>, InvalidRootArgument> {
        let values = |key| {
            let found = args.iter().filter(move |arg| arg.key == key);
            found.filter_map(|arg| arg.value.as_deref())
        };
        for value in values(LONG) {
            let (_, digest) = value.split_once(':').unwrap_or_default();
            let found = Self::parsed(LONG, value, digest, value.starts_with('?'))?;
            if algorithm.is_none_or(|wanted| wanted == found.digest.algorithm()) {
                return Ok(Some(found));
            }
        }
        let Some(value) = values(SHORT).next() else {
            return Ok(None);
        };
        let digest = value.strip_prefix('?').unwrap_or(value);
        Self::parsed(SHORT, value, digest, value.starts_with('?')).map(Some)
    }

    fn parsed(
        key: &str,
        value: &str,
        digest: &str,
        unverified: bool,
    ) -> Result<Self, InvalidRootArgument> {
        let digest = digest.parse();
        let digest = digest.map_err(|_| InvalidRootArgument(format!("{key}={value}")))?;
        Ok(Self { digest, unverified })
    }
}

/// As it stands on the command line.
impl fmt::Display for RootArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.unverified { "?" } else { "" };
        write!(f, "{SHORT}={mark}{}", self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(line: &str, algorithm: Option<Algorithm>) -> Option<String> {
        let found = RootArgument::find(&KernelArgs::parse(line), algorithm).unwrap();
        found.map(|argument| argument.to_string())
    }

    #[test]
    fn the_argument_is_found_and_written_alike() {
        let (long, short) = ("ab".repeat(64), "cd".repeat(32));
        let line = format!("root=LABEL=r composefs=?{long} rw");
        assert_eq!(find(&line, None), Some(format!("composefs=?{long}")));
        let line = format!("composefs={short}");
        assert_eq!(find(&line, None), Some(line.clone()));
        assert_eq!(find("composefsx=1 ostree=/x", None), None);
    }

    #[test]
    fn of_the_longer_ones_the_first_that_fits_counts() {
        let (long, short) = ("ab".repeat(64), "cd".repeat(32));
        let line = format!(
            "composefs={long} composefs.digest=v1-sha256-12:{short} composefs.digest=?v1-sha512-12:{long}"
        );
        let found = find(&line, Some(Algorithm::Sha512));
        assert_eq!(found, Some(format!("composefs=?{long}")));
        assert_eq!(find(&line, None), Some(format!("composefs={short}")));
    }

    #[test]
    fn what_names_no_image_is_told() {
        for line in ["composefs=", "composefs=xyz", "composefs.digest=v1:12"] {
            let error = RootArgument::find(&KernelArgs::parse(line), None).unwrap_err();
            assert!(error.to_string().contains(line), "{error}");
        }
    }
}
