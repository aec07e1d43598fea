//! Pull of an image into several stores, or into others than that of OSTree.

use super::{Bench, work};
use crate::measure::Work;
use crate::registry::HOST;

/// What reads the configuration of a home reaches the registry without TLS.
const FRESH: &str = "rm -rf r s home; mkdir s r; ostree admin init-fs --modern s 2>/dev/null || \
                     ostree admin init-fs s; mkdir -p home/.config/containers; \
                     printf '[[registry]]\nlocation = \"%s\"\ninsecure = true\n' 'HOST' \
                     > home/.config/containers/registries.conf";

/// Cold pulls, beside what existing tools do with the same image.
pub(crate) fn stores(bench: &Bench) -> Vec<Work> {
    let directory = format!("oci:{}:v1", bench.image);
    let registry = format!("docker://{HOST}/bench:image");
    let mut works = of_source(bench, "cold pull from a registry", &registry);
    works.extend(of_source(bench, "cold pull from a directory", &directory));
    if let Some(podman) = &bench.podman {
        let pull =
            format!("{podman} --root \"$PWD/r\" pull -q --tls-verify=false {registry} >/dev/null");
        works.push(cold("cold pull from a registry", "podman pull", &pull));
    }
    works
}

fn of_source(bench: &Bench, name: &'static str, image: &str) -> Vec<Work> {
    let bootroot = &bench.bootroot;
    let ours =
        |verb: &str| format!("{bootroot} --quiet --sysroot s {verb} --tls-verify=false {image}");
    let mut works = vec![
        cold(name, "bootroot, OSTree", &ours("image pull")),
        cold(name, "bootroot, composefs", &ours("composefs pull")),
        cold(name, "bootroot, both", &ours("image pull --composefs")),
    ];
    if let Some(cfsctl) = &bench.cfsctl {
        let pull = format!(
            "{cfsctl} init --insecure r/composefs >/dev/null; \
             HOME=$PWD/home {cfsctl} --repo r/composefs oci pull {image} v1 >/dev/null"
        );
        works.push(cold(name, "cfsctl oci pull", &pull));
    }
    works
}

fn cold(name: &'static str, tool: &'static str, script: &str) -> Work {
    work(name, tool, &FRESH.replace("HOST", HOST), script)
}
