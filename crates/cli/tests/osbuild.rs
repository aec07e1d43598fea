//! Stages as osbuild calls them, and the commands that osbuild's own stages run, beside the real program.

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
const ENCAPSULATE: &str = "org.osbuild.ostree.encapsulate";

/// What osbuild has around a stage.
struct Sandbox(TempDir);

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in [STAGE, ENCAPSULATE, "ostree"] {
            symlink(env!("CARGO_BIN_EXE_bootroot"), dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("meta"), "").unwrap();
        Self(dir)
    }

    fn stage(&self, tree: &Path, inputs: &Value, options: &Value) -> Command {
        self.stage_called(STAGE, tree, inputs, options)
    }

    fn stage_called(&self, name: &str, tree: &Path, inputs: &Value, options: &Value) -> Command {
        let arguments = json!({
            "tree": tree, "inputs": inputs, "options": options,
            "paths": {}, "devices": {}, "mounts": {}, "meta": {"id": "0"},
        });
        let file = self.0.path().join("arguments");
        fs::write(&file, arguments.to_string()).unwrap();
        let mut stage = Command::new(self.0.path().join(name));
        stage.arg("--arguments").arg(file);
        stage.arg("--metadata").arg(self.0.path().join("meta"));
        stage.env("OSTREE_SYSROOT_DEBUG", "mutable-deployments");
        stage
    }

    /// What our program says in the place of the real one.
    #[track_caller]
    fn ostree(&self, tree: &Path, line: &str) -> String {
        let mut command = Command::new(self.0.path().join("ostree"));
        command.args(line.split(' ')).current_dir(tree);
        command.env("OSTREE_SYSROOT_DEBUG", "mutable-deployments");
        answer(&mut command)
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
fn assert_valid_options(stage: &str, options: &Value) {
    let path = testkit::workspace_root().join(format!("osbuild/{stage}.meta.json"));
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
    assert_valid_options(STAGE, &options);
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

/// What osbuild's own stages init-fs, os-init, config, remotes, pull, deploy, aleph and post-copy run, one after the
/// other; the repository of the input is mounted read-only, as in osbuild's sandbox.
#[test]
fn the_commands_of_other_stages_do_the_same() {
    let (sandbox, source) = (Sandbox::new(), ScratchSysroot::by_ostree());
    let (ours, theirs) = (ScratchSysroot::empty(), ScratchSysroot::empty());
    let home = testkit::GpgHome::new();
    home.key("a@example.com", "ed25519", "sign", "never");
    let key = home.export();
    let input = source.join("ostree/repo");
    let _read_only = ReadOnly::new(&input);
    let pull = format!(
        "pull-local {} os/x --remote=origin --repo=ostree/repo",
        input.display()
    );
    for line in [
        "admin init-fs --modern . --sysroot=.",
        "admin os-init testos --sysroot=.",
        "config set sysroot.bootloader none --repo=ostree/repo",
        "config set sysroot.bootprefix false --repo=ostree/repo",
        "config set sysroot.readonly true --repo=ostree/repo",
        "config set sysroot.bls-append-except-default x=y --repo=ostree/repo",
        "remote add --if-not-exists --set=contenturl=http://127.0.0.1:1/c origin http://127.0.0.1:1 os/x --repo=ostree/repo",
        "remote add --if-not-exists --no-gpg-verify other http://127.0.0.1:2 --repo=ostree/repo",
        &pull,
        "admin deploy origin:os/x --karg-append=rw --karg-append=root=LABEL=root --sysroot=. --os=testos",
        "show --repo=ostree/repo origin:os/x --print-metadata-key=version",
        "rev-parse origin:os/x --repo=ostree/repo",
    ] {
        let said = sandbox.ostree(ours.path(), line);
        let mut real = ostree(line);
        real.env("OSTREE_SYSROOT_DEBUG", "mutable-deployments");
        let expected = answer(real.current_dir(theirs.path()));
        if ["show", "rev-parse"]
            .iter()
            .any(|verb| line.starts_with(verb))
        {
            assert_eq!(said, expected, "{line}");
        }
    }
    assert_same(&ours, &theirs);
    let config = |system: &ScratchSysroot| fs::read_to_string(system.join("ostree/repo/config"));
    assert_eq!(config(&ours).unwrap(), config(&theirs).unwrap());
    sandbox.ostree(ours.path(), "admin post-copy --sysroot=.");
    for (system, name) in [
        (&ours, sandbox.0.path().join("ostree")),
        (&theirs, "ostree".into()),
    ] {
        let mut import = Command::new(name);
        import.args([
            "remote",
            "gpg-import",
            "--stdin",
            "other",
            "--repo=ostree/repo",
        ]);
        testkit::gpg_home::run_with(import.current_dir(system.path()), &key);
    }
    let keys =
        |system: &ScratchSysroot| system.ostree("remote gpg-list-keys other --repo=ostree/repo");
    assert_eq!(keys(&ours), keys(&theirs));
}

/// What osbuild's own stages deploy.container and aleph run.
#[test]
fn an_image_is_deployed_and_described() {
    let (sandbox, source) = (Sandbox::new(), ScratchSysroot::by_ostree());
    let options = "--label=org.opencontainers.image.version=7 --label=containers.bootc=1";
    sandbox.ostree(
        source.path(),
        &format!("container encapsulate --repo=ostree/repo os/x oci:image:x {options}"),
    );
    let tree = ScratchSysroot::empty();
    sandbox.ostree(tree.path(), "admin init-fs --modern . --sysroot=.");
    sandbox.ostree(tree.path(), "admin os-init testos --sysroot=.");
    let target = "ostree-unverified-registry:registry.example.com/os/x:latest";
    sandbox.ostree(
        tree.path(),
        &format!(
            "container image deploy --imgref=ostree-unverified-image:oci:{} --stateroot=testos \
             --target-imgref={target} --karg=rw --karg=root=LABEL=root --sysroot=. --write-commitid-to=id",
            source.join("image").display()
        ),
    );
    let status = tree.ostree("admin status --sysroot=.");
    let commit = source.ostree("--repo=ostree/repo rev-parse os/x");
    let deployed = fs::read_to_string(tree.join("id")).unwrap();
    assert!(status.contains(&format!("testos {deployed}.0")), "{status}");
    assert_eq!(
        tree.ostree(&format!("--repo=ostree/repo rev-parse {deployed}^")),
        commit
    );
    let facts = tree.facts().join("\n");
    assert!(
        facts.contains(&format!("container-image-reference={target}")),
        "{facts}"
    );
    assert!(
        facts.contains("options rw root=LABEL=root ostree="),
        "{facts}"
    );
    let name = sandbox.ostree(tree.path(), "container image list --repo=ostree/repo");
    assert_eq!(name, "docker://registry.example.com/os/x:latest\n");
    let metadata = |more: &str| -> Value {
        let line = format!(
            "container image metadata --repo=ostree/repo {}{more}",
            name.trim()
        );
        serde_json::from_str(&sandbox.ostree(tree.path(), &line)).unwrap()
    };
    let inspect = format!(
        "skopeo inspect --raw oci:{}:x",
        source.join("image").display()
    );
    let manifest: Value = serde_json::from_str(&testkit::shell(&inspect)).unwrap();
    assert_eq!(metadata(""), manifest);
    let labels = &metadata(" --config")["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.version"], "7");
    assert_eq!(labels["ostree.commit"], commit.trim());
}

#[test]
fn a_commit_is_wrapped() {
    let (sandbox, source) = (Sandbox::new(), ScratchSysroot::by_ostree());
    let commit = source.ostree("--repo=ostree/repo rev-parse os/x");
    let input = json!({"path": source.join("ostree/repo"), "data": {"refs": {commit.trim(): {}}}});
    let inputs = json!({"commit": input});
    let options = json!({
        "filename": "os.ociarchive", "cmd": ["/bin/bash", "-l"], "copymeta": ["version"],
        "format_version": 1, "labels": ["a=b"], "max_layers": 8,
    });
    assert_valid_options(ENCAPSULATE, &options);
    let tree = tempfile::tempdir().unwrap();
    answer(&mut sandbox.stage_called(ENCAPSULATE, tree.path(), &inputs, &options));
    let archive = tree.path().join("os.ociarchive");
    let skopeo = |more: &str| -> Value {
        let line = format!("skopeo inspect {more} oci-archive:{}", archive.display());
        serde_json::from_str(&testkit::shell(&line)).unwrap()
    };
    let config = &skopeo("--config")["config"];
    assert_eq!(config["Cmd"], json!(["/bin/bash", "-l"]));
    assert_eq!(config["Labels"]["a"], "b");
    assert_eq!(config["Labels"]["version"], "1.5");
    let told = &sandbox.metadata()["ostree"]["image"];
    assert_eq!(told["digest"], skopeo("")["Digest"]);
    let repo = ScratchSysroot::empty();
    repo.ostree("--repo=repo init --mode=bare");
    let line = format!(
        "container unencapsulate --repo=repo ostree-unverified-image:oci-archive:{}",
        archive.display()
    );
    sandbox.ostree(repo.path(), &line);
    repo.ostree("--repo=repo fsck -q");
    repo.ostree(&format!("--repo=repo show {}", commit.trim()));

    for (options, inputs, code, expected) in [
        (json!({"filename": "../x"}), &inputs, 5, "option filename"),
        (
            json!({"filename": "x", "labels": ["y"]}),
            &inputs,
            5,
            "option labels",
        ),
        (
            json!({"filename": "x", "copymeta": ["none"]}),
            &inputs,
            3,
            "none",
        ),
        (json!({"filename": "x"}), &json!({}), 5, "one input"),
        (json!({"filename": "absent/x"}), &inputs, 3, "absent"),
    ] {
        let mut stage = sandbox.stage_called(ENCAPSULATE, tree.path(), inputs, &options);
        let said = refusal(&mut stage, code);
        assert!(said.contains(expected), "{options}: {said}");
        assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 1, "{options}");
    }
}

/// A repository that keeps labels as ordinary attributes needs no capability.
#[test]
fn labels_without_capabilities() {
    let (sandbox, system) = (Sandbox::new(), ScratchSysroot::empty());
    let tree = tempfile::tempdir().unwrap();
    let from = tree.path().display().to_string();
    testkit::shell(&format!(
        "cd {from} && echo x > x && setfattr -n security.selinux -v a_u:b_r:c_t:s0 x"
    ));
    system.ostree("--repo=labelled init --mode=archive");
    system.ostree(&format!(
        "--repo=labelled commit -b os/l -s x --tree=dir={from}"
    ));
    system.ostree("--repo=repo init --mode=bare-user");
    let mut pull = Command::new("setpriv");
    let drop = "-sys_admin,-mac_admin";
    pull.args(["--bounding-set", drop, "--inh-caps", drop]);
    pull.arg(sandbox.0.path().join("ostree"));
    pull.args(["--repo=repo", "pull-local", "labelled", "os/l"]);
    answer(pull.current_dir(system.path()));
    system.ostree("--repo=repo fsck -q");
    let listed = system.ostree("--repo=repo ls -X os/l /x");
    assert!(listed.contains("security.selinux"), "{listed}");
}

/// A directory that cannot be written, as long as this lives.
struct ReadOnly(std::path::PathBuf);

impl ReadOnly {
    fn new(dir: &Path) -> Self {
        let path = dir.display();
        testkit::shell(&format!(
            "mount --bind {path} {path} && mount -o remount,bind,ro {path}"
        ));
        Self(dir.to_owned())
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        testkit::shell(&format!("umount {}", self.0.display()));
    }
}
