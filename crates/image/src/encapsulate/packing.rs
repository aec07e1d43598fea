//! Which components share a layer. Pure: the same components give the same layers.

use std::collections::{BTreeMap, BTreeSet};

/// A part of an image that changes as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component {
    /// Its identifier.
    pub(crate) id: String,
    /// Its name for humans, which annotations keep.
    pub(crate) name: String,
    /// Bytes of content.
    pub(crate) size: u64,
    /// Shares its layer with nothing else, while there are layers enough.
    pub(crate) alone: bool,
}

/// Put `components` into at most `max` layers. Each layer is a list of positions.
///
/// Components that were together in a layer of `prior` (names, layer by layer) stay together, so that an
/// update changes the layers whose content changed, and no others; new ones get a layer of their own, or
/// the smallest when there is no room.
pub(crate) fn pack(
    components: &[Component],
    prior: &[BTreeSet<String>],
    max: usize,
) -> Vec<Vec<usize>> {
    if max == 0 || components.is_empty() {
        return Vec::new();
    }
    if let Some(layers) = as_before(components, prior, max) {
        return layers;
    }
    afresh(components, max)
}

fn as_before(
    components: &[Component],
    prior: &[BTreeSet<String>],
    max: usize,
) -> Option<Vec<Vec<usize>>> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, component) in components.iter().enumerate() {
        by_name.entry(&component.name).or_default().push(at);
    }
    let mut layers = Vec::new();
    for names in prior {
        let known = names
            .iter()
            .filter_map(|name| by_name.remove(name.as_str()));
        let mut layer: Vec<usize> = known.flatten().collect();
        layer.sort_unstable();
        if !layer.is_empty() {
            layers.push(layer);
        }
    }
    if layers.is_empty() || layers.len() > max {
        return None;
    }
    let mut new: Vec<usize> = by_name.into_values().flatten().collect();
    new.sort_unstable();
    let (alone, new): (Vec<_>, Vec<_>) = new.into_iter().partition(|at| components[*at].alone);
    for at in alone {
        add(components, &mut layers, vec![at], max);
    }
    if !new.is_empty() {
        add(components, &mut layers, new, max);
    }
    Some(layers)
}

/// As a layer of its own, or into the smallest one.
fn add(components: &[Component], layers: &mut Vec<Vec<usize>>, new: Vec<usize>, max: usize) {
    if layers.len() < max {
        layers.push(new);
        return;
    }
    let smallest = layers
        .iter_mut()
        .min_by_key(|layer| size(components, layer));
    if let Some(layer) = smallest {
        layer.extend(new);
    }
}

fn size(components: &[Component], layer: &[usize]) -> u64 {
    layer.iter().map(|at| components[*at].size).sum()
}

/// One layer for each component if they are few; otherwise for each of the largest, and the others are
/// spread evenly over the rest.
fn afresh(components: &[Component], max: usize) -> Vec<Vec<usize>> {
    let all = 0..components.len();
    if components.len() <= max {
        return all.map(|at| vec![at]).collect();
    }
    let mut order: Vec<usize> = all.collect();
    let key = |at: &usize| {
        let component = &components[*at];
        (
            !component.alone,
            std::cmp::Reverse(component.size),
            &component.id,
        )
    };
    order.sort_by(|a, b| key(a).cmp(&key(b)));
    let shared = (max / 4).max(1);
    let mut layers: Vec<Vec<usize>> = order[..max - shared].iter().map(|at| vec![*at]).collect();
    let mut bins = vec![(0, Vec::new()); shared];
    for at in &order[max - shared..] {
        if let Some((size, bin)) = bins.iter_mut().min_by_key(|(size, _)| *size) {
            // An empty file counts, too, or all of them would go to one layer.
            *size += components[*at].size.max(1);
            bin.push(*at);
        }
    }
    layers.extend(bins.into_iter().map(|(_, mut bin)| {
        bin.sort_unstable();
        bin
    }));
    layers
}

/// What a layer is called in the image's history.
pub(crate) fn title(components: &[Component], layer: &[usize]) -> String {
    match layer.len() {
        1..=5 => {
            let ids: Vec<&str> = layer.iter().map(|at| components[*at].id.as_str()).collect();
            ids.join(" and ")
        }
        count => format!("{count} components"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn component(id: &str, size: u64) -> Component {
        Component {
            id: id.to_owned(),
            name: id.to_owned(),
            size,
            alone: id == "kernel",
        }
    }

    fn names(components: &[Component], layers: &[Vec<usize>]) -> Vec<BTreeSet<String>> {
        let of = |layer: &Vec<usize>| {
            layer
                .iter()
                .map(|at| components[*at].name.clone())
                .collect()
        };
        layers.iter().map(of).collect()
    }

    #[test]
    fn few_components_have_a_layer_each_in_their_order() {
        let components = [component("b", 1), component("a", 9)];
        assert_eq!(pack(&components, &[], 5), [vec![0], vec![1]]);
    }

    #[test]
    fn the_kernel_is_alone_however_small_it_is() {
        let mut components: Vec<_> = (0..50)
            .map(|n| component(&format!("c{n}"), 1000 + n))
            .collect();
        components.push(component("kernel", 1));
        let layers = pack(&components, &[], 8);
        assert_eq!(layers.len(), 8);
        assert!(layers.contains(&vec![50]));
    }

    #[test]
    fn a_new_component_changes_no_other_layer() {
        let mut components: Vec<_> = (0..50)
            .map(|n| component(&format!("c{n}"), 100 * n))
            .collect();
        let before = names(&components, &pack(&components, &[], 8));
        components.insert(3, component("new", 1_000_000));
        let after = names(&components, &pack(&components, &before, 9));
        assert_eq!(after[..8], before[..]);
        assert_eq!(after[8], BTreeSet::from(["new".to_owned()]));
        // Without room it goes where it does least harm.
        let full = names(&components, &pack(&components, &before, 8));
        assert_eq!(
            full.iter().filter(|layer| !before.contains(layer)).count(),
            1
        );
    }

    proptest! {
        #[test]
        fn every_component_is_in_exactly_one_layer(
            sizes in prop::collection::vec(0u64..10_000, 0..80),
            dropped in prop::collection::vec(any::<bool>(), 80),
            max in 0usize..20,
            later in 1usize..20,
        ) {
            let components: Vec<_> = sizes.iter().enumerate()
                .map(|(n, size)| component(&format!("c{n}"), *size)).collect();
            let layers = pack(&components, &[], max);
            prop_assert!(layers.len() <= max);
            let mut all: Vec<_> = layers.iter().flatten().copied().collect();
            all.sort_unstable();
            if max > 0 {
                prop_assert_eq!(all, (0..components.len()).collect::<Vec<_>>());
            }
            let prior = names(&components, &layers);
            let remaining: Vec<_> = components.iter().zip(&dropped)
                .filter(|(_, drop)| !**drop).map(|(c, _)| c.clone()).collect();
            let again = pack(&remaining, &prior, later);
            prop_assert!(again.len() <= later);
            let mut all: Vec<_> = again.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..remaining.len()).collect::<Vec<_>>());
        }
    }
}
