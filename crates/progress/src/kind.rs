//! What is being done.

use std::fmt;

/// What the numbers of a task count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Bytes moved.
    Bytes,
    /// Things handled: objects, files, entries.
    Items,
}

/// The kind of work that a task does.
///
/// [`Display`](fmt::Display) is a phrase for humans; [`TaskKind::name`] is the stable word for machines.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskKind {
    /// Asking a source for the manifest and the config of an image.
    FetchManifest {
        /// The image as the user named it.
        image: String,
    },
    /// Bringing an image into the store; the sum of its layers, `total` is what has to be fetched.
    Pull {
        /// The image as the user named it.
        image: String,
        /// How many layers the image has.
        layers: usize,
        /// How many of them are in the store already.
        present: usize,
    },
    /// Fetching a layer and turning it into objects; counts compressed bytes.
    FetchLayer {
        /// The digest of the blob, `sha256:…`.
        digest: String,
        /// The position of the layer in the manifest, from 0.
        index: usize,
        /// How many layers the image has.
        of: usize,
    },
    /// A layer that is in the store already; its `total` is what need not be fetched.
    LayerPresent {
        /// The digest of the blob, `sha256:…`.
        digest: String,
        /// The position of the layer in the manifest, from 0.
        index: usize,
        /// How many layers the image has.
        of: usize,
    },
    /// Overlaying the layer trees and writing the merge commit; counts layers.
    Merge,
    /// Writing a directory to the store; counts files.
    Commit,
    /// Fetching the objects of commits from another repository; counts objects.
    FetchObjects {
        /// The remote as the user named it.
        remote: String,
    },
    /// Moving staged objects to their final names; counts objects.
    Publish,
    /// Checking a tree out by hard link; counts files.
    Checkout,
    /// Computing the digests by which composefs verifies files; counts files.
    VerityDigests,
    /// Letting the kernel verify objects by fs-verity; counts objects.
    Seal,
    /// Copying what a checkout cannot link: `/etc`, and across file systems; counts files.
    CopyFiles,
    /// Copying the kernel and what belongs to it to `/boot`; counts bytes.
    InstallKernel,
    /// Computing SELinux labels; counts files.
    Label,
    /// Writing boot entries and switching the boot links; counts entries.
    WriteBootEntries,
    /// Verifying a repository; counts objects.
    Fsck,
    /// Deleting what nothing refers to; counts objects.
    Prune,
    /// Turning a commit into an image; counts bytes before compression.
    Encapsulate,
    /// Writing an image to its destination; counts bytes.
    Push,
}

impl TaskKind {
    /// The stable machine-readable word for this kind.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::FetchManifest { .. } => "fetch-manifest",
            Self::Pull { .. } => "pull",
            Self::FetchLayer { .. } => "fetch-layer",
            Self::LayerPresent { .. } => "layer-present",
            Self::Merge => "merge",
            Self::Commit => "commit",
            Self::FetchObjects { .. } => "fetch-objects",
            Self::Publish => "publish",
            Self::Checkout => "checkout",
            Self::VerityDigests => "verity-digests",
            Self::Seal => "seal",
            Self::CopyFiles => "copy-files",
            Self::InstallKernel => "install-kernel",
            Self::Label => "label",
            Self::WriteBootEntries => "write-boot-entries",
            Self::Fsck => "fsck",
            Self::Prune => "prune",
            Self::Encapsulate => "encapsulate",
            Self::Push => "push",
        }
    }

    /// What the task's numbers count.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self {
            Self::Pull { .. }
            | Self::FetchLayer { .. }
            | Self::LayerPresent { .. }
            | Self::InstallKernel
            | Self::Encapsulate
            | Self::Push => Unit::Bytes,
            _ => Unit::Items,
        }
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FetchManifest { image } => write!(f, "manifest of {image}"),
            Self::Pull { image, .. } => write!(f, "pulling {image}"),
            Self::FetchLayer { digest, index, of } | Self::LayerPresent { digest, index, of } => {
                write!(f, "layer {}/{of} {}", index + 1, short(digest))
            }
            Self::Merge => f.write_str("merging layers"),
            Self::Commit => f.write_str("committing files"),
            Self::FetchObjects { remote } => write!(f, "objects of {remote}"),
            Self::Publish => f.write_str("publishing objects"),
            Self::Checkout => f.write_str("checking out"),
            Self::VerityDigests => f.write_str("computing digests"),
            Self::Seal => f.write_str("sealing objects"),
            Self::CopyFiles => f.write_str("copying files"),
            Self::InstallKernel => f.write_str("installing the kernel"),
            Self::Label => f.write_str("labelling"),
            Self::WriteBootEntries => f.write_str("writing boot entries"),
            Self::Fsck => f.write_str("checking objects"),
            Self::Prune => f.write_str("pruning objects"),
            Self::Encapsulate => f.write_str("building the image"),
            Self::Push => f.write_str("writing the image"),
        }
    }
}

/// The first twelve digits of a digest, without its algorithm.
fn short(digest: &str) -> &str {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(digest: &str) -> TaskKind {
        TaskKind::FetchLayer {
            digest: digest.into(),
            index: 0,
            of: 10,
        }
    }

    #[test]
    fn a_layer_is_named_by_its_place_and_twelve_digits() {
        let text = layer("sha256:0123456789abcdef").to_string();
        assert_eq!(text, "layer 1/10 0123456789ab");
    }

    #[test]
    fn odd_digests_are_printed_whole() {
        assert_eq!(layer("abc").to_string(), "layer 1/10 abc");
        assert_eq!(layer("sha256:ééééééé").to_string(), "layer 1/10 éééééé");
        assert_eq!(
            layer("x:aaaaaaaaaaaé").to_string(),
            "layer 1/10 aaaaaaaaaaaé"
        );
    }

    #[test]
    fn layers_count_bytes_and_objects_count_items() {
        assert_eq!(layer("sha256:00").unit(), Unit::Bytes);
        assert_eq!(TaskKind::Fsck.unit(), Unit::Items);
    }
}
