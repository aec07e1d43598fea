//! Mistakes on the command line of the `ostree` verbs, told as scripts for `ostree` expect.

use std::io::{self, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Writes what was wrong in one line, after the usage when no verb was understood.
pub(super) fn print(error: &clap::Error, usage: &str, out: &mut dyn Write) -> io::Result<()> {
    if is_about_verbs(error) {
        writeln!(out, "{}\n", usage.trim_end())?;
    }
    writeln!(out, "error: {}", message(error))
}

fn is_about_verbs(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidSubcommand
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

fn message(error: &clap::Error) -> String {
    let named = |kind| names(error, kind).join(", ");
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "No command specified".to_owned()
        }
        ErrorKind::InvalidSubcommand => {
            format!(
                "Unknown command '{}'",
                named(ContextKind::InvalidSubcommand)
            )
        }
        ErrorKind::MissingRequiredArgument => {
            format!("{} must be specified", named(ContextKind::InvalidArg))
        }
        ErrorKind::UnknownArgument => match named(ContextKind::InvalidArg) {
            option if option.starts_with('-') => format!("Unknown option {option}"),
            word => format!("Too many arguments given: {word}"),
        },
        _ => first_line(error),
    }
}

/// What the error is about, without the brackets of placeholders.
fn names(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    let names = match error.get(kind) {
        Some(ContextValue::String(name)) => std::slice::from_ref(name),
        Some(ContextValue::Strings(names)) => names,
        _ => &[],
    };
    let plain = |name: &String| name.trim_matches(['<', '>', '[', ']', '.']).to_owned();
    names.iter().map(plain).collect()
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}
