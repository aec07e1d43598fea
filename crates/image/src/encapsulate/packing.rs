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
    /// How often it changes, compared with others; [`ALWAYS`] is with every build.
    pub(crate) frequency: u32,
}

/// How often a component changes of which nothing is known.
pub(crate) const USUAL: u32 = 1;

/// It changes with every build.
pub(crate) const ALWAYS: u32 = u32::MAX;

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

/// One layer for each component if they are few. Otherwise one for what changes with every build, and
/// the others so that an update fetches as little as possible.
fn afresh(components: &[Component], max: usize) -> Vec<Vec<usize>> {
    let all = 0..components.len();
    if components.len() <= max {
        return all.map(|at| vec![at]).collect();
    }
    let (mut alone, shared): (Vec<_>, Vec<_>) = all.partition(|at| components[*at].alone);
    let key = |at: &usize| (std::cmp::Reverse(components[*at].size), &components[*at].id);
    alone.sort_by(|a, b| key(a).cmp(&key(b)));
    // One layer must remain for the others.
    let spill = alone.split_off(alone.len().min(max - 1));
    let (always, mut rest): (Vec<_>, Vec<_>) = spill
        .into_iter()
        .chain(shared)
        .partition(|at| components[*at].frequency == ALWAYS);
    let mut layers: Vec<Vec<usize>> = alone.into_iter().map(|at| vec![at]).collect();
    let room = max - layers.len();
    if always.is_empty() || room == 1 {
        rest.extend(always);
    } else {
        layers.push(always);
    }
    let key = |at: &usize| {
        let component = &components[*at];
        let Component {
            frequency,
            size,
            id,
            ..
        } = component;
        (
            std::cmp::Reverse(*frequency),
            std::cmp::Reverse(*size),
            id.as_str(),
        )
    };
    rest.sort_by(|a, b| key(a).cmp(&key(b)));
    let weights: Vec<Weight> = rest.iter().map(|at| weight(&components[*at])).collect();
    let mut start = 0;
    for end in cheapest_cut(&weights, max - layers.len()) {
        let mut layer = rest[start..end].to_vec();
        layer.sort_unstable();
        layers.push(layer);
        start = end;
    }
    layers
}

/// Size and frequency of a component.
type Weight = (u64, u64);

/// An empty file counts, too, or all of them would go to one layer; and whatever says that it never
/// changes does so some day.
fn weight(component: &Component) -> Weight {
    let size = component.size.max(1);
    // Even what changes always must not make the sums overflow.
    (size, u64::from(component.frequency.clamp(1, 1 << 20)))
}

/// Where to cut a row into at most `count` runs, as the ends of the runs.
///
/// A layer is fetched again whenever anything in it changes, so a run costs its size times the sum of
/// its frequencies; the cut with the least sum of that is found run by run. Where the last run begins
/// only moves to the right with its end, which bounds the search.
fn cheapest_cut(weights: &[Weight], count: usize) -> Vec<usize> {
    let sums = Sums::new(weights);
    let length = weights.len();
    let count = count.min(length);
    if count == 0 {
        return Vec::new();
    }
    let mut cost: Vec<u128> = (0..=length).map(|end| sums.cost(0, end)).collect();
    let mut starts = Vec::new();
    for runs in 2..=count {
        let mut layer = Search {
            sums: &sums,
            before: &cost,
            cost: vec![u128::MAX; length + 1],
            start: vec![0; length + 1],
            fewest: runs - 1,
        };
        layer.between(runs, length, runs - 1, length - 1);
        let (costs, start) = (layer.cost, layer.start);
        cost = costs;
        starts.push(start);
    }
    let mut end = length;
    let mut ends = vec![end];
    for start in starts.iter().rev() {
        end = start[end];
        ends.push(end);
    }
    ends.reverse();
    ends
}

/// Sizes and frequencies of all that comes before a position.
struct Sums(Vec<(u128, u128)>);

impl Sums {
    fn new(weights: &[Weight]) -> Self {
        let mut sums = vec![(0, 0)];
        let mut so_far = (0, 0);
        for (size, frequency) in weights {
            so_far = (
                so_far.0 + u128::from(*size),
                so_far.1 + u128::from(*frequency),
            );
            sums.push(so_far);
        }
        Self(sums)
    }

    fn cost(&self, start: usize, end: usize) -> u128 {
        let (start, end) = (self.0[start], self.0[end]);
        (end.0 - start.0).saturating_mul(end.1 - start.1)
    }
}

/// The search for where the last of some runs begins, for every end.
struct Search<'a> {
    sums: &'a Sums,
    /// What one run less costs, for every end.
    before: &'a [u128],
    cost: Vec<u128>,
    start: Vec<usize>,
    /// The run cannot begin before this.
    fewest: usize,
}

impl Search<'_> {
    /// For ends from `low` to `high`, whose last runs begin from `first` to `last`.
    fn between(&mut self, low: usize, high: usize, first: usize, last: usize) {
        if low > high {
            return;
        }
        let end = usize::midpoint(low, high);
        let candidates = first.max(self.fewest)..=last.min(end - 1);
        let best = candidates
            .map(|start| {
                let cost = self.before[start].saturating_add(self.sums.cost(start, end));
                (cost, start)
            })
            .min();
        let (cost, start) = best.unwrap_or((u128::MAX, first));
        (self.cost[end], self.start[end]) = (cost, start);
        self.between(low, end - 1, first, start);
        self.between(end + 1, high, start, last);
    }
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
            frequency: USUAL,
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

    /// All ways to cut a row of `length` into at most `count` runs.
    fn all_cuts(length: usize, count: usize) -> Vec<Vec<usize>> {
        let mut cuts = Vec::new();
        for mask in 0u32..1 << (length - 1) {
            let mut ends: Vec<usize> = (1..length)
                .filter(|at| mask & (1 << (at - 1)) != 0)
                .collect();
            ends.push(length);
            if ends.len() <= count {
                cuts.push(ends);
            }
        }
        cuts
    }

    fn cost(weights: &[Weight], ends: &[usize]) -> u64 {
        let mut start = 0;
        let mut sum = 0;
        for end in ends {
            let run = &weights[start..*end];
            let size: u64 = run.iter().map(|(size, _)| size).sum();
            let frequency: u64 = run.iter().map(|(_, frequency)| frequency).sum();
            sum += size * frequency;
            start = *end;
        }
        sum
    }

    #[test]
    fn what_changes_often_is_kept_away_from_what_does_not() {
        let often = |id: &str, size| Component {
            frequency: 1000,
            ..component(id, size)
        };
        let mut components: Vec<_> = (0..10)
            .map(|n| component(&format!("rare{n}"), 500))
            .collect();
        components.extend((0..10).map(|n| often(&format!("often{n}"), 500)));
        let layers = pack(&components, &[], 6);
        assert_eq!(layers.len(), 6);
        for layer in &layers {
            let often = layer.iter().filter(|at| **at >= 10).count();
            assert!(often == 0 || often == layer.len(), "{layers:?}");
        }
        // Those that change often have the more layers.
        let rare = layers.iter().filter(|layer| layer[0] < 10).count();
        assert!(rare < 3, "{layers:?}");
    }

    #[test]
    fn what_always_changes_has_one_layer() {
        let mut components: Vec<_> = (0..20)
            .map(|n| component(&format!("c{n}"), 100 + n))
            .collect();
        for at in [3, 7, 11] {
            components[at].frequency = ALWAYS;
        }
        assert!(pack(&components, &[], 5).contains(&vec![3, 7, 11]));
    }

    proptest! {
        #[test]
        fn no_cut_is_cheaper(
            weights in prop::collection::vec((1u64..50, 1u64..20), 1..9),
            count in 1usize..6,
        ) {
            // Rows come sorted: by frequency, then by size.
            let mut weights = weights;
            weights.sort_by_key(|(size, frequency)| std::cmp::Reverse((*frequency, *size)));
            let ends = cheapest_cut(&weights, count);
            prop_assert!(ends.len() <= count);
            let best = all_cuts(weights.len(), count).iter().map(|ends| cost(&weights, ends)).min();
            prop_assert_eq!(Some(cost(&weights, &ends)), best);
        }

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
