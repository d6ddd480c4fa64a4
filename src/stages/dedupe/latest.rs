//! The latest row of each key, told by positions: no row is copied before it is known to win.
//!
//! Rows are grouped by their keys' bytes. Most keys are staged once or twice, so what orders rows is looked at only
//! where a key is there more than once, the row hash only where the version is the same, and the columns that are not
//! loaded only where even the row hash is the same.
//! `src/sql/ranked.sql` and `dedupe_counts.sql` say the same in SQL; tests hold the two against each other.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;

use deltalake::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use deltalake::arrow::compute::{SortOptions, filter_record_batch, interleave};
use deltalake::arrow::error::ArrowError;
use deltalake::arrow::row::{Row, RowConverter, Rows, SortField};
use deltalake::datafusion::common::hash_utils::RandomState;
use deltalake::datafusion::error::DataFusionError;

use crate::engine::{in_threads, nested_text_of, ordered};
use crate::notation::VersionOrder;
use crate::stages::keys::{KeyTable, Shares, hashes};

/// A column that rows are ordered by; NULL comes last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The column.
    pub column: String,
    /// Whether its highest value ranks first.
    pub descending: bool,
    /// In what order its values are.
    pub order: VersionOrder,
    /// Whether it holds nested values.
    pub nested: bool,
}

/// The hashes of the rows at these places.
type HashesAt<'a> = dyn Fn(&[RecordBatch], &[Place]) -> Result<ArrayRef, DataFusionError> + Sync + 'a;

/// What rows are deduped by.
#[derive(Clone)]
pub(super) struct By<'a> {
    pub(super) key: Vec<&'a str>,
    /// Columns that a row must have to be looked at.
    pub(super) required: Vec<&'a str>,
    /// The columns of the version.
    pub(super) versions: Vec<Term>,
    /// The order of a key's rows before their hashes, which begins with the version.
    pub(super) order: Vec<Term>,
    /// The hashes of rows, of which the highest ranks first.
    pub(super) hashes: &'a HashesAt<'a>,
    /// The columns that order what is equal by then.
    pub(super) rest: Vec<Term>,
}

/// How the rows were split.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Complete rows.
    pub(super) staged: i64,
    /// Keys.
    pub(super) deduped: i64,
    /// Rows with the key, version and hash of one that ranks higher.
    pub(super) duplicate: i64,
    /// Other rows that lost.
    pub(super) superseded: i64,
    /// Those of them with the version of the winner.
    pub(super) tied: i64,
}

/// A row: the number of its batch, and its number there.
pub(super) type Place = (usize, usize);

/// A row, with the hash of its key.
type Hashed = (u64, Place);

/// The keys of a batch's rows.
struct Keys {
    /// Until the rows are dealt out by them.
    hashes: Vec<u64>,
    values: Rows,
    /// Of rows that lack a required column: those that are not looked at.
    incomplete: Option<Vec<bool>>,
}

/// The winners, in the order in which the rows came, and how the others were split off; by so many threads, each of
/// which takes keys of its own.
pub(super) fn latest(
    batches: Vec<RecordBatch>,
    by: &By<'_>,
    threads: usize,
) -> Result<(Vec<RecordBatch>, Split), DataFusionError> {
    let mut keys = in_threads(batches.iter().collect(), threads, |batch| Keys::new(batch, by))?;
    let shares = by_share(&mut keys, threads);
    let taken = in_threads(shares, threads, |rows| latest_of(&batches, &keys, by, rows))?;
    drop(keys);
    let mut split = Split::default();
    let mut wins: Vec<Vec<bool>> = batches.iter().map(|batch| vec![false; batch.num_rows()]).collect();
    for (winners, of_share) in taken {
        for (batch, row) in winners {
            wins[batch][row] = true;
        }
        split.add(&of_share);
    }
    // A batch goes when its winners are copied, so that not all rows are there twice.
    let winners = in_threads(batches.into_iter().zip(wins).collect(), threads, |(batch, wins)| {
        filter_record_batch(&batch, &BooleanArray::from(wins))
    })?;
    Ok((winners.into_iter().filter(|batch| batch.num_rows() > 0).collect(), split))
}

/// Complete rows, by shares of their keys.
fn by_share(keys: &mut [Keys], threads: usize) -> Vec<Vec<Hashed>> {
    let rows: usize = keys.iter().map(|of_batch| of_batch.hashes.len()).sum();
    let hashed = keys.iter_mut().enumerate().flat_map(|(number, of_batch)| {
        let hashes = std::mem::take(&mut of_batch.hashes).into_iter().enumerate();
        let complete =
            hashes.filter(|(row, _)| !of_batch.incomplete.as_ref().is_some_and(|lacks| lacks[*row]));
        complete.map(move |(row, hash)| (hash, (number, row)))
    });
    Shares::of(rows, threads).deal(rows, hashed)
}

/// The places of the winners among these.
fn latest_of(
    batches: &[RecordBatch],
    keys: &[Keys],
    by: &By<'_>,
    rows: Vec<Hashed>,
) -> Result<(Vec<Place>, Split), DataFusionError> {
    let (group_of, sizes) = grouped(&rows, keys);
    let mut split = Split { staged: count(rows.len()), deduped: count(sizes.len()), ..Split::default() };

    let mut winners: Vec<Place> = Vec::with_capacity(sizes.len());
    let mut contended: Vec<(u32, Place)> = Vec::new();
    for ((_, place), group) in rows.into_iter().zip(group_of) {
        if sizes[group as usize] == 1 {
            winners.push(place);
        } else {
            contended.push((group, place));
        }
    }
    if !contended.is_empty() {
        let ranked = Ranked::new(batches, by, &contended)?;
        for group in ranked.groups() {
            winners.push(contended[group[0] as usize].1);
            ranked.count(group, &mut split);
        }
    }
    Ok((winners, split))
}

impl Split {
    pub(super) fn add(&mut self, other: &Self) {
        self.staged += other.staged;
        self.deduped += other.deduped;
        self.duplicate += other.duplicate;
        self.superseded += other.superseded;
        self.tied += other.tied;
    }
}

impl Keys {
    fn new(batch: &RecordBatch, by: &By<'_>) -> Result<Self, DataFusionError> {
        let key = columns(batch, &by.key)?;
        let required = columns(batch, &by.required)?;
        let nullable: Vec<&ArrayRef> = required.iter().filter(|column| column.null_count() > 0).collect();
        let lacks = |row: usize| nullable.iter().any(|column| column.is_null(row));
        Ok(Self {
            hashes: hashes(&key, batch.num_rows())?,
            values: rows_of(&key)?,
            incomplete: (!nullable.is_empty()).then(|| (0..batch.num_rows()).map(lacks).collect()),
        })
    }
}

/// The number of each row's key, and how many rows each key has.
fn grouped(rows: &[Hashed], keys: &[Keys]) -> (Vec<u32>, Vec<u32>) {
    let mut table = KeyTable::with_capacity(rows.len());
    let (mut of, mut sizes, mut first) = (Vec::with_capacity(rows.len()), Vec::new(), Vec::<Place>::new());
    for (hash, place) in rows {
        let is = |number: u32| {
            let (batch, row) = first[number as usize];
            keys[batch].values.row(row) == keys[place.0].values.row(place.1)
        };
        let number = table.number(*hash, is);
        if number as usize == sizes.len() {
            sizes.push(0);
            first.push(*place);
        }
        sizes[number as usize] += 1;
        of.push(number);
    }
    (of, sizes)
}

/// Rows of keys that are there more than once, in their order.
struct Ranked {
    /// Numbers of contended rows, key by key, each key's in their order.
    order: Vec<u32>,
    /// Where each key begins in `order`, and the end.
    starts: Vec<usize>,
    versions: Rows,
    hashes: Hashes,
}

/// The hashes of those contended rows that are not alone with their key and version.
struct Hashes {
    /// Where each contended row's lies, if it has one.
    at: Vec<Option<u32>>,
    values: Rows,
}

impl Hashes {
    fn of(&self, row: u32) -> Option<Row<'_>> {
        self.at[row as usize].map(|at| self.values.row(at as usize))
    }
}

impl Ranked {
    fn new(
        batches: &[RecordBatch],
        by: &By<'_>,
        contended: &[(u32, Place)],
    ) -> Result<Self, DataFusionError> {
        let places: Vec<Place> = contended.iter().map(|(_, place)| *place).collect();
        let (mut order, starts) = by_key(contended);
        let first = ordered_rows(batches, &by.order, &places)?;
        let versions = ordered_rows(batches, &by.versions, &places)?;
        let by_first = |a: &u32, b: &u32| first.row(*a as usize).cmp(&first.row(*b as usize));
        for of_key in starts.windows(2) {
            order[of_key[0]..of_key[1]].sort_unstable_by(by_first);
        }
        let of_version = |a: &u32, b: &u32| versions.row(*a as usize).cmp(&versions.row(*b as usize));
        let level = runs(&order, starts.windows(2).map(|of_key| of_key[0]..of_key[1]), of_version);
        let hashes = {
            let mut at = vec![None; contended.len()];
            let rows: Vec<u32> = level.iter().flat_map(|run| order[run.clone()].iter().copied()).collect();
            for (number, row) in (0..).zip(&rows) {
                at[*row as usize] = Some(number);
            }
            let of_level: Vec<Place> = rows.iter().map(|row| places[*row as usize]).collect();
            Hashes { at, values: rows_of(&[(by.hashes)(batches, &of_level)?])? }
        };
        let by_hash = |a: &u32, b: &u32| hashes.of(*b).cmp(&hashes.of(*a));
        let level = runs(&order, level.into_iter(), by_first);
        for run in &level {
            order[run.clone()].sort_unstable_by(by_hash);
        }
        if !by.rest.is_empty() {
            let copies = runs(&order, level.into_iter(), by_hash);
            settle_copies(batches, by, &places, &mut order, &copies)?;
        }
        Ok(Self { order, starts, versions, hashes })
    }

    fn groups(&self) -> impl Iterator<Item = &[u32]> {
        self.starts.windows(2).map(|ends| &self.order[ends[0]..ends[1]])
    }

    /// Counts the rows of one key: of each version and hash the highest is one of its own, the others repeat it.
    fn count(&self, group: &[u32], split: &mut Split) {
        let class = |row: u32| (self.versions.row(row as usize), self.hashes.of(row));
        let top = class(group[0]);
        let mut seen = HashSet::with_hasher(RandomState::default());
        seen.insert(top);
        for row in &group[1..] {
            let class = class(*row);
            if !seen.insert(class) {
                split.duplicate += 1;
                continue;
            }
            split.superseded += 1;
            split.tied += i64::from(class.0 == top.0);
        }
    }
}

/// The numbers of contended rows, key by key; and where each key begins, and the end.
fn by_key(contended: &[(u32, Place)]) -> (Vec<u32>, Vec<usize>) {
    let keys = contended.iter().map(|(group, _)| *group as usize + 1).max().unwrap_or_default();
    let mut ends = vec![0; keys + 1];
    for (group, _) in contended {
        ends[*group as usize + 1] += 1;
    }
    for group in 0..keys {
        ends[group + 1] += ends[group];
    }
    let (mut next, mut order) = (ends.clone(), vec![0; contended.len()]);
    for (row, (group, _)) in (0..).zip(contended) {
        let at = &mut next[*group as usize];
        order[*at] = row;
        *at += 1;
    }
    let mut starts = ends;
    starts.dedup();
    (order, starts)
}

/// Stretches of more than one row that are equal, of rows that lie in their order within each of `stretches`.
fn runs(
    order: &[u32],
    stretches: impl Iterator<Item = Range<usize>>,
    compare: impl Fn(&u32, &u32) -> Ordering,
) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    for stretch in stretches {
        let mut from = stretch.start;
        for at in stretch.start + 1..=stretch.end {
            if at == stretch.end || compare(&order[from], &order[at]) != Ordering::Equal {
                if at - from > 1 {
                    runs.push(from..at);
                }
                from = at;
            }
        }
    }
    runs
}

/// Puts rows in order that are equal down to the row hash: copies, which differ in nothing that is loaded.
fn settle_copies(
    batches: &[RecordBatch],
    by: &By<'_>,
    places: &[Place],
    order: &mut [u32],
    runs: &[Range<usize>],
) -> Result<(), ArrowError> {
    let copies: Vec<u32> = runs.iter().flat_map(|run| order[run.clone()].iter().copied()).collect();
    let of_copies: Vec<Place> = copies.iter().map(|row| places[*row as usize]).collect();
    let rest = ordered_rows(batches, &by.rest, &of_copies)?;
    let mut at = 0;
    for run in runs {
        let mut numbers: Vec<usize> = (at..at + run.len()).collect();
        numbers.sort_unstable_by(|a, b| rest.row(*a).cmp(&rest.row(*b)));
        at += run.len();
        for (place, number) in run.clone().zip(numbers) {
            order[place] = copies[number];
        }
    }
    Ok(())
}

/// The rows at these places as bytes that compare as the terms say.
fn ordered_rows(batches: &[RecordBatch], terms: &[Term], places: &[Place]) -> Result<Rows, ArrowError> {
    let mut columns = Vec::with_capacity(terms.len());
    let mut fields = Vec::with_capacity(terms.len());
    for term in terms {
        let values = gathered(batches, &term.column, places)?;
        let values = if term.nested { nested_text_of(&values)? } else { ordered(&values, term.order)? };
        let options = SortOptions { descending: term.descending, nulls_first: false };
        fields.push(SortField::new_with_options(values.data_type().clone(), options));
        columns.push(values);
    }
    RowConverter::new(fields)?.convert_columns(&columns)
}

/// The values of a column at these places.
fn gathered(batches: &[RecordBatch], name: &str, places: &[Place]) -> Result<ArrayRef, ArrowError> {
    let arrays = batches.iter().map(|batch| column(batch, name)).collect::<Result<Vec<_>, _>>()?;
    let arrays: Vec<&dyn Array> = arrays.iter().map(|array| &**array).collect();
    interleave(&arrays, places)
}

/// Rows as bytes that are equal where the values are.
fn rows_of(columns: &[ArrayRef]) -> Result<Rows, ArrowError> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    RowConverter::new(fields)?.convert_columns(columns)
}

fn columns(batch: &RecordBatch, names: &[&str]) -> Result<Vec<ArrayRef>, ArrowError> {
    names.iter().map(|name| column(batch, name)).collect()
}

fn column(batch: &RecordBatch, name: &str) -> Result<ArrayRef, ArrowError> {
    let found = batch.column_by_name(name).cloned();
    found.ok_or_else(|| ArrowError::SchemaError(format!("staged rows have no column `{name}`")))
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use deltalake::arrow::array::{AsArray as _, Int64Array, StringArray};
    use deltalake::arrow::datatypes::Int64Type;

    use super::*;

    /// Key, version, hash, a column that is not loaded.
    type Of<'a> = (Option<i64>, i64, &'a str, i64);

    fn batch(rows: &[Of<'_>]) -> RecordBatch {
        let integers = |of: &dyn Fn(&Of<'_>) -> Option<i64>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<Int64Array>())
        };
        let hashes: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>());
        RecordBatch::try_from_iter_with_nullable([
            ("k", integers(&|row| row.0), true),
            ("v", integers(&|row| Some(row.1)), true),
            ("h", hashes, true),
            ("x", integers(&|row| Some(row.3)), true),
        ])
        .unwrap()
    }

    fn term(column: &str) -> Term {
        Term { column: column.to_owned(), descending: true, order: VersionOrder::Own, nested: false }
    }

    fn split(batches: &[RecordBatch]) -> (Vec<(i64, i64)>, [i64; 5]) {
        let by = By {
            key: vec!["k"],
            required: vec!["k", "v"],
            versions: vec![term("v")],
            order: vec![term("v")],
            hashes: &|batches, places| Ok(gathered(batches, "h", places)?),
            rest: vec![term("x")],
        };
        let (winners, split) = latest(batches.to_vec(), &by, 1).unwrap();
        for threads in [2, 7] {
            assert_eq!(latest(batches.to_vec(), &by, threads).unwrap(), (winners.clone(), split.clone()));
        }
        let mut found = Vec::new();
        for batch in winners {
            let values = |name: &str| batch[name].as_primitive::<Int64Type>().values().to_vec();
            found.extend(values("k").into_iter().zip(values("x")));
        }
        found.sort_unstable();
        (found, [split.staged, split.deduped, split.duplicate, split.superseded, split.tied])
    }

    #[test]
    fn latest_version_wins_and_the_others_are_split_by_version_and_hash() {
        let first = batch(&[(Some(1), 5, "a", 1), (Some(2), 1, "a", 1), (None, 9, "z", 9)]);
        let second = batch(&[
            (Some(1), 5, "a", 7), // a copy, which ranks higher by a column that is not loaded
            (Some(1), 5, "b", 0), // a tie, which ranks higher by its hash
            (Some(1), 4, "b", 0), // an older version
            (Some(1), 4, "b", 3), // and a copy of it
        ]);
        let wanted = (vec![(1, 0), (2, 1)], [6, 2, 2, 2, 1]);
        assert_eq!(split(&[first.clone(), second.clone()]), wanted);
        assert_eq!(split(&[second, first]), wanted);
    }

    #[test]
    fn copies_are_ordered_by_what_is_not_loaded_wherever_they_lie() {
        let rows = [(Some(1), 5, "a", 2), (Some(1), 5, "a", 9), (Some(1), 5, "a", 4)];
        for turn in 0..3 {
            let mut turned = rows;
            turned.rotate_left(turn);
            assert_eq!(split(&[batch(&turned)]), (vec![(1, 9)], [3, 1, 2, 0, 0]));
        }
    }

    #[test]
    fn no_rows_are_no_keys() {
        assert_eq!(split(&[]), (vec![], [0; 5]));
        assert_eq!(split(&[batch(&[])]), (vec![], [0; 5]));
    }
}
