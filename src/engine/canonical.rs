//! The canonical text of values: what row hashes are taken over, and by which nested values are ordered and compared.
//!
//! A single value is `tag length:value`, NULL is `n`. An array is its elements in `[` and `]`, a struct its members in
//! `{` and `}`, a map its entries in `<` and `>`, sorted: a map has no order. No two values that differ have one text.

use std::sync::Arc;

use chrono::DateTime;
use deltalake::arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, StringArray};
use deltalake::arrow::buffer::{NullBuffer, OffsetBuffer};
use deltalake::arrow::compute::{CastOptions, cast, cast_with_options, max, min};
use deltalake::arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use deltalake::arrow::error::ArrowError;
use deltalake::datafusion::error::Result;

use super::functions::{double_text, float_text, hex_text};

/// The canonical texts of a column's values.
pub(super) enum Canonical {
    /// Values without parts.
    Single {
        tag: char,
        texts: StringArray,
    },
    Array {
        nulls: Option<NullBuffer>,
        offsets: OffsetBuffer<i32>,
        elements: Box<Canonical>,
    },
    Struct {
        nulls: Option<NullBuffer>,
        members: Vec<Canonical>,
    },
    Map {
        nulls: Option<NullBuffer>,
        offsets: OffsetBuffer<i32>,
        keys: Box<Canonical>,
        values: Box<Canonical>,
    },
}

impl Canonical {
    /// Those of these values.
    pub(super) fn of(values: &ArrayRef) -> Result<Self> {
        let nulls = values.nulls().cloned();
        Ok(match values.data_type() {
            DataType::List(_) => {
                let list = values.as_list::<i32>();
                let (offsets, elements) =
                    (list.offsets().clone(), parts_within(list.offsets(), list.values()));
                Self::Array { nulls, offsets, elements: Box::new(Self::of(&elements)?) }
            }
            DataType::LargeList(element)
            | DataType::ListView(element)
            | DataType::LargeListView(element)
            | DataType::FixedSizeList(element, _) => {
                return Self::of(&cast(values, &DataType::List(Arc::clone(element)))?);
            }
            DataType::Struct(_) => {
                let members = values.as_struct().columns().iter().map(Self::of);
                Self::Struct { nulls, members: members.collect::<Result<_>>()? }
            }
            DataType::Map(_, _) => {
                let map = values.as_map();
                let [keys, values] = [map.keys(), map.values()].map(|part| parts_within(map.offsets(), part));
                Self::Map {
                    nulls,
                    offsets: map.offsets().clone(),
                    keys: Box::new(Self::of(&keys)?),
                    values: Box::new(Self::of(&values)?),
                }
            }
            single => Self::Single { tag: tag(single), texts: text(values)? },
        })
    }

    /// Writes the text of a row's value.
    pub(super) fn push(&self, row: usize, text: &mut String) {
        match self {
            Self::Single { tag, texts } if !texts.is_null(row) => {
                let value = texts.value(row);
                text.push(*tag);
                push_number(text, value.len());
                text.push(':');
                text.push_str(value);
            }
            Self::Array { nulls, offsets, elements } if is_value(nulls.as_ref(), row) => {
                text.push('[');
                for at in places(offsets, row) {
                    elements.push(at, text);
                }
                text.push(']');
            }
            Self::Struct { nulls, members } if is_value(nulls.as_ref(), row) => {
                text.push('{');
                for member in members {
                    member.push(row, text);
                }
                text.push('}');
            }
            Self::Map { nulls, offsets, keys, values } if is_value(nulls.as_ref(), row) => {
                let entry = |at: usize| {
                    let mut entry = String::new();
                    keys.push(at, &mut entry);
                    values.push(at, &mut entry);
                    entry
                };
                let mut entries: Vec<String> = places(offsets, row).map(entry).collect();
                entries.sort_unstable();
                text.push('<');
                text.extend(entries);
                text.push('>');
            }
            _ => text.push('n'),
        }
    }
}

/// The canonical texts of nested values; NULL stays NULL.
///
/// # Errors
/// Fails for values without a text.
pub fn nested_text_of(values: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    let canonical = Canonical::of(values)?;
    let mut text = String::new();
    let texts = (0..values.len()).map(|row| {
        text.clear();
        canonical.push(row, &mut text);
        values.is_valid(row).then(|| text.clone())
    });
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// What it is, if one of the values is a time that has no text.
#[must_use]
pub fn unwritable(values: &ArrayRef) -> Option<&'static str> {
    fn ends<T: ArrowPrimitiveType>(values: &ArrayRef) -> [Option<T::Native>; 2]
    where
        T::Native: ArrowNativeTypeOp,
    {
        let values = values.as_primitive::<T>();
        [min(values), max(values)]
    }
    let (what, has_text) = match values.data_type() {
        DataType::Date32 => {
            let days = ends::<Date32Type>(values).into_iter().flatten();
            ("DATE", days.map(Date32Type::to_naive_date_opt).all(|day| day.is_some()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = ends::<TimestampMicrosecondType>(values).into_iter().flatten();
            ("TIMESTAMP", micros.map(DateTime::from_timestamp_micros).all(|at| at.is_some()))
        }
        DataType::List(_) => {
            let list = values.as_list::<i32>();
            return unwritable(&parts_within(list.offsets(), list.values()));
        }
        DataType::Struct(_) => return values.as_struct().columns().iter().find_map(unwritable),
        DataType::Map(_, _) => {
            let map = values.as_map();
            return [map.keys(), map.values()]
                .into_iter()
                .find_map(|part| unwritable(&parts_within(map.offsets(), part)));
        }
        _ => return None,
    };
    (!has_text).then_some(what)
}

fn is_value(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_none_or(|nulls| nulls.is_valid(row))
}

/// What the rows of a list or a map hold, of an array that may hold more.
#[must_use]
pub fn parts_within(offsets: &OffsetBuffer<i32>, values: &ArrayRef) -> ArrayRef {
    let (from, to) = (offset(offsets, 0), offset(offsets, offsets.len() - 1));
    values.slice(from, to - from)
}

/// The places of a row's parts in what [`parts_within`] gives.
fn places(offsets: &OffsetBuffer<i32>, row: usize) -> std::ops::Range<usize> {
    let first = offset(offsets, 0);
    offset(offsets, row) - first..offset(offsets, row + 1) - first
}

/// Offsets are never negative.
fn offset(offsets: &OffsetBuffer<i32>, at: usize) -> usize {
    usize::try_from(offsets[at]).unwrap_or_default()
}

/// A number in decimal digits. Each value of each row has one, and formatting takes several times as long.
fn push_number(text: &mut String, number: usize) {
    if number > 9 {
        push_number(text, number / 10);
    }
    text.extend(char::from_digit(u32::try_from(number % 10).unwrap_or_default(), 10));
}

/// What the text of a value of this type begins with: as [`the printed SQL`](crate::stages::Text) has it.
fn tag(data_type: &DataType) -> char {
    match data_type {
        DataType::Boolean => 'b',
        DataType::Decimal128(_, _) => 'd',
        DataType::Date32 => 'D',
        DataType::Timestamp(_, Some(_)) => 't',
        DataType::Timestamp(_, None) => 'T',
        DataType::Float32 | DataType::Float64 => 'f',
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => 'x',
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 's',
        _ => 'i',
    }
}

/// The texts of single values.
fn text(values: &ArrayRef) -> Result<StringArray> {
    // A value that has no text may not be taken for NULL.
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let cast = |values: &ArrayRef, to: &DataType| cast_with_options(values, to, &exact);
    let texts = match values.data_type() {
        DataType::Float64 => double_text(&[Arc::clone(values)]),
        DataType::Float32 => float_text(&[Arc::clone(values)]),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            hex_text(&[cast(values, &DataType::BinaryView)?])
        }
        DataType::Timestamp(_, zone) => {
            let micros = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            cast(&cast(&micros, &DataType::Int64)?, &DataType::Utf8)?
        }
        _ => cast(values, &DataType::Utf8)?,
    };
    Ok(texts.as_string::<i32>().clone())
}
