//! Verbs of `bootroot ostree` that sign and verify, beside the real `ostree` and `gpg`, in both directions.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{answer, bootroot, ostree, refusal};
use tempfile::TempDir;
use testkit::{GpgHome, golden, golden_copy};

/// A repository that both programs work on, a tree, and a directory with keyrings of the system.
struct Scene {
    dir: TempDir,
    home: GpgHome,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = GpgHome::new();
        home.key("One <one@example.com>", "ed25519", "sign", "never");
        home.key("Two <two@example.com>", "ed25519", "sign", "never");
        let scene = Self { dir, home };
        for name in ["tree", "keyrings"] {
            fs::create_dir(scene.path(name)).unwrap();
        }
        answer(&mut scene.theirs("init --mode=archive"));
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ours(&self, line: &str) -> Command {
        self.command(bootroot(&format!("ostree {line} --repo repo")))
    }

    fn theirs(&self, line: &str) -> Command {
        self.command(ostree(&format!("{line} --repo=repo")))
    }

    fn command(&self, mut command: Command) -> Command {
        command.current_dir(self.dir.path());
        command.env("OSTREE_GPG_HOME", self.path("keyrings"));
        command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command
    }

    /// Both programs say the same.
    #[track_caller]
    fn same(&self, line: &str) -> String {
        let ours = answer(&mut self.ours(line));
        assert_eq!(ours, answer(&mut self.theirs(line)), "{line}");
        ours
    }

    fn gpg_homedir(&self) -> String {
        format!("--gpg-homedir={}", self.home.path().display())
    }

    fn trust(&self, user: &str) {
        let export = self.home.gpg(&["--export", user], b"");
        fs::write(self.path("keyrings/k.gpg"), export).unwrap();
    }
}

#[test]
fn commits_with_gpg_signatures() {
    let scene = Scene::new();
    let options = format!(
        "commit -b main -s x --tree=dir=tree {}",
        scene.gpg_homedir()
    );
    let options = format!("{options} --gpg-sign=one@example.com --gpg-sign=two@example.com");
    for commit in [scene.ours(&options), scene.theirs(&options)] {
        let mut commit = commit;
        answer(&mut commit);
        fs::write(scene.path("keyrings/k.gpg"), b"").unwrap();
        let shown = scene.same("show main");
        assert!(shown.contains("Found 2 signatures:"), "{shown}");
        assert_eq!(shown.matches("public key not found").count(), 2, "{shown}");
        scene.trust("one@example.com");
        let shown = scene.same("show main");
        assert!(shown.contains("Good signature from \"One <one@"), "{shown}");
        assert_eq!(shown.matches("public key not found").count(), 1, "{shown}");
    }
    let refused = refusal(&mut scene.ours(&options.replace("one@", "none@")), 1);
    assert!(
        refused.contains("No gpg key found with ID none@example.com"),
        "{refused}"
    );
}

#[test]
fn signatures_come_and_go() {
    let scene = Scene::new();
    answer(&mut scene.theirs("commit -b main -s x --tree=dir=tree"));
    let sign = |who: &str| format!("gpg-sign {} main {who}@example.com", scene.gpg_homedir());
    assert!(!scene.same("show main").contains("signature"));
    answer(&mut scene.ours(&sign("one")));
    answer(&mut scene.theirs(&sign("two")));
    // The real program would sign again: it does not read the keybox of the home directory.
    for again in ["one", "two"] {
        let said = refusal(&mut scene.ours(&sign(again)), 1);
        assert!(said.contains("already signed with GPG key"), "{said}");
    }
    fs::write(scene.path("keyrings/k.gpg"), scene.home.export()).unwrap();
    let shown = scene.same("show main");
    assert_eq!(shown.matches("Good signature").count(), 2, "{shown}");
    for who in ["one", "two"] {
        let delete = sign(who).replace("gpg-sign", "gpg-sign --delete");
        let mut delete = match who {
            "one" => scene.ours(&delete),
            _ => scene.theirs(&delete),
        };
        assert_eq!(answer(&mut delete), "Signatures deleted: 1\n");
    }
    let delete = sign("two").replace("gpg-sign", "gpg-sign -d");
    assert_eq!(scene.same(&delete), "Signatures deleted: 0\n");
    assert!(!scene.same("show main").contains("signature"));
}

#[test]
fn keyrings_of_remotes() {
    let scene = Scene::new();
    let file = scene.path("all.gpg");
    fs::write(&file, scene.home.export()).unwrap();
    let file = file.display();
    let import = format!("remote add --gpg-import={file}");
    let said = answer(&mut scene.ours(&format!("{import} r http://localhost/")));
    assert_eq!(said, "Imported 2 GPG keys to remote \"r\"\n");
    assert_eq!(
        scene
            .same("remote gpg-list-keys r")
            .matches("Key: ")
            .count(),
        2
    );
    answer(&mut scene.theirs("remote add s http://localhost/"));
    let import = format!("remote gpg-import --keyring={file} s two@example.com");
    let said = answer(&mut scene.ours(&import));
    assert_eq!(said, "Imported 1 GPG key to remote \"s\"\n");
    assert_eq!(scene.same(&import), "Imported 0 GPG keys to remote \"s\"\n");
    let listed = scene.same("remote gpg-list-keys s");
    assert!(listed.contains("UID: Two <two@example.com>"), "{listed}");
    assert_eq!(scene.same("remote gpg-list-keys"), "");
    scene.trust("one@example.com");
    assert!(scene.same("remote gpg-list-keys").contains("UID: One"));
    fs::write(scene.path("text"), "no keyring").unwrap();
    let said = refusal(&mut scene.ours("remote gpg-import --keyring=text s"), 1);
    assert!(
        said.contains("cannot use text: no OpenPGP data found"),
        "{said}"
    );
}

#[test]
fn keys_in_the_options_of_a_remote() {
    let scene = Scene::new();
    let add = "remote add --sign-verify=ed25519=inline:KEY --sign-verify=spki=file:/k r http://localhost/";
    answer(&mut scene.ours(add));
    let config = fs::read_to_string(scene.path("repo/config")).unwrap();
    for line in [
        "verification-ed25519-key=KEY\n",
        "verification-spki-file=/k\n",
        "sign-verify=ed25519,spki\n",
    ] {
        assert!(config.contains(line), "{config}");
    }
    for (spec, said) in [
        (
            "trustme=inline:ok",
            "Requested signature type is not implemented",
        ),
        ("ed25519", "Failed to parse KEYTYPE"),
        ("ed25519=foo:bar", "Invalid key reference"),
    ] {
        let add = format!("remote add s --sign-verify={spec} http://localhost");
        let refused = refusal(&mut scene.ours(&add), 1);
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn a_signed_summary_is_good_to_ostree() {
    let scene = Scene::new();
    answer(&mut scene.theirs("commit -b main -s x --tree=dir=tree"));
    let sign = format!(
        "summary -u {} --gpg-sign=one@example.com",
        scene.gpg_homedir()
    );
    answer(&mut scene.ours(&sign));
    scene.trust("one@example.com");
    let shown = answer(&mut scene.ours("summary --view"));
    assert!(
        shown.contains("Found 1 signature on the summary:"),
        "{shown}"
    );
    assert!(shown.contains("Good signature from \"One <one@"), "{shown}");
    let url = format!("file://{}", scene.path("repo").display());
    let client = |line: &str| scene.command(ostree(&format!("{line} --repo=client")));
    answer(&mut client("init --mode=archive"));
    let add = format!("remote add --set=gpg-verify=false --set=gpg-verify-summary=true r {url}");
    answer(&mut client(&add));
    answer(&mut client("pull r:main"));
    // A summary without signatures takes the old ones with it.
    answer(&mut scene.ours("summary -u"));
    assert!(answer(&mut scene.ours("summary --view")).contains("Summary is unsigned"));
    refusal(&mut client("pull r:main"), 1);
}

/// The committed data are those of a libostree that knows these kinds, which the one here does not.
#[test]
fn bare_keys_sign_as_libostree_does() {
    let repo = golden_copy("repos");
    let key = |name: &str| golden("keys").join(name).display().to_string();
    let commit = fs::read(golden("sign").join("v2.commit")).unwrap();
    let commit = ostree_format::Checksum::of(&commit).to_string();
    let metadata = format!(
        "archive/objects/{}/{}.commitmeta",
        &commit[..2],
        &commit[2..]
    );
    let metadata = repo.path().join(metadata);
    let sign = |line: &str| {
        let mut sign = bootroot(&format!("ostree sign --repo archive {line}"));
        sign.current_dir(repo.path());
        sign
    };
    for (kind, secret, public) in [
        ("ed25519", "ed25519.secret.b64", "ed25519.pub.b64"),
        ("spki", "ed448.pem", "ed448.pub.pem"),
    ] {
        let with = |file: &str| format!("--sign-type={kind} --keys-file={} {commit}", key(file));
        answer(&mut sign(&with(secret)));
        let recorded = golden("sign").join(format!("v2.commitmeta.{kind}"));
        assert_eq!(
            fs::read(&metadata).unwrap(),
            fs::read(recorded).unwrap(),
            "{kind}"
        );
        let said = answer(&mut sign(&format!("--verify {}", with(public))));
        let recorded = golden("sign").join(format!("verify.{kind}.txt"));
        let recorded = fs::read_to_string(recorded).unwrap();
        assert!(recorded.contains(said.trim()), "{said}\n{recorded}");
        fs::remove_file(&metadata).unwrap();
        let refused = refusal(&mut sign(&format!("--verify {}", with(public))), 1);
        assert!(
            refused.contains("commit have no signatures of my type"),
            "{refused}"
        );
    }
}

#[test]
fn revoked_keys_and_keys_on_the_command_line() {
    let scene = Scene::new();
    let key = |name: &str| fs::read_to_string(golden("keys").join(name)).unwrap();
    let public = key("ed25519.pub.b64");
    let file = golden("keys").join("ed25519.secret.b64");
    let commit = format!(
        "commit -b main -s x --tree=dir=tree --sign-from-file={}",
        file.display()
    );
    answer(&mut scene.ours(&commit));
    let verify = |rest: &str| scene.ours(&format!("sign --verify main {rest}"));
    let other = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
    assert!(answer(&mut verify(&format!("{other} {public}"))).contains("verified successfully"));
    let refused = refusal(&mut verify(other), 1);
    assert!(refused.contains("No valid signatures found"), "{refused}");
    put(&scene.path("keys/trusted.ed25519.d/one"), &public);
    answer(&mut verify("--keys-dir=keys"));
    put(&scene.path("keys/revoked.ed25519.d/one"), &public);
    refusal(&mut verify("--keys-dir=keys"), 1);
    // The dummy kind proves nothing.
    let dummy = "sign --sign-type=dummy main secret";
    let refused = refusal(&mut scene.ours(dummy), 1);
    assert!(refused.contains("only for ostree testing"), "{refused}");
    answer(scene.ours(dummy).env("OSTREE_DUMMY_SIGN_ENABLED", "1"));
    let verify = "sign --verify --sign-type=dummy main secret";
    answer(scene.theirs(verify).env("OSTREE_DUMMY_SIGN_ENABLED", "1"));
    refusal(&mut scene.ours(verify), 1);
}

fn put(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn a_summary_and_its_signatures_have_the_same_time() {
    use std::os::unix::fs::MetadataExt as _;
    let scene = Scene::new();
    answer(&mut scene.theirs("commit -b main -s x --tree=dir=tree"));
    let home = scene.gpg_homedir();
    answer(&mut scene.ours(&format!("summary -u {home} --gpg-sign=one@example.com")));
    let time = |name: &str| {
        let found = fs::metadata(scene.path("repo").join(name)).unwrap();
        (found.mtime(), found.mtime_nsec())
    };
    assert_eq!(time("summary"), time("summary.sig"));
}
