//! SELinux labels from a policy's file_contexts.
//!
//! Bytes in, labels out: the caller reads the policy's files (from a commit, a tree in memory, a
//! directory) and hands them to [`Policy::parse`]; [`Policy::label`] then answers what libselinux's
//! `selabel_lookup` answers for the same files, from any number of threads. [`Config`] reads
//! `etc/selinux/config` and says where in the tree the files are.
//!
//! The format is that of `file_contexts(5)` and `selabel_file(5)`. Where generations of libselinux
//! disagree, this crate follows 3.11; `tests/answers.rs` lists the few places where it keeps to the
//! documented rule ("the last match wins") and 3.11 does not.

mod config;
mod dialect;
mod kind;
mod literal;
mod pattern;
mod policy;
mod sources;
mod spec;
mod subs;

pub use config::{Config, ConfigError, Mode, PolicyFiles};
pub use kind::FileKind;
pub use policy::{Policy, SELINUX_XATTR, xattr_value};
pub use sources::{FileContextSources, SourceFile};
pub use spec::{ParseError, Problem};
