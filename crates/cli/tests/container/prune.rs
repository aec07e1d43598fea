//! What `image prune` removes, on systems with deployments and beside a pull.

use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::oci::{Image, Layer, LayoutBuilder};
use testkit::tar::TarWriter;
use testkit::{FaultProxy, Registry};

use crate::support::sysroot::ScratchSysroot;
use crate::support::{answer, bootroot, ostree};

fn noise(seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) * 2 + 1;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..2_000_000).map(step).collect()
}

/// A system of two layers that differ from version to version, over one that does not.
fn system(version: u8) -> Image {
    let kernel = TarWriter::new()
        .dir("etc", 0o755)
        .dir("usr", 0o755)
        .dir("usr/lib", 0o755)
        .file("usr/lib/os-release", 0o644, "PRETTY_NAME=Small\n")
        .dir("usr/lib/modules", 0o755)
        .dir("usr/lib/modules/6.1", 0o755)
        .file("usr/lib/modules/6.1/vmlinuz", 0o644, "a kernel")
        .file("usr/lib/modules/6.1/initramfs.img", 0o644, "an initramfs")
        .dir("var", 0o755)
        .dir("sysroot", 0o755);
    let share = |name: &str, seed: u8| {
        let tar = TarWriter::new().dir("usr", 0o755).dir("usr/share", 0o755);
        Layer::new(
            tar.file(format!("usr/share/{name}"), 0o644, noise(seed))
                .finish(),
        )
    };
    Image::bootable()
        .layer(Layer::new(kernel.finish()))
        .layer(share("first", version))
        .layer(share("second", version + 100))
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "waiting for {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_prune_beside_a_pull_takes_nothing_from_it_nor_from_deployments() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = LayoutBuilder::new(dir.path());
    let sysroot = ScratchSysroot::by_ostree();
    let on = |line: &str| bootroot(&format!("--sysroot {} {line}", sysroot.path().display()));
    layout.tag("deployed", &system(1));
    layout.tag("unused", &system(2));
    layout.tag("pulled", &system(3));
    let deployed = layout.reference("deployed");
    answer(&mut on(&format!(
        "deploy --stateroot testos --karg root=LABEL=root {deployed}"
    )));
    answer(&mut on(&format!(
        "image pull {}",
        layout.reference("unused")
    )));

    // A pull that has its first layers, and waits for the rest.
    let registry = Registry::start();
    registry.push(&layout.reference("pulled"), "org/os:1");
    let proxy = FaultProxy::start(&registry.host());
    let wanted = format!("registry:{}/org/os:1", proxy.host());
    proxy.stall_after(2_500_000);
    let mut pull = on(&format!("image pull --quiet {wanted} --tls-verify=false"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the stall", || proxy.sent() >= 2_400_000);

    // It removes names at once, and waits with objects for the pull.
    let mut prune = on("image prune").stdout(Stdio::piped()).spawn().unwrap();
    let repo = sysroot.join("ostree/repo");
    let listed = format!(
        "refs --repo={} --list ostree/container/image",
        repo.display()
    );
    wait_until("the name to go", || {
        !answer(&mut ostree(&listed)).contains("unused")
    });
    assert!(prune.try_wait().unwrap().is_none());
    proxy.hang_up();
    assert!(pull.wait().unwrap().success());
    let told = prune.wait_with_output().unwrap();
    assert!(told.status.success(), "{told:?}");
    assert!(
        String::from_utf8_lossy(&told.stdout).contains("unused"),
        "{told:?}"
    );

    for image in [deployed.as_str(), wanted.as_str()] {
        answer(&mut on(&format!("image check {image}")));
    }
    let names = answer(&mut on("image list --quiet"));
    assert!(!names.contains("unused"), "{names}");
    // Now that nothing is under way, what the unused image alone had goes.
    answer(&mut on("image prune"));
    let status = answer(&mut on("status --json"));
    assert!(
        status.contains("\"problems\": []") || !status.contains("problem\""),
        "{status}"
    );
    answer(&mut ostree(&format!(
        "fsck --quiet --repo={}",
        repo.display()
    )));
    let stored = answer(&mut ostree(&format!(
        "refs --repo={} --list ostree/container/blob",
        repo.display()
    )));
    // Three layers of the deployed image; the image that was pulled is no deployment's, so it went, too.
    assert_eq!(stored.lines().count(), 3, "{stored}");
}

#[test]
fn what_only_an_older_version_was_made_of_goes_from_systems() {
    let sysroot = ScratchSysroot::by_ostree();
    let first = sysroot.ostree("rev-parse --repo=ostree/repo os/x");
    let first = first.trim();
    sysroot.ostree("commit --repo=ostree/repo -b os/x -s second --tree=ref=os/x");
    let repo = sysroot.join("ostree/repo");
    let is_there = || {
        let mut show = ostree(&format!("show --repo={} {first}", repo.display()));
        show.output().unwrap().status.success()
    };
    // A repository alone may be one that somebody builds in.
    answer(&mut bootroot(&format!(
        "--repo {} image prune",
        repo.display()
    )));
    assert!(is_there());
    let on = |line: &str| bootroot(&format!("--sysroot {} {line}", sysroot.path().display()));
    let planned = answer(&mut on("image prune --dry-run --json"));
    let planned: serde_json::Value = serde_json::from_str(&planned).unwrap();
    assert!(is_there());
    assert_eq!(planned["objects"], 1);
    answer(&mut on("image prune"));
    assert!(!is_there());
    sysroot.ostree("fsck --quiet --repo=ostree/repo");
}
