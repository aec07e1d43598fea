//! What is measured.

mod images;
mod repository;
mod wrapping;

pub(crate) use self::images::images;
pub(crate) use self::repository::repository;
pub(crate) use self::wrapping::wrapping;

use crate::measure::Work;

/// What takes part in a run.
pub(crate) struct Bench {
    /// Our release binary.
    pub(crate) bootroot: String,
    /// An OCI directory with the tags `v1` and `v2`.
    pub(crate) image: String,
    /// An existing importer, called like `ostree container`.
    pub(crate) importer: Option<String>,
}

fn work(name: &'static str, tool: &'static str, before: &str, script: &str) -> Work {
    Work {
        name,
        tool,
        before: before.to_owned(),
        script: script.to_owned(),
    }
}
