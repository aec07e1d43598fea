//! What bootroot costs beside the real tools, on one or more images.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::measure::{Work, version};
use crate::registry::Registry;
use crate::report::{Row, median, table};
use crate::scratch::{Scratch, output, sh};
use crate::works::{self, Bench};

/// Size of the scratch file system.
const GIGABYTES: u32 = 16;

#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Arguments {
        images,
        rounds,
        importer,
        cfsctl,
        podman,
        only,
    } = parse(arguments)?;
    sh("cargo build --quiet --release --package cli")?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let bootroot = std::fs::canonicalize(target.join("release/bootroot"))?;
    let dir = target.join("bench");
    std::fs::create_dir_all(&dir)?;
    let dir = std::fs::canonicalize(dir)?;
    let scratch = Scratch::mount(&dir, GIGABYTES)?;
    let is_wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let needs_registry = [works::REGISTRY, works::STORES].into_iter().any(is_wanted);
    let registry = needs_registry.then(|| Registry::start(&dir)).transpose()?;
    if let Some(registry) = registry.as_ref().filter(|_| is_wanted(works::REGISTRY)) {
        registry.make_images(&dir)?;
    }
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
        let bench = Bench {
            bootroot: bootroot.display().to_string(),
            image: image.display().to_string(),
            importer: importer.clone(),
            cfsctl: cfsctl.clone(),
            podman: podman.clone(),
        };
        if let Some(registry) = registry.as_ref().filter(|_| is_wanted(works::STORES)) {
            registry.take(&image)?;
        }
        for (name, works) in works::GROUPS {
            if is_wanted(name) {
                println!("{}", table(&measure_all(&works(&bench), &scratch, rounds)?));
            }
        }
        sh(&format!(
            "cd '{}'; chattr -f -i s/ostree/deploy/*/deploy/*/ || true; rm -rf ./*",
            scratch.path().display()
        ))?;
    }
    Ok(())
}

struct Arguments {
    images: Vec<PathBuf>,
    rounds: usize,
    importer: Option<String>,
    cfsctl: Option<String>,
    podman: Option<String>,
    /// The name of a group of works; the others are left out.
    only: Option<String>,
}

fn parse(arguments: &[String]) -> Result<Arguments> {
    let mut parsed = Arguments {
        images: Vec::new(),
        rounds: 3,
        importer: None,
        cfsctl: None,
        podman: None,
        only: None,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => {
                let number = arguments.next().context("--rounds needs a number")?;
                parsed.rounds = number.parse()?;
            }
            "--importer" => {
                let program = arguments.next().context("--importer needs a program")?;
                parsed.importer = Some(program.clone());
            }
            "--cfsctl" => {
                let program = arguments.next().context("--cfsctl needs a program")?;
                parsed.cfsctl = Some(program.clone());
            }
            "--podman" => {
                let program = arguments.next().context("--podman needs a program")?;
                parsed.podman = Some(program.clone());
            }
            "--only" => {
                let group = arguments.next().context("--only needs a group of works")?;
                let known = works::GROUPS.map(|(name, _)| name);
                ensure!(
                    known.contains(&group.as_str()),
                    "the groups of works are {known:?}"
                );
                parsed.only = Some(group.clone());
            }
            image => parsed.images.push(PathBuf::from(image)),
        }
    }
    ensure!(
        !parsed.images.is_empty(),
        "name at least one OCI directory with the tags v1 and v2"
    );
    Ok(parsed)
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
