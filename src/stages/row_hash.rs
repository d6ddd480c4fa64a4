//! Row hashes, computed where they are needed: of rows that are written, and of rows whose versions are equal.

use std::sync::Arc;

use deltalake::arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use deltalake::arrow::compute::{concat, filter_record_batch, interleave_record_batch, take};
use deltalake::arrow::datatypes::{DataType, Schema};
use deltalake::datafusion::error::DataFusionError;

use super::text::Text;
use crate::engine::{Computed, Engine};
use crate::error::Result;
use crate::plan::LoadSpec;

/// Rows that are gathered and hashed at once.
const CHUNK: usize = 8 << 10;

/// Computes the hashes of rows.
#[derive(Debug, Clone)]
pub struct RowHash(Computed);

impl RowHash {
    /// For rows with these columns, staging's among them.
    ///
    /// # Errors
    /// Fails when a column is missing.
    pub fn new(engine: &Engine, spec: &LoadSpec, schema: &Schema) -> Result<Self> {
        engine.computed(&Text::new(spec).row_hash("r"), "r", schema).map(Self)
    }

    /// The hashes of those rows that are wanted, and NULL for the others.
    ///
    /// # Errors
    /// Fails for a value without a text.
    pub fn of_some(
        &self,
        rows: &RecordBatch,
        wanted: &BooleanArray,
    ) -> std::result::Result<ArrayRef, DataFusionError> {
        match wanted.true_count() {
            0 => Ok(new_null_array(&DataType::Utf8, rows.num_rows())),
            all if all == rows.num_rows() => self.0.of(rows),
            _ => {
                let hashes = self.0.of(&filter_record_batch(rows, wanted)?)?;
                let mut next = 0..;
                let places: UInt32Array = wanted
                    .values()
                    .iter()
                    .map(|is_wanted| is_wanted.then(|| next.next()).flatten())
                    .collect();
                Ok(take(&hashes, &places, None)?)
            }
        }
    }

    /// The hashes of the rows at these places: the numbers of their batch, and in it.
    ///
    /// # Errors
    /// Fails for a value without a text.
    pub fn at(
        &self,
        batches: &[RecordBatch],
        places: &[(usize, usize)],
    ) -> std::result::Result<ArrayRef, DataFusionError> {
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let of_chunk = |places: &[(usize, usize)]| self.0.of(&interleave_record_batch(&batches, places)?);
        let hashes = places.chunks(CHUNK).map(of_chunk).collect::<std::result::Result<Vec<_>, _>>()?;
        match &hashes[..] {
            [] => Ok(new_null_array(&DataType::Utf8, 0)),
            [only] => Ok(Arc::clone(only)),
            _ => Ok(concat(&hashes.iter().map(|hashes| &**hashes).collect::<Vec<_>>())?),
        }
    }
}
