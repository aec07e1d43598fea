//! Real programs that tests are checked against.

use std::path::PathBuf;
use std::process::Command;

/// Programs whose Debian package is not named like them.
const PACKAGES: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("tune2fs", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("losetup", "mount"),
    ("getfattr", "attr"),
    ("setfattr", "attr"),
    ("busybox", "busybox-static"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("getcap", "libcap2-bin"),
    ("setcap", "libcap2-bin"),
    ("gpgv", "gpgv"),
    ("ar", "binutils"),
];

/// The path of a real program.
///
/// # Panics
/// When it is not in `PATH` (nor in the `sbin` directories), naming the Debian package to install.
/// A missing tool is a failure of the test, never a reason to skip it.
pub fn tool(name: &str) -> PathBuf {
    search_path()
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "`{name}` is not installed: apt-get install {} (or run scripts/setup)",
                package(name)
            )
        })
}

/// A [`Command`] for a real program (see [`tool`]), in the C locale.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(tool(name));
    command.env("LC_ALL", "C.UTF-8");
    command
}

fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    dirs.into_iter()
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
}

fn package(name: &str) -> &str {
    PACKAGES
        .iter()
        .find(|(program, _)| *program == name)
        .map_or(name, |(_, package)| package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_program_that_every_system_has() {
        assert!(tool("sh").ends_with("sh"));
    }

    #[test]
    fn package_is_named_where_it_differs() {
        assert_eq!(package("mkfs.ext4"), "e2fsprogs");
        assert_eq!(package("ostree"), "ostree");
    }

    #[test]
    #[should_panic(expected = "apt-get install no-such-program-here")]
    fn missing_program_panics() {
        tool("no-such-program-here");
    }
}
