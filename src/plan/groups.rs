//! Splitting a batch that touches more partitions than one MERGE can bear.

use std::collections::BTreeMap;

use crate::model::batch::PartitionName;

/// Partition pairs of the rows to be written: where each row goes, and where the row it replaces lies.
pub type Moves = BTreeMap<(PartitionName, Option<PartitionName>), i64>;

/// Splits the partitions that rows go to into groups of about `limit` partitions each.
///
/// A key's old and new partition are in one group, so a chain of moves keeps partitions together even
/// beyond the limit. One group, or none, means that a single MERGE does. The result depends on nothing
/// but the moves, so every process splits a batch in the same way.
#[must_use]
pub fn split(moves: &Moves, limit: usize) -> Vec<Vec<PartitionName>> {
    let mut index: BTreeMap<&PartitionName, usize> = BTreeMap::new();
    for (new, old) in moves.keys() {
        for tuple in std::iter::once(new).chain(old.as_ref()) {
            let next = index.len();
            index.entry(tuple).or_insert(next);
        }
    }
    if index.len() <= limit {
        return Vec::new();
    }

    let mut parent: Vec<usize> = (0..index.len()).collect();
    for (new, old) in moves.keys() {
        if let Some(old) = old {
            let (a, b) = (root(&mut parent, index[new]), root(&mut parent, index[old]));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut connected: BTreeMap<usize, Vec<PartitionName>> = BTreeMap::new();
    for (tuple, at) in &index {
        connected.entry(root(&mut parent, *at)).or_default().push((*tuple).clone());
    }
    // In the partitions' own order, so that a group's partitions are neighbours.
    let mut components: Vec<_> = connected.into_values().collect();
    components.sort();

    let mut groups: Vec<Vec<PartitionName>> = Vec::new();
    for component in components {
        match groups.last_mut() {
            Some(group) if group.len() + component.len() <= limit => group.extend(component),
            _ => groups.push(component),
        }
    }
    groups
}

/// The component that `at` is in; halves the path on the way, so that long chains stay cheap.
fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: usize) -> PartitionName {
        format!("day={n:04}")
    }

    #[test]
    fn split_within_the_limit_needs_no_groups() {
        let moves = (0..5).map(|n| ((day(n), None), 1)).collect();
        assert!(split(&moves, 5).is_empty());
    }

    #[test]
    fn split_beyond_the_limit_fills_groups_in_partition_order() {
        let moves = (0..7).map(|n| ((day(n), Some(day(n))), 1)).collect();
        let groups = split(&moves, 3);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
        assert_eq!(groups[1], [day(3), day(4), day(5)]);
    }

    #[test]
    fn split_keeps_a_moved_keys_partitions_together() {
        let mut moves: Moves = (0..6).map(|n| ((day(n), None), 1)).collect();
        moves.insert((day(5), Some(day(0))), 1);
        let groups = split(&moves, 2);
        let holder = groups.iter().find(|group| group.contains(&day(0))).unwrap();
        assert!(holder.contains(&day(5)));
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 6);
    }

    #[test]
    fn split_of_a_chain_longer_than_the_limit_stays_one_group() {
        let moves = (0..9).map(|n| ((day(n + 1), Some(day(n))), 1)).collect();
        assert_eq!(split(&moves, 4).len(), 1);
    }
}
