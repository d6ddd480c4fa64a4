//! Prepares the rows of a commit that replaces rows by their places.

use std::collections::BTreeMap;
use std::sync::Arc;

use deltalake::arrow::array::{
    Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use deltalake::arrow::compute::{cast, filter_record_batch};
use deltalake::arrow::datatypes::{Int32Type, SchemaRef, UInt64Type};
use deltalake::arrow::error::ArrowError;
use roaring::RoaringTreemap;

use super::locate::Located;
use super::merge::Provenance;
use super::rows::{column, of_class};
use super::text::{CLASS, FILE, HASH, NUMBER};
use crate::engine::Rows;
use crate::error::{Error, Result};
use crate::lake::Replacement;
use crate::model::Class;
use crate::plan::LoadSpec;

/// How rows are replaced.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// Whether old rows are marked in deletion vectors.
    pub by_vectors: bool,
    /// The columns by which new rows are sorted.
    pub sort_by: &'a [String],
}

/// The rows of a commit in the target's columns, and the places of those that they replace.
///
/// # Errors
/// Fails when rows were not located.
pub fn replacement(
    spec: &LoadSpec,
    located: &Located,
    target: &SchemaRef,
    provenance: Provenance<'_>,
    way: Way<'_>,
) -> Result<Replacement> {
    let mut replaced = BTreeMap::new();
    for batch in located.rows.columns(&[CLASS, FILE, NUMBER])? {
        note_replaced(&batch?, &mut replaced).map_err(unfit)?;
    }
    let key = &spec.rules.unique_key;
    let equal = key.iter().map(|name| spec.rules.null_keys.same(&format!("t.{name}"), &format!("s.{name}")));
    let (spec, target) = (spec.clone(), Arc::clone(target));
    let (batch_id, loaded_at) = (provenance.batch_id.to_owned(), provenance.loaded_at);
    let written = move |slice: Result<Rows>| {
        let mut rows = Vec::new();
        for batch in slice?.batches {
            let written =
                of_class(&batch, Class::is_written).and_then(|mask| filter_record_batch(&batch, &mask));
            let written = written.map_err(unfit)?;
            if written.num_rows() > 0 {
                let provenance = Provenance { batch_id: &batch_id, loaded_at };
                rows.push(in_target(&spec, &written, &target, provenance).map_err(unfit)?);
            }
        }
        Ok(rows)
    };
    Ok(Replacement {
        rows: Box::new(located.rows.clone().into_each().map(written)),
        sort_by: way.sort_by.to_vec(),
        predicate: equal.collect::<Vec<_>>().join(" AND "),
        replaced,
        by_vectors: way.by_vectors,
    })
}

fn unfit(error: ArrowError) -> Error {
    Error::bug("rows do not have the target's columns").because(error)
}

/// Notes which rows of the target the rows of a batch take the place of.
fn note_replaced(
    batch: &RecordBatch,
    replaced: &mut BTreeMap<String, RoaringTreemap>,
) -> std::result::Result<(), ArrowError> {
    let written = of_class(batch, Class::is_written)?;
    let numbers = column(batch, NUMBER)?.as_primitive::<UInt64Type>();
    let files = column(batch, FILE)?.as_dictionary::<Int32Type>();
    let urls = files.values().as_string::<i32>();
    let mut by_file: Vec<Vec<u64>> = vec![Vec::new(); urls.len()];
    for row in 0..batch.num_rows() {
        if let (true, Some(file)) = (written.value(row), files.key(row)) {
            by_file[file].push(numbers.value(row));
        }
    }
    for (file, mut numbers) in by_file.into_iter().enumerate().filter(|(_, numbers)| !numbers.is_empty()) {
        numbers.sort_unstable();
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
