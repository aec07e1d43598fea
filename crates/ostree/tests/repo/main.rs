//! The repository against the real `ostree`: what they write we read, what we write they read.

mod crash;
mod damage;
mod golden;
mod model;
mod oracle;
mod refs;
mod space;
mod transactions;
mod write;
