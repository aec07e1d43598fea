//! Origin files: where a deployment came from, and what is remembered about it.

use std::fmt;

use ostree_format::keyfile::{KeyFile, KeyFileError};

const ORIGIN: &str = "origin";
/// What stands in this group belongs to one deployment and not to its successors.
const TRANSIENT: &str = "libostree-transient";
const IMAGE: &str = "container-image-reference";

/// An origin file. What is not understood is kept as it stands.
#[derive(Debug, Clone, Default)]
pub struct Origin(KeyFile);

impl Origin {
    /// An origin that says nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(KeyFile::new())
    }

    /// The origin of a deployment that follows a ref.
    #[must_use]
    pub fn from_refspec(refspec: &str) -> Self {
        let mut origin = Self::new();
        origin.0.set(ORIGIN, "refspec", refspec);
        origin
    }

    /// The origin of a deployment that follows a container image; the reference in the form of
    /// ostree-ext, for example `ostree-unverified-registry:quay.io/os/base:1`.
    #[must_use]
    pub fn from_image(reference: &str) -> Self {
        let mut origin = Self::new();
        origin.0.set(ORIGIN, IMAGE, reference);
        origin
    }

    /// Parse an origin file.
    ///
    /// # Errors
    /// [`KeyFileError`] names the first line that does not belong.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        KeyFile::parse(text).map(Self)
    }

    /// The ref that is followed.
    #[must_use]
    pub fn refspec(&self) -> Option<String> {
        self.0.get(ORIGIN, "refspec")
    }

    /// The container image that is followed, verbatim.
    #[must_use]
    pub fn image_reference(&self) -> Option<String> {
        self.0.get(ORIGIN, IMAGE)
    }

    /// Whether the deployment is kept by clean-ups.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.0.get_bool(TRANSIENT, "pinned").unwrap_or(false)
    }

    /// Whether the deployment was unlocked for a hotfix.
    #[must_use]
    pub fn is_hotfix(&self) -> bool {
        self.0.get(ORIGIN, "unlocked").as_deref() == Some("hotfix")
    }

    /// Whether rpm-ostree has added or replaced packages: no image describes the deployment then.
    #[must_use]
    pub fn is_layered(&self) -> bool {
        let mut groups = ["rpmostree", "packages", "overrides", "modules"].into_iter();
        groups.any(|group| self.0.has_group(group))
    }

    /// Follow a container image from now on, and no ref.
    pub fn follow_image(&mut self, reference: &str) {
        self.0.remove(ORIGIN, "refspec");
        self.0.set(ORIGIN, IMAGE, reference);
    }

    /// Pin or unpin; whether that changed anything.
    pub fn set_pinned(&mut self, pinned: bool) -> bool {
        if self.is_pinned() == pinned {
            return false;
        }
        if pinned {
            self.0.set(TRANSIENT, "pinned", "true");
        } else {
            self.0.remove(TRANSIENT, "pinned");
        }
        true
    }

    /// The origin of a deployment that follows this one: without what belongs to this one alone.
    #[must_use]
    pub fn for_successor(&self) -> Self {
        let mut file = self.0.clone();
        file.remove_group(TRANSIENT);
        file.remove(ORIGIN, "override-commit");
        file.remove(ORIGIN, "unlocked");
        Self(file)
    }

    /// The file itself, for keys of other programs.
    #[must_use]
    pub const fn file(&self) -> &KeyFile {
        &self.0
    }

    /// The file itself, for changing it.
    pub const fn file_mut(&mut self) -> &mut KeyFile {
        &mut self.0
    }
}

/// The text of the file.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[origin]\nrefspec=golden/dep\n\n[libostree-transient]\npinned=true\n";

    #[test]
    fn pins_as_libostree_writes_it() {
        let mut origin = Origin::from_refspec("golden/dep");
        assert!(origin.set_pinned(true));
        assert!(!origin.set_pinned(true));
        assert_eq!(origin.to_string(), TEXT);
        assert!(Origin::parse(TEXT).unwrap().is_pinned());
    }

    #[test]
    fn successors_forget_what_is_transient() {
        let text = "[origin]\ncontainer-image-reference=ostree-unverified-image:oci:/x\nunlocked=hotfix\n\
                    override-commit=abc\ncustom=kept\n[libostree-transient]\npinned=true\n";
        let origin = Origin::parse(text).unwrap();
        assert!(origin.is_hotfix());
        let next = origin.for_successor().to_string();
        assert_eq!(
            next,
            "[origin]\ncontainer-image-reference=ostree-unverified-image:oci:/x\ncustom=kept\n"
        );
    }
}
