//! As whom the program answers: as itself, or as `ostree`, whose scripts expect other things of a command line.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Command;

/// The verb below which, and the name under which, the program behaves as `ostree`.
const OSTREE: &str = "ostree";

/// Options of any level whose value is a word of its own.
const WITH_VALUE: [&str; 3] = ["--repo", "--sysroot", "--progress-fd"];

/// As whom the program answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Personality {
    /// Exit codes tell classes of errors; mistakes are explained at length.
    #[default]
    Bootroot,
    /// Every failure is exit code 1 and one line that begins with `error:`.
    Ostree,
}

/// Stages of osbuild and the verbs below `bootroot osbuild` that they are.
const STAGES: [(&str, &str); 2] = [
    (osbuild::DEPLOY_STAGE, "ostree-deploy"),
    (osbuild::ENCAPSULATE_STAGE, "ostree-encapsulate"),
];

/// The words of a command line as the parser wants them, and as whom to answer.
///
/// A program called `ostree` is `bootroot ostree`, and one called like a stage of osbuild is that stage. Below
/// `ostree` options may stand before the verbs that they belong to: the first word that is no option is the verb.
pub(crate) fn arrange(mut words: Vec<OsString>, command: &Command) -> (Vec<OsString>, Personality) {
    let name = words.first().map(Path::new).and_then(Path::file_name);
    if name == Some(OsStr::new(OSTREE)) {
        words.insert(1, OSTREE.into());
    } else if let Some((_, verb)) = STAGES
        .iter()
        .find(|(stage, _)| name == Some(OsStr::new(stage)))
    {
        words.splice(1..1, ["osbuild".into(), verb.into()]);
    }
    let place = verb_place(&words, 1).filter(|place| words[*place] == OSTREE);
    let (Some(place), Some(below)) = (place, command.find_subcommand(OSTREE)) else {
        return (words, Personality::Bootroot);
    };
    bring_verbs_forward(&mut words, place + 1, below);
    (words, Personality::Ostree)
}

fn bring_verbs_forward(words: &mut [OsString], front: usize, command: &Command) {
    if !command.has_subcommands() {
        return;
    }
    let Some(place) = verb_place(words, front) else {
        return;
    };
    words[front..=place].rotate_right(1);
    if let Some(below) = command.find_subcommand(&words[front]) {
        bring_verbs_forward(words, front + 1, below);
    }
}

/// Where the first word is that is neither an option nor the value of one.
fn verb_place(words: &[OsString], from: usize) -> Option<usize> {
    let mut place = from;
    loop {
        let word = words.get(place)?.as_encoded_bytes();
        if word == b"--" {
            return None;
        }
        if !word.starts_with(b"-") {
            return Some(place);
        }
        let takes_next = WITH_VALUE.iter().any(|name| name.as_bytes() == word);
        place += if takes_next { 2 } else { 1 };
    }
}

/// Gives the `ostree` verbs the habits of their model: the last of repeated options counts, `--version`
/// is understood everywhere, and help lists verbs under the title that scripts look for.
pub(crate) fn dress(command: Command) -> Command {
    command.mut_subcommand(OSTREE, |ostree| {
        titled(ostree)
            .version("")
            .propagate_version(true)
            .args_override_self(true)
    })
}

/// The help of the deepest verb that `words` name.
pub(crate) fn usage(command: &mut Command, words: &[OsString]) -> String {
    let mut found = command;
    for word in words.iter().skip(1) {
        if found.find_subcommand(word).is_none() {
            break;
        }
        found = found.find_subcommand_mut(word).expect("just found");
    }
    found.render_help().to_string()
}

fn titled(command: Command) -> Command {
    command
        .subcommand_help_heading("Builtin Commands")
        .mut_subcommands(titled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::CommandLine;
    use clap::CommandFactory;

    fn arranged(line: &str) -> (String, Personality) {
        let words = line.split(' ').map(OsString::from).collect();
        let (words, personality) = arrange(words, &CommandLine::command());
        (
            words.join(OsStr::new(" ")).into_string().unwrap(),
            personality,
        )
    }

    #[test]
    fn verbs_come_before_their_options() {
        for (line, expected) in [
            ("ostree --repo=r refs", "ostree ostree refs --repo=r"),
            ("ostree --repo r refs", "ostree ostree refs --repo r"),
            (
                "/bin/ostree --x remote --set=a=b add u",
                "/bin/ostree ostree remote add --x --set=a=b u",
            ),
            (
                "bootroot --repo r ostree -v refs a",
                "bootroot --repo r ostree refs -v a",
            ),
            ("ostree -- refs", "ostree ostree -- refs"),
        ] {
            assert_eq!(arranged(line), (expected.to_owned(), Personality::Ostree));
        }
    }

    #[test]
    fn other_verbs_are_left_alone() {
        let line = "bootroot --repo ostree status";
        assert_eq!(arranged(line), (line.to_owned(), Personality::Bootroot));
    }
}
