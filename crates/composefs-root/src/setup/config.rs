//! The configuration file of roots: which parts of a root are kept, and which are forgotten.

use error_class::{Classified, ErrorClass};
use serde::Deserialize;

/// Where what stands in a directory of the root comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// The image: nothing is mounted.
    #[serde(alias = "root")]
    None,
    /// The directory in the deployment's state.
    Bind,
    /// The image, with what is changed kept in the deployment's state.
    Overlay,
    /// The image, with what is changed kept in memory.
    #[serde(alias = "volatile")]
    Transient,
}

/// The configuration file, `setup-root-conf.toml`.
///
/// Source: the program of the same purpose of bootc, whose file this is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SetupConfig {
    root: Transient,
    etc: Mount,
    var: Mount,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Transient {
    transient: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Mount {
    mount: Option<MountKind>,
    transient: bool,
}

impl Mount {
    fn kind(&self) -> MountKind {
        match (self.mount, self.transient) {
            (Some(kind), _) => kind,
            (None, true) => MountKind::Transient,
            (None, false) => MountKind::Bind,
        }
    }

    fn is_said(&self) -> bool {
        self.mount.is_some() || self.transient
    }
}

/// The file cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the configuration of the root cannot be read: {0}")]
pub struct SetupConfigError(#[from] toml::de::Error);

impl Classified for SetupConfigError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl SetupConfig {
    /// Read the file.
    ///
    /// # Errors
    /// [`SetupConfigError`] with the line.
    pub fn parse(text: &str) -> Result<Self, SetupConfigError> {
        Ok(toml::from_str(text)?)
    }

    /// Leave `/var` to systemd where the kernel arguments say that it forgets it (`systemd.volatile=`), unless
    /// the file says something else.
    #[must_use]
    pub fn with_volatile(mut self, volatile: Option<&str>) -> Self {
        if matches!(volatile, Some("state" | "overlay")) && !self.var.is_said() {
            self.var.mount = Some(MountKind::None);
        }
        self
    }

    /// Whether everything may be changed until the next boot.
    #[must_use]
    pub const fn root_is_transient(&self) -> bool {
        self.root.transient
    }

    /// Where `/etc` comes from.
    #[must_use]
    pub fn etc(&self) -> MountKind {
        self.etc.kind()
    }

    /// Where `/var` comes from.
    #[must_use]
    pub fn var(&self) -> MountKind {
        self.var.kind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> SetupConfig {
        SetupConfig::parse(text).unwrap()
    }

    #[test]
    fn what_is_not_said_is_kept() {
        let config = parsed("");
        assert!(!config.root_is_transient());
        assert_eq!(
            (config.etc(), config.var()),
            (MountKind::Bind, MountKind::Bind)
        );
        let config = parsed("[root]\ntransient = true\n[future]\nx = 1\n");
        assert!(config.root_is_transient());
    }

    #[test]
    fn words_and_their_other_names() {
        for (text, kind) in [
            ("mount = \"none\"", MountKind::None),
            ("mount = \"root\"", MountKind::None),
            ("mount = \"bind\"", MountKind::Bind),
            ("mount = \"overlay\"", MountKind::Overlay),
            ("mount = \"volatile\"", MountKind::Transient),
            ("transient = true", MountKind::Transient),
            ("mount = \"bind\"\ntransient = true", MountKind::Bind),
        ] {
            assert_eq!(parsed(&format!("[etc]\n{text}\n")).etc(), kind, "{text}");
        }
        let error = SetupConfig::parse("[etc]\nmount = \"sometimes\"\n").unwrap_err();
        assert!(error.to_string().contains("sometimes"), "{error}");
    }

    #[test]
    fn var_is_left_to_systemd_unless_the_file_says_something() {
        let var = |text: &str, volatile| parsed(text).with_volatile(volatile).var();
        assert_eq!(var("", Some("state")), MountKind::None);
        assert_eq!(var("", Some("no")), MountKind::Bind);
        assert_eq!(var("", None), MountKind::Bind);
        let said = "[var]\nmount = \"overlay\"";
        assert_eq!(var(said, Some("state")), MountKind::Overlay);
    }
}
