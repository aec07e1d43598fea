//! What verbs say that change which deployments boot.

use std::io::Write;

use sysroot::{BootPlan, BootSwitch, LoaderKind};

use crate::context::Context;
use crate::outcome::Failure;

/// Says how the links have changed, in the line that scripts look for. `before` is the number of
/// deployments until then.
pub(super) fn transaction(
    context: &Context,
    boot: &BootPlan,
    before: usize,
) -> Result<(), Failure> {
    let (swap, version, sub) = match boot.switch {
        BootSwitch::Nothing => return Ok(()),
        BootSwitch::Links { version, to } => ("no", version, to),
        BootSwitch::Entries { to, links } => ("yes", to, links),
    };
    let what = if is_atomic(boot) {
        "Transaction complete"
    } else {
        "Bootloader updated"
    };
    let added = boot.entries.len().cast_signed() - before.cast_signed();
    let mut out = context.results();
    writeln!(
        out,
        "{what}; bootconfig swap: {swap}; bootversion: boot.{version}.{sub}, \
         deployment count change: {added}"
    )?;
    Ok(out.finish()?)
}

/// Whether everything has changed in one step: a boot loader whose file is in the set of entries.
fn is_atomic(boot: &BootPlan) -> bool {
    match (&boot.switch, &boot.loader) {
        (BootSwitch::Entries { .. }, None) => false,
        (_, Some(loader)) => {
            loader.kind != LoaderKind::Grub2 || !loader.because.starts_with("boot/efi/")
        }
        (_, None) => true,
    }
}
