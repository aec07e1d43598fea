//! The facade over a host's storage: one file is one use case.
//!
//! Everything here is glue over the engines, and gives values that can be serialised. Nothing prints.

mod storage;

pub use storage::{Storage, StorageError};
