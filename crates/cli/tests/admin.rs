//! Verbs of `bootroot ostree admin`, beside the real `ostree admin`: the same steps on two copies of a
//! system, and after each the same entries, links, origins, refs and answers.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::sysroot::ScratchSysroot;
use support::{answer, bootroot, ostree, refusal, sorted_lines};

/// Two copies of a system.
struct Twins {
    ours: ScratchSysroot,
    theirs: ScratchSysroot,
}

impl Twins {
    fn new() -> Self {
        let theirs = ScratchSysroot::by_ostree();
        let ours = ScratchSysroot::empty();
        let copy = format!(
            "cp -a {}/. {}",
            theirs.path().display(),
            ours.path().display()
        );
        testkit::shell(&copy);
        Self { ours, theirs }
    }

    fn ours(&self, line: &str) -> Command {
        at(
            bootroot(&format!("ostree admin {line} --sysroot=.")),
            &self.ours,
        )
    }

    fn theirs(&self, line: &str) -> Command {
        at(ostree(&format!("admin {line} --sysroot=.")), &self.theirs)
    }

    /// One step by both programs, after which both systems are the same.
    #[track_caller]
    fn step(&self, line: &str) -> (String, String) {
        let answers = (answer(&mut self.ours(line)), answer(&mut self.theirs(line)));
        let (ours, theirs) = (self.ours.facts(), self.theirs.facts());
        assert_eq!(ours, theirs, "after {line:?}");
        assert_eq!(self.status(), answer(&mut self.theirs("status")), "{line}");
        answers
    }

    fn status(&self) -> String {
        answer(&mut self.ours("status"))
    }

    /// Both refuse.
    #[track_caller]
    fn refused(&self, line: &str) {
        assert!(
            !self.ours(line).output().unwrap().status.success(),
            "{line}"
        );
        assert!(
            !self.theirs(line).output().unwrap().status.success(),
            "{line}"
        );
        assert_eq!(self.ours.facts(), self.theirs.facts(), "after {line:?}");
    }

    /// The `/etc` of the deployment that boots first, in both systems.
    fn etcs(&self) -> [PathBuf; 2] {
        [&self.ours, &self.theirs].map(|system| {
            let line = "admin --print-current-dir --sysroot=.";
            let path = answer(&mut at(ostree(line), system));
            Path::new(path.trim_end()).join("etc")
        })
    }
}

fn at(mut command: Command, system: &ScratchSysroot) -> Command {
    command.current_dir(system.path());
    command.env("OSTREE_SYSROOT_DEBUG", "mutable-deployments");
    command
}

#[test]
fn a_life_of_deployments() {
    let twins = Twins::new();
    twins.step("deploy --os=testos --karg=root=LABEL=x --karg=quiet os/x");
    twins.step("deploy --os=testos --karg-append=console=a --karg-append=console=b os/x");
    twins.step("deploy --os=testos os/x");
    twins.step("deploy --os=testos --retain --karg-delete=quiet os/x");
    let pinned = twins.step("pin 1");
    assert_eq!(pinned.0, pinned.1);
    twins.step("os-init other");
    twins.step("deploy --os=other --not-as-default --karg-none --karg=rw os/x");
    twins.step("deploy --os=testos --no-merge os/x");
    twins.step("instutil set-kargs --merge --replace=root=LABEL=y --append=z z=2");
    let deleted = twins.step("undeploy 0");
    assert!(deleted.1.contains(deleted.0.lines().last().unwrap()));
    twins.step("pin --unpin 1");
    twins.step("cleanup");
    twins.refused("undeploy 9");
    // The real program takes what is no number for 0, and leaves files behind in a stateroot that is none.
    let before = twins.ours.facts();
    for line in ["undeploy x", "pin -1x", "deploy --os=none os/x"] {
        let output = twins.ours(line).output().unwrap();
        assert!(!output.status.success(), "{line}");
        assert_eq!(twins.ours.facts(), before, "{line}");
    }
    twins.refused("deploy --os=testos no/such");
    twins.refused("upgrade --os=none");
}

#[test]
fn local_configuration_is_carried_over_and_told() {
    let twins = Twins::new();
    twins.step("deploy --os=testos os/x");
    for etc in twins.etcs() {
        fs::write(etc.join("hostname"), "mine\n").unwrap();
        fs::create_dir_all(etc.join("new/below")).unwrap();
        fs::write(etc.join("new/below/file"), "x").unwrap();
        symlink("nowhere", etc.join("link")).unwrap();
    }
    let (ours, theirs) = twins.step("config-diff --os=testos");
    assert_eq!(sorted_lines(&ours), sorted_lines(&theirs));
    twins.step("deploy --os=testos os/x");
    for etc in twins.etcs() {
        assert_eq!(fs::read(etc.join("hostname")).unwrap(), b"mine\n");
        assert_eq!(fs::read(etc.join("new/below/file")).unwrap(), b"x");
    }
}

/// What the real program wrote for other boot loaders is written the same.
#[test]
fn configurations_of_boot_loaders() {
    for (setup, file) in [
        (
            "mkdir -p boot/syslinux boot/loader.0 && ln -s loader.0 boot/loader && \
          printf 'TIMEOUT 20\\nLABEL other\\n\\tKERNEL /other\\n' > boot/loader/syslinux.cfg && \
          ln -s ../loader/syslinux.cfg boot/syslinux/syslinux.cfg",
            "syslinux.cfg",
        ),
        (
            "mkdir -p boot/loader.0 && ln -s loader.0 boot/loader && touch boot/loader/uEnv.txt",
            "uEnv.txt",
        ),
    ] {
        let twins = Twins::new();
        for system in [&twins.ours, &twins.theirs] {
            let unset = "ostree config unset sysroot.bootloader --repo=ostree/repo";
            let path = system.path().display();
            testkit::shell(&format!("cd {path} && {setup} && {unset}"));
        }
        for line in [
            "deploy --os=testos --karg=root=LABEL=x os/x",
            "deploy --os=testos os/x",
            "deploy --os=testos --retain --karg=new=1 os/x",
            "undeploy 1",
        ] {
            twins.step(line);
            let read = |system: &ScratchSysroot| {
                fs::read_to_string(system.join(&format!("boot/loader/{file}"))).unwrap()
            };
            assert_eq!(
                read(&twins.ours),
                read(&twins.theirs),
                "{file} after {line}"
            );
        }
    }
}

#[test]
fn a_generator_writes_the_configuration_of_grub() {
    let twins = Twins::new();
    for system in [&twins.ours, &twins.theirs] {
        let generator = system.join("generator");
        fs::write(
            &generator,
            "#!/bin/sh\necho set=$_OSTREE_GRUB2_BOOTVERSION > $2\n",
        )
        .unwrap();
        testkit::shell(&format!(
            "cd {} && chmod +x generator && mkdir boot/grub2 && \
             ln -s ../loader/grub.cfg boot/grub2/grub.cfg && \
             ostree config set sysroot.bootloader grub2 --repo=ostree/repo",
            system.path().display()
        ));
    }
    for (line, set) in [
        ("deploy --os=testos --karg=rw os/x", "set=1\n"),
        ("deploy --os=testos --retain os/x", "set=0\n"),
    ] {
        for (mut command, system) in [
            (twins.ours(line), &twins.ours),
            (twins.theirs(line), &twins.theirs),
        ] {
            answer(command.env("OSTREE_GRUB2_EXEC", system.join("generator")));
            let written = fs::read_to_string(system.join("boot/grub2/grub.cfg")).unwrap();
            assert_eq!(written, set, "{line}");
        }
    }
    fs::write(
        twins.ours.join("generator"),
        "#!/bin/sh\necho no disk >&2; exit 3\n",
    )
    .unwrap();
    let line = "deploy --os=testos --retain --karg=x os/x";
    let mut command = twins.ours(line);
    let refused = refusal(
        command.env("OSTREE_GRUB2_EXEC", twins.ours.join("generator")),
        1,
    );
    assert!(refused.contains("no disk"), "{refused}");
    let loader = fs::read_link(twins.ours.join("boot/loader")).unwrap();
    assert_eq!(loader, Path::new("loader.0"), "what boots is as it was");
}

#[test]
fn upgrade_and_switch_follow_a_local_repository() {
    let twins = Twins::new();
    for system in [&twins.ours, &twins.theirs] {
        let path = system.path().display();
        testkit::shell(&format!(
            "cd {path} && ostree init --repo=source --mode=archive && \
             ostree pull-local --repo=source ostree/repo os/x && \
             ostree remote add --repo=ostree/repo --no-gpg-verify origin file://{path}/source && \
             ostree pull --repo=ostree/repo origin os/x && ostree refs --repo=ostree/repo --delete os/x"
        ));
        at(
            ostree("admin deploy --os=testos --karg=rw origin:os/x --sysroot=."),
            system,
        )
        .output()
        .unwrap();
    }
    let same = twins.step("upgrade --os=testos");
    assert_eq!(same, ("No update available.\n".to_owned(), same.0.clone()));
    for (time, branch) in [("2037-01-01", "os/x"), ("2036-01-01", "os/y")] {
        for system in [&twins.ours, &twins.theirs] {
            testkit::shell(&format!(
                "cd {} && ostree commit --repo=source -b {branch} -s n --tree=ref=os/x \
                 --timestamp={time} --add-metadata-string=version=2",
                system.path().display()
            ));
        }
        if branch == "os/x" {
            twins.step("upgrade --os=testos");
        } else {
            twins.step("switch --os=testos origin:os/y");
        }
    }
    twins.refused("switch --os=testos origin:os/y");
    // Older than what is deployed.
    for system in [&twins.ours, &twins.theirs] {
        testkit::shell(&format!(
            "cd {} && ostree commit --repo=source -b os/y -s n --tree=ref=os/x --timestamp=2020-01-01",
            system.path().display()
        ));
    }
    twins.refused("upgrade --os=testos");
    twins.step("upgrade --os=testos --allow-downgrade");
}

#[test]
fn additional_initrds() {
    let twins = Twins::new();
    let initrd = twins.ours.join("overlay.img");
    fs::write(&initrd, "more for the initramfs").unwrap();
    let initrd = initrd.display();
    twins.step("deploy --os=testos --karg=rw os/x");
    twins.step(&format!(
        "deploy --os=testos --overlay-initrd={initrd} os/x"
    ));
    let entry = |system: &ScratchSysroot| {
        system
            .facts()
            .iter()
            .any(|f| f.contains("initramfs-overlays"))
    };
    assert!(entry(&twins.ours));
    // Behind the same kernel, one with and one without.
    twins.step("deploy --os=testos --retain os/x");
    twins.step("undeploy 1");
    assert!(!entry(&twins.ours));
    twins.refused("deploy --os=testos --overlay-initrd=/no/such os/x");
}

#[test]
fn what_needs_a_running_system_says_so() {
    let twins = Twins::new();
    twins.step("deploy --os=testos --karg=rw os/x");
    for (line, cause) in [
        ("unlock", "not booted"),
        ("unlock --hotfix --transient", "Cannot specify both"),
        ("state-overlay doc /usr/share/doc", "Must be booted"),
    ] {
        let said = refusal(&mut twins.ours(line), 1);
        assert!(said.contains(cause), "{line}: {said}");
    }
    // Nothing to be done without fs-verity.
    twins.step("cleanup");
    answer(&mut twins.ours("post-copy"));
    let config = "--repo=ostree/repo config set ex-integrity.fsverity yes";
    answer(&mut at(ostree(config), &twins.ours));
    let said = refusal(&mut twins.ours("post-copy"), 1);
    assert!(said.contains("fsverity required"), "{said}");
}

/// Android Boot has no entries of its own: a program writes the image of the first deployment to a partition.
#[test]
fn android_boot_is_installed_by_its_program() {
    let twins = Twins::new();
    let system = &twins.ours;
    let tools = system.join("tools");
    fs::create_dir(&tools).unwrap();
    let program = tools.join("aboot-deploy");
    let deploy = |script: &str| {
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        testkit::shell(&format!("chmod +x {}", program.display()));
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
        let mut deploy = twins.ours("deploy --os=testos --karg=rw aboot/x");
        deploy.env("PATH", path);
        deploy
    };
    testkit::shell(&format!(
        "cd {}; ostree --repo=ostree/repo checkout -U os/x tree; \
         echo image > tree/usr/lib/modules/6.1/aboot.img; \
         ostree --repo=ostree/repo commit -b aboot/x --owner-uid=0 --owner-gid=0 --tree=dir=tree",
        system.path().display()
    ));
    // The real program at hand is too old for that value, and reads no such repository.
    let config = "--repo=ostree/repo config set sysroot.bootloader aboot";
    answer(&mut at(ostree(config), system));
    let stamp = system.join("boot/ostree-bootloader-update.stamp");
    let said = refusal(&mut deploy("echo no partition >&2; exit 3"), 1);
    assert!(said.contains("no partition"), "{said}");
    assert!(stamp.exists(), "it is still to be done");
    answer(&mut deploy("echo \"$@\" > said"));
    assert!(!stamp.exists());
    let said = fs::read_to_string(system.join("said")).unwrap();
    let parts = [
        "-r . -c /ostree/deploy/testos/deploy/",
        "-o rw ostree=/ostree/boot.",
        "aboot-6.1",
    ];
    for part in parts {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}

/// Tests of recovery stop a deploy before it is published, in a boot of their own, as with libostree: what is left
/// behind then goes with what is deployed next, in whichever boot that is.
#[test]
fn what_an_interrupted_deploy_leaves_behind_goes_with_the_next_one() {
    let system = ScratchSysroot::by_ostree();
    let deploy = |boot: &str| {
        let line = "ostree admin deploy --os=testos os/x --sysroot=.";
        let mut deploy = at(bootroot(line), &system);
        deploy.env("OSTREE_BOOTID", boot);
        deploy
    };
    let left = |boot: &str| {
        let names = fs::read_dir(system.join("ostree/repo/tmp")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let of_boot = format!("staging-{boot}-");
        names.filter(|name| name.starts_with(&of_boot)).count()
    };
    for boot in ["first-boot", "second-boot"] {
        let mut stopped = deploy(boot);
        stopped.env("OSTREE_REPO_TEST_ERROR", "pre-commit");
        let said = refusal(&mut stopped, 130);
        assert!(said.contains("PRE_COMMIT specified"), "{said}");
        assert!(!system.join("boot/loader").exists());
        assert_eq!(left(boot), 1);
    }
    answer(&mut deploy("second-boot"));
    assert_eq!((left("first-boot"), left("second-boot")), (0, 0));
    assert!(system.join("boot/loader").exists());
}
