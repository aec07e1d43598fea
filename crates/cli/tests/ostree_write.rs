//! Verbs of `bootroot ostree` that write, beside the real `ostree`: the same input in two
//! repositories, the same answers, the same commits.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use support::twins::Twins;
use support::{answer, bootroot, ostree, refusal};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn commits_have_the_same_checksum() {
    for mode in ["bare", "bare-user", "bare-user-only", "archive"] {
        let twins = Twins::new(mode);
        fs::write(twins.path("modes"), "2048 /hello\n=384 /usr\n").unwrap();
        fs::write(twins.path("skip"), "/usr/lib\n").unwrap();
        fs::write(twins.path("text"), "line 1\nline 2\n").unwrap();
        fs::create_dir(twins.path("more")).unwrap();
        fs::write(twins.path("more/hello"), "other").unwrap();
        for options in [
            "-b main tree",
            "-b main -s again -m body tree",
            "--branch=main --subject=again -F text tree",
            "-b main --parent=none tree",
            "--orphan tree",
            "--orphan -b main tree",
            "-b x --no-bindings tree",
            "-b x --bind-ref=b --bind-ref=a tree",
            "-b x --owner-uid=3 --owner-gid=4 tree",
            "-b x --canonical-permissions --no-xattrs tree",
            "-b x --mode-ro-executables tree",
            "-b x --statoverride=modes tree",
            "-b x --skip-list=skip tree",
            "-b x --add-metadata-string=version=1=2 tree",
            "-b x --keep-metadata=version tree",
            "-b x --tree=dir=tree --tree=dir=more",
            "-b x --tree=ref=main --tree=dir=more",
            "-b x --tree=dir=more --table-output",
            "-b x --skip-if-unchanged --tree=dir=more",
            "-b x --link-checkout-speedup tree",
        ] {
            twins.same(&format!("commit --timestamp=@100 {options}"));
        }
        let main = twins.same("rev-parse main");
        twins.same(&format!(
            "commit -b y --parent={} --timestamp=@9 tree",
            main.trim()
        ));
        twins.same("rev-parse main x y");
        twins.check();
    }
}

#[test]
fn bootable_commits_name_their_kernel() {
    let twins = Twins::new("archive");
    let line = "commit --bootable --no-bindings --timestamp=@100 -b main tree";
    twins.same(line);
    assert!(twins.same("show --raw main").contains("6.1.0"));
    let mut line = line.to_owned();
    for key in ["version", "a", "b", "distro", "long.key.with.dots"] {
        line.push_str(&format!(" --add-metadata-string={key}=v"));
        twins.same(&line);
    }
    // The order of GLib's dictionary, also when it grows.
    for number in 0..40 {
        line.push_str(&format!(" --add-metadata-string=key.{number}=v"));
        twins.same(&line);
    }
    fs::remove_dir_all(twins.path("tree/usr")).unwrap();
    twins.refused(&line);
}

#[test]
fn what_was_consumed_is_gone() {
    let twins = Twins::new("bare-user");
    answer(&mut twins.ours("commit -b main --consume tree"));
    assert!(!twins.path("tree").exists());
    twins.check();
}

#[test]
fn commits_that_make_no_sense_are_refused() {
    let twins = Twins::new("bare-user");
    for line in [
        "commit tree",
        "commit -b main nothing-here",
        "commit -b main --parent=nobody tree",
        "commit -b main --timestamp=soon tree",
        "commit -b main --add-metadata-string=x tree",
        "commit -b main --add-metadata-string==x tree",
        "commit -b main --statoverride=nothing-here tree",
    ] {
        twins.refused(line);
    }
    assert_eq!(twins.same("refs"), "");
}

#[test]
fn logs_are_the_same() {
    let twins = Twins::new("archive");
    twins.history();
    for line in ["log main", "log main^", "log --raw main"] {
        assert!(twins.same(line).contains("commit "));
    }
    twins.refused("log nobody");
    let parent = answer(&mut twins.theirs("rev-parse main^"));
    let (head, rest) = parent.trim().split_at(2);
    for repo in ["ours", "theirs"] {
        fs::remove_file(
            twins
                .path(repo)
                .join(format!("objects/{head}/{rest}.commit")),
        )
        .unwrap();
    }
    assert!(twins.same("log main").contains("<< History beyond"));
}

#[test]
fn prunes_delete_and_say_the_same() {
    for mode in ["bare", "bare-user", "archive"] {
        let twins = Twins::new(mode);
        twins.history();
        let gone = twins.same("commit --orphan -s gone --timestamp=@5 tree");
        for line in [
            "prune",
            "prune --no-prune --refs-only",
            "prune --refs-only",
            "prune --no-prune --refs-only --depth=0",
            "prune --no-prune --keep-younger-than=@150",
            "prune --no-prune --keep-younger-than=1970-01-02",
            "prune --no-prune --retain-branch-depth=main=1",
            "prune --commit-only --refs-only --depth=1",
            "prune --only-branch=main --depth=0",
        ] {
            twins.same(line);
        }
        let left = |repo: &str| {
            let mut found = Vec::new();
            for head in names(&twins.path(repo).join("objects")) {
                found.extend(names(&twins.path(repo).join("objects").join(head)));
            }
            found
        };
        assert_eq!(left("ours"), left("theirs"));
        for line in [
            "prune --delete-commit=main",
            "prune --only-branch=nobody",
            "prune --retain-branch-depth=main",
            "prune --keep-younger-than=soon",
        ] {
            twins.refused(line);
        }
        twins.refused(&format!("prune --delete-commit={}", gone.trim()));
        twins.check();
    }
}

#[test]
fn a_commit_without_a_ref_is_deleted() {
    let twins = Twins::new("archive");
    twins.history();
    let gone = twins.same("commit --orphan -s gone --timestamp=@5 tree");
    twins.same(&format!("prune --delete-commit={}", gone.trim()));
    twins.same("config get core.tombstone-commits");
}

#[test]
fn checkouts_have_the_same_files() {
    for mode in ["bare", "bare-user", "archive"] {
        let twins = Twins::new(mode);
        twins.history();
        for (number, options) in [
            "",
            "-U",
            "--subpath=/usr/lib",
            "-C",
            "--union",
            "--union-add",
        ]
        .into_iter()
        .enumerate()
        {
            let (ours, theirs) = (format!("ours.{number}"), format!("theirs.{number}"));
            answer(&mut twins.ours(&format!("checkout {options} main {ours}")));
            answer(&mut twins.theirs(&format!("checkout {options} main {theirs}")));
            let listing = |name: &str| {
                let mut list = Command::new("find");
                list.current_dir(twins.path(name));
                answer(list.args([".", "-printf", "%P %y %m %U %G %s %l\n"]))
                    .lines()
                    .map(str::to_owned)
                    .filter(|line| !line.starts_with(" d"))
                    .collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(listing(&ours), listing(&theirs), "{mode} {options}");
        }
        answer(&mut twins.ours("checkout --allow-noent --subpath=/nothing main gone"));
        assert!(!twins.path("gone").exists());
        refusal(&mut twins.ours("checkout main ours.0"), 1);
        for line in [
            "checkout --union-identical main x",
            "checkout nobody x",
            "checkout --subpath=/nothing main x",
        ] {
            assert!(!twins.ours(line).output().unwrap().status.success());
            assert!(!twins.theirs(line).output().unwrap().status.success());
        }
    }
}

#[test]
fn settings_are_shown_and_changed() {
    let twins = Twins::new("archive");
    for line in [
        "config get core.mode",
        "config --group=core get mode",
        "config set core.min-free-space-percent 1",
        "config set a.b.c d",
        "config get a.b.c",
        "config set a.gone d",
        "config unset a.gone",
        "config unset a.gone",
    ] {
        twins.same(line);
    }
    for line in [
        "config get a.gone",
        "config get gone.a",
        "config get nodot",
        "config set core.x",
        "config get core.mode extra",
    ] {
        twins.refused(line);
    }
    let config = |repo| fs::read_to_string(twins.path(repo).join("config")).unwrap();
    assert_eq!(config("ours"), config("theirs"));
}

#[test]
fn a_ref_is_reset() {
    let twins = Twins::new("archive");
    twins.history();
    twins.same("reset main main^");
    twins.same("rev-parse main");
    twins.refused("reset main nobody");
}

#[test]
fn contents_are_printed() {
    let twins = Twins::new("archive");
    symlink("/usr/lib/../lib/modules", twins.path("tree/modules")).unwrap();
    symlink("loop", twins.path("tree/loop")).unwrap();
    twins.history();
    assert_eq!(twins.same("cat main /hello link"), "threethree");
    assert_eq!(
        answer(&mut twins.ours("cat main modules/6.1.0/vmlinuz")),
        "kernel"
    );
    for line in ["cat main /nothing", "cat main /usr", "cat main"] {
        twins.refused(line);
    }
    refusal(&mut twins.ours("cat main loop"), 1);
}

#[test]
fn differences_are_the_same() {
    let twins = Twins::new("bare-user");
    twins.history();
    fs::remove_dir_all(twins.path("tree/usr")).unwrap();
    fs::create_dir_all(twins.path("tree/new/dir")).unwrap();
    fs::write(twins.path("tree/new/dir/file"), "x").unwrap();
    twins.same("commit -b main --timestamp=@400 tree");
    for line in [
        "diff main",
        "diff main^ main",
        "diff main main^",
        "diff main main",
        "diff main^ ./tree",
        "diff ./tree main^",
    ] {
        let lines = |text: String| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let ours = lines(answer(&mut twins.ours(line)));
        assert_eq!(ours, lines(answer(&mut twins.theirs(line))), "{line}");
    }
    twins.refused("diff main nobody");
}

#[test]
fn remotes_are_configured() {
    let twins = Twins::new("archive");
    for line in [
        "remote add a http://example.com/repo",
        "remote add --no-gpg-verify --set=k=v bb file:///nowhere x y",
        "remote add --if-not-exists a http://example.com/other",
        "remote list",
        "remote list -u",
        "remote show-url a",
        "remote add --no-sign-verify --contenturl=http://c --collection-id=org.a.B q metalink=http://m",
        "remote delete a",
        "remote delete --if-exists a",
        "remote list",
    ] {
        twins.same(line);
    }
    for line in [
        "remote delete a",
        "remote show-url a",
        "remote show-url q",
        "remote add bb http://example.com",
        "remote add bb",
    ] {
        twins.refused(line);
    }
    let config = |repo| fs::read_to_string(twins.path(repo).join("config")).unwrap();
    assert_eq!(config("ours"), config("theirs"));
}

#[test]
fn summaries_are_shown() {
    let twins = Twins::new("archive");
    twins.history();
    twins.refused("summary");
    answer(&mut twins.ours("summary -u"));
    let ours = answer(&mut twins.ours("summary --view"));
    let theirs = answer(&mut ostree(&format!(
        "summary --view --repo={}",
        twins.path("ours").display()
    )));
    // As newer versions of the real program say at the end.
    assert_eq!(ours, theirs + "Summary is unsigned\n");
    assert_eq!(answer(&mut twins.ours("summary -v")), ours);
    let add = format!("remote add o file://{}", twins.path("ours").display());
    twins.same(&add);
    assert_eq!(twins.same("remote refs o"), "o:main\n");
}

#[test]
fn refs_follow_others() {
    let twins = Twins::new("archive");
    twins.history();
    twins.same("refs -A --create=stable main");
    twins.same("rev-parse stable");
    assert_eq!(twins.same("refs -A"), "stable -> main\n");
    twins.refused("refs -A --create=other nobody");
    twins.refused("refs --delete main");
    twins.same("rev-parse stable");
}

#[test]
fn sizes_are_noted_as_ostree_notes_them() {
    let twins = Twins::new("archive");
    let line = "commit -b main --timestamp=@100 --generate-sizes --tree=dir=tree";
    answer(&mut twins.ours(line));
    answer(&mut twins.theirs(line));
    // Packed sizes are those of the compressor; which objects there are, and how large, is not.
    let numbers = |text: String| {
        let lines = text.lines().filter(|line| !line.contains("Compressed"));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        numbers(answer(&mut twins.ours("show --print-sizes main"))),
        numbers(answer(&mut twins.theirs("show --print-sizes main")))
    );
}

#[test]
fn refs_of_collections_are_kept_as_ostree_keeps_them() {
    let twins = Twins::new("archive");
    twins.history();
    twins.same("config set core.collection-id org.example.Own");
    for line in [
        "refs --collections",
        "refs --collections --create=org.example.Other:copy main",
        "refs --collections --create=org.example.Own:own main",
        "refs --collections org.example.Other",
        "refs --collections --delete org.example.Other",
        "refs --collections",
    ] {
        twins.same_lines(line);
    }
    // The real program of this version does not mind a ref that is there already; newer ones do.
    let again = "refs --collections --create=org.example.Own:main main";
    refusal(&mut twins.ours(again), 1);
    twins.refused("refs --collections --create=nonsense main");
    twins.check();
}

#[test]
fn files_and_directories_have_the_checksums_that_ostree_gives_them() {
    let twins = Twins::new("bare");
    for line in ["hello", "link", "usr", "--ignore-xattrs hello"] {
        let line = line
            .replace("hello", "tree/hello")
            .replace("usr", "tree/usr");
        let line = line.replace("link", "tree/link");
        let ours = answer(&mut twins.command(bootroot(&format!("ostree checksum {line}"))));
        let theirs = answer(&mut twins.command(ostree(&format!("checksum {line}"))));
        assert_eq!(ours, theirs, "{line}");
    }
}

/// What is said of damage by a check, which tells what it does on standard output.
#[track_caller]
fn found_wanting(check: &mut Command) -> String {
    let output = check.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{check:?}");
    support::said(&output)
}

#[test]
fn damage_is_told_marked_and_removed() {
    for mode in ["bare", "bare-user", "archive"] {
        let twins = Twins::new(mode);
        twins.history();
        let listed = answer(&mut twins.ours("ls -C main /hello"));
        let checksum = listed.split_whitespace().nth(4).unwrap().to_owned();
        let kind = if mode == "archive" { "filez" } else { "file" };
        let object = |repo: &str| {
            let path = format!("objects/{}/{}.{kind}", &checksum[..2], &checksum[2..]);
            twins.path(repo).join(path)
        };
        fs::remove_file(object("theirs")).unwrap();
        let bytes = fs::read(object("ours")).unwrap();
        fs::write(object("ours"), &bytes[..bytes.len() - 1]).unwrap();
        let said = found_wanting(&mut twins.ours("fsck"));
        assert!(said.contains("error: In commits "), "{said}");
        let said = found_wanting(&mut twins.ours("fsck --delete"));
        assert!(
            said.contains(&checksum) && said.contains("Marking commit as partial"),
            "{said}"
        );
        assert!(!object("ours").exists());
        found_wanting(&mut twins.theirs("fsck"));
        // Both know now that something is missing, in the same way.
        for repo in ["ours", "theirs"] {
            let marks = names(&twins.path(repo).join("state"));
            assert!(
                marks.iter().any(|name| name.ends_with(".commitpartial")),
                "{marks:?}"
            );
        }
        let said = found_wanting(&mut twins.ours("fsck"));
        assert!(
            said.contains("error: 1 partial commits from fsck-detected corruption"),
            "{said}"
        );
    }
}

#[test]
fn commits_may_be_older_than_1970() {
    let twins = Twins::new("archive");
    for time in ["November 05 1955", "1969-12-31 23:59:59 +0000", "@-5"] {
        let commit = |mut command: Command| answer(command.arg(format!("--timestamp={time}")));
        let line = "commit -b main -s x tree";
        assert_eq!(
            commit(twins.ours(line)),
            commit(twins.theirs(line)),
            "{time}"
        );
        let shown = twins.same("show main");
        assert!(shown.contains("Date:  19"), "{shown}");
    }
    twins.same("prune --refs-only --keep-younger-than=@100");
    twins.same("log main");
}

#[test]
fn a_message_is_written_in_an_editor() {
    let twins = Twins::new("archive");
    let commit = |mut command: Command, editor: &str| {
        command.args(["commit", "-b", "main", "-e", "--timestamp=@100", "tree"]);
        command.env("OSTREE_EDITOR", editor).env("TERM", "xterm");
        command
    };
    let write = "printf 'new subject\\n\\n# remark\\nfirst\\nsecond\\n\\n' >";
    let [ours, theirs] = [twins.ours(""), twins.theirs("")];
    assert_eq!(
        answer(&mut commit(ours, write)),
        answer(&mut commit(theirs, write))
    );
    assert!(
        twins
            .same("show main")
            .contains("    new subject\n\n    first\n    second\n")
    );
    for editor in ["false", "true", "nothing-here"] {
        refusal(&mut commit(twins.ours(""), editor), 1);
    }
    // What the options say is where the editor begins.
    let mut kept = commit(twins.ours(""), "true");
    answer(kept.args(["-s", "kept subject", "-m", "kept body"]));
    let shown = answer(&mut twins.ours("show main"));
    assert!(
        shown.contains("    kept subject\n\n    kept body\n"),
        "{shown}"
    );
}

#[test]
fn statistics_of_two_commits_are_the_same() {
    let twins = Twins::new("archive");
    twins.history();
    for line in [
        "diff --stats main^ main",
        "diff --stats main",
        "diff --stats main main",
        "diff --stats --fs-diff main^^ main",
    ] {
        assert!(twins.same(line).contains("Common Object Count: "));
    }
    twins.refused("diff --stats main nobody");
}

#[test]
fn files_are_shown_as_variants() {
    let twins = Twins::new("archive");
    fs::write(twins.path("value"), b"\x01\x02\x03\x04").unwrap();
    for of in ["u", "ay", "(qyy)"] {
        twins.same(&format!("show --print-variant-type={of} value"));
        twins.same(&format!("show -B --print-variant-type={of} value"));
    }
    twins.refused("show --print-variant-type=u none");
}

#[test]
fn static_deltas_alone_are_pruned() {
    let twins = Twins::new("archive");
    twins.history();
    for line in ["main^", "main"] {
        let line = format!("static-delta generate {line}");
        answer(&mut twins.ours(&line));
        answer(&mut twins.theirs(&line));
    }
    let commit = twins.same("rev-parse main");
    let delete = format!(
        "prune --static-deltas-only --delete-commit={}",
        commit.trim()
    );
    twins.same(&delete);
    assert_eq!(twins.same("static-delta list").lines().count(), 1);
    twins.same("log main");
    for depth in ["main=BACON", "main"] {
        twins.refused(&format!("prune --retain-branch-depth={depth}"));
    }
    twins.refused("prune --static-deltas-only");
    twins.refused("prune --static-deltas-only --keep-younger-than=@200");
    assert_eq!(twins.same("static-delta list").lines().count(), 1);
}

#[test]
fn an_alias_needs_a_ref_to_follow() {
    let twins = Twins::new("archive");
    twins.history();
    let line = "refs -A --create other nothing-here";
    let said = refusal(&mut twins.ours(line), 1);
    assert!(
        said.contains("Cannot create alias to non-existent ref"),
        "{said}"
    );
    refusal(&mut twins.theirs(line), 1);
    twins.refused("refs -A --create other origin:main");
    twins.same("refs -A --create other main");
    twins.same("refs -A");
}
