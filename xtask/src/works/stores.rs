//! Pull of an image into several stores, or into others than that of OSTree.

use super::{Bench, work};
use crate::measure::Work;

const FRESH: &str = "rm -rf r s; mkdir s; ostree admin init-fs --modern s 2>/dev/null || \
                     ostree admin init-fs s; mkdir -p r";

/// Cold pulls, beside what existing tools do with the same image.
pub(crate) fn stores(bench: &Bench) -> Vec<Work> {
    let Bench {
        bootroot,
        image,
        cfsctl,
        podman,
        ..
    } = bench;
    let ours = |verb: &str| format!("{bootroot} --quiet --sysroot s {verb} oci:{image}:v1");
    let cold = |tool, script: &str| work("cold pull", tool, FRESH, script);
    let mut works = vec![
        cold("bootroot, OSTree", &ours("image pull")),
        cold("bootroot, composefs", &ours("composefs pull")),
        cold("bootroot, both", &ours("image pull --composefs")),
    ];
    if let Some(cfsctl) = cfsctl {
        let pull = format!(
            "{cfsctl} init --insecure r/composefs >/dev/null; \
             {cfsctl} --repo r/composefs oci pull oci:{image}:v1 v1 >/dev/null"
        );
        works.push(cold("cfsctl oci pull", &pull));
    }
    if let Some(podman) = podman {
        let pull = format!("{podman} --root \"$PWD/r\" pull -q oci:{image}:v1 >/dev/null");
        works.push(cold("podman pull", &pull));
    }
    works
}
