//! Telling a failure, to a human or to a program.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::class::{INTERRUPTED, OSTREE, USAGE};
use super::failure::Failure;
use crate::personality::Personality;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// How failures are told; both ways on standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reporting {
    /// As one line of JSON (`docs/error.schema.json`) instead of text.
    pub(crate) json: bool,
    /// As whom.
    pub(crate) personality: Personality,
}

#[derive(Serialize)]
struct Document<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    class: &'a str,
    exit_code: u8,
    message: String,
    causes: Vec<String>,
    hint: Option<&'a str>,
}

impl Reporting {
    /// Writes the failure to standard error. When even that fails, the exit code has to do.
    pub(crate) fn print(&self, failure: &Failure) {
        let mut stderr = anstream::stderr().lock();
        drop(if self.json {
            write_json(&mut stderr, self.body_of(failure))
        } else if self.personality == Personality::Ostree {
            write_line(&mut stderr, failure)
        } else {
            write_text(&mut stderr, failure)
        });
    }

    /// The exit code of a failure. An interrupt is not taken for anything else.
    pub(crate) fn exit_code(&self, failure: &Failure) -> u8 {
        match (self.personality, failure.exit_code()) {
            (Personality::Ostree, code) if code != INTERRUPTED => OSTREE,
            (_, code) => code,
        }
    }

    fn body_of<'a>(&self, failure: &'a Failure) -> Body<'a> {
        Body {
            class: failure.word(),
            exit_code: self.exit_code(failure),
            message: failure.to_string(),
            causes: failure.causes(),
            hint: failure.hint(),
        }
    }
}

fn write_json(out: &mut dyn Write, error: Body<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Document { error })?;
    out.write_all(b"\n")
}

fn write_text(out: &mut dyn Write, failure: &Failure) -> io::Result<()> {
    writeln!(out, "{ERROR}error:{ERROR:#} {failure}")?;
    for cause in failure.causes() {
        writeln!(out, "  caused by: {cause}")?;
    }
    write_hint(out, failure)
}

/// The failure and what led to it in one line, as scripts for `ostree` expect it.
fn write_line(out: &mut dyn Write, failure: &Failure) -> io::Result<()> {
    let told: String = failure
        .causes()
        .iter()
        .map(|cause| format!(": {cause}"))
        .collect();
    writeln!(out, "{ERROR}error:{ERROR:#} {failure}{told}")?;
    write_hint(out, failure)
}

fn write_hint(out: &mut dyn Write, failure: &Failure) -> io::Result<()> {
    match failure.hint() {
        Some(hint) => writeln!(out, "{HINT}hint:{HINT:#} {hint}"),
        None => Ok(()),
    }
}

/// Tells a mistake on the command line as JSON.
pub(crate) fn print_usage_json(error: &clap::Error) {
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default();
    let body = Body {
        class: "usage",
        exit_code: USAGE,
        message: message.trim_start_matches("error: ").to_owned(),
        causes: Vec::new(),
        hint: Some("see --help"),
    };
    drop(write_json(&mut anstream::stderr().lock(), body));
}
