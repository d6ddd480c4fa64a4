//! Functions over columns of any type, and of any number.

use std::sync::{Arc, LazyLock};

use deltalake::arrow::array::{ArrayRef, StringBuilder};
use deltalake::arrow::datatypes::{DataType, FieldRef};
use deltalake::datafusion::error::{DataFusionError, Result};
use deltalake::datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use sha2::{Digest as _, Sha256};

use super::canonical::{Canonical, nested_text_of, unwritable};
use super::version_key::version_key;
use crate::notation::VersionOrder;

/// What versions of several columns, or of texts, are compared by.
pub(crate) const VERSION_KEY: &str = "version_key";

/// All functions to register.
pub(super) fn all() -> Vec<ScalarUDF> {
    [AnyType::RowHash, AnyType::NestedText, AnyType::VersionKey].map(ScalarUDF::new_from_impl).into()
}

/// The function `version_key`, for an expression that is no SQL.
#[must_use]
pub fn version_key_function() -> ScalarUDF {
    ScalarUDF::new_from_impl(AnyType::VersionKey)
}

/// A function that takes any columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AnyType {
    RowHash,
    NestedText,
    VersionKey,
}

impl ScalarUDFImpl for AnyType {
    fn name(&self) -> &'static str {
        match self {
            Self::RowHash => "row_hash",
            Self::NestedText => "nested_text",
            Self::VersionKey => VERSION_KEY,
        }
    }

    fn signature(&self) -> &Signature {
        static SIGNATURE: LazyLock<Signature> =
            LazyLock::new(|| Signature::variadic_any(Volatility::Immutable));
        &SIGNATURE
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self {
            Self::RowHash | Self::NestedText => DataType::Utf8,
            Self::VersionKey => DataType::Binary,
        })
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = match self {
            Self::RowHash => row_hash(&call.args, &call.arg_fields, call.number_rows)?,
            Self::NestedText => nested_text(&call.args, call.number_rows)?,
            Self::VersionKey => key_of_version(&call.args, call.number_rows)?,
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

/// `row_hash(column, …, seen)`: SHA-256, in lower-case hex, of the canonical texts of all columns but the last, which is
/// only looked at. A time without a text is an error in any of them.
fn row_hash(arguments: &[ColumnarValue], names: &[FieldRef], rows: usize) -> Result<ArrayRef> {
    let mut hashed = Vec::with_capacity(arguments.len());
    for (at, (column, field)) in arguments.iter().zip(names).enumerate() {
        let values = column.to_array(rows)?;
        if let Some(what) = unwritable(&values) {
            let column = field.name().clone();
            return Err(DataFusionError::External(Box::new(OutOfRange { column, what })));
        }
        if at + 1 < arguments.len() {
            hashed.push(Canonical::of(&values)?);
        }
    }
    let mut out = StringBuilder::with_capacity(rows, rows * 64);
    let (mut text, mut digits) = (Vec::new(), [0_u8; 64]);
    for row in 0..rows {
        text.clear();
        for column in &hashed {
            column.push(row, &mut text);
        }
        // 32 bytes always fit 64 digits, and hex digits are always text.
        let fits = hex::encode_to_slice(Sha256::digest(&text), &mut digits).is_ok();
        let digits = std::str::from_utf8(&digits).ok().filter(|_| fits);
        out.append_value(digits.ok_or_else(|| DataFusionError::Internal("a hash is no text".to_owned()))?);
    }
    Ok(Arc::new(out.finish()))
}

/// `nested_text(column)`: the canonical texts of nested values.
fn nested_text(arguments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let [column] = arguments else {
        return Err(DataFusionError::Internal("nested_text takes one column".to_owned()));
    };
    Ok(nested_text_of(&column.to_array(rows)?)?)
}

/// `version_key('own,numeric', column, …)`: [`version_key`] of the columns by these orders.
fn key_of_version(arguments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let wrong = || DataFusionError::Internal("version_key takes orders and columns".to_owned());
    let (orders, columns) = arguments.split_first().ok_or_else(wrong)?;
    let ColumnarValue::Scalar(orders) = orders else { return Err(wrong()) };
    let orders = orders.try_as_str().flatten().ok_or_else(wrong)?.split(',').map(VersionOrder::named);
    let orders = orders.collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    let columns = columns.iter().map(|column| column.to_array(rows)).collect::<Result<Vec<_>>>()?;
    Ok(version_key(&columns, &orders)?)
}

#[cfg(test)]
mod tests {
    use deltalake::arrow::array::{
        Array, AsArray as _, Date32Array, Decimal128Array, Int64Array, Int64Builder, ListArray, MapArray,
        MapBuilder, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
    };
    use deltalake::arrow::datatypes::{Field, Int64Type};

    use super::*;

    /// The hashes of these columns, and of none but seen.
    fn hash_of(columns: Vec<ArrayRef>, seen: ArrayRef) -> Result<Vec<String>> {
        let rows = seen.len();
        let name = |at: usize| Arc::new(Field::new(format!("c{at}"), DataType::Null, true));
        let names: Vec<FieldRef> = (0..=columns.len()).map(name).collect();
        let columns: Vec<_> = columns.into_iter().chain([seen]).map(ColumnarValue::Array).collect();
        let hashes = row_hash(&columns, &names, rows)?;
        Ok(hashes.as_string::<i32>().iter().map(|hash| hash.unwrap().to_owned()).collect())
    }

    fn numbers(numbers: Vec<Option<i64>>) -> ArrayRef {
        Arc::new(Int64Array::from(numbers))
    }

    fn texts_of(values: &dyn Array) -> Vec<Option<String>> {
        let texts = nested_text_of(&values.slice(0, values.len())).unwrap();
        texts.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn row_hash_of_a_time_without_a_text_names_the_column() {
        let last: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![None, Some(i64::MAX)]).with_timezone("UTC"));
        let one = numbers(vec![Some(1), Some(2)]);
        let within: ArrayRef = Arc::new(StructArray::try_from(vec![("at", Arc::clone(&last))]).unwrap());
        for (columns, seen, name) in [
            (vec![Arc::clone(&last)], Arc::clone(&one), "c0"),
            (vec![Arc::clone(&one)], last, "c1"),
            (vec![within], one, "c0"),
        ] {
            let error = hash_of(columns, seen).unwrap_err().to_string();
            assert!(error.contains(&format!("column `{name}` holds a TIMESTAMP")), "{error}");
        }
        let first: ArrayRef = Arc::new(Date32Array::from(vec![i32::MIN]));
        assert!(hash_of(vec![], first).is_err());
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
        let seen = numbers(vec![None; 3]);
        assert_eq!(hash_of(columns, seen).unwrap(), texts.map(|text| hex::encode(Sha256::digest(text))));
    }

    #[test]
    fn text_of_nested_values_is_that_of_their_parts_wherever_they_lie_in_an_array() {
        let rows = vec![Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(-20)])];
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(rows);
        let expected =
            [Some("[i1:1n]"), None, Some("[]"), Some("[i3:-20]")].map(|text| text.map(str::to_owned));
        assert_eq!(texts_of(&lists.clone()), expected);
        assert_eq!(texts_of(&lists.slice(1, 3)), expected[1..]);

        let lists: ArrayRef = Arc::new(lists);
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some(""), None, Some("n"), Some("]")]));
        let inner = StructArray::try_from(vec![("items", lists), ("name", names)]).unwrap();
        let expected =
            ["{[i1:1n]s0:}", "{nn}", "{[]s1:n}", "{[i3:-20]s1:]}"].map(|text| Some(text.to_owned()));
        assert_eq!(texts_of(&inner.slice(2, 2)), expected[2..]);
        assert_eq!(texts_of(&inner), expected);
    }

    #[test]
    fn maps_of_the_same_entries_have_one_text_in_whatever_order() {
        let mut maps = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        for entries in [vec![("b", Some(2)), ("a", Some(1))], vec![("a", Some(1)), ("b", Some(2))], vec![]] {
            for (key, value) in entries {
                maps.keys().append_value(key);
                maps.values().append_option(value);
            }
            maps.append(true).unwrap();
        }
        maps.append(false).unwrap();
        let maps: MapArray = maps.finish();
        let expected = ["<s1:ai1:1s1:bi1:2>", "<s1:ai1:1s1:bi1:2>", "<>"].map(|text| Some(text.to_owned()));
        assert_eq!(texts_of(&maps.slice(1, 2)), expected[1..]);
        assert_eq!(texts_of(&maps), [&expected[..], &[None]].concat());
    }
}
