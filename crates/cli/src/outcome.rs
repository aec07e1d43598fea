//! How a command ends: the only map from a class of errors to an exit code, a hint, and JSON.

mod class;
mod failure;
mod report;

use std::process::ExitCode;

pub(crate) use self::class::{EXIT_CODES_HELP, INTERRUPTED};
pub(crate) use self::failure::{Failure, Hinted};
pub(crate) use self::report::Reporting;

use crate::arguments::Stopped;
use crate::context::Context;
use crate::results::OutputClosed;

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// There is nothing more to say.
    Done,
    /// `--check` found that there is something newer.
    UpdateAvailable,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::UpdateAvailable => 77,
        }
    }
}

/// Tells whoever reads the progress stream how the command ended, and passes the result on.
pub(crate) fn announce(context: &Context, result: Result<Exit, Failure>) -> Result<Exit, Failure> {
    let result = forgive_closed_output(result);
    let code = result
        .as_ref()
        .map_or_else(Failure::exit_code, |exit| exit.code());
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
            failure.exit_code().into()
        }
    }
}

/// Ends a command whose arguments were a mistake, or asked for help or the version.
pub(crate) fn of_arguments(stopped: &Stopped) -> ExitCode {
    if stopped.json && stopped.error.use_stderr() {
        report::print_usage_json(&stopped.error);
    } else {
        // Nobody is left to tell when even this cannot be written.
        drop(stopped.error.print());
    }
    if stopped.error.use_stderr() {
        class::USAGE
    } else {
        0
    }
    .into()
}
