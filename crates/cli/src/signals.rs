//! Signals that ask to stop.

use std::io;

use progress::Interrupt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::outcome::INTERRUPTED;

/// The first SIGINT or SIGTERM raises the flag; the next one ends the process at once.
pub(crate) fn install(interrupt: &Interrupt) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the shutdown looks at the flag as it was before this signal.
        flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), interrupt.flag())?;
        flag::register(signal, interrupt.flag())?;
    }
    Ok(())
}
