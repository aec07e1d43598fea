//! The stage `org.osbuild.ostree.deploy` as osbuild calls it, beside the commands of the real program that
//! osbuild's own stage runs.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::sysroot::ScratchSysroot;
use support::{answer, ostree, refusal};
use tempfile::TempDir;

const STAGE: &str = "org.osbuild.ostree.deploy";

/// What osbuild has around a stage.
struct Sandbox(TempDir);

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_bootroot"), dir.path().join(STAGE)).unwrap();
        fs::write(dir.path().join("meta"), "").unwrap();
        Self(dir)
    }

    fn stage(&self, tree: &Path, inputs: &Value, options: &Value) -> Command {
        let arguments = json!({
            "tree": tree, "inputs": inputs, "options": options,
            "paths": {}, "devices": {}, "mounts": {}, "meta": {"id": "0"},
        });
        let file = self.0.path().join("arguments");
        fs::write(&file, arguments.to_string()).unwrap();
        let mut stage = Command::new(self.0.path().join(STAGE));
        stage.arg("--arguments").arg(file);
        stage.arg("--metadata").arg(self.0.path().join("meta"));
        stage.env("OSTREE_SYSROOT_DEBUG", "mutable-deployments");
        stage
    }

    fn metadata(&self) -> Value {
        serde_json::from_slice(&fs::read(self.0.path().join("meta")).unwrap()).unwrap()
    }
}

/// A copy of a system.
fn twin(of: &ScratchSysroot) -> ScratchSysroot {
    let copy = ScratchSysroot::empty();
    let (from, to) = (of.path().display(), copy.path().display());
    testkit::shell(&format!("cp -a {from}/. {to}"));
    copy
}

fn deploy_with_ostree(system: &ScratchSysroot, line: &str) {
    let mut admin = ostree(&format!("admin deploy {line} --sysroot=."));
    admin.env("OSTREE_SYSROOT_DEBUG", "mutable-deployments");
    answer(admin.current_dir(system.path()));
}

#[track_caller]
fn assert_same(ours: &ScratchSysroot, theirs: &ScratchSysroot) {
    assert_eq!(ours.facts(), theirs.facts());
    let tree =
        |system: &ScratchSysroot| testkit::manifest(&system.join("ostree/deploy/testos/deploy"));
    let mut differences = tree(ours).differences(&tree(theirs));
    // ostree 2022.7 knows nothing of composefs.
    differences.retain(|line| !line.contains(".0/.ostree.cfs: "));
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Against the schema that osbuild itself checks options with.
#[track_caller]
fn assert_valid_options(options: &Value) {
    let path = testkit::workspace_root().join(format!("osbuild/{STAGE}.meta.json"));
    let meta: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let (mut compiler, mut schemas) = (boon::Compiler::new(), boon::Schemas::new());
    let schema = meta["schema_2"]["options"].clone();
    compiler.add_resource("stage.json", schema).unwrap();
    let schema = compiler.compile("stage.json", &mut schemas).unwrap();
    schemas.validate(options, schema).unwrap();
}

fn mounts_below(path: &Path) -> usize {
    let mounted = fs::read_to_string("/proc/self/mounts").unwrap();
    mounted
        .lines()
        .filter(|line| line.contains(path.to_str().unwrap()))
        .count()
}

#[test]
fn a_ref_of_the_tree_is_deployed() {
    let (sandbox, theirs) = (Sandbox::new(), ScratchSysroot::by_ostree());
    let ours = twin(&theirs);
    let options = json!({
        "osname": "testos", "ref": "os/x", "rootfs": {"label": "root"},
        "kernel_opts": ["rw", "console=ttyS0"], "mounts": ["/boot"],
    });
    assert_valid_options(&options);
    answer(&mut sandbox.stage(ours.path(), &json!({}), &options));
    let arguments = "--karg-append=rw --karg-append=console=ttyS0 --karg-append=root=LABEL=root";
    deploy_with_ostree(&theirs, &format!("os/x {arguments} --os=testos"));
    assert_same(&ours, &theirs);
    assert_eq!(mounts_below(ours.path()), 0);
    let commit = theirs.ostree("--repo=ostree/repo rev-parse os/x");
    let told = &sandbox.metadata()["ostree"]["deployment"];
    assert_eq!(told["commit"], commit.trim());
    assert_eq!(told["stateroot"], "testos");
}

#[test]
fn commits_of_an_input_are_pulled_and_the_last_is_deployed() {
    let (sandbox, source) = (Sandbox::new(), ScratchSysroot::by_ostree());
    let first = source.ostree("--repo=ostree/repo rev-parse os/x");
    source.ostree("--repo=ostree/repo commit -b os/y -s y --tree=ref=os/x --bootable");
    let theirs = ScratchSysroot::empty();
    theirs.ostree("admin init-fs --modern .");
    theirs.ostree("admin os-init testos --sysroot=.");
    theirs.ostree("--repo=ostree/repo config set sysroot.bootloader none");
    theirs.ostree("--repo=ostree/repo remote add origin http://127.0.0.1:1 --no-gpg-verify");
    let ours = twin(&theirs);
    let repository = source.join("ostree/repo");
    let refs = format!(r#"{{"{}":{{}},"0":{{"ref":"os/y"}}}}"#, first.trim());
    let refs: Value = serde_json::from_str(&refs).unwrap();
    let inputs = json!({"commits": {"path": repository, "data": {"refs": refs}}});
    let options = json!({"osname": "testos", "remote": "origin"});
    // The document's order counts, and the map above sorts: "0" comes first there.
    let mut stage = sandbox.stage(ours.path(), &inputs, &options);
    let file = sandbox.0.path().join("arguments");
    let text = fs::read_to_string(&file).unwrap();
    let sorted = format!(r#"{{"0":{{"ref":"os/y"}},"{}":{{}}}}"#, first.trim());
    let ordered = format!(r#"{{"{}":{{}},"0":{{"ref":"os/y"}}}}"#, first.trim());
    assert!(text.contains(&sorted), "{text}");
    fs::write(&file, text.replace(&sorted, &ordered)).unwrap();
    answer(&mut stage);
    let pull = format!(
        "--repo=ostree/repo pull-local --remote=origin {}",
        repository.display()
    );
    theirs.ostree(&format!("{pull} {}", first.trim()));
    theirs.ostree(&format!("{pull} os/y"));
    deploy_with_ostree(&theirs, "origin:os/y --os=testos");
    assert_same(&ours, &theirs);
}

#[test]
fn a_mistake_names_the_option_and_leaves_nothing_behind() {
    let (sandbox, system) = (Sandbox::new(), ScratchSysroot::by_ostree());
    let before = system.facts();
    let input = json!({"path": "/nowhere", "data": {"refs": {"a": {}}}});
    let none = json!({});
    let cases = [
        (json!({}), &none, 5, "osname"),
        (json!({"osname": "testos", "kargs": []}), &none, 5, "kargs"),
        (json!({"osname": "testos"}), &none, 5, "option ref"),
        (
            json!({"osname": "../x", "ref": "os/x"}),
            &none,
            5,
            "option osname",
        ),
        (
            json!({"osname": "testos", "ref": "no/such"}),
            &none,
            3,
            "no/such",
        ),
        (
            json!({"osname": "testos", "ref": "os/x", "mounts": ["/boot", "/absent"]}),
            &none,
            3,
            "option mounts",
        ),
        (
            json!({"osname": "testos", "ref": "os/x"}),
            &json!({"commits": input}),
            5,
            "option ref",
        ),
        (
            json!({"osname": "testos"}),
            &json!({"commits": input, "more": input}),
            5,
            "one input",
        ),
        (
            json!({"osname": "testos"}),
            &json!({"commits": input}),
            3,
            "/nowhere",
        ),
    ];
    for (options, inputs, code, expected) in cases {
        let said = refusal(&mut sandbox.stage(system.path(), inputs, &options), code);
        assert!(said.contains(expected), "{options}: {said}");
        assert_eq!(mounts_below(system.path()), 0, "{options}");
        assert_eq!(system.facts(), before, "{options}");
    }
}
