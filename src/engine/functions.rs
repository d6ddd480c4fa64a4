//! Spark's functions that DataFusion lacks, so that the same SQL gives the same values in both.

use std::sync::Arc;

use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int64Array, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use deltalake::arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use deltalake::datafusion::error::Result;
use deltalake::datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use sha2::{Digest as _, Sha256};

/// All functions to register.
pub(super) fn all() -> Vec<ScalarUDF> {
    let micros = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let naive = DataType::Timestamp(TimeUnit::Microsecond, None);
    vec![
        function("sha2", vec![DataType::Utf8, DataType::Int64], DataType::Utf8, sha2),
        function("unix_micros", vec![micros()], DataType::Int64, unix_micros),
        function("timestamp_micros", vec![DataType::Int64], micros(), timestamp_micros),
        function("timestamp_ntz_micros", vec![DataType::Int64], naive, timestamp_ntz_micros),
        function("hex", vec![DataType::BinaryView], DataType::Utf8, hex_text),
        function("double_text", vec![DataType::Float64], DataType::Utf8, double_text),
        function("float_text", vec![DataType::Float32], DataType::Utf8, float_text),
    ]
}

fn function(
    name: &str,
    arguments: Vec<DataType>,
    returns: DataType,
    body: fn(&[ArrayRef]) -> ArrayRef,
) -> ScalarUDF {
    let implementation = Arc::new(move |values: &[ColumnarValue]| -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(values)?;
        Ok(ColumnarValue::Array(body(&arrays)))
    });
    create_udf(name, arguments, returns, Volatility::Immutable, implementation)
}

/// `sha2(text, 256)`: SHA-256 in lower-case hex, NULL for NULL.
fn sha2(arguments: &[ArrayRef]) -> ArrayRef {
    let texts = arguments[0].as_string::<i32>();
    let mut out = StringBuilder::with_capacity(texts.len(), texts.len() * 64);
    let mut digits = [0_u8; 64];
    for text in texts {
        match text {
            None => out.append_null(),
            Some(text) => {
                // 32 bytes always fit 64 digits, and hex digits are always text.
                let fits = hex::encode_to_slice(Sha256::digest(text), &mut digits).is_ok();
                match std::str::from_utf8(&digits) {
                    Ok(digits) if fits => out.append_value(digits),
                    _ => out.append_null(),
                }
            }
        }
    }
    Arc::new(out.finish())
}

/// `unix_micros(timestamp)`: microseconds since 1970-01-01 00:00:00 UTC.
fn unix_micros(arguments: &[ArrayRef]) -> ArrayRef {
    let micros: Int64Array = arguments[0].as_primitive::<TimestampMicrosecondType>().reinterpret_cast();
    Arc::new(micros)
}

/// `timestamp_micros(micros)`: the instant so many microseconds after 1970-01-01 00:00:00 UTC. A literal would be in
/// nanoseconds, in which far years do not fit.
fn timestamp_micros(arguments: &[ArrayRef]) -> ArrayRef {
    let micros: TimestampMicrosecondArray = arguments[0].as_primitive::<Int64Type>().reinterpret_cast();
    Arc::new(micros.with_timezone("UTC"))
}

/// The same without a zone; Spark has no name for it.
fn timestamp_ntz_micros(arguments: &[ArrayRef]) -> ArrayRef {
    let micros: TimestampMicrosecondArray = arguments[0].as_primitive::<Int64Type>().reinterpret_cast();
    Arc::new(micros)
}

/// `hex(binary)`: upper-case hex digits.
pub(super) fn hex_text(arguments: &[ArrayRef]) -> ArrayRef {
    let bytes = arguments[0].as_binary_view();
    Arc::new(bytes.iter().map(|value| value.map(hex::encode_upper)).collect::<StringArray>())
}

/// A DOUBLE as Spark casts it to STRING.
pub(super) fn double_text(arguments: &[ArrayRef]) -> ArrayRef {
    let values: &Float64Array = arguments[0].as_primitive();
    let text = |value: f64| java_text(value.abs(), value.is_sign_negative(), &format!("{:e}", value.abs()));
    Arc::new(values.iter().map(|value| value.map(text)).collect::<StringArray>())
}

/// A FLOAT as Spark casts it to STRING.
pub(super) fn float_text(arguments: &[ArrayRef]) -> ArrayRef {
    let values: &Float32Array = arguments[0].as_primitive();
    let text =
        |value: f32| java_text(value.abs().into(), value.is_sign_negative(), &format!("{:e}", value.abs()));
    Arc::new(values.iter().map(|value| value.map(text)).collect::<StringArray>())
}

/// The shortest digits of a float in Java's layout: plain from 10⁻³ up to 10⁷, else `d.dddE±x`.
///
/// `scientific` is the absolute value as Rust writes it: `d.ddde±x` with the fewest digits.
fn java_text(absolute: f64, negative: bool, scientific: &str) -> String {
    let sign = if negative { "-" } else { "" };
    if absolute.is_nan() {
        return "NaN".to_owned();
    }
    if absolute.is_infinite() {
        return format!("{sign}Infinity");
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    if absolute == 0.0 {
        return format!("{sign}0.0");
    }
    if (1e-3..1e7).contains(&absolute) {
        let digits = mantissa.replace('.', "");
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let Ok(point) = usize::try_from(exponent + 1) else {
            return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1).unsigned_abs() as usize));
        };
        if point == 0 {
            return format!("{sign}0.{digits}");
        }
        if digits.len() <= point {
            return format!("{sign}{digits}{}.0", "0".repeat(point - digits.len()));
        }
        return format!("{sign}{}.{}", &digits[..point], &digits[point..]);
    }
    let fraction = if mantissa.contains('.') { "" } else { ".0" };
    format!("{sign}{mantissa}{fraction}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn double_text_of_any_magnitude_is_java_s() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (0.001, "0.001"),
            (0.25, "0.25"),
            (0.0001, "1.0E-4"),
            (1_234_567.0, "1234567.0"),
            (12_345_678.9, "1.23456789E7"),
            (1e7, "1.0E7"),
            (1e100, "1.0E100"),
            (f64::INFINITY, "Infinity"),
            (f64::NAN, "NaN"),
        ];
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values(cases.map(|(value, _)| value)));
        let texts = double_text(&[values]);
        let texts: Vec<_> = texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
        assert_eq!(texts, cases.map(|(_, text)| text.to_owned()));
    }
}
