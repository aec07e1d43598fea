//! `bootroot ostree summary`

use std::io::Write;

use chrono::{DateTime, Local};
use clap::{ArgAction, Args};
use error_class::{Classified, ErrorClass};
use ostree::{Repo, SummaryRef};
use ostree_format::Metadata;
use ostree_format::gvariant::Value;
use signature::gpg;

use super::commit::metadata::parsed;
use super::signatures::{self, SignOptions};
use super::{sizes, variant};
use crate::context::Context;
use crate::environment;
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
    /// View the bytes of the summary as a variant
    #[arg(long)]
    raw: bool,
    /// List the keys of the metadata
    #[arg(long)]
    list_metadata_keys: bool,
    /// Print the value of a metadata key
    #[arg(long, value_name = "KEY")]
    print_metadata_key: Option<String>,
    /// Additional metadata to add to the summary; the value is in GVariant's text form
    #[arg(short = 'm', long, value_name = "KEY=VALUE")]
    add_metadata: Vec<String>,
    #[command(flatten)]
    sign: SignOptions,
}

/// Neither `-u` nor `-v`.
#[derive(Debug, thiserror::Error)]
enum SummaryError {
    #[error("No option specified; use -u to update summary")]
    NoOption,
    #[error("No such metadata key '{0}'")]
    NoKey(String),
    #[error("the repository has no summary")]
    NoSummary,
    #[error("the signatures of the summary (summary.sig) are damaged")]
    Damaged,
}

impl Classified for SummaryError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoOption => ErrorClass::InvalidInput,
            Self::NoKey(_) | Self::NoSummary => ErrorClass::NotFound,
            Self::Damaged => ErrorClass::Corrupt,
        }
    }
}

impl Summary {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        if self.update {
            self.write(context, &repo)?;
            return Ok(Exit::Done);
        }
        let summary = repo.load_summary()?.ok_or(SummaryError::NoSummary);
        let mut out = context.results();
        if self.raw {
            writeln!(out, "{}", variant::annotated(&summary?.to_value()))?;
        } else if self.list_metadata_keys {
            let summary = summary?;
            let mut keys: Vec<&str> = summary.metadata.iter().map(|(key, _)| key).collect();
            keys.sort_unstable();
            writeln!(out, "{}", keys.join("\n"))?;
        } else if let Some(key) = &self.print_metadata_key {
            let summary = summary?;
            let value = summary.metadata.get(key);
            let value = value.ok_or_else(|| SummaryError::NoKey(key.clone()))?;
            writeln!(out, "{}", variant::annotated(value))?;
        } else if self.view > 0 {
            show(&summary?, &mut out)?;
            self.signatures(context, &repo, &mut out)?;
        } else {
            return Err(SummaryError::NoOption.into());
        }
        out.finish()?;
        Ok(Exit::Done)
    }

    fn write(&self, context: &Context, repo: &Repo) -> Result<(), Failure> {
        let signing = self.sign.signing(&[], &context.place().key_stores()?)?;
        let pairs = self.add_metadata.iter().map(|pair| parsed(pair));
        let metadata = pairs.collect::<Result<_, _>>()?;
        let now = environment::now();
        repo.update_signed_summary(now, &metadata, |bytes| {
            if signing.is_empty() {
                return Ok(None);
            }
            let mut signatures = Metadata::new();
            signing.sign(bytes, &mut signatures, now)?;
            Ok::<_, Failure>(Some(signatures))
        })
    }

    /// The verdicts on the summary's GPG signatures, by keys of the system.
    fn signatures(&self, context: &Context, repo: &Repo, out: &mut Results) -> Result<(), Failure> {
        let stored = repo.load_summary_bytes()?.ok_or(SummaryError::NoSummary)?;
        let Some(signatures) = stored.signatures else {
            return Ok(writeln!(out, "Summary is unsigned")?);
        };
        let mut keyring = trust::keys_of_system(&context.place().key_stores()?)?;
        self.sign.home().add_keys(&mut keyring)?;
        let metadata = Metadata::from_bytes(&signatures).map_err(|_| SummaryError::Damaged)?;
        let Some(found) = signatures::verdicts(&stored.summary, &metadata, &keyring)? else {
            return Ok(());
        };
        let text = gpg::describe_all(&found, gpg::Heading::FoundOnSummary, &signatures::zone);
        Ok(write!(out, "\n{text}")?)
    }
}

/// Renews the summary after a commit, when the config asks for that.
pub(super) fn follow_commit(repo: &Repo) -> Result<(), Failure> {
    follow(repo, &["commit-update-summary", "auto-update-summary"])
}

/// Renews the summary after a change of refs, when the config asks for that.
pub(super) fn follow_refs(repo: &Repo) -> Result<(), Failure> {
    follow(repo, &["auto-update-summary"])
}

fn follow(repo: &Repo, keys: &[&str]) -> Result<(), Failure> {
    let config = &repo.config().file;
    let wanted = |key: &&str| config.get_bool("core", key) == Some(true);
    if keys.iter().any(wanted) {
        repo.update_summary(environment::now(), &Metadata::new())?;
    }
    Ok(())
}

/// A summary for humans.
pub(super) fn show(summary: &ostree::Summary, out: &mut Results) -> Result<(), Failure> {
    let collection = summary.metadata.get_str("ostree.summary.collection-id");
    for found in &summary.refs {
        show_ref(collection, found, out)?;
    }
    for (collection, refs) in &summary.collections {
        for found in refs {
            show_ref(Some(collection), found, out)?;
        }
    }
    for (key, value) in summary.metadata.iter() {
        show_entry(key, value, out)?;
    }
    Ok(())
}

fn show_ref(
    collection: Option<&str>,
    found: &SummaryRef,
    out: &mut Results,
) -> Result<(), Failure> {
    match collection {
        Some(collection) => writeln!(out, "* ({collection}, {})", found.name)?,
        None => writeln!(out, "* {}", found.name)?,
    }
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
            _ => writeln!(out, "    {key}: {}", variant::plain(value))?,
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
        None => writeln!(out, "{key}: {}", variant::plain(value))?,
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
