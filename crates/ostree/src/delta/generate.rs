//! Making a static delta.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use durable::{IoContext as _, LockError, crash_point};
use error_class::{Classified, ErrorClass};
use ostree_format::{Checksum, FileHeader, ObjectKind, ObjectName};
use progress::{Interrupt, Interrupted};
use static_delta::rollsum::{self, Match};
use static_delta::similar::{Candidate, similar};
use static_delta::{
    DeltaError, DeltaFile, DeltaName, Endianness, Fallback, PartBuilder, PartHeader, Superblock,
    bspatch,
};

use super::contents::Contents;
use super::packing::Packing;
use crate::repo::open_dir;
use crate::{ReadError, Repo};

/// Files above this size are not searched for equal stretches, which needs both in memory.
const MAX_ROLLSUM: u64 = 1 << 30;
/// Of files that have not more bytes than this, old and new together, a patch costs little time and is always
/// the smallest.
const SMALL: u64 = 8_000_000;
/// So much of a file, in percent, must be in the old one for it to be made of pieces of that.
const ENOUGH: u64 = 50;

/// Choices of making a static delta.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeltaOptions {
    /// Files above so many bytes are left to be fetched by themselves; 0 for none.
    pub min_fallback_size: u64,
    /// Old and new file together may have so many bytes for a patch to be made.
    pub max_patch_size: u64,
    /// Whether patches are made at all.
    pub patches: bool,
    /// A part has about so many bytes before it is packed.
    pub max_part_size: u64,
    /// Put the parts into the superblock.
    pub inline: bool,
    /// Byte order of the lists in the superblock.
    pub big_endian: bool,
}

impl Default for DeltaOptions {
    /// As libostree: fallback above 4 MB, patches up to 128 MB, parts of 32 MB.
    fn default() -> Self {
        Self {
            min_fallback_size: 4_000_000,
            max_patch_size: 128_000_000,
            patches: true,
            max_part_size: 32_000_000,
            inline: false,
            big_endian: false,
        }
    }
}

/// What a static delta came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeltaStats {
    /// Metadata objects that are new.
    pub metadata: usize,
    /// Regular files that are new.
    pub regular: usize,
    /// Symbolic links that are new.
    pub symlinks: usize,
    /// New files that resemble old ones.
    pub modified: usize,
    /// New files that are made of pieces of old ones ...
    pub matched: usize,
    /// ... and bytes that need not be in the delta for that.
    pub matched_bytes: u64,
    /// New files that are made by patches.
    pub patched: usize,
    /// Bytes that the new objects take in this repository.
    pub loose_size: u64,
}

/// Why no static delta was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaMakeError {
    /// It cannot be encoded.
    #[error(transparent)]
    Format(#[from] DeltaError),
    /// An object of one of the commits cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Somebody prunes the repository.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for DeltaMakeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Format(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Lock(error) => error.class(),
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// A static delta whose parts are written, but not yet under their names.
#[derive(Debug)]
pub struct NewDelta<'d> {
    dir: BorrowedFd<'d>,
    /// Files of parts that are to be named.
    files: usize,
    /// The superblock: the bytes to be signed are its [`Superblock::to_bytes`].
    pub superblock: Superblock,
    /// How it came about.
    pub stats: DeltaStats,
}

impl NewDelta<'_> {
    /// Give the parts their names, then write `file` as `name`. It replaces a delta that was there.
    ///
    /// # Errors
    /// What the system said; there may be no delta then, but never a mixture.
    pub fn publish(self, name: &Path, file: &DeltaFile) -> Result<(), durable::Error> {
        // A delta is its superblock: the old one goes before the old parts.
        durable::remove_all(self.dir, name)?;
        crash_point("delta:removed");
        for part in 0..self.files {
            let (from, to) = (unnamed(part), part.to_string());
            rustix::fs::renameat(self.dir, &from, self.dir, &to).during("name", &to)?;
        }
        crash_point("delta:parts-named");
        durable::publish(self.dir, name, &file.to_bytes(), 0o644)
    }
}

/// The file of a part until its superblock is written.
pub(super) fn unnamed(part: usize) -> String {
    format!("{part}.new")
}

impl Repo {
    /// The directory of a static delta, which is made when it is not there.
    ///
    /// # Errors
    /// What the system said.
    pub fn create_delta_dir(&self, name: &DeltaName) -> Result<OwnedFd, durable::Error> {
        let path = name.directory();
        durable::create_dir_all(self.dir(), Path::new(&path), 0o777)?;
        open_dir(self.dir(), Path::new(&path))
    }

    /// Make the static delta `name`, writing its parts into `dir`; `now` is in seconds since 1970 UTC.
    ///
    /// # Errors
    /// [`DeltaMakeError`]; a delta that is in `dir` already is untouched then.
    pub fn generate_delta<'d>(
        &self,
        name: DeltaName,
        options: &DeltaOptions,
        dir: BorrowedFd<'d>,
        now: u64,
        interrupt: &Interrupt,
    ) -> Result<NewDelta<'d>, DeltaMakeError> {
        let _lock = self.lock_shared()?;
        let object = ObjectName::new(name.to, ObjectKind::Commit);
        let commit = self
            .load_bytes(&object)?
            .ok_or(ReadError::Missing(object))?;
        let plan = Plan::new(self, &name, options, interrupt)?;
        let mut superblock = Superblock {
            metadata: ostree_format::Metadata::new(),
            timestamp: now,
            name,
            commit,
            dependencies: Vec::new(),
            parts: Vec::new(),
            fallbacks: plan.fallbacks.clone(),
            endianness: if options.big_endian {
                Endianness::Big
            } else {
                Endianness::Little
            },
        };
        let mut stats = plan.stats.clone();
        let parts = std::thread::scope(|scope| {
            let mut compiler = Compiler {
                repo: self,
                options,
                interrupt,
                part: PartBuilder::default(),
                packing: Packing::new(scope, dir, options.inline),
                loose_size: 0,
            };
            compiler.compile(&plan)?;
            stats.loose_size = compiler.loose_size;
            compiler.packing.finish()
        })?;
        let mut files = 0;
        for (index, (header, inline)) in parts.into_iter().enumerate() {
            match inline {
                Some(bytes) => superblock.set_inline_part(index, &bytes),
                None => files += 1,
            }
            superblock.parts.push(header);
        }
        if let Some(detached) = self.load_detached_metadata(&superblock.name.to)? {
            superblock.set_detached_metadata(&detached);
        }
        Ok(NewDelta {
            dir,
            files,
            superblock,
            stats,
        })
    }

    /// The whole content of a file.
    fn read_content(&self, checksum: &Checksum) -> Result<(FileHeader, Vec<u8>), ReadError> {
        let object = self.open_file(checksum)?;
        let mut bytes = Vec::new();
        // One byte more than there should be shows what is longer than it says.
        let mut content = object.content.take(object.size.saturating_add(1));
        content
            .read_to_end(&mut bytes)
            .during("read object", checksum.to_string())?;
        if bytes.len() as u64 != object.size {
            return Err(ReadError::BadContent {
                name: ObjectName::new(*checksum, ObjectKind::File),
                reason: "its content is longer or shorter than it says",
            });
        }
        Ok((object.header, bytes))
    }
}

/// How each new object gets into the delta.
struct Plan {
    metadata: Vec<ObjectName>,
    matched: BTreeMap<Checksum, (Checksum, Vec<Match>)>,
    patched: BTreeMap<Checksum, Checksum>,
    whole: Vec<Checksum>,
    symlinks: Vec<Checksum>,
    fallbacks: Vec<Fallback>,
    stats: DeltaStats,
}

impl Plan {
    fn new(
        repo: &Repo,
        name: &DeltaName,
        options: &DeltaOptions,
        interrupt: &Interrupt,
    ) -> Result<Self, DeltaMakeError> {
        let old = match &name.from {
            Some(from) => Contents::of(repo, from)?,
            None => Contents::default(),
        };
        let new = Contents::of(repo, &name.to)?;
        let mut plan = Self {
            metadata: new.metadata.difference(&old.metadata).copied().collect(),
            matched: BTreeMap::new(),
            patched: BTreeMap::new(),
            whole: Vec::new(),
            symlinks: Vec::new(),
            fallbacks: Vec::new(),
            stats: DeltaStats::default(),
        };
        let mut candidates = Vec::new();
        for (file, names) in new.files {
            if old.files.contains_key(&file) {
                continue;
            }
            match candidate(repo, file, names)? {
                Some(candidate) => candidates.push(candidate),
                None => plan.symlinks.push(file),
            }
        }
        plan.compare(repo, old, &candidates, options, interrupt)?;
        plan.fall_back(repo, &candidates, options)?;
        plan.stats.metadata = plan.metadata.len();
        plan.stats.regular = candidates.len();
        plan.stats.symlinks = plan.symlinks.len();
        plan.stats.matched = plan.matched.len();
        plan.stats.patched = plan.patched.len();
        Ok(plan)
    }

    /// Find what can be made of old files.
    fn compare(
        &mut self,
        repo: &Repo,
        old: Contents,
        new: &[Candidate],
        options: &DeltaOptions,
        interrupt: &Interrupt,
    ) -> Result<(), DeltaMakeError> {
        if new.is_empty() {
            return Ok(());
        }
        let mut candidates = Vec::new();
        for (file, names) in old.files {
            candidates.extend(candidate(repo, file, names)?);
        }
        let pairs = similar(&candidates, new);
        self.stats.modified = pairs.len();
        for (to, from) in pairs {
            interrupt.check()?;
            let (old, new) = (repo.open_file(&from)?, repo.open_file(&to)?);
            // Whoever applies the delta may not be allowed to read others.
            if old.header.mode & 0o004 == 0 {
                continue;
            }
            let both = old.size.saturating_add(new.size);
            let may_patch = options.patches && both <= options.max_patch_size;
            if may_patch && both <= SMALL {
                self.patched.insert(to, from);
                continue;
            }
            let found = if both <= MAX_ROLLSUM {
                let (old, new) = (repo.read_content(&from)?.1, repo.read_content(&to)?.1);
                rollsum::matches(&old, &new)
            } else {
                Vec::new()
            };
            let bytes: u64 = found.iter().map(|found| found.length).sum();
            if bytes > 0 && bytes.saturating_mul(100) >= new.size.saturating_mul(ENOUGH) {
                self.stats.matched_bytes += bytes;
                self.matched.insert(to, (from, found));
            } else if may_patch {
                self.patched.insert(to, from);
            }
        }
        Ok(())
    }

    /// What is not made of old files goes into the delta whole, or is too large for it.
    fn fall_back(
        &mut self,
        repo: &Repo,
        new: &[Candidate],
        options: &DeltaOptions,
    ) -> Result<(), DeltaMakeError> {
        for file in new {
            if self.matched.contains_key(&file.checksum)
                || self.patched.contains_key(&file.checksum)
            {
                continue;
            }
            if options.min_fallback_size == 0 || file.size <= options.min_fallback_size {
                self.whole.push(file.checksum);
                continue;
            }
            let object = ObjectName::new(file.checksum, ObjectKind::File);
            self.fallbacks.push(Fallback {
                object,
                size: repo.stored_size(&object)?.unwrap_or_default(),
                unpacked_size: file.size,
            });
        }
        Ok(())
    }
}

/// A file as it is compared with others; `None` for a symbolic link.
fn candidate(
    repo: &Repo,
    checksum: Checksum,
    names: BTreeSet<String>,
) -> Result<Option<Candidate>, ReadError> {
    let object = repo.open_file(&checksum)?;
    Ok((!object.header.is_symlink()).then(|| Candidate {
        checksum,
        size: object.size,
        names: names.into_iter().collect(),
    }))
}

/// Fills parts as the plan says.
struct Compiler<'a, 'scope, 'env> {
    repo: &'a Repo,
    options: &'a DeltaOptions,
    interrupt: &'a Interrupt,
    part: PartBuilder,
    packing: Packing<'scope, 'env>,
    loose_size: u64,
}

impl Compiler<'_, '_, '_> {
    fn compile(&mut self, plan: &Plan) -> Result<(), DeltaMakeError> {
        for object in &plan.metadata {
            let bytes = self.repo.load_bytes(object)?;
            let bytes = bytes.ok_or(ReadError::Missing(*object))?;
            self.make_room(bytes.len() as u64)?;
            self.count_loose(object)?;
            self.part.metadata(*object, &bytes);
        }
        for (file, (source, matches)) in &plan.matched {
            self.make_room(0)?;
            let (header, content) = self.repo.read_content(file)?;
            self.part.matched(*file, &header, &content, source, matches);
        }
        for (file, source) in &plan.patched {
            self.make_room(0)?;
            let (header, content) = self.repo.read_content(file)?;
            let (_, old) = self.repo.read_content(source)?;
            let patch = bspatch::diff(&old, &content).during("compare", file.to_string())?;
            let size = content.len() as u64;
            self.part.patched(*file, &header, size, source, &patch);
        }
        for file in plan.whole.iter().chain(&plan.symlinks) {
            let (header, content) = self.repo.read_content(file)?;
            self.make_room(content.len() as u64)?;
            self.count_loose(&ObjectName::new(*file, ObjectKind::File))?;
            self.part.file(*file, &header, &content);
        }
        // A delta has one part at least.
        self.end_part()
    }

    /// Begin a new part when the current one cannot take so many more bytes.
    fn make_room(&mut self, bytes: u64) -> Result<(), DeltaMakeError> {
        self.interrupt.check()?;
        let size = self.part.size().saturating_add(bytes);
        if !self.part.is_empty() && size > self.options.max_part_size {
            self.end_part()?;
        }
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), DeltaMakeError> {
        self.packing.add(std::mem::take(&mut self.part))
    }

    fn count_loose(&mut self, object: &ObjectName) -> Result<(), DeltaMakeError> {
        self.loose_size += self.repo.stored_size(object)?.unwrap_or_default();
        Ok(())
    }
}

/// What comes of a part: its bytes only if they go into the superblock.
pub(super) type Packed = (PartHeader, Option<Vec<u8>>);
