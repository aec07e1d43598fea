//! What a command costs: the whole process tree, by GNU time and by the file system.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::scratch::{Scratch, output, sh};

/// The cost of one command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu: f64,
    pub(crate) wall: f64,
    /// Largest resident size of one process, in KiB.
    pub(crate) memory: u64,
    /// Growth of the file system.
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

/// A command to be measured, as a shell script that runs in the scratch file system.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) tool: &'static str,
    /// Puts the file system into the state before the command.
    pub(crate) before: String,
    pub(crate) script: String,
}

impl Work {
    /// Run once.
    pub(crate) fn measure(&self, scratch: &Scratch) -> Result<Cost> {
        self.prepare(scratch)?;
        let (bytes, files) = scratch.used()?;
        let times = scratch.path().join("../times");
        let mut command = Command::new("/usr/bin/time");
        command
            .args(["-f", "%U %S %e %M", "-o"])
            .arg(&times)
            .args(["bash", "-euc", &self.script]);
        run(command.current_dir(scratch.path()))?;
        sh(&format!("sync -f '{}'", scratch.path().display()))?;
        let (bytes_after, files_after) = scratch.used()?;
        let text = std::fs::read_to_string(&times)?;
        let numbers: Vec<f64> = text
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        let [user, system, wall, memory] = numbers[..] else {
            anyhow::bail!("GNU time printed {text:?}");
        };
        Ok(Cost {
            cpu: user + system,
            wall,
            memory: memory as u64,
            bytes: bytes_after.saturating_sub(bytes),
            files: files_after.saturating_sub(files),
        })
    }

    /// How often the command syncs anything.
    pub(crate) fn syncs(&self, scratch: &Scratch) -> Result<u64> {
        self.prepare(scratch)?;
        let log = scratch.path().join("../syncs");
        let mut command = Command::new("strace");
        command.args([
            "-f",
            "-qq",
            "-e",
            "trace=fsync,fdatasync,syncfs,sync,sync_file_range",
            "-o",
        ]);
        command.arg(&log).args(["bash", "-euc", &self.script]);
        run(command.current_dir(scratch.path()))?;
        count_lines(&log)
    }

    fn prepare(&self, scratch: &Scratch) -> Result<()> {
        let before = format!(
            "cd '{}'; {}; sync -f .",
            scratch.path().display(),
            self.before
        );
        sh(&before).with_context(|| format!("preparing {}", self.name))
    }
}

fn count_lines(log: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(log)?;
    let finished = |line: &&str| line.contains("sync") && !line.contains("unfinished");
    Ok(text.lines().filter(finished).count() as u64)
}

fn run(command: &mut Command) -> Result<()> {
    let done = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let error = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{command:?} failed: {error}");
    Ok(())
}

/// The versions of what is measured, for the report.
pub(crate) fn version(tool: &str) -> String {
    let text = output(Command::new(tool).arg("--version")).unwrap_or_default();
    text.lines()
        .take(2)
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ")
}
