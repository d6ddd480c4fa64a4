//! Prepares the rows of a commit that replaces rows by their places.

use std::collections::HashMap;
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
use crate::engine::{Rows, in_threads};
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
    /// Threads that prepare them.
    pub threads: usize,
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
    let mut replaced = HashMap::new();
    for batch in located.rows.columns(&[CLASS, FILE, NUMBER])? {
        note_replaced(&batch?, &mut replaced).map_err(unfit)?;
    }
    let sorted = |(file, mut numbers): (String, Vec<u64>)| {
        numbers.sort_unstable();
        let rows = RoaringTreemap::from_sorted_iter(numbers)
            .map_err(|error| Error::bug("a row is replaced twice").because(error))?;
        Ok::<_, Error>((file, rows))
    };
    let replaced = in_threads(replaced.into_iter().collect(), way.threads, sorted)?.into_iter().collect();
    let key = &spec.rules.unique_key;
    let equal = key.iter().map(|name| spec.rules.null_keys.same(&format!("t.{name}"), &format!("s.{name}")));
    let constant = [&spec.rules.load_columns.batch_id, &spec.rules.load_columns.loaded_at];
    let sort_by = way.sort_by.iter().filter(|name| !constant.contains(name)).cloned().collect();
    let (threads, gathering) = (way.threads, spec.clone());
    let written = move |slice: Result<Rows>| {
        let written = |batch: RecordBatch| {
            let mask = of_class(&batch, Class::is_written)?;
            filter_record_batch(&to_be_written(&gathering, &batch)?, &mask)
        };
        let mut rows = in_threads(slice?.batches, threads, written).map_err(unfit)?;
        rows.retain(|batch| batch.num_rows() > 0);
        Ok(rows)
    };
    let (spec, target) = (spec.clone(), Arc::clone(target));
    let (batch_id, loaded_at) = (provenance.batch_id.to_owned(), provenance.loaded_at);
    let as_written =
        move |batch| in_target(&spec, &batch, &target, Provenance { batch_id: &batch_id, loaded_at });
    Ok(Replacement {
        rows: Box::new(located.rows.clone().into_each().map(written)),
        as_written: Arc::new(as_written),
        sort_by,
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
    replaced: &mut HashMap<String, Vec<u64>>,
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
    for (file, numbers) in by_file.into_iter().enumerate().filter(|(_, numbers)| !numbers.is_empty()) {
        replaced.entry(urls.value(file).to_owned()).or_default().extend(numbers);
    }
    Ok(())
}

/// The columns of located rows that are written, by their names in the target.
fn to_be_written(spec: &LoadSpec, batch: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let loaded = spec.columns.iter().map(|loaded| (loaded.name.as_str(), loaded.name.as_str()));
    let names = loaded.chain([(HASH, spec.rules.load_columns.row_hash.as_str())]);
    let columns = names.map(|(name, there)| Ok((there, Arc::clone(column(batch, name)?), true)));
    RecordBatch::try_from_iter_with_nullable(columns.collect::<std::result::Result<Vec<_>, ArrowError>>()?)
}

/// The rows in the target's columns and types. Done last, for the few rows at a time that are encoded: what is the same in
/// every row is not copied along, and texts are copied once.
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
        let values: ArrayRef = if *name == load_columns.batch_id {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(provenance.batch_id, rows)))
        } else if *name == load_columns.loaded_at {
            let at = provenance.loaded_at.timestamp_micros();
            Arc::new(TimestampMicrosecondArray::from_value(at, rows).with_timezone("UTC"))
        } else {
            Arc::clone(column(batch, name)?)
        };
        cast(&values, field.data_type())
    });
    RecordBatch::try_new(Arc::clone(target), columns.collect::<std::result::Result<_, _>>()?)
}
