//! Texts as values of columns' types.

use std::sync::Arc;

use deltalake::arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Int64Array, RecordBatch, StringArray, StringBuilder,
    new_null_array,
};
use deltalake::arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use deltalake::arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type, Schema};
use deltalake::arrow::util::display::FormatOptions;

use super::{Chunk, Corrupt, Fault, row_field};
use crate::config::OnCorrupt;
use crate::engine::called;

/// Values that do not fit become NULL, and are looked for.
const SAFE: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };

/// Values as another type; what does not fit is NULL.
pub(super) fn fitted(values: &ArrayRef, to: &DataType) -> Result<ArrayRef, Fault> {
    let cast = cast_with_options(values, to, &SAFE)
        .map_err(|error| Fault::Broken(format!("no {} is {}: {error}", values.data_type(), called(to))))?;
    // A number too large to be one is written as such, and not as infinite.
    let infinite: Option<BooleanArray> = match (values.as_string_opt::<i32>(), to) {
        (Some(texts), DataType::Float64) => Some(beyond(
            texts,
            cast.as_primitive::<Float64Type>().iter().map(|n| n.is_some_and(f64::is_infinite)),
        )),
        (Some(texts), DataType::Float32) => Some(beyond(
            texts,
            cast.as_primitive::<Float32Type>().iter().map(|n| n.is_some_and(f32::is_infinite)),
        )),
        _ => None,
    };
    match infinite {
        Some(mask) if mask.true_count() > 0 => {
            deltalake::arrow::compute::nullif(&cast, &mask).map_err(|error| Fault::Broken(error.to_string()))
        }
        _ => Ok(cast),
    }
}

/// Infinite values whose text has digits.
fn beyond(texts: &StringArray, infinite: impl Iterator<Item = bool>) -> BooleanArray {
    let has_digit =
        |text: Option<&str>| text.is_some_and(|text| text.bytes().any(|byte| byte.is_ascii_digit()));
    texts.iter().zip(infinite).map(|(text, infinite)| Some(infinite && has_digit(text))).collect()
}

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
    for (field, values) in fields.iter().zip(given) {
        let column = match values {
            None => new_null_array(field.data_type(), rows),
            Some(values) if values.data_type() == field.data_type() => Arc::clone(values),
            Some(values) => fitted(values, field.data_type())?,
        };
        let lost = values.as_ref().is_some_and(|values| column.null_count() > values.null_count());
        if lost || (!field.is_nullable() && column.null_count() > 0) {
            for (row, reason) in reasons.iter_mut().enumerate().filter(|(row, _)| column.is_null(*row)) {
                let was_there = values.as_ref().is_some_and(|values| values.is_valid(row));
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
