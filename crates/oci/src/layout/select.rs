//! Which entry of `index.json` is the wanted image.

use oci_spec::image::Descriptor;

use super::{LayoutError, REF_NAME};
use crate::digest::Digest;
use crate::media_type::DocumentKind;
use crate::platform::Platform;
use crate::reference::Selector;

/// The entry that `selector` means. Several entries of one name are taken for the same image on
/// several platforms.
pub(crate) fn select<'a>(
    entries: &'a [Descriptor],
    selector: &Selector,
    platform: &Platform,
) -> Result<&'a Descriptor, LayoutError> {
    let images: Vec<_> = entries.iter().filter(|entry| is_image(entry)).collect();
    let wanted: Vec<_> = match selector {
        Selector::Only => images.clone(),
        Selector::Position(position) => images.get(*position).copied().into_iter().collect(),
        Selector::Name(name) => with(&images, |entry| ref_name(entry) == Some(name)),
        Selector::Digest(digest) => with(&images, |entry| has_digest(entry, digest)),
    };
    let present = || names(&images);
    match wanted[..] {
        [] => Err(LayoutError::NoSuchImage {
            wanted: selector.clone(),
            present: present(),
        }),
        [only] => Ok(only),
        [first, ref rest @ ..] if rest.iter().all(|e| e.digest() == first.digest()) => Ok(first),
        _ if is_one_image(&wanted) => Ok(platform.select(&wanted)?),
        _ => Err(LayoutError::SeveralImages(present())),
    }
}

fn with<'a>(
    entries: &[&'a Descriptor],
    is_wanted: impl Fn(&Descriptor) -> bool,
) -> Vec<&'a Descriptor> {
    let wanted = entries.iter().filter(|entry| is_wanted(entry));
    wanted.copied().collect()
}

fn is_image(entry: &Descriptor) -> bool {
    DocumentKind::of(entry.media_type().as_ref()).is_some()
}

fn ref_name(entry: &Descriptor) -> Option<&String> {
    entry.annotations().as_ref()?.get(REF_NAME)
}

fn has_digest(entry: &Descriptor, digest: &Digest) -> bool {
    Digest::try_from(entry.digest()).is_ok_and(|own| own == *digest)
}

/// Whether entries are one image for several platforms: all say for which, and have one name or
/// none.
fn is_one_image(entries: &[&Descriptor]) -> bool {
    let name = entries.first().and_then(|entry| ref_name(entry));
    entries
        .iter()
        .all(|entry| entry.platform().is_some() && ref_name(entry) == name)
}

/// What a user can write to mean each of the images: the tag, or the digest of those without one.
fn names(entries: &[&Descriptor]) -> Vec<String> {
    let name = |entry: &&Descriptor| match ref_name(entry) {
        Some(name) => format!(":{name}"),
        None => format!("@{}", entry.digest()),
    };
    let mut names: Vec<_> = entries.iter().map(name).collect();
    names.dedup();
    names
}
