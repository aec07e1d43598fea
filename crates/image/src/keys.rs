//! Names that are shared with the existing tools.

/// In front of the refs of base images that locally derived commits are made of.
pub const BASE_IMAGE_PREFIX: &str = "ostree/container/baseimage";

/// In front of the refs of images.
pub(crate) const IMAGE_PREFIX: &str = "ostree/container/image";

/// In front of the refs of layers.
pub(crate) const LAYER_PREFIX: &str = "ostree/container/blob";

/// In front of the refs that libostree and rpm-ostree keep for deployments.
pub(crate) const DEPLOYMENT_PREFIXES: [&str; 3] = ["ostree/0", "ostree/1", "rpmostree/base"];

/// Commit metadata: the digest of the manifest.
pub(crate) const META_MANIFEST_DIGEST: &str = "ostree.manifest-digest";

/// Commit metadata: the manifest, as canonical JSON.
pub(crate) const META_MANIFEST: &str = "ostree.manifest";

/// Commit metadata: the image's config, as canonical JSON.
pub const META_CONFIG: &str = "ostree.container.image-config";

/// Metadata of a layer's commit: hard links to files of earlier layers, `a(ss)`. Ours alone.
pub(crate) const META_DEFERRED_LINKS: &str = "bootroot.deferred-links";

/// Image label: the diff_id of the last layer that belongs to an encapsulated commit.
pub const FINAL_DIFFID_LABEL: &str = "ostree.final-diffid";

/// Image label: the image is meant to boot.
pub const BOOTC_LABEL: &str = "containers.bootc";

/// Image label, and commit metadata: the commit is meant to boot.
pub const BOOTABLE_LABEL: &str = "ostree.bootable";

/// Image label: the commit that the image wraps.
pub const OSTREE_COMMIT_LABEL: &str = "ostree.commit";

/// Image label: the version, as the OCI specification calls it.
pub const VERSION_LABEL: &str = "org.opencontainers.image.version";

/// Image label: the version, as it was called before.
pub const LEGACY_VERSION_LABEL: &str = "version";

/// Image label: when it was made, as the OCI specification calls it.
pub const CREATED_LABEL: &str = "org.opencontainers.image.created";

/// Image label: the version of its kernel, as rpm-ostree and bootc write it.
pub const LINUX_LABEL: &str = "ostree.linux";

/// Annotation of a layer: the components in it, separated by commas.
pub const COMPONENTS_ANNOTATION: &str = "ostree.components";
