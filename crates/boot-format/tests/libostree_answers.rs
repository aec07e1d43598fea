//! The formats against the recorded answers of libostree and glib (`fixtures/make_answers.sh`).

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use boot_format::{BlsEntry, KernelArgError, KernelArgs, Tries, os_release, version_order};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(fixture(name)).unwrap()
}

/// Questions with their answers, line by line.
fn pairs(kind: &str) -> Vec<(String, String)> {
    let (questions, answers) = (
        read(&format!("{kind}.questions")),
        read(&format!("{kind}.answers")),
    );
    let own = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (questions, answers) = (own(&questions), own(&answers));
    assert_eq!(questions.len(), answers.len());
    questions.into_iter().zip(answers).collect()
}

fn edit(args: &mut KernelArgs, operation: &str) -> Result<(), KernelArgError> {
    let (verb, arg) = operation.split_once(':').unwrap();
    match verb {
        "append" => args.append(arg),
        "append-if-missing" => args.append_if_missing(arg),
        "replace" => args.set(arg),
        "new-replace" => args.replace(arg)?,
        "delete" => args.delete(arg)?,
        "delete-if-present" => args.delete_if_present(arg)?,
        other => panic!("{other}"),
    }
    Ok(())
}

fn answer(question: &str) -> Result<String, KernelArgError> {
    let mut fields = question.split('\t');
    let mut args = KernelArgs::parse(fields.next().unwrap());
    fields.try_for_each(|operation| edit(&mut args, operation))?;
    Ok(args.to_string())
}

#[test]
fn kernel_arguments_are_edited_alike() {
    for (question, expected) in pairs("kargs") {
        match answer(&question) {
            Ok(line) => assert_eq!(format!("ok\t=\t{line}"), expected, "{question:?}"),
            Err(error) => assert_eq!(refusal(&expected), kind(&error), "{question:?}: {expected}"),
        }
    }
}

fn refusal(answer: &str) -> &'static str {
    match answer.strip_prefix("error\t=\t").unwrap_or("") {
        text if text.starts_with("No key") => "no key",
        text if text.starts_with("No karg") => "no value",
        text if text.starts_with("Multiple values") => "ambiguous",
        _ => "not refused",
    }
}

fn kind(error: &KernelArgError) -> &'static str {
    match error {
        KernelArgError::NoKey(_) => "no key",
        KernelArgError::NoValue(_) => "no value",
        KernelArgError::Ambiguous(_) => "ambiguous",
        other => panic!("{other}"),
    }
}

#[test]
fn versions_are_ordered_alike() {
    for (question, expected) in pairs("verscmp") {
        let (a, b) = question.split_once('\t').unwrap();
        let expected = expected.parse::<i32>().unwrap().cmp(&0);
        assert_eq!(
            version_order(a.as_bytes(), b.as_bytes()),
            expected,
            "{a:?} {b:?}"
        );
        assert_eq!(version_order(a.as_bytes(), a.as_bytes()), Ordering::Equal);
    }
}

#[test]
fn quotes_are_resolved_alike() {
    for (question, expected) in pairs("unquote") {
        let ours = os_release::unquote(&question)
            .map_or("error\t".to_owned(), |text| format!("ok\t{text}"));
        assert_eq!(ours, expected, "{question:?}");
    }
}

#[test]
fn entries_are_rewritten_alike() {
    for line in read("bls/tries.answers").lines() {
        let [name, left, done] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let entry = BlsEntry::parse(&read(&format!("bls/{name}")));
        assert_eq!(
            sorted_tail(&entry.to_string()),
            sorted_tail(&read(&format!("bls/{name}.rewritten")))
        );
        let tries = Tries::of_file(name).unwrap_or(Tries {
            left: 0,
            done: None,
        });
        let ours = (tries.left.to_string(), tries.done.unwrap_or(0).to_string());
        assert_eq!(ours, (left.to_owned(), done.to_owned()), "{name}");
    }
}

/// libostree writes keys that it does not know in the order of a hash table: sort those.
fn sorted_tail(text: &str) -> (Vec<String>, Vec<String>) {
    let known = [
        "title",
        "version",
        "options",
        "devicetree",
        "linux",
        "initrd",
    ];
    let is_known = |line: &String| known.iter().any(|key| line.starts_with(&format!("{key} ")));
    let (head, mut tail): (Vec<_>, Vec<_>) =
        text.split('\n').map(str::to_owned).partition(is_known);
    tail.sort();
    (head, tail)
}
