//! What a deployment was made of: `ID.origin` in its state.

use std::fmt;

use error_class::{Classified, ErrorClass};
use ostree_format::keyfile::{KeyFile, KeyFileError};

/// Where a deployment comes from, and how it boots.
///
/// Source: `write_composefs_state` of bootc. Keys that are not known are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootOrigin(KeyFile);

/// How a deployment boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootType {
    /// A kernel and an initramfs, and arguments in a boot entry.
    Bls,
    /// A unified kernel image, which has all of that.
    Uki,
}

impl BootType {
    /// As origins and documents name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bls => "bls",
            Self::Uki => "uki",
        }
    }
}

/// An origin that is no key file.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the origin of a deployment is damaged: {0}")]
pub struct OriginError(#[from] KeyFileError);

impl Classified for OriginError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl RootOrigin {
    /// That of an image, which is followed from now on.
    #[must_use]
    pub fn of_image(reference: &str, manifest_digest: Option<&str>) -> Self {
        let mut file = KeyFile::new();
        file.set("origin", "container-image-reference", reference);
        if let Some(digest) = manifest_digest {
            file.set("image", "manifest_digest", digest);
        }
        Self(file)
    }

    /// Read it.
    ///
    /// # Errors
    /// [`OriginError`].
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        Ok(Self(KeyFile::parse(text)?))
    }

    /// The same for a deployment that boots so, whose kernel and initramfs have this SHA-256.
    #[must_use]
    pub fn booting(mut self, boot_type: BootType, boot_digest: &str) -> Self {
        self.0.set("boot", "boot_type", boot_type.name());
        self.0.set("boot", "digest", boot_digest);
        self
    }

    /// The same, following another image from now on.
    #[must_use]
    pub fn following(mut self, reference: &str) -> Self {
        self.0.set("origin", "container-image-reference", reference);
        self
    }

    /// The same of a deployment that is pinned, or is not.
    #[must_use]
    pub fn pinned(mut self, pinned: bool) -> Self {
        match pinned {
            true => self.0.set("bootroot", "pinned", "true"),
            false => {
                self.0.remove("bootroot", "pinned");
            }
        }
        self
    }

    /// Whether no other deployment drives it out; bootc knows nothing of that.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.0.get("bootroot", "pinned").as_deref() == Some("true")
    }

    /// The image that is followed.
    #[must_use]
    pub fn image(&self) -> Option<String> {
        self.0.get("origin", "container-image-reference")
    }

    /// The digest of its manifest.
    #[must_use]
    pub fn manifest_digest(&self) -> Option<String> {
        self.0.get("image", "manifest_digest")
    }

    /// How it boots.
    #[must_use]
    pub fn boot_type(&self) -> Option<BootType> {
        match self.0.get("boot", "boot_type")?.as_str() {
            "bls" => Some(BootType::Bls),
            "uki" => Some(BootType::Uki),
            _ => None,
        }
    }

    /// The SHA-256 of its kernel and initramfs.
    #[must_use]
    pub fn boot_digest(&self) -> Option<String> {
        self.0.get("boot", "digest")
    }
}

impl fmt::Display for RootOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_bootc_reads() {
        let reference = "ostree-unverified-image:docker://quay.example/os:1";
        let origin = RootOrigin::of_image(reference, Some("sha256:ab"));
        let text = origin.booting(BootType::Bls, "cd").to_string();
        let expected = format!(
            "[origin]\ncontainer-image-reference={reference}\n\n[image]\nmanifest_digest=sha256:ab\n\n\
             [boot]\nboot_type=bls\ndigest=cd\n"
        );
        assert_eq!(text, expected);
        let read = RootOrigin::parse(&text).unwrap();
        assert_eq!(read.image().as_deref(), Some(reference));
        assert_eq!(read.manifest_digest().as_deref(), Some("sha256:ab"));
        assert_eq!(read.boot_digest().as_deref(), Some("cd"));
        assert_eq!(read.boot_type(), Some(BootType::Bls));
        assert!(RootOrigin::parse("what").is_err());
    }
}
