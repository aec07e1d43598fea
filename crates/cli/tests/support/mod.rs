//! Running the command, and checking JSON against the committed schemas.

#![allow(dead_code, reason = "every test file uses a part of this")]

pub(crate) mod booted;
pub(crate) mod host;
pub(crate) mod machine;
pub(crate) mod roots;
pub(crate) mod sysroot;
pub(crate) mod twins;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The command that is tested, with the arguments of a line of words.
pub(crate) fn bootroot(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootroot"));
    command
        .args(line.split_whitespace())
        .stdin(Stdio::null())
        .env_remove("BOOTROOT_LOG");
    command
}

/// The real `ostree`, with the arguments of a line of words.
pub(crate) fn ostree(line: &str) -> Command {
    let mut command = testkit::command("ostree");
    command.args(line.split_whitespace());
    command
}

/// Standard output of a command that succeeds.
#[track_caller]
pub(crate) fn answer(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of an answer whose order the real program leaves to chance.
pub(crate) fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// Standard error of a command that fails with `code` and answers nothing.
#[track_caller]
pub(crate) fn refusal(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{command:?}: {}",
        said(&output)
    );
    assert_eq!(output.stdout, b"", "{command:?}");
    said(&output)
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails the test unless `value` follows `docs/NAME.schema.json`.
#[track_caller]
pub(crate) fn assert_valid(name: &str, value: &Value) {
    let path = testkit::workspace_root().join(format!("docs/{name}.schema.json"));
    let mut schemas = boon::Schemas::new();
    let schema = compile(&path, &mut schemas);
    if let Err(error) = schemas.validate(value, schema) {
        panic!("{value:#} is not as {} says: {error:#}", path.display());
    }
}

fn compile(path: &Path, schemas: &mut boon::Schemas) -> boon::SchemaIndex {
    let path = path.to_str().unwrap();
    boon::Compiler::new()
        .compile(path, schemas)
        .unwrap_or_else(|error| panic!("{path}: {error:#}"))
}
