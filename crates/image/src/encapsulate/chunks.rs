//! Cutting the content of a commit into layers.

use std::collections::{BTreeMap, BTreeSet};

use layer::{Content, Placed};
use oci::spec::ImageManifest;
use ostree_format::Checksum;

use super::content_map::ContentMap;
use super::packing::{Component, pack, title};
use super::paths::{INITRAMFS, KERNEL, component_of};
use crate::keys::COMPONENTS_ANNOTATION;

/// What separates names in [`COMPONENTS_ANNOTATION`].
const SEPARATOR: char = ',';

/// How the content of a commit is cut into layers.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Chunking {
    /// Everything in one layer.
    #[default]
    Single,
    /// By the directories that files are in.
    Paths,
    /// As a content map says; what it does not name stays with the commit.
    Map(ContentMap),
}

/// A layer to be.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) title: String,
    /// Names of the components that are in it, sorted.
    pub(crate) names: Vec<String>,
    pub(crate) content: Content,
}

impl Chunk {
    /// What the layer's annotation says.
    pub(crate) fn annotation(&self) -> String {
        self.names.join(&SEPARATOR.to_string())
    }
}

/// Take from `content` what goes into layers of its own, at most `max` of them.
pub(crate) fn split(
    content: &mut Content,
    chunking: &Chunking,
    prior: Option<&ImageManifest>,
    max: usize,
) -> Vec<Chunk> {
    let assigned = match chunking {
        Chunking::Single => return Vec::new(),
        Chunking::Paths => by_path(content),
        Chunking::Map(map) => by_map(content, map),
    };
    let prior = prior.map(components_of_layers).unwrap_or_default();
    let layers = pack(&assigned.components, &prior, max);
    let mut chunks: Vec<Chunk> = layers
        .iter()
        .map(|layer| chunk(&assigned.components, layer))
        .collect();
    let mut layer_of = BTreeMap::new();
    for (at, layer) in layers.iter().enumerate() {
        layer_of.extend(layer.iter().map(|component| (*component, at)));
    }
    for (object, component) in assigned.objects {
        let chunk = layer_of.get(&component).and_then(|at| chunks.get_mut(*at));
        // What is in no layer of its own stays with the commit.
        if let Some(chunk) = chunk
            && let Some(placed) = content.remove(&object)
        {
            chunk.content.insert(object, placed);
        }
    }
    chunks
}

fn chunk(components: &[Component], layer: &[usize]) -> Chunk {
    let name = |at: &usize| components[*at].name.replace(SEPARATOR, "_");
    let names: BTreeSet<String> = layer.iter().map(name).collect();
    Chunk {
        title: title(components, layer),
        names: names.into_iter().collect(),
        content: Content::new(),
    }
}

/// Components, and which object belongs to which.
struct Assigned {
    components: Vec<Component>,
    objects: Vec<(Checksum, usize)>,
}

/// Sizes are for packing; a file that holds nothing still is an entry of an archive.
const PER_FILE: u64 = 512;

fn by_path(content: &Content) -> Assigned {
    let mut found: BTreeMap<&str, (u64, Vec<Checksum>)> = BTreeMap::new();
    for (object, placed) in content {
        let component = component_of_object(placed);
        let (size, objects) = found.entry(component).or_default();
        *size += placed.size + PER_FILE;
        objects.push(*object);
    }
    let mut components = Vec::new();
    let mut objects = Vec::new();
    for (at, (id, (size, members))) in found.into_iter().enumerate() {
        components.push(Component {
            id: id.to_owned(),
            // Names must not change from one kernel to the next.
            name: without_version(id).to_owned(),
            size,
            alone: id == KERNEL || id == INITRAMFS,
        });
        objects.extend(members.into_iter().map(|object| (object, at)));
    }
    Assigned {
        components,
        objects,
    }
}

/// A kernel that is also elsewhere is a kernel; anything else is where it is first.
fn component_of_object(placed: &Placed) -> &str {
    let boot = |component: &&str| *component == KERNEL || *component == INITRAMFS;
    let mut components = placed.paths.iter().map(|path| component_of(path));
    let first = components.clone().next().unwrap_or("other");
    components.find(boot).unwrap_or(first)
}

fn without_version(component: &str) -> &str {
    if component.starts_with("usr/lib/modules/") {
        "usr/lib/modules"
    } else {
        component
    }
}

fn by_map(content: &Content, map: &ContentMap) -> Assigned {
    let mut sizes = vec![(0u64, false, Vec::new()); map.components.len()];
    for (object, placed) in content {
        let Some(at) = map.objects.get(object) else {
            continue;
        };
        let (size, alone, objects) = &mut sizes[*at];
        *size += placed.size + PER_FILE;
        *alone |= matches!(component_of_object(placed), KERNEL | INITRAMFS);
        objects.push(*object);
    }
    let mut components = Vec::new();
    let mut objects = Vec::new();
    for ((id, name), (size, alone, members)) in map.components.iter().zip(sizes) {
        if members.is_empty() {
            continue;
        }
        objects.extend(members.into_iter().map(|object| (object, components.len())));
        components.push(Component {
            id: id.clone(),
            name: name.clone(),
            size,
            alone,
        });
    }
    Assigned {
        components,
        objects,
    }
}

/// The names that the annotations of an image's layers give.
fn components_of_layers(manifest: &ImageManifest) -> Vec<BTreeSet<String>> {
    let names = |layer: &oci::spec::Descriptor| {
        let annotations = layer.annotations().as_ref()?;
        let names = annotations.get(COMPONENTS_ANNOTATION)?;
        let names = names.split(SEPARATOR).filter(|name| !name.is_empty());
        Some(names.map(ToOwned::to_owned).collect())
    };
    manifest.layers().iter().filter_map(names).collect()
}
