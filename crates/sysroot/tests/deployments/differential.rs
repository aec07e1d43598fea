//! The same steps by `ostree admin` and by us, and each working on what the other has made.
//!
//! What the installed version cannot do yet is in `golden.rs` and `config.rs`, recorded with 2026.4.

use std::fs;
use std::path::Path;

use crate::support::{Lab, Line, assert_same, listing, make_tree, old_options, request, strings};
use ostree_format::Checksum;
use sysroot::{DeployError, KernelArgsEdit, Retain};
use tempfile::TempDir;

/// A system by `ostree admin` and one by us with the same commits.
struct Pair {
    scratch: TempDir,
    theirs: Lab,
    ours: Lab,
}

impl Pair {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let theirs = Lab::theirs(scratch.path().join("theirs"));
        let ours = Lab::ours(scratch.path().join("ours"), old_options());
        theirs.admin("os-init", &["os"]);
        ours.init_stateroot("os");
        Self {
            scratch,
            theirs,
            ours,
        }
    }

    /// Commit a tree to both, changed by a script that runs in it.
    fn commit(&self, branch: &str, kernel: &str, script: &str) -> Checksum {
        let tree = self.scratch.path().join(format!("tree-{branch}"));
        make_tree(&tree, branch, kernel);
        testkit::shell(&format!("set -e; cd {}; {script}", tree.display()));
        let commit = self.theirs.commit(branch, &tree, &format!("{branch}.0"));
        assert_eq!(
            self.ours.commit(branch, &tree, &format!("{branch}.0")),
            commit
        );
        commit
    }

    /// Deploy to both, with the options of `ostree admin deploy` and what they mean for us.
    fn deploy(
        &self,
        branch: &str,
        commit: Checksum,
        options: &[&str],
        edit: KernelArgsEdit,
        retain: Retain,
    ) {
        let mut arguments = vec!["--os=os"];
        arguments.extend(options);
        arguments.push(branch);
        self.theirs.admin("deploy", &arguments);
        let mut request = request("os", commit, branch);
        request.kernel_args = edit;
        request.retain = retain;
        self.ours.deploy(&request).unwrap();
    }

    fn deploy_plainly(&self, branch: &str, commit: Checksum) {
        self.deploy(
            branch,
            commit,
            &[],
            KernelArgsEdit::default(),
            Retain::default(),
        );
    }

    #[track_caller]
    fn assert_alike(&self) {
        assert_same(&comparable(&self.theirs.root), &comparable(&self.ours.root));
        assert_eq!(self.ours.texts(), self.theirs.texts());
        assert_eq!(
            self.ours.admin("status", &[]),
            self.theirs.admin("status", &[])
        );
        self.ours.ostree(&["fsck", "--quiet"]);
    }
}

/// A listing without what ostree 2022.7 does differently from later versions, whose ways are ours: it
/// fills `/var` when the stateroot is made, and knows neither backing directories nor composefs.
fn comparable(root: &Path) -> Vec<Line> {
    let newer = |line: &Line| {
        line.path.starts_with("ostree/deploy/os/backing")
            || line.path.starts_with("ostree/deploy/os/var/")
            || line.path.ends_with("/.ostree.cfs")
    };
    // The image is put there after the checkout, so that the time is another one.
    let is_deployment = |line: &Line| {
        line.path.starts_with("ostree/deploy/os/deploy/") && line.path.split('/').count() == 5
    };
    listing(root)
        .into_iter()
        .filter(|line| !newer(line))
        .map(|line| Line {
            epoch: line.epoch && !is_deployment(&line),
            ..line
        })
        .collect()
}

fn edit(set: &[&str], append: &[&str], delete: &[&str]) -> KernelArgsEdit {
    KernelArgsEdit {
        set: strings(set),
        append: strings(append),
        delete: strings(delete),
        ..KernelArgsEdit::default()
    }
}

#[test]
fn first_and_second_deployment() {
    let pair = Pair::new();
    let one = pair.commit("1", "6.1.0-t", "");
    let two = pair.commit("2", "6.1.0-t", "");
    let three = pair.commit("3", "6.2.0-t", "");
    let args = [
        "--karg=rw",
        "--karg=root=UUID=x",
        "--karg-append=a=1",
        "--karg-append=a=2",
    ];
    let edited = edit(&["rw", "root=UUID=x"], &["a=1", "a=2"], &[]);
    pair.deploy("1", one, &args, edited, Retain::default());
    pair.assert_alike();
    for lab in [&pair.theirs, &pair.ours] {
        let etc = lab.deployment(0).join("etc");
        testkit::shell(&format!(
            "cd {}; echo local > a; rm b; mkdir -p new/deeper; echo n > new/deeper/n; chmod 750 new; touch -d @99 a new/deeper/n
             ln -s x newlink; chown -h 7 newlink; setfattr -n user.x -v y a",
            etc.display()
        ));
    }
    pair.deploy_plainly("2", two);
    pair.assert_alike();
    let etc = |lab: &Lab| testkit::manifest(&lab.deployment(0).join("etc"));
    etc(&pair.theirs).assert_same(&etc(&pair.ours));
    pair.deploy_plainly("3", three);
    pair.assert_alike();
    pair.deploy(
        "3",
        three,
        &["--karg-delete=a=1", "--karg=rw"],
        edit(&["rw"], &[], &["a=1"]),
        Retain::default(),
    );
    pair.assert_alike();
}

#[test]
fn only_links_are_switched_behind_equal_entries() {
    let pair = Pair::new();
    let one = pair.commit("1", "6.1.0-t", "");
    // The same version and kernel, another content: the entry stays as it is.
    let tree = pair.scratch.path().join("tree-1");
    fs::write(tree.join("usr/bin/y"), "y").unwrap();
    pair.deploy_plainly("1", one);
    pair.deploy_plainly("1", one);
    pair.assert_alike();
    let before = fs::read_link(pair.ours.root.join("boot/loader")).unwrap();
    let other = pair.theirs.commit("1", &tree, "1.0");
    assert_eq!(pair.ours.commit("1", &tree, "1.0"), other);
    pair.deploy_plainly("1", other);
    pair.assert_alike();
    assert_eq!(
        fs::read_link(pair.ours.root.join("boot/loader")).unwrap(),
        before
    );
    let links = fs::read_link(pair.ours.root.join("ostree/boot.0")).unwrap();
    assert_eq!(links, Path::new("boot.0.0"));
}

#[test]
fn retained_and_undeployed() {
    let pair = Pair::new();
    let commits = ["1", "2", "3"].map(|branch| (branch, pair.commit(branch, "6.1.0-t", "")));
    let all = Retain {
        all: true,
        ..Retain::default()
    };
    for (branch, commit) in commits {
        pair.deploy(
            branch,
            commit,
            &["--retain"],
            KernelArgsEdit::default(),
            all,
        );
        pair.assert_alike();
    }
    // This version of `ostree admin` cannot do it.
    pair.theirs.set_default(2);
    pair.ours.set_default(2);
    pair.assert_alike();
    pair.theirs.admin("pin", &["1"]);
    pair.ours.pin(1, true);
    pair.assert_alike();
    pair.deploy_plainly("3", commits[2].1);
    pair.assert_alike();
    for lab in [&pair.theirs, &pair.ours] {
        assert_eq!(lab.load().deployments.len(), 3);
    }
    pair.theirs.admin("pin", &["--unpin", "2"]);
    pair.ours.pin(2, false);
    pair.assert_alike();
    for index in [1, 1, 0] {
        pair.theirs.admin("undeploy", &[&index.to_string()]);
        pair.ours.undeploy(index);
        pair.assert_alike();
    }
}

#[test]
fn several_stateroots() {
    let pair = Pair::new();
    let one = pair.commit("1", "6.1.0-t", "");
    pair.deploy_plainly("1", one);
    pair.theirs.admin("os-init", &["other"]);
    pair.ours.init_stateroot("other");
    pair.theirs
        .admin("deploy", &["--os=other", "--karg=b=1", "1"]);
    let mut second = request("other", one, "1");
    second.kernel_args.set = strings(&["b=1"]);
    pair.ours.deploy(&second).unwrap();
    let without_var = |root: &Path| -> Vec<Line> {
        let other = |line: &Line| {
            line.path.starts_with("ostree/deploy/other/var/")
                || line.path.starts_with("ostree/deploy/other/backing")
        };
        comparable(root)
            .into_iter()
            .filter(|line| !other(line))
            .collect()
    };
    assert_same(
        &without_var(&pair.theirs.root),
        &without_var(&pair.ours.root),
    );
    assert_eq!(pair.ours.texts(), pair.theirs.texts());
}

#[test]
fn trees_of_every_make() {
    let sum = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
    let cases = [
        ("device-trees", "mkdir -p usr/lib/modules/6.1.0-t/dtb/v; echo a > usr/lib/modules/6.1.0-t/dtb/v/a.dtb; echo b > usr/lib/modules/6.1.0-t/dtb/b.dtb".to_owned()),
        ("one-device-tree", "echo dt > usr/lib/modules/6.1.0-t/devicetree".to_owned()),
        ("no-initramfs", "rm usr/lib/modules/6.1.0-t/initramfs.img".to_owned()),
        ("other-name", "cd usr/lib/modules/6.1.0-t; mv initramfs.img initramfs".to_owned()),
        ("hmac", "echo h > usr/lib/modules/6.1.0-t/.vmlinuz.hmac".to_owned()),
        ("legacy", format!("rm usr/lib/modules/6.1.0-t/*; mkdir usr/lib/ostree-boot; for f in vmlinuz-9 initramfs-9.img devicetree-9; do echo $f > usr/lib/ostree-boot/$f-{sum}; done")),
        ("legacy-initramfs", format!("rm usr/lib/modules/6.1.0-t/initramfs.img; for f in vmlinuz-9 initramfs-9.img; do echo $f > boot/$f-{sum}; done")),
        ("os-release-in-etc", "mv usr/lib/os-release usr/etc/os-release".to_owned()),
        ("quoted-name", r#"printf 'PRETTY_NAME="a \"b\" c"\n# x\nID=z\n' > usr/lib/os-release"#.to_owned()),
        ("id-only", "echo ID=zed > usr/lib/os-release".to_owned()),
        ("no-etc", "rm -r usr/etc".to_owned()),
        ("no-var", "rm -r var".to_owned()),
        ("version-in-name", "echo 'PRETTY_NAME=\"OS version-in-name.0\"' > usr/lib/os-release".to_owned()),
    ];
    for (branch, script) in cases {
        let pair = Pair::new();
        let commit = pair.commit(branch, "6.1.0-t", &script);
        let edited = edit(&["rw"], &[], &[]);
        pair.deploy(branch, commit, &["--karg=rw"], edited, Retain::default());
        pair.assert_alike();
    }
}

#[test]
fn they_go_on_where_we_stopped_and_we_where_they_did() {
    let pair = Pair::new();
    let [one, two, three] = ["1", "2", "3"].map(|branch| pair.commit(branch, "6.1.0-t", ""));
    pair.deploy_plainly("1", one);
    pair.deploy_plainly("2", two);
    pair.assert_alike();
    // Each does on the other's system what the other does on its own.
    let (theirs, ours) = (&pair.theirs, &pair.ours);
    ours.admin("deploy", &["--os=os", "--karg-append=x=1", "3"]);
    let mut third = request("os", three, "3");
    third.kernel_args.append = strings(&["x=1"]);
    theirs.deploy(&third).unwrap();
    pair.assert_alike();
    ours.admin("pin", &["1"]);
    assert!(theirs.pin(1, true));
    pair.assert_alike();
    ours.admin("undeploy", &["1"]);
    theirs.undeploy(1);
    pair.assert_alike();
    ours.admin("cleanup", &[]);
    theirs.locked(|locked| assert!(locked.cleanup().unwrap().is_empty()));
    pair.assert_alike();
}

#[test]
fn locks_exclude_each_other() {
    let pair = Pair::new();
    let sysroot = pair.ours.open();
    let lock = sysroot.lock(std::time::Duration::ZERO).unwrap();
    let mut waiting = pair.ours.admin_command("cleanup", &[]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(
        waiting.try_wait().unwrap().is_none(),
        "ostree admin went on although we hold the lock"
    );
    drop(lock);
    assert!(waiting.wait().unwrap().success());
    assert!(!pair.ours.root.join("ostree/lock").exists());
}

#[test]
fn what_cannot_be_deployed_is_refused_and_nothing_is_left() {
    let scratch = tempfile::tempdir().unwrap();
    let lab = Lab::ours(scratch.path().join("ours"), old_options());
    lab.init_stateroot("os");
    let tree = scratch.path().join("tree");
    make_tree(&tree, "1", "6.1.0-t");
    let good = lab.commit("good", &tree, "1");
    let before = listing(&lab.root);
    let refuse = |script: &str| {
        let bad = scratch.path().join("bad");
        testkit::shell(&format!(
            "rm -rf {0}; cp -a {1} {0}; cd {0}; {script}",
            bad.display(),
            tree.display()
        ));
        let commit = lab.commit("good", &bad, "1");
        let error = lab.deploy(&request("os", commit, "bad")).unwrap_err();
        assert_eq!(listing(&lab.root), before, "{error}");
        error
    };
    let composefs = "mkdir -p usr/lib/ostree; printf '[composefs]\\nenabled=perhaps\\n' > usr/lib/ostree/prepare-root.conf";
    for (script, cause) in [
        (
            "rm -r usr/lib/modules",
            "cannot be deployed: no kernel in usr/lib/modules,",
        ),
        (
            "mkdir etc; echo > etc/x",
            "cannot be deployed: it has files in /etc",
        ),
        ("rm usr/lib/os-release", "has no PRETTY_NAME or ID"),
        (
            composefs,
            "cannot be deployed: composefs.enabled=\"perhaps\" in usr/lib/ostree/prepare-root.conf",
        ),
    ] {
        let error = refuse(script).to_string();
        assert!(error.contains(cause), "{error}");
    }
    let error = lab.deploy(&request("absent", good, "good")).unwrap_err();
    assert!(matches!(error, DeployError::NoStateroot(_)));
    lab.ostree(&["config", "set", "core.mode", "bare-user"]);
    let error = lab.deploy(&request("os", good, "good")).unwrap_err();
    assert!(matches!(error, DeployError::RepoMode(_)));
    lab.ostree(&["config", "set", "core.mode", "bare"]);
    fs::create_dir_all(lab.root.join("boot/grub2")).unwrap();
    fs::write(lab.root.join("boot/grub2/grub.cfg"), "").unwrap();
    lab.ostree(&["config", "set", "sysroot.bootloader", "auto"]);
    let error = lab.deploy(&request("os", good, "good")).unwrap_err();
    assert!(
        error.to_string().contains("grub2 (boot/grub2/grub.cfg)"),
        "{error}"
    );
}

/// ostree 2022.7 refuses such a tree, later versions do not.
#[test]
fn an_empty_etc_is_a_mount_point() {
    let scratch = tempfile::tempdir().unwrap();
    let lab = Lab::ours(scratch.path().join("ours"), old_options());
    lab.init_stateroot("os");
    let tree = scratch.path().join("tree");
    make_tree(&tree, "1", "6.1.0-t");
    fs::create_dir(tree.join("etc")).unwrap();
    let commit = lab.commit("1", &tree, "1");
    lab.deploy(&request("os", commit, "1")).unwrap();
    assert!(lab.deployment(0).join("etc/a").exists());
}
