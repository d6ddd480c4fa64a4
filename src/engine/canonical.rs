//! The canonical text of values: what row hashes are taken over, and by which nested values are ordered and compared.
//!
//! A single value is `tag length:value`, NULL is `n`. An array is its elements in `[` and `]`, a struct its members in
//! `{` and `}`, a map its entries in `<` and `>`, sorted: a map has no order. No two values that differ have one text.

use std::sync::Arc;

use chrono::DateTime;
use deltalake::arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, StringArray};
use deltalake::arrow::buffer::{NullBuffer, OffsetBuffer};
use deltalake::arrow::compute::{cast, max, min};
use deltalake::arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use deltalake::arrow::error::ArrowError;
use deltalake::datafusion::error::Result;

use super::plain_text::Plain;

/// The canonical texts of a column's values.
pub(super) enum Canonical {
    /// Values without parts.
    Single {
        tag: u8,
        texts: Plain,
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
            single => Self::Single { tag: tag(single), texts: Plain::of(values)? },
        })
    }

    /// Writes the text of a row's value.
    pub(super) fn push(&self, row: usize, text: &mut Vec<u8>) {
        match self {
            Self::Single { tag, texts } => {
                let value = |value: &[u8]| {
                    text.push(*tag);
                    push_number(text, value.len());
                    text.push(b':');
                    text.extend_from_slice(value);
                };
                if texts.with(row, value).is_none() {
                    text.push(b'n');
                }
            }
            Self::Array { nulls, offsets, elements } if is_value(nulls.as_ref(), row) => {
                text.push(b'[');
                for at in places(offsets, row) {
                    elements.push(at, text);
                }
                text.push(b']');
            }
            Self::Struct { nulls, members } if is_value(nulls.as_ref(), row) => {
                text.push(b'{');
                for member in members {
                    member.push(row, text);
                }
                text.push(b'}');
            }
            Self::Map { nulls, offsets, keys, values } if is_value(nulls.as_ref(), row) => {
                let entry = |at: usize| {
                    let mut entry = Vec::new();
                    keys.push(at, &mut entry);
                    values.push(at, &mut entry);
                    entry
                };
                let mut entries: Vec<Vec<u8>> = places(offsets, row).map(entry).collect();
                entries.sort_unstable();
                text.push(b'<');
                text.extend(entries.concat());
                text.push(b'>');
            }
            _ => text.push(b'n'),
        }
    }
}

/// The canonical texts of nested values; NULL stays NULL.
///
/// # Errors
/// Fails for values without a text.
pub fn nested_text_of(values: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    let canonical = Canonical::of(values)?;
    let mut text = Vec::new();
    let texts = (0..values.len()).map(|row| {
        text.clear();
        canonical.push(row, &mut text);
        let text = values.is_valid(row).then(|| String::from_utf8(text.clone())).transpose();
        text.map_err(|error| ArrowError::from_external_error(Box::new(error)))
    });
    Ok(Arc::new(texts.collect::<std::result::Result<StringArray, _>>()?))
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

/// A number in decimal digits. Each value of each row has one, and most are short.
fn push_number(text: &mut Vec<u8>, number: usize) {
    match u8::try_from(number) {
        Ok(one @ ..10) => text.push(b'0' + one),
        Ok(two @ ..100) => text.extend_from_slice(&[b'0' + two / 10, b'0' + two % 10]),
        _ => text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
    }
}

/// What the text of a value of this type begins with: as [`the printed SQL`](crate::stages::Text) has it.
fn tag(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Boolean => b'b',
        DataType::Decimal128(_, _) => b'd',
        DataType::Date32 => b'D',
        DataType::Timestamp(_, Some(_)) => b't',
        DataType::Timestamp(_, None) => b'T',
        DataType::Float32 | DataType::Float64 => b'f',
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => b'x',
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => b's',
        _ => b'i',
    }
}
