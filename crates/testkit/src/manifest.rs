//! What a directory tree consists of, for comparing checkouts.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::{fs, io};

use sha2::{Digest, Sha256};

/// Every path below a directory with all that OSTree records of it.
///
/// A path starts with `/`; newlines and tabs in it are written `\n` and `\t` and bytes that are
/// not UTF-8 `\xNN`, as in the `*.manifest` files of the golden group `expect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeManifest(pub BTreeMap<String, Entry>);

/// One path of a [`TreeManifest`]. Modification times are left out: OSTree does not keep them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `f`, `d`, `l`, `c`, `b`, `p` or `s`.
    pub kind: char,
    /// Permission bits, setuid, setgid and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes, for regular files; otherwise 0.
    pub size: u64,
    /// SHA-256 of a regular file in hexadecimal, target of a symbolic link, otherwise empty.
    pub content: String,
    /// All extended attributes: name to value in hexadecimal.
    pub xattrs: BTreeMap<String, String>,
}

/// Describes everything below `root` (not `root` itself), links not followed.
///
/// # Panics
/// When anything cannot be read.
pub fn manifest(root: &Path) -> TreeManifest {
    let mut entries = BTreeMap::new();
    walk(root, "", &mut entries).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    TreeManifest(entries)
}

impl TreeManifest {
    /// Reads a `*.manifest` file of the golden data.
    ///
    /// # Panics
    /// When it cannot be read or is not in that format.
    pub fn golden(file: &Path) -> Self {
        let text =
            fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self(text.lines().map(recorded).collect())
    }

    /// One line for each path that is missing on one side or differs, empty when both are equal.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut paths: Vec<&String> = self.0.keys().chain(other.0.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let differs = |path: &&String| self.0.get(*path) != other.0.get(*path);
        let line =
            |path: &String| format!("{path}: {:?} != {:?}", self.0.get(path), other.0.get(path));
        paths.into_iter().filter(differs).map(line).collect()
    }

    /// Asserts that both describe the same tree.
    ///
    /// # Panics
    /// When they differ, showing up to twenty of the differences.
    #[track_caller]
    pub fn assert_same(&self, other: &Self) {
        let lines = self.differences(other);
        let shown = lines
            .iter()
            .take(20)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n");
        assert!(lines.is_empty(), "{} paths differ:\n{shown}", lines.len());
    }
}

fn walk(dir: &Path, prefix: &str, entries: &mut BTreeMap<String, Entry>) -> io::Result<()> {
    for item in fs::read_dir(dir)? {
        let item = item?;
        let path = format!("{prefix}/{}", readable(item.file_name().as_bytes()));
        let entry = describe(&item.path())?;
        let is_dir = entry.kind == 'd';
        entries.insert(path.clone(), entry);
        if is_dir {
            walk(&item.path(), &path, entries)?;
        }
    }
    Ok(())
}

fn describe(path: &Path) -> io::Result<Entry> {
    let meta = fs::symlink_metadata(path)?;
    let kind = kind(meta.file_type());
    Ok(Entry {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        size: if kind == 'f' { meta.size() } else { 0 },
        content: content(path, kind)?,
        xattrs: xattrs(path)?,
    })
}

fn kind(file_type: fs::FileType) -> char {
    match file_type {
        t if t.is_file() => 'f',
        t if t.is_dir() => 'd',
        t if t.is_symlink() => 'l',
        t if t.is_char_device() => 'c',
        t if t.is_block_device() => 'b',
        t if t.is_fifo() => 'p',
        _ => 's',
    }
}

fn content(path: &Path, kind: char) -> io::Result<String> {
    match kind {
        'f' => Ok(hex::encode(Sha256::digest(fs::read(path)?))),
        'l' => Ok(readable(fs::read_link(path)?.as_os_str().as_bytes())),
        _ => Ok(String::new()),
    }
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut names[..])?;
    let names = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| Ok((readable(name), hex::encode(xattr(path, name)?))))
        .collect()
}

fn xattr(path: &Path, name: &[u8]) -> io::Result<Vec<u8>> {
    let mut value = vec![0; 65536];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..])?;
    value.truncate(length);
    Ok(value)
}

fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\n', "\\n").replace('\t', "\\t"));
        chunk
            .invalid()
            .iter()
            .for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

fn recorded(line: &str) -> (String, Entry) {
    let value: serde_json::Value = serde_json::from_str(line).expect("a manifest line is JSON");
    let text = |index: usize| value[index].as_str().expect("a string").to_owned();
    let number = |index: usize| value[index].as_u64().expect("a number");
    let mode = u32::from_str_radix(text(2).trim_start_matches("0o"), 8).expect("an octal mode");
    let xattrs = value[8].as_object().expect("an object").iter();
    let entry = Entry {
        kind: text(1).chars().next().expect("a file type"),
        mode,
        uid: number(3).try_into().expect("a user id"),
        gid: number(4).try_into().expect("a group id"),
        size: number(5),
        content: text(7),
        xattrs: xattrs
            .map(|(name, v)| (name.clone(), v.as_str().expect("hex").to_owned()))
            .collect(),
    };
    (text(0), entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{command, golden, run};

    #[test]
    fn checkout_by_libostree_equals_the_recorded_one() {
        let dir = crate::scratch_dir();
        let tree = dir.path().join("tree");
        let repo = golden("repos").join("bare");
        let repo = format!("--repo={}", repo.display());
        run(command("ostree")
            .args([&repo, "checkout", "-H", "golden/v^"])
            .arg(&tree));
        let recorded = TreeManifest::golden(&golden("expect").join("checkout-bare.manifest"));
        recorded.assert_same(&manifest(&tree));
        assert_eq!(recorded.0.len(), 494);
    }

    #[test]
    fn differences_name_the_path() {
        let dir = crate::scratch_dir();
        fs::write(dir.path().join("same"), "x").unwrap();
        fs::write(dir.path().join("new\nline"), "a").unwrap();
        let before = manifest(dir.path());
        fs::write(dir.path().join("new\nline"), "b").unwrap();
        fs::create_dir(dir.path().join("more")).unwrap();
        let lines = before.differences(&manifest(dir.path()));
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("/more: None != Some("), "{}", lines[0]);
        assert!(lines[1].starts_with("/new\\nline: "), "{}", lines[1]);
    }

    #[test]
    fn names_that_are_not_text_stay_apart() {
        assert_eq!(readable(b"a\xff\xfe\tb"), "a\\xff\\xfe\\tb");
    }
}
