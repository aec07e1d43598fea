//! Choices of a pull.

use oci::reference::ImageReference;
use ostree_format::Checksum;

/// Choices of a pull.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Store the image under this name instead of the one it is fetched by.
    pub target: Option<ImageReference>,
    /// Write no ref for the image: only its layers stay, until somebody collects them.
    pub no_imgref: bool,
    /// Refuse images that are not labelled as bootable, or are for another processor.
    pub require_bootable: bool,
    /// Fetch nothing.
    pub offline: bool,
    /// Keep layers that no image needs any more.
    pub skip_collection: bool,
    /// The commit whose policy labels the layers of images without an encapsulated base.
    pub policy_commit: Option<Checksum>,
    /// Keep `/var`; see [`layer::PathPolicy::retain_var`].
    pub retain_var: bool,
    /// How many layers are fetched at once; 0 is one per processor, but at least two and at most four.
    pub parallel_layers: usize,
    /// The time of the merge commit when the image does not say when it was created, in seconds since 1970.
    pub now: u64,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            target: None,
            no_imgref: false,
            require_bootable: false,
            offline: false,
            skip_collection: false,
            policy_commit: None,
            retain_var: true,
            parallel_layers: 0,
            now: 0,
        }
    }
}
