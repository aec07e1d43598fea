//! What holds for every verb: exit codes, errors, progress, signals, closed pipes.

mod support;

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{answer, assert_valid, bootroot, refusal};

fn repo() -> String {
    testkit::golden("repos").join("bare").display().to_string()
}

#[test]
fn errors_have_a_cause_a_code_and_go_to_standard_error() {
    let text = refusal(&mut bootroot("ostree refs --repo /nonexistent/repo"), 1);
    assert!(
        text.starts_with("error: ") && text.contains("/nonexistent/repo"),
        "{text}"
    );
    let text = refusal(
        &mut bootroot(&format!("ostree show no/such/ref --repo {}", repo())),
        1,
    );
    assert!(text.contains("no/such/ref"), "{text}");
}

#[test]
fn mistakes_on_the_command_line_are_usage() {
    for line in [
        "",
        "no-such-verb",
        "image no-such-verb",
        "--progress-fd x status",
    ] {
        refusal(&mut bootroot(line), 2);
    }
}

#[test]
fn mistakes_below_ostree_are_told_as_its_scripts_expect() {
    for (line, expected) in [
        ("ostree refs --foo", "error: Unknown option --foo\n"),
        ("ostree --foo refs", "error: Unknown option --foo\n"),
        ("ostree show -Q", "error: Unknown option -Q\n"),
        ("ostree show", "error: OBJECT must be specified\n"),
        (
            "ostree no-such-verb",
            "error: Unknown command 'no-such-verb'\n",
        ),
        ("ostree", "error: No command specified\n"),
        ("ostree remote", "error: No command specified\n"),
    ] {
        let said = refusal(&mut bootroot(line), 1);
        assert!(said.ends_with(expected), "{line}: {said}");
        let usage = said.matches("Usage:").count();
        assert_eq!(
            usage,
            usize::from(!line.contains(" s") && !line.contains("refs")),
            "{said}"
        );
    }
}

/// As `ostree` does, and no further than the first verb.
#[test]
fn verbs_of_ostree_may_be_programs_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("ostree-hello");
    fs::write(&program, "#!/bin/sh\necho \"$@\"; exit 7\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", dir.path().display(), env::var("PATH").unwrap());
    let said = |mut command: Command| {
        let done = command.env("PATH", &path).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    let line = ["hello", "--you", "and me"];
    let mut theirs = Command::new("ostree");
    theirs.args(line);
    let mut ours = bootroot("ostree");
    ours.args(line);
    assert_eq!(said(ours), said(theirs));
    let (code, _, complaint) = said(bootroot("ostree admin hello"));
    assert_eq!(code, Some(1));
    assert!(
        complaint.ends_with("error: Unknown command 'hello'\n"),
        "{complaint}"
    );
    fs::write(&program, "#!/no/such/shell\n").unwrap();
    let (code, _, complaint) = said(bootroot("ostree hello"));
    assert_eq!(code, Some(1));
    assert!(complaint.starts_with("error: Executing "), "{complaint}");
}

#[test]
fn the_version_of_ostree_is_yaml_that_lists_features() {
    for line in ["ostree --version", "ostree refs --version"] {
        let said = answer(&mut bootroot(line));
        assert!(said.starts_with("libostree:\n Version: '"), "{said}");
        assert!(said.contains("\n Features:\n  - "), "{said}");
    }
}

#[test]
fn a_repository_can_be_named_by_the_environment() {
    let named = answer(bootroot("ostree refs").env("OSTREE_REPO", repo()));
    let said = answer(&mut bootroot(&format!("ostree refs --repo {}", repo())));
    assert_eq!(named, said);
}

#[test]
fn colours_are_for_terminals() {
    let text = refusal(&mut bootroot("ostree refs --repo /nonexistent"), 1);
    assert!(!text.contains('\u{1b}'));
    let forced = refusal(
        bootroot("ostree refs --repo /nonexistent").env("CLICOLOR_FORCE", "1"),
        1,
    );
    assert!(forced.starts_with("\u{1b}["), "{forced:?}");
    let never = refusal(
        bootroot("ostree refs --repo /nonexistent").env("NO_COLOR", "1"),
        1,
    );
    assert!(!never.contains('\u{1b}'));
}

#[test]
fn help_and_version_are_answers() {
    assert!(answer(&mut bootroot("--help")).contains("Exit codes:"));
    assert!(answer(&mut bootroot("--version")).starts_with("bootroot 0."));
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(answer(&mut bootroot(&format!("completions {shell}"))).contains("bootroot"));
    }
    let dir = tempfile::tempdir().unwrap();
    answer(&mut bootroot(&format!("man {}", dir.path().display())));
    let page = std::fs::read_to_string(dir.path().join("bootroot-ostree-ls.1")).unwrap();
    assert!(page.contains(".TH"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = bootroot(&format!("ostree ls -R -X -C golden/v --repo {}", repo()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), support::said(&output).as_str()),
        (Some(0), "")
    );
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = bootroot(&format!("ostree refs --repo {}", repo()))
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(support::said(&output).contains("standard output"));
}

/// The lines that a command writes to `--progress-fd 3`.
fn progress_of(line: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines");
    let script = format!(
        "exec {} {line} --progress-fd 3 3>{}",
        env!("CARGO_BIN_EXE_bootroot"),
        path.display()
    );
    std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines.iter().for_each(|line| assert_valid("progress", line));
    lines
}

#[test]
fn progress_follows_its_schema_and_tells_starts_and_ends() {
    let lines = progress_of(&format!("ostree fsck --quiet --repo {}", repo()));
    let types: Vec<&str> = lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    assert_eq!((types[0], *types.last().unwrap()), ("start", "finish"));
    assert_eq!(lines[0]["command"], "ostree fsck");
    let begin = lines.iter().find(|line| line["type"] == "begin").unwrap();
    let end = lines.iter().find(|line| line["type"] == "end").unwrap();
    assert_eq!((&begin["task"], &begin["id"]), (&"fsck".into(), &end["id"]));
    assert_eq!(
        (&end["outcome"], &end["done"]),
        (&"done".into(), &begin["total"])
    );
    assert_eq!(lines.last().unwrap()["exit_code"], 0);
}

#[test]
fn progress_tells_a_failure() {
    let lines = progress_of("ostree refs --repo /nonexistent/repo");
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["type"], &last["exit_code"]),
        (&"finish".into(), &1.into())
    );
    assert!(
        last["error"]
            .as_str()
            .unwrap()
            .contains("/nonexistent/repo")
    );
}

#[test]
fn a_progress_descriptor_that_is_not_open_is_refused() {
    let text = refusal(&mut bootroot("ostree refs --repo / --progress-fd 77"), 1);
    assert!(text.contains("--progress-fd 77"), "{text}");
}

#[test]
fn nothing_but_results_on_standard_output_and_silence_when_asked() {
    let output = bootroot(&format!("ostree fsck --quiet --repo {}", repo()))
        .output()
        .unwrap();
    let result = String::from_utf8_lossy(&output.stdout);
    // As with `ostree`, the verdict is a result.
    assert!(result.ends_with("no errors found.\n"), "{result}");
    assert_eq!(
        (result.lines().count(), support::said(&output).as_str()),
        (1, "")
    );
}

#[test]
fn nobody_hears_the_log_unless_asked_for_and_bad_settings_are_refused() {
    let quiet = bootroot(&format!("ostree refs --repo {}", repo()))
        .output()
        .unwrap();
    assert_eq!(support::said(&quiet), "");
    let bad = bootroot(&format!("ostree refs --repo {}", repo()))
        .env("BOOTROOT_CRASH_AT", "publish:0")
        .output()
        .unwrap();
    assert_eq!(bad.status.code(), Some(1));
}

#[test]
fn a_crash_point_kills_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let line = format!("ostree init --repo {}", dir.path().join("r").display());
    let output = bootroot(&line)
        .env("BOOTROOT_CRASH_AT", "*")
        .output()
        .unwrap();
    assert_eq!(
        output.status.signal(),
        Some(6),
        "{}",
        support::said(&output)
    );
    answer(&mut bootroot(&line));
}

/// Scripts take the first word of each line for a verb.
#[test]
fn lists_of_ostree_verbs_have_a_line_for_each() {
    for verb in [
        "",
        " admin",
        " admin instutil",
        " container image",
        " static-delta",
    ] {
        let help = answer(&mut bootroot(&format!("ostree{verb} --help")));
        let (_, list) = help.split_once("Builtin Commands:\n").unwrap();
        let words = list.lines().take_while(|line| !line.is_empty());
        let words: Vec<&str> = words
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert!(words.len() > 1, "{help}");
        for word in words {
            answer(&mut bootroot(&format!("ostree{verb} {word} --help")));
        }
    }
}
