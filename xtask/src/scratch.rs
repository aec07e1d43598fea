//! A fresh, journaled ext4 on a loop device, so that the state of the machine's own file system
//! does not decide what is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// A mounted file system; unmounted and removed when dropped.
pub(crate) struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    pub(crate) fn mount(dir: &Path, gigabytes: u32) -> Result<Self> {
        let mount = dir.join("mount");
        std::fs::create_dir_all(&mount)?;
        let image = dir.join("disk");
        sh(&format!(
            "truncate -s {gigabytes}G '{image}' && mkfs.ext4 -q -F '{image}' && \
             mount \"$(losetup -f --show --direct-io=on '{image}')\" '{mount}'",
            image = image.display(),
            mount = mount.display(),
        ))?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join("mount")
    }

    /// Bytes and inodes in use.
    pub(crate) fn used(&self) -> Result<(u64, u64)> {
        let path = self.path();
        let text = output(
            Command::new("stat")
                .args(["-f", "-c", "%b %f %S %c %d"])
                .arg(path),
        )?;
        let mut numbers = text.split_whitespace().map(str::parse::<u64>);
        let mut next = || {
            numbers
                .next()
                .context("stat printed too little")?
                .context("not a number")
        };
        let (blocks, free, size, inodes, free_inodes) =
            (next()?, next()?, next()?, next()?, next()?);
        Ok(((blocks - free) * size, inodes - free_inodes))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mount = self.path();
        let device = output(
            Command::new("findmnt")
                .args(["-n", "-o", "SOURCE"])
                .arg(&mount),
        );
        let device = device.unwrap_or_default();
        let _failed = sh(&format!(
            "umount '{}' && losetup -d '{}'; rm -f '{}'",
            mount.display(),
            device.trim(),
            self.dir.join("disk").display()
        ));
    }
}

/// Run a shell script; its output goes to the terminal only when it fails.
pub(crate) fn sh(script: &str) -> Result<()> {
    output(Command::new("bash").args(["-euc", script])).map(drop)
}

pub(crate) fn output(command: &mut Command) -> Result<String> {
    let done = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let error = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{command:?} failed: {error}");
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
