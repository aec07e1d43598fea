//! What the metadata of a commit becomes in the image that wraps it.

use std::collections::BTreeMap;

use ostree_format::gvariant::Value;
use ostree_format::{Checksum, Commit};

use super::{Chunking, EncapsulateError, EncapsulateOptions};
use crate::keys::{
    BOOTABLE_LABEL, BOOTC_LABEL, LEGACY_VERSION_LABEL, OSTREE_COMMIT_LABEL, VERSION_LABEL,
};

/// Metadata of commits: the version of the kernel.
pub(super) const META_LINUX: &str = "ostree.linux";

/// Metadata of commits: what a container runs, `as`.
const META_CMD: &str = "ostree.container-cmd";

/// Labels of the image, all but the last diff_id.
pub(super) fn labels_of(
    checksum: &Checksum,
    commit: &Commit,
    options: &EncapsulateOptions,
) -> Result<BTreeMap<String, String>, EncapsulateError> {
    let source = Source { checksum, commit };
    let mut labels = BTreeMap::new();
    for key in &options.copy_meta {
        let missing = || EncapsulateError::NoMetadata {
            commit: *checksum,
            key: key.clone(),
        };
        labels.insert(key.clone(), source.text(key)?.ok_or_else(missing)?);
    }
    for key in &options.copy_meta_optional {
        labels.extend(source.text(key)?.map(|value| (key.clone(), value)));
    }
    if let Some(value) = commit.metadata.get(BOOTABLE_LABEL) {
        let Value::Bool(bootable) = value else {
            return Err(source.wrong_type(BOOTABLE_LABEL, "boolean"));
        };
        labels.insert(BOOTABLE_LABEL.to_owned(), bootable.to_string());
        labels.insert(BOOTC_LABEL.to_owned(), "1".to_owned());
    }
    labels.extend(source.text(META_LINUX)?.map(|v| (META_LINUX.to_owned(), v)));
    if let Some(version) = source.text("version")? {
        if options.legacy_version_label {
            labels.insert(LEGACY_VERSION_LABEL.to_owned(), version.clone());
        }
        labels.insert(VERSION_LABEL.to_owned(), version);
    }
    labels.insert(OSTREE_COMMIT_LABEL.to_owned(), checksum.to_string());
    labels.extend(options.labels.clone());
    if let Chunking::Map(map) = &options.chunking {
        labels.extend(map.labels.clone());
    }
    Ok(labels)
}

/// What a container of the image runs, as the commit says.
pub(super) fn cmd_of(
    checksum: &Checksum,
    commit: &Commit,
) -> Result<Option<Vec<String>>, EncapsulateError> {
    let source = Source { checksum, commit };
    let Some(value) = commit.metadata.get(META_CMD) else {
        return Ok(None);
    };
    let texts = value.as_array().and_then(|values| {
        let texts = values
            .iter()
            .map(|value| value.as_str().map(ToOwned::to_owned));
        texts.collect::<Option<Vec<_>>>()
    });
    let wrong = || source.wrong_type(META_CMD, "list of texts");
    texts.ok_or_else(wrong).map(Some)
}

struct Source<'a> {
    checksum: &'a Checksum,
    commit: &'a Commit,
}

impl Source<'_> {
    fn text(&self, key: &str) -> Result<Option<String>, EncapsulateError> {
        let Some(value) = self.commit.metadata.get(key) else {
            return Ok(None);
        };
        let text = value.as_str().map(ToOwned::to_owned);
        text.ok_or_else(|| self.wrong_type(key, "text")).map(Some)
    }

    fn wrong_type(&self, key: &str, expected: &'static str) -> EncapsulateError {
        EncapsulateError::MetadataType {
            commit: *self.checksum,
            key: key.to_owned(),
            expected,
        }
    }
}
