//! New rows of a commit, arranged as they will lie: by partition, and there in the order of their key.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use deltalake::arrow::array::{ArrayRef, RecordBatch};
use deltalake::arrow::compute::interleave_record_batch;
use deltalake::arrow::error::ArrowError;
use deltalake::arrow::row::{RowConverter, Rows, SortField};
use deltalake::datafusion::common::hash_utils::RandomState;

use super::places::shares;

/// Rows that are copied out at once.
const CHUNK: usize = 64 << 10;

/// From so many parts on there are many, of at most so many rows each.
const MANY: usize = 64;
const FEW: usize = 8 << 10;

/// Parts by the bytes of their partition's values.
type Parts = HashMap<Vec<u8>, Part, RandomState>;

/// Rows, arranged by partition. Each part is there until somebody takes it to write it.
pub(super) struct Arranged {
    batches: Vec<RecordBatch>,
    keys: Vec<Rows>,
    partition_by: Vec<usize>,
    converter: RowConverter,
    parts: Mutex<Parts>,
}

/// The rows of one partition, by the numbers of their batch and in it.
#[derive(Debug, Default)]
pub(super) struct Part(Vec<(u32, u32)>);

impl Arranged {
    /// Arranges rows by the columns `partition_by`. There has to be a batch.
    pub(super) fn new(
        batches: Vec<RecordBatch>,
        partition_by: &[String],
        key: &[String],
    ) -> Result<Self, ArrowError> {
        let schema = batches.first().map(RecordBatch::schema);
        let schema =
            schema.ok_or_else(|| ArrowError::InvalidArgumentError("no rows to arrange".to_owned()))?;
        let places =
            |names: &[String]| names.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>();
        let converter = |places: &[usize]| {
            let field = |at: &usize| SortField::new(schema.field(*at).data_type().clone());
            RowConverter::new(places.iter().map(field).collect())
        };
        let (partition_by, key) = (places(partition_by)?, places(key)?);
        let (converter, sorter) = (converter(&partition_by)?, converter(&key)?);
        let mut parts = Parts::default();
        let mut keys = Vec::with_capacity(batches.len());
        for (number, batch) in (0..).zip(&batches) {
            keys.push(sorter.convert_columns(&columns(batch, &key))?);
            let rows = (0..u32::try_from(batch.num_rows()).unwrap_or(u32::MAX)).map(|row| (number, row));
            if partition_by.is_empty() {
                parts.entry(Vec::new()).or_default().0.extend(rows);
                continue;
            }
            let partitions = converter.convert_columns(&columns(batch, &partition_by))?;
            for (place, partition) in rows.zip(partitions.iter()) {
                match parts.get_mut(partition.as_ref()) {
                    Some(part) => part.0.push(place),
                    None => drop(parts.insert(partition.as_ref().to_vec(), Part(vec![place]))),
                }
            }
        }
        Ok(Self { batches, keys, partition_by, converter, parts: Mutex::new(parts) })
    }

    /// Takes the rows of the partition that the first row of a batch of the same columns lies in.
    pub(super) fn take_beside(&self, batch: &RecordBatch) -> Result<Option<Part>, ArrowError> {
        if self.partition_by.is_empty() {
            return Ok(self.parts().remove(&[][..]));
        }
        let first = self.converter.convert_columns(&columns(&batch.slice(0, 1), &self.partition_by))?;
        Ok(self.parts().remove(first.row(0).as_ref()))
    }

    /// Whether what is left are many parts of a few rows each.
    pub(super) fn has_small_parts(&self) -> bool {
        let parts = self.parts();
        let rows: usize = parts.values().map(|part| part.0.len()).sum();
        parts.len() >= MANY && rows / parts.len() <= FEW
    }

    /// Takes what is left, split evenly among so many.
    pub(super) fn take_rest(&self, among: usize) -> Vec<Vec<Part>> {
        let mut rest: Vec<Part> = self.parts().drain().map(|(_, part)| part).collect();
        if let [only] = &mut rest[..] {
            // Sorted before it is split, so that the parts do not overlap.
            self.sort(only);
            let length = only.0.len().div_ceil(among).max(CHUNK);
            return only.0.chunks(length).map(|rows| vec![Part(rows.to_vec())]).collect();
        }
        shares(rest, among, |part| part.0.len() as u64)
    }

    /// The rows of a part, in the order of their key.
    pub(super) fn rows(&self, mut part: Part) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
        self.sort(&mut part);
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let starts = (0..part.0.len()).step_by(CHUNK);
        starts.map(move |from| {
            let upto = (from + CHUNK).min(part.0.len());
            let places = part.0[from..upto].iter().map(|(batch, row)| (*batch as usize, *row as usize));
            interleave_record_batch(&batches, &places.collect::<Vec<_>>())
        })
    }

    fn sort(&self, part: &mut Part) {
        let key = |place: &(u32, u32)| self.keys[place.0 as usize].row(place.1 as usize);
        // By the first bytes, which lie side by side, and only where those are the same by the rest, which do not.
        let start = |place: &(u32, u32)| {
            let (mut bytes, key) = ([0; 16], key(place));
            let known = key.as_ref().len().min(16);
            bytes[..known].copy_from_slice(&key.as_ref()[..known]);
            u128::from_be_bytes(bytes)
        };
        let mut places: Vec<(u128, (u32, u32))> = part.0.iter().map(|place| (start(place), *place)).collect();
        places.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(&a.1).cmp(&key(&b.1))));
        part.0 = places.into_iter().map(|(_, place)| place).collect();
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn columns(batch: &RecordBatch, places: &[usize]) -> Vec<ArrayRef> {
    places.iter().map(|at| batch.column(*at).clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use deltalake::arrow::array::{AsArray as _, Int64Array};
    use deltalake::arrow::datatypes::Int64Type;

    use super::*;

    fn batch(rows: &[(Option<i64>, i64)]) -> RecordBatch {
        let p: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>());
        let k: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>());
        RecordBatch::try_from_iter_with_nullable([("p", p, true), ("k", k, true)]).unwrap()
    }

    fn keys(arranged: &Arranged, part: Part) -> Vec<i64> {
        let of = |batch: RecordBatch| batch["k"].as_primitive::<Int64Type>().values().to_vec();
        arranged.rows(part).flat_map(|batch| of(batch.unwrap())).collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn rows_lie_by_partition_and_key_and_each_part_is_taken_once() {
        let batches = vec![
            batch(&[(Some(1), 5), (Some(2), 4), (None, 3)]),
            batch(&[(None, 2), (Some(1), 1), (Some(1), 9)]),
        ];
        let arranged = Arranged::new(batches, &names(&["p"]), &names(&["k"])).unwrap();
        let part = arranged.take_beside(&batch(&[(Some(1), 0), (Some(2), 0)])).unwrap().unwrap();
        assert_eq!(keys(&arranged, part), [1, 5, 9]);
        assert!(arranged.take_beside(&batch(&[(Some(1), 0)])).unwrap().is_none());
        let rest = arranged.take_rest(2);
        let mut rest: Vec<Vec<i64>> = rest.into_iter().flatten().map(|part| keys(&arranged, part)).collect();
        rest.sort();
        assert_eq!(rest, [vec![2, 3], vec![4]]);
        assert!(arranged.take_rest(2).is_empty());
    }

    #[test]
    fn one_large_part_is_split_into_stretches_of_its_key() {
        let rows: Vec<_> = (0..200_000).map(|n| (None, (n * 7_919) % 200_000)).collect();
        for partition_by in [names(&[]), names(&["p"])] {
            let arranged = Arranged::new(vec![batch(&rows)], &partition_by, &names(&["k"])).unwrap();
            let shares = arranged.take_rest(2);
            let shares: Vec<Vec<i64>> = shares
                .into_iter()
                .map(|share| share.into_iter().flat_map(|part| keys(&arranged, part)).collect())
                .collect();
            assert_eq!(shares.len(), 2);
            assert!(shares.concat().into_iter().eq(0..200_000));
        }
    }
}
