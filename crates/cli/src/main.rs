//! The `bootroot` command: arguments, rendering, exit codes. The only place that prints.

mod arguments;
mod context;
mod editor;
mod environment;
mod extension;
mod journal;
mod outcome;
mod personality;
mod place;
mod private_mounts;
mod remotes;
mod render;
mod results;
mod signals;
mod soft_reboot;
mod verbs;

use std::process::ExitCode;

use progress::Interrupt;

use crate::arguments::Invocation;
use crate::context::Context;

fn main() -> ExitCode {
    match Invocation::parse(std::env::args_os()) {
        Ok(invocation) => run(invocation),
        Err(stopped) => match &stopped.extension {
            Some(extension) => outcome::of_extension(&extension.run()),
            None => outcome::of_arguments(&stopped),
        },
    }
}

fn run(invocation: Invocation) -> ExitCode {
    let interrupt = Interrupt::default();
    let reporting = invocation.reporting();
    let result = prepare(&invocation, &interrupt).and_then(|context| {
        let result = invocation.verb.run(&context);
        outcome::announce(&context, &reporting, result)
    });
    outcome::settle(result, &reporting)
}

/// Sets up everything that is global to the process, in the order in which it may fail.
fn prepare(invocation: &Invocation, interrupt: &Interrupt) -> Result<Context, outcome::Failure> {
    environment::arm_crash_point()?;
    signals::install(interrupt)?;
    environment::start_log(invocation.log_level());
    Context::new(invocation, interrupt.clone())
}
