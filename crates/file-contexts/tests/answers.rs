//! Replays what the real `matchpathcon` answered (recorded by `fixtures/make_answers.sh`).

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use file_contexts::{FileContextSources, Policy};

/// Look-ups where libselinux 3.11 does not follow its own documented rule and this crate does: two
/// equal specifications in one file (which `setfiles -c` and `semodule` refuse anyway; 3.11 takes the
/// first), and `<<none>>` in a deeper directory against a later, less specific match (3.4 agrees
/// with us). The column is our answer.
const DEVIATIONS: &[(&str, &str, &str)] = &[
    ("any", "/first/literal", "s:r:literal_second_t:s0"),
    ("file", "/first/literal", "s:r:literal_second_t:s0"),
    ("any", "/kinds/literal", "s:r:kind_all_t:s0"),
    ("file", "/kinds/literal", "s:r:kind_all_t:s0"),
    ("any", "/deep/none/later", "s:r:later_root_t:s0"),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A fixture file, plain or compressed; `None` when there is neither.
fn load(dir: &Path, name: &str) -> Option<Vec<u8>> {
    if let Ok(bytes) = fs::read(dir.join(name)) {
        return Some(bytes);
    }
    let packed = fs::read(dir.join(format!("{name}.gz"))).ok()?;
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_end(&mut bytes)
        .expect("fixture is gzip");
    Some(bytes)
}

fn policy(dir: &Path) -> Policy {
    let optional = |name: &str| load(dir, &format!("file_contexts.{name}"));
    let (homedirs, local) = (optional("homedirs"), optional("local"));
    let (subs, subs_dist) = (optional("subs"), optional("subs_dist"));
    Policy::parse(FileContextSources {
        file_contexts: &load(dir, "file_contexts").expect("fixture has a policy"),
        homedirs: homedirs.as_deref(),
        local: local.as_deref(),
        subs: subs.as_deref(),
        subs_dist: subs_dist.as_deref(),
    })
    .expect("libselinux accepts the policy")
}

fn mode(kind: &str) -> u32 {
    match kind {
        "any" => 0,
        "file" => 0o100_644,
        "dir" => 0o040_755,
        "lnk_file" => 0o120_777,
        "chr_file" => 0o020_600,
        "blk_file" => 0o060_600,
        "sock_file" => 0o140_600,
        "pipe" => 0o010_600,
        other => panic!("unknown type {other}"),
    }
}

fn decode(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        out.push(u8::from_str_radix(code, 16).expect("two hexadecimal digits"));
        out.extend_from_slice(rest.as_bytes());
    }
    out
}

fn expected<'a>(kind: &str, path: &str, recorded: &'a str) -> &'a str {
    DEVIATIONS
        .iter()
        .find(|(k, p, _)| (*k, *p) == (kind, path))
        .map_or(recorded, |(_, _, ours)| ours)
}

/// Compares every recorded answer and returns how many there were.
fn replay(dir: &Path) -> usize {
    let policy = policy(dir);
    let answers = String::from_utf8(load(dir, "answers.tsv").expect("answers")).expect("ASCII");
    let mut wrong = Vec::new();
    for line in answers.lines() {
        let mut fields = line.split('\t');
        let (Some(kind), Some(path), Some(label)) = (fields.next(), fields.next(), fields.next())
        else {
            panic!("not an answer: {line}");
        };
        let got = policy
            .label(&decode(path), mode(kind))
            .unwrap_or("<<none>>");
        if got != expected(kind, path, label) {
            wrong.push(format!("{line}\n    ours: {got}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        answers.lines().count(),
        wrong.join("\n")
    );
    answers.lines().count()
}

#[test]
fn debian_12_policy() {
    assert!(replay(&fixtures().join("bookworm")) > 10_000);
}

#[test]
fn debian_13_policy() {
    assert!(replay(&fixtures().join("trixie")) > 10_000);
}

#[test]
fn small_policies() {
    for case in ["precedence", "subs", "dialect", "stems", "quirks", "empty"] {
        assert!(replay(&fixtures().join("cases").join(case)) > 0, "{case}");
    }
}

/// The list of deviations must not outlive its reasons.
#[test]
fn deviations_are_recorded() {
    let answers = fs::read_to_string(fixtures().join("cases/quirks/answers.tsv")).expect("answers");
    for (kind, path, ours) in DEVIATIONS {
        let start = format!("{kind}\t{path}\t");
        let line = answers
            .lines()
            .find(|line| line.starts_with(&start))
            .expect("deviation was recorded");
        assert_ne!(line.split('\t').nth(2), Some(*ours), "{line}");
    }
}

#[test]
fn threads_get_the_same_answers() {
    let policy = policy(&fixtures().join("bookworm"));
    let answers = load(&fixtures().join("bookworm"), "answers.tsv").expect("answers");
    let answers = String::from_utf8(answers).expect("ASCII");
    let lines: Vec<_> = answers.lines().take(4000).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for line in &lines {
                    let fields: Vec<_> = line.split('\t').collect();
                    let got = policy
                        .label(&decode(fields[1]), mode(fields[0]))
                        .unwrap_or("<<none>>");
                    assert_eq!(got, fields[2], "{line}");
                }
            });
        }
    });
}

/// Patterns that libselinux accepts and this crate refuses: repetitions of look-around or of an empty
/// group, and possessive counted repetitions.
const REFUSED_PATTERNS: usize = 6;

/// The directory a random pattern and its look-ups are in.
fn directory(path: &str) -> &str {
    path.split('/').nth(1).expect("a directory")
}

#[test]
fn random_patterns() {
    let dir = fixtures().join("random");
    let text = |name: &str| String::from_utf8(load(&dir, name).expect("fixture")).expect("ASCII");
    let (specs, answers) = (text("file_contexts"), text("answers.tsv"));
    let mut by_directory: HashMap<&str, Vec<Vec<&str>>> = HashMap::new();
    for line in answers.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        by_directory
            .entry(directory(fields[1]))
            .or_default()
            .push(fields);
    }
    let (mut refused, mut compared) = (0, 0);
    for line in specs.lines() {
        let sources = FileContextSources {
            file_contexts: line.as_bytes(),
            ..Default::default()
        };
        let Ok(policy) = Policy::parse(sources) else {
            refused += 1;
            continue;
        };
        for fields in &by_directory[directory(line)] {
            let got = policy.label(&decode(fields[1]), 0).unwrap_or("<<none>>");
            assert_eq!(got, fields[2], "{line}: {}", fields[1]);
            compared += 1;
        }
    }
    assert_eq!(refused, REFUSED_PATTERNS);
    assert!(compared > 20_000, "{compared}");
}
