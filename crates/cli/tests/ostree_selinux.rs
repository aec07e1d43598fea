//! Labels of `commit --selinux-policy` and `checkout --selinux-policy`, beside the real `ostree`.

mod support;

use std::fs;
use std::path::Path;

use support::answer;
use support::twins::Twins;

/// A policy of a few lines, with the compiled one that libostree asks for, which nothing reads.
fn make_policy(root: &Path, etc: &str) {
    let policy = root.join(etc).join("selinux/test");
    fs::create_dir_all(policy.join("contexts/files")).unwrap();
    fs::create_dir_all(policy.join("policy")).unwrap();
    fs::write(policy.join("policy/policy.33"), "").unwrap();
    fs::write(
        root.join(etc).join("selinux/config"),
        "SELINUX=enforcing\nSELINUXTYPE=test\n",
    )
    .unwrap();
    let contexts = "/.* system_u:object_r:root_t:s0\n\
                    /usr(/.*)? system_u:object_r:usr_t:s0\n\
                    /etc(/.*)? system_u:object_r:etc_t:s0\n\
                    /usr/lib/modules(/.*)? -- system_u:object_r:modules_t:s0\n\
                    /link -l system_u:object_r:link_t:s0\n\
                    /nothing <<none>>\n";
    fs::write(policy.join("contexts/files/file_contexts"), contexts).unwrap();
}

fn twins(mode: &str) -> Twins {
    let twins = Twins::new(mode);
    fs::write(twins.path("tree/nothing"), "").unwrap();
    fs::create_dir_all(twins.path("tree/usr/etc")).unwrap();
    fs::write(twins.path("tree/usr/etc/hostname"), "test\n").unwrap();
    twins
}

#[test]
fn commits_are_labelled_alike() {
    for (mode, etc) in [
        ("bare", "etc"),
        ("bare-user", "usr/etc"),
        ("archive", "etc"),
    ] {
        let twins = twins(mode);
        make_policy(&twins.path("policy"), etc);
        let commit = "commit --timestamp=@100 -s x";
        twins.same(&format!("{commit} -b plain tree"));
        let plain = twins.same("rev-parse plain");
        let line = format!("{commit} -b main --selinux-policy=policy tree");
        assert_ne!(twins.same(&line), plain);
        let listed = twins.same("ls -R -X main");
        for label in ["root_t", "usr_t", "modules_t", "link_t"] {
            assert!(listed.contains(label), "{label}: {listed}");
        }
        // Labels that are there are replaced, also those of a commit.
        twins.same(&format!(
            "{commit} -b again --selinux-policy=policy --tree=ref=plain"
        ));
        // The policy of what is committed itself.
        make_policy(&twins.path("tree"), "usr/etc");
        twins.same(&format!("{commit} -b self -P tree"));
        twins.same(&format!(
            "{commit} -b based -P --tree=ref=self --tree=dir=policy"
        ));
        twins.refused(&format!("{commit} -b none -P --tree=tar=policy.tar"));
        twins.refused(&format!("{commit} -b none -P --selinux-policy=policy tree"));
        twins.check();
    }
}

#[test]
fn a_policy_that_labels_nothing_changes_nothing() {
    let twins = twins("archive");
    fs::create_dir(twins.path("policy")).unwrap();
    let commit = "commit --timestamp=@100 -s x --orphan --selinux-policy=policy tree";
    let unlabelled = twins.same(&commit.replace("--selinux-policy=policy", ""));
    assert_eq!(twins.same(commit), unlabelled);
    make_policy(&twins.path("policy"), "etc");
    fs::write(
        twins.path("policy/etc/selinux/config"),
        "SELINUX=disabled\nSELINUXTYPE=test\n",
    )
    .unwrap();
    assert_eq!(twins.same(commit), unlabelled);
    twins.refused(&commit.replace("policy=policy", "policy=nowhere"));
}

/// The epoch is newer than the real program at hand: with it, `/usr/etc` is labelled as `/etc`.
#[test]
fn the_epoch_labels_usr_etc_as_etc() {
    let twins = twins("archive");
    make_policy(&twins.path("policy"), "etc");
    let commit = "commit -b main -s x --selinux-policy=policy tree";
    for (epoch, label) in [("", "usr_t"), (" --selinux-labeling-epoch=1", "etc_t")] {
        answer(&mut twins.ours(&format!("{commit}{epoch}")));
        let listed = answer(&mut twins.ours("ls -X main /usr/etc/hostname"));
        assert!(listed.contains(label), "{epoch}: {listed}");
    }
    support::refusal(
        &mut twins.ours(&format!("{commit} --selinux-labeling-epoch=2")),
        1,
    );
}

/// Without a kernel that labels, the real program labels regular files only.
#[test]
fn checkouts_are_labelled_alike() {
    let twins = twins("bare");
    make_policy(&twins.path("policy"), "etc");
    // The real program of this version dies of what has no label.
    fs::remove_file(twins.path("tree/nothing")).unwrap();
    twins.same("commit -b main -s x --timestamp=@100 tree");
    for (name, options) in [
        ("whole", "--selinux-policy=policy --selinux-prefix=/ main"),
        (
            "prefixed",
            "--selinux-policy=policy --selinux-prefix=/usr main",
        ),
        ("below", "--selinux-policy=policy --subpath=/usr main"),
    ] {
        answer(&mut twins.ours(&format!("checkout {options} ours-{name}")));
        answer(&mut twins.theirs(&format!("checkout {options} theirs-{name}")));
        let labels = |who: &str| {
            let root = twins.path(&format!("{who}-{name}"));
            testkit::shell(&format!(
                "cd {} && find . -type f | sort | xargs getfattr --absolute-names -e text -n security.selinux",
                root.display()
            ))
        };
        let ours = labels("ours");
        assert!(ours.contains("_t:s0"), "{ours}");
        assert_eq!(ours, labels("theirs"), "{options}");
    }
    // And without the path of either option.
    answer(&mut twins.ours("checkout --selinux-policy=policy main ours-plain"));
    let line = "checkout --selinux-prefix=/usr main nowhere";
    twins.refused(line);
    twins.refused("checkout -H --selinux-policy=policy main nowhere");
    assert!(!twins.path("nowhere").exists());
}
