//! Versions of several columns, or of texts that are ordered otherwise than byte by byte: as bytes that compare as they do.

use std::sync::Arc;

use deltalake::arrow::array::{Array as _, ArrayRef, AsArray as _, BinaryArray, BinaryBuilder, StringArray};
use deltalake::arrow::compute::{CastOptions, cast, cast_with_options};
use deltalake::arrow::datatypes::DataType;
use deltalake::arrow::error::ArrowError;
use deltalake::arrow::row::{RowConverter, SortField};

use crate::notation::VersionOrder;

/// Digits of a number in a text, and those of them that may stand after the point.
const SCALE: i8 = 18;
const NUMBER: DataType = DataType::Decimal128(38, SCALE);

/// The versions in these columns as bytes that compare as the versions do; NULL where a column is, or a text is none of its
/// order.
///
/// # Errors
/// Fails when a column is of a type that has no order.
pub fn version_key(columns: &[ArrayRef], orders: &[VersionOrder]) -> Result<ArrayRef, ArrowError> {
    let values = columns.iter().zip(orders).map(|(column, order)| ordered(column, *order));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let fields = values.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let keys = RowConverter::new(fields)?.convert_columns(&values)?;
    let is_whole = |row: &usize| values.iter().all(|column| column.is_valid(*row));
    let mut made = BinaryBuilder::with_capacity(keys.num_rows(), keys.size());
    for row in 0..keys.num_rows() {
        if is_whole(&row) {
            made.append_value(keys.row(row));
        } else {
            made.append_null();
        }
    }
    Ok(Arc::new(made.finish()))
}

/// Values that compare as those of this order do; NULL for a text that is none of it.
///
/// # Errors
/// Fails when what should be text is none.
pub fn ordered(column: &ArrayRef, order: VersionOrder) -> Result<ArrayRef, ArrowError> {
    let column = match column.data_type() {
        // As one scan has it, and another has not.
        DataType::Dictionary(_, values) => cast(column, values)?,
        _ => Arc::clone(column),
    };
    match order {
        VersionOrder::Own | VersionOrder::Text => Ok(column),
        VersionOrder::Numeric => {
            let is_none = CastOptions { safe: true, ..CastOptions::default() };
            let texts = texts(&column)?;
            let exact = texts.as_string::<i32>().iter().map(|text| text.filter(|text| has_few_digits(text)));
            let exact: ArrayRef = Arc::new(exact.collect::<StringArray>());
            cast_with_options(&exact, &NUMBER, &is_none)
        }
        VersionOrder::Semver => {
            let texts = texts(&column)?;
            let keys = texts.as_string::<i32>().iter().map(|text| text.and_then(semver));
            Ok(Arc::new(keys.collect::<BinaryArray>()))
        }
    }
}

/// Whether a number's digits after the point fit, so that nothing is rounded.
fn has_few_digits(text: &str) -> bool {
    let after = text.split_once('.').map_or("", |(_, after)| after);
    after.trim_end_matches('0').len() <= usize::try_from(SCALE).unwrap_or_default()
}

/// Texts without the space around them.
fn texts(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let texts = cast(column, &DataType::Utf8)?;
    Ok(Arc::new(texts.as_string::<i32>().iter().map(|text| text.map(str::trim)).collect::<StringArray>()))
}

/// What an identifier of a pre-release begins with; a release ends where others have one, and comes after all of them.
const END: u8 = 0;
const NUMBERS: u8 = 1;
const WORDS: u8 = 2;
const RELEASE: u8 = 3;

/// A semantic version as bytes, by the precedence of semver.org's item 11; what is behind a `+` does not count. `None` for
/// what is no version.
fn semver(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let text = text.split_once('+').map_or(text, |(version, _)| version);
    let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = numbers.split('.').collect();
    if parts.len() > 3 || !parts.iter().all(|part| is_number(part)) {
        return None;
    }
    let mut key = Vec::with_capacity(25);
    for at in 0..3 {
        let number: u64 = parts.get(at).map_or(Ok(0), |part| part.parse()).ok()?;
        key.extend(number.to_be_bytes());
    }
    let Some(pre) = pre else {
        key.push(RELEASE);
        return Some(key);
    };
    for identifier in pre.split('.') {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if is_number(identifier) {
            key.push(NUMBERS);
            key.extend(identifier.parse::<u64>().ok()?.to_be_bytes());
        } else if !identifier.is_empty() && identifier.bytes().all(is_word) {
            key.push(WORDS);
            key.extend(identifier.bytes());
            key.push(END);
        } else {
            return None;
        }
    }
    key.push(END);
    Some(key)
}

#[cfg(test)]
mod tests {
    use deltalake::arrow::array::{Int64Array, StringViewArray};

    use super::*;

    fn keys(texts: &[&str], order: VersionOrder) -> Vec<Option<Vec<u8>>> {
        let column: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let keys = version_key(&[column], &[order]).unwrap();
        keys.as_binary::<i32>().iter().map(|key| key.map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn keys_compare_as_the_versions_do() {
        for (order, rising) in [
            (VersionOrder::Numeric, &["-10", "-9.5", "0", " 7 ", "9.5", "10", "1000000"][..]),
            (VersionOrder::Text, &["", "10", "9", "9.5", "a", "ä"]),
            // From semver.org, and what its examples leave out.
            (
                VersionOrder::Semver,
                &[
                    "0.9",
                    "1.0.0-1",
                    "1.0.0-2",
                    "1.0.0-10",
                    "1.0.0-alpha",
                    "1.0.0-alpha.1",
                    "1.0.0-alpha.beta",
                    "1.0.0-beta",
                    "1.0.0-beta.2",
                    "1.0.0-beta.11",
                    "1.0.0-rc.1",
                    "v1",
                    "1.0.1",
                    "1.9",
                    "1.10",
                    "2.0.0-a-b",
                ],
            ),
        ] {
            let keys = keys(rising, order);
            assert!(keys.iter().all(Option::is_some), "{order:?}: {keys:?}");
            for (at, pair) in keys.windows(2).enumerate() {
                assert!(pair[0] < pair[1], "{order:?}: {} and {}", rising[at], rising[at + 1]);
            }
        }
        let same = |order, texts: [&str; 2]| {
            let found = keys(&texts, order);
            assert_eq!(found[0], found[1], "{texts:?}");
        };
        same(VersionOrder::Numeric, ["1.0", "1.0000000000000000000000"]);
        same(VersionOrder::Semver, ["1.2", "v1.2.0+build.7"]);
    }

    #[test]
    fn what_is_no_version_has_no_key() {
        let none = |order, texts: &[&str]| {
            assert!(keys(texts, order).iter().all(Option::is_none), "{order:?}: {:?}", keys(texts, order));
        };
        none(
            VersionOrder::Numeric,
            &["", "one", "1,5", "NaN", "999999999999999999999", "0.0000000000000000001"],
        );
        none(VersionOrder::Semver, &["", "1.2.3.4", "1..2", "1.2.x", "1.0.0-", "1.0.0-a..b", "1.0-ä", "-1"]);
    }

    #[test]
    fn columns_decide_one_after_the_other_and_none_may_lack() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(1), Some(2), Some(2), None]));
        let texts: ArrayRef =
            Arc::new(StringViewArray::from(vec![Some("9"), Some("10"), Some("1"), None, Some("1")]));
        let keys = version_key(&[numbers, texts], &[VersionOrder::Own, VersionOrder::Numeric]).unwrap();
        let keys: Vec<Option<&[u8]>> = keys.as_binary::<i32>().iter().collect();
        assert!(keys[0] < keys[1] && keys[1] < keys[2], "{keys:?}");
        assert_eq!(keys[3..], [None, None]);
    }
}
