//! The lowest and the highest value of a column in each data file, as the statistics in the log say.
//!
//! Only of some types do the log's bounds bound:
//!
//! - whole numbers and dates are there as they are;
//! - of decimals with at most 15 digits, which a JSON number holds exactly;
//! - of times a log may have the millisecond only, and Spark has cut the seconds off the zone that it wrote old ones in
//!   (delta-io/delta#5249), so a bound stands for a minute before and after;
//! - of texts it may have the beginning only, or that with something behind it, so a bound stands for all texts that
//!   begin so. Texts are compared byte by byte.
//!
//! In no bound is NaN, so nothing is told of floats.

use std::ops::RangeInclusive;

use delta_kernel::expressions::{Scalar, StructData};
use deltalake::arrow::datatypes::DataType;
use deltalake::kernel::LogicalFileView;

use super::file_id::FileId;
use super::table::Table;
use crate::config::MAX_EXACT_DECIMAL;
use crate::error::Result;

/// Microseconds that a time in the log may be off: a millisecond, and what a zone may have of seconds.
const OFF: i64 = 60_000_000 + 1_000;

/// A byte that is larger than any in a text.
const BEYOND: u8 = 0xFF;

/// How a type's values are compared with bounds in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounded {
    /// As whole numbers: days or microseconds since 1970, a decimal's digits without its point.
    Number,
    /// As the bytes of a text.
    Text,
}

impl Bounded {
    /// How values of this type are compared; `None` where the log's bounds are not to be trusted.
    #[must_use]
    pub const fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Timestamp(_, _) => Some(Self::Number),
            DataType::Decimal128(digits, _) if *digits <= MAX_EXACT_DECIMAL => Some(Self::Number),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Self::Text),
            _ => None,
        }
    }
}

/// What values of a column a file may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bounds {
    /// Any.
    Unknown,
    /// Numbers from one to another.
    Numbers(RangeInclusive<i64>),
    /// Texts from one to another, by their bytes.
    Texts(RangeInclusive<Vec<u8>>),
}

impl Table {
    /// The bounds of columns in each active file.
    ///
    /// # Errors
    /// Fails when the files cannot be listed.
    pub fn bounds(&self, columns: &[&str]) -> Result<Vec<(FileId, Vec<Bounds>)>> {
        // Statistics call a mapped column by its name in the files.
        let trusted = !self.has_column_mapping()?;
        let bounds_of = |view: &LogicalFileView| {
            if !trusted {
                return vec![Bounds::Unknown; columns.len()];
            }
            let partition = view.partition_values();
            let (low, high) = (of_struct(view.min_values()), of_struct(view.max_values()));
            let of = |column: &&str| {
                let whole = partition.as_ref().and_then(|values| value(values, column));
                let low = whole.or_else(|| value(low.as_ref()?, column));
                bounds(low, whole.or_else(|| value(high.as_ref()?, column)))
            };
            columns.iter().map(of).collect()
        };
        Ok(self.active()?.into_iter().map(|(file, view)| (file, bounds_of(&view))).collect())
    }
}

fn of_struct(values: Option<Scalar>) -> Option<StructData> {
    match values? {
        Scalar::Struct(values) => Some(values),
        _ => None,
    }
}

fn value<'a>(values: &'a StructData, column: &str) -> Option<&'a Scalar> {
    values.values().get(values.fields().iter().position(|field| field.name() == column)?)
}

fn bounds(low: Option<&Scalar>, high: Option<&Scalar>) -> Bounds {
    let (Some(low), Some(high)) = (low, high) else { return Bounds::Unknown };
    if let (Scalar::String(low), Scalar::String(high)) = (low, high) {
        let mut high = high.clone().into_bytes();
        high.push(BEYOND);
        return Bounds::Texts(low.clone().into_bytes()..=high);
    }
    match (number(low), number(high)) {
        (Some((low, off)), Some((high, _))) => {
            Bounds::Numbers(low.saturating_sub(off)..=high.saturating_add(off))
        }
        _ => Bounds::Unknown,
    }
}

/// A value as a number, and how far off it may be.
fn number(value: &Scalar) -> Option<(i64, i64)> {
    match value {
        Scalar::Byte(value) => Some((i64::from(*value), 0)),
        Scalar::Short(value) => Some((i64::from(*value), 0)),
        Scalar::Integer(value) | Scalar::Date(value) => Some((i64::from(*value), 0)),
        Scalar::Long(value) => Some((*value, 0)),
        Scalar::Timestamp(value) | Scalar::TimestampNtz(value) => Some((*value, OFF)),
        Scalar::Decimal(value) if value.ty().precision() <= MAX_EXACT_DECIMAL => {
            Some((i64::try_from(value.bits()).ok()?, 0))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_texts_hold_every_text_that_begins_like_the_bound() {
        let text = |text: &str| Scalar::String(text.to_owned());
        let Bounds::Texts(range) = bounds(Some(&text("ab")), Some(&text("bä"))) else {
            panic!("no texts");
        };
        for held in ["ab", "abc", "b", "bä", "bäz", "bä\u{10FFFF}\u{10FFFF}"] {
            assert!(range.contains(&held.as_bytes().to_vec()), "{held}");
        }
        for not in &["", "a", "aaz", "bå", "c", "bö"] {
            let is_in = range.contains(&not.as_bytes().to_vec());
            assert_eq!(is_in, *not > "ab" && *not < "bä", "{not}");
        }
    }

    #[test]
    fn bounds_of_times_are_off_by_a_minute_and_floats_have_none() {
        let times = bounds(Some(&Scalar::Timestamp(-7_000)), Some(&Scalar::Timestamp(5_000)));
        assert_eq!(times, Bounds::Numbers(-60_008_000..=60_006_000));
        let ends = bounds(Some(&Scalar::Timestamp(i64::MIN)), Some(&Scalar::TimestampNtz(i64::MAX)));
        assert_eq!(ends, Bounds::Numbers(i64::MIN..=i64::MAX));
        let whole = bounds(Some(&Scalar::Long(-1)), Some(&Scalar::Long(1)));
        assert_eq!(whole, Bounds::Numbers(-1..=1));
        for untold in [Scalar::Double(1.0), Scalar::Float(1.0), Scalar::Binary(vec![1])] {
            assert_eq!(bounds(Some(&untold), Some(&untold)), Bounds::Unknown);
        }
        assert_eq!(bounds(None, Some(&Scalar::Long(1))), Bounds::Unknown);
    }

    #[test]
    fn decimals_of_more_digits_than_a_number_in_json_holds_are_not_trusted() {
        for (digits, trusted) in [(15, true), (16, false), (38, false)] {
            let found = Bounded::of(&DataType::Decimal128(digits, 2));
            assert_eq!(found.is_some(), trusted, "{digits}");
            let value = Scalar::decimal(123_i128, digits, 2).unwrap();
            assert_eq!(bounds(Some(&value), Some(&value)) != Bounds::Unknown, trusted, "{digits}");
        }
        assert_eq!(Bounded::of(&DataType::Float64), None);
    }
}
