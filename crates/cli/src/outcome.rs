//! How a command ends: the only map from a class of errors to an exit code, a hint, and JSON.

mod class;
mod failure;
mod mistake;
mod report;

use std::io::Write as _;
use std::process::ExitCode;

pub(crate) use self::class::{EXIT_CODES_HELP, INTERRUPTED};
pub(crate) use self::failure::{Failure, Hinted};
pub(crate) use self::report::Reporting;

use clap::error::ErrorKind;
use error_class::ErrorClass;

use crate::arguments::Stopped;
use crate::context::Context;
use crate::personality::Personality;
use crate::results::{OutputClosed, Results};
use crate::verbs::version;

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// There is nothing more to say.
    Done,
    /// `--check` found that there is something newer.
    UpdateAvailable,
    /// The answer is that something is wrong, and has been told.
    Answered(ErrorClass),
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::UpdateAvailable => 77,
            Self::Answered(class) => class::face_of(class).code,
        }
    }
}

/// Tells whoever reads the progress stream how the command ended, and passes the result on.
pub(crate) fn announce(
    context: &Context,
    reporting: &Reporting,
    result: Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let result = forgive_closed_output(result);
    let code = result
        .as_ref()
        .map_or_else(|failure| reporting.exit_code(failure), |exit| exit.code());
    let message = result.as_ref().err().map(ToString::to_string);
    context.board().finish(code, message);
    result
}

/// A reader that has seen enough (`bootroot image list | head -1`) is no failure.
fn forgive_closed_output(result: Result<Exit, Failure>) -> Result<Exit, Failure> {
    match result {
        Err(failure) if failure.is_caused_by::<OutputClosed>() => Ok(Exit::Done),
        other => other,
    }
}

/// Reports a failure, if it is one, and gives the exit code.
pub(crate) fn settle(result: Result<Exit, Failure>, reporting: &Reporting) -> ExitCode {
    match result {
        Ok(exit) => exit.code().into(),
        Err(failure) => {
            reporting.print(&failure);
            reporting.exit_code(&failure).into()
        }
    }
}

/// Ends a command that another program should have become.
pub(crate) fn of_extension(error: &std::io::Error) -> ExitCode {
    // Nobody is left to tell when even standard error cannot be written.
    drop(writeln!(std::io::stderr(), "error: {error}"));
    ExitCode::FAILURE
}

/// Ends a command whose arguments were a mistake, or asked for help or the version.
pub(crate) fn of_arguments(stopped: &Stopped) -> ExitCode {
    // Nobody is left to tell when even standard error cannot be written.
    match (stopped.reporting.personality, stopped.error.kind()) {
        (Personality::Ostree, ErrorKind::DisplayVersion) => {
            drop(Results::new().all(version::text().as_bytes()));
        }
        (Personality::Ostree, _) if stopped.error.use_stderr() => {
            drop(mistake::print(
                &stopped.error,
                &stopped.usage,
                &mut std::io::stderr(),
            ));
        }
        _ if stopped.reporting.json && stopped.error.use_stderr() => {
            report::print_usage_json(&stopped.error);
        }
        _ => drop(stopped.error.print()),
    }
    if stopped.error.use_stderr() {
        class::usage(stopped.reporting.personality)
    } else {
        0
    }
    .into()
}
