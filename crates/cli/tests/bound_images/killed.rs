//! A command that fetches bound images, killed at every step and at any time: afterwards everything that is deployed has what
//! it binds, the real podman reads the store, and the same command completes.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use testkit::Registry;

use crate::scene::{Scene, container_unit, image_unit};
use crate::support::answer;
use crate::support::sysroot::ScratchSysroot;

const FETCHING: [&str; 6] = [
    "containers:layers-staged",
    "containers:layers-in-place",
    "containers:layers-listed",
    "containers:images-written",
    "containers:images-listed",
    "bound:fetched",
];
const REMOVING: [&str; 2] = ["containers:images-unlisted", "containers:layers-unlisted"];

/// A scene whose next version binds two images, one of which has two layers.
fn binding() -> Scene {
    let scene = Scene::new(Registry::start());
    scene.push_layers("web", &["base", "web"]);
    let (web, db) = (scene.name("web"), scene.name("db"));
    scene.publish(
        "2",
        &[
            ("web.image", image_unit(&web)),
            ("db.container", container_unit(&db)),
        ],
    );
    scene
}

impl Scene {
    fn copy(&self) -> ScratchSysroot {
        let copy = ScratchSysroot::empty();
        let mut cp = testkit::command("cp");
        testkit::run(
            cp.arg("-a")
                .arg(self.host.sysroot.join("."))
                .arg(copy.path()),
        );
        copy
    }

    /// Whatever was interrupted: nothing is damaged, nothing that is deployed lacks an image, and podman reads the store.
    #[track_caller]
    fn assert_sound(&self, root: &Path) {
        answer(&mut self.command_at(root, "fsck"));
        answer(&mut self.command_at(root, "status"));
        self.found_by_podman_in(&root.join("ostree/bootc/storage"));
    }

    /// The command does the rest, and does nothing when it is repeated.
    #[track_caller]
    fn assert_completes(&self, root: &Path, names: &[String]) {
        answer(&mut self.command_at(root, "upgrade"));
        answer(&mut self.command_at(root, "cleanup"));
        self.assert_sound(root);
        let found = self.found_by_podman_in(&root.join("ostree/bootc/storage"));
        assert_eq!(found, names);
        for left in ["bootroot-staging", "overlay-images/images.json.damaged"] {
            let left = root.join("ostree/bootc/storage").join(left);
            let entries = std::fs::read_dir(left).map_or(0, Iterator::count);
            assert_eq!(entries, 0);
        }
    }

    /// How often the command was killed at these points.
    fn kill_at(&self, points: &[&str], names: &[String]) -> u32 {
        let mut killed = 0;
        for point in points {
            for nth in 1.. {
                let (system, at) = (self.copy(), format!("{point}:{nth}"));
                let mut command = self.command_at(system.path(), "upgrade");
                let died = command.env("BOOTROOT_CRASH_AT", &at).output().unwrap();
                if died.status.signal() != Some(6) {
                    assert!(died.status.success(), "{at}: {died:?}");
                    break;
                }
                killed += 1;
                self.assert_sound(system.path());
                self.assert_completes(system.path(), names);
            }
        }
        killed
    }
}

#[test]
fn while_images_are_fetched() {
    let scene = binding();
    let names = [scene.name("db"), scene.name("web")];
    let killed = scene.kill_at(&FETCHING, &names);
    assert!(killed >= 6, "{killed}");
}

#[test]
fn while_images_are_removed() {
    let scene = binding();
    scene.run("upgrade");
    let web = scene.name("web");
    for version in ["3", "4"] {
        scene.publish(version, &[("web.image", image_unit(&web))]);
        if version == "3" {
            scene.run("upgrade");
        }
    }
    let killed = scene.kill_at(&REMOVING, &[web]);
    assert_eq!(killed, 2);
}

#[test]
fn at_any_time() {
    let scene = binding();
    let names = [scene.name("db"), scene.name("web")];
    let system = scene.copy();
    for milliseconds in (0..150).step_by(15) {
        let mut child = scene.command_at(system.path(), "upgrade").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        // It may have ended by itself.
        let _gone = child.kill();
        child.wait().unwrap();
        scene.assert_sound(system.path());
    }
    scene.assert_completes(system.path(), &names);
}
