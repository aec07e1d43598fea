//! Where cargo put things: the workspace, its target directory, the built command.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The root of this checkout.
pub fn workspace_root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir
        .ancestors()
        .nth(2)
        .expect("crates/testkit is two levels down")
        .to_path_buf()
}

/// The cargo target directory that the running test was built in.
///
/// Found from the place of the test executable, so that `CARGO_TARGET_DIR` and `--target-dir`
/// need not be known here.
pub fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("a running test has an executable");
    let tagged = exe
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists());
    tagged.map_or_else(|| workspace_root().join("target"), Path::to_path_buf)
}

/// An empty directory in the target directory, removed when dropped.
///
/// Unlike `/tmp` it lies on the same file system as [`golden`](crate::golden) data, so that hard
/// links work, and on one that has extended attributes.
///
/// # Panics
/// When it cannot be made.
pub fn scratch_dir() -> TempDir {
    let parent = target_dir().join("scratch");
    fs::create_dir_all(&parent).expect("the target directory is writable");
    tempfile::tempdir_in(parent).expect("the target directory is writable")
}

/// The `bootroot` command, as built beside the running test.
///
/// `CARGO_BIN_EXE_bootroot` wins (cargo sets it for the integration tests of the command's own
/// package), then the newest of `debug/` and `release/` in the target directory.
///
/// # Panics
/// When there is none: tests of other packages need `cargo build -p cli` first, which `make test`
/// does.
pub fn bootroot_bin() -> PathBuf {
    if let Some(path) = std::env::var_os("CARGO_BIN_EXE_bootroot") {
        return path.into();
    }
    let target = target_dir();
    let built = ["debug", "release"].map(|profile| target.join(profile).join("bootroot"));
    let newest = built
        .into_iter()
        .filter_map(with_age)
        .max_by_key(|(_, age)| *age);
    newest.map(|(path, _)| path).unwrap_or_else(|| {
        panic!(
            "no bootroot command in {}: run `cargo build -p cli`",
            target.display()
        )
    })
}

fn with_age(path: PathBuf) -> Option<(PathBuf, std::time::SystemTime)> {
    let modified = path.metadata().ok()?.modified().ok()?;
    Some((path, modified))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspace_root_holds_the_workspace_manifest() {
        let manifest = fs::read_to_string(workspace_root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }

    #[test]
    fn target_dir_holds_the_running_test() {
        let exe = std::env::current_exe().unwrap();
        assert!(
            exe.starts_with(target_dir()),
            "{} not in {}",
            exe.display(),
            target_dir().display()
        );
    }
}
