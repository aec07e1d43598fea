//! `uEnv.txt`

use std::fmt::Write as _;

use boot_format::BlsEntry;

/// The variables for all entries, those of the first without a number, and behind them what the first
/// deployment brings along (`usr/lib/ostree-boot/uEnv.txt`).
pub(super) fn render(entries: &[&BlsEntry], own: Option<&str>, prefixed: bool) -> String {
    let prefix = if prefixed { "" } else { "/boot" };
    let mut text = String::new();
    for (index, entry) in entries.iter().enumerate() {
        let number = match index {
            0 => String::new(),
            _ => (index + 1).to_string(),
        };
        let paths = [
            ("kernel_image", "linux"),
            ("ramdisk_image", "initrd"),
            ("fdt_file", "devicetree"),
            ("fdtdir", "fdtdir"),
        ];
        for (variable, key) in paths {
            if let Some(path) = entry.get(key) {
                let _infallible = writeln!(text, "{variable}{number}={prefix}{path}");
            }
        }
        if let Some(options) = entry.get("options") {
            let _infallible = writeln!(text, "bootargs{number}={options}");
        }
        if let Some(own) = own.filter(|own| index == 0 && !own.is_empty()) {
            text.push_str(own);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_numbered_from_the_second_on() {
        let first =
            BlsEntry::parse("linux /ostree/a/vmlinuz\nfdtdir /ostree/a/dtb\noptions rw x=1\n");
        let second = BlsEntry::parse("linux /ostree/b/vmlinuz\ninitrd /ostree/b/i\noptions ro\n");
        assert_eq!(
            render(&[&first, &second], Some("loadfdt=x\n"), false),
            "kernel_image=/boot/ostree/a/vmlinuz\nfdtdir=/boot/ostree/a/dtb\nbootargs=rw x=1\nloadfdt=x\n\n\
             kernel_image2=/boot/ostree/b/vmlinuz\nramdisk_image2=/boot/ostree/b/i\nbootargs2=ro\n"
        );
    }
}
