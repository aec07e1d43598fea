//! Archives as input and output of `bootroot ostree`, beside the real `ostree`.

mod support;

use std::fs;
use std::process::Command;

use support::answer;
use support::twins::Twins;

#[test]
fn archives_become_the_same_trees() {
    for mode in ["bare", "bare-user", "archive"] {
        let twins = Twins::new(mode);
        let shell = |line: &str| {
            let mut command = Command::new("sh");
            answer(command.args(["-euc", line]).current_dir(twins.dir.path()));
        };
        shell("cd tree; ln hello usr/twin; chmod 4755 hello; tar czf ../whole.tar.gz .");
        shell("cd tree; tar cf ../part.tar usr/lib/modules/6.1.0/vmlinuz");
        fs::write(twins.path("modes"), "2048 /usr/twin\n=384 /link2\n").unwrap();
        fs::write(twins.path("skip"), "/usr/lib\n").unwrap();
        for options in [
            "--tree=tar=whole.tar.gz",
            "--tree=tar=whole.tar.gz --owner-uid=3 --owner-gid=4",
            "--tree=tar=part.tar --tar-autocreate-parents",
            "--tree=tar=part.tar --tree=tar=whole.tar.gz --tar-autocreate-parents",
            "--tree=tar=whole.tar.gz --tar-autocreate-parents --tar-pathname-filter=^usr/,opt/",
            "--tree=dir=tree --tree=tar=whole.tar.gz",
        ] {
            twins.same(&format!("commit -b x --timestamp=@100 {options}"));
        }
        twins.refused("commit -b y --tree=tar=part.tar");
        // The real program of this version fails when the list names a directory of an archive.
        let skipping = "commit -b s --tree=tar=whole.tar.gz --skip-list=skip";
        answer(&mut twins.ours(skipping));
        assert!(!answer(&mut twins.ours("ls -R s")).contains("/usr/lib"));
        twins.check();
    }
}

const NOTHING: &str = "export main --subpath=nothing";

#[test]
fn an_export_is_imported_as_it_was() {
    let twins = Twins::new("archive");
    twins.same("commit -b main --timestamp=@100 tree");
    for options in [
        "",
        "--prefix=some/where/",
        "--subpath=usr/lib",
        "--no-xattrs",
    ] {
        answer(&mut twins.ours(&format!("export main {options} -o ours.tar")));
        answer(&mut twins.theirs(&format!("export main {options} -o theirs.tar")));
        for from in ["ours", "theirs"] {
            twins.same(&format!(
                "commit -b {from} --timestamp=@100 --no-bindings --tar-autocreate-parents --tree=tar={from}.tar"
            ));
        }
        let rev = |name: &str| twins.same(&format!("rev-parse {name}"));
        assert_eq!(rev("ours"), rev("theirs"), "{options}");
    }
    for mut export in [twins.ours(NOTHING), twins.theirs(NOTHING)] {
        assert_eq!(
            export.output().unwrap().status.code(),
            Some(1),
            "{export:?}"
        );
    }
}
