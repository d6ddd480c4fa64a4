//! Prepares the rows of a commit that replaces rows by their places.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use deltalake::arrow::array::{ArrayRef, AsArray as _, RecordBatch, StringArray, TimestampMicrosecondArray};
use deltalake::arrow::compute::{cast, filter_record_batch};
use deltalake::arrow::datatypes::{Int32Type, SchemaRef, UInt64Type};
use deltalake::arrow::error::ArrowError;

use super::locate::Located;
use super::merge::Provenance;
use super::rows::{column, of_class};
use super::text::{FILE, HASH, NUMBER};
use crate::error::{Error, Result};
use crate::lake::Replacement;
use crate::model::Class;
use crate::plan::LoadSpec;

/// The rows of a commit in the target's columns, and the places of those that they replace.
///
/// # Errors
/// Fails when a column of the target gets no value, or one that it cannot hold.
pub fn replacement(
    spec: &LoadSpec,
    located: &Located,
    target: &SchemaRef,
    provenance: Provenance<'_>,
    by_vectors: bool,
) -> Result<Replacement> {
    let key = &spec.rules.unique_key;
    let equal = key.iter().map(|name| format!("t.{name} = s.{name}"));
    let mut made = Replacement {
        rows: Vec::new(),
        sort_by: key.clone(),
        predicate: equal.collect::<Vec<_>>().join(" AND "),
        replaced: BTreeMap::new(),
        by_vectors,
    };
    let unfit = |error: ArrowError| Error::bug("rows do not have the target's columns").because(error);
    for batch in &located.rows.batches {
        let written = of_class(batch, Class::is_written).and_then(|rows| filter_record_batch(batch, &rows));
        let written = written.map_err(unfit)?;
        if written.num_rows() > 0 {
            note_replaced(&written, &mut made.replaced).map_err(unfit)?;
            made.rows.push(in_target(spec, &written, target, provenance).map_err(unfit)?);
        }
    }
    Ok(made)
}

/// Notes which rows of the target the rows of a batch take the place of.
fn note_replaced(
    batch: &RecordBatch,
    replaced: &mut BTreeMap<String, Vec<u64>>,
) -> std::result::Result<(), ArrowError> {
    let numbers = column(batch, NUMBER)?.as_primitive::<UInt64Type>();
    let files = column(batch, FILE)?.as_dictionary::<Int32Type>();
    let urls = files.values().as_string::<i32>();
    let mut by_file: HashMap<usize, Vec<u64>> = HashMap::new();
    for row in 0..batch.num_rows() {
        if let Some(file) = files.key(row) {
            by_file.entry(file).or_default().push(numbers.value(row));
        }
    }
    for (file, numbers) in by_file {
        replaced.entry(urls.value(file).to_owned()).or_default().extend(numbers);
    }
    Ok(())
}

fn in_target(
    spec: &LoadSpec,
    batch: &RecordBatch,
    target: &SchemaRef,
    provenance: Provenance<'_>,
) -> std::result::Result<RecordBatch, ArrowError> {
    let load_columns = &spec.rules.load_columns;
    let rows = batch.num_rows();
    let columns = target.fields().iter().map(|field| {
        let name = field.name();
        let values: ArrayRef = if *name == load_columns.row_hash {
            Arc::clone(column(batch, HASH)?)
        } else if *name == load_columns.batch_id {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(provenance.batch_id, rows)))
        } else if *name == load_columns.loaded_at {
            let at = provenance.loaded_at.timestamp_micros();
            Arc::new(TimestampMicrosecondArray::from_value(at, rows).with_timezone("UTC"))
        } else if spec.column(name).is_some() {
            Arc::clone(column(batch, name)?)
        } else {
            return Err(ArrowError::SchemaError(format!("nothing is loaded into `{name}`")));
        };
        cast(&values, field.data_type())
    });
    RecordBatch::try_new(Arc::clone(target), columns.collect::<std::result::Result<_, _>>()?)
}
