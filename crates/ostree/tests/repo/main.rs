//! The repository against the real `ostree`: what they write we read, what we write they read.

mod commit_dir;
mod composefs;
mod crash;
mod damage;
mod delta;
mod diff;
mod golden;
mod model;
mod oracle;
mod prune;
mod pull;
mod refs;
mod remotes;
mod space;
mod transactions;
mod union;
mod write;
