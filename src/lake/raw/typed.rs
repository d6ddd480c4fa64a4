//! Texts as values of columns' types.

use std::sync::Arc;

use deltalake::arrow::array::{
    Array as _, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringBuilder, new_null_array,
};
use deltalake::arrow::compute::kernels::zip::zip;
use deltalake::arrow::compute::{cast, filter_record_batch};
use deltalake::arrow::datatypes::{DataType, FieldRef, Schema};

use super::fitted::{Fitted, fitted};
use super::{Chunk, Corrupt, Fault, row_field};
use crate::config::{OnCorrupt, TEXTS_OF};
use crate::engine::called;

/// Puts columns together, without the rows that do not fit them.
///
/// `given` are the columns as the file has them, `None` for one that it lacks; `text` tells how a row was written.
pub(super) fn chunk(
    fields: &[FieldRef],
    given: &[Option<ArrayRef>],
    numbers: Int64Array,
    on_corrupt: OnCorrupt,
    mut corrupt: Vec<Corrupt>,
    text: impl Fn(usize) -> String,
) -> Result<Chunk, Fault> {
    let rows = numbers.len();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(fields.len() + 1);
    let mut reasons: Vec<Option<String>> = vec![None; rows];
    // Texts that do not fit their columns: the columns that take them, and of which rows.
    let mut texts: Vec<(usize, ArrayRef, BooleanArray)> = Vec::new();
    for (field, values) in fields.iter().zip(given) {
        let fitted = match values {
            None => Fitted::all(new_null_array(field.data_type(), rows)),
            Some(values) => fitted(values, field.data_type())?,
        };
        let Fitted { values: column, mut lost } = fitted;
        if let (OnCorrupt::Choice, true, Some(values)) = (on_corrupt, lost.contains(&true), values)
            && let Some(at) = column_of_texts(fields, field)
        {
            texts.push((at, cast(values, &DataType::Utf8)?, BooleanArray::from(lost.clone())));
            lost.fill(false);
        }
        if lost.contains(&true) || (!field.is_nullable() && column.null_count() > 0) {
            for (row, reason) in reasons.iter_mut().enumerate() {
                let was_there = lost[row];
                if column.is_valid(row) && !was_there {
                    continue;
                }
                let must_fit = on_corrupt != OnCorrupt::Permissive || !field.is_nullable();
                if reason.is_none() && was_there && must_fit {
                    *reason = Some(format!("`{}` is no {}", field.name(), called(field.data_type())));
                } else if reason.is_none() && !was_there && !field.is_nullable() {
                    *reason = Some(format!("`{}` is NOT NULL, and has no value", field.name()));
                }
            }
        }
        columns.push(column);
    }
    for (at, of_others, lost) in texts {
        columns[at] = zip(&lost, &of_others, &columns[at])?;
    }
    let bad: Vec<usize> = (0..rows).filter(|row| reasons[*row].is_some()).collect();
    for row in &bad {
        if let Some(reason) = reasons[*row].take() {
            corrupt.push(Corrupt::new(numbers.value(*row), reason, &text(*row)));
        }
    }
    columns.push(Arc::new(numbers));
    let schema = fields.iter().map(|field| field.as_ref().clone().with_nullable(true)).chain([row_field()]);
    let all = RecordBatch::try_new(Arc::new(Schema::new(schema.collect::<Vec<_>>())), columns)
        .map_err(|error| Fault::Broken(error.to_string()))?;
    let rows = if bad.is_empty() {
        all
    } else {
        let mut good = vec![true; rows];
        for row in bad {
            good[row] = false;
        }
        filter_record_batch(&all, &BooleanArray::from(good))
            .map_err(|error| Fault::Broken(error.to_string()))?
    };
    corrupt.sort_by_key(|corrupt| corrupt.row);
    Ok(Chunk { rows, corrupt, extra: Vec::new() })
}

/// Where the texts that do not fit a column go; `None`, where there is no place for them, or one cannot be NULL.
fn column_of_texts(fields: &[FieldRef], field: &FieldRef) -> Option<usize> {
    let name = format!("{}{TEXTS_OF}", field.name());
    let is_it = |other: &FieldRef| *other.name() == name && *other.data_type() == DataType::Utf8;
    fields.iter().position(is_it).filter(|_| field.is_nullable() && !field.data_type().is_nested())
}

/// Texts of one column, as they come.
pub(super) struct Texts {
    values: StringBuilder,
    is_text: bool,
}

impl Texts {
    pub(super) fn new(of: &DataType) -> Self {
        Self { values: StringBuilder::new(), is_text: *of == DataType::Utf8 || *of == DataType::Binary }
    }

    /// Adds a text; what is around a number or a time does not count.
    pub(super) fn push(&mut self, text: &str, null: &str) {
        let text = if self.is_text { text } else { text.trim() };
        if text == null || (!self.is_text && text.is_empty()) {
            self.values.append_null();
        } else {
            self.values.append_value(text);
        }
    }

    pub(super) fn push_null(&mut self) {
        self.values.append_null();
    }

    pub(super) fn take(&mut self) -> ArrayRef {
        Arc::new(self.values.finish())
    }
}
