//! Values of a file as those of a table's columns.

use std::sync::Arc;

use deltalake::arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, ListArray, MapArray, StringArray, StructArray, UInt64Array,
    new_null_array,
};
use deltalake::arrow::buffer::{NullBuffer, OffsetBuffer};
use deltalake::arrow::compute::kernels::cmp::distinct;
use deltalake::arrow::compute::{CastOptions, cast, cast_with_options, nullif, take};
use deltalake::arrow::datatypes::{DataType, FieldRef, Fields, Float32Type, Float64Type};
use deltalake::arrow::error::ArrowError;
use deltalake::arrow::util::display::FormatOptions;

use super::{Fault, position};
use crate::engine::{called, parts_within, unwritable};

/// Values in another type.
pub(super) struct Fitted {
    pub(super) values: ArrayRef,
    /// For each row whether it had a value, or one within, that does not fit.
    pub(super) lost: Vec<bool>,
}

impl Fitted {
    /// Values that all fit.
    pub(super) fn all(values: ArrayRef) -> Self {
        let lost = vec![false; values.len()];
        Self { values, lost }
    }
}

/// Values that do not fit become NULL, and are looked for.
const SAFE: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };

/// Values as another type; what does not fit, or would be another value there, is NULL, and its row is told.
pub(super) fn fitted(values: &ArrayRef, to: &DataType) -> Result<Fitted, Fault> {
    use DataType::{FixedSizeList, LargeList, LargeListView, List, ListView, Map, Null, Struct};
    match (values.data_type(), to) {
        (from, to) if from == to && unwritable(values).is_none() => Ok(Fitted::all(Arc::clone(values))),
        (Null, to) => Ok(Fitted::all(new_null_array(to, values.len()))),
        (Struct(_), Struct(members)) => members_fitted(values, members),
        (List(_), List(element)) => elements_fitted(values, element),
        (LargeList(of) | ListView(of) | LargeListView(of) | FixedSizeList(of, _), List(_)) => {
            fitted(&cast(values, &List(Arc::clone(of)))?, to)
        }
        (Map(..), Map(entries, sorted)) => entries_fitted(values, entries, *sorted),
        (from, to) if from.is_nested() || to.is_nested() => Err(unlike(from, to)),
        _ => {
            let fitted = within_reach(single_fitted(values, to)?)?;
            if fitted.null_count() == values.null_count() {
                return Ok(Fitted::all(fitted));
            }
            let lost = (0..values.len()).map(|row| values.is_valid(row) && fitted.is_null(row)).collect();
            Ok(Fitted { values: fitted, lost })
        }
    }
}

fn unlike(from: &DataType, to: &DataType) -> Fault {
    Fault::Broken(format!("it has {} where staging has {}", called(from), called(to)))
}

impl From<ArrowError> for Fault {
    fn from(error: ArrowError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Members by their names, whatever the case; one that is not there is NULL.
fn members_fitted(values: &ArrayRef, members: &Fields) -> Result<Fitted, Fault> {
    let given = values.as_struct();
    let names: Vec<String> = given.fields().iter().map(|field| field.name().clone()).collect();
    let places: Vec<Option<usize>> = members.iter().map(|member| position(&names, member.name())).collect();
    if places.iter().all(Option::is_none) {
        return Err(unlike(values.data_type(), &DataType::Struct(members.clone())));
    }
    let mut lost = vec![false; values.len()];
    let mut nulls = values.nulls().cloned();
    let mut columns = Vec::with_capacity(members.len());
    for (member, place) in members.iter().zip(places) {
        let of = match place {
            Some(at) => fitted(given.column(at), member.data_type())?,
            None => Fitted::all(new_null_array(member.data_type(), values.len())),
        };
        for (row, lost) in lost.iter_mut().enumerate() {
            let must = !member.is_nullable() && of.values.is_null(row);
            *lost |= values.is_valid(row) && (of.lost[row] || must);
        }
        if !member.is_nullable() {
            nulls = NullBuffer::union(nulls.as_ref(), of.values.nulls());
        }
        columns.push(of.values);
    }
    let made = StructArray::try_new_with_length(members.clone(), columns, nulls, values.len());
    Ok(Fitted { values: Arc::new(made?), lost })
}

fn elements_fitted(values: &ArrayRef, element: &FieldRef) -> Result<Fitted, Fault> {
    let list = values.as_list::<i32>();
    let parts = fitted(&parts_within(list.offsets(), list.values()), element.data_type())?;
    let lost = lost_within(list.offsets(), list.nulls(), &parts.lost);
    let offsets = OffsetBuffer::from_lengths(list.offsets().lengths());
    let made = ListArray::try_new(Arc::clone(element), offsets, parts.values, list.nulls().cloned());
    Ok(Fitted { values: Arc::new(made?), lost })
}

fn entries_fitted(values: &ArrayRef, entries: &FieldRef, sorted: bool) -> Result<Fitted, Fault> {
    let map = values.as_map();
    let DataType::Struct(of) = entries.data_type() else {
        return Err(unlike(values.data_type(), entries.data_type()));
    };
    let [key, value] = &of[..] else { return Err(unlike(values.data_type(), entries.data_type())) };
    let keys = fitted(&parts_within(map.offsets(), map.keys()), key.data_type())?;
    let of_values = fitted(&parts_within(map.offsets(), map.values()), value.data_type())?;
    let without_key = lost_within(map.offsets(), map.nulls(), &keys.lost);
    let lost = lost_within(map.offsets(), map.nulls(), &of_values.lost);
    let lost = lost.iter().zip(&without_key).map(|(of_value, of_key)| *of_value || *of_key).collect();
    let parts = StructArray::try_new(of.clone(), vec![filled(&keys)?, of_values.values], None)?;
    let offsets = OffsetBuffer::from_lengths(map.offsets().lengths());
    // A map without one of its keys is none.
    let kept: NullBuffer = without_key.iter().map(|lost| !lost).collect();
    let nulls = NullBuffer::union(map.nulls(), Some(&kept));
    let made = MapArray::try_new(Arc::clone(entries), offsets, parts, nulls, sorted);
    Ok(Fitted { values: Arc::new(made?), lost })
}

/// Keys that are never NULL: some other stands for one that does not fit, in a map that is NULL.
fn filled(keys: &Fitted) -> Result<ArrayRef, Fault> {
    if !keys.lost.contains(&true) {
        return Ok(Arc::clone(&keys.values));
    }
    let other = keys.lost.iter().position(|lost| !lost);
    let other = other.ok_or_else(|| Fault::Broken("no key of its maps fits staging's".to_owned()))?;
    let places = keys.lost.iter().enumerate().map(|(at, lost)| if *lost { other as u64 } else { at as u64 });
    Ok(take(&keys.values, &UInt64Array::from_iter_values(places), None)?)
}

/// The rows that hold a part which is lost.
fn lost_within(offsets: &OffsetBuffer<i32>, nulls: Option<&NullBuffer>, parts: &[bool]) -> Vec<bool> {
    let mut from = 0;
    let of_row = |(row, length): (usize, usize)| {
        let parts = &parts[from..from + length];
        from += length;
        nulls.is_none_or(|nulls| nulls.is_valid(row)) && parts.contains(&true)
    };
    offsets.lengths().enumerate().map(of_row).collect()
}

/// Days and times that have no text are nobody's, and no file's statistics can be made of them.
fn within_reach(values: ArrayRef) -> Result<ArrayRef, ArrowError> {
    if unwritable(&values).is_none() {
        return Ok(values);
    }
    let one = |row: usize| values.is_valid(row) && unwritable(&values.slice(row, 1)).is_some();
    nullif(&values, &(0..values.len()).map(|row| Some(one(row))).collect())
}

fn single_fitted(values: &ArrayRef, to: &DataType) -> Result<ArrayRef, Fault> {
    use DataType::{Date32, Date64, Timestamp, Utf8};
    let from = values.data_type();
    let is_time = |data_type: &DataType| matches!(data_type, Timestamp(..) | Date32 | Date64);
    // A number is no time without its unit, and a time of day does not fit a day.
    let is_unlike = (from.is_numeric() && is_time(to))
        || (is_time(from) && to.is_numeric())
        || matches!((from, to), (Timestamp(..), Date32));
    let cast = cast_with_options(values, to, &SAFE);
    let cast = match cast {
        Ok(cast) if !is_unlike => cast,
        _ => return Err(unlike(from, to)),
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
        (None, _) if *to == Utf8 || (is_time(from) && is_time(to)) => return Ok(cast),
        // Whatever cannot be told back from what came of it.
        (None, _) => {
            let back = cast_with_options(&cast, from, &SAFE)?;
            distinct(values, &back)?
        }
    };
    if lost.true_count() == 0 { Ok(cast) } else { Ok(nullif(&cast, &lost)?) }
}

/// Whether a text of a time says where on earth.
fn has_zone(text: &str) -> bool {
    text.ends_with(['Z', 'z']) || text.get(10..).is_some_and(|time| time.contains(['+', '-']))
}

/// Infinite values whose text has digits.
fn beyond(texts: &StringArray, infinite: impl Iterator<Item = bool>) -> BooleanArray {
    let has_digit =
        |text: Option<&str>| text.is_some_and(|text| text.bytes().any(|byte| byte.is_ascii_digit()));
    texts.iter().zip(infinite).map(|(text, infinite)| Some(infinite && has_digit(text))).collect()
}

#[cfg(test)]
mod tests {
    use deltalake::arrow::array::{Int64Builder, MapBuilder, StringBuilder};
    use deltalake::arrow::datatypes::{Field, Int32Type};

    use super::*;

    type Entries = [(&'static str, Option<i64>)];

    #[test]
    fn a_map_with_a_key_or_a_value_that_does_not_fit_is_told_alone() {
        let mut maps = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        let rows: [Option<&Entries>; 6] = [
            Some(&[("x", Some(1)), ("1", Some(1))]),
            Some(&[("1", Some(2)), ("7", None)]),
            None,
            Some(&[("2", Some(1 << 40))]),
            Some(&[]),
            Some(&[("3", Some(4))]),
        ];
        for row in rows {
            for (key, value) in row.into_iter().flatten() {
                maps.keys().append_value(key);
                maps.values().append_option(*value);
            }
            maps.append(row.is_some()).unwrap();
        }
        let maps: ArrayRef = Arc::new(maps.finish());
        let entry = |name: &str, nullable| Field::new(name, DataType::Int32, nullable);
        let entries = DataType::Struct(vec![entry("key", false), entry("value", true)].into());
        let to = DataType::Map(Arc::new(Field::new("key_value", entries, false)), false);
        for from in [0, 1] {
            let fitted = fitted(&maps.slice(from, 6 - from), &to).unwrap();
            assert_eq!(fitted.lost, [true, false, false, true, false, false][from..]);
            let made = fitted.values.as_map();
            let is_null: Vec<bool> = (0..made.len()).map(|row| made.is_null(row)).collect();
            assert_eq!(is_null, [true, false, true, false, false, false][from..]);
            let of_row = made.value(1 - from);
            assert_eq!(of_row.column(0).as_primitive::<Int32Type>().values(), &[1, 7]);
            let values: Vec<Option<i32>> = of_row.column(1).as_primitive::<Int32Type>().iter().collect();
            assert_eq!(values, [Some(2), None]);
        }
    }
}
