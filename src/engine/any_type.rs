//! Functions over columns of any type, and of any number.

use std::sync::{Arc, LazyLock};

use chrono::DateTime;
use deltalake::arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, StringArray, StringBuilder,
};
use deltalake::arrow::compute::{CastOptions, cast_with_options, max, min};
use deltalake::arrow::datatypes::{DataType, Date32Type, FieldRef, TimeUnit, TimestampMicrosecondType};
use deltalake::arrow::error::ArrowError;
use deltalake::arrow::row::{RowConverter, SortField};
use deltalake::datafusion::common::ScalarValue;
use deltalake::datafusion::error::{DataFusionError, Result};
use deltalake::datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use sha2::{Digest as _, Sha256};

use super::functions::{double_text, float_text, hex_text};

/// All functions to register.
pub(super) fn all() -> Vec<ScalarUDF> {
    [AnyType::RowHash, AnyType::NestedOrder].map(ScalarUDF::new_from_impl).into()
}

/// A function that takes any columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AnyType {
    RowHash,
    NestedOrder,
}

impl ScalarUDFImpl for AnyType {
    fn name(&self) -> &'static str {
        match self {
            Self::RowHash => "row_hash",
            Self::NestedOrder => "nested_order",
        }
    }

    fn signature(&self) -> &Signature {
        static SIGNATURE: LazyLock<Signature> =
            LazyLock::new(|| Signature::variadic_any(Volatility::Immutable));
        &SIGNATURE
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self {
            Self::RowHash => DataType::Utf8,
            Self::NestedOrder => DataType::Binary,
        })
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = match self {
            Self::RowHash => row_hash(&call.args, &call.arg_fields, call.number_rows)?,
            Self::NestedOrder => nested_order(&call.args, call.number_rows)?,
        };
        Ok(ColumnarValue::Array(values))
    }
}

/// A value that a table can hold, and no load can write.
#[derive(Debug, thiserror::Error)]
#[error("column `{column}` holds a {what} outside of the years that can be written as text")]
pub(super) struct OutOfRange {
    column: String,
    what: &'static str,
}

/// The tag of a column that is looked at, and not hashed.
const NOT_HASHED: char = '-';

/// `row_hash(tags, column, …)`: SHA-256, in lower-case hex, of `tag length:value` for each column, where `tags` has
/// a character for each. A time without a text is an error, also of a column whose tag says that it is not hashed.
fn row_hash(arguments: &[ColumnarValue], names: &[FieldRef], rows: usize) -> Result<ArrayRef> {
    let misused = || DataFusionError::Internal("row_hash takes a tag for each column".to_owned());
    let Some((ColumnarValue::Scalar(ScalarValue::Utf8(Some(tags))), columns)) = arguments.split_first()
    else {
        return Err(misused());
    };
    let tags: Vec<char> = tags.chars().collect();
    if tags.len() != columns.len() {
        return Err(misused());
    }
    let mut texts = Vec::with_capacity(columns.len());
    for ((tag, column), field) in tags.iter().zip(columns).zip(names.iter().skip(1)) {
        let values = column.to_array(rows)?;
        if let Some(what) = unwritable(&values) {
            let column = field.name().clone();
            return Err(DataFusionError::External(Box::new(OutOfRange { column, what })));
        }
        if *tag != NOT_HASHED {
            texts.push((*tag, canonical(*tag, &values)?));
        }
    }
    let mut out = StringBuilder::with_capacity(rows, rows * 64);
    let (mut text, mut digits) = (String::new(), [0_u8; 64]);
    for row in 0..rows {
        text.clear();
        for (tag, values) in &texts {
            if values.is_null(row) {
                text.push('n');
            } else {
                let value = values.value(row);
                text.push(*tag);
                push_number(&mut text, value.len());
                text.push(':');
                text.push_str(value);
            }
        }
        // 32 bytes always fit 64 digits, and hex digits are always text.
        let fits = hex::encode_to_slice(Sha256::digest(&text), &mut digits).is_ok();
        let digits = std::str::from_utf8(&digits).ok().filter(|_| fits).ok_or_else(misused)?;
        out.append_value(digits);
    }
    Ok(Arc::new(out.finish()))
}

/// A number in decimal digits. Each value of each row has one, and formatting takes several times as long.
fn push_number(text: &mut String, number: usize) {
    if number > 9 {
        push_number(text, number / 10);
    }
    text.extend(char::from_digit(u32::try_from(number % 10).unwrap_or_default(), 10));
}

/// What it is, if one of the values is a time that has no text.
fn unwritable(values: &ArrayRef) -> Option<&'static str> {
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
        _ => return None,
    };
    (!has_text).then_some(what)
}

/// The canonical texts of a column's values.
fn canonical(tag: char, values: &ArrayRef) -> Result<StringArray> {
    // A value that has no text may not be taken for NULL.
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let cast = |values: &ArrayRef, to: &DataType| cast_with_options(values, to, &exact);
    let texts = match (tag, values.data_type()) {
        ('f', DataType::Float64) => double_text(&[Arc::clone(values)]),
        ('f', DataType::Float32) => float_text(&[Arc::clone(values)]),
        ('x', _) => hex_text(&[cast(values, &DataType::BinaryView)?]),
        ('t' | 'T', DataType::Timestamp(_, zone)) => {
            let micros = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
            cast(&cast(&micros, &DataType::Int64)?, &DataType::Utf8)?
        }
        _ => cast(values, &DataType::Utf8)?,
    };
    Ok(texts.as_string::<i32>().clone())
}

/// `nested_order(column)`: bytes that order nested values, maps too; they are equal only where the values are.
fn nested_order(arguments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let [column] = arguments else {
        return Err(DataFusionError::Internal("nested_order takes one column".to_owned()));
    };
    Ok(nested_order_of(&column.to_array(rows)?)?)
}

/// The same for an array.
///
/// # Errors
/// Fails where values of the type have no order.
pub fn nested_order_of(values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let ordered = converter.convert_columns(std::slice::from_ref(values))?;
    Ok(Arc::new(ordered.try_into_binary()?))
}

#[cfg(test)]
mod tests {
    use deltalake::arrow::array::{
        Date32Array, Decimal128Array, Int64Array, MapArray, TimestampMicrosecondArray,
    };

    use deltalake::arrow::datatypes::Field;

    use super::*;

    fn hash_of(tags: &str, columns: Vec<ArrayRef>) -> Result<Vec<String>> {
        let rows = columns[0].len();
        let tags = ColumnarValue::Scalar(ScalarValue::Utf8(Some(tags.to_owned())));
        let name = |at: usize| Arc::new(Field::new(format!("c{at}"), DataType::Null, true));
        let names: Vec<FieldRef> = (0..=columns.len()).map(name).collect();
        let columns = columns.into_iter().map(ColumnarValue::Array);
        let hashes = row_hash(&std::iter::once(tags).chain(columns).collect::<Vec<_>>(), &names, rows)?;
        Ok(hashes.as_string::<i32>().iter().map(|hash| hash.unwrap().to_owned()).collect())
    }

    #[test]
    fn row_hash_of_a_time_without_a_text_names_the_column() {
        for tag in ["t", "-"] {
            let last = TimestampMicrosecondArray::from(vec![None, Some(i64::MAX)]).with_timezone("UTC");
            let error = hash_of(tag, vec![Arc::new(last)]).unwrap_err().to_string();
            assert!(error.contains("column `c1` holds a TIMESTAMP"), "{error}");
        }
        let first: ArrayRef = Arc::new(Date32Array::from(vec![i32::MIN]));
        assert!(hash_of("D", vec![first]).is_err());
    }

    #[test]
    fn row_hash_of_the_ends_of_every_type_is_that_of_the_canonical_text() {
        let far = 253_402_300_799_999_999; // 9999-12-31T23:59:59.999999
        let early = -62_135_596_800_000_000; // 0001-01-01T00:00:00
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None])),
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(early), Some(far), None]).with_timezone("UTC"),
            ),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(early), Some(far), None])),
            Arc::new(Date32Array::from(vec![Some(-719_162), Some(2_932_896), None])),
            Arc::new(
                Decimal128Array::from(vec![Some(-(10_i128.pow(38) - 1)), Some(10_i128.pow(38) - 1), None])
                    .with_precision_and_scale(38, 2)
                    .unwrap(),
            ),
            Arc::new(StringArray::from(vec![Some(""), Some("NULL"), None])),
        ];
        let nines = format!("{}.99", "9".repeat(36));
        let texts = [
            format!("i20:{}t18:{early}T18:{early}D10:0001-01-01d40:-{nines}s0:", i64::MIN),
            format!("i19:{}t18:{far}T18:{far}D10:9999-12-31d39:{nines}s4:NULL", i64::MAX),
            "nnnnnn".to_owned(),
        ];
        assert_eq!(hash_of("itTDds", columns).unwrap(), texts.map(|text| hex::encode(Sha256::digest(text))));
    }

    #[test]
    fn nested_order_of_maps_tells_every_two_apart_that_differ() {
        let maps = vec![Some(vec![("a", Some(1))]), Some(vec![("a", Some(2))]), Some(vec![]), None];
        let maps = MapArray::from_vec_of_maps::<StringArray, Int64Array, _, _>(maps, false);
        let order = nested_order(&[ColumnarValue::Array(Arc::new(maps))], 4).unwrap();
        let bytes: std::collections::BTreeSet<_> = order.as_binary::<i32>().iter().flatten().collect();
        assert_eq!(bytes.len(), 4);
    }
}
