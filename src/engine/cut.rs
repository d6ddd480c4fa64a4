//! Cuts the rows of a batch by key, once they do not fit memory.

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::compute::interleave_record_batch;
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::datafusion::common::hash_utils::{RandomState, create_hashes};
use deltalake::datafusion::execution::memory_pool::MemoryReservation;
use deltalake::datafusion::physical_plan::spill::get_record_batch_memory_size;
use std::sync::Arc;

use super::session::{Engine, failed};
use super::slices::{Slice, Slices, Spool, Spooled, broken, unwritable};
use crate::error::{Error, Result};

/// Files that rows are cut into: a batch may be that many times larger than what fits memory, or nearly so.
const BUCKETS: usize = 64;

/// Bytes of rows that are cut at once.
const CUT_AT_ONCE: usize = 16 << 20;

/// Bytes that each row gets later, by its hash.
const HASH: usize = 72;

/// Another one than keys are grouped by: a slice's keys would be alike there.
const SEED: u64 = 0x736c_6963;

/// Collects rows, and cuts them by key once they do not fit memory.
pub(super) struct Cut<'k> {
    key: &'k [String],
    engine: &'k Engine,
    here: Vec<RecordBatch>,
    held: MemoryReservation,
    buckets: Vec<Spool>,
}

impl<'k> Cut<'k> {
    pub(super) fn new(engine: &'k Engine, key: &'k [String]) -> Result<Self> {
        let held = engine.reserve("staged rows", 0)?;
        Ok(Self { key, engine, here: Vec::new(), held, buckets: Vec::new() })
    }

    pub(super) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let bytes = get_record_batch_memory_size(&batch) + batch.num_rows() * HASH;
        let most = self.engine.most_in_one_piece();
        let full = if self.buckets.is_empty() { most } else { most.min(CUT_AT_ONCE) };
        if self.held.size() + bytes > full {
            self.spool()?;
        }
        self.held.try_grow(bytes).map_err(failed)?;
        self.here.push(batch);
        Ok(())
    }

    /// Writes to disk what is in memory.
    fn spool(&mut self) -> Result<()> {
        let Some(first) = self.here.first() else { return Ok(()) };
        if self.buckets.is_empty() {
            let spools = (0..BUCKETS).map(|_| Spool::new(&first.schema()));
            self.buckets = spools.collect::<Result<_>>()?;
        }
        let mut here = std::mem::take(&mut self.here).into_iter().peekable();
        while here.peek().is_some() {
            let (mut batches, mut bytes) = (Vec::new(), 0);
            while bytes < CUT_AT_ONCE
                && let Some(batch) = here.next()
            {
                bytes += get_record_batch_memory_size(&batch);
                batches.push(batch);
            }
            self.cut(&batches)?;
        }
        self.held.free();
        Ok(())
    }

    fn cut(&mut self, batches: &[RecordBatch]) -> Result<()> {
        let mut places = vec![Vec::new(); BUCKETS];
        for (number, batch) in batches.iter().enumerate() {
            let key = self.key.iter().map(|name| batch.schema().index_of(name));
            let key = key.map(|at| at.map(|at| Arc::clone(batch.column(at))));
            let key = key.collect::<std::result::Result<Vec<_>, _>>().map_err(broken)?;
            let mut hashes = vec![0_u64; batch.num_rows()];
            create_hashes(&key, &RandomState::with_seed(SEED), &mut hashes).map_err(failed)?;
            for (row, hash) in hashes.into_iter().enumerate() {
                // The remainder is less than their number.
                places[usize::try_from(hash % BUCKETS as u64).unwrap_or_default()].push((number, row));
            }
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        for (bucket, places) in self.buckets.iter_mut().zip(places) {
            if !places.is_empty() {
                let rows = interleave_record_batch(&batches, &places).map_err(broken)?;
                bucket.write(&rows).map_err(unwritable)?;
            }
        }
        Ok(())
    }

    /// The rows; `schema` is theirs where there are none.
    pub(super) fn done(mut self, schema: SchemaRef) -> Result<Slices> {
        let schema = self.here.first().map_or(schema, RecordBatch::schema);
        if self.buckets.is_empty() {
            let here = Slice::Here { batches: self.here, _held: Some(Arc::new(self.held)) };
            return Ok(Slices { schema, slices: vec![here] });
        }
        self.spool()?;
        let mut slices: Vec<Vec<Spooled>> = Vec::new();
        let mut filled = 0;
        for bucket in self.buckets {
            let file = bucket.finish()?;
            let bytes = file.bytes + file.rows * HASH;
            if bytes > self.engine.most_in_a_slice() {
                return Err(too_large(bytes));
            }
            if file.rows == 0 && !slices.is_empty() {
                continue;
            }
            match slices.last_mut() {
                Some(slice) if filled + bytes <= self.engine.slice_limit() => {
                    filled += bytes;
                    slice.push(file);
                }
                _ => {
                    filled = bytes;
                    slices.push(vec![file]);
                }
            }
        }
        Ok(Slices { schema, slices: slices.into_iter().map(Slice::Spooled).collect() })
    }
}

fn too_large(bytes: usize) -> Error {
    let needed = Engine::memory_for(bytes);
    Error::usage(format!(
        "the batch cannot be cut small enough for the `memory` that it may use: {} MiB of its rows stay together",
        bytes.div_ceil(1 << 20)
    ))
    .hint(format!("raise `memory` in the pipeline file to {} MiB or more", needed.div_ceil(1 << 20)))
}
