//! A repository of composefs on disk: objects, named by their fs-verity digest, and images of roots over them.
//!
//! Source of the layout: `repository_format` of composefs-rs 0.9.4, whose `cfsctl` the layout was checked with.
//! Knows nothing of OSTree or OCI.

mod adopt;
mod error;
mod meta;
mod store;

pub use adopt::Adopted;
pub use error::StoreError;
pub use store::Store;
