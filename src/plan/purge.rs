//! Which of the target's data files are written anew, for what deletion vectors leave behind.
//!
//! A load by deletion vectors leaves dead rows in old files, and small files of new rows. Both cost every reader, so a
//! load writes some files of the partitions that it touched anew, once it is done.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::config::Purge;

/// A file of less than this part of the table's target size is small.
const SMALL: u64 = 4;

/// A load purges this many times the bytes that it wrote, or [`FLOOR`] bytes where that is more, and one file whatever its
/// size: its time stays in proportion.
const TIMES: u64 = 4;

/// Bytes that any load may purge.
const FLOOR: u64 = 64 << 20;

/// A file with more dead rows than this part of all is purged at once, though the load gave it its first vector.
const MOSTLY_DEAD: i64 = 2;

/// A data file of a partition that was touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// The partition that it lies in.
    pub partition: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its rows, dead ones included; `None` where the log does not say.
    pub rows: Option<i64>,
    /// Rows that its deletion vector takes.
    pub dead: i64,
    /// Whether the load gave it its first vector.
    pub newly_marked: bool,
}

/// The files to be written anew, by their numbers: those of one partition together, and the most urgent ones first.
/// `target_size` is that of the table's files, `written` what the load wrote, both in bytes.
///
/// A file with too large a part of dead rows is purged, and the small ones of its partition with it; small ones alone
/// where there are too many of them. One that has its first vector waits, unless most of it is dead: where loads touch the
/// same files day by day, each is written anew every other day, for twice the dead rows.
#[must_use]
pub fn to_purge(files: &[DataFile], rule: Purge, target_size: u64, written: u64) -> Vec<Vec<usize>> {
    let mut partitions: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        partitions.entry(&file.partition).or_default().push(number);
    }
    let is_dead = |number: &usize| {
        let file = &files[*number];
        file.rows.is_some_and(|rows| {
            let waits = file.newly_marked && file.dead <= rows / MOSTLY_DEAD;
            rule.dead_rows.is_exceeded(file.dead, rows) && !waits
        })
    };
    let is_small = |number: &usize| files[*number].bytes < target_size / SMALL;
    let mut due: Vec<Vec<usize>> = partitions
        .into_values()
        .filter_map(|numbers| {
            let (mut dead, alive): (Vec<usize>, Vec<usize>) = numbers.into_iter().partition(is_dead);
            dead.sort_by_key(|number| Reverse(dead_part(files, &[*number])));
            let small: Vec<usize> = alive.into_iter().filter(is_small).collect();
            let many = rule.small_files > 0 && small.len() > rule.small_files;
            (many || !dead.is_empty()).then(|| [dead, small].concat())
        })
        .collect();
    due.sort_by_key(|numbers| Reverse(dead_part(files, numbers)));

    let mut left = written.saturating_mul(TIMES).max(FLOOR);
    let mut chosen: Vec<Vec<usize>> = Vec::new();
    for numbers in due {
        let mut taken = Vec::new();
        for number in numbers {
            // The first one whatever its size: else it would never be purged.
            let is_first = chosen.is_empty() && taken.is_empty();
            if is_first || files[number].bytes <= left {
                left = left.saturating_sub(files[number].bytes);
                taken.push(number);
            }
        }
        if taken.len() > 1 || taken.iter().any(|number| files[*number].dead > 0) {
            chosen.push(taken);
        }
    }
    chosen
}

/// The dead ones among a million rows.
fn dead_part(files: &[DataFile], numbers: &[usize]) -> i64 {
    let rows: i64 = numbers.iter().filter_map(|number| files[*number].rows).sum();
    let dead: i64 = numbers.iter().map(|number| files[*number].dead).sum();
    dead.saturating_mul(1_000_000).checked_div(rows).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notation::Percent;

    const MIB: u64 = 1 << 20;
    const RULE: Purge = Purge { dead_rows: Percent::from_millionths(25_000_000), small_files: 3 };

    fn file(partition: &str, mib: u64, dead: i64) -> DataFile {
        let partition = partition.to_owned();
        DataFile { partition, bytes: mib * MIB, rows: Some(100), dead, newly_marked: false }
    }

    fn purged(files: &[DataFile], rule: Purge, written: u64) -> Vec<Vec<usize>> {
        to_purge(files, rule, 100 * MIB, written * MIB)
    }

    #[test]
    fn file_of_too_many_dead_rows_goes_and_small_ones_of_its_partition_with_it() {
        let files = [
            file("a", 50, 26),
            file("a", 50, 25),
            file("a", 24, 1),
            file("a", 25, 0),
            file("b", 24, 25),
            file("b", 1, 0),
        ];
        assert_eq!(purged(&files, RULE, 100), [vec![0, 2]]);
        let off = Purge { dead_rows: Percent::from_millionths(100_000_000), small_files: 0 };
        assert!(purged(&files, off, 100).is_empty());
    }

    #[test]
    fn file_with_its_first_vector_waits_unless_most_of_it_is_dead() {
        let first = |dead| DataFile { newly_marked: true, ..file("a", 50, dead) };
        assert!(purged(&[first(26)], RULE, 100).is_empty());
        assert!(purged(&[first(50)], RULE, 100).is_empty());
        assert_eq!(purged(&[first(51)], RULE, 100), [vec![0]]);
        assert_eq!(purged(&[first(26), file("a", 50, 26)], RULE, 100), [vec![1]]);
    }

    #[test]
    fn small_files_are_put_together_once_there_are_too_many_of_them() {
        let small = |partition, n| vec![file(partition, 1, 0); n];
        let files = [small("a", 3), small("b", 4), vec![file("b", 99, 0)]].concat();
        assert_eq!(purged(&files, RULE, 0), [vec![3, 4, 5, 6]]);
        // Without statistics nothing is known of a file's rows.
        let unknown = DataFile { rows: None, ..file("a", 99, 90) };
        assert!(purged(&[unknown], RULE, 0).is_empty());
    }

    #[test]
    fn load_purges_in_proportion_to_what_it_writes_and_the_worst_first() {
        let files = [file("a", 60, 30), file("b", 60, 90), file("c", 60, 60), file("d", 4, 40)];
        assert_eq!(purged(&files, RULE, 1), [vec![1], vec![3]]);
        assert_eq!(purged(&files, RULE, 30), [vec![1], vec![2]]);
        assert_eq!(purged(&files, RULE, 100), [vec![1], vec![2], vec![3], vec![0]]);
        // One that is larger than that goes all the same, or it never would.
        assert_eq!(purged(&[file("a", 900, 30)], RULE, 1), [vec![0]]);
        // What is left of a partition has to be worth it.
        let files = [file("a", 60, 90), file("b", 3, 0), file("b", 3, 0), file("b", 3, 0), file("b", 3, 0)];
        assert_eq!(purged(&files, RULE, 0), [vec![0]]);
    }
}
