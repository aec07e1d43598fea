//! Keys and policies of remotes, with repositories, keys and signatures that the real `ostree` and `gpg`
//! have made.

mod bare_keys;
mod gpg;
mod keyrings;
mod support;
