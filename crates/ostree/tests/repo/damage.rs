//! Damage of every kind is found in every mode, and named.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ostree::{Damage, FsckReport, Repo};
use ostree_format::{Checksum, ObjectKind, ObjectName, RepoMode};
use rustix::fs::XattrFlags;

use crate::oracle::{MODES, fsck, open};

/// A private copy of the recorded repository of a mode.
struct Copy {
    _dir: tempfile::TempDir,
    path: PathBuf,
    mode: RepoMode,
}

impl Copy {
    fn of(mode: RepoMode) -> Self {
        let dir = testkit::golden_copy("repos");
        let name = match mode {
            RepoMode::Archive => "archive",
            other => other.name(),
        };
        let path = dir.path().join(name);
        let _dir = dir;
        Self { _dir, path, mode }
    }

    fn repo(&self) -> Repo {
        open(&self.path)
    }

    fn object(&self, checksum: Checksum, kind: ObjectKind) -> PathBuf {
        let name = ObjectName::new(checksum, kind);
        self.path.join("objects").join(name.loose_path(self.mode))
    }

    /// A file of the newest commit with content.
    fn some_file(&self) -> Checksum {
        let repo = self.repo();
        let commit = repo.resolve("golden/v").unwrap();
        let commit = repo.load_commit(&commit).unwrap();
        let tree = repo.load_tree(&commit.contents, &commit.meta).unwrap();
        let found = tree.try_for_each_leaf(&mut |_, checksum| {
            let size = repo.open_file(checksum).unwrap().size;
            if size > 10_000 {
                Err(*checksum)
            } else {
                Ok(())
            }
        });
        found.unwrap_err()
    }

    fn fsck(&self) -> FsckReport {
        fsck(&self.repo())
    }

    /// The one damage found; `ostree fsck` finds some, too.
    #[track_caller]
    fn one_damage(&self) -> Damage {
        // First ours: theirs marks commits with missing objects as partial.
        let mut damage = self.fsck().damage;
        assert_eq!(damage.len(), 1, "{damage:?}");
        testkit::fails(crate::oracle::ostree(&self.path).arg("fsck"));
        damage.remove(0)
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_byte_of_content_is_found() {
    for mode in MODES {
        let copy = Copy::of(mode);
        let file = copy.some_file();
        flip(&copy.object(file, ObjectKind::File), 5000);
        let damage = copy.one_damage().to_string();
        assert!(damage.contains(&file.to_string()), "{mode}: {damage}");
    }
}

#[test]
fn a_flipped_byte_of_metadata_is_found() {
    for mode in MODES {
        let copy = Copy::of(mode);
        let repo = copy.repo();
        // The commit whose tree is empty, so that nothing else becomes unreachable.
        let commit = repo.resolve("golden/multi").unwrap();
        let root = repo.load_commit(&commit).unwrap();
        for (checksum, kind) in [
            (commit, ObjectKind::Commit),
            (root.contents, ObjectKind::DirTree),
            (root.meta, ObjectKind::DirMeta),
        ] {
            let path = copy.object(checksum, kind);
            let good = fs::read(&path).unwrap();
            for at in [0, good.len() / 2, good.len() - 1] {
                flip(&path, at);
                let damage = copy.fsck().damage;
                let named = damage.iter().any(|damage| {
                    matches!(damage, Damage::Object(_))
                        && damage.to_string().contains(&format!("{checksum}.{kind}"))
                });
                assert!(named, "{mode} {kind} byte {at}: {damage:?}");
                fs::write(&path, &good).unwrap();
            }
        }
        assert!(copy.fsck().damage.is_empty());
    }
}

#[test]
fn a_missing_object_is_named_with_commit_and_path() {
    for mode in MODES {
        let copy = Copy::of(mode);
        let file = copy.some_file();
        fs::remove_file(copy.object(file, ObjectKind::File)).unwrap();
        let one = copy.one_damage();
        let Damage::Missing {
            missing,
            commit,
            path: found,
        } = one
        else {
            panic!("{mode}: {one:?}")
        };
        // `ostree fsck` has marked the commits; that is damage for us, too.
        let marked = copy.fsck().damage;
        let lost = |d: &Damage| matches!(d, Damage::LostObjects { .. });
        assert!(marked.iter().any(lost), "{marked:?}");
        assert_eq!(missing, ObjectName::new(file, ObjectKind::File));
        // Several commits have the file, at different places; the two must fit together.
        let repo = copy.repo();
        let commit = repo.load_commit(&commit).unwrap();
        let tree = repo.load_tree(&commit.contents, &commit.meta).unwrap();
        let parts = found.split('/').skip(1).map(str::as_bytes);
        let leaf = tree.get(parts).and_then(tree::Node::as_leaf);
        assert_eq!(leaf, Some(&file), "{found}");
    }
}

#[test]
fn dangling_and_damaged_refs_are_all_found() {
    let copy = Copy::of(RepoMode::Archive);
    let heads = copy.path.join("refs/heads");
    fs::write(heads.join("bad"), "not a checksum\n").unwrap();
    fs::write(heads.join("dangling"), format!("{}\n", Checksum::of(b"x"))).unwrap();
    fs::create_dir_all(copy.path.join("refs/remotes/origin/a")).unwrap();
    fs::write(copy.path.join("refs/remotes/origin/a/empty"), "").unwrap();
    fs::create_dir_all(copy.path.join("refs/mirrors/org.example.C")).unwrap();
    let mirrored = copy.path.join("refs/mirrors/org.example.C/m");
    fs::write(mirrored, format!("{}\n", Checksum::of(b"y"))).unwrap();
    let damage: Vec<String> = copy.fsck().damage.iter().map(ToString::to_string).collect();
    assert_eq!(damage.len(), 4, "{damage:?}");
    for name in ["ref bad ", "ref dangling:", "a/empty", "(org.example.C, m)"] {
        assert!(
            damage.iter().any(|d| d.contains(name)),
            "{name}: {damage:?}"
        );
    }
}

#[test]
fn a_wrong_attribute_or_mode_is_found() {
    let copy = Copy::of(RepoMode::Bare);
    let file = copy.some_file();
    let path = copy.object(file, ObjectKind::File);
    rustix::fs::setxattr(&path, "user.more", b"x", XattrFlags::empty()).unwrap();
    assert!(copy.one_damage().to_string().contains(&file.to_string()));
    rustix::fs::removexattr(&path, "user.more").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(copy.one_damage().to_string().contains(&file.to_string()));

    let copy = Copy::of(RepoMode::BareUser);
    let file = copy.some_file();
    let path = copy.object(file, ObjectKind::File);
    let mut meta = vec![0; 4096];
    let length = rustix::fs::getxattr(&path, "user.ostreemeta", &mut meta[..]).unwrap();
    meta[0] ^= 1;
    rustix::fs::setxattr(
        &path,
        "user.ostreemeta",
        &meta[..length],
        XattrFlags::empty(),
    )
    .unwrap();
    assert!(copy.one_damage().to_string().contains(&file.to_string()));
    rustix::fs::removexattr(&path, "user.ostreemeta").unwrap();
    let damage = copy.one_damage().to_string();
    assert!(damage.contains("no user.ostreemeta"), "{damage}");
}

#[test]
fn a_truncated_archive_object_is_found() {
    let copy = Copy::of(RepoMode::Archive);
    let file = copy.some_file();
    let path = copy.object(file, ObjectKind::File);
    let good = fs::read(&path).unwrap();
    for length in [0, 4, 7, 8, 20, 60, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        let damage = copy.one_damage().to_string();
        assert!(damage.contains(&file.to_string()), "{length}: {damage}");
    }
    // A header that claims to be longer than any may be.
    let mut lying = good.clone();
    lying[0] = 0xff;
    fs::write(&path, lying).unwrap();
    let damage = copy.one_damage().to_string();
    assert!(damage.contains("header is too long"), "{damage}");
}

#[test]
fn an_object_of_another_type_is_found() {
    for mode in [RepoMode::Bare, RepoMode::BareUser, RepoMode::Archive] {
        let copy = Copy::of(mode);
        let file = copy.some_file();
        let path = copy.object(file, ObjectKind::File);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let named = || {
            let damage = copy.fsck().damage;
            let named = |d: &Damage| d.to_string().contains(&file.to_string());
            assert!(damage.iter().any(named), "{mode}: {damage:?}");
        };
        named();
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        named();
    }
}
