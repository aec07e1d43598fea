//! Showing progress: bars on a terminal, rare lines elsewhere, JSON lines for programs.

mod bars;
mod board;
mod descriptor;
mod jsonl;
mod plain;
mod table;
mod warnings;
pub(crate) mod yaml;

use std::io::IsTerminal;
use std::time::Instant;

pub(crate) use self::board::Board;
pub(crate) use self::table::Table;

use self::bars::Bars;
use self::board::{Painter, Running, Tasks};
use self::jsonl::JsonLines;
use self::plain::Plain;
use self::warnings::Warnings;
use crate::arguments::Options;
use crate::outcome::Failure;

/// Who shows the progress of the command that `words` name.
///
/// # Errors
/// When the file descriptor for JSON lines is not open.
pub(crate) fn painters(options: &Options, words: &str) -> Result<Vec<Box<dyn Painter>>, Failure> {
    let mut painters = vec![for_humans(options)];
    if let Some(number) = options.progress_fd {
        let stream = descriptor::duplicate(number)?;
        painters.push(Box::new(JsonLines::new(stream, words, Instant::now())));
    }
    Ok(painters)
}

fn for_humans(options: &Options) -> Box<dyn Painter> {
    if options.quiet {
        Box::new(Warnings)
    } else if options.verbose == 0 && std::io::stderr().is_terminal() {
        Box::new(Bars::new(Instant::now()))
    } else {
        Box::new(Plain::new(Instant::now()))
    }
}
