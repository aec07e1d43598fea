//! `bootroot container`, beside the real programs.

mod bench;
mod directory;
mod prune;
mod push;
#[path = "../support/mod.rs"]
mod support;
mod trust;
mod wrapping;
