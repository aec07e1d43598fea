//! What is visible when; writers side by side; locks shared with libostree.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use durable::{Lock, LockError};
use error_class::{Classified as _, ErrorClass};
use ostree::{Expect, Repo, Stats, Transaction, TransactionOptions, WriteError};
use ostree_format::{Checksum, DirMeta, FileHeader, ObjectKind, ObjectName, RepoMode, Xattrs};
use progress::{Interrupt, Silent};

use crate::model::commit_of;
use crate::oracle::{assert_clean, init, left_in_tmp, objects, open, ostree, theirs};

pub(crate) fn begin(repo: &Repo) -> Transaction<'_> {
    repo.begin(TransactionOptions::default()).unwrap()
}

fn commit(txn: Transaction<'_>) -> Result<Stats, WriteError> {
    txn.commit(&Silent, &Interrupt::default())
}

fn header(permissions: u32) -> FileHeader {
    FileHeader::regular(0, 0, permissions, Xattrs::new())
}

/// Stage a commit with `files` files `0`, `1`, … that hold `content` and their number.
pub(crate) fn stage(txn: &Transaction<'_>, files: usize, content: &str) -> Checksum {
    let meta = txn.write_dirmeta(&DirMeta::root_owned(0o755)).unwrap();
    let mut dir = tree::Dir::new(meta);
    for number in 0..files {
        let content = format!("{content} {number}");
        let file = txn.write_file(&header(0o644), content.as_bytes()).unwrap();
        let name = tree::Name::new(number.to_string().as_bytes()).unwrap();
        dir.children.insert(name, tree::Node::Leaf(file));
    }
    let contents = txn.write_tree(&dir).unwrap();
    txn.write_commit(&commit_of(contents, meta)).unwrap()
}

#[test]
fn a_dropped_transaction_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let repo = init(&path, RepoMode::Bare);
    let txn = begin(&repo);
    let staged = stage(&txn, 10, "x");
    txn.set_ref("r".parse().unwrap(), Expect::Any, Some(staged));
    drop(txn.content_writer(header(0o644), 100).unwrap());
    assert_eq!(left_in_tmp(&path).len(), 2, "the directory and its lock");
    drop(txn);
    assert!(left_in_tmp(&path).is_empty());
    assert!(objects(&repo).is_empty());
    assert!(repo.list_refs().unwrap().is_empty());
}

#[test]
fn nothing_is_visible_before_the_commit() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let repo = init(&path, RepoMode::BareUser);
    let txn = begin(&repo);
    let staged = stage(&txn, 3, "x");
    txn.set_ref("r".parse().unwrap(), Expect::Absent, Some(staged));
    assert!(objects(&repo).is_empty() && repo.list_refs().unwrap().is_empty());
    let stats = commit(txn).unwrap();
    assert_eq!((stats.content_written, stats.metadata_written), (3, 3));
    assert_eq!(stats.content_bytes, 9);
    assert_eq!(theirs(&path, &["rev-parse", "r"]), staged.to_string());
    assert_clean(&path);
    // The same once more is found to be there already.
    let txn = begin(&repo);
    assert_eq!(stage(&txn, 3, "x"), staged);
    let stats = commit(txn).unwrap();
    assert_eq!((stats.content_written, stats.metadata_written), (0, 0));
    assert_eq!((stats.content_total, stats.metadata_total), (3, 3));
}

#[test]
fn threads_that_write_the_same_get_the_same() {
    for mode in [RepoMode::Bare, RepoMode::Archive] {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("repo");
        let repo = init(&path, mode);
        let txn = begin(&repo);
        let large = vec![7u8; 300_000];
        let work = || {
            let mut writer = txn
                .content_writer(header(0o600), large.len() as u64)
                .unwrap();
            large
                .chunks(999)
                .for_each(|piece| writer.write_piece(piece).unwrap());
            let streamed = writer.finish().unwrap();
            let whole = txn.write_file(&header(0o600), &large).unwrap();
            (stage(&txn, 50, "same"), streamed, whole)
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .collect()
        });
        assert!(results.iter().all(|result| *result == results[0]));
        assert_eq!(results[0].1, results[0].2);
        let name = "r".parse().unwrap();
        txn.set_ref(name, Expect::Absent, Some(results[0].0));
        assert_eq!(commit(txn).unwrap().content_written, 51);
        assert_clean(&path);
    }
}

#[test]
fn transactions_side_by_side_publish_the_same_objects() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    init(&path, RepoMode::Bare);
    let work = |number: usize| {
        let repo = open(&path);
        for round in 0..5 {
            let txn = begin(&repo);
            let staged = stage(&txn, 40, &format!("round {round}"));
            txn.set_ref(
                format!("r{number}").parse().unwrap(),
                Expect::Any,
                Some(staged),
            );
            commit(txn).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || work(number));
        }
    });
    assert_clean(&path);
    assert!(left_in_tmp(&path).is_empty());
    let commits: Vec<String> = (0..4)
        .map(|n| theirs(&path, &["rev-parse", &format!("r{n}")]))
        .collect();
    assert!(commits.iter().all(|commit| *commit == commits[0]));
}

/// Of several writers that all expect the old value, one wins each round and nobody's is lost.
/// Directories of objects come from the transaction whole, but for those whose group several people share.
#[test]
fn new_directories_are_as_if_they_were_made_in_place() {
    for inherited in [0, 0o2000] {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("repo");
        let repo = init(&path, RepoMode::Bare);
        let objects = path.join("objects");
        std::os::unix::fs::chown(&objects, None, Some(1234)).unwrap();
        fs::set_permissions(&objects, fs::Permissions::from_mode(0o775 | inherited)).unwrap();
        let in_place = objects.join("made");
        fs::create_dir(&in_place).unwrap();
        let expected = in_place.metadata().unwrap();
        fs::remove_dir(&in_place).unwrap();

        let txn = begin(&repo);
        stage(&txn, 20, "x");
        commit(txn).unwrap();
        let heads: Vec<_> = fs::read_dir(&objects).unwrap().collect();
        assert!(heads.len() > 10);
        for head in heads {
            let head = head.unwrap().metadata().unwrap();
            assert_eq!((head.mode(), head.gid()), (expected.mode(), expected.gid()));
        }
        assert_clean(&path);
    }
}

#[test]
fn expectations_let_exactly_one_writer_win() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let repo = init(&path, RepoMode::Bare);
    let txn = begin(&repo);
    let commits: Vec<Checksum> = (0..9).map(|n| stage(&txn, 1, &n.to_string())).collect();
    txn.set_ref("r".parse().unwrap(), Expect::Absent, Some(commits[8]));
    commit(txn).unwrap();
    let attempt = |number: usize| {
        let repo = open(&path);
        let txn = begin(&repo);
        txn.set_ref(
            "r".parse().unwrap(),
            Expect::Exactly(commits[8]),
            Some(commits[number]),
        );
        commit(txn)
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|n| scope.spawn(move || attempt(n))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    let winners: Vec<usize> = (0..8).filter(|n| results[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(repo.resolve("r").unwrap(), commits[winners[0]]);
    for lost in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(matches!(lost, WriteError::RefChanged { .. }), "{lost}");
        assert_eq!(lost.class(), ErrorClass::Locked);
    }
}

#[test]
fn a_changed_ref_publishes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let repo = init(&path, RepoMode::Bare);
    let txn = begin(&repo);
    let staged = stage(&txn, 1, "x");
    txn.set_ref("r".parse().unwrap(), Expect::Exactly(staged), Some(staged));
    assert!(matches!(
        commit(txn),
        Err(WriteError::RefChanged { found: None, .. })
    ));
    assert!(objects(&repo).is_empty());
}

#[test]
fn every_failed_write_poisons_the_transaction() {
    type Step = fn(&Transaction<'_>);
    let steps: [(&str, RepoMode, Step); 8] = [
        ("forbidden mode", RepoMode::BareUserOnly, |txn| {
            txn.write_file(&header(0o4755), b"x").unwrap_err();
        }),
        (
            "forbidden mode of a stream",
            RepoMode::BareUserOnly,
            |txn| {
                txn.content_writer(header(0o666), 1).unwrap_err();
            },
        ),
        (
            "an owner that cannot be kept",
            RepoMode::BareUserOnly,
            |txn| {
                let owned = FileHeader::regular(1, 0, 0o644, Xattrs::new());
                txn.write_file(&owned, b"x").unwrap_err();
            },
        ),
        ("too short", RepoMode::Bare, |txn| {
            let mut writer = txn.content_writer(header(0o644), 3).unwrap();
            writer.write_piece(b"ab").unwrap();
            let error = writer.finish().unwrap_err();
            assert!(matches!(
                error,
                WriteError::SizeMismatch {
                    expected: 3,
                    actual: 2
                }
            ));
        }),
        ("too long", RepoMode::Archive, |txn| {
            let mut writer = txn.content_writer(header(0o644), 3).unwrap();
            let error = writer.write_piece(b"abcd").unwrap_err();
            assert!(matches!(
                error,
                WriteError::SizeMismatch {
                    expected: 3,
                    actual: 4
                }
            ));
        }),
        ("too long through io::Write", RepoMode::Bare, |txn| {
            let mut writer = txn.content_writer(header(0o644), 3).unwrap();
            writer.write_all(b"abcd").unwrap_err();
        }),
        ("a name that is not UTF-8", RepoMode::Bare, |txn| {
            let mut dir = tree::Dir::new(Checksum::of(b""));
            let name = tree::Name::new(b"\xff").unwrap();
            dir.children
                .insert(name, tree::Node::Leaf(Checksum::of(b"")));
            let error = txn.write_tree(&dir).unwrap_err();
            assert!(matches!(error, WriteError::NameNotUtf8 { .. }));
        }),
        (
            "an attribute that the kernel refuses",
            RepoMode::Bare,
            |txn| {
                let xattrs = [(&b"nonsense.x"[..], &b"1"[..])].into_iter().collect();
                txn.write_file(&FileHeader::regular(0, 0, 0o644, xattrs), b"x")
                    .unwrap_err();
            },
        ),
    ];
    for (what, mode, step) in steps {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("repo");
        let repo = init(&path, mode);
        let txn = begin(&repo);
        step(&txn);
        let staged = stage(&txn, 1, "x");
        txn.set_ref("r".parse().unwrap(), Expect::Any, Some(staged));
        commit(txn).expect_err(what);
        assert!(objects(&repo).is_empty(), "{what}");
        assert!(repo.list_refs().unwrap().is_empty(), "{what}");
    }
}

/// A process that holds an OFD lock on the repository, as libostree does.
fn hold(repo: &Path, kind: &str) -> Child {
    let script = "import fcntl,os,struct,sys\n\
        f=os.open(sys.argv[1],os.O_CREAT|os.O_RDWR,0o660)\n\
        fcntl.fcntl(f,37,struct.pack('hhqqi4x',getattr(fcntl,sys.argv[2]),0,0,0,0))\n\
        print('held',flush=True)\nsys.stdin.read()\n";
    let mut child = testkit::command("python3")
        .args(["-c", script])
        .arg(repo.join(".lock"))
        .arg(kind)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "held\n");
    child
}

fn release(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_exclusive_holder_keeps_writers_out_until_the_timeout() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    init(&path, RepoMode::Bare);
    theirs(&path, &["config", "set", "core.lock-timeout-secs", "1"]);
    let repo = open(&path);
    let holder = hold(&path, "F_WRLCK");
    let started = Instant::now();
    let Err(error) = repo.begin(TransactionOptions::default()) else {
        panic!("a transaction began")
    };
    assert!(
        matches!(error, WriteError::Lock(LockError::Busy { .. })),
        "{error}"
    );
    assert_eq!(error.class(), ErrorClass::Locked);
    assert!(started.elapsed() >= Duration::from_secs(1));
    release(holder);
    let shared = hold(&path, "F_RDLCK");
    drop(begin(&repo));
    release(shared);

    // And the other way round: no libostree prune while we write.
    let txn = begin(&repo);
    testkit::fails(ostree(&path).args(["prune", "--refs-only"]));
    drop(txn);
    theirs(&path, &["prune", "--refs-only"]);
}

#[test]
fn libostree_leaves_a_live_transaction_alone_and_removes_a_dead_one() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let repo = init(&path, RepoMode::Bare);
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let source = format!("--tree=dir={}", tree.display());
    let write = || theirs(&path, &["commit", "-b", "other", "-s", "x", &source]);
    let txn = begin(&repo);
    let staged = stage(&txn, 20, "x");
    txn.set_ref("r".parse().unwrap(), Expect::Any, Some(staged));
    write();
    commit(txn).unwrap();
    assert_clean(&path);

    let dead = path.join("tmp/staging-bootroot-0123456789abcdef");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("x"), "x").unwrap();
    write();
    assert!(!dead.exists());
}

#[test]
fn what_died_in_other_boots_is_reclaimed() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let mut repo = init(&path, RepoMode::Bare);
    let tmp = path.join("tmp");
    let names = ["this-boot-abc123", "last-boot-abc123", "last-boot-def456"];
    for name in names.map(|name| format!("staging-{name}")) {
        fs::create_dir(tmp.join(&name)).unwrap();
        fs::write(tmp.join(&name).join("object"), "x").unwrap();
        fs::write(tmp.join(format!("{name}-lock")), "").unwrap();
    }
    let dir = fs::File::open(&tmp).unwrap();
    let lock = |name: &str| Lock::exclusive(dir.as_fd(), Path::new(name), Duration::ZERO).unwrap();
    let alive = lock("staging-last-boot-def456-lock");
    let left = || {
        let mut left = left_in_tmp(&path);
        left.retain(|name| name.starts_with("staging-"));
        left.sort();
        left
    };
    let expected = |names: &[&str]| -> Vec<_> {
        let both = names
            .iter()
            .flat_map(|name| [name.to_string(), format!("{name}-lock")]);
        both.collect()
    };
    repo.set_boot("this-boot".parse().unwrap());
    drop(begin(&repo));
    let still_used = expected(&["staging-last-boot-def456", "staging-this-boot-abc123"]);
    assert_eq!(left(), still_used);
    repo.use_up_staged().unwrap();
    assert_eq!(left(), expected(&["staging-last-boot-def456"]));
    drop(alive);
    repo.use_up_staged().unwrap();
    assert_eq!(left(), expected(&[]));
}

#[test]
fn what_dead_transactions_left_is_reclaimed() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let repo = init(&path, RepoMode::Bare);
    let tmp = path.join("tmp");
    let at = |name: &str| tmp.join(name);
    let make = |name: &str| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("object"), "x").unwrap();
    };
    make("staging-bootroot-dead");
    fs::write(at("staging-bootroot-dead-lock"), "").unwrap();
    make("staging-bootroot-alive");
    make("unknown-old");
    make("unknown-new");
    make("staging-libostree-boot-x");
    for name in [
        "orphan-old",
        "staging-bootroot-gone-lock",
        "staging-bootroot-alive-lock",
    ] {
        fs::write(at(name), "").unwrap();
    }
    let old = [
        "unknown-old",
        "orphan-old",
        "staging-bootroot-gone-lock",
        "staging-bootroot-alive-lock",
        "staging-libostree-boot-x",
        "cache",
    ];
    for name in old {
        testkit::run(
            testkit::command("touch")
                .args(["-d", "2 days ago"])
                .arg(at(name)),
        );
    }
    let dir = fs::File::open(&tmp).unwrap();
    let name = Path::new("staging-bootroot-alive-lock");
    let alive = Lock::exclusive(dir.as_fd(), name, Duration::ZERO).unwrap();
    drop(begin(&repo));
    let mut left = left_in_tmp(&path);
    left.sort();
    let expected = [
        "staging-bootroot-alive",
        "staging-bootroot-alive-lock",
        "staging-libostree-boot-x",
        "unknown-new",
    ];
    assert_eq!(left, expected);
    assert!(tmp.join("cache").is_dir());
    drop(alive);
}

#[test]
fn detached_metadata_is_replaced_and_read_by_both() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("repo");
    let repo = init(&path, RepoMode::Archive);
    for value in ["one", "two"] {
        let txn = begin(&repo);
        let staged = stage(&txn, 1, "x");
        let metadata = [("k", ostree_format::gvariant::Value::from(value))]
            .into_iter()
            .collect();
        txn.write_detached_metadata(staged, &metadata).unwrap();
        txn.set_ref("r".parse().unwrap(), Expect::Any, Some(staged));
        commit(txn).unwrap();
        let read = repo.load_detached_metadata(&staged).unwrap().unwrap();
        assert_eq!(read, metadata);
        let shown = theirs(&path, &["show", "--print-detached-metadata-key=k", "r"]);
        assert_eq!(shown, format!("'{value}'"));
        let name = ObjectName::new(staged, ObjectKind::CommitMeta);
        assert!(repo.has_object(&name).unwrap());
        assert_clean(&path);
    }
}
