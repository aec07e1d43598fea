//! `--quiet`: warnings only.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use super::Painter;

const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Shows warnings only.
pub(crate) struct Warnings;

impl Painter for Warnings {
    fn note(&mut self, text: &str) {
        print(text);
    }
}

/// Writes a warning to standard error. When that fails there is nobody to tell.
pub(crate) fn print(text: &str) {
    let mut stderr = anstream::stderr().lock();
    writeln!(stderr, "{WARNING}warning:{WARNING:#} {text}").unwrap_or_default();
}
