//! `bootroot ostree admin instutil grub2-generate`: what the hook of `grub2-mkconfig` puts into `grub.cfg`.

use std::io::Write;

use boot_format::BlsEntry;
use clap::Args;
use error_class::{Classified, ErrorClass};

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::results::Results;
use crate::verbs::ostree::admin::system::System;

/// Generate the entries of grub.cfg, called by the hook of grub2-mkconfig
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(crate) struct Grub2Generate {
    /// The set of boot entries, 0 or 1 [default: that of $_OSTREE_GRUB2_BOOTVERSION, or the active one]
    #[arg(value_name = "BOOTVERSION")]
    version: Option<u32>,
}

/// Why no entries were generated.
#[derive(Debug, thiserror::Error)]
enum GenerateError {
    #[error("Invalid bootversion: {0}")]
    Version(u32),
    #[error("{0} is not set: this is called by the hook of grub2-mkconfig")]
    NoHook(&'static str),
}

impl Classified for GenerateError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Grub2Generate {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open(context)?;
        let hook = environment::grub_hook().map_err(GenerateError::NoHook)?;
        let version = self.version.or(hook.boot_version);
        if let Some(version) = version.filter(|version| *version > 1) {
            return Err(GenerateError::Version(version).into());
        }
        let entries = system.sysroot.entries_of(version)?;
        let mut out = context.results();
        for (index, entry) in entries.iter().enumerate() {
            menu_entry(&mut out, index, entry, &hook)?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}

fn menu_entry(
    out: &mut Results,
    index: usize,
    entry: &BlsEntry,
    hook: &environment::GrubHook,
) -> std::io::Result<()> {
    let title = quoted(entry.get("title").unwrap_or("(Untitled)"));
    let id = quoted(&format!("ostree-{index}-{}", hook.boot_device));
    let suffix = if hook.efi { "efi" } else { "16" };
    let options = entry.get("options").unwrap_or_default();
    writeln!(
        out,
        "menuentry {title} --class gnu-linux --class gnu --class os --unrestricted {id} {{"
    )?;
    writeln!(
        out,
        "load_video\nset gfxpayload=keep\ninsmod gzio\n{}",
        hook.prepare_root
    )?;
    let linux = entry.get("linux").unwrap_or_default();
    writeln!(out, "linux{suffix} {linux} {options}")?;
    if let Some(initrd) = entry.get("initrd") {
        writeln!(out, "initrd{suffix} {initrd}")?;
    }
    if let Some(tree) = entry.get("devicetree") {
        writeln!(out, "devicetree {tree}")?;
    }
    writeln!(out, "}}")
}

/// As a word of a shell, which GRUB's language follows.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
