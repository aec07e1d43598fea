//! `etc/selinux/config`: whether a tree has SELinux, and where its policy is.
//!
//! The reading is that of libostree (`ostree-sepolicy.c`), because its labels are the ones to
//! reproduce: keys stand at the start of the line, `SELINUX=enforcing` or `permissive` anywhere
//! switches labelling on, and the last `SELINUXTYPE=` counts.

use error_class::{Classified, ErrorClass};

/// Where SELinux keeps its configuration in a commit, relative to the root.
const DIRECTORY: &str = "usr/etc/selinux";

/// What `etc/selinux/config` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The mode a system booted from this tree would start in.
    pub mode: Mode,
    /// The policy's name, such as `targeted`; a single path component.
    pub policy_type: Option<String>,
}

/// The mode of SELinux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Policy is enforced.
    Enforcing,
    /// Violations are only logged; files are labelled all the same.
    Permissive,
    /// No policy is loaded; files are not labelled.
    Disabled,
}

/// An `etc/selinux/config` that cannot be used. Parsing has no effects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A line is not UTF-8.
    #[error("selinux/config line {line} is not UTF-8")]
    Encoding {
        /// The line, counted from 1.
        line: usize,
    },
    /// The policy's name is not a single path component.
    #[error("selinux/config line {line}: `{name}` cannot be a policy's name")]
    PolicyType {
        /// The line, counted from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// SELinux is switched on, but there is no `SELINUXTYPE=`.
    #[error("selinux/config switches SELinux on but names no policy (SELINUXTYPE=)")]
    MissingPolicyType,
}

impl Classified for ConfigError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// Where the files of a policy are, relative to the root of the tree.
///
/// Only [`file_contexts`](Self::file_contexts) has to exist. libostree also refuses to label with a
/// policy whose directory [`binary_policy`](Self::binary_policy) holds no file `policy.<version>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFiles {
    /// The specifications.
    pub file_contexts: String,
    /// Generated specifications for home directories.
    pub homedirs: String,
    /// The administrator's specifications.
    pub local: String,
    /// The administrator's substitutions.
    pub subs: String,
    /// The distribution's substitutions.
    pub subs_dist: String,
    /// The directory of the compiled policy.
    pub binary_policy: String,
}

impl Config {
    /// Where the configuration is, relative to the root of the tree.
    pub const PATH: &'static str = "usr/etc/selinux/config";

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// A line that is not UTF-8, an unusable policy name, or none where one is needed.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        let mut config = Self {
            mode: Mode::Disabled,
            policy_type: None,
        };
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            config.read_line(index.saturating_add(1), line)?;
        }
        if config.mode != Mode::Disabled && config.policy_type.is_none() {
            return Err(ConfigError::MissingPolicyType);
        }
        Ok(config)
    }

    /// Where the policy is; `None` when files of this tree are not to be labelled.
    #[must_use]
    pub fn policy_files(&self) -> Option<PolicyFiles> {
        let name = self
            .policy_type
            .as_ref()
            .filter(|_| self.mode != Mode::Disabled)?;
        let base = format!("{DIRECTORY}/{name}/contexts/files/file_contexts");
        Some(PolicyFiles {
            homedirs: format!("{base}.homedirs"),
            local: format!("{base}.local"),
            subs: format!("{base}.subs"),
            subs_dist: format!("{base}.subs_dist"),
            file_contexts: base,
            binary_policy: format!("{DIRECTORY}/{name}/policy"),
        })
    }

    fn read_line(&mut self, line: usize, bytes: &[u8]) -> Result<(), ConfigError> {
        let text = str::from_utf8(bytes).map_err(|_| ConfigError::Encoding { line })?;
        if let Some(name) = text.strip_prefix("SELINUXTYPE=") {
            self.policy_type = Some(policy_type(line, name.trim_ascii())?);
        } else if let Some(mode) = text.strip_prefix("SELINUX=").and_then(mode) {
            self.mode = mode;
        }
        Ok(())
    }
}

/// The mode that switches labelling on; anything else changes nothing.
fn mode(value: &str) -> Option<Mode> {
    let value = value.to_ascii_lowercase();
    if value.starts_with("enforcing") {
        Some(Mode::Enforcing)
    } else if value.starts_with("permissive") {
        Some(Mode::Permissive)
    } else {
        None
    }
}

fn policy_type(line: usize, name: &str) -> Result<String, ConfigError> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(ConfigError::PolicyType {
            line,
            name: name.to_owned(),
        });
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_one() -> Result<(), ConfigError> {
        let config = Config::parse(
            b"# SELINUX= can take\nSELINUX=enforcing\n# SELINUXTYPE=\nSELINUXTYPE=targeted \r\n",
        )?;
        assert_eq!(config.mode, Mode::Enforcing);
        let files = config.policy_files();
        assert_eq!(
            files.map(|files| files.subs_dist).as_deref(),
            Some("usr/etc/selinux/targeted/contexts/files/file_contexts.subs_dist")
        );
        Ok(())
    }

    #[test]
    fn libostree_reading() -> Result<(), ConfigError> {
        let on =
            Config::parse(b"SELINUX=Permissive\nSELINUX=disabled\nSELINUXTYPE=a\nSELINUXTYPE=b")?;
        assert_eq!(
            (on.mode, on.policy_type.as_deref()),
            (Mode::Permissive, Some("b"))
        );
        let off = Config::parse(b" SELINUX=enforcing\nSELINUXTYPE=targeted\n")?;
        assert_eq!(off.mode, Mode::Disabled);
        assert_eq!(off.policy_files(), None);
        assert_eq!(Config::parse(b"")?.policy_files(), None);
        Ok(())
    }

    #[test]
    fn refused() {
        let refused = |bytes: &[u8]| Config::parse(bytes).err();
        assert_eq!(
            refused(b"SELINUX=enforcing\n"),
            Some(ConfigError::MissingPolicyType)
        );
        assert_eq!(
            refused(b"\nSELINUXTYPE=../x\n"),
            Some(ConfigError::PolicyType {
                line: 2,
                name: "../x".into()
            })
        );
        assert_eq!(refused(b"\xff\n"), Some(ConfigError::Encoding { line: 1 }));
    }
}
