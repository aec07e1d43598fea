//! `syslinux.cfg`

use std::fmt::Write as _;

use boot_format::BlsEntry;

/// The configuration with other entries of ours; what others have put there stays.
pub(super) fn render(current: &str, entries: &[&BlsEntry], prefixed: bool) -> String {
    let kept = Kept::of(current);
    let mut text = String::new();
    for line in kept.lines {
        // What is left of removed sections is not heaped up.
        if !line.is_empty() || !(text.is_empty() || text.ends_with("\n\n")) {
            text.push_str(line);
            text.push('\n');
        }
    }
    for (index, entry) in entries.iter().enumerate() {
        if index == 0 && !kept.foreign_default {
            let _infallible = writeln!(text, "DEFAULT {}", title(entry));
        }
        section(&mut text, entry, if prefixed { "" } else { "/boot" });
    }
    text
}

fn title(entry: &BlsEntry) -> &str {
    entry.get("title").unwrap_or("(Untitled)")
}

fn section(text: &mut String, entry: &BlsEntry, prefix: &str) {
    let _infallible = writeln!(text, "LABEL {}", title(entry));
    let paths = [
        ("KERNEL", "linux"),
        ("INITRD", "initrd"),
        ("DEVICETREE", "devicetree"),
    ];
    for (word, key) in paths {
        if let Some(path) = entry.get(key) {
            let _infallible = writeln!(text, "\t{word} {prefix}{path}");
        }
    }
    if let Some(options) = entry.get("options") {
        let _infallible = writeln!(text, "\tAPPEND {options}");
    }
}

/// What is not ours.
#[derive(Default)]
struct Kept<'a> {
    lines: Vec<&'a str>,
    foreign_default: bool,
}

impl<'a> Kept<'a> {
    fn of(text: &'a str) -> Self {
        let mut kept = Self::default();
        let mut section: Vec<&str> = Vec::new();
        for line in text.split('\n') {
            if !section.is_empty() && !line.starts_with('\t') {
                kept.add_section(&section);
                section.clear();
            }
            if !section.is_empty() || line.starts_with("LABEL ") {
                section.push(line);
            } else if let Some(default) = line.strip_prefix("DEFAULT ") {
                kept.add_default(line, default);
            } else {
                kept.lines.push(line);
            }
        }
        kept.add_section(&section);
        kept
    }

    /// Ours are told by their kernel.
    fn add_section(&mut self, section: &[&'a str]) {
        let kernel = section
            .iter()
            .find_map(|line| line.strip_prefix("\tKERNEL "));
        let is_ours =
            |path: &str| path.starts_with("/ostree/") || path.starts_with("/boot/ostree/");
        if !kernel.is_some_and(is_ours) {
            self.lines.extend(section);
        }
    }

    fn add_default(&mut self, line: &'a str, default: &str) {
        if !default.starts_with("ostree:") && !default.contains("(ostree") {
            self.foreign_default = true;
            self.lines.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(title: &str) -> BlsEntry {
        BlsEntry::parse(&format!(
            "title {title}\nlinux /ostree/os-1/vmlinuz\ninitrd /ostree/os-1/initramfs.img\noptions rw\n"
        ))
    }

    const OURS: &str = "LABEL New (ostree:0)\n\tKERNEL /boot/ostree/os-1/vmlinuz\n\
                        \tINITRD /boot/ostree/os-1/initramfs.img\n\tAPPEND rw\n";

    #[test]
    fn an_empty_file_gets_a_default() {
        let text = render("", &[&entry("New (ostree:0)")], false);
        assert_eq!(text, format!("DEFAULT New (ostree:0)\n{OURS}"));
        assert_eq!(render(&text, &[&entry("New (ostree:0)")], false), text);
    }

    #[test]
    fn what_others_wrote_stays() {
        let foreign = "TIMEOUT 20\n\nDEFAULT memtest\nLABEL memtest\n\tKERNEL /boot/memtest\n";
        let old = "LABEL Old (ostree:0)\n\tKERNEL /ostree/os-0/vmlinuz\n\tAPPEND rw\n";
        let text = render(
            &format!("{old}{foreign}"),
            &[&entry("New (ostree:0)")],
            false,
        );
        assert_eq!(text, format!("{foreign}\n{OURS}"));
    }
}
