//! `bootroot status`

use std::io::{self, Write};

use clap::Args;
use host::{DeploymentStatus, Fixable, ImageStatus};

use crate::arguments::Format;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::results::Results;

/// Show what is deployed, in the order in which the boot loader offers it
///
/// What is damaged is shown as damaged, with what helps; that is no failure of this command.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    format: Format,
}

impl Status {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let sysroot = context.storage()?.sysroot()?;
        let status = host::status(&sysroot)?;
        let mut out = context.results();
        if self.format.json {
            out.json(&status)?;
            return Ok(Exit::Done);
        }
        if status.deployments.is_empty() {
            writeln!(out, "No deployments.")?;
        }
        for deployment in &status.deployments {
            print(deployment, &mut out)?;
        }
        for entry in &status.damaged {
            writeln!(out, "! boot entry {}", entry.boot_entry)?;
            print_problems(std::slice::from_ref(&entry.damage), &mut out)?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}

fn print(deployment: &DeploymentStatus, out: &mut Results) -> io::Result<()> {
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
        print_image(image, out)?;
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
    print_problems(&deployment.problems, out)
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
        (unlocked != "none", unlocked.as_str()),
    ];
    let remarks: Vec<&str> = facts
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, word)| word)
        .collect();
    if remarks.is_empty() {
        String::new()
    } else {
        format!(" ({})", remarks.join(", "))
    }
}

fn print_image(image: &ImageStatus, out: &mut Results) -> io::Result<()> {
    writeln!(out, "    image:      {}", image.reference)?;
    if let Some(digest) = &image.digest {
        writeln!(out, "    digest:     {digest}")?;
    }
    if let Some(update) = &image.update {
        let version = update
            .version
            .as_ref()
            .map_or_else(String::new, |version| format!(" (version {version})"));
        writeln!(out, "    update:     {}{version}", update.digest)?;
    }
    Ok(())
}

fn print_problems(problems: &[Fixable], out: &mut Results) -> io::Result<()> {
    for Fixable { problem, fix } in problems {
        writeln!(out, "    damaged:    {problem}")?;
        writeln!(out, "    fix:        {fix}")?;
    }
    Ok(())
}
