//! Boot entries of roots, and the order in which menus show them.

use std::fmt::Write as _;

use boot_format::{BlsEntry, KernelArgs};
use composefs_format::Digest;

use crate::RootArgument;
use crate::layout::{BOOT_DIR, UKI};

/// A boot entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootEntry {
    /// The name of its file.
    pub(crate) file_name: String,
    pub(crate) bls: BlsEntry,
    /// The image that is its root; `None` of entries that are none of ours.
    pub(crate) id: Option<Digest>,
    /// The arguments in the unified kernel image that it boots.
    pub(crate) unified: Option<KernelArgs>,
    /// As it stands in its file.
    read: String,
}

impl RootEntry {
    /// Read one.
    #[must_use]
    pub fn parse(file_name: &str, text: &str) -> Self {
        let bls = BlsEntry::parse(text);
        let id = root_of(&bls);
        Self {
            file_name: file_name.to_owned(),
            bls,
            id,
            unified: None,
            read: text.to_owned(),
        }
    }

    /// That of a root, which is written when it has its place in a menu.
    pub(crate) fn new(id: Digest, bls: BlsEntry) -> Self {
        Self {
            file_name: String::new(),
            bls,
            id: Some(id),
            unified: None,
            read: String::new(),
        }
    }

    /// What its file says: entries of other systems keep every byte.
    pub(crate) fn text(&self) -> String {
        match self.id {
            Some(_) => self.bls.to_string(),
            None => self.read.clone(),
        }
    }

    /// The image that is its root.
    #[must_use]
    pub const fn id(&self) -> Option<&Digest> {
        self.id.as_ref()
    }

    /// Its kernel arguments; those of a unified kernel image are in that.
    #[must_use]
    pub fn kernel_args(&self) -> KernelArgs {
        let unified = self.unified.clone();
        unified.unwrap_or_else(|| self.bls.kernel_args())
    }

    /// Whether it boots a unified kernel image.
    pub(crate) fn is_unified(&self) -> bool {
        self.bls.get("linux").is_none()
    }

    /// The same without those that name its image.
    #[must_use]
    pub fn own_args(&self) -> KernelArgs {
        without_root(&self.kernel_args())
    }

    /// What the menu shows.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.bls.get("title")
    }

    /// The version of the system.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.bls.get("version")
    }

    /// The digest in the name of the directory that its kernel is in, or of the unified kernel image: several
    /// deployments may have the same.
    #[must_use]
    pub fn boot_files(&self) -> Option<Digest> {
        let path = ["linux", "efi", "uki"]
            .iter()
            .find_map(|key| self.bls.get(key))?;
        let part = path.split('/').find(|part| part.starts_with(BOOT_DIR))?;
        let digest = part.strip_prefix(BOOT_DIR)?;
        digest.trim_end_matches(".efi").parse().ok()
    }

    /// The same entry at this place of a menu with so many entries, the first being 0.
    ///
    /// GRUB looks at nothing but the name of the file: between its last hyphens is what it takes for a version, and the
    /// highest is first. systemd-boot looks at `sort-key`, and the lowest is first.
    pub(crate) fn at(mut self, place: usize, count: usize) -> Self {
        if self.id.is_none() {
            return self;
        }
        let rank = count.saturating_sub(place);
        let version = plain(self.version().unwrap_or_default());
        self.file_name = format!("bootc_root-{rank:03}-{version}.conf");
        self.bls.set("sort-key", &format!("bootc-root-{place:03}"));
        self
    }
}

/// The root of an entry, by its arguments or by the name of its unified kernel image.
fn root_of(bls: &BlsEntry) -> Option<Digest> {
    if let Some(path) = bls.get("efi").or_else(|| bls.get("uki")) {
        let name = path.rsplit('/').next()?;
        let digest = name.strip_prefix(BOOT_DIR)?.strip_suffix(".efi")?;
        return digest.parse().ok();
    }
    let argument = RootArgument::find(&bls.kernel_args(), None).ok()??;
    Some(argument.digest)
}

/// Arguments without those that name an image.
pub(crate) fn without_root(args: &KernelArgs) -> KernelArgs {
    let others = args
        .iter()
        .filter(|arg| arg.key != "composefs" && arg.key != "composefs.digest");
    let others: Vec<String> = others.map(ToString::to_string).collect();
    KernelArgs::parse(&others.join(" "))
}

/// A version without what GRUB would take for the end of it.
fn plain(version: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '~');
    let mut text = String::new();
    for c in version.chars().take(64) {
        let c = if is_plain(c) { c } else { '_' };
        // Writing to a string cannot fail.
        let _never = text.write_char(c);
    }
    if text.is_empty() {
        "0".to_owned()
    } else {
        text
    }
}

/// The path of a unified kernel image as entries have it.
pub(crate) fn uki_path(id: &Digest) -> String {
    format!("{UKI}/{BOOT_DIR}{id}.efi")
}

/// What comes first in a menu: names with the highest rank first.
pub(crate) fn in_menu_order(entries: &mut [RootEntry]) {
    entries.sort_by(|a, b| b.file_name.cmp(&a.file_name));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, fill: &str) -> RootEntry {
        let digest = fill.repeat(64);
        let text = format!(
            "title T\nversion 41-1\nlinux /boot/bootc_composefs-{digest}/vmlinuz\noptions rw composefs=?{digest}\n"
        );
        RootEntry::parse(name, &text)
    }

    #[test]
    fn the_root_and_its_kernel_are_found() {
        let digest: Digest = "ab".repeat(64).parse().unwrap();
        let bls = entry("x.conf", "ab");
        assert_eq!(bls.id(), Some(&digest));
        assert_eq!(bls.boot_files(), Some(digest));
        let text = format!("title T\nefi /EFI/Linux/bootc/bootc_composefs-{digest}.efi\n");
        let uki = RootEntry::parse("y.conf", &text);
        assert_eq!(uki.id(), Some(&digest));
        assert_eq!(uki.boot_files(), Some(digest));
        let foreign = RootEntry::parse("z.conf", "title Z\nlinux /vmlinuz\noptions rw\n");
        assert_eq!(foreign.id(), None);
    }

    #[test]
    fn the_first_has_the_highest_name_and_the_lowest_key() {
        let mut entries = vec![
            entry("a.conf", "ab").at(1, 2),
            entry("b.conf", "cd").at(0, 2),
        ];
        in_menu_order(&mut entries);
        let names: Vec<_> = entries.iter().map(|entry| &*entry.file_name).collect();
        assert_eq!(
            names,
            ["bootc_root-002-41_1.conf", "bootc_root-001-41_1.conf"]
        );
        assert_eq!(entries[0].id().unwrap().to_string(), "cd".repeat(64));
        assert!(entries[0].bls.get("sort-key") < entries[1].bls.get("sort-key"));
    }
}
