//! Cutting the content of a commit into layers.

use std::collections::{BTreeMap, BTreeSet};

use layer::{Content, ObjectSource, Placed};
use oci::spec::ImageManifest;
use ostree_format::Checksum;

use super::content_map::ContentMap;
use super::packages::{self, Owner};
use super::packing::{ALWAYS, Component, USUAL, pack, title};
use super::paths::{INITRAMFS, KERNEL, component_of};
use super::{EncapsulateError, EncapsulateOptions};
use crate::keys::COMPONENTS_ANNOTATION;

/// What separates names in [`COMPONENTS_ANNOTATION`].
const SEPARATOR: char = ',';

/// What rpm-ostree calls all that belongs to no package; it changes with every build.
const UNPACKAGED: &str = "unpackaged";

/// How the content of a commit is cut into layers.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Chunking {
    /// Everything in one layer.
    #[default]
    Single,
    /// By the directories that files are in.
    Paths,
    /// By the packages that the tree says it consists of (dpkg or RPM), each source package a component;
    /// what belongs to none of them by the directories that it is in.
    Packages,
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

/// The components that the content consists of; none when it is not to be cut.
pub(super) fn components(
    source: &dyn ObjectSource,
    contents: &Checksum,
    content: &Content,
    options: &EncapsulateOptions,
) -> Result<Assigned, EncapsulateError> {
    let mut assigned = match &options.chunking {
        Chunking::Single => Assigned::default(),
        Chunking::Paths => by_path(content, &BTreeMap::new()),
        Chunking::Packages => {
            let owners = packages::owners(source, contents, content)?;
            by_path(content, &owners)
        }
        Chunking::Map(map) => by_map(content, map),
    };
    for component in &mut assigned.components {
        let known = options.frequencies.of(&component.id, &component.name);
        component.frequency = known.unwrap_or(component.frequency);
    }
    Ok(assigned)
}

/// Take from `content` what goes into layers of its own, at most `max` of them.
pub(super) fn split(
    content: &mut Content,
    assigned: Assigned,
    prior: Option<&ImageManifest>,
    max: usize,
) -> Vec<Chunk> {
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
#[derive(Debug, Default)]
pub(super) struct Assigned {
    components: Vec<Component>,
    objects: Vec<(Checksum, usize)>,
}

/// Sizes are for packing; a file that holds nothing still is an entry of an archive.
const PER_FILE: u64 = 512;

/// By the package that `owners` names, or else by the directory.
fn by_path(content: &Content, owners: &BTreeMap<Checksum, Owner>) -> Assigned {
    let mut found: BTreeMap<&str, (u64, u32, Vec<Checksum>)> = BTreeMap::new();
    for (object, placed) in content {
        let by_path = component_of_object(placed);
        let boots = by_path == KERNEL || by_path == INITRAMFS;
        let (component, frequency) = match owners.get(object) {
            Some(owner) if !boots => (owner.package.as_str(), owner.frequency),
            _ => (by_path, USUAL),
        };
        let (size, changes, objects) = found.entry(component).or_default();
        *size += placed.size + PER_FILE;
        *changes = frequency.max(*changes);
        objects.push(*object);
    }
    let mut components = Vec::new();
    let mut objects = Vec::new();
    for (at, (id, (size, frequency, members))) in found.into_iter().enumerate() {
        components.push(Component {
            id: id.to_owned(),
            // Names must not change from one kernel to the next.
            name: without_version(id).to_owned(),
            size,
            alone: id == KERNEL || id == INITRAMFS,
            frequency,
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
            frequency: match id.as_str() {
                UNPACKAGED => ALWAYS,
                _ => USUAL,
            },
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
