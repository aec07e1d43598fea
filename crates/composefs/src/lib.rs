//! A repository of composefs on disk: objects, named by their fs-verity digest, split streams and
//! images of roots over them.
//!
//! Source of the layout: `repository_format` of composefs-rs 0.9.4, whose `cfsctl` the layout was checked with.
//! Knows nothing of OSTree or OCI.

mod adopt;
mod batch;
mod check;
mod collect;
mod error;
mod lock;
mod meta;
mod names;
mod seal;
mod share;
mod store;

pub use adopt::Adopted;
pub use batch::{Batch, ObjectWriter};
pub use check::{CheckReport, Damage};
pub use collect::Collected;
pub use error::StoreError;
pub use names::Category;
pub use store::Store;
