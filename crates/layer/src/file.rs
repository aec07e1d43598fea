//! From an entry with content to a content object.

use ostree::{Transaction, WriteError};
use ostree_format::{Checksum, FileHeader};

use crate::LayerError;
use crate::entries::Entries;
use crate::entry::Entry;

/// Files up to this size are held in memory, so that one that is stored already is never written.
const IN_MEMORY: u64 = 1024 * 1024;

/// Store the content of `entry` under `header`.
pub(crate) fn store_file(
    txn: &Transaction<'_>,
    entries: &mut Entries<'_>,
    entry: &Entry,
    header: FileHeader,
    scratch: &mut Vec<u8>,
) -> Result<Checksum, LayerError> {
    let failed = |source| LayerError::store(&entry.path, source);
    entries.stores_next();
    let checksum = if entry.size <= IN_MEMORY {
        entries.small_content(entry, header.hasher(), scratch, |content, checksum| {
            let written = txn.write_named_file(checksum, &header, content);
            written.map(|_| checksum).map_err(failed)
        })?
    } else {
        let mut hasher = header.hasher();
        let mut writer = txn.named_writer(header, entry.size).map_err(failed)?;
        let write = |piece: &[u8]| writer.write_piece(piece).map_err(failed);
        entries.content(entry, &mut hasher, write)?;
        let checksum = hasher.finish();
        writer.finish(checksum).map_err(failed)?;
        checksum
    };
    entries.stored(checksum);
    Ok(checksum)
}

/// The target of a symbolic link, if OSTree can store it.
pub(crate) fn link_target(entry: &Entry) -> Result<String, LayerError> {
    let valid = |target: &String| {
        !target.is_empty() && target.len() <= ostree_format::limits::MAX_SYMLINK_TARGET
    };
    String::from_utf8(entry.link.clone())
        .ok()
        .filter(valid)
        .ok_or_else(|| LayerError::entry(&entry.path, crate::EntryProblem::BadLinkTarget))
}

/// Store a symbolic link.
pub(crate) fn store_symlink(
    txn: &Transaction<'_>,
    entry: &Entry,
    header: &FileHeader,
) -> Result<Checksum, LayerError> {
    let failed = |source: WriteError| LayerError::store(&entry.path, source);
    txn.write_file(header, &[]).map_err(failed)
}
