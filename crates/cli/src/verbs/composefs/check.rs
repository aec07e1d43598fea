//! `bootroot composefs check`

use std::io::Write;

use clap::Args;
use error_class::ErrorClass;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Read and hash everything in the composefs repository
#[derive(Debug, Args)]
#[command(visible_alias = "fsck")]
pub(crate) struct Check {}

impl Check {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = super::existing(context)?;
        let report = store.check(context.progress(), context.interrupt())?;
        let mut out = context.results();
        for damage in &report.damage {
            writeln!(out, "{damage}")?;
        }
        writeln!(
            out,
            "{} objects, {} streams, {} images: {}",
            report.objects,
            report.streams,
            report.images,
            match report.damage.len() {
                0 => "nothing is wrong".to_owned(),
                count => format!("{count} things are wrong"),
            }
        )?;
        out.finish()?;
        Ok(match report.damage.is_empty() {
            true => Exit::Done,
            false => Exit::Answered(ErrorClass::Corrupt),
        })
    }
}
