//! `bootroot ostree summary`

use std::io::Write;
use std::time::SystemTime;

use chrono::{DateTime, Local};
use clap::{ArgAction, Args};
use error_class::{Classified, ErrorClass};
use ostree::SummaryRef;
use ostree_format::Metadata;
use ostree_format::gvariant::Value;

use super::{sizes, variant};
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::results::Results;

const TIMESTAMP: &str = "ostree.commit.timestamp";
const VERSION: &str = "ostree.commit.version";

/// Manage summary metadata
#[derive(Debug, Args)]
pub(crate) struct Summary {
    /// Update the summary
    #[arg(short, long)]
    update: bool,
    /// View the summary
    // As with `ostree`, -v is not --verbose here; the id takes its place.
    #[arg(id = "verbose", short = 'v', long = "view", action = ArgAction::Count)]
    view: u8,
}

/// Neither `-u` nor `-v`.
#[derive(Debug, thiserror::Error)]
enum SummaryError {
    #[error("No option specified; use -u to update summary")]
    NoOption,
    #[error("the repository has no summary")]
    NoSummary,
}

impl Classified for SummaryError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoOption => ErrorClass::InvalidInput,
            Self::NoSummary => ErrorClass::NotFound,
        }
    }
}

impl Summary {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        if self.update {
            let now: DateTime<Local> = SystemTime::now().into();
            let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
            repo.update_summary(seconds, &Metadata::new())?;
        } else if self.view > 0 {
            let summary = repo.load_summary()?.ok_or(SummaryError::NoSummary)?;
            let mut out = context.results();
            for found in &summary.refs {
                show_ref(found, &mut out)?;
            }
            for (key, value) in summary.metadata.iter() {
                show_entry(key, value, &mut out)?;
            }
            out.finish()?;
        } else {
            return Err(SummaryError::NoOption.into());
        }
        Ok(Exit::Done)
    }
}

fn show_ref(found: &SummaryRef, out: &mut Results) -> Result<(), Failure> {
    writeln!(out, "* {}", found.name)?;
    writeln!(out, "    Latest Commit ({}):", sizes::human(found.size))?;
    writeln!(out, "      {}", found.commit)?;
    for (key, value) in found.metadata.iter() {
        match (key, seconds(value)) {
            (TIMESTAMP, Some(seconds)) => {
                writeln!(out, "    Timestamp ({key}): {}", time(seconds))?;
            }
            (VERSION, _) => {
                let version = value.as_str().unwrap_or_default();
                writeln!(out, "    Version ({key}): {version}")?;
            }
            _ => writeln!(out, "    {key}: {}", variant::annotated(value))?,
        }
    }
    Ok(writeln!(out)?)
}

fn show_entry(key: &str, value: &Value, out: &mut Results) -> Result<(), Failure> {
    let known = match (key, value) {
        ("ostree.summary.mode", Value::Str(mode)) => Some(("Repository Mode", mode.clone())),
        ("ostree.summary.collection-id", Value::Str(id)) => Some(("Collection ID", id.clone())),
        ("ostree.summary.last-modified", _) => {
            seconds(value).map(|seconds| ("Last-Modified", time(seconds)))
        }
        ("ostree.summary.tombstone-commits", Value::Bool(yes)) => Some((
            "Has Tombstone Commits",
            if *yes { "Yes" } else { "No" }.to_owned(),
        )),
        _ => None,
    };
    match known {
        Some((title, text)) => writeln!(out, "{title} ({key}): {text}")?,
        None => writeln!(out, "{key}: {}", variant::annotated(value))?,
    }
    Ok(())
}

/// Summaries keep times in big endian.
fn seconds(value: &Value) -> Option<i64> {
    let seconds = value.as_u64()?.swap_bytes();
    i64::try_from(seconds).ok()
}

/// In local time, the zone in hours and, if there are any, minutes.
fn time(seconds: i64) -> String {
    let Some(time) = DateTime::from_timestamp(seconds, 0) else {
        return seconds.to_string();
    };
    let text = time.with_timezone(&Local).format("%Y-%m-%dT%H:%M:%S%z");
    let text = text.to_string();
    text.strip_suffix("00").map(str::to_owned).unwrap_or(text)
}
