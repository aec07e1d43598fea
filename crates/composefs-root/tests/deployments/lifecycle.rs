//! What boots, what is carried over, what is removed.

use std::fs;

use boot_format::KernelArgs;
use composefs_root::{BootType, FinalizedRoot, MenuChange, RootError, RootRequest};

use crate::support::{System, read, request};

#[test]
fn a_new_system_has_all_that_boots_it() {
    let system = System::new();
    let id = system.image("1", "linux", "one");
    let refused = system.roots().deploy(&request(id, None));
    assert!(
        matches!(refused, Err(RootError::NoArguments)),
        "{refused:?}"
    );
    let deployed = system
        .roots()
        .deploy(&request(id, Some("root=LABEL=root rw")))
        .unwrap();
    assert!(!deployed.staged);

    assert_eq!(read(&system.etc(&id, "conf")), "one");
    let var = system.path(&format!("state/deploy/{id}/var"));
    assert_eq!(read(&var.join("lib/first")), "of the image");
    let origin = read(&system.path(&format!("state/deploy/{id}/{id}.origin")));
    assert!(origin.contains("boot_type=bls\n"), "{origin}");
    let names: Vec<_> = fs::read_dir(system.path("boot/loader/entries"))
        .unwrap()
        .collect();
    assert_eq!(names.len(), 1);
    let entry = read(&names[0].as_ref().unwrap().path());
    let line = format!("options root=LABEL=root rw composefs=?{id}\n");
    assert!(entry.contains(&line), "{entry}");
    let kernel = format!("linux /boot/bootc_composefs-{id}/vmlinuz\n");
    assert!(entry.contains(&kernel), "{entry}");
    assert_eq!(
        read(&system.path(&format!("boot/bootc_composefs-{id}/vmlinuz"))),
        "linux"
    );
}

#[test]
fn etc_is_carried_over_and_the_one_before_stays() {
    let system = System::new();
    let ids = [("1", "a"), ("2", "b"), ("3", "b")].map(|(version, kernel)| {
        let id = system.image(version, kernel, version);
        (id, version)
    });
    let [(one, _), (two, _), (three, _)] = ids;
    system
        .roots()
        .deploy(&request(one, Some("root=/dev/vda quiet")))
        .unwrap();
    fs::write(system.etc(&one, "other"), "changed").unwrap();
    fs::write(system.etc(&one, "mine"), "mine").unwrap();
    system.roots().deploy(&request(two, None)).unwrap();
    assert_eq!(system.titles(), ["OS 2", "OS 1"]);
    assert_eq!(read(&system.etc(&two, "conf")), "2");
    assert_eq!(read(&system.etc(&two, "other")), "changed");
    assert_eq!(read(&system.etc(&two, "mine")), "mine");
    let menu = system.roots().menu().unwrap();
    let args = menu[0].kernel_args().to_string();
    assert_eq!(args, format!("root=/dev/vda quiet composefs=?{two}"));

    // The third has the kernel of the second, and the first goes.
    let deployed = system.roots().deploy(&request(three, None)).unwrap();
    assert_eq!(system.titles(), ["OS 3", "OS 2"]);
    assert_eq!(deployed.removed.states, [one.to_string()]);
    assert_eq!(deployed.removed.kernels, [one.to_string()]);
    let menu = system.roots().menu().unwrap();
    assert_eq!(menu[0].boot_files(), Some(two));
    assert!(
        !system
            .path(&format!("boot/bootc_composefs-{three}"))
            .exists()
    );
    let needed = system.roots().needed().unwrap();
    assert_eq!(needed.images, [two, three].into());
}

#[test]
fn any_of_several_boots_first_when_it_is_asked_for() {
    let system = System::new();
    let ids: Vec<_> = ["1", "2", "3"]
        .iter()
        .map(|version| system.image(version, version, "x"))
        .collect();
    for id in &ids {
        let retain = RootRequest {
            retain: true,
            ..request(*id, Some("root=/dev/vda"))
        };
        system.roots().deploy(&retain).unwrap();
    }
    assert_eq!(system.titles(), ["OS 3", "OS 2", "OS 1"]);
    assert_eq!(system.roots().roll_back(None).unwrap().first, ids[1]);
    assert_eq!(system.titles(), ["OS 2", "OS 3", "OS 1"]);
    assert_eq!(
        system.roots().roll_back(Some(&ids[0])).unwrap().first,
        ids[0]
    );
    assert_eq!(system.titles(), ["OS 1", "OS 2", "OS 3"]);
    let unknown = system.image("4", "4", "x");
    let refused = system.roots().roll_back(Some(&unknown));
    assert!(
        matches!(refused, Err(RootError::NoDeployment(_))),
        "{refused:?}"
    );
}

#[test]
fn what_runs_stages_and_a_shutdown_completes() {
    let system = System::new();
    let run = tempfile::tempdir().unwrap();
    let (one, two) = (system.image("1", "a", "1"), system.image("2", "b", "2"));
    system
        .roots()
        .deploy(&request(one, Some("root=/dev/vda")))
        .unwrap();
    let running = system.running(one, run.path());
    assert_eq!(running.finalize().unwrap(), FinalizedRoot::Nothing);
    let locked = RootRequest {
        locked: true,
        ..request(two, None)
    };
    assert!(running.deploy(&locked).unwrap().staged);
    let staged = read(&run.path().join("composefs/staged-deployment"));
    assert_eq!(
        staged,
        format!("{{\"depl_id\":\"{two}\",\"finalization_locked\":true}}")
    );
    assert_eq!(running.finalize().unwrap(), FinalizedRoot::Locked(two));
    running.lock_finalization(false).unwrap();
    let seen = running.deployments().unwrap();
    assert!(
        seen[0].staged && seen[0].id == two && seen[0].problems.is_empty(),
        "{seen:?}"
    );
    assert!(seen[1].booted && seen[1].id == one, "{seen:?}");

    // What changes until the end is carried over.
    fs::write(system.etc(&one, "late"), "late").unwrap();
    assert_eq!(system.titles(), ["OS 1"]);
    assert_eq!(running.finalize().unwrap(), FinalizedRoot::Done(two));
    assert_eq!(system.titles(), ["OS 2", "OS 1"]);
    assert_eq!(read(&system.etc(&two, "late")), "late");
    assert!(running.staged().unwrap().is_none());

    // A rollback gives up what is staged, and leaves what boots.
    let three = system.image("3", "c", "3");
    let after = system.running(two, run.path());
    after.deploy(&request(three, None)).unwrap();
    let rolled = after.roll_back(None).unwrap();
    assert!(rolled.gave_up && rolled.first == two, "{rolled:?}");
    assert_eq!(system.titles(), ["OS 2", "OS 1"]);
    assert!(!system.path(&format!("state/deploy/{three}")).exists());
}

#[test]
fn entries_of_other_systems_stay() {
    let system = System::new();
    let foreign = "# mine\ntitle Other\nlinux /vmlinuz\n";
    fs::create_dir_all(system.path("boot/loader/entries")).unwrap();
    fs::write(system.path("boot/loader/entries/other.conf"), foreign).unwrap();
    let id = system.image("1", "a", "1");
    system
        .roots()
        .deploy(&request(id, Some("root=/dev/vda")))
        .unwrap();
    let kept = read(&system.path("boot/loader/entries/other.conf"));
    assert_eq!(kept, foreign);
    assert_eq!(system.titles().len(), 2);
}

#[test]
fn what_is_damaged_is_listed() {
    let system = System::new();
    let id = system.image("1", "a", "1");
    system
        .roots()
        .deploy(&request(id, Some("root=/dev/vda")))
        .unwrap();
    fs::write(
        system.path(&format!("state/deploy/{id}/{id}.origin")),
        "what",
    )
    .unwrap();
    fs::remove_file(system.path(&format!("composefs/images/{id}"))).unwrap();
    let seen = system.roots().deployments().unwrap();
    let problems: Vec<_> = seen[0].problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        ["its origin is missing or damaged", "its image is missing"]
    );
}

/// On a system with an EFI system partition and systemd-boot.
#[test]
fn a_unified_kernel_image_boots_its_root_and_no_other() {
    let system = System::new();
    fs::create_dir_all(system.path("efi/EFI/systemd")).unwrap();
    let (one, two) = (
        system.image("1", "kernel", "conf"),
        system.image("2", "kernel", "x"),
    );
    let by_marked = |mark, root, id| RootRequest {
        with_boot: Some(system.image_with_uki("1", mark, &root)),
        ..request(id, None)
    };
    let by_uki = |root, id| by_marked("?", root, id);
    // Nothing is verified here, so that it would not boot.
    let refused = system.roots().deploy(&by_marked("", one, one));
    assert!(
        matches!(refused, Err(RootError::NotVerifiable(_))),
        "{refused:?}"
    );
    let refused = system.roots().deploy(&by_uki(one, two));
    assert!(
        matches!(refused, Err(RootError::OtherRoot { .. })),
        "{refused:?}"
    );
    assert!(system.roots().menu().unwrap().is_empty());

    let deployed = system.roots().deploy(&by_uki(one, one)).unwrap();
    assert_eq!(deployed.boot_type, BootType::Uki);
    let uki = format!("EFI/Linux/bootc/bootc_composefs-{one}.efi");
    assert!(
        fs::read(system.path(&format!("efi/{uki}")))
            .unwrap()
            .starts_with(b"MZ")
    );
    let menu = system.roots().menu().unwrap();
    assert_eq!((menu[0].id(), menu[0].title()), (Some(&one), Some("OS 1")));
    assert_eq!(menu[0].own_args().to_strings(), ["rw", "quiet"]);
    let entries = fs::read_dir(system.path("efi/loader/entries")).unwrap();
    let entry = read(&entries.into_iter().next().unwrap().unwrap().path());
    assert!(entry.contains(&format!("efi /{uki}\n")), "{entry}");
    let origin = system.roots().origin(&one).unwrap().unwrap();
    let digest = testkit::shell("printf 'the kernelthe initramfs' | sha256sum | cut -d' ' -f1");
    assert_eq!(origin.boot_digest().as_deref(), Some(digest.trim_end()));

    // Another root takes its place, and with it the image goes.
    let retain = RootRequest {
        kernel_args: Some(boot_format::KernelArgs::parse("root=/dev/vda")),
        ..request(two, None)
    };
    system.roots().deploy(&retain).unwrap();
    assert_eq!(system.titles(), ["OS 2", "OS 1"]);
    let three = system.image("3", "kernel", "y");
    system.roots().deploy(&request(three, None)).unwrap();
    assert!(!system.path(&format!("efi/{uki}")).exists());
    let kernel = format!("efi/EFI/Linux/bootc_composefs-{two}/vmlinuz");
    assert_eq!(read(&system.path(&kernel)), "kernel");
}

#[test]
fn what_is_staged_gets_arguments_and_loses_what_is_removed() {
    let system = System::new();
    let [one, two, three] = ["1", "2", "3"].map(|version| system.image(version, version, version));
    let run = tempfile::tempdir().unwrap();
    let first = request(one, Some("root=/dev/vda"));
    system.roots().deploy(&first).unwrap();
    let retained = |id| RootRequest {
        retain: true,
        ..request(id, None)
    };
    system.roots().deploy(&retained(two)).unwrap();
    let running = system.running(two, run.path());
    running.deploy(&retained(three)).unwrap();

    let args = KernelArgs::parse("root=/dev/vda debug");
    let plan = running.change(&MenuChange::Arguments(args)).unwrap();
    assert_eq!((plan.menu.len(), plan.gives_up), (3, None));
    let refused = running.change(&MenuChange::Remove(two));
    assert!(matches!(refused, Err(RootError::Running(_))), "{refused:?}");
    let plan = running.change(&MenuChange::Remove(one)).unwrap();
    assert_eq!(plan.removed, [one.to_string()]);
    assert_eq!(running.finalize().unwrap(), FinalizedRoot::Done(three));

    // It does not come back with the entries that were staged, nor is it lost what they got.
    let menu = running.menu().unwrap();
    let ids: Vec<_> = menu
        .iter()
        .filter_map(|entry| entry.id().copied())
        .collect();
    assert_eq!(ids, [three, two]);
    let args = menu
        .iter()
        .map(|entry| entry.own_args().to_strings().join(" "));
    let args: Vec<_> = args.collect();
    assert_eq!(args, ["root=/dev/vda debug", "root=/dev/vda"]);
}

#[test]
fn a_stage_is_given_up_by_its_name() {
    let system = System::new();
    let [one, two] = ["1", "2"].map(|version| system.image(version, version, version));
    let run = tempfile::tempdir().unwrap();
    system
        .roots()
        .deploy(&request(one, Some("root=/dev/vda")))
        .unwrap();
    let running = system.running(one, run.path());
    let nothing = running.change(&MenuChange::GiveUp);
    assert!(
        matches!(nothing, Err(RootError::NothingStaged)),
        "{nothing:?}"
    );
    running.deploy(&request(two, None)).unwrap();
    let planned = running.plan_change(&MenuChange::GiveUp).unwrap();
    assert_eq!(planned.gives_up, Some(two));
    assert_eq!(planned.removed, [two.to_string()]);
    let done = running.change(&MenuChange::GiveUp).unwrap();
    assert_eq!(done, planned);
    assert_eq!(running.staged().unwrap(), None);
    assert_eq!(running.finalize().unwrap(), FinalizedRoot::Nothing);
}

#[test]
fn a_reset_begins_anew_and_later_images_go_on_from_there() {
    let system = System::new();
    let [one, two] = ["1", "2"].map(|version| system.image(version, version, version));
    let first = request(one, Some("root=/dev/vda"));
    system.roots().deploy(&first).unwrap();
    fs::write(system.etc(&one, "mine"), "mine").unwrap();
    let var = |id| system.path(&format!("state/deploy/{id}/var"));
    fs::write(var(one).join("lib/first"), "changed").unwrap();
    let run = tempfile::tempdir().unwrap();

    let fresh = request(one, Some("root=/dev/vda fresh"));
    let running = system.running(one, run.path());
    running.reset(&fresh, "default-1").unwrap();
    assert!(!system.etc(&one, "mine").exists());
    assert_eq!(read(&var(one).join("lib/first")), "of the image");
    assert_eq!(system.roots().stateroot(&one), "default-1");
    assert_eq!(
        system.roots().stateroots().unwrap(),
        ["default", "default-1"]
    );
    let left = system.path(&format!("state/os/default/deploy-{one}/etc/mine"));
    assert_eq!(read(&left), "mine");
    assert_eq!(
        read(&system.path("state/os/default/var/lib/first")),
        "changed"
    );

    fs::write(var(one).join("new"), "new").unwrap();
    system.roots().deploy(&request(two, None)).unwrap();
    assert_eq!(read(&var(two).join("new")), "new");
    assert_eq!(system.titles(), ["OS 2", "OS 1"]);
}
