//! What is new on each file system, before anything is written there.

use error_class::{Classified, ErrorClass};
use oci::manifest::Layer;
use oci::media_type::Compression;
use serde::Serialize;

/// Annotation of a layer: its size as an archive, as eStargz has it.
const UNPACKED_SIZE: &str = "io.containers.estargz.uncompressed-size";

/// How much larger a layer is taken to be unpacked where nothing tells. Layers of distributions give 2.2 to 3.
pub(crate) const USUAL_RATIO: u64 = 3;

/// What is new on a file system, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSystemPlan {
    /// `/`, `/boot`, or where the EFI system partition is.
    pub place: &'static str,
    /// What is new there, unpacked.
    pub needed: u64,
    /// What is needed at least.
    pub at_least: u64,
    /// What is free.
    pub available: u64,
    /// Whether `needed` is an estimate.
    pub estimate: bool,
}

/// There is not enough space for what would be written. Nothing was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not enough space: at least {needed} bytes are new on {place}, and {available} bytes are free there; \
     space can be made by {}", frees.join(", ")
)]
#[expect(clippy::exhaustive_structs, reason = "all of it has to be said")]
pub struct NoSpace {
    /// The file system.
    pub place: &'static str,
    /// What is needed at least.
    pub needed: u64,
    /// What is free.
    pub available: u64,
    /// Commands that free some.
    pub frees: Vec<String>,
}

impl Classified for NoSpace {
    fn class(&self) -> ErrorClass {
        ErrorClass::NoSpace
    }
}

/// Refuses what finds no space, whatever estimates are worth, and notes what may not. `frees` tells what frees some.
pub(crate) fn require_space(
    places: &[FileSystemPlan],
    progress: &dyn progress::Progress,
    frees: impl FnOnce() -> Vec<String>,
) -> Result<(), NoSpace> {
    if let Some(short) = places.iter().find(|place| place.at_least > place.available) {
        return Err(NoSpace {
            place: short.place,
            needed: short.at_least,
            available: short.available,
            frees: frees(),
        });
    }
    for place in places.iter().filter(|place| place.needed > place.available) {
        progress.note(&format!(
            "space may not suffice: about {} bytes are new on {}, and {} bytes are free there",
            place.needed, place.place, place.available
        ));
    }
    Ok(())
}

/// Bytes of layers, unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    pub(crate) likely: u64,
    pub(crate) at_least: u64,
    pub(crate) estimate: bool,
}

impl Unpacked {
    /// What is new on a file system with as many bytes free.
    pub(crate) const fn on(self, place: &'static str, available: u64) -> FileSystemPlan {
        FileSystemPlan {
            place,
            needed: self.likely,
            at_least: self.at_least,
            available,
            estimate: self.estimate,
        }
    }
}

/// The bytes of layers as archives. What is in them and stored already is counted, too: nothing tells before
/// they are fetched.
pub(crate) fn unpacked<'a>(
    layers: impl Iterator<Item = &'a Layer>,
    ratio: impl FnOnce() -> u64,
) -> Unpacked {
    let mut sum = Unpacked::default();
    let mut untold = 0_u64;
    for layer in layers {
        let annotations = layer.descriptor.annotations().as_ref();
        let told = annotations.and_then(|all| all.get(UNPACKED_SIZE)?.parse().ok());
        let exact = match layer.compression {
            Compression::None => Some(layer.size),
            _ => told,
        };
        match exact {
            Some(exact) => {
                sum.likely = sum.likely.saturating_add(exact);
                sum.at_least = sum.at_least.saturating_add(exact);
            }
            None => {
                untold = untold.saturating_add(layer.size);
                sum.at_least = sum.at_least.saturating_add(layer.size);
                sum.estimate = true;
            }
        }
    }
    // To measure the ratio, everything that is deployed is looked at.
    if sum.estimate {
        sum.likely = sum.likely.saturating_add(untold.saturating_mul(ratio()));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(media_type: &str, size: u64, annotation: Option<&str>) -> Layer {
        let mut descriptor = serde_json::json!({
            "mediaType": media_type,
            "digest": format!("sha256:{}", "a".repeat(64)),
            "size": size,
        });
        if let Some(value) = annotation {
            descriptor["annotations"] = serde_json::json!({ UNPACKED_SIZE: value });
        }
        let compression = match media_type.ends_with("gzip") {
            true => Compression::Gzip,
            false => Compression::None,
        };
        let descriptor: oci::spec::Descriptor = serde_json::from_value(descriptor).unwrap();
        Layer {
            digest: descriptor.digest().to_string().parse().unwrap(),
            size,
            compression,
            descriptor,
        }
    }

    #[test]
    fn sizes_are_exact_where_the_manifest_tells() {
        let plain = layer("application/vnd.oci.image.layer.v1.tar", 100, None);
        let told = layer(
            "application/vnd.oci.image.layer.v1.tar+gzip",
            10,
            Some("70"),
        );
        let sum = unpacked([&plain, &told].into_iter(), || 3);
        assert_eq!((sum.likely, sum.at_least, sum.estimate), (170, 170, false));
        let packed = layer("application/vnd.oci.image.layer.v1.tar+gzip", 10, None);
        let sum = unpacked([&plain, &packed].into_iter(), || 3);
        assert_eq!((sum.likely, sum.at_least, sum.estimate), (130, 110, true));
    }
}
