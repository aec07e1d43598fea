//! Logically bound images.

mod bound;
mod damage;
mod killed;
mod roots;
mod scene;
mod shared;
#[path = "../support/mod.rs"]
mod support;
