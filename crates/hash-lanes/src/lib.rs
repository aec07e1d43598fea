//! Several streams of SHA-2 at once: the steps of one depend on each other and leave a processor idle that has room for
//! more.
//!
//! [`Sha256`] takes bytes into two streams side by side: the same content counts for an object of OSTree and for the
//! archive that it comes in. [`Lanes`] hashes blocks of fs-verity with SHA-512, one in each lane of the vectors.

mod sha256;
mod sha512;

pub use sha256::Sha256;
pub use sha512::{BLOCK, LANES, Lanes};
