//! Static deltas: recorded ones, those of the `ostree` command, ours applied by it, and hostile ones.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ostree::{DeltaApplyError, DeltaOptions, Repo};
use ostree_format::{Checksum, ObjectKind, ObjectName, RepoMode};
use progress::{Interrupt, Silent};
use static_delta::{DeltaFile, DeltaIndex, DeltaName, Superblock};
use tempfile::TempDir;

use crate::oracle::{assert_clean, init, left_in_tmp, objects, open, theirs};

const V1: &str = "f161c393db2b61ab94803d9153e3273b6d297fdce4ef6de75c81c64f918496fa";
const V2: &str = "d5db12a3732412399fd2e5f55cb482ac541c0ff3ba1a1e22a979cb96c67102cd";

fn checksum(text: &str) -> Checksum {
    text.parse().unwrap()
}

/// Apply the delta in a directory or file.
fn apply(repo: &Repo, path: &Path) -> Result<(), DeltaApplyError> {
    let (file, dir) = if path.is_dir() {
        (path.join("superblock"), path)
    } else {
        (path.to_owned(), path.parent().unwrap())
    };
    apply_bytes(repo, fs::read(file).unwrap(), dir)
}

fn apply_bytes(repo: &Repo, bytes: Vec<u8>, dir: &Path) -> Result<(), DeltaApplyError> {
    let file = DeltaFile::from_bytes(bytes)?;
    let delta = Superblock::from_bytes(&file.superblock)?;
    let dir = File::open(dir).unwrap();
    repo.apply_delta(&delta, dir.as_fd(), &Silent, &Interrupt::default())
        .map(drop)
}

/// Make a delta the way the command does.
fn generate(repo: &Repo, name: DeltaName, options: &DeltaOptions) {
    let dir = repo.create_delta_dir(&name).unwrap();
    let now = 1_700_000_000;
    let delta = repo
        .generate_delta(name, options, dir.as_fd(), now, &Interrupt::default())
        .unwrap();
    let file = DeltaFile {
        superblock: delta.superblock.to_bytes().unwrap(),
        signatures: None,
    };
    delta.publish(Path::new("superblock"), &file).unwrap();
}

#[test]
fn recorded_deltas_make_the_recorded_commit() {
    let recorded = testkit::golden("delta");
    let deltas = testkit::scratch_dir();
    testkit::run(
        testkit::command("tar")
            .arg("-xf")
            .arg(recorded.join("deltas.tar"))
            .arg("-C")
            .arg(deltas.path()),
    );
    let name = |from: Option<&str>| DeltaName {
        from: from.map(checksum),
        to: checksum(V2),
    };
    for (mode, repo, delta) in [
        (
            "bare",
            "bare",
            deltas.path().join(name(Some(V1)).directory()),
        ),
        ("bare", "bare", recorded.join("v1-v2.inline.delta")),
        ("bare", "bare", recorded.join("v1-v2.nobsdiff.delta")),
        (
            "archive",
            "empty",
            deltas.path().join(name(None).directory()),
        ),
        ("bare", "empty", deltas.path().join(name(None).directory())),
        (
            "bare-user",
            "empty",
            deltas.path().join(name(None).directory()),
        ),
    ] {
        let scratch = testkit::golden_copy("repos");
        let path = scratch.path().join(repo);
        let repo = match repo {
            "empty" => init(&path, mode.parse().unwrap()),
            _ => open(&path),
        };
        apply(&repo, &delta).unwrap_or_else(|error| panic!("{}: {error}", delta.display()));
        assert_clean(&path);
        assert_eq!(repo.missing_object(&checksum(V2)).unwrap(), None);
        assert!(!repo.is_partial(&checksum(V2)).unwrap());
    }
}

/// An archive repository with two commits that differ in every way a delta cares for.
struct Two {
    scratch: TempDir,
    old: Checksum,
    new: Checksum,
}

/// Bytes that look random and are always the same.
fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    })
    .take(length)
    .collect()
}

impl Two {
    fn make() -> Self {
        let scratch = testkit::scratch_dir();
        let tree = scratch.path().join("tree");
        fs::create_dir_all(tree.join("sub")).unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(tree.join(name), bytes).unwrap();
        let (large, small) = (noise(300_000, 1), noise(5_000, 2));
        write("large", &large);
        write("sub/small", &small);
        write("libx.so.1", &noise(20_000, 3));
        write("same", b"same");
        write("empty", b"");
        write("gone", b"gone");
        std::os::unix::fs::symlink("target", tree.join("link")).unwrap();
        let repo = init(&scratch.path().join("repo"), RepoMode::Archive);
        let commit = || {
            let path = scratch.path().join("repo");
            let tree = tree.display().to_string();
            theirs(
                &path,
                &[
                    "commit",
                    "-b",
                    "main",
                    "--owner-uid=0",
                    "--owner-gid=0",
                    &tree,
                ],
            )
        };
        let old = checksum(&commit());
        let mut changed = large.clone();
        changed.splice(150_000..150_000, *b"inserted");
        write("large", &changed);
        let mut changed = small.clone();
        changed.splice(100..200, *b"patched");
        write("sub/small", &changed);
        fs::remove_file(tree.join("gone")).unwrap();
        fs::remove_file(tree.join("libx.so.1")).unwrap();
        let mut library = noise(20_000, 3);
        library[5] ^= 1;
        write("libx.so.2", &library);
        write("new", &noise(1_000, 4));
        std::os::unix::fs::symlink("other", tree.join("link2")).unwrap();
        let new = checksum(&commit());
        drop(repo);
        Self { scratch, old, new }
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("repo")
    }

    fn update(&self) -> DeltaName {
        DeltaName {
            from: Some(self.old),
            to: self.new,
        }
    }

    fn whole(&self) -> DeltaName {
        DeltaName {
            from: None,
            to: self.new,
        }
    }

    fn delta(&self, name: &DeltaName) -> PathBuf {
        self.path().join(name.directory())
    }

    /// A repository that has the old commit only.
    fn client(&self, mode: RepoMode) -> (TempDir, PathBuf) {
        let scratch = testkit::scratch_dir();
        let path = scratch.path().join("client");
        init(&path, mode);
        let source = self.path().display().to_string();
        theirs(&path, &["pull-local", &source, &self.old.to_string()]);
        (scratch, path)
    }

    /// The client has exactly what belongs to both commits.
    fn assert_updated(&self, path: &Path) {
        assert_clean(path);
        let all = open(path);
        assert_eq!(all.missing_object(&self.new).unwrap(), None);
        assert!(!all.is_partial(&self.new).unwrap());
        assert_eq!(objects(&all), objects(&open(&self.path())));
    }
}

#[test]
fn theirs_are_applied() {
    let two = Two::make();
    let (old, new) = (two.old.to_string(), two.new.to_string());
    for options in [
        &["--swap-endianness"][..],
        &["--inline"],
        &["--disable-bsdiff"],
        &["--min-fallback-size=0"],
    ] {
        let (from, to) = (format!("--from={old}"), format!("--to={new}"));
        let arguments = ["static-delta", "generate", &from, &to];
        theirs(&two.path(), &[&arguments[..], options].concat());
        for mode in [RepoMode::Bare, RepoMode::BareUser, RepoMode::Archive] {
            let (_scratch, client) = two.client(mode);
            apply(&open(&client), &two.delta(&two.update())).unwrap();
            two.assert_updated(&client);
            assert!(left_in_tmp(&client).is_empty());
        }
    }
}

#[test]
fn ours_are_applied_by_the_real_ostree() {
    let two = Two::make();
    let repo = open(&two.path());
    for (inline, big_endian, patches, max_part_size) in [
        (false, false, true, 32_000_000),
        (true, true, true, 32_000_000),
        (false, false, false, 10_000),
        (false, true, true, 1),
    ] {
        let mut options = DeltaOptions::default();
        options.inline = inline;
        options.big_endian = big_endian;
        options.patches = patches;
        options.max_part_size = max_part_size;
        generate(&repo, two.update(), &options);
        let delta = two.delta(&two.update());
        let argument = delta.display().to_string();
        let (_scratch, client) = two.client(RepoMode::BareUser);
        theirs(&client, &["static-delta", "apply-offline", &argument]);
        two.assert_updated(&client);
        let (_scratch, client) = two.client(RepoMode::Bare);
        apply(&open(&client), &delta).unwrap();
        two.assert_updated(&client);
        let shown = theirs(&two.path(), &["static-delta", "list"]);
        assert_eq!(shown, two.update().to_string());
    }
}

#[test]
fn one_from_nothing_and_one_with_nothing() {
    let two = Two::make();
    let repo = open(&two.path());
    generate(&repo, two.whole(), &DeltaOptions::default());
    let scratch = testkit::scratch_dir();
    let client = scratch.path().join("client");
    init(&client, RepoMode::BareUser);
    let delta = two.delta(&two.whole()).display().to_string();
    theirs(&client, &["static-delta", "apply-offline", &delta]);
    assert_clean(&client);
    assert_eq!(open(&client).missing_object(&two.new).unwrap(), None);
    // From a commit to itself: one part that makes nothing.
    let nothing = DeltaName {
        from: Some(two.new),
        to: two.new,
    };
    generate(&repo, nothing, &DeltaOptions::default());
    let shown = theirs(&two.path(), &["static-delta", "show", &nothing.to_string()]);
    assert!(
        shown.contains("Number of parts: 1\nPartMeta0: nobjects=0"),
        "{shown}"
    );
}

#[test]
fn what_is_like_old_files_is_small() {
    let two = Two::make();
    let repo = open(&two.path());
    generate(&repo, two.update(), &DeltaOptions::default());
    let bytes = fs::read(two.delta(&two.update()).join("0")).unwrap();
    // The one large file alone has 300 kB that do not pack.
    assert!(bytes.len() < 100_000, "{}", bytes.len());
}

#[test]
fn large_files_are_left_to_be_fetched() {
    let two = Two::make();
    let mut options = DeltaOptions::default();
    options.min_fallback_size = 100_000;
    generate(&open(&two.path()), two.whole(), &options);
    let shown = theirs(
        &two.path(),
        &["static-delta", "show", &two.whole().to_string()],
    );
    assert!(shown.contains("Number of fallback entries: 1\n"), "{shown}");
    let scratch = testkit::scratch_dir();
    let client = init(&scratch.path().join("client"), RepoMode::Bare);
    let error = apply(&client, &two.delta(&two.whole())).unwrap_err();
    assert!(matches!(error, DeltaApplyError::Fallbacks(1)), "{error}");
    assert!(objects(&client).is_empty());
}

#[test]
fn detached_metadata_come_along() {
    let two = Two::make();
    let repo = open(&two.path());
    let txn = repo.begin(ostree::TransactionOptions::default()).unwrap();
    let mut detached = ostree_format::Metadata::new();
    detached.insert("key", "value");
    txn.write_detached_metadata(two.new, &detached).unwrap();
    txn.commit(&Silent, &Interrupt::default()).unwrap();
    generate(&repo, two.update(), &DeltaOptions::default());
    let delta = two.delta(&two.update());
    let argument = delta.display().to_string();
    let (_scratch, client) = two.client(RepoMode::BareUser);
    theirs(&client, &["static-delta", "apply-offline", &argument]);
    let (_scratch, other) = two.client(RepoMode::BareUser);
    apply(&open(&other), &delta).unwrap();
    for client in [client, other] {
        let found = open(&client).load_detached_metadata(&two.new).unwrap();
        assert_eq!(found, Some(detached.clone()));
    }
}

#[test]
fn indexes_are_those_of_the_real_ostree() {
    let two = Two::make();
    let repo = open(&two.path());
    generate(&repo, two.update(), &DeltaOptions::default());
    generate(&repo, two.whole(), &DeltaOptions::default());
    repo.reindex_deltas(None).unwrap();
    let path = two.path().join(DeltaName::index_path(&two.new));
    let ours = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    theirs(&two.path(), &["static-delta", "reindex"]);
    let parsed = DeltaIndex::from_bytes(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(parsed, DeltaIndex::from_bytes(&ours).unwrap());
    assert_eq!(parsed.0, repo.delta_digests().unwrap());
    assert_eq!(repo.list_delta_indexes().unwrap(), [two.new]);
    // What is no longer there is no longer listed.
    repo.delete_delta(&two.update()).unwrap();
    repo.delete_delta(&two.whole()).unwrap();
    repo.reindex_deltas(Some(two.old)).unwrap();
    assert!(path.exists());
    repo.reindex_deltas(Some(two.new)).unwrap();
    assert!(!path.exists());
    let error = repo.delete_delta(&two.whole()).unwrap_err();
    assert!(matches!(error, DeltaApplyError::NotFound(_)), "{error}");
}

/// Apply a delta that is damaged by `damage`; the client must be as before.
fn refuse(two: &Two, what: &str, damage: impl FnOnce(&Path)) -> String {
    let (scratch, client) = two.client(RepoMode::Bare);
    let before = objects(&open(&client));
    let delta = scratch.path().join("delta");
    fs::create_dir(&delta).unwrap();
    for name in ["superblock", "0"] {
        fs::copy(two.delta(&two.update()).join(name), delta.join(name)).unwrap();
    }
    damage(&delta);
    let error = apply(&open(&client), &delta).expect_err(what).to_string();
    assert_eq!(objects(&open(&client)), before, "{what}");
    let commit = ObjectName::new(two.new, ObjectKind::Commit);
    assert!(!open(&client).has_object(&commit).unwrap(), "{what}");
    assert!(left_in_tmp(&client).is_empty(), "{what}");
    assert_clean(&client);
    error
}

/// Change a superblock as values.
fn edit(delta: &Path, change: impl FnOnce(&mut Superblock)) {
    let path = delta.join("superblock");
    let mut superblock = Superblock::from_bytes(&fs::read(&path).unwrap()).unwrap();
    change(&mut superblock);
    fs::write(path, superblock.to_bytes().unwrap()).unwrap();
}

/// Replace a part, with a checksum that fits.
fn replace_part(delta: &Path, bytes: &[u8]) {
    fs::write(delta.join("0"), bytes).unwrap();
    edit(delta, |superblock| {
        superblock.parts[0].checksum = Checksum::of(bytes);
    });
}

#[test]
fn damaged_deltas_change_nothing() {
    let two = Two::make();
    generate(&open(&two.path()), two.update(), &DeltaOptions::default());
    let cut = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    refuse(
        &two,
        "cut superblock",
        |delta| cut(delta.join("superblock")),
    );
    let error = refuse(&two, "cut part", |delta| cut(delta.join("0")));
    assert!(
        error.contains("Checksum mismatch in static delta part"),
        "{error}"
    );
    refuse(&two, "cut part that is vouched for", |delta| {
        let bytes = fs::read(delta.join("0")).unwrap();
        replace_part(delta, &bytes[..bytes.len() / 2]);
    });
    refuse(&two, "no part", |delta| {
        fs::remove_file(delta.join("0")).unwrap();
    });
    refuse(&two, "empty part", |delta| replace_part(delta, b""));
    refuse(&two, "unknown packing", |delta| {
        replace_part(delta, b"zabc");
    });
    refuse(&two, "later version", |delta| {
        edit(delta, |superblock| superblock.parts[0].version = 1);
    });
    refuse(&two, "other commit", |delta| {
        edit(delta, |superblock| {
            superblock.commit =
                fs::read(two.path().join("objects").join(
                    ObjectName::new(two.old, ObjectKind::Commit).loose_path(RepoMode::Archive),
                ))
                .unwrap();
        });
    });
    refuse(&two, "objects in another order", |delta| {
        edit(delta, |superblock| superblock.parts[0].objects.reverse());
    });
    refuse(&two, "more objects than are made", |delta| {
        edit(delta, |superblock| {
            let last = *superblock.parts[0].objects.last().unwrap();
            superblock.parts[0].objects.push(last);
        });
    });
    refuse(&two, "from a commit that is not here", |delta| {
        edit(delta, |superblock| {
            superblock.name.from = Some(Checksum::of(b"x"));
        });
    });
}

#[test]
fn a_bomb_is_stopped() {
    let two = Two::make();
    generate(&open(&two.path()), two.update(), &DeltaOptions::default());
    // 100 MB of zeros pack to 15 kB; the delta's objects have half a megabyte.
    let bomb = testkit::shell("head -c 100000000 /dev/zero | xz -1 | base64 -w0");
    let error = refuse(&two, "bomb", |delta| {
        let packed = testkit::shell(&format!(
            "echo {bomb} | base64 -d | od -An -v -tx1 | tr -d ' \\n'"
        ));
        let mut bytes = vec![b'x'];
        bytes.extend(hex(&packed));
        replace_part(delta, &bytes);
    });
    assert!(error.contains("unpacks to more than"), "{error}");
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn a_delta_without_all_objects_leaves_a_partial_commit() {
    let two = Two::make();
    generate(&open(&two.path()), two.update(), &DeltaOptions::default());
    let (scratch, client) = two.client(RepoMode::Bare);
    let delta = scratch.path().join("superblock");
    fs::copy(two.delta(&two.update()).join("superblock"), &delta).unwrap();
    edit(scratch.path(), |superblock| superblock.parts.clear());
    let error = apply(&open(&client), &delta).unwrap_err();
    assert!(
        matches!(error, DeltaApplyError::Incomplete { .. }),
        "{error}"
    );
    assert!(open(&client).is_partial(&two.new).unwrap());
    assert_eq!(assert_clean(&client).partial_commits, 1);
    // The whole delta completes it.
    apply(&open(&client), &two.delta(&two.update())).unwrap();
    two.assert_updated(&client);
}

const REPO: &str = "DELTA_TEST_REPO";
const DELTA: &str = "DELTA_TEST_DELTA";
const AT: &str = "DELTA_TEST_AT";

/// The work that is interrupted; run in a process of its own by the test below.
#[test]
#[ignore = "the victim of the test below"]
fn victim() {
    let path = std::env::var_os(REPO).expect("run by the other test");
    let delta = std::env::var_os(DELTA).unwrap();
    durable::crash::arm("*", std::env::var(AT).unwrap().parse().unwrap());
    apply(&open(Path::new(&path)), Path::new(&delta)).unwrap();
}

#[test]
fn whoever_dies_while_applying_leaves_a_clean_repository() {
    let two = Two::make();
    generate(&open(&two.path()), two.update(), &DeltaOptions::default());
    let delta = two.delta(&two.update());
    // A few of the directories of objects, and everything behind them.
    for at in (1..5).chain([100, 200]).chain(255..) {
        let (_scratch, client) = two.client(RepoMode::Bare);
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "delta::victim"])
            .env(REPO, &client)
            .env(DELTA, &delta)
            .env(AT, at.to_string())
            .output()
            .unwrap();
        let ended = output.status.code();
        assert!(matches!(ended, Some(0) | None), "{output:?}");
        assert_clean(&client);
        apply(&open(&client), &delta).unwrap();
        two.assert_updated(&client);
        if ended == Some(0) {
            assert!(at > 258, "{at} points passed");
            break;
        }
    }
}
