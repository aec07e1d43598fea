//! The life of a small system, step by step beside the one that libostree 2026.4 made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::{Lab, Line, listing, options, request, strings};
use ostree_format::Checksum;
use testkit::{command, golden, run};

/// What is compared of a listing: the golden one goes no deeper into deployments than `/etc`, and has
/// how the commits were fetched.
fn shown(line: &Line) -> Option<String> {
    let path = &line.path;
    let in_deployment = path.split('/').skip(5).collect::<Vec<_>>();
    let too_deep = path.starts_with("ostree/deploy/golden/deploy/")
        && matches!(in_deployment[..], [first, _, ..] if first != "etc");
    let other = ["/refs/remotes/", "repo/tmp/", "repo/uncompressed"];
    if too_deep || other.iter().any(|part| path.contains(part)) {
        return None;
    }
    Some(match line.kind {
        'l' => format!("./{path} -> {}", line.target),
        kind => format!("./{path} {kind} {:o}", line.mode),
    })
}

fn golden_tree(step: &str) -> Vec<String> {
    let text = fs::read_to_string(golden("sysroot").join(format!("{step}.tree"))).unwrap();
    let other = ["/refs/remotes/", "repo/tmp/"];
    let lines = text
        .lines()
        .filter(|line| !other.iter().any(|part| line.contains(part)) && !line.starts_with(". "));
    let mut lines: Vec<_> = lines
        .filter(|line| *line != "./ostree/repo/objects d 755")
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

/// Files with their texts, as the golden data has them.
fn golden_texts(step: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(golden("sysroot").join(format!("{step}.files"))).unwrap();
    let files = text.split("=== ").filter(|file| !file.is_empty());
    files
        .map(|file| file.split_once('\n').unwrap())
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect()
}

#[track_caller]
fn assert_step(lab: &Lab, step: &str) {
    let mut ours: Vec<_> = listing(&lab.root).iter().filter_map(shown).collect();
    ours.sort();
    let theirs = golden_tree(step);
    let missing: Vec<_> = theirs.iter().filter(|line| !ours.contains(line)).collect();
    let extra: Vec<_> = ours.iter().filter(|line| !theirs.contains(line)).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{step}\nmissing {missing:#?}\nextra {extra:#?}"
    );
    // Read through the link in the golden data.
    let through_link = |path: String| {
        path.replace("loader.0/", "loader/")
            .replace("loader.1/", "loader/")
    };
    let texts: BTreeMap<_, _> = lab
        .texts()
        .into_iter()
        .map(|(path, text)| (through_link(path), text))
        .collect();
    assert_eq!(texts, golden_texts(step), "{step}");
}

/// Bring both golden commits into the repository under the ref that the golden system follows.
fn fetch(lab: &Lab, rev: &str) -> Checksum {
    let source = golden("repos").join("bare");
    let commit = testkit::stdout(
        command("ostree")
            .arg(format!("--repo={}", source.display()))
            .args(["rev-parse", rev]),
    );
    run(command("ostree")
        .arg(format!("--repo={}", lab.root.join("ostree/repo").display()))
        .arg("pull-local")
        .arg(source)
        .arg(&commit));
    let _ = testkit::shell(&format!(
        "cd {} && mkdir -p refs/heads/golden && echo {commit} > refs/heads/golden/dep",
        lab.root.join("ostree/repo").display()
    ));
    commit.parse().unwrap()
}

fn edit_etc(etc: &Path) {
    fs::write(etc.join("app.conf"), "a=1\nlocal=1\n").unwrap();
    fs::remove_file(etc.join("secret")).unwrap();
    fs::write(etc.join("mine.conf"), "mine\n").unwrap();
    std::os::unix::fs::symlink("/dev/null", etc.join("masked")).unwrap();
}

#[test]
fn a_life_equals_the_recorded_one() {
    let scratch = tempfile::tempdir().unwrap();
    let lab = Lab::ours(scratch.path().join("S"), options());
    testkit::shell(&format!(
        "cd {}/ostree/repo && printf '[core]\nrepo_version=1\nmode=bare\n' > config",
        lab.root.display()
    ));
    assert_step(&lab, "0-init");
    lab.init_stateroot("golden");
    assert_step(&lab, "1-stateroot");

    let v1 = fetch(&lab, "golden/v^");
    let mut first = request("golden", v1, "golden/dep");
    first.kernel_args.set = strings(&["root=LABEL=root", "quiet"]);
    lab.deploy(&first).unwrap();
    assert_step(&lab, "2-deploy-v1");

    edit_etc(&lab.deployment(0).join("etc"));
    let v2 = fetch(&lab, "golden/v");
    lab.deploy(&request("golden", v2, "golden/dep")).unwrap();
    assert_step(&lab, "3-upgrade-v2");
    let merged = testkit::manifest(&lab.deployment(0).join("etc"));
    let recorded = testkit::TreeManifest::golden(&golden("sysroot").join("3-merged-etc.manifest"));
    recorded.assert_same(&merged);

    let mut with_arg = request("golden", v2, "golden/dep");
    with_arg.kernel_args.append = strings(&["extra=1"]);
    lab.deploy(&with_arg).unwrap();
    assert_step(&lab, "4-karg-append");
    assert!(lab.pin(0, true));
    assert!(!lab.pin(0, true));
    assert_step(&lab, "5-pin");
    lab.set_default(1);
    assert_step(&lab, "6-set-default");
    lab.undeploy(0);
    assert_step(&lab, "7-undeploy");
    lab.locked(|locked| locked.cleanup().unwrap());
    assert_step(&lab, "8-cleanup");
}
