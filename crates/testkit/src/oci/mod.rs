//! OCI image directories made from tar archives in memory, right or wrong on purpose.
//!
//! Written after the OCI image specification 1.1 (`image-layout.md`, `manifest.md`, `config.md`,
//! `layer.md`).

mod image;
mod layer;
mod layout;

pub use image::Image;
pub use layer::{Compression, Layer};
pub use layout::{LayoutBuilder, Platform, digest};

#[cfg(test)]
mod tests;
