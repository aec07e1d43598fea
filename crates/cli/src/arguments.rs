//! The command line as a whole: global options, and which verb is meant.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser};

use crate::extension::Extension;
use crate::outcome::Reporting;
use crate::personality::{self, Personality};
use crate::verbs::Verb;

/// Bootable container images as transactional Linux roots
///
/// Pulls container images into an OSTree repository, deploys them with boot entries, and keeps the
/// system bootable whatever happens in between.
#[derive(Debug, Parser)]
#[command(name = "bootroot", version, after_long_help = crate::outcome::EXIT_CODES_HELP)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    verb: Verb,
}

/// Options that every verb takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Options {
    /// Work on the system whose physical root is DIR [default: /sysroot]
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "repo")]
    pub(crate) sysroot: Option<PathBuf>,
    /// Work on the OSTree repository DIR, without a system around it
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) repo: Option<PathBuf>,
    /// Show no progress; warnings and errors remain
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Write progress as JSON lines to the file descriptor N
    #[arg(long, global = true, value_name = "N")]
    pub(crate) progress_fd: Option<u32>,
    /// Log what is done to standard error; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// How a verb answers.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Format {
    /// Answer, and report errors, in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A command line that was understood.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) options: Options,
    pub(crate) verb: Verb,
    /// The words that name the verb, as in `image pull`.
    pub(crate) words: String,
    reporting: Reporting,
}

/// A command line that ends here: a mistake, or a request for help or the version.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) error: clap::Error,
    /// What help there is beside the error.
    pub(crate) usage: String,
    pub(crate) reporting: Reporting,
    /// Who else has the verb that was asked for.
    pub(crate) extension: Option<Extension>,
}

impl Invocation {
    /// Understands a command line, whose first word is the name of the program.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Stopped> {
        let mut command = personality::dress(CommandLine::command());
        let (words, personality) = personality::arrange(words.into_iter().collect(), &command);
        if personality == Personality::Ostree {
            // Scripts take the first word of each line of a list of verbs for a verb: no line is broken.
            command = command.term_width(0);
        }
        Self::from_words(&mut command, &words, personality).map_err(|error| Stopped {
            usage: personality::usage(&mut command, &words),
            reporting: Reporting {
                json: asks_for_json(&words),
                personality,
            },
            extension: of_another_program(&error, &words, personality),
            error,
        })
    }

    fn from_words(
        command: &mut Command,
        words: &[OsString],
        personality: Personality,
    ) -> Result<Self, clap::Error> {
        let matches = command.try_get_matches_from_mut(words)?;
        let CommandLine { options, verb } = CommandLine::from_arg_matches(&matches)?;
        refuse_two_places(&options)?;
        let json = leaf(&matches).try_get_one("json");
        Ok(Self {
            options,
            verb,
            words: verb_words(&matches).join(" "),
            reporting: Reporting {
                json: json.is_ok_and(|json| json == Some(&true)),
                personality,
            },
        })
    }

    /// How much is logged: of `status`, the first `-v` is about the answer.
    pub(crate) fn log_level(&self) -> u8 {
        match self.verb {
            Verb::Status(_) => self.options.verbose.saturating_sub(1),
            _ => self.options.verbose,
        }
    }

    /// How errors of this command are shown.
    pub(crate) fn reporting(&self) -> Reporting {
        self.reporting
    }
}

/// Global options that stand at different levels escape the conflict check of the parser.
fn refuse_two_places(options: &Options) -> Result<(), clap::Error> {
    if options.sysroot.is_none() || options.repo.is_none() {
        return Ok(());
    }
    let text = "the argument '--sysroot <DIR>' cannot be used with '--repo <DIR>'";
    Err(CommandLine::command().error(clap::error::ErrorKind::ArgumentConflict, text))
}

/// The program for a verb of `ostree` that is none of ours.
fn of_another_program(
    error: &clap::Error,
    words: &[OsString],
    personality: Personality,
) -> Option<Extension> {
    let unknown = Some(&ContextValue::String(words.get(2)?.to_str()?.to_owned()))
        == error.get(ContextKind::InvalidSubcommand);
    let extensible = unknown && personality == Personality::Ostree;
    extensible.then(|| Extension::of(words)).flatten()
}

/// Whether a command line that could not be understood asks for JSON anyhow.
fn asks_for_json(words: &[OsString]) -> bool {
    let options = words.iter().take_while(|word| *word != "--");
    options.into_iter().any(|word| word == "--json")
}

fn leaf(matches: &ArgMatches) -> &ArgMatches {
    matches
        .subcommand()
        .map_or(matches, |(_, below)| leaf(below))
}

fn verb_words(matches: &ArgMatches) -> Vec<&str> {
    let Some((word, below)) = matches.subcommand() else {
        return Vec::new();
    };
    let mut words = vec![word];
    words.extend(verb_words(below));
    words
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(line: &str) -> Result<Invocation, Stopped> {
        Invocation::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_declarations_are_consistent() {
        CommandLine::command().debug_assert();
    }

    /// `docs/cli-reference.md` is every `--help`; `BOOTROOT_UPDATE_DOCS=1 cargo test -p cli` renews it.
    #[test]
    fn the_reference_is_what_help_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli-reference.md");
        let mut command = personality::dress(CommandLine::command()).term_width(100);
        command.build();
        let mut text =
            "# Command line reference\n\nWhat `--help` says; a test keeps it current.\n".to_owned();
        describe(&mut command, &mut text);
        if std::env::var_os("BOOTROOT_UPDATE_DOCS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(
            committed == text,
            "{path} is out of date: run with BOOTROOT_UPDATE_DOCS=1"
        );
    }

    fn describe(command: &mut clap::Command, text: &mut String) {
        let name = command.get_bin_name().unwrap_or("bootroot").to_owned();
        let help = command.render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        text.push_str(&format!(
            "\n## {name}\n\n```text\n{}\n```\n",
            lines.join("\n").trim_end()
        ));
        for below in command
            .get_subcommands_mut()
            .filter(|below| !below.is_hide_set())
        {
            describe(below, text);
        }
    }

    #[test]
    fn global_options_stand_before_and_after_the_verb() {
        for line in [
            "bootroot --repo /r ostree refs",
            "bootroot ostree refs --repo /r",
        ] {
            let invocation = parse(line).unwrap();
            assert_eq!(
                invocation.options.repo.as_deref(),
                Some(Path::new("/r")),
                "{line}"
            );
            assert_eq!(invocation.words, "ostree refs");
        }
    }

    #[test]
    fn a_sysroot_and_a_repository_exclude_each_other_at_any_level() {
        for line in [
            "bootroot --repo /r --sysroot /s ostree refs",
            "bootroot --repo /r ostree refs --sysroot /s",
        ] {
            let stopped = parse(line).unwrap_err();
            assert_eq!(stopped.error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_link_called_ostree_is_the_ostree_verb() {
        let invocation = parse("/usr/bin/ostree refs --repo /r").unwrap();
        assert_eq!(invocation.words, "ostree refs");
    }

    #[test]
    fn a_mistake_beside_json_is_reported_in_json() {
        assert!(
            parse("bootroot image list --json --no-such")
                .unwrap_err()
                .reporting
                .json
        );
        assert!(
            !parse("bootroot image list --no-such")
                .unwrap_err()
                .reporting
                .json
        );
    }
}
