//! containers-storage.conf(5), as far as it says where images are.

use std::path::PathBuf;

use serde::Deserialize;

/// The driver whose directories are understood here.
pub const OVERLAY: &str = "overlay";
const GRAPH_ROOT: &str = "/var/lib/containers/storage";

/// Where images are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The driver that keeps them.
    pub driver: String,
    /// The storage that is written to by others.
    pub graph_root: PathBuf,
    /// Storages that are only read.
    pub additional: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
struct File {
    #[serde(default)]
    storage: Table,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Table {
    driver: String,
    graphroot: PathBuf,
    options: Options,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    additionalimagestores: Vec<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            driver: OVERLAY.to_owned(),
            graph_root: GRAPH_ROOT.into(),
            additional: Vec::new(),
        }
    }
}

impl Config {
    /// What the system's file says; none when it cannot be understood.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let table = toml::from_str::<File>(text).ok()?.storage;
        let default = Self::default();
        let or = |given: String, default: String| if given.is_empty() { default } else { given };
        Some(Self {
            driver: or(table.driver, default.driver),
            graph_root: Some(table.graphroot)
                .filter(|path| !path.as_os_str().is_empty())
                .unwrap_or(default.graph_root),
            additional: table.options.additionalimagestores,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_where_images_are() {
        let text = "[storage]\ndriver = 'overlay'\ngraphroot = '/srv/images'\nrunroot = '/run/x'\n\
                    [storage.options]\nadditionalimagestores = ['/usr/lib/images']\n\
                    [storage.options.overlay]\nmountopt = 'nodev'\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.graph_root, PathBuf::from("/srv/images"));
        assert_eq!(config.additional, [PathBuf::from("/usr/lib/images")]);
        assert_eq!(Config::parse(""), Some(Config::default()));
        assert_eq!(Config::parse("[storage"), None);
        let other = Config::parse("[storage]\ndriver = 'btrfs'\n").unwrap();
        assert_eq!(other.driver, "btrfs");
    }
}
