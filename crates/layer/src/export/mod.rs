//! From objects back to layers.

mod content;
mod detached;
mod error;
mod objects;
mod pack;
mod source;
pub(crate) mod tar;
mod tree;

pub use detached::{DetachedError, replace_detached};
pub use error::ExportError;
pub use objects::{Content, LayerOptions, Placed, write_chunk, write_commit};
pub use pack::{Packed, Packer, Packing, Unpacked};
pub use source::ObjectSource;
pub use tree::{TreeExport, export_tree, object_set, write_tree};
