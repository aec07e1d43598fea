//! Which old file a new one may be a later version of.

use std::collections::{BTreeMap, HashMap};

use ostree_format::Checksum;

/// A regular file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its object.
    pub checksum: Checksum,
    /// Bytes of its content.
    pub size: u64,
    /// Under which names it stands, without directories.
    pub names: Vec<String>,
}

/// For each of `new` that has one, the file of `old` with a common name that is nearest in size, but not
/// more than 30 % off. When the names differ, those are taken that agree up to the first dot, as in
/// `libfoo.so.1` and `libfoo.so.2`.
#[must_use]
pub fn similar(old: &[Candidate], new: &[Candidate]) -> BTreeMap<Checksum, Checksum> {
    let mut by_name: HashMap<&str, Vec<&Candidate>> = HashMap::new();
    let mut by_stem: HashMap<&str, Vec<&Candidate>> = HashMap::new();
    for file in old.iter().filter(|file| file.is_worth_it()) {
        for name in &file.names {
            by_name.entry(name).or_default().push(file);
            if let Some(stem) = stem(name) {
                by_stem.entry(stem).or_default().push(file);
            }
        }
    }
    let nearest = |file: &Candidate| {
        let exact = file.names.iter().map(String::as_str);
        let loose = file.names.iter().filter_map(|name| stem(name));
        file.nearest_of(exact.filter_map(|name| by_name.get(name)))
            .or_else(|| file.nearest_of(loose.filter_map(|stem| by_stem.get(stem))))
    };
    let new = new.iter().filter(|file| file.is_worth_it());
    new.filter_map(|file| Some((file.checksum, nearest(file)?)))
        .collect()
}

/// What stands before the first dot, if there is one that is not in front.
fn stem(name: &str) -> Option<&str> {
    name.split_once('.')
        .map(|(stem, _)| stem)
        .filter(|stem| !stem.is_empty())
}

impl Candidate {
    /// Nothing comes of empty files and of those whose packing makes one change change everything.
    fn is_worth_it(&self) -> bool {
        let packed = |name: &String| {
            [".xz", ".bz2", ".zst"]
                .iter()
                .any(|ending| name.ends_with(ending))
        };
        self.size > 0 && !self.names.iter().any(packed)
    }

    fn nearest_of<'a>(&self, groups: impl Iterator<Item = &'a Vec<&'a Self>>) -> Option<Checksum> {
        groups
            .flatten()
            .map(|file| (file.size.abs_diff(self.size), file.checksum))
            .filter(|(off, _)| off.saturating_mul(10) <= self.size.saturating_mul(3))
            .min()
            .map(|(_, checksum)| checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: u8, size: u64, names: &[&str]) -> Candidate {
        Candidate {
            checksum: Checksum::from_array([id; 32]),
            size,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn pairs(old: &[Candidate], new: &[Candidate]) -> Vec<(u8, u8)> {
        let id = |checksum: &Checksum| checksum.as_bytes()[0];
        similar(old, new)
            .iter()
            .map(|(to, from)| (id(to), id(from)))
            .collect()
    }

    #[test]
    fn names_and_sizes_decide() {
        let old = [
            file(1, 100, &["bash"]),
            file(2, 1000, &["bash", "sh"]),
            file(3, 500, &["libc.so.1"]),
            file(4, 0, &["empty"]),
            file(5, 100, &["archive.xz"]),
        ];
        let new = [
            file(11, 110, &["bash"]),
            file(12, 990, &["bash"]),
            file(13, 520, &["libc.so.2"]),
            file(14, 0, &["empty"]),
            file(15, 100, &["archive.xz"]),
            file(16, 400, &["bash"]),
            file(17, 1000, &[".bash"]),
        ];
        assert_eq!(pairs(&old, &new), [(11, 1), (12, 2), (13, 3)]);
    }

    #[test]
    fn the_same_name_goes_before_the_nearer_size() {
        let old = [file(1, 120, &["a.so.2"]), file(2, 100, &["a.so.1"])];
        assert_eq!(pairs(&old, &[file(11, 100, &["a.so.2"])]), [(11, 1)]);
    }
}
