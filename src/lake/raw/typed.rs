//! Texts as values of columns' types.

use std::sync::Arc;

use deltalake::arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Int64Array, RecordBatch, StringArray, StringBuilder,
    new_null_array,
};
use deltalake::arrow::compute::kernels::cmp::distinct;
use deltalake::arrow::compute::{CastOptions, cast_with_options, filter_record_batch, nullif};
use deltalake::arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type, Schema};
use deltalake::arrow::error::ArrowError;
use deltalake::arrow::util::display::FormatOptions;

use super::{Chunk, Corrupt, Fault, row_field};
use crate::config::OnCorrupt;
use crate::engine::called;

/// Values that do not fit become NULL, and are looked for.
const SAFE: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };

/// Values as another type; what does not fit, or would be another value there, is NULL.
pub(super) fn fitted(values: &ArrayRef, to: &DataType) -> Result<ArrayRef, Fault> {
    use DataType::{Date32, Date64, Timestamp, Utf8};
    let broken = |error: ArrowError| Fault::Broken(error.to_string());
    let from = values.data_type();
    let is_time = |data_type: &DataType| matches!(data_type, Timestamp(..) | Date32 | Date64);
    // A number is no time without its unit, and a time of day does not fit a day.
    let is_unlike = (from.is_numeric() && is_time(to))
        || (is_time(from) && to.is_numeric())
        || matches!((from, to), (Timestamp(..), Date32));
    let cast = cast_with_options(values, to, &SAFE);
    let cast = match cast {
        Ok(cast) if !is_unlike => cast,
        _ => return Err(Fault::Broken(format!("it has {} where staging has {}", called(from), called(to)))),
    };
    let lost: BooleanArray = match (values.as_string_opt::<i32>(), to) {
        // A number too large to be one is written as such, and not as infinite.
        (Some(texts), DataType::Float64) => {
            beyond(texts, cast.as_primitive::<Float64Type>().iter().map(|n| n.is_some_and(f64::is_infinite)))
        }
        (Some(texts), DataType::Float32) => {
            beyond(texts, cast.as_primitive::<Float32Type>().iter().map(|n| n.is_some_and(f32::is_infinite)))
        }
        (Some(texts), Date32) => {
            texts.iter().map(|text| Some(text.is_some_and(|text| text.len() != 10))).collect()
        }
        (Some(texts), Timestamp(_, None)) => {
            texts.iter().map(|text| Some(text.is_some_and(has_zone))).collect()
        }
        (Some(_), _) => return Ok(cast),
        (None, _) if *to == Utf8 || to.is_nested() || (is_time(from) && is_time(to)) => return Ok(cast),
        // Whatever cannot be told back from what came of it.
        (None, _) => {
            let back = cast_with_options(&cast, from, &SAFE).map_err(broken)?;
            distinct(values, &back).map_err(broken)?
        }
    };
    if lost.true_count() == 0 { Ok(cast) } else { nullif(&cast, &lost).map_err(broken) }
}

/// Whether a text of a time says where on earth.
fn has_zone(text: &str) -> bool {
    text.ends_with(['Z', 'z']) || text.get(10..).is_some_and(|time| time.contains(['+', '-']))
}

/// NULLs in values and in all that they hold.
fn nulls(values: &dyn Array) -> usize {
    let within = |offsets: &[i32], inner: &dyn Array| match (offsets.first(), offsets.last()) {
        (Some(from), Some(to)) => {
            let (from, to) = (usize::try_from(*from).unwrap_or(0), usize::try_from(*to).unwrap_or(0));
            nulls(inner.slice(from, to - from).as_ref())
        }
        _ => 0,
    };
    let inner = match values.data_type() {
        DataType::Struct(_) => values.as_struct().columns().iter().map(|column| nulls(column.as_ref())).sum(),
        DataType::List(_) => {
            let list = values.as_list::<i32>();
            within(list.value_offsets(), list.values().as_ref())
        }
        DataType::Map(..) => {
            let map = values.as_map();
            within(map.value_offsets(), map.entries())
        }
        _ => 0,
    };
    values.null_count() + inner
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
        let lost = values.as_ref().is_some_and(|values| nulls(column.as_ref()) > nulls(values.as_ref()));
        if lost || (!field.is_nullable() && column.null_count() > 0) {
            let is_nested = field.data_type().is_nested();
            for (row, reason) in reasons.iter_mut().enumerate() {
                let lost_within = || {
                    let given = values.as_ref().map(|values| nulls(values.slice(row, 1).as_ref()));
                    is_nested && given.is_some_and(|given| nulls(column.slice(row, 1).as_ref()) > given)
                };
                if column.is_valid(row) && !lost_within() {
                    continue;
                }
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
