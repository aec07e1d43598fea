//! `bootroot ostree static-delta show`

use std::io::Write;

use clap::Args;
use ostree::Repo;
use static_delta::{Counts, PartHeader, Superblock};

use super::super::sizes::human;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::results::Results;

/// Show what is in a static delta
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// TO, FROM-TO, or the path of a file
    delta: String,
}

/// Bytes, packed and unpacked.
#[derive(Clone, Copy, Default)]
struct Total {
    size: u64,
    unpacked: u64,
}

impl Total {
    fn add(&mut self, size: u64, unpacked: u64) {
        self.size = self.size.wrapping_add(size);
        self.unpacked = self.unpacked.wrapping_add(unpacked);
    }

    fn write(self, of: &str, out: &mut Results) -> Result<(), Failure> {
        let Self { size, unpacked } = self;
        writeln!(out, "Total {of}Size: {size} ({})", human(size))?;
        writeln!(
            out,
            "Total {of}Uncompressed Size: {unpacked} ({})",
            human(unpacked)
        )?;
        Ok(())
    }
}

impl Show {
    pub(crate) fn run(self, repo: &Repo, context: &Context) -> Result<Exit, Failure> {
        let file = super::load(repo, &self.delta)?;
        let delta = Superblock::from_bytes(&file.superblock)?;
        let mut out = context.results();
        writeln!(out, "Delta: {}", self.delta)?;
        writeln!(
            out,
            "Signed: {}",
            if file.is_signed() { "yes" } else { "no" }
        )?;
        match delta.name.from {
            Some(from) => writeln!(out, "From: {from}")?,
            None => writeln!(out, "From <scratch>")?,
        }
        writeln!(out, "To: {}", delta.name.to)?;
        writeln!(out, "Endianness: {}", delta.endianness.description())?;
        writeln!(out, "Timestamp: {}", delta.timestamp)?;
        writeln!(out, "Number of parents: {}", delta.dependencies.len())?;
        let fallbacks = show_fallbacks(&delta, &mut out)?;
        let parts = self.show_parts(repo, &delta, &mut out)?;
        parts.write("Part ", &mut out)?;
        let mut all = fallbacks;
        all.add(parts.size, parts.unpacked);
        all.write("", &mut out)?;
        out.finish()?;
        Ok(Exit::Done)
    }

    fn show_parts(
        &self,
        repo: &Repo,
        delta: &Superblock,
        out: &mut Results,
    ) -> Result<Total, Failure> {
        writeln!(out, "Number of parts: {}", delta.parts.len())?;
        let mut total = Total::default();
        for (index, header) in delta.parts.iter().enumerate() {
            total.add(header.size, header.unpacked_size);
            let bytes = match delta.inline_part(index) {
                Some(bytes) => bytes,
                None if self.delta.contains('/') => {
                    let beside = super::parent(self.delta.as_ref()).join(index.to_string());
                    super::read(&beside)?
                }
                None => repo.load_delta_part(&delta.name, index)?,
            };
            show_part(index, header, &bytes, out)?;
        }
        Ok(total)
    }
}

fn show_fallbacks(delta: &Superblock, out: &mut Results) -> Result<Total, Failure> {
    writeln!(out, "Number of fallback entries: {}", delta.fallbacks.len())?;
    let mut total = Total::default();
    for fallback in &delta.fallbacks {
        writeln!(out, "  {}", fallback.object.checksum)?;
        total.add(fallback.size, fallback.unpacked_size);
    }
    total.write("Fallback ", out)?;
    Ok(total)
}

fn show_part(
    index: usize,
    header: &PartHeader,
    bytes: &[u8],
    out: &mut Results,
) -> Result<(), Failure> {
    let objects = header.objects.len();
    let (size, unpacked) = (header.size, header.unpacked_size);
    writeln!(
        out,
        "PartMeta{index}: nobjects={objects} size={size} usize={unpacked}"
    )?;
    let part = header.open_unchecked(bytes)?;
    writeln!(
        out,
        "PartPayload{index}: nmodes={} nxattrs={} blobsize={} opsize={}",
        part.mode_count(),
        part.xattr_count(),
        part.payload().len(),
        part.program().len()
    )?;
    let counts = Counts::of(part.operations(&header.objects))?;
    writeln!(
        out,
        "PartPayloadOps{index}: openspliceclose={} open={} write={} setread={} unsetread={} close={} bspatch={}",
        counts.splice,
        counts.open,
        counts.write,
        counts.set_source,
        counts.unset_source,
        counts.close,
        counts.patch
    )?;
    Ok(())
}
