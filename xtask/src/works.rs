//! What is measured.

mod images;
mod registry;
mod repository;
mod stores;
mod wrapping;

use crate::measure::Work;

/// Works that share what is there before, under a name.
type Group = (&'static str, fn(&Bench) -> Vec<Work>);

/// The groups that need a registry.
pub(crate) const REGISTRY: &str = "registry";
pub(crate) const STORES: &str = "stores";

/// All works, in the order in which they are measured.
pub(crate) const GROUPS: [Group; 5] = [
    ("images", images::images),
    (REGISTRY, registry::registry),
    ("repository", repository::repository),
    (STORES, stores::stores),
    ("wrapping", wrapping::wrapping),
];

/// What takes part in a run.
pub(crate) struct Bench {
    /// Our release binary.
    pub(crate) bootroot: String,
    /// An OCI directory with the tags `v1` and `v2`.
    pub(crate) image: String,
    /// An existing importer, called like `ostree container`.
    pub(crate) importer: Option<String>,
    /// The `cfsctl` of composefs-rs.
    pub(crate) cfsctl: Option<String>,
    /// `podman`, with the options it needs.
    pub(crate) podman: Option<String>,
}

fn work(name: &'static str, tool: &'static str, before: &str, script: &str) -> Work {
    Work {
        name,
        tool,
        before: before.to_owned(),
        script: script.to_owned(),
    }
}
