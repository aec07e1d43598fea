//! `bootroot ostree static-delta generate`

use std::io::Write;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use error_class::{Classified, ErrorClass};
use ostree::{DeltaOptions, DeltaStats, Repo};
use signature::Signer;
use static_delta::{DeltaName, Superblock};

use super::super::sizes::human;
use super::keys;
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::place::open_dir;

/// Make a static delta
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Start from this commit [default: the parent of TO]
    #[arg(long, value_name = "REV")]
    from: Option<String>,
    /// Start from nothing
    #[arg(long)]
    empty: bool,
    /// Put the parts into the main file
    #[arg(long)]
    inline: bool,
    /// The commit it leads to
    #[arg(long = "to", value_name = "REV")]
    to_option: Option<String>,
    /// Make no patches of changed files
    #[arg(long)]
    disable_bsdiff: bool,
    /// Do nothing if there is one already
    #[arg(short = 'n', long)]
    if_not_exists: bool,
    /// Byte order of the metadata
    #[arg(long, value_name = "ENDIAN")]
    set_endianness: Option<Endian>,
    /// Use the byte order that this machine does not have
    #[arg(long)]
    swap_endianness: bool,
    /// Leave files above so many megabytes to be fetched by themselves; 0 for none [default: 4]
    #[arg(long, value_name = "MB")]
    min_fallback_size: Option<u32>,
    /// Make patches of files up to so many megabytes, old and new together [default: 128]
    #[arg(long, value_name = "MB")]
    max_bsdiff_size: Option<u32>,
    /// Make parts of up to so many megabytes [default: 32]
    #[arg(long, value_name = "MB")]
    max_chunk_size: Option<u32>,
    /// Write the delta to this file, and its parts beside it, rather than into the repository
    #[arg(long, value_name = "PATH")]
    filename: Option<PathBuf>,
    /// Sign with this secret key
    #[arg(long, value_name = "KEY_ID")]
    sign: Vec<String>,
    /// Type of the signatures: ed25519, spki or dummy
    #[arg(long, value_name = "NAME", default_value = "ed25519")]
    sign_type: String,
    /// Sign with the secret keys in this file
    #[arg(long, value_name = "FILE")]
    keys_file: Option<PathBuf>,
    /// The commit it leads to
    to: Option<String>,
}

/// Byte orders, as `ostree` calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Endian {
    /// Little
    #[value(name = "l")]
    Little,
    /// Big
    #[value(name = "B")]
    Big,
}

/// Options that do not go together.
#[derive(Debug, thiserror::Error)]
enum GenerateError {
    #[error("TO revision must be specified")]
    NoTarget,
    #[error("Cannot specify both --empty and --from=REV")]
    EmptyAndFrom,
    #[error("Invalid 'filename' parameter {0:?}")]
    NoFileName(PathBuf),
}

impl Classified for GenerateError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Generate {
    pub(crate) fn run(self, repo: &Repo, context: &Context) -> Result<Exit, Failure> {
        let name = self.name(repo)?;
        let mut out = context.results();
        if self.if_not_exists && repo.has_delta(&name) {
            writeln!(out, "Delta {name} already exists.")?;
            out.finish()?;
            return Ok(Exit::Done);
        }
        let signers = self.signers(context)?;
        writeln!(out, "Generating static delta:")?;
        match name.from {
            Some(from) => writeln!(out, "  From: {from}")?,
            None => writeln!(out, "  From: empty")?,
        }
        writeln!(out, "  To:   {}", name.to)?;
        out.finish()?;
        let (dir, file) = match &self.filename {
            None => (repo.create_delta_dir(&name)?, Path::new("superblock")),
            Some(path) => {
                let file = path.file_name().map(Path::new);
                let file = file.ok_or_else(|| GenerateError::NoFileName(path.clone()))?;
                (
                    open_dir("the directory of --filename", super::parent(path))?,
                    file,
                )
            }
        };
        let now = environment::now();
        let delta =
            repo.generate_delta(name, &self.options(), dir.as_fd(), now, context.interrupt())?;
        tell(&delta.superblock, &delta.stats)?;
        let signed = keys::sign(delta.superblock.to_bytes()?, &signers)?;
        delta.publish(file, &signed)?;
        Ok(Exit::Done)
    }

    fn signers(&self, context: &Context) -> Result<Vec<Signer>, Failure> {
        let stores = context.place().key_stores()?;
        keys::signers(
            &self.sign_type,
            &self.sign,
            self.keys_file.as_ref(),
            &stores,
        )
    }

    fn name(&self, repo: &Repo) -> Result<DeltaName, Failure> {
        let to = self.to_option.as_ref().or(self.to.as_ref());
        let to = to.ok_or(GenerateError::NoTarget)?;
        let from = match (&self.from, self.empty) {
            (Some(_), true) => return Err(GenerateError::EmptyAndFrom.into()),
            (None, true) => None,
            (Some(from), false) => Some(repo.resolve(from)?),
            (None, false) => Some(repo.resolve(&format!("{to}^"))?),
        };
        let to = repo.resolve(to)?;
        Ok(DeltaName { from, to })
    }

    fn options(&self) -> DeltaOptions {
        let mut options = DeltaOptions::default();
        let megabytes = |size: u32| u64::from(size) * 1_000_000;
        if let Some(size) = self.min_fallback_size {
            options.min_fallback_size = megabytes(size);
        }
        if let Some(size) = self.max_bsdiff_size {
            options.max_patch_size = megabytes(size);
        }
        if let Some(size) = self.max_chunk_size {
            options.max_part_size = megabytes(size);
        }
        options.patches = !self.disable_bsdiff;
        options.inline = self.inline;
        let native = if cfg!(target_endian = "big") {
            Endian::Big
        } else {
            Endian::Little
        };
        let order = self.set_endianness.unwrap_or(native);
        options.big_endian = (order == Endian::Big) != self.swap_endianness;
        options
    }
}

/// What the delta came to, on standard error, in lines that scripts look for.
fn tell(delta: &Superblock, stats: &DeltaStats) -> std::io::Result<()> {
    let mut err = anstream::stderr().lock();
    writeln!(err, "modified: {}", stats.modified)?;
    writeln!(
        err,
        "new reachable: metadata={} content regular={} symlink={}",
        stats.metadata, stats.regular, stats.symlinks
    )?;
    writeln!(
        err,
        "rollsum for {}/{} modified",
        stats.matched, stats.modified
    )?;
    for fallback in &delta.fallbacks {
        let (object, size) = (fallback.object.checksum, human(fallback.unpacked_size));
        writeln!(err, "fallback for {object} ({size})")?;
    }
    let (mut packed, mut unpacked) = (0, 0);
    for (index, part) in delta.parts.iter().enumerate() {
        let (objects, size) = (part.objects.len(), part.size);
        packed += size;
        unpacked += part.unpacked_size;
        writeln!(
            err,
            "part {} n:{objects} compressed:{size} uncompressed:{}",
            index + 1,
            part.unpacked_size
        )?;
    }
    let loose = stats.loose_size;
    writeln!(
        err,
        "uncompressed={unpacked} compressed={packed} loose={loose}"
    )?;
    writeln!(
        err,
        "rollsum={} objects, {} bytes",
        stats.matched, stats.matched_bytes
    )?;
    writeln!(err, "bsdiff={} objects", stats.patched)
}
