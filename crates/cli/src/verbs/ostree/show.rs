//! `bootroot ostree show`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::DateTime;
use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::Repo;
use ostree_format::gvariant::{self, Type, Value};
use ostree_format::{Checksum, Commit, FileHeader, Hasher, Metadata, ObjectKind, ObjectName};

use super::signatures::{self, HomeOption};
use super::{ls, sizes, variant};
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::results::Results;

/// Show a commit, or another metadata object
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Show the "related" commits
    #[arg(long, group = "what")]
    print_related: bool,
    /// Print the value of KEY of the metadata
    #[arg(long, value_name = "KEY", group = "what")]
    print_metadata_key: Option<String>,
    /// List the keys of the metadata
    #[arg(long, group = "what")]
    list_metadata_keys: bool,
    /// Print the value of KEY of the detached metadata
    #[arg(long, value_name = "KEY", group = "what")]
    print_detached_metadata_key: Option<String>,
    /// List the keys of the detached metadata
    #[arg(long, group = "what")]
    list_detached_metadata_keys: bool,
    /// Show the sizes that the commit notes
    #[arg(long, group = "what")]
    print_sizes: bool,
    /// Print a file as a value of the GVariant type TYPE
    #[arg(long, value_name = "TYPE", group = "what")]
    print_variant_type: Option<Type>,
    /// Print a value that is bytes as plain hexadecimal digits
    #[arg(long)]
    print_hex: bool,
    /// Print the stored values as they are
    #[arg(long)]
    raw: bool,
    /// Print numbers in the byte order in which they are stored
    #[arg(short = 'B', long)]
    no_byteswap: bool,
    #[command(flatten)]
    home: HomeOption,
    /// Verify GPG signatures with the keys of this remote
    #[arg(long, value_name = "REMOTE")]
    gpg_verify_remote: Option<String>,
    /// A commit, or the checksum of any object; with --print-variant-type, the path of a file
    object: String,
}

/// Why an object could not be shown.
#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error("the repository has no object {0}")]
    NoObject(Checksum),
    #[error("no such metadata key '{0}'")]
    NoKey(String),
    #[error("no detached metadata for commit {0}")]
    NoDetached(Checksum),
    #[error("object {name} is damaged")]
    Damaged {
        name: ObjectName,
        source: gvariant::Error,
    },
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is no value of the type {of}", path.display())]
    NoValue {
        path: PathBuf,
        of: Type,
        source: gvariant::Error,
    },
    #[error("commit {commit} is damaged: its timestamp {seconds} is no date")]
    NoDate { commit: Checksum, seconds: u64 },
}

impl Classified for ShowError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoObject(_) | Self::NoKey(_) | Self::NoDetached(_) => ErrorClass::NotFound,
            Self::Damaged { .. } | Self::NoDate { .. } => ErrorClass::Corrupt,
            Self::NoValue { .. } => ErrorClass::InvalidInput,
            Self::File { source, .. } => source.class(),
        }
    }
}

impl Show {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let mut out = context.results();
        if self.print_related {
            self.related(&repo, &mut out)?;
        } else if let Some(of) = &self.print_variant_type {
            // As with `ostree`, whatever --no-byteswap says.
            let value = variant::byteswapped(&file(of, Path::new(&self.object))?);
            writeln!(out, "{}", variant::annotated(&value))?;
        } else if self.print_sizes {
            let id = repo.resolve(&self.object)?;
            sizes::print(&repo, id, &repo.load_commit(&id)?, &mut out)?;
        } else if let Some(key) = self
            .print_metadata_key
            .as_ref()
            .or(self.print_detached_metadata_key.as_ref())
        {
            self.key(&self.metadata(&repo)?, key, &mut out)?;
        } else if self.list_metadata_keys || self.list_detached_metadata_keys {
            list_keys(&self.metadata(&repo)?, &mut out)?;
        } else {
            self.object(context, &repo, &mut out)?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }

    fn related(&self, repo: &Repo, out: &mut Results) -> Result<(), Failure> {
        let commit = repo.load_commit(&repo.resolve(&self.object)?)?;
        for (name, related) in &commit.related {
            writeln!(out, "{name} {related}")?;
        }
        Ok(())
    }

    /// The metadata that is meant: that of the commit or that beside it.
    fn metadata(&self, repo: &Repo) -> Result<Metadata, Failure> {
        let id = repo.resolve(&self.object)?;
        let detached =
            self.list_detached_metadata_keys || self.print_detached_metadata_key.is_some();
        if detached {
            Ok(repo
                .load_detached_metadata(&id)?
                .ok_or(ShowError::NoDetached(id))?)
        } else {
            Ok(repo.load_commit(&id)?.metadata)
        }
    }

    fn key(&self, metadata: &Metadata, key: &str, out: &mut Results) -> Result<(), Failure> {
        let value = metadata
            .get(key)
            .ok_or_else(|| ShowError::NoKey(key.to_owned()))?;
        match value.as_bytes().filter(|_| self.print_hex) {
            Some(bytes) => writeln!(out, "{}", hex(bytes))?,
            None => writeln!(out, "{}", self.form().text(value))?,
        }
        Ok(())
    }

    /// Shows a commit by any of its names, or any object by its checksum.
    fn object(&self, context: &Context, repo: &Repo, out: &mut Results) -> Result<(), Failure> {
        let Ok(id) = self.object.parse::<Checksum>() else {
            let id = repo.resolve(&self.object)?;
            repo.load_commit(&id)?;
            metadata_object(
                repo,
                ObjectName::new(id, ObjectKind::Commit),
                self.form(),
                out,
            )?;
            return self.signatures(context, repo, id, out);
        };
        for kind in [ObjectKind::Commit, ObjectKind::DirMeta, ObjectKind::DirTree] {
            if metadata_object(repo, ObjectName::new(id, kind), self.form(), out)? {
                return match kind {
                    ObjectKind::Commit => self.signatures(context, repo, id, out),
                    _ => Ok(()),
                };
            }
        }
        if !repo.has_object(&ObjectName::new(id, ObjectKind::File))? {
            return Err(ShowError::NoObject(id).into());
        }
        content_object(repo, id, out)
    }

    /// The verdicts on the commit's GPG signatures, if it has any.
    fn signatures(
        &self,
        context: &Context,
        repo: &Repo,
        id: Checksum,
        out: &mut Results,
    ) -> Result<(), Failure> {
        let Some(metadata) = repo.load_detached_metadata(&id)? else {
            return Ok(());
        };
        let stores = context.place().key_stores()?;
        let keyring = match &self.gpg_verify_remote {
            Some(remote) => trust::trusted_keys(repo, remote, &stores)?,
            None => {
                let mut keyring = trust::keys_of_all(repo, &stores)?;
                self.home.add_keys(&mut keyring)?;
                keyring
            }
        };
        let data = trust::commit_bytes(repo, &id)?;
        match signatures::verdicts(&data, &metadata, &keyring)? {
            Some(found) => signatures::show(&found, out),
            None => Ok(()),
        }
    }

    fn form(&self) -> Form {
        Form {
            raw: self.raw,
            byteswap: !self.no_byteswap,
        }
    }
}

/// A file as a value, whatever it is in the repository.
fn file(of: &Type, path: &Path) -> Result<Value, ShowError> {
    let bytes = std::fs::read(path).map_err(|source| ShowError::File {
        path: path.to_owned(),
        source,
    })?;
    Value::from_bytes_lenient(of, &bytes).map_err(|source| ShowError::NoValue {
        path: path.to_owned(),
        of: of.clone(),
        source,
    })
}

/// How metadata objects are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// As a variant, not for people.
    pub(super) raw: bool,
    /// With numbers in the other byte order.
    pub(super) byteswap: bool,
}

impl Form {
    fn text(self, value: &Value) -> String {
        if self.byteswap {
            variant::annotated(&variant::byteswapped(value))
        } else {
            variant::annotated(value)
        }
    }
}

/// Shows a metadata object; `false` when it is not stored.
pub(super) fn metadata_object(
    repo: &Repo,
    name: ObjectName,
    form: Form,
    out: &mut Results,
) -> Result<bool, Failure> {
    let Some(bytes) = repo.load_bytes(&name)? else {
        return Ok(false);
    };
    writeln!(out, "{} {}", name.kind, name.checksum)?;
    if form.raw || !form.byteswap {
        let of: Type = type_of(name.kind).parse().expect("a type of the format");
        let value = Value::from_bytes_lenient(&of, &bytes)
            .map_err(|source| ShowError::Damaged { name, source })?;
        writeln!(out, "{}", form.text(&value))?;
    }
    if name.kind == ObjectKind::Commit && (!form.byteswap || !form.raw) {
        show_commit(&repo.load_commit(&name.checksum)?, name.checksum, out)?;
    }
    Ok(true)
}

/// The GVariant type of a metadata object.
fn type_of(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::DirTree => "(a(say)a(sayay))",
        ObjectKind::DirMeta => "(uuua(ayay))",
        _ => "(a{sv}aya(say)sstayay)",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list_keys(metadata: &Metadata, out: &mut Results) -> Result<(), Failure> {
    let mut keys: Vec<&str> = metadata.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    for key in keys {
        writeln!(out, "{key}")?;
    }
    Ok(())
}

fn show_commit(commit: &Commit, id: Checksum, out: &mut Results) -> Result<(), Failure> {
    if let Some(parent) = &commit.parent {
        writeln!(out, "Parent:  {parent}")?;
    }
    writeln!(out, "ContentChecksum:  {}", content_checksum(commit))?;
    writeln!(out, "Date:  {}", date(commit, id)?)?;
    if let Some(version) = commit.metadata.get_str("version") {
        writeln!(out, "Version: {version}")?;
    }
    if commit.subject.is_empty() {
        writeln!(out, "(no subject)")?;
    } else {
        writeln!(out)?;
        indented(&commit.subject, out)?;
    }
    if !commit.body.is_empty() {
        writeln!(out)?;
        indented(&commit.body, out)?;
    }
    writeln!(out)?;
    Ok(())
}

/// What identifies the tree whatever the commit says about it: the digest of its two checksums.
fn content_checksum(commit: &Commit) -> Checksum {
    let mut hasher = Hasher::new();
    hasher.update(commit.contents.as_bytes());
    hasher.update(commit.meta.as_bytes());
    hasher.finish()
}

fn date(commit: &Commit, id: Checksum) -> Result<String, ShowError> {
    let seconds = commit.timestamp;
    let date = DateTime::from_timestamp(seconds.cast_signed(), 0);
    let date = date.ok_or(ShowError::NoDate {
        commit: id,
        seconds,
    })?;
    Ok(date.format("%Y-%m-%d %H:%M:%S +0000").to_string())
}

fn indented(text: &str, out: &mut Results) -> Result<(), Failure> {
    for line in text.lines() {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}

fn content_object(repo: &Repo, id: Checksum, out: &mut Results) -> Result<(), Failure> {
    let file = repo.open_file(&id)?;
    let FileHeader {
        uid,
        gid,
        mode,
        xattrs,
        symlink,
    } = &file.header;
    writeln!(out, "Object: {id}\nType: file")?;
    match symlink {
        Some(target) => writeln!(out, "File Type: symlink\nTarget: {target}")?,
        None => writeln!(out, "File Type: regular\nSize: {}", file.size)?,
    }
    let xattrs = variant::annotated(&ls::xattrs_value(xattrs));
    writeln!(
        out,
        "Mode: 0{mode:04o}\nUid: {uid}\nGid: {gid}\nExtended Attributes: {{ {xattrs} }}"
    )?;
    Ok(())
}
