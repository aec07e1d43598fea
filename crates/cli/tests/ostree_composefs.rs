//! Images of commits by `bootroot ostree`.

mod support;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use support::twins::Twins;
use support::{answer, bootroot, refusal};
use testkit::{golden, golden_copy};

fn recorded(name: &str) -> Vec<u8> {
    let file = fs::File::open(golden("composefs").join(name)).unwrap();
    let mut image = Vec::new();
    GzDecoder::new(file).read_to_end(&mut image).unwrap();
    image
}

fn ours(repo: &Path, line: &str) -> std::process::Command {
    let mut command = bootroot(&format!("ostree {line} --repo {}", repo.display()));
    command.current_dir(repo);
    command
}

/// The recorded digest is that of `ostree commit --generate-composefs-metadata` for the same tree.
#[test]
fn a_commit_says_which_digest_its_image_has() {
    let copy = golden_copy("repos");
    for mode in ["bare", "bare-user", "archive"] {
        let repo = copy.path().join(mode);
        answer(&mut ours(
            &repo,
            "commit -b new --tree=ref=golden/v^ --generate-composefs-metadata",
        ));
        let digest = answer(&mut ours(
            &repo,
            "show --print-hex --print-metadata-key=ostree.composefs.digest.v0 new",
        ));
        let hex = fs::read_to_string(golden("composefs").join("v1.metadata-digest.hex")).unwrap();
        assert_eq!(digest.trim(), hex.trim(), "{mode}");
        answer(&mut ours(&repo, "checkout --composefs new image"));
        assert!(fs::read(repo.join("image")).unwrap() == recorded("v1.cfs.gz"));
        answer(&mut ours(&repo, "checkout --composefs-noverity new image"));
        assert!(fs::read(repo.join("image")).unwrap() == recorded("v1-noverity.cfs.gz"));
    }
}

#[test]
fn an_image_is_of_a_whole_commit_and_has_the_digest_it_should_have() {
    let twins = Twins::new("bare-user");
    answer(&mut twins.ours("commit -b main tree"));
    let error = refusal(
        &mut twins.ours("checkout --composefs --whiteouts main x"),
        1,
    );
    assert!(error.contains("incompatible with --composefs"), "{error}");
    let digest = ["0x13"; 32].join(", ");
    let wrong = format!("--add-metadata=ostree.composefs.digest.v0=[byte {digest}]");
    let mut commit = twins.ours("commit -b bad --tree=ref=main");
    answer(commit.arg(wrong));
    let error = refusal(&mut twins.ours("checkout --composefs bad x"), 1);
    assert!(error.contains("doesn't match expected digest"), "{error}");
    assert!(!twins.path("x").exists());
}
