//! Which of the target's files may hold a key of the batch.

use std::collections::BTreeSet;

use deltalake::arrow::array::{Array as _, AsArray as _};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Int64Type};
use deltalake::arrow::error::ArrowError;

use crate::engine::{Rows, failed};
use crate::error::Result;
use crate::lake::{FileId, Table, has_exact_bounds};
use crate::plan::LoadSpec;
use crate::stages::rows::column;

/// The target's files that may hold a key of the batch, by the log's statistics; `None` is all of them.
pub(super) fn files_with_keys(
    spec: &LoadSpec,
    deduped: &Rows,
    target: &Table,
) -> Result<Option<BTreeSet<FileId>>> {
    let schema = target.arrow_schema()?;
    let mut files: Option<BTreeSet<FileId>> = None;
    for name in &spec.rules.unique_key {
        if !schema.field_with_name(name).is_ok_and(|field| has_exact_bounds(field.data_type())) {
            continue;
        }
        let Some(values) = whole_numbers(deduped, name).map_err(|error| failed(error.into()))? else {
            continue;
        };
        let may_hold = target.files_that_may_hold(name, &values)?;
        files = Some(match files {
            Some(files) => files.intersection(&may_hold).cloned().collect(),
            None => may_hold,
        });
    }
    Ok(files)
}

/// The values of a column of whole numbers or dates, sorted; `None` where not all are such.
fn whole_numbers(deduped: &Rows, name: &str) -> std::result::Result<Option<Vec<i64>>, ArrowError> {
    let mut values = Vec::with_capacity(deduped.len());
    for batch in &deduped.batches {
        let column = column(batch, name)?;
        if !has_exact_bounds(column.data_type()) {
            return Ok(None);
        }
        let column = cast(column, &DataType::Int64)?;
        if column.null_count() > 0 {
            return Ok(None);
        }
        values.extend_from_slice(column.as_primitive::<Int64Type>().values());
    }
    values.sort_unstable();
    Ok(Some(values))
}
