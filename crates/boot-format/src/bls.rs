use std::cmp::Ordering;
use std::fmt;

use crate::{KernelArgs, version_order};

/// Keys in the order in which libostree writes them; what is not here follows in its own order.
const ORDER: [&str; 6] = [
    "title",
    "version",
    "options",
    "devicetree",
    "linux",
    "initrd",
];

/// An entry of the Boot Loader Specification (type 1).
///
/// Keys that are not known are kept with their values; comments and lines without a value are not.
/// A second `initrd` and those after it are additional ones (libostree's "overlay initrds"); of any
/// other key the last value counts, in the place of the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlsEntry {
    fields: Vec<(String, String)>,
    overlay_initrds: Vec<String>,
}

impl BlsEntry {
    /// An entry that says nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            fields: Vec::new(),
            overlay_initrds: Vec::new(),
        }
    }

    /// Read an entry. There is no wrong entry: lines that say nothing are skipped, as libostree and
    /// the boot loaders do.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut entry = Self::new();
        for line in text.split('\n') {
            if !line.starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue;
            }
            let Some((key, value)) = line.split_once([' ', '\t']) else {
                continue;
            };
            if key == "initrd" && entry.get("initrd").is_some() {
                entry.overlay_initrds.push(value.to_owned());
            } else {
                entry.set(key, value);
            }
        }
        entry
    }

    /// The value of `key`; of `initrd` the first one.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(k, _)| k == key);
        found.next().map(|(_, value)| value.as_str())
    }

    /// Set `key` to `value`, in its place when it is there already.
    ///
    /// A line feed would start another line, so it is written as a space.
    pub fn set(&mut self, key: &str, value: &str) {
        let value = value.replace('\n', " ");
        match self.fields.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => self.fields.push((key.to_owned(), value)),
        }
    }

    /// Remove `key`; whether it was there. Removing `initrd` leaves the additional ones.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.fields.len();
        self.fields.retain(|(k, _)| k != key);
        self.fields.len() != before
    }

    /// The initrds after the first, in order.
    #[must_use]
    pub fn overlay_initrds(&self) -> &[String] {
        &self.overlay_initrds
    }

    /// Replace the initrds after the first.
    pub fn set_overlay_initrds(&mut self, initrds: Vec<String>) {
        self.overlay_initrds = initrds;
    }

    /// The kernel arguments (`options`), empty when there are none.
    #[must_use]
    pub fn kernel_args(&self) -> KernelArgs {
        KernelArgs::parse(self.get("options").unwrap_or_default())
    }

    /// The value of the first `ostree=` among the options.
    ///
    /// Split at single spaces without regard to quotes, as libostree looks for it.
    #[must_use]
    pub fn ostree_arg(&self) -> Option<&str> {
        let options = self.get("options")?;
        let mut found = options
            .split(' ')
            .filter_map(|arg| arg.strip_prefix("ostree="));
        found.next()
    }

    /// The keys that libostree neither writes itself nor derives, in order, with their values: those
    /// that go from a deployment to its successor (for example `x-options-source-tuned`).
    pub fn extra_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .filter(|(key, _)| !ORDER.contains(&key.as_str()))
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The order of boot entries: higher versions first, entries without a version last.
    #[must_use]
    pub fn boot_order(&self, other: &Self) -> Ordering {
        match (self.get("version"), other.get("version")) {
            (Some(a), Some(b)) => version_order(a.as_bytes(), b.as_bytes()).reverse(),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }
}

/// The text of the entry file, byte for byte as libostree writes it (when there is at most one key
/// that it does not know: it writes several in an order of no meaning).
impl fmt::Display for BlsEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in ORDER {
            if let Some(value) = self.get(key) {
                writeln!(f, "{key} {value}")?;
            }
        }
        for initrd in &self.overlay_initrds {
            writeln!(f, "initrd {initrd}")?;
        }
        for (key, value) in self.extra_fields() {
            writeln!(f, "{key} {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_ostree_argument_only_as_a_whole_word() {
        let entry = BlsEntry::parse("options x=ostree=/no ostree=/a ostree=/b\n");
        assert_eq!(entry.ostree_arg(), Some("/a"));
        assert_eq!(BlsEntry::parse("options rw\n").ostree_arg(), None);
    }

    #[test]
    fn higher_versions_boot_first() {
        let mut entries = ["version 2", "title t", "version 10", "version 1"].map(BlsEntry::parse);
        entries.sort_by(BlsEntry::boot_order);
        let versions = entries.each_ref().map(|entry| entry.get("version"));
        assert_eq!(versions, [Some("10"), Some("2"), Some("1"), None]);
    }

    #[test]
    fn a_value_cannot_start_another_line() {
        let mut entry = BlsEntry::new();
        entry.set("title", "a\nlinux /evil");
        assert_eq!(entry.to_string(), "title a linux /evil\n");
    }
}
