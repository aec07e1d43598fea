//! A gpg home directory with keys made for the test.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use testkit::command;

/// A day in the past, for keys and signatures that have expired since.
pub(crate) const LONG_AGO: &str = "20200101T000000";

pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        // The agent's socket lies in it, and paths of sockets are short: not in the target directory.
        let dir = tempfile::Builder::new().prefix("gpg").tempdir().unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn command(&self) -> Command {
        let mut gpg = command("gpg");
        gpg.arg("--homedir").arg(self.path());
        gpg.args([
            "--batch",
            "--yes",
            "--quiet",
            "--no-tty",
            "--pinentry-mode",
            "loopback",
        ]);
        gpg.args(["--passphrase", ""]);
        gpg
    }

    /// Standard output of gpg with these arguments; it must succeed.
    #[track_caller]
    pub(crate) fn gpg(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        run_with(self.command().args(arguments), input)
    }

    /// A new key and its fingerprint. `algorithm` and `usage` are those of `--quick-generate-key`.
    #[track_caller]
    pub(crate) fn key(&self, user: &str, algorithm: &str, usage: &str, expiry: &str) -> String {
        self.gpg(
            &["--quick-generate-key", user, algorithm, usage, expiry],
            b"",
        );
        self.fingerprint(user)
    }

    /// A new subkey of the key `primary`; its fingerprint.
    #[track_caller]
    pub(crate) fn subkey(
        &self,
        primary: &str,
        algorithm: &str,
        usage: &str,
        expiry: &str,
    ) -> String {
        self.gpg(&["--quick-add-key", primary, algorithm, usage, expiry], b"");
        self.fingerprints(primary).pop().unwrap()
    }

    pub(crate) fn fingerprint(&self, user: &str) -> String {
        self.fingerprints(user).remove(0)
    }

    /// Of the primary key, then of the subkeys.
    fn fingerprints(&self, user: &str) -> Vec<String> {
        let list = self.gpg(&["--list-keys", "--with-colons", user], b"");
        let list = String::from_utf8(list).unwrap();
        let lines = list.lines().filter(|line| line.starts_with("fpr:"));
        lines
            .map(|l| l.split(':').nth(9).unwrap().to_owned())
            .collect()
    }

    #[track_caller]
    pub(crate) fn sign(&self, user: &str, data: &[u8]) -> Vec<u8> {
        self.sign_with(&[], user, data)
    }

    #[track_caller]
    pub(crate) fn sign_with(&self, options: &[&str], user: &str, data: &[u8]) -> Vec<u8> {
        let sign = ["--local-user", user, "--detach-sign"];
        self.gpg(&[options, &sign[..]].concat(), data)
    }

    pub(crate) fn export(&self) -> Vec<u8> {
        self.gpg(&["--export"], b"")
    }

    pub(crate) fn export_secret(&self) -> Vec<u8> {
        self.gpg(&["--export-secret-keys"], b"")
    }

    /// Answer gpg's questions, one per line.
    #[track_caller]
    pub(crate) fn dialogue(&self, arguments: &[&str], answers: &str) {
        let mut gpg = command("gpg");
        gpg.arg("--homedir").arg(self.path());
        gpg.args([
            "--yes",
            "--no-tty",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
        ]);
        gpg.args(["--command-fd", "0"]).args(arguments);
        run_with(&mut gpg, answers.as_bytes());
    }

    /// Revoke a whole key with the certificate that gpg made along with it.
    pub(crate) fn revoke(&self, fingerprint: &str) {
        let file = self
            .path()
            .join(format!("openpgp-revocs.d/{fingerprint}.rev"));
        let text = std::fs::read_to_string(file).unwrap();
        self.gpg(
            &["--import"],
            text.replace(":-----BEGIN", "-----BEGIN").as_bytes(),
        );
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let mut kill = command("gpgconf");
        kill.arg("--homedir").arg(self.path());
        let _ = kill.args(["--kill", "gpg-agent"]).output();
    }
}

#[track_caller]
pub(crate) fn run_with(command: &mut Command, input: &[u8]) -> Vec<u8> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    // A program that refuses may not read all of its input.
    let _ = writer.join().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
