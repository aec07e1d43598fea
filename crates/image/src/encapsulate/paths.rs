//! Which component a file belongs to when nobody says it: by its path.

/// Directories whose children change independently of each other, the most specific first.
const SPLIT: [&str; 14] = [
    "usr/lib/firmware",
    "usr/lib/modules",
    "usr/share/locale",
    "usr/share/doc",
    "usr/share/fonts",
    "usr/share/icons",
    "usr/lib64",
    "usr/libexec",
    "usr/share",
    "usr/local",
    "usr/lib",
    "usr",
    "opt",
    "var",
];

/// What is installed as boot files changes with every update, and with nothing else.
pub(crate) const KERNEL: &str = "kernel";
pub(crate) const INITRAMFS: &str = "initramfs";

/// The component of the file at `path`, by the directory that it is in.
pub(crate) fn component_of(path: &str) -> &str {
    if let Some(boot) = boot_file(path) {
        return boot;
    }
    for prefix in SPLIT {
        let inside = path
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('/'));
        if let Some(inside) = inside {
            return match inside.find('/') {
                Some(end) => &path[..prefix.len() + 1 + end],
                None => prefix,
            };
        }
    }
    path.split_once('/').map_or("other", |(top, _)| top)
}

fn boot_file(path: &str) -> Option<&'static str> {
    let (_, file) = path.strip_prefix("usr/lib/modules/")?.split_once('/')?;
    match file {
        "vmlinuz" => Some(KERNEL),
        "initramfs.img" | "initrd" | "initramfs" => Some(INITRAMFS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components() {
        for (path, component) in [
            ("usr/lib/modules/6.1/vmlinuz", KERNEL),
            ("usr/lib/modules/6.1/initramfs.img", INITRAMFS),
            (
                "usr/lib/modules/6.1/kernel/fs/ext4.ko",
                "usr/lib/modules/6.1",
            ),
            ("usr/lib/firmware/intel/x", "usr/lib/firmware/intel"),
            ("usr/lib/libc.so", "usr/lib"),
            ("usr/lib/python3/os.py", "usr/lib/python3"),
            ("usr/bin/sh", "usr/bin"),
            ("usr/share/locale/de/x.mo", "usr/share/locale/de"),
            ("usr/etc/passwd", "usr/etc"),
            ("boot/x", "boot"),
            ("bin", "other"),
        ] {
            assert_eq!(component_of(path), component, "{path}");
        }
    }
}
