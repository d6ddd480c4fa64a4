//! Which of the target's files may hold a key of the batch.

use std::collections::BTreeSet;

use deltalake::arrow::array::{Array as _, AsArray as _};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type, TimeUnit};
use deltalake::arrow::error::ArrowError;

use crate::engine::{Rows, failed};
use crate::error::Result;
use crate::lake::{Bounded, Bounds, FileId, Table};
use crate::plan::LoadSpec;
use crate::stages::rows::column;

/// The target's files that may hold a key of the batch, by the log's statistics; `None` is all of them.
pub(super) fn files_with_keys(
    spec: &LoadSpec,
    deduped: &Rows,
    target: &Table,
) -> Result<Option<BTreeSet<FileId>>> {
    let schema = target.arrow_schema()?;
    let bounded = |name: &&String| {
        let of = |field: &Field| Some((field.data_type().clone(), Bounded::of(field.data_type())?));
        schema.field_with_name(name).ok().and_then(of)
    };
    let keys = spec.rules.unique_key.iter().filter_map(|name| Some((name.as_str(), bounded(&name)?)));
    let (columns, types): (Vec<&str>, Vec<_>) = keys.unzip();
    if columns.is_empty() {
        return Ok(None);
    }
    let mut files = target.bounds(&columns)?;
    for (at, (name, (data_type, compared))) in columns.iter().zip(&types).enumerate() {
        // Bounds say nothing of NULL, which is a value where `null_keys` is `match`.
        if any_null(deduped, name).map_err(|error| failed(error.into()))? {
            continue;
        }
        let bounds = files.iter().map(|(_, bounds)| &bounds[at]);
        let holds = match compared {
            Bounded::Number => of_numbers(bounds, deduped, name, data_type),
            Bounded::Text => of_texts(bounds, deduped, name),
        };
        let mut holds = holds.map_err(|error| failed(error.into()))?.into_iter();
        files.retain(|_| holds.next().unwrap_or(true));
    }
    Ok(Some(files.into_iter().map(|(file, _)| file).collect()))
}

fn any_null(deduped: &Rows, name: &str) -> std::result::Result<bool, ArrowError> {
    for batch in &deduped.batches {
        if column(batch, name)?.null_count() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The values of a column of the batch as numbers, batch by batch.
fn numbers(
    deduped: &Rows,
    name: &str,
    data_type: &DataType,
) -> std::result::Result<Vec<Vec<i64>>, ArrowError> {
    let values = |batch| {
        // As the target has them: staging may have a narrower type.
        let column = match data_type {
            DataType::Timestamp(_, zone) => {
                cast(column(batch, name)?, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?
            }
            other => cast(column(batch, name)?, other)?,
        };
        if let Some(digits) = column.as_primitive_opt::<Decimal128Type>() {
            // At most 15 digits.
            return Ok(digits.iter().flatten().filter_map(|value| i64::try_from(value).ok()).collect());
        }
        let whole = cast(&column, &DataType::Int64)?;
        Ok(whole.as_primitive::<Int64Type>().iter().flatten().collect())
    };
    deduped.batches.iter().map(values).collect()
}

fn of_numbers<'a>(
    bounds: impl Iterator<Item = &'a Bounds>,
    deduped: &Rows,
    name: &str,
    data_type: &DataType,
) -> std::result::Result<Vec<bool>, ArrowError> {
    let range = |bounds: &'a Bounds| match bounds {
        Bounds::Numbers(range) => Some((range.start(), range.end())),
        Bounds::Unknown | Bounds::Texts(_) => None,
    };
    let keys = numbers(deduped, name, data_type)?;
    Ok(holding(&bounds.map(range).collect::<Vec<_>>(), keys.iter().flatten()))
}

fn of_texts<'a>(
    bounds: impl Iterator<Item = &'a Bounds>,
    deduped: &Rows,
    name: &str,
) -> std::result::Result<Vec<bool>, ArrowError> {
    let range = |bounds: &'a Bounds| match bounds {
        Bounds::Texts(range) => Some((range.start().as_slice(), range.end().as_slice())),
        Bounds::Unknown | Bounds::Numbers(_) => None,
    };
    let bounds: Vec<_> = bounds.map(range).collect();
    let texts = |batch| cast(column(batch, name)?, &DataType::Utf8View);
    let columns = deduped.batches.iter().map(texts).collect::<std::result::Result<Vec<_>, _>>()?;
    let keys = columns.iter().flat_map(|column| column.as_string_view().iter().flatten());
    Ok(holding(&bounds, keys.map(str::as_bytes)))
}

/// Which ranges hold one of the keys; those that are not known do.
fn holding<'a, 'b, K: Ord + ?Sized + 'a + 'b>(
    ranges: &[Option<(&'a K, &'a K)>],
    keys: impl Iterator<Item = &'b K>,
) -> Vec<bool> {
    let mut holds: Vec<bool> = ranges.iter().map(Option::is_none).collect();
    let mut open = Open::new(ranges, &holds);
    let mut found = 0;
    for key in keys {
        if open.ranges.is_empty() {
            break;
        }
        let mut at = open.ranges.partition_point(|(low, _, _)| *low <= key);
        // Ranges further down reach no higher than this.
        while let Some(below) = at.checked_sub(1)
            && open.highest[below] >= key
        {
            let (_, high, number) = open.ranges[below];
            if high >= key && !holds[number] {
                holds[number] = true;
                found += 1;
            }
            at = below;
        }
        if found * 2 > open.ranges.len() {
            (open, found) = (Open::new(ranges, &holds), 0);
        }
    }
    holds
}

/// Ranges of which no key is known, in the order of their beginnings.
struct Open<'a, K: ?Sized> {
    ranges: Vec<(&'a K, &'a K, usize)>,
    /// How far the ranges up to each reach.
    highest: Vec<&'a K>,
}

impl<'a, K: Ord + ?Sized> Open<'a, K> {
    fn new(ranges: &[Option<(&'a K, &'a K)>], holds: &[bool]) -> Self {
        let open = ranges.iter().enumerate().filter(|(number, _)| !holds[*number]);
        let mut ranges: Vec<(&K, &K, usize)> =
            open.filter_map(|(number, range)| range.map(|(low, high)| (low, high, number))).collect();
        ranges.sort_by_key(|(low, _, _)| *low);
        let highest = ranges.iter().scan(None, |highest: &mut Option<&'a K>, (_, high, _)| {
            *highest = Some(highest.map_or(*high, |highest| highest.max(high)));
            *highest
        });
        let highest = highest.collect();
        Self { ranges, highest }
    }
}

#[cfg(test)]
mod tests {
    use super::holding;

    #[test]
    fn ranges_hold_the_keys_that_a_look_at_each_pair_finds() {
        // A generator of its own: the same pairs each time, of all kinds.
        let mut state = 7_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from((state >> 33) % below).unwrap()
        };
        for round in 0..500 {
            let (width, ranges, keys) = (1 + draw(60), draw(40), draw(60));
            let ranges: Vec<Option<(i64, i64)>> = (0..ranges)
                .map(|_| {
                    let low = draw(200);
                    (draw(10) > 0).then(|| (low, low + draw(u64::try_from(width).unwrap())))
                })
                .collect();
            let keys: Vec<i64> = (0..keys).map(|_| draw(250)).collect();
            let expected: Vec<bool> = ranges
                .iter()
                .map(|range| {
                    range.is_none_or(|(low, high)| keys.iter().any(|key| (low..=high).contains(key)))
                })
                .collect();
            let by_reference: Vec<_> =
                ranges.iter().map(|range| range.as_ref().map(|(low, high)| (low, high))).collect();
            assert_eq!(holding(&by_reference, keys.iter()), expected, "{round}");
        }
    }
}
