//! SELinux labels of what is copied, and the immutable flag.

use std::fs;
use std::path::Path;

use crate::support::{Lab, make_tree, options, request};
use file_contexts::{FileContextSources, Policy};
use progress::{Interrupt, Silent};
use sysroot::SysrootOptions;

const CONTEXTS: &str = "/.* u:r:default_t:s0\n/ -d u:r:root_t:s0\n/etc(/.*)? u:r:etc_t:s0\n/etc/b -- u:r:b_t:s0\n\
                        /etc/link -l u:r:link_t:s0\n/var(/.*)? u:r:var_t:s0\n/etc/ostree/remotes.d/.* u:r:origin_t:s0\n";

fn label(path: &Path) -> Option<String> {
    let mut value = [0; 256];
    let length = rustix::fs::lgetxattr(path, "security.selinux", &mut value[..]).ok()?;
    Some(
        String::from_utf8_lossy(&value[..length])
            .trim_end_matches('\0')
            .to_owned(),
    )
}

#[test]
fn copies_are_labelled_by_the_policy() {
    let scratch = tempfile::tempdir().unwrap();
    let lab = Lab::ours(scratch.path().join("S"), options());
    lab.init_stateroot("os");
    let tree = scratch.path().join("tree");
    make_tree(&tree, "1", "6.1.0");
    let commit = lab.commit("b", &tree, "1");
    let sources = FileContextSources {
        file_contexts: CONTEXTS.as_bytes(),
        ..FileContextSources::default()
    };
    let policy = Policy::parse(sources).unwrap();
    let id = lab.locked(|locked| {
        let plan = locked
            .plan_deploy(&locked.load().unwrap(), &request("os", commit, "b"))
            .unwrap();
        locked
            .apply_deploy(&plan, Some(&policy), &Silent, &Interrupt::default())
            .unwrap()
    });
    let deployment = lab.root.join(id.path());
    let var = lab.root.join("ostree/deploy/os/var");
    let expected = [
        (deployment.join("etc"), "u:r:etc_t:s0"),
        (deployment.join("etc/sub/deep/d"), "u:r:etc_t:s0"),
        (deployment.join("etc/b"), "u:r:b_t:s0"),
        (deployment.join("etc/link"), "u:r:link_t:s0"),
        (var.clone(), "u:r:var_t:s0"),
        (var.join("lib/foo/file"), "u:r:var_t:s0"),
        (var.join("run"), "u:r:var_t:s0"),
        (var.join(".ostree-selabeled"), "u:r:var_t:s0"),
        (
            lab.root
                .join(id.backing_path())
                .join("root-transient/upper"),
            "u:r:root_t:s0",
        ),
        (lab.root.join(id.origin_path()), "u:r:origin_t:s0"),
    ];
    for (path, wanted) in expected {
        assert_eq!(label(&path).as_deref(), Some(wanted), "{}", path.display());
    }
    // What is linked has the labels of the commit, here none.
    assert_eq!(label(&deployment.join("usr/bin/x")), None);
}

#[test]
fn deployments_are_sealed_and_can_still_be_removed() {
    let scratch = tempfile::tempdir().unwrap();
    let lab = Lab::ours(scratch.path().join("S"), SysrootOptions::default());
    lab.init_stateroot("os");
    let tree = scratch.path().join("tree");
    make_tree(&tree, "1", "6.1.0");
    let commit = lab.commit("b", &tree, "1");
    lab.deploy(&request("os", commit, "b")).unwrap();
    lab.deploy(&request("os", commit, "b")).unwrap();
    let sealed = lab.deployment(0);
    assert!(fs::write(sealed.join("stray"), "").is_err());
    fs::write(sealed.join("etc/stray"), "").unwrap();
    lab.undeploy(0);
    assert!(!sealed.exists());
    // What libostree has sealed goes as well, and what we have sealed goes with it.
    let mut admin = lab.admin_command("undeploy", &["0"]);
    testkit::run(admin.env_remove("OSTREE_SYSROOT_DEBUG"));
    assert!(lab.load().deployments.is_empty());
    lab.locked(|locked| assert!(locked.cleanup().unwrap().is_empty()));
}
