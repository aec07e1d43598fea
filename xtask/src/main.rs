//! Development tasks. `cargo xtask bench` measures bootroot beside the real tools in one run.

mod bench;
mod measure;
mod registry;
mod report;
mod scratch;
mod works;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("bench") => bench::run(&arguments[1..]),
        _ => bail!(
            "usage: cargo xtask bench IMAGE_DIR... [--rounds N] [--importer PROGRAM] [--cfsctl PROGRAM] \
             [--podman PROGRAM] [--only GROUP]\n  \
             each IMAGE_DIR is an OCI directory with the tags v1 and v2\n  \
             the importer is measured too: it takes the arguments of `ostree container`; so are cfsctl and podman\n  \
             GROUP is images, registry, repository, stores or wrapping"
        ),
    }
}
