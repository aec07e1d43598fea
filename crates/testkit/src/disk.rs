//! Small real file systems for tests that fill the disk or need a journal.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{command, run};

/// An empty ext4 file system in a file, mounted with a loop device; unmounted and removed when
/// dropped. Needs root.
#[derive(Debug)]
pub struct ScratchFs {
    dir: TempDir,
}

/// Makes and mounts a [`ScratchFs`] of `size` bytes (at least 8 MiB).
///
/// It has 4 KiB blocks, a journal, no space reserved for root and no lazy initialisation, so that
/// free space is what the test left and does not move by itself.
///
/// # Panics
/// When it cannot be made or mounted.
pub fn scratch_fs(size: u64) -> ScratchFs {
    let mut make = command("mkfs.ext4");
    make.args([
        "-q",
        "-F",
        "-b",
        "4096",
        "-m",
        "0",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0",
    ]);
    mounted(size, &mut make)
}

/// As [`scratch_fs`], with XFS, which has at least 300 MiB.
///
/// # Panics
/// When it cannot be made or mounted.
pub fn scratch_xfs(size: u64) -> ScratchFs {
    mounted(size, command("mkfs.xfs").arg("-q"))
}

fn mounted(size: u64, make: &mut Command) -> ScratchFs {
    let dir = crate::scratch_dir();
    let (image, mount_point) = (dir.path().join("disk.img"), dir.path().join("mnt"));
    File::create(&image)
        .and_then(|file| file.set_len(size))
        .expect("a sparse file can be made");
    std::fs::create_dir(&mount_point).expect("a temporary directory is writable");
    run(make.arg(&image));
    run(command("mount")
        .args(["-o", "loop"])
        .arg(&image)
        .arg(&mount_point));
    ScratchFs { dir }
}

impl ScratchFs {
    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// Bytes that can still be written.
    pub fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.path()).expect("a mounted file system");
        stat.f_bavail * stat.f_frsize
    }

    /// Writes a file `ballast` that leaves about `free` bytes (to the next block).
    ///
    /// # Panics
    /// When less than that is free already.
    pub fn fill_leaving(&self, free: u64) {
        let fill = self
            .free()
            .checked_sub(free)
            .expect("enough free space to fill");
        let ballast = File::create(self.path().join("ballast")).expect("a writable file system");
        let flags = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&ballast, flags, 0, fill.max(1)).expect("the space was free");
    }

    /// Removes the `ballast` of [`ScratchFs::fill_leaving`].
    pub fn empty(&self) {
        let _ = std::fs::remove_file(self.path().join("ballast"));
    }
}

impl Drop for ScratchFs {
    fn drop(&mut self) {
        // Lazy: a test that panicked may still hold a descriptor in it.
        let _ = command("umount").arg("-l").arg(self.path()).status();
    }
}

/// Whether something is mounted exactly at `path`.
pub fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("/proc is mounted");
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == path.to_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn is_full_after_filling_and_gone_after_drop() {
        let disk = scratch_fs(16 << 20);
        disk.fill_leaving(1 << 20);
        assert!(disk.free() <= 2 << 20, "{} bytes free", disk.free());
        let mut file = File::create(disk.path().join("more")).unwrap();
        let error = file.write_all(&vec![1; 4 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        drop(file);
        disk.empty();
        assert!(disk.free() > 4 << 20);
        let path = disk.path();
        assert!(is_mounted(&path));
        drop(disk);
        assert!(!is_mounted(&path) && !path.exists());
    }
}
