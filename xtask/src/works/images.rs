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
        ..
    } = bench;
    let mut works = pulls(bootroot, image);
    works.extend(deploys(bootroot, image));
    works.extend(stages(bootroot, image));
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

/// An update of a running system: what is done while it runs, what when it shuts down, and what is looked at and removed
/// every day. The system is set up by the real `ostree-prepare-root` in a mount namespace, whose time is counted.
fn stages(bootroot: &str, image: &str) -> Vec<Work> {
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts");
    let booted = |line: &str| format!("{scripts}/fake-boot s /var/bootroot --quiet {line}");
    let commit = "$(ostree --repo=s/ostree/repo refs --list ostree/container/image | grep v2)";
    let pulled = format!(
        "{FRESH}; {bootroot} --quiet --sysroot s deploy oci:{image}:v1 --stateroot os; \
         {bootroot} --quiet --sysroot s image pull oci:{image}:v2; \
         cp {bootroot} s/ostree/deploy/os/var/bootroot"
    );
    let stage = booted(&format!("ostree admin deploy --stage {commit}"));
    let staged = format!("{pulled}; {stage}");
    let complete = booted("finalize-staged >/dev/null");
    let completed = format!("{staged}; {complete}");
    let theirs = format!(
        "OSTREE_SYSROOT_DEBUG=mutable-deployments ostree admin deploy --sysroot=s --os=os {commit}"
    );
    let clean = |program: &str| format!("{program} admin cleanup --sysroot=s >/dev/null");
    let show = |program: &str| format!("{program} admin status --sysroot=s >/dev/null");
    let ours = format!("{bootroot} ostree");
    vec![
        work("stage the update", "bootroot", &pulled, &stage),
        work("complete it at shutdown", "bootroot", &staged, &complete),
        work("deploy the update", "ostree admin deploy", &pulled, &theirs),
        work("status", "bootroot", &completed, &show(&ours)),
        work("status", "ostree admin status", &completed, &show("ostree")),
        work("cleanup", "bootroot", &completed, &clean(&ours)),
        work(
            "cleanup",
            "ostree admin cleanup",
            &completed,
            &clean("ostree"),
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
        format!("{importer} image pull \"$PWD/r\" ostree-unverified-image:oci:{image}:{tag}")
    };
    let with_v1 = format!("{FRESH}; {}", pull("v1"));
    vec![
        work("cold pull", "existing importer", FRESH, &pull("v1")),
        work("v1 to v2", "existing importer", &with_v1, &pull("v2")),
        work("no-op pull", "existing importer", &with_v1, &pull("v1")),
    ]
}
