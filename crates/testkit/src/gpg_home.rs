//! A gpg home directory with keys made for the test.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::command;
use tempfile::TempDir;

/// A day in the past, for keys and signatures that have expired since.
pub const LONG_AGO: &str = "20200101T000000";

/// A GnuPG home directory, gone with its agent when dropped.
#[derive(Debug)]
pub struct GpgHome(TempDir);

impl GpgHome {
    /// Without keys.
    #[allow(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        // The agent's socket lies in it, and paths of sockets are short: not in the target directory.
        let dir = tempfile::Builder::new().prefix("gpg").tempdir().unwrap();
        Self(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// gpg with this home directory, asking nothing.
    pub fn command(&self) -> Command {
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
    pub fn gpg(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        run_with(self.command().args(arguments), input)
    }

    /// A new key and its fingerprint. `algorithm` and `usage` are those of `--quick-generate-key`.
    #[track_caller]
    pub fn key(&self, user: &str, algorithm: &str, usage: &str, expiry: &str) -> String {
        self.gpg(
            &["--quick-generate-key", user, algorithm, usage, expiry],
            b"",
        );
        self.fingerprint(user)
    }

    /// A new subkey of the key `primary`; its fingerprint.
    #[track_caller]
    pub fn subkey(&self, primary: &str, algorithm: &str, usage: &str, expiry: &str) -> String {
        self.gpg(&["--quick-add-key", primary, algorithm, usage, expiry], b"");
        self.fingerprints(primary).pop().unwrap()
    }

    /// The fingerprint of the primary key of `user`.
    pub fn fingerprint(&self, user: &str) -> String {
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

    /// A detached signature over `data`.
    #[track_caller]
    pub fn sign(&self, user: &str, data: &[u8]) -> Vec<u8> {
        self.sign_with(&[], user, data)
    }

    /// The same with more options.
    #[track_caller]
    pub fn sign_with(&self, options: &[&str], user: &str, data: &[u8]) -> Vec<u8> {
        let sign = ["--local-user", user, "--detach-sign"];
        self.gpg(&[options, &sign[..]].concat(), data)
    }

    /// All public keys.
    pub fn export(&self) -> Vec<u8> {
        self.gpg(&["--export"], b"")
    }

    /// All secret keys.
    pub fn export_secret(&self) -> Vec<u8> {
        self.gpg(&["--export-secret-keys"], b"")
    }

    /// Answer gpg's questions, one per line.
    #[track_caller]
    pub fn dialogue(&self, arguments: &[&str], answers: &str) {
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
    pub fn revoke(&self, fingerprint: &str) {
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

impl Drop for GpgHome {
    fn drop(&mut self) {
        let mut kill = command("gpgconf");
        kill.arg("--homedir").arg(self.path());
        let _ = kill.args(["--kill", "gpg-agent"]).output();
    }
}

/// Standard output of a program that is given `input`; it must succeed.
#[track_caller]
pub fn run_with(command: &mut Command, input: &[u8]) -> Vec<u8> {
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
