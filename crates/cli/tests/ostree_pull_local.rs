//! `bootroot ostree pull-local`, and remotes that are configured outside of the repository, beside the real
//! `ostree`.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::sysroot::ScratchSysroot;
use support::twins::Twins;
use support::{answer, bootroot, ostree, refusal};
use tempfile::TempDir;
use testkit::GpgHome;

/// A repository with a commit on `main`, and keys.
struct Scene {
    dir: TempDir,
    home: GpgHome,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            dir: tempfile::tempdir().unwrap(),
            home: GpgHome::new(),
        };
        scene
            .home
            .key("One <one@example.com>", "ed25519", "sign", "never");
        fs::write(scene.path("keys.gpg"), scene.home.export()).unwrap();
        fs::create_dir(scene.path("tree")).unwrap();
        fs::write(scene.path("tree/file"), "content").unwrap();
        scene.init("source", "archive");
        scene.done("--repo=source commit -b main -s x --timestamp=@100 tree");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn init(&self, repo: &str, mode: &str) {
        self.done(&format!("--repo={repo} init --mode={mode}"));
    }

    /// Two repositories that know the remote `origin` and its keys.
    fn twins(&self) -> [&'static str; 2] {
        let file = self.path("keys.gpg");
        for repo in ["ours", "theirs"] {
            let _none_yet = fs::remove_dir_all(self.path(repo));
            self.init(repo, "bare-user");
            self.done(&format!(
                "--repo={repo} remote add --gpg-import={} origin file:///nowhere",
                file.display()
            ));
        }
        ["ours", "theirs"]
    }

    /// What the real program does.
    #[track_caller]
    fn done(&self, line: &str) -> String {
        answer(&mut self.command(ostree(line)))
    }

    fn ours(&self, line: &str) -> Command {
        self.command(bootroot(&format!("ostree {line}")))
    }

    fn command(&self, mut command: Command) -> Command {
        command.current_dir(self.dir.path());
        command.env("OSTREE_GPG_HOME", self.path("none"));
        command
    }

    /// Both pull, and have the same refs.
    #[track_caller]
    fn both_pull(&self, options: &str) {
        let [ours, theirs] = self.twins();
        answer(&mut self.ours(&format!("--repo={ours} pull-local {options}")));
        self.done(&format!("--repo={theirs} pull-local {options}"));
        let refs = |repo| self.done(&format!("--repo={repo} refs"));
        assert_eq!(refs(ours), refs(theirs), "{options}");
        assert!(refs(ours).contains("main"));
        let commit = |repo| {
            let name = refs(repo);
            self.done(&format!("--repo={repo} rev-parse {}", name.trim()))
        };
        assert_eq!(commit(ours), commit(theirs), "{options}");
        self.done(&format!("--repo={ours} fsck"));
    }

    /// Both refuse, and nothing has come.
    #[track_caller]
    fn both_refuse(&self, options: &str) -> String {
        let [ours, theirs] = self.twins();
        let said = refusal(
            &mut self.ours(&format!("--repo={ours} pull-local {options}")),
            1,
        );
        let line = format!("--repo={theirs} pull-local {options}");
        refusal(&mut self.command(ostree(&line)), 1);
        assert_eq!(self.done(&format!("--repo={ours} refs")), "");
        said
    }

    fn sign_commit(&self) {
        let home = self.home.path().display();
        self.done(&format!(
            "--repo=source gpg-sign --gpg-homedir={home} main one@example.com"
        ));
    }
}

#[test]
fn signatures_of_commits_are_verified_when_asked_for() {
    let scene = Scene::new();
    let verify = "--remote=origin --gpg-verify source main";
    scene.both_refuse(verify);
    let said = scene.both_refuse("--gpg-verify source main");
    assert!(said.contains("Must specify remote name"), "{said}");
    scene.both_refuse("--remote=nobody --gpg-verify source main");
    scene.both_pull("--remote=origin source main");
    scene.sign_commit();
    scene.both_pull(verify);
    scene.both_pull("--remote=origin --gpg-verify=true source");
    let stranger = GpgHome::new();
    stranger.key("Two <two@example.com>", "ed25519", "sign", "never");
    fs::write(scene.path("keys.gpg"), stranger.export()).unwrap();
    scene.both_refuse(verify);
}

#[test]
fn signatures_of_the_summary_are_verified_when_asked_for() {
    let scene = Scene::new();
    let verify = "--remote=origin --gpg-verify-summary source main";
    scene.both_refuse(verify);
    scene.done("--repo=source summary -u");
    scene.both_refuse(verify);
    scene.sign_commit();
    scene.both_refuse(verify);
    let home = scene.home.path().display();
    scene.done(&format!(
        "--repo=source summary -u --gpg-sign=one@example.com --gpg-homedir={home}"
    ));
    scene.both_pull(verify);
    scene.both_pull(&format!("--gpg-verify {verify}"));
    let summary = scene.path("source/summary");
    let mut bytes = fs::read(&summary).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&summary, bytes).unwrap();
    scene.both_refuse(verify);
}

#[test]
fn a_repository_with_a_collection_has_only_its_commits() {
    let scene = Scene::new();
    scene.done("--repo=source config set core.collection-id org.example.C");
    let said = scene.both_refuse("source main");
    assert!(said.contains("binding information, found none"), "{said}");
    scene.both_pull("--disable-verify-bindings source main");
    scene.done("--repo=source commit -b main -s y tree");
    scene.both_pull("source main");
    let other = "--add-metadata-string=ostree.collection-binding=org.example.Other";
    scene.done(&format!("--repo=source commit -b main -s z {other} tree"));
    scene.both_refuse("source main");
}

#[test]
fn damaged_commits_are_noticed_when_the_source_is_not_trusted() {
    let scene = Scene::new();
    let right = scene.done("--repo=source rev-parse main");
    let wrong = format!("{}{}", "00".repeat(3), &right.trim()[6..]);
    let object = |id: &str| scene.path(&format!("source/objects/{}/{}.commit", &id[..2], &id[2..]));
    fs::create_dir_all(object(&wrong).parent().unwrap()).unwrap();
    fs::rename(object(right.trim()), object(&wrong)).unwrap();
    fs::write(scene.path("source/refs/heads/main"), format!("{wrong}\n")).unwrap();
    let said = scene.both_refuse("--untrusted source main");
    let expected = format!(
        "Corrupted commit object; checksum expected='{wrong}' actual='{}'",
        right.trim()
    );
    assert!(said.contains(&expected), "{said}");
    // Who trusts gets what is there; fsck tells.
    let [ours, theirs] = scene.twins();
    let line = |repo: &str| format!("--repo={repo} pull-local source main");
    answer(&mut scene.ours(&line(ours)));
    scene.done(&line(theirs));
    refusal(&mut scene.ours(&format!("--repo={ours} fsck --quiet")), 1);
}

#[test]
fn remotes_and_keys_come_from_the_parent_repository() {
    let scene = Scene::new();
    scene.init("parent", "archive");
    let (keys, source) = (scene.path("keys.gpg"), scene.path("source"));
    scene.done(&format!(
        "--repo=parent remote add --gpg-import={} origin file://{} main",
        keys.display(),
        source.display()
    ));
    scene.init("child", "bare-user");
    let parent = scene.path("parent");
    scene.done(&format!(
        "--repo=child config set core.parent {}",
        parent.display()
    ));
    let pull = "--repo=child pull origin";
    let said = refusal(&mut scene.ours(pull), 1);
    assert!(said.contains("GPG"), "{said}");
    scene.sign_commit();
    answer(&mut scene.ours(pull));
    let commit = scene.done("--repo=source rev-parse main");
    assert_eq!(scene.done("--repo=child rev-parse origin:main"), commit);
    // Objects that the parent has are not fetched again.
    scene.done("--repo=parent pull-local source main");
    scene.init("third", "archive");
    scene.done(&format!(
        "--repo=third config set core.parent {}",
        parent.display()
    ));
    scene.done("--repo=source commit -b more -s y --tree=ref=main");
    let said = answer(&mut scene.ours("--repo=third pull-local source more"));
    assert!(
        said.contains("1 metadata, 0 content objects imported"),
        "{said}"
    );
    scene.done("--repo=third fsck");
    // What is inherited is not the child's to delete.
    refusal(&mut scene.ours("--repo=child remote delete origin"), 1);
}

#[test]
fn remotes_of_a_deployment_are_pulled_from() {
    let scene = Scene::new();
    scene.init("source", "archive");
    let root = scene.path("root");
    fs::create_dir_all(root.join("etc/ostree/remotes.d")).unwrap();
    fs::create_dir_all(root.join("sysroot/ostree")).unwrap();
    std::os::unix::fs::symlink("sysroot/ostree", root.join("ostree")).unwrap();
    let remote = format!(
        "[remote \"out\"]\nurl=file://{}\ngpg-verify=false\n",
        scene.path("source").display()
    );
    fs::write(root.join("etc/ostree/remotes.d/out.conf"), remote).unwrap();
    scene.init("root/ostree/repo", "bare");
    answer(&mut scene.ours("pull --sysroot=root out main"));
    let commit = scene.done("--repo=source rev-parse main");
    assert_eq!(
        scene.done("--repo=root/ostree/repo rev-parse out:main"),
        commit
    );
    refusal(&mut scene.ours("pull --repo=root/ostree/repo out main"), 1);
    let list = "remote list --sysroot=root";
    assert_eq!(answer(&mut scene.ours(list)), "out\n");
    answer(&mut scene.ours("remote delete --sysroot=root out"));
    assert_eq!(answer(&mut scene.ours(list)), "");
    assert!(!root.join("etc/ostree/remotes.d/out.conf").exists());
}

#[test]
fn systems_are_upgraded_from_remotes_of_the_deployment() {
    let system = ScratchSysroot::by_ostree();
    fs::create_dir_all(system.join("etc/ostree/remotes.d")).unwrap();
    fs::create_dir(system.join("sysroot")).unwrap();
    std::os::unix::fs::symlink("../ostree", system.join("sysroot/ostree")).unwrap();
    system.ostree("--repo=source init --mode=archive");
    system.ostree("--repo=source pull-local ostree/repo os/x");
    let deployed = system.ostree("--repo=source rev-parse os/x");
    system.ostree(&format!(
        "--repo=ostree/repo refs --create=out:os/x {}",
        deployed.trim()
    ));
    system.ostree("admin deploy --sysroot=. --os=testos out:os/x");
    system.ostree("--repo=source commit -b os/x -s newer --tree=ref=os/x");
    let remote = format!(
        "[remote \"out\"]\nurl=file://{}\ngpg-verify=false\n",
        system.join("source").display()
    );
    fs::write(system.join("etc/ostree/remotes.d/out.conf"), remote).unwrap();
    let root = system.path().display();
    answer(&mut bootroot(&format!(
        "ostree admin upgrade --sysroot={root} --os=testos"
    )));
    let newer = system.ostree("--repo=source rev-parse os/x");
    assert_eq!(
        system.ostree("--repo=ostree/repo rev-parse out:os/x"),
        newer
    );
    let status = system.ostree("admin status --sysroot=.");
    assert!(status.contains(newer.trim()), "{status}");
}

#[test]
fn local_repositories_are_pulled_from() {
    let twins = Twins::new("archive");
    twins.history();
    let source = twins.path("source");
    fs::rename(twins.path("theirs"), &source).unwrap();
    for repo in ["ours", "theirs"] {
        drop(fs::remove_dir_all(twins.path(repo)));
        answer(&mut ostree(&format!(
            "init --mode=bare-user --repo={}",
            twins.path(repo).display()
        )));
    }
    for options in [
        "source main",
        "source main",
        "--depth=-1 source",
        "--remote=o source main",
    ] {
        twins.same(&format!("pull-local {options}"));
    }
    twins.same("rev-parse main main^^ o:main");
    twins.refused("pull-local source nobody");
    twins.check();
}
