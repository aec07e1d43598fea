//! Another store that takes in an archive while it passes by.

use error_class::{Classified, ErrorClass};
use ostree::Repo;
use ostree_format::Checksum;
use progress::Interrupt;

use crate::LayerError;
use crate::entries::Entries;
use crate::entry::Entry;
use crate::error::printable;
use crate::pipeline::{LayerBlob, run};

/// What an entry of an archive contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A regular file.
    File {
        /// Whether the content is stored as an object, which [`Tap::stored`] tells then.
        is_stored: bool,
    },
    /// A file with holes that the archive leaves out.
    Sparse,
    /// Nothing, or something else.
    Other,
}

/// Sees an archive pass by: every byte of it once, in order.
pub trait Tap: Send {
    /// The header of an entry, or what concerns the archive.
    ///
    /// # Errors
    /// Why the archive cannot be taken in; the import ends.
    fn header(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>>;

    /// What that header says.
    ///
    /// # Errors
    /// As [`Tap::header`].
    fn entry(&mut self, entry: &Entry) -> Result<(), Box<TapError>> {
        let _ = entry;
        Ok(())
    }

    /// The content of the entry begins, of `size` bytes.
    ///
    /// # Errors
    /// As [`Tap::header`].
    fn begin(&mut self, content: Content, size: u64) -> Result<(), Box<TapError>>;

    /// The next bytes of content.
    ///
    /// # Errors
    /// As [`Tap::header`].
    fn content(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>>;

    /// The content is complete.
    ///
    /// # Errors
    /// As [`Tap::header`].
    fn end(&mut self) -> Result<(), Box<TapError>>;

    /// What stands behind content, or behind the last entry.
    ///
    /// # Errors
    /// As [`Tap::header`].
    fn padding(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>>;

    /// The content that came last is stored as this object.
    fn stored(&mut self, object: Checksum);
}

/// Another store that has the layers of images, too.
pub trait Companion: Sync {
    /// Whether it has the layer with this digest of the unpacked archive (`sha256:…`).
    ///
    /// # Errors
    /// What the store said.
    fn has(&self, diff_id: &str) -> Result<bool, Box<TapError>>;

    /// Begin to take in a layer, whose files are stored in `repo` meanwhile.
    ///
    /// # Errors
    /// What the store said.
    fn begin<'a>(&'a self, repo: &'a Repo) -> Result<Box<dyn CompanionLayer + 'a>, Box<TapError>>;
}

/// A layer on its way into a [`Companion`].
pub trait CompanionLayer: Tap {
    /// The layer has passed by, and its files are stored.
    ///
    /// # Errors
    /// What the store said; it has not the layer then.
    fn finish(self: Box<Self>, diff_id: &str) -> Result<(), Box<TapError>>;
}

/// Why another store did not take in an archive.
#[derive(Debug, thiserror::Error)]
#[error("{}{source}", place(entry))]
pub struct TapError {
    /// The entry, if it is known.
    entry: Option<String>,
    class: ErrorClass,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl TapError {
    /// An error of the store.
    #[must_use]
    pub fn new<E: std::error::Error + Classified + Send + Sync + 'static>(error: E) -> Box<Self> {
        Box::new(Self {
            entry: None,
            class: error.class(),
            source: Box::new(error),
        })
    }

    pub(crate) fn in_entry(mut self: Box<Self>, path: &[u8]) -> Box<Self> {
        self.entry = Some(printable(path));
        self
    }
}

impl Classified for TapError {
    fn class(&self) -> ErrorClass {
        self.class
    }
}

fn place(entry: &Option<String>) -> String {
    entry
        .as_ref()
        .map_or_else(String::new, |path| format!("entry {path:?}: "))
}

/// Let nobody but `tap` take in a layer.
///
/// # Errors
/// [`LayerError`].
pub fn pass(
    blob: LayerBlob<'_>,
    tap: &mut dyn Tap,
    interrupt: &Interrupt,
) -> Result<(), LayerError> {
    let size = blob.size;
    run(blob, |source| {
        let mut entries = Entries::new(source, size, Some(tap));
        while let Some(entry) = entries.next()? {
            interrupt
                .check()
                .map_err(|stop| LayerError::store(&entry.path, stop.into()))?;
            entries.skip(&entry)?;
        }
        Ok(())
    })
}
