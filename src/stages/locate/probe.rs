//! Looks the target's rows up among the keys of a batch.
//!
//! The batch's keys are hashed once. Each row of the target costs a hash and one look; only of rows whose hash is there
//! are keys compared, and only of rows whose key is there is anything kept.

use deltalake::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use deltalake::arrow::compute::kernels::cmp::not_distinct;
use deltalake::arrow::compute::{and, cast, concat, take, take_record_batch};
use deltalake::arrow::datatypes::DataType;
use deltalake::arrow::error::ArrowError;
use deltalake::datafusion::error::DataFusionError;

use crate::engine::in_threads;
use crate::stages::keys::{Filter, KeyTable, Shares, hashes};

/// Keys by their hashes.
pub(super) struct KeyIndex {
    split: Shares,
    shares: Vec<Share>,
    /// The keys' columns, of the types that the target's have.
    keys: Vec<ArrayRef>,
}

/// A share of the keys.
struct Share {
    filter: Filter,
    table: KeyTable,
    /// The key's number in the batch, by that in the table.
    numbers: Vec<u32>,
}

/// A row of the target, and a key of the batch that has its hash.
struct Candidate<'a> {
    row: u32,
    share: &'a Share,
    key: u32,
}

/// What is known of the target's rows whose keys are in the batch.
#[derive(Debug, Default)]
pub(super) struct Matches {
    /// The key's number in the batch, row by row.
    pub(super) keys: Vec<u32>,
    /// The number of each row's file.
    pub(super) files: Vec<u32>,
    /// Each row's number in its file.
    pub(super) numbers: Vec<u64>,
    /// Other columns of the rows.
    pub(super) columns: Vec<RecordBatch>,
}

impl KeyIndex {
    /// An index of the keys in these batches, as values of the types that the target's rows have; made by so many threads.
    pub(super) fn new(
        batches: &[Vec<ArrayRef>],
        types: &[DataType],
        threads: usize,
    ) -> Result<Self, DataFusionError> {
        let mut keys = Vec::with_capacity(types.len());
        for (at, data_type) in types.iter().enumerate() {
            let parts =
                batches.iter().map(|batch| cast(&batch[at], data_type)).collect::<Result<Vec<_>, _>>()?;
            let parts: Vec<&dyn Array> = parts.iter().map(|part| &**part).collect();
            keys.push(concat(&parts)?);
        }
        let rows = keys.first().map_or(0, Array::len);
        let split = Shares::of(rows, threads);
        let share = |hashed: Vec<(u64, u32)>| {
            let mut filter = Filter::with_capacity(hashed.len());
            let mut table = KeyTable::with_capacity(hashed.len());
            for (hash, _) in &hashed {
                filter.add(*hash);
                // Each key is there once.
                table.number(*hash, |_| false);
            }
            let numbers = hashed.into_iter().map(|(_, number)| number).collect();
            Ok::<_, DataFusionError>(Share { filter, table, numbers })
        };
        let dealt = split.deal(rows, hashes(&keys, rows)?.into_iter().zip(0..));
        let shares = in_threads(dealt, threads, share)?;
        Ok(Self { split, shares, keys })
    }

    /// Adds those rows whose key is there. `columns` are their keys' columns, `rest` is what is kept of them.
    pub(super) fn probe(
        &self,
        columns: &[ArrayRef],
        rest: &RecordBatch,
        file: usize,
        number: impl Fn(usize) -> u64,
        matches: &mut Matches,
    ) -> Result<(), DataFusionError> {
        let hashes = hashes(columns, rest.num_rows())?;
        let share_of = |hash: u64| &self.shares[self.split.of_hash(hash)];
        // Most rows end here: without a branch, the processor reads ahead for the next ones.
        let (mut maybe, mut count) = (vec![0_u32; hashes.len()], 0);
        for (row, hash) in (0..).zip(&hashes) {
            maybe[count] = row;
            count += usize::from(share_of(*hash).filter.may_hold(*hash));
        }
        let mut candidates = Vec::with_capacity(count);
        for row in &maybe[..count] {
            let share = share_of(hashes[*row as usize]);
            if let Some(key) = share.table.candidate(hashes[*row as usize]) {
                candidates.push(Candidate { row: *row, share, key });
            }
        }
        let mut found = Vec::with_capacity(candidates.len());
        // Once, but for keys that share a hash with another.
        while !candidates.is_empty() {
            let same = self.same(columns, &candidates)?;
            let mut others = Vec::new();
            for (Candidate { row, share, key }, same) in candidates.into_iter().zip(same.values()) {
                if same {
                    found.push(row);
                    matches.keys.push(share.numbers[key as usize]);
                    matches.files.push(u32::try_from(file).unwrap_or(u32::MAX));
                    matches.numbers.push(number(row as usize));
                } else if let Some(key) = share.table.after(key) {
                    others.push(Candidate { row, share, key });
                }
            }
            candidates = others;
        }
        if !found.is_empty() {
            matches.columns.push(take_record_batch(rest, &UInt32Array::from(found))?);
        }
        Ok(())
    }

    /// Whether each candidate's row has its key. NULL is a value like others: what may not be NULL was seen to before.
    fn same(&self, columns: &[ArrayRef], candidates: &[Candidate<'_>]) -> Result<BooleanArray, ArrowError> {
        let rows = UInt32Array::from_iter_values(candidates.iter().map(|candidate| candidate.row));
        let keys = candidates.iter().map(|candidate| candidate.share.numbers[candidate.key as usize]);
        let keys = UInt32Array::from_iter_values(keys);
        let mut same = BooleanArray::from(vec![true; candidates.len()]);
        for (theirs, ours) in columns.iter().zip(&self.keys) {
            let theirs = cast(&take(theirs, &rows, None)?, ours.data_type())?;
            same = and(&same, &not_distinct(&theirs, &take(ours, &keys, None)?)?)?;
        }
        Ok(same)
    }
}

impl Matches {
    /// Takes in what another part of the scan found.
    pub(super) fn extend(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.files.extend(other.files);
        self.numbers.extend(other.numbers);
        self.columns.extend(other.columns);
    }

    /// For each of `keys` the match that it has. `None` where a key has more than one.
    pub(super) fn by_key(&self, keys: usize) -> Option<Vec<Option<u32>>> {
        let mut found = vec![None; keys];
        for (at, key) in (0..).zip(&self.keys) {
            if found[*key as usize].replace(at).is_some() {
                return None;
            }
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use deltalake::arrow::array::{Int64Array, StringArray};

    use super::*;

    fn columns(ids: &[Option<i64>], names: &[&str]) -> Vec<ArrayRef> {
        vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(StringArray::from(names.to_vec()))]
    }

    fn rest(rows: usize) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..i64::try_from(rows).unwrap()));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    #[test]
    fn rows_whose_whole_key_is_there_are_found_with_their_place() {
        let batches = [columns(&[Some(1), Some(2)], &["a", "b"]), columns(&[Some(3), Some(1)], &["c", "b"])];
        let index = KeyIndex::new(&batches, &[DataType::Int64, DataType::Utf8], 2).unwrap();
        let target = columns(&[Some(1), Some(1), None, Some(3), Some(4)], &["b", "c", "a", "c", "a"]);
        let mut matches = Matches::default();
        index.probe(&target, &rest(5), 7, |row| 100 + row as u64, &mut matches).unwrap();
        assert_eq!((&matches.keys[..], &matches.files[..]), (&[3, 2][..], &[7, 7][..]));
        assert_eq!(matches.numbers, [100, 103]);
        assert_eq!(matches.columns[0], take_record_batch(&rest(5), &UInt32Array::from(vec![0, 3])).unwrap());
        assert_eq!(matches.by_key(4), Some(vec![None, None, Some(1), Some(0)]));
        index.probe(&target, &rest(5), 8, |row| row as u64, &mut matches).unwrap();
        assert_eq!(matches.by_key(4), None);
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        // NULL adds nothing to a hash, so these have the same.
        let keys = |rows: &[[Option<i64>; 3]]| -> Vec<ArrayRef> {
            let column =
                |at: usize| -> ArrayRef { Arc::new(rows.iter().map(|row| row[at]).collect::<Int64Array>()) };
            (0..3).map(column).collect()
        };
        let of_one_hash = [[None, Some(1), None], [None, None, Some(1)], [None, None, Some(2)]];
        let hashed = hashes(&keys(&of_one_hash), 3).unwrap();
        assert!(hashed[0] == hashed[1] && hashed[1] != hashed[2]);
        for held in [&of_one_hash[..], &of_one_hash[1..]] {
            let index = KeyIndex::new(&[keys(held)], &[const { DataType::Int64 }; 3], 1).unwrap();
            let mut matches = Matches::default();
            index.probe(&keys(&of_one_hash), &rest(3), 0, |row| row as u64, &mut matches).unwrap();
            let mut found: Vec<_> = matches.numbers.iter().zip(&matches.keys).collect();
            found.sort_unstable();
            let wanted: Vec<(u64, u32)> = (3 - held.len() as u64..3).zip(0..).collect();
            assert!(found.into_iter().eq(wanted.iter().map(|(row, key)| (row, key))));
        }
    }
}
