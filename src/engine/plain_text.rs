//! The texts of single values as Arrow's casts to text have them, written where they are wanted: a cast makes a column of
//! them first, by a formatter that takes longer than hashing what it makes.

use chrono::{Datelike as _, NaiveDate};
use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray,
    StringViewArray,
};
use deltalake::arrow::compute::{CastOptions, cast_with_options};
use deltalake::arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit};
use deltalake::datafusion::error::Result;

use super::functions::{double_text, float_text, hex_text};

/// Bytes that the longest text of a number, a day or a flag takes.
const LONGEST: usize = 48;

/// As many as a number may have behind its point.
const ZEROS: [u8; 38] = [b'0'; 38];

/// The days from 0000-01-01 to 9999-12-31, those whose year has four digits.
const FOUR_DIGITS: std::ops::RangeInclusive<i32> = -719_528..=2_932_896;

/// The number of 1970-01-01 among the days of the common era.
const EPOCH: i32 = 719_163;

/// Values that have a text.
pub(super) enum Plain {
    Whole(Int64Array),
    Digits(Decimal128Array, usize),
    Days(Date32Array),
    Flags(BooleanArray),
    Views(StringViewArray),
    Texts(StringArray),
}

impl Plain {
    /// # Errors
    /// Fails for a value without a text: it may not be taken for NULL.
    pub(super) fn of(values: &ArrayRef) -> Result<Self> {
        let cast = |values: &ArrayRef, to: &DataType| {
            cast_with_options(values, to, &CastOptions { safe: false, ..CastOptions::default() })
        };
        let whole = |values: &ArrayRef| {
            Ok(Self::Whole(cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().clone()))
        };
        let texts = match values.data_type() {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => return whole(values),
            DataType::Timestamp(_, zone) => {
                return whole(&cast(values, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?);
            }
            DataType::Decimal128(_, scale) if *scale >= 0 => {
                let digits = values.as_primitive::<Decimal128Type>().clone();
                return Ok(Self::Digits(digits, usize::from(scale.unsigned_abs())));
            }
            // Days of other years are written otherwise.
            DataType::Date32
                if values
                    .as_primitive::<Date32Type>()
                    .iter()
                    .flatten()
                    .all(|day| FOUR_DIGITS.contains(&day)) =>
            {
                return Ok(Self::Days(values.as_primitive::<Date32Type>().clone()));
            }
            DataType::Boolean => return Ok(Self::Flags(values.as_boolean().clone())),
            DataType::Utf8View => return Ok(Self::Views(values.as_string_view().clone())),
            DataType::Float64 => double_text(&[ArrayRef::clone(values)]),
            DataType::Float32 => float_text(&[ArrayRef::clone(values)]),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                hex_text(&[cast(values, &DataType::BinaryView)?])
            }
            _ => cast(values, &DataType::Utf8)?,
        };
        Ok(Self::Texts(texts.as_string::<i32>().clone()))
    }

    /// Gives the text of a row's value to `take`, unless it is NULL.
    pub(super) fn with<T>(&self, row: usize, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut room = [0_u8; LONGEST];
        let text = match self {
            Self::Whole(values) if values.is_valid(row) => {
                let value = values.value(row);
                digits(u128::from(value.unsigned_abs()), 0, value < 0, &mut room)
            }
            Self::Digits(values, scale) if values.is_valid(row) => {
                let value = values.value(row);
                digits(value.unsigned_abs(), *scale, value < 0, &mut room)
            }
            Self::Days(values) if values.is_valid(row) => day(values.value(row), &mut room)?,
            Self::Flags(values) if values.is_valid(row) => {
                if values.value(row) {
                    b"true".as_slice()
                } else {
                    b"false"
                }
            }
            Self::Views(values) if values.is_valid(row) => values.value(row).as_bytes(),
            Self::Texts(values) if values.is_valid(row) => values.value(row).as_bytes(),
            _ => return None,
        };
        Some(take(text))
    }
}

fn day(day: i32, room: &mut [u8; LONGEST]) -> Option<&[u8]> {
    let date = NaiveDate::from_num_days_from_ce_opt(day + EPOCH)?;
    let (year, month, day) = (date.year().unsigned_abs(), date.month(), date.day());
    let digit = |number: u32| b'0' + u8::try_from(number % 10).unwrap_or_default();
    room[..10].copy_from_slice(&[
        digit(year / 1000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'-',
        digit(month / 10),
        digit(month),
        b'-',
        digit(day / 10),
        digit(day),
    ]);
    Some(&room[..10])
}

/// A number with so many digits behind the point, of which there is at least one before it.
fn digits(number: u128, scale: usize, negative: bool, room: &mut [u8; LONGEST]) -> &[u8] {
    let mut written = itoa::Buffer::new();
    // Few numbers need more than 64 bits, and dividing those takes much longer.
    let digits = match u64::try_from(number) {
        Ok(few) => written.format(few),
        Err(_) => written.format(number),
    };
    let digits = digits.as_bytes();
    let mut at = LONGEST;
    let mut put = |bytes: &[u8]| {
        room[at - bytes.len()..at].copy_from_slice(bytes);
        at -= bytes.len();
    };
    if scale == 0 {
        put(digits);
    } else {
        let (before, behind) = digits.split_at(digits.len().saturating_sub(scale));
        put(behind);
        put(&ZEROS[..scale - behind.len()]);
        put(b".");
        put(if before.is_empty() { b"0" } else { before });
    }
    if negative {
        put(b"-");
    }
    &room[at..]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use deltalake::arrow::array::{Int8Array, Int16Array, Int32Array, TimestampMicrosecondArray};
    use deltalake::arrow::compute::cast;
    use proptest::prelude::*;

    use super::*;

    /// The texts, and those that a cast makes.
    fn both(values: &ArrayRef) -> [Vec<Option<String>>; 2] {
        let plain = Plain::of(values).unwrap();
        let text = |row| plain.with(row, |text| String::from_utf8(text.to_vec()).unwrap());
        let made = cast(values, &DataType::Utf8).unwrap();
        let made = made.as_string::<i32>().iter().map(|text| text.map(str::to_owned));
        [(0..values.len()).map(text).collect(), made.collect()]
    }

    #[test]
    fn values_at_the_ends_have_the_texts_of_a_cast() {
        let most = 10_i128.pow(38) - 1;
        let decimals = |scale| {
            let values = [0, 1, -1, 9, 10, -10, 99, 100, -100, 12_345, -most, most, i128::from(u64::MAX)];
            let values = values.into_iter().map(Some).chain([None]).collect::<Decimal128Array>();
            Arc::new(values.with_precision_and_scale(38, scale).unwrap()) as ArrayRef
        };
        let mut columns = vec![
            Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(0), None, Some(i8::MAX)])) as ArrayRef,
            Arc::new(Int16Array::from(vec![i16::MIN, -1, i16::MAX])),
            Arc::new(Int32Array::from(vec![i32::MIN, 10, i32::MAX])),
            Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])),
            Arc::new(Date32Array::from(vec![Some(-719_528), Some(0), Some(11_016), None, Some(2_932_896)])),
            // Years of another number of digits.
            Arc::new(Date32Array::from(vec![-719_529, 2_932_897, 0])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            Arc::new(StringArray::from(vec![Some(""), Some("a"), None])),
            Arc::new(StringViewArray::from(vec![Some(""), Some("longer than what a view holds"), None])),
        ];
        columns.extend([0, 1, 2, 18, 37, 38].map(decimals));
        for column in columns {
            let [texts, made] = both(&column);
            assert_eq!(texts, made, "{}", column.data_type());
        }
        let times = TimestampMicrosecondArray::from(vec![Some(-1), Some(1_500_000), None]);
        let [texts, _] = both(&(Arc::new(times) as ArrayRef));
        assert_eq!(texts, [Some("-1".to_owned()), Some("1500000".to_owned()), None]);
    }

    proptest! {
        #[test]
        fn any_value_has_the_text_of_a_cast(
            whole in any::<i64>(),
            digits in -(10_i128.pow(38) - 1)..10_i128.pow(38),
            shift in 0_u32..38,
            scale in 0_i8..=38,
            day in -800_000..3_000_000_i32,
        ) {
            let digits = vec![digits, digits / 10_i128.pow(shift)];
            let digits = Decimal128Array::from(digits).with_precision_and_scale(38, scale).unwrap();
            for column in [
                Arc::new(Int64Array::from(vec![whole, whole >> shift])) as ArrayRef,
                Arc::new(digits),
                Arc::new(Date32Array::from(vec![day])),
            ] {
                let [texts, made] = both(&column);
                prop_assert_eq!(texts, made);
            }
        }
    }
}
