//! Verbs of `ostree` that other programs bring: `ostree NAME` is `ostree-NAME`.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::environment;

/// Where packages put such programs; they come before those in `PATH`.
const DIRECTORIES: [&str; 2] = ["/usr/libexec/libostree/ext", "/usr/lib/ostree"];

/// A program that has the verb of a command line.
#[derive(Debug)]
pub(crate) struct Extension {
    program: PathBuf,
    /// The verb and what stands behind it.
    arguments: Vec<OsString>,
}

impl Extension {
    /// The program for `words`, a command line that was arranged and whose verb is none of our own.
    pub(crate) fn of(words: &[OsString]) -> Option<Self> {
        let arguments = words.get(2..)?;
        let verb = arguments.first()?;
        if verb.is_empty() || verb.as_bytes().contains(&b'/') || verb.as_bytes().starts_with(b"-") {
            return None;
        }
        let mut name = OsString::from("ostree-");
        name.push(verb);
        let places = DIRECTORIES.map(PathBuf::from).into_iter();
        let program = places
            .chain(environment::program_directories())
            .map(|directory| directory.join(&name))
            .find(|program| program.is_file())?;
        let arguments = arguments.to_vec();
        Some(Self { program, arguments })
    }

    /// Become that program, which gets the verb as its first argument; returns only what kept it from starting.
    pub(crate) fn run(&self) -> io::Error {
        let error = Command::new(&self.program).args(&self.arguments).exec();
        io::Error::new(
            error.kind(),
            format!("Executing {}: {error}", self.program.display()),
        )
    }
}
