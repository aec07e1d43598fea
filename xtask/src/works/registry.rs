//! Pulls from a registry: many small layers, and few large ones.

use super::{Bench, work};
use crate::measure::Work;
use crate::registry::HOST;

const FRESH: &str = "rm -rf r s; ostree --repo=r init --mode=bare";

/// Pull and copy, beside the existing copier.
pub(crate) fn registry(bench: &Bench) -> Vec<Work> {
    let mut works = of_image(
        &bench.bootroot,
        "many",
        ["pull of 64 layers", "copy of 64 layers"],
    );
    works.extend(of_image(
        &bench.bootroot,
        "few",
        ["pull of 3 layers", "copy of 3 layers"],
    ));
    works
}

fn of_image(bootroot: &str, tag: &str, [pull, copy]: [&'static str; 2]) -> Vec<Work> {
    let image = format!("{HOST}/bench:{tag}");
    let ours = format!("{bootroot} --quiet --repo r image pull registry:{image}");
    let by_us = format!("{bootroot} --quiet container copy registry:{image} oci:s:x");
    let theirs =
        format!("skopeo --insecure-policy copy -q --src-tls-verify=false docker://{image} oci:s:x");
    vec![
        work(pull, "bootroot", FRESH, &ours),
        work(copy, "bootroot container copy to oci:", FRESH, &by_us),
        work(copy, "skopeo copy to oci:", FRESH, &theirs),
    ]
}
