//! The media types that images are made of, OCI's and Docker's.
//!
//! Sources: OCI image specification, media-types.md; Docker "Image Manifest Version 2, Schema 2".

use error_class::{Classified, ErrorClass};

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Docker manifest, version 2 schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What a registry is told we read, in order of preference.
pub(crate) const ACCEPTED_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// What kind of document a manifest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// One image.
    Image,
    /// A list of images.
    Index,
}

impl DocumentKind {
    /// The kind that a media type stands for; parameters (`; charset=utf-8`) are ignored.
    ///
    /// # Errors
    /// None for types that say nothing (`application/json`, `text/plain`).
    #[must_use]
    pub fn of(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        match essence {
            OCI_MANIFEST | DOCKER_MANIFEST => Some(Self::Image),
            OCI_INDEX | DOCKER_LIST => Some(Self::Index),
            _ => None,
        }
    }
}

/// How the tar stream of a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard, including zstd:chunked.
    Zstd,
}

impl Compression {
    /// The compression of a layer by its media type.
    ///
    /// # Errors
    /// [`LayerTypeError`]: the layer must be fetched from somewhere else, or is no tar layer at all.
    pub fn of_layer(media_type: &str) -> Result<Self, LayerTypeError> {
        if is_foreign(media_type) {
            return Err(LayerTypeError::Foreign(media_type.to_owned()));
        }
        match media_type {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Ok(Self::None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Self::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Self::Zstd),
            _ => Err(LayerTypeError::Unknown(media_type.to_owned())),
        }
    }

    /// The OCI media type of a layer with this compression.
    #[must_use]
    pub fn layer_media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

fn is_foreign(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
}

/// Whether a media type is that of an image configuration.
#[must_use]
pub fn is_config(media_type: &str) -> bool {
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
}

/// A layer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerTypeError {
    /// The registry may not hand the layer out; it would have to come from elsewhere.
    #[error("media type {0:?} is a foreign layer, which registries do not hold")]
    Foreign(String),
    /// The layer is not a tar stream in a known compression.
    #[error("media type {0:?} is not a tar layer, plain, gzip or zstd")]
    Unknown(String),
}

impl Classified for LayerTypeError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Unsupported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_both_worlds_are_known() {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let media_type = compression.layer_media_type();
            assert_eq!(Compression::of_layer(media_type), Ok(compression));
        }
        for (media_type, compression) in [
            (
                "application/vnd.docker.image.rootfs.diff.tar",
                Compression::None,
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                Compression::Gzip,
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar.zstd",
                Compression::Zstd,
            ),
        ] {
            assert_eq!(Compression::of_layer(media_type), Ok(compression));
        }
    }

    #[test]
    fn foreign_and_unknown_layers_are_told_apart() {
        for foreign in [
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        ] {
            let error = Compression::of_layer(foreign).unwrap_err();
            assert_eq!(error, LayerTypeError::Foreign(foreign.to_owned()));
        }
        for unknown in [
            "",
            "application/vnd.oci.empty.v1+json",
            "application/vnd.oci.image.layer.v1.tar+bzip2",
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        ] {
            let error = Compression::of_layer(unknown).unwrap_err();
            assert_eq!(error, LayerTypeError::Unknown(unknown.to_owned()));
        }
    }

    #[test]
    fn parameters_of_media_types_are_ignored() {
        let typed = "application/vnd.oci.image.index.v1+json; charset=utf-8";
        assert_eq!(DocumentKind::of(typed), Some(DocumentKind::Index));
        assert_eq!(DocumentKind::of(DOCKER_MANIFEST), Some(DocumentKind::Image));
        assert_eq!(DocumentKind::of("text/plain"), None);
    }
}
