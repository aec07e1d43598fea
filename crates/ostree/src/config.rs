use std::str::FromStr as _;
use std::time::Duration;

use error_class::{Classified, ErrorClass};
use ostree_format::RepoMode;
use ostree_format::keyfile::{KeyFile, KeyFileError};

/// What a repository's `config` says. Source: `ostree.repo-config(5)`.
#[derive(Debug, Clone)]
pub struct RepoConfig {
    /// How content is stored.
    pub mode: RepoMode,
    /// Space that must stay free.
    pub reserve: Reserve,
    /// Whether a transaction syncs (`core.fsync`).
    pub fsync: bool,
    /// Whether the repository is locked while it is used (`core.locking`).
    pub locking: bool,
    /// How long to wait for the lock (`core.lock-timeout-secs`).
    pub lock_timeout: Duration,
    /// Age after which unknown files in `tmp` are removed (`core.tmp-expiry-secs`).
    pub tmp_expiry: Duration,
    /// Deflate level of new archive objects (`archive.zlib-level`).
    pub zlib_level: u32,
    /// Whether extended attributes are ignored (`core.disable-xattrs`).
    pub disable_xattrs: bool,
    /// Whether the kernel verifies objects (`ex-integrity.fsverity`).
    pub fsverity: Wanted,
    /// Whether deployments get an image for composefs (`ex-integrity.composefs`).
    pub composefs: Wanted,
    /// The file itself.
    pub file: KeyFile,
}

/// Something that not every file system can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Left out.
    #[default]
    No,
    /// Done where it can be done.
    Maybe,
    /// Refused where it cannot be done.
    Yes,
}

/// Space that must stay free on the repository's file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// A part of the file system, in percent.
    Percent(u64),
    /// An amount, in bytes.
    Bytes(u64),
}

/// Why a config was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not a key file.
    #[error("the repository config is not a key file: {0}")]
    Syntax(#[from] KeyFileError),
    /// Not text.
    #[error("the repository config is not UTF-8")]
    NotText,
    /// A value is missing or cannot be used.
    #[error("{key}={value:?} in the repository config is not {expected}")]
    Value {
        /// Group and key, for example `core.mode`.
        key: &'static str,
        /// The value, empty when it is missing.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The reserve cannot be understood.
    #[error("Invalid min-free-space-size '{0}': a number followed by MB, GB or TB is expected")]
    FreeSpace(String),
    /// It could not be written.
    #[error(transparent)]
    Io(#[from] durable::Error),
    /// A format of the future.
    #[error("repository version {0:?} is not supported: only version 1 is")]
    Version(String),
}

impl Classified for ConfigError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Version(_) => ErrorClass::Unsupported,
            Self::Io(error) => error.class(),
            _ => ErrorClass::Corrupt,
        }
    }
}

impl RepoConfig {
    /// The config of a new repository of `mode`, byte for byte as `ostree init` writes it.
    #[must_use]
    pub fn initial(mode: RepoMode) -> String {
        format!("[core]\nrepo_version=1\nmode={mode}\n")
    }

    /// Parse the bytes of the config file.
    ///
    /// # Errors
    /// [`ConfigError`] names the value that cannot be used.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ConfigError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ConfigError::NotText)?;
        let file = KeyFile::parse(text)?;
        let version = file.get("core", "repo_version").unwrap_or_default();
        if version != "1" {
            return Err(ConfigError::Version(version));
        }
        let mode = file
            .get("core", "mode")
            .unwrap_or_else(|| "bare".to_owned());
        let mode = RepoMode::from_str(&mode).map_err(|_| ConfigError::Value {
            key: "core.mode",
            value: mode,
            expected: "a repository mode",
        })?;
        Ok(Self {
            mode,
            reserve: reserve(&file)?,
            fsync: file.get_bool("core", "fsync").unwrap_or(true),
            locking: file.get_bool("core", "locking").unwrap_or(true),
            lock_timeout: lock_timeout(&file)?,
            tmp_expiry: Duration::from_secs(
                number(&file, "core", "tmp-expiry-secs", "core.tmp-expiry-secs")?.unwrap_or(86_400),
            ),
            zlib_level: zlib_level(&file)?,
            fsverity: fsverity(&file)?,
            composefs: wanted(&file, "composefs", "ex-integrity.composefs")?.unwrap_or_default(),
            disable_xattrs: file.get_bool("core", "disable-xattrs").unwrap_or(false),
            file,
        })
    }
}

/// A key of the group `ex-integrity`.
fn wanted(file: &KeyFile, key: &str, name: &'static str) -> Result<Option<Wanted>, ConfigError> {
    let Some(value) = file.get("ex-integrity", key) else {
        return Ok(None);
    };
    match value.trim() {
        "yes" | "true" | "1" => Ok(Some(Wanted::Yes)),
        "no" | "false" | "0" => Ok(Some(Wanted::No)),
        "maybe" => Ok(Some(Wanted::Maybe)),
        _ => Err(ConfigError::Value {
            key: name,
            value,
            expected: "yes, no or maybe",
        }),
    }
}

/// Where composefs is wanted, so is this, if it can be had. The group `ex-fsverity` is the older way to say it.
fn fsverity(file: &KeyFile) -> Result<Wanted, ConfigError> {
    let composefs = wanted(file, "composefs", "ex-integrity.composefs")?.unwrap_or_default();
    let own = wanted(file, "fsverity", "ex-integrity.fsverity")?;
    let by_composefs = match composefs {
        Wanted::No => Wanted::No,
        Wanted::Maybe | Wanted::Yes => Wanted::Maybe,
    };
    let older = |key| file.get_bool("ex-fsverity", key).unwrap_or(false);
    Ok(match own.unwrap_or(by_composefs) {
        Wanted::No if older("required") => Wanted::Yes,
        Wanted::No if older("opportunistic") => Wanted::Maybe,
        wanted => wanted,
    })
}

/// A negative number of seconds waits for ever.
fn lock_timeout(file: &KeyFile) -> Result<Duration, ConfigError> {
    let text = file.get("core", "lock-timeout-secs").unwrap_or_default();
    if text.trim().parse().is_ok_and(|seconds: i64| seconds < 0) {
        return Ok(Duration::MAX);
    }
    let seconds = number(file, "core", "lock-timeout-secs", "core.lock-timeout-secs")?;
    Ok(Duration::from_secs(seconds.unwrap_or(300)))
}

fn number(
    file: &KeyFile,
    group: &str,
    key: &str,
    name: &'static str,
) -> Result<Option<u64>, ConfigError> {
    let Some(value) = file.get(group, key) else {
        return Ok(None);
    };
    value
        .trim()
        .parse()
        .map(Some)
        .map_err(|_| ConfigError::Value {
            key: name,
            value,
            expected: "a number",
        })
}

fn zlib_level(file: &KeyFile) -> Result<u32, ConfigError> {
    let level = number(file, "archive", "zlib-level", "archive.zlib-level")?.unwrap_or(6);
    u32::try_from(level)
        .ok()
        .filter(|level| *level <= 9)
        .ok_or_else(|| ConfigError::Value {
            key: "archive.zlib-level",
            value: level.to_string(),
            expected: "between 0 and 9",
        })
}

/// `min-free-space-size` goes before `min-free-space-percent`, whose default is 3.
fn reserve(file: &KeyFile) -> Result<Reserve, ConfigError> {
    if let Some(value) = file.get("core", "min-free-space-size") {
        let bytes = size(&value).map(Reserve::Bytes);
        return bytes.ok_or(ConfigError::FreeSpace(value));
    }
    let percent = number(
        file,
        "core",
        "min-free-space-percent",
        "core.min-free-space-percent",
    )?;
    match percent.unwrap_or(3) {
        percent @ 0..=99 => Ok(Reserve::Percent(percent)),
        percent => Err(ConfigError::Value {
            key: "core.min-free-space-percent",
            value: percent.to_string(),
            expected: "between 0 and 99",
        }),
    }
}

fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let units = [("MB", 20u32), ("GB", 30), ("TB", 40)];
    let (digits, shift) = units
        .iter()
        .find_map(|(unit, shift)| text.strip_suffix(unit).map(|d| (d, *shift)))?;
    digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_manual_page() {
        let config = RepoConfig::from_bytes(b"[core]\nrepo_version=1\nmode=archive-z2\n").unwrap();
        assert_eq!(config.mode, RepoMode::Archive);
        assert_eq!(config.reserve, Reserve::Percent(3));
        assert!(config.fsync && config.locking);
        assert_eq!(config.zlib_level, 6);
    }

    #[test]
    fn verity_follows_composefs_and_the_older_group() {
        let with = |lines: &str| {
            let text = format!("[core]\nrepo_version=1\n{lines}\n");
            RepoConfig::from_bytes(text.as_bytes()).map(|config| config.fsverity)
        };
        let wanted = [
            ("", Wanted::No),
            ("[ex-integrity]\ncomposefs=yes", Wanted::Maybe),
            ("[ex-integrity]\ncomposefs=yes\nfsverity=no", Wanted::No),
            ("[ex-integrity]\nfsverity=yes", Wanted::Yes),
            ("[ex-fsverity]\nrequired=true", Wanted::Yes),
            ("[ex-fsverity]\nopportunistic=true", Wanted::Maybe),
        ];
        for (lines, expected) in wanted {
            assert_eq!(with(lines).unwrap(), expected, "{lines}");
        }
        let bad = with("[ex-integrity]\nfsverity=perhaps");
        assert!(matches!(bad, Err(ConfigError::Value { .. })), "{bad:?}");
    }

    #[test]
    fn sizes_and_refusals() {
        let with = |line: &str| {
            RepoConfig::from_bytes(format!("[core]\nrepo_version=1\n{line}\n").as_bytes())
        };
        assert_eq!(
            with("min-free-space-size=500MB").unwrap().reserve,
            Reserve::Bytes(500 << 20)
        );
        assert_eq!(
            with("min-free-space-percent=0").unwrap().reserve,
            Reserve::Percent(0)
        );
        let bad = with("min-free-space-size=5");
        assert!(matches!(bad, Err(ConfigError::FreeSpace(_))), "{bad:?}");
        for bad in ["min-free-space-percent=100", "mode=odd"] {
            assert!(matches!(with(bad), Err(ConfigError::Value { .. })), "{bad}");
        }
        assert!(matches!(
            RepoConfig::from_bytes(b"[core]\n"),
            Err(ConfigError::Version(_))
        ));
    }
}
