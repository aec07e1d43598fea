//! Pull and deploy of an image.

use super::{Bench, work};
use crate::measure::Work;

/// Deployment directories are immutable until they are told otherwise.
const FRESH: &str = "chattr -f -i s/ostree/deploy/*/deploy/*/ || true; rm -rf r s; \
                     ostree --repo=r init --mode=bare";

/// Pull and deploy, beside what existing tools do with the same image.
pub(crate) fn images(bench: &Bench) -> Vec<Work> {
    let Bench {
        bootroot,
        image,
        importer,
    } = bench;
    let mut works = pulls(bootroot, image);
    works.extend(deploys(bootroot, image));
    if let Some(importer) = importer {
        works.extend(existing_importer(importer, image));
    }
    works
}

fn pulls(bootroot: &str, image: &str) -> Vec<Work> {
    let pull = |tag: &str| format!("{bootroot} --quiet --repo r image pull oci:{image}:{tag}");
    // The image under one name, so that the second pull is an update of it.
    let latest = |tag: &str| format!("{} --target-imgref oci:/latest", pull(tag));
    let with_v1 = format!("{FRESH}; {}", latest("v1"));
    vec![
        work("cold pull", "bootroot", FRESH, &pull("v1")),
        work(
            "unpack and commit each layer",
            "ostree commit --tree=tar",
            FRESH,
            &tar_commits(image),
        ),
        work(
            "copy",
            "skopeo copy to dir:",
            FRESH,
            &format!("skopeo --insecure-policy copy -q oci:{image}:v1 dir:s"),
        ),
        work("v1 to v2", "bootroot", &with_v1, &latest("v2")),
        work("no-op pull", "bootroot", &with_v1, &latest("v1")),
    ]
}

fn deploys(bootroot: &str, image: &str) -> Vec<Work> {
    let deploy = format!("{bootroot} --quiet --sysroot s deploy oci:{image}:v1 --stateroot os");
    let deployed = format!("{FRESH}; {deploy}");
    vec![
        work("pull and deploy", "bootroot", FRESH, &deploy),
        work("deploy what is pulled", "bootroot", &deployed, &deploy),
        work(
            "deploy what is pulled",
            "ostree admin deploy",
            &deployed,
            "OSTREE_SYSROOT_DEBUG=mutable-deployments ostree admin deploy --sysroot=s --os=os \
             $(ostree --repo=s/ostree/repo refs --list ostree/container/image)",
        ),
    ]
}

/// What the existing importers do with every layer, less their own share: unpack, hand to `ostree`.
fn tar_commits(image: &str) -> String {
    format!(
        "m=$(jq -r '.manifests[0].digest[7:]' {image}/index.json); \
         for l in $(jq -r '.layers[].digest[7:]' {image}/blobs/sha256/$m); do \
         zcat {image}/blobs/sha256/$l | ostree --repo=r commit --branch=x/$l --tar-autocreate-parents \
         --tree=tar=/dev/stdin >/dev/null; done"
    )
}

fn existing_importer(importer: &str, image: &str) -> Vec<Work> {
    let pull = |tag: &str| {
        format!("{importer} image pull --repo \"$PWD/r\" ostree-unverified-image:oci:{image}:{tag}")
    };
    let with_v1 = format!("{FRESH}; {}", pull("v1"));
    vec![
        work("cold pull", "existing importer", FRESH, &pull("v1")),
        work("v1 to v2", "existing importer", &with_v1, &pull("v2")),
        work("no-op pull", "existing importer", &with_v1, &pull("v1")),
    ]
}
