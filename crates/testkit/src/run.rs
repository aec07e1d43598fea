//! Running programs so that a failure shows everything they said.

use std::process::{Command, Output};

/// Runs `command` to its end and returns its output.
///
/// # Panics
/// When it cannot be started or does not succeed; the message carries the command line, the exit
/// status, and both output streams.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = output(command);
    assert!(output.status.success(), "{}", report(command, &output));
    output
}

/// Runs `command` and returns its standard output as text, without the final newline.
///
/// # Panics
/// As [`run`], and when the output is not UTF-8.
#[track_caller]
pub fn stdout(command: &mut Command) -> String {
    let output = run(command);
    let text = String::from_utf8(output.stdout).expect("the program's output is UTF-8");
    text.trim_end_matches('\n').to_owned()
}

/// Runs `command`, which must fail, and returns its output.
///
/// # Panics
/// When it cannot be started, succeeds, or is killed by a signal (a crash is not a refusal).
#[track_caller]
pub fn fails(command: &mut Command) -> Output {
    let output = output(command);
    let refused = output.status.code().is_some_and(|code| code != 0);
    assert!(
        refused,
        "was expected to fail: {}",
        report(command, &output)
    );
    output
}

/// Runs a shell script with `sh -euc` and returns its standard output (see [`stdout`]).
#[track_caller]
pub fn shell(script: &str) -> String {
    stdout(Command::new("sh").args(["-euc", script]))
}

#[track_caller]
fn output(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {command:?}: {error}"),
    }
}

fn report(command: &Command, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    format!(
        "{command:?}: {}\n--- stdout\n{out}\n--- stderr\n{err}\n---",
        output.status
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stdout_loses_only_the_last_newline() {
        assert_eq!(shell("printf 'a\\n b\\n'"), "a\n b");
    }

    #[test]
    #[should_panic(expected = "because of this")]
    fn failure_shows_stderr() {
        shell("echo because of this >&2; exit 3");
    }

    #[test]
    fn refusal_is_returned() {
        let output = fails(Command::new("sh").args(["-c", "echo no; exit 4"]));
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(4), &b"no\n"[..])
        );
    }

    #[test]
    #[should_panic(expected = "was expected to fail")]
    fn success_is_not_a_refusal() {
        fails(&mut Command::new("true"));
    }

    #[test]
    #[should_panic(expected = "signal")]
    fn crash_is_not_a_refusal() {
        fails(Command::new("sh").args(["-c", "kill -9 $$"]));
    }
}
