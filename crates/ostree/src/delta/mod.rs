//! Static deltas in a repository: list, apply, make, index and remove them.
//!
//! How a delta that comes over a network is applied; `fetch` gets a file of the other repository:
//!
//! ```ignore
//! let file = DeltaFile::from_bytes(fetch(&name.superblock_path())?)?;
//! // Here the digest that summary or index give, and signatures over `file.superblock`, are checked.
//! let delta = Superblock::from_bytes(&file.superblock)?;
//! repo.check_delta(&delta, &name)?; // it is the one, and the commit it starts from is here
//! let txn = repo.begin(TransactionOptions::default())?;
//! txn.write_delta_commit(&delta)?;
//! for (index, header) in delta.parts.iter().enumerate() {
//!     if repo.has_delta_objects(header)? {
//!         continue;
//!     }
//!     let part = match delta.inline_part(index) {
//!         Some(bytes) => header.open_unchecked(&bytes)?,
//!         None => header.open(&fetch(&name.part_path(index))?)?,
//!     };
//!     txn.apply_delta_part(header, &part, interrupt)?; // from several threads, if wanted
//! }
//! for object in &delta.fallbacks {
//!     // Fetched one by one, as without a delta.
//! }
//! repo.set_partial(&name.to, Some(Partial::Fetch))?;
//! txn.commit(progress, interrupt)?;
//! match repo.missing_object(&name.to)? {
//!     None => repo.set_partial(&name.to, None)?,
//!     Some(object) => { /* the delta did not contain it: fetch what is missing */ }
//! }
//! ```

mod apply;
mod contents;
mod error;
mod generate;
mod index;
mod list;
mod missing;
mod offline;
mod packing;
mod source;

pub use error::DeltaApplyError;
pub use generate::{DeltaMakeError, DeltaOptions, DeltaStats, NewDelta};
