//! Pull and deploy of one or more images, beside the real tools.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::measure::{Work, version};
use crate::report::{Row, median, table};
use crate::scratch::{Scratch, output, sh};

/// Size of the scratch file system.
const GIGABYTES: u32 = 16;

#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (images, rounds) = parse(arguments)?;
    sh("cargo build --quiet --release --package cli")?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let bootroot = std::fs::canonicalize(target.join("release/bootroot"))?;
    let dir = target.join("bench");
    std::fs::create_dir_all(&dir)?;
    let scratch = Scratch::mount(&std::fs::canonicalize(dir)?, GIGABYTES)?;
    for tool in ["ostree", "skopeo"] {
        println!("{}", version(tool));
    }
    for image in images {
        let image = std::fs::canonicalize(&image).with_context(|| format!("no image {image:?}"))?;
        println!(
            "\n{}: {}\n",
            image.file_name().unwrap_or_default().display(),
            describe(&image)?
        );
        println!(
            "{}",
            table(&measure_all(&work(&bootroot, &image), &scratch, rounds)?)
        );
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Result<(Vec<PathBuf>, usize)> {
    let mut rounds = 3;
    let mut images = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => {
                let number = arguments.next().context("--rounds needs a number")?;
                rounds = number.parse()?;
            }
            image => images.push(PathBuf::from(image)),
        }
    }
    ensure!(
        !images.is_empty(),
        "name at least one OCI directory with the tags v1 and v2"
    );
    Ok((images, rounds))
}

/// All rounds of everything, interleaved, so that a slow moment of the machine hits all alike.
fn measure_all(works: &[Work], scratch: &Scratch, rounds: usize) -> Result<Vec<Row>> {
    let mut costs = vec![Vec::new(); works.len()];
    for _ in 0..rounds {
        for (work, costs) in works.iter().zip(&mut costs) {
            costs.push(work.measure(scratch)?);
        }
    }
    works
        .iter()
        .zip(costs)
        .map(|(work, costs)| {
            let (cost, syncs) = (median(costs), work.syncs(scratch)?);
            Ok(Row {
                name: work.name,
                tool: work.tool,
                cost,
                syncs,
            })
        })
        .collect()
}

fn work(bootroot: &Path, image: &Path) -> Vec<Work> {
    let (bootroot, image) = (bootroot.display(), image.display());
    let pull = |tag: &str| format!("{bootroot} --quiet --repo r image pull oci:{image}:{tag}");
    // The image under one name, so that the second pull is an update of it.
    let latest = |tag: &str| format!("{} --target-imgref oci:/latest", pull(tag));
    let fresh = "rm -rf r s; ostree --repo=r init --mode=bare".to_owned();
    let with_v1 = format!("{fresh}; {}", latest("v1"));
    let deploy = format!("{bootroot} --quiet --sysroot s deploy oci:{image}:v1 --stateroot os");
    let work = |name, tool, before: &str, script: &str| Work {
        name,
        tool,
        before: before.to_owned(),
        script: script.to_owned(),
    };
    vec![
        work("cold pull", "bootroot", &fresh, &pull("v1")),
        work(
            "unpack and commit each layer",
            "ostree commit --tree=tar",
            &fresh,
            &tar_commits(&image.to_string()),
        ),
        work(
            "copy",
            "skopeo copy to dir:",
            &fresh,
            &format!("skopeo --insecure-policy copy -q oci:{image}:v1 dir:s"),
        ),
        work("v1 to v2", "bootroot", &with_v1, &latest("v2")),
        work("no-op pull", "bootroot", &with_v1, &latest("v1")),
        work("pull and deploy", "bootroot", &fresh, &deploy),
        work(
            "deploy what is pulled",
            "bootroot",
            &format!("{fresh}; {deploy}"),
            &deploy,
        ),
        work(
            "deploy what is pulled",
            "ostree admin deploy",
            &format!("{fresh}; {deploy}"),
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

fn describe(image: &Path) -> Result<String> {
    let script = format!(
        "cd '{}'; m=$(jq -r '.manifests[0].digest[7:]' index.json); \
         jq -r '\"\\(.layers|length) layers, \\([.layers[].size]|add/1000000|floor) MB compressed\"' blobs/sha256/$m",
        image.display()
    );
    Ok(
        output(std::process::Command::new("bash").args(["-euc", &script]))?
            .trim()
            .to_owned(),
    )
}
