//! What is said of a system, whole and damaged, and that a damaged one can still be worked on.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::support::{Lab, make_tree, options, request};
use ostree_format::Checksum;
use sysroot::{BootError, ListError, Origin, Retain, Running, StagedData, Status, Sysroot};
use tempfile::TempDir;

/// Three deployments: `2` in front, then `1` twice.
struct Host {
    scratch: TempDir,
    lab: Lab,
    commits: [Checksum; 2],
}

fn host() -> Host {
    let scratch = tempfile::tempdir().unwrap();
    let lab = Lab::ours(scratch.path().join("S"), options());
    lab.init_stateroot("os");
    let commits = ["1", "2"].map(|version| {
        let tree = scratch.path().join(version);
        make_tree(&tree, version, &format!("6.{version}.0"));
        lab.commit(&format!("b{version}"), &tree, &format!("{version}.0"))
    });
    for commit in [commits[0], commits[0], commits[1]] {
        let mut request = request("os", commit, "origin:b");
        request.retain = Retain {
            all: true,
            ..Retain::default()
        };
        lab.deploy(&request).unwrap();
    }
    Host {
        scratch,
        lab,
        commits,
    }
}

impl Host {
    fn status(&self) -> Status {
        self.lab.open().status().unwrap()
    }

    fn entry(&self, number: u32) -> PathBuf {
        self.lab
            .root
            .join(format!("boot/loader/entries/ostree-{number}.conf"))
    }

    /// The sysroot as that of a system that runs from its deployment `index`.
    fn running(&self, index: usize, staged: Option<&StagedData>) -> Sysroot {
        let run = self.scratch.path().join("run");
        fs::create_dir_all(run.join("ostree")).unwrap();
        fs::write(run.join("ostree-booted"), "").unwrap();
        let _ = fs::remove_file(run.join("ostree/staged-deployment"));
        if let Some(staged) = staged {
            fs::write(run.join("ostree/staged-deployment"), staged.to_bytes()).unwrap();
        }
        let open = |path: PathBuf| OwnedFd::from(fs::File::open(path).unwrap());
        let root = open(self.lab.deployment(index));
        let running = Running::look(open(run), std::os::fd::AsFd::as_fd(&root)).unwrap();
        Sysroot::open(open(self.lab.root.clone()), options(), running).unwrap()
    }
}

#[test]
fn a_whole_system() {
    let host = host();
    let status = serde_json::to_value(host.status()).unwrap();
    assert_eq!(status["boot_version"], 1);
    assert_eq!(status["stateroots"], serde_json::json!(["os"]));
    assert_eq!(status["damaged"], serde_json::json!([]));
    let first = &status["deployments"][0];
    assert_eq!(first["commit"], host.commits[1].to_string());
    assert_eq!(
        (&first["version"], &first["refspec"]),
        (&"2.0".into(), &"origin:b".into())
    );
    assert_eq!(
        (&first["serial"], &first["boot_serial"], &first["unlocked"]),
        (&0.into(), &0.into(), &"none".into())
    );
    assert!(
        first["kernel_args"]
            .as_str()
            .unwrap()
            .starts_with("ostree=/ostree/boot.1/os/")
    );
    let serials = |key: &str| {
        (1..3)
            .map(|i| status["deployments"][i][key].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (serials("serial"), serials("boot_serial")),
        (vec![1.into(), 0.into()], vec![0.into(), 1.into()])
    );
    assert!(
        status["deployments"]
            .as_array()
            .unwrap()
            .iter()
            .all(|d| d["booted"] == false && d["pending"] == false)
    );
}

#[test]
fn a_running_system() {
    let host = host();
    let marks = |status: &Status| -> Vec<String> {
        let mark = |d: &sysroot::DeploymentStatus| {
            let flags = [
                (d.staged, 's'),
                (d.booted, 'b'),
                (d.pending, 'p'),
                (d.rollback, 'r'),
            ];
            flags
                .iter()
                .filter(|(set, _)| *set)
                .map(|(_, mark)| *mark)
                .collect()
        };
        status.deployments.iter().map(mark).collect()
    };
    assert_eq!(
        marks(&host.running(1, None).status().unwrap()),
        ["p", "b", "r"]
    );
    assert_eq!(
        marks(&host.running(0, None).status().unwrap()),
        ["b", "r", ""]
    );
    let state = host.lab.load();
    let kernel = |index: usize| {
        (
            host.lab.id(index),
            state.deployments[index].boot_checksum.clone(),
        )
    };
    let staged = StagedData {
        target: kernel(0),
        merge: Some(kernel(1)),
        kernel_args: Some(vec!["rw".to_owned()]),
        overlay_initrds: Vec::new(),
        locked: true,
        extra_fields: Vec::new(),
    };
    let status = host.running(1, Some(&staged)).status().unwrap();
    assert_eq!(marks(&status), ["sp", "", "b", "r"]);
    assert!(status.deployments[0].finalization_locked);
    assert_eq!(status.deployments[0].kernel_args.to_string(), "rw");
}

#[test]
fn the_running_deployment_is_kept_from_harm() {
    let host = host();
    let sysroot = host.running(2, None);
    let state = sysroot.load().unwrap();
    let refused = sysroot.plan_undeploy(&state, &host.lab.id(2)).unwrap_err();
    assert!(matches!(refused, ListError::Running(_)), "{refused}");
    // Its boot entry is gone: nothing is changed before that is repaired.
    fs::remove_file(host.entry(1)).unwrap();
    let state = sysroot.load().unwrap();
    let refused = sysroot.plan_undeploy(&state, &host.lab.id(0)).unwrap_err();
    assert!(
        matches!(refused, ListError::Boot(BootError::RunningUnknown)),
        "{refused}"
    );
    let plan = sysroot.plan_cleanup(&state).unwrap();
    assert!(
        plan.deployments.is_empty(),
        "the running deployment would be removed"
    );
}

#[test]
fn damaged_entries_are_shown_beside_the_others() {
    let host = host();
    let cases = [
        ("title x\n", "it has no ostree= kernel argument"),
        (
            "options ostree=/ostree/boot.1/nonsense\n",
            "invalid ostree= argument",
        ),
        ("\u{fffd}", "it has no ostree= kernel argument"),
    ];
    for (text, cause) in cases {
        fs::write(host.entry(3), text).unwrap();
        let status = host.status();
        assert_eq!(status.deployments.len(), 2);
        assert_eq!(status.damaged[0].file, "ostree-3.conf");
        assert!(
            status.damaged[0].cause.contains(cause),
            "{}",
            status.damaged[0].cause
        );
    }
    fs::write(host.entry(3), b"\xff\xfe").unwrap();
    assert!(host.status().damaged[0].cause.contains("not UTF-8"));
}

#[test]
fn what_a_damaged_entry_led_to_stays_until_the_next_deployment() {
    let host = host();
    fs::write(host.entry(3), "").unwrap();
    let directory = host
        .lab
        .root
        .join(format!("ostree/deploy/os/deploy/{}.0", host.commits[1]));
    host.lab
        .locked(|locked| assert!(locked.cleanup().unwrap().is_empty()));
    assert!(directory.exists());
    let mut request = request("os", host.commits[1], "origin:b");
    request.retain = Retain {
        all: true,
        ..Retain::default()
    };
    let sysroot = host.lab.open();
    let plan = sysroot
        .plan_deploy(&sysroot.load().unwrap(), &request)
        .unwrap();
    assert_eq!(plan.dropped_entries, ["ostree-3.conf"]);
    assert!(
        plan.to_string()
            .contains("damaged entry ostree-3.conf is dropped"),
        "{plan}"
    );
    host.lab.deploy(&request).unwrap();
    assert!(host.status().damaged.is_empty());
    assert_eq!(host.lab.load().deployments.len(), 3);
    host.lab.admin("status", &[]);
}

#[test]
fn missing_parts_are_named_and_repaired() {
    let host = host();
    let problems = |index: usize| -> Vec<String> {
        host.status().deployments[index]
            .problems
            .iter()
            .map(|problem| problem.message.clone())
            .collect()
    };
    let boot = host.lab.root.join("boot");
    let entry = fs::read_to_string(host.entry(3)).unwrap();
    let linux = entry
        .lines()
        .find_map(|line| line.strip_prefix("linux /"))
        .unwrap();
    fs::remove_file(boot.join(linux)).unwrap();
    assert_eq!(
        problems(0),
        [format!(
            "{linux}, which its boot entry names, is missing: it cannot boot"
        )]
    );
    // The next change brings it back, also if nothing else would be written.
    host.lab.set_default(0);
    assert_eq!(problems(0), Vec::<String>::new());
    assert!(boot.join(linux).exists());

    let id = host.lab.id(0);
    fs::write(host.lab.root.join(id.origin_path()), "nonsense\n").unwrap();
    assert!(
        problems(0)[0].starts_with("its origin file cannot be read: line 1"),
        "{:?}",
        problems(0)
    );
    let refused = host
        .lab
        .locked(|locked| locked.set_pinned(&id, true).unwrap_err());
    assert!(matches!(refused, ListError::NoOrigin(_)), "{refused}");
    let new = Origin::from_image("ostree-unverified-registry:localhost/x");
    host.lab
        .locked(|locked| locked.replace_origin(&id, &new).unwrap());
    let status = host.status();
    assert_eq!(
        status.deployments[0].image_reference.as_deref(),
        Some("ostree-unverified-registry:localhost/x")
    );

    fs::remove_dir_all(host.lab.root.join(host.lab.id(2).path())).unwrap();
    let status = host.status();
    assert_eq!((status.deployments.len(), status.damaged.len()), (2, 1));
    assert!(
        status.damaged[0].cause.ends_with("does not exist"),
        "{}",
        status.damaged[0].cause
    );
    host.lab.undeploy(1);
    assert!(host.status().damaged.is_empty());
    host.lab.admin("status", &[]);
}

#[test]
fn plans_are_bound_to_what_they_were_made_for() {
    let host = host();
    let sysroot = host.lab.open();
    let plan = sysroot
        .plan_undeploy(&sysroot.load().unwrap(), &host.lab.id(1))
        .unwrap();
    host.lab.set_default(2);
    let lock = sysroot.lock(std::time::Duration::ZERO).unwrap();
    let refused = lock.apply_list(&plan, None, &progress::Silent).unwrap_err();
    assert!(matches!(refused, ListError::Outdated), "{refused}");
}

#[test]
fn a_plan_says_everything_and_writes_nothing() {
    let host = host();
    let before = crate::support::listing(&host.lab.root);
    fs::write(host.lab.deployment(0).join("etc/a"), "local").unwrap();
    let mut wanted = request("os", host.commits[0], "origin:b");
    wanted.kernel_args.append = vec!["x=1".to_owned()];
    let sysroot = host.lab.open();
    let plan = sysroot
        .plan_deploy(&sysroot.load().unwrap(), &wanted)
        .unwrap();
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["deployment"]["serial"], 2);
    assert_eq!(json["version"], "1.0");
    assert_eq!(json["kernel"]["version"], "6.1.0");
    assert_eq!(json["kernel"]["files"][0]["size"], "kernel-6.1.0\n".len());
    assert_eq!(json["etc"]["modified"], serde_json::json!(["a"]));
    assert_eq!(json["etc"]["conflicts"][0]["kind"], "both-changed");
    assert_eq!(json["var"]["kind"], "keep");
    assert_eq!(
        json["boot"]["switch"],
        serde_json::json!({"kind": "entries", "to": 0, "links": 1})
    );
    let entry = json["boot"]["entries"][0]["entry"].as_str().unwrap();
    assert!(
        entry.starts_with(
            "title Test OS 1.0 (ostree:0)\nversion 2\noptions ostree=/ostree/boot.0/os/"
        ),
        "{entry}"
    );
    assert_eq!(json["dropped"].as_array().unwrap().len(), 2);
    assert_eq!(json["space"]["boot_needed"], 0);
    assert_eq!(crate::support::listing(&host.lab.root), before);
    // What was planned is what is written.
    let id = host.lab.deploy(&wanted).unwrap();
    assert_eq!(id, plan.deployment);
    for entry in &plan.boot.entries {
        let file = host.lab.root.join("boot/loader/entries").join(&entry.file);
        assert_eq!(fs::read_to_string(file).unwrap(), entry.entry.to_string());
    }
}

#[test]
fn what_is_in_the_way_in_etc_is_shown_and_refused() {
    let host = host();
    let etc = host.lab.deployment(0).join("etc");
    fs::remove_dir_all(etc.join("sub")).unwrap();
    fs::write(etc.join("sub"), "a file now").unwrap();
    let before = crate::support::listing(&host.lab.root);
    let wanted = request("os", host.commits[0], "origin:b");
    let sysroot = host.lab.open();
    let plan = sysroot
        .plan_deploy(&sysroot.load().unwrap(), &wanted)
        .unwrap();
    assert!(
        plan.to_string()
            .contains("impossible   Modified config file newly defaults to directory: /etc/sub"),
        "{plan}"
    );
    let error = host.lab.deploy(&wanted).unwrap_err();
    let message = "Modified config file newly defaults to directory: /etc/sub; remove or move it before deploying";
    assert_eq!(error.to_string(), message);
    assert_eq!(crate::support::listing(&host.lab.root), before);
    // Nobody's /etc is inherited without merging.
    let mut plain = wanted;
    plain.merge = sysroot::MergeFrom::Nothing;
    host.lab.deploy(&plain).unwrap();
    assert!(host.lab.deployment(0).join("etc/sub/s").exists());
}
