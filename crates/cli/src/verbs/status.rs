//! `bootroot status`

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use host::{DeploymentStatus, Fixable, ImageStatus, RootStatus};

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::results::Results;

/// Show what is deployed, in the order in which the boot loader offers it
///
/// What is damaged is shown as damaged, with what helps; that is no failure of this command. JSON and YAML have
/// the fields of `bootc status` (spec, status) and ours beside them. With -v, people see commits, kernels and who
/// has signed the images.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// How to answer
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "json")]
    format: Option<StatusFormat>,
    /// Answer, and report errors, in JSON
    #[arg(long)]
    json: bool,
    /// The version of the document: 0 and 1 are the same
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1))]
    format_version: Option<u32>,
    /// Only what is running
    #[arg(long)]
    booted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusFormat {
    /// For people
    #[value(alias = "humanreadable")]
    Human,
    /// YAML
    Yaml,
    /// JSON
    Json,
}

impl Status {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let backend = context.place().backend()?;
        let mut status = backend.status(context.place().running_facts())?;
        if self.booted {
            status = status.only_booted();
        }
        let mut out = context.results();
        match self.format {
            _ if self.json => out.json(&status)?,
            Some(StatusFormat::Json) => out.json(&status)?,
            Some(StatusFormat::Yaml) => out.yaml(&status)?,
            Some(StatusFormat::Human) | None => {
                print_all(&status, context.verbose(), &mut out)?;
                out.finish()?;
            }
        }
        Ok(Exit::Done)
    }
}

fn print_all(status: &host::Status, verbose: bool, out: &mut Results) -> io::Result<()> {
    if status.deployments.is_empty() && status.roots.is_empty() {
        writeln!(out, "No deployments.")?;
    }
    for deployment in &status.deployments {
        print(deployment, verbose, out)?;
    }
    for root in &status.roots {
        print_root(root, verbose, out)?;
    }
    for entry in &status.damaged {
        writeln!(out, "! boot entry {}", entry.boot_entry)?;
        print_problems(std::slice::from_ref(&entry.damage), out)?;
    }
    Ok(())
}

fn print(deployment: &DeploymentStatus, verbose: bool, out: &mut Results) -> io::Result<()> {
    let mark = match (deployment.problems.is_empty(), deployment.booted) {
        (false, _) => '!',
        (true, true) => '*',
        (true, false) => ' ',
    };
    let DeploymentStatus {
        stateroot,
        commit,
        serial,
        ..
    } = deployment;
    writeln!(
        out,
        "{mark} {stateroot} {commit}.{serial}{}",
        remarks(deployment)
    )?;
    if let Some(image) = &deployment.image {
        print_image(image, verbose, out)?;
    }
    if let Some(refspec) = &deployment.refspec {
        writeln!(out, "    ref:        {refspec}")?;
    }
    if let Some(version) = &deployment.version {
        writeln!(out, "    version:    {version}")?;
    }
    writeln!(
        out,
        "    arguments:  {}",
        deployment.kernel_arguments.join(" ")
    )?;
    if verbose {
        writeln!(out, "    kernel:     {}", deployment.boot_checksum)?;
    }
    if let Some(base) = deployment.base_commit.filter(|_| verbose) {
        writeln!(out, "    based on:   {base}")?;
    }
    print_problems(&deployment.problems, out)
}

fn print_root(root: &RootStatus, verbose: bool, out: &mut Results) -> io::Result<()> {
    let mark = match (root.problems.is_empty(), root.booted) {
        (false, _) => '!',
        (true, true) => '*',
        (true, false) => ' ',
    };
    let facts = [
        (root.booted, "booted"),
        (root.staged, "staged"),
        (root.finalization_locked, "locked"),
        (root.pending && !root.staged, "pending"),
        (root.rollback, "rollback"),
        (root.pinned, "pinned"),
        (root.soft_reboot_capable, "soft-reboot possible"),
        (root.soft_reboot_target, "soft-reboot prepared"),
    ];
    writeln!(
        out,
        "{mark} composefs {}{}",
        root.root,
        in_parentheses(&facts)
    )?;
    if let Some(image) = &root.image {
        print_image(image, verbose, out)?;
    }
    if let Some(version) = &root.version {
        writeln!(out, "    version:    {version}")?;
    }
    writeln!(out, "    arguments:  {}", root.kernel_arguments.join(" "))?;
    if let Some(checksum) = root.boot_checksum.as_ref().filter(|_| verbose) {
        writeln!(out, "    kernel:     {checksum}")?;
    }
    print_problems(&root.problems, out)
}

/// What is special about a deployment, in parentheses.
fn remarks(deployment: &DeploymentStatus) -> String {
    let unlocked = deployment.unlocked.to_string();
    let facts = [
        (deployment.booted, "booted"),
        (deployment.staged, "staged"),
        (deployment.finalization_locked, "locked"),
        (deployment.pending && !deployment.staged, "pending"),
        (deployment.rollback, "rollback"),
        (deployment.pinned, "pinned"),
        (deployment.incompatible, "with packages of its own"),
        (
            deployment.soft_reboot_capable && !deployment.booted,
            "soft-reboot possible",
        ),
        (deployment.soft_reboot_target, "soft-reboot prepared"),
        (unlocked != "none", unlocked.as_str()),
    ];
    in_parentheses(&facts)
}

fn in_parentheses(facts: &[(bool, &str)]) -> String {
    let remarks: Vec<&str> = facts
        .iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, word)| *word)
        .collect();
    if remarks.is_empty() {
        String::new()
    } else {
        format!(" ({})", remarks.join(", "))
    }
}

fn print_image(image: &ImageStatus, verbose: bool, out: &mut Results) -> io::Result<()> {
    writeln!(out, "    image:      {}", image.reference)?;
    if let Some(digest) = &image.digest {
        writeln!(out, "    digest:     {digest}")?;
    }
    if let Some(created) = image.created.as_ref().filter(|_| verbose) {
        writeln!(out, "    created:    {created}")?;
    }
    print_verdict(image, verbose, out)?;
    if let Some(update) = &image.update {
        let version = update
            .version
            .as_ref()
            .map_or_else(String::new, |version| format!(" (version {version})"));
        writeln!(out, "    update:     {}{version}", update.digest)?;
    }
    Ok(())
}

/// Who vouched for the image. That nobody had to is worth a line only for who wants to know more.
fn print_verdict(image: &ImageStatus, verbose: bool, out: &mut Results) -> io::Result<()> {
    let Some(verdict) = &image.verdict else {
        return match verbose {
            true => writeln!(out, "    signature:  not asked for"),
            false => Ok(()),
        };
    };
    let signers = verdict
        .findings
        .iter()
        .filter_map(|one| one.signer.as_ref());
    let signers: Vec<String> = signers
        .map(|signer| format!("{} {}", signer.kind, signer.key))
        .collect();
    match (verdict.accepted, signers.is_empty()) {
        (true, false) => writeln!(out, "    signature:  {}", signers.join(", ")),
        (true, true) if verbose => {
            writeln!(out, "    signature:  none needed, by {}", verdict.policy)
        }
        (true, true) => Ok(()),
        (false, _) => writeln!(out, "    signature:  refused by {}", verdict.policy),
    }
}

fn print_problems(problems: &[Fixable], out: &mut Results) -> io::Result<()> {
    for Fixable { problem, fix } in problems {
        writeln!(out, "    damaged:    {problem}")?;
        writeln!(out, "    fix:        {fix}")?;
    }
    Ok(())
}
