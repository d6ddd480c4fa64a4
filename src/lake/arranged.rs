//! New rows of a commit, arranged as they will lie: by partition, and there in the order of their key.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use deltalake::arrow::array::{ArrayRef, RecordBatch};
use deltalake::arrow::compute::{cast, interleave_record_batch};
use deltalake::arrow::error::ArrowError;
use deltalake::arrow::row::{RowConverter, Rows, SortField};
use deltalake::datafusion::common::hash_utils::RandomState;

use super::places::shares;
use super::replace::AsWritten;
use super::write::Size;
use crate::engine::in_threads;

/// Rows that are copied out at once.
const CHUNK: usize = 64 << 10;

/// From so many parts on there are many.
const MANY: usize = 64;
/// Rows that a part of a few, or of hardly any, has at most.
const FEW: usize = 8 << 10;
const HARDLY_ANY: usize = 256;

/// Parts by the bytes of their partition's values.
type Parts = HashMap<Vec<u8>, Part, RandomState>;

/// Rows, arranged by partition. Each part is there until somebody takes it to write it.
pub(super) struct Arranged {
    batches: Vec<RecordBatch>,
    keys: Vec<Rows>,
    partition_by: Vec<usize>,
    converter: RowConverter,
    as_written: AsWritten,
    parts: Mutex<Parts>,
}

/// What rows are arranged by.
#[derive(Clone, Copy)]
pub(super) struct ArrangeBy<'a> {
    /// The columns of the partition.
    pub(super) partition: &'a [String],
    /// The columns of the order in a partition.
    pub(super) key: &'a [String],
    /// Threads that arrange them.
    pub(super) threads: usize,
}

/// The rows of one partition, by the numbers of their batch and in it.
#[derive(Debug, Default)]
pub(super) struct Part(Vec<(u32, u32)>);

impl Arranged {
    /// Arranges rows, of which there has to be a batch.
    pub(super) fn new(
        batches: Vec<RecordBatch>,
        by: ArrangeBy<'_>,
        as_written: AsWritten,
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
        let (partition_by, key) = (places(by.partition)?, places(by.key)?);
        let (converter, sorter) = (converter(&partition_by)?, converter(&key)?);
        let arrange = |(number, batch): (u32, &RecordBatch)| {
            let keys = sorter.convert_columns(&columns(batch, &key))?;
            Ok::<_, ArrowError>((keys, parts_of(number, batch, &partition_by, &converter)?))
        };
        let arranged = in_threads((0..).zip(&batches).collect(), by.threads, arrange)?;
        let mut parts = Parts::default();
        let mut keys = Vec::with_capacity(batches.len());
        for (of_batch, parts_of_batch) in arranged {
            keys.push(of_batch);
            for (partition, part) in parts_of_batch {
                parts.entry(partition).or_default().0.extend(part.0);
            }
        }
        Ok(Self { batches, keys, partition_by, converter, as_written, parts: Mutex::new(parts) })
    }

    /// Takes the rows of the partition that the first row of a batch lies in, which has the columns of the partition.
    pub(super) fn take_beside(&self, batch: &RecordBatch) -> Result<Option<Part>, ArrowError> {
        if self.partition_by.is_empty() {
            return Ok(self.parts().remove(&[][..]));
        }
        let schema = self.batches[0].schema_ref();
        let own = |at: &usize| {
            let field = schema.field(*at);
            cast(batch.slice(0, 1).column(batch.schema().index_of(field.name())?), field.data_type())
        };
        let own = self.partition_by.iter().map(own).collect::<Result<Vec<_>, ArrowError>>()?;
        let first = self.converter.convert_columns(&own)?;
        Ok(self.parts().remove(first.row(0).as_ref()))
    }

    /// How many rows the files of what is left get.
    pub(super) fn size(&self) -> Size {
        let parts = self.parts();
        let rows: usize = parts.values().map(|part| part.0.len()).sum();
        match rows.checked_div(parts.len()) {
            Some(..=HARDLY_ANY) if parts.len() >= MANY => Size::HardlyAny,
            Some(..=FEW) if parts.len() >= MANY => Size::Few,
            _ => Size::Any,
        }
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
            (self.as_written)(interleave_record_batch(&batches, &places.collect::<Vec<_>>())?)
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

/// The rows of one batch by their partitions.
fn parts_of(
    number: u32,
    batch: &RecordBatch,
    partition_by: &[usize],
    converter: &RowConverter,
) -> Result<Parts, ArrowError> {
    let rows = (0..u32::try_from(batch.num_rows()).unwrap_or(u32::MAX)).map(|row| (number, row));
    let mut parts = Parts::default();
    if partition_by.is_empty() {
        parts.insert(Vec::new(), Part(rows.collect()));
        return Ok(parts);
    }
    let partitions = converter.convert_columns(&columns(batch, partition_by))?;
    for (place, partition) in rows.zip(partitions.iter()) {
        match parts.get_mut(partition.as_ref()) {
            Some(part) => part.0.push(place),
            None => drop(parts.insert(partition.as_ref().to_vec(), Part(vec![place]))),
        }
    }
    Ok(parts)
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

    fn arranged(batches: Vec<RecordBatch>, partition: &[String]) -> Arranged {
        let by = ArrangeBy { partition, key: &names(&["k"]), threads: 2 };
        Arranged::new(batches, by, Arc::new(Ok)).unwrap()
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
        let arranged = arranged(batches, &names(&["p"]));
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
            let arranged = arranged(vec![batch(&rows)], &partition_by);
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
