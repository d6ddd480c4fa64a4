//! Texts as literals of a column's type.

use std::cmp::Ordering;

use proptest::prelude::*;

use crate::model::Dialect;
use crate::model::types::DataType::{
    self, Array, Binary, Boolean, Byte, Date, Decimal, Double, Float, Int, Long, Map, Short, Struct,
    Timestamp, TimestampNtz,
};
use crate::notation::bound;

/// A bound with its literal as the engine reads it.
#[derive(Debug, PartialEq)]
enum Bound {
    Literal(String),
    Always,
    Never,
}

fn told(bound: Result<bound::Bound, String>) -> Result<Bound, String> {
    Ok(match bound? {
        bound::Bound::Literal(literal) => Bound::Literal(literal.sql(Dialect::Engine)),
        bound::Bound::Always => Bound::Always,
        bound::Bound::Never => Bound::Never,
    })
}

fn lower(text: &str, data_type: &DataType) -> Result<Bound, String> {
    told(bound::lower(text, data_type))
}

fn upper(text: &str, data_type: &DataType) -> Result<Bound, String> {
    told(bound::upper(text, data_type))
}

fn equal(text: &str, data_type: &DataType) -> Result<Bound, String> {
    told(bound::equal(text, data_type))
}

type Function = fn(&str, &DataType) -> Result<Bound, String>;

#[expect(clippy::unnecessary_wraps, reason = "is compared with what is tested")]
fn literal(sql: &str) -> Result<Bound, String> {
    Ok(Bound::Literal(sql.to_owned()))
}

fn cast(text: &str, data_type: &DataType) -> Result<Bound, String> {
    literal(&format!("CAST('{text}' AS {data_type})"))
}

#[test]
fn a_number_that_the_column_can_hold_is_itself_in_the_columns_notation() {
    for (text, data_type, expected) in [
        ("0", Byte, "0"),
        ("-0", Short, "0"),
        ("+007", Int, "7"),
        ("-5.000", Long, "-5"),
        ("9223372036854775807", Long, "9223372036854775807"),
        ("-9223372036854775808", Long, "-9223372036854775808"),
        ("12.5", Decimal(10, 2), "12.50"),
        ("-.5", Decimal(10, 2), "-0.50"),
        ("5.", Decimal(10, 2), "5.00"),
        ("0.07", Decimal(2, 2), "0.07"),
        ("3", Decimal(3, 0), "3"),
        ("1", Decimal(38, 37), "1.0000000000000000000000000000000000000"),
        (&"9".repeat(38), Decimal(38, 0), &"9".repeat(38)),
        (
            "0.00000000000000000000000000000000000001",
            Decimal(38, 38),
            "0.00000000000000000000000000000000000001",
        ),
        ("00000000000000000000000000000000000000000000000000001", Decimal(38, 18), "1.000000000000000000"),
    ] {
        for function in [lower, upper, equal] as [Function; 3] {
            assert_eq!(function(text, &data_type), cast(expected, &data_type), "{text} as {data_type}");
        }
    }
}

#[test]
fn a_number_between_two_values_moves_to_the_one_that_still_passes_and_equals_none() {
    for (text, data_type, up, down) in [
        ("1.5", Int, "2", "1"),
        ("-1.5", Int, "-1", "-2"),
        ("0.0001", Long, "1", "0"),
        ("-0.0001", Long, "0", "-1"),
        ("0.005", Decimal(10, 2), "0.01", "0.00"),
        ("-9.999", Decimal(4, 2), "-9.99", "-10.00"),
        ("12.500000000000000000000000000000000000000000001", Decimal(4, 2), "12.51", "12.50"),
    ] {
        assert_eq!(lower(text, &data_type), cast(up, &data_type), "{text}");
        assert_eq!(upper(text, &data_type), cast(down, &data_type), "{text}");
        assert_eq!(equal(text, &data_type), Ok(Bound::Never), "{text}");
    }
}

#[test]
fn a_number_that_the_column_cannot_hold_lets_all_values_pass_or_none() {
    let huge = "9".repeat(100);
    for (above, data_type) in [
        ("128", Byte),
        ("32768", Short),
        ("2147483648", Int),
        ("9223372036854775808", Long),
        ("100", Decimal(4, 2)),
        ("1", Decimal(38, 38)),
        ("100000000000000000000000000000000000000", Decimal(38, 0)),
        (&huge, Byte),
        (&huge, Decimal(38, 38)),
        ("1e39", Float),
        ("1e309", Double),
        ("1e99999999999", Double),
    ] {
        let below = format!("-{above}").replace("-128", "-129").replace("-32768", "-32769");
        let below = below.replace("-2147483648", "-2147483649");
        let below = below.replace("-9223372036854775808", "-9223372036854775809");
        assert_eq!(lower(above, &data_type), Ok(Bound::Never), "{above} as {data_type}");
        assert_eq!(upper(above, &data_type), Ok(Bound::Always), "{above} as {data_type}");
        assert_eq!(equal(above, &data_type), Ok(Bound::Never), "{above} as {data_type}");
        assert_eq!(lower(&below, &data_type), Ok(Bound::Always), "{below} as {data_type}");
        assert_eq!(upper(&below, &data_type), Ok(Bound::Never), "{below} as {data_type}");
        assert_eq!(equal(&below, &data_type), Ok(Bound::Never), "{below} as {data_type}");
    }
}

#[test]
fn a_number_just_outside_that_rounds_into_the_type_or_out_of_it_is_judged_after_that() {
    assert_eq!(lower("-128.5", &Byte), cast("-128", &Byte));
    assert_eq!(upper("127.5", &Byte), cast("127", &Byte));
    assert_eq!(lower("127.5", &Byte), Ok(Bound::Never));
    assert_eq!(upper("-128.5", &Byte), Ok(Bound::Never));
    assert_eq!(lower("99.991", &Decimal(4, 2)), Ok(Bound::Never));
    assert_eq!(upper("99.991", &Decimal(4, 2)), cast("99.99", &Decimal(4, 2)));
    let nines = "9".repeat(38);
    assert_eq!(lower(&format!("{nines}.1"), &Decimal(38, 0)), Ok(Bound::Never));
}

#[test]
fn text_that_is_no_number_is_refused_by_number_columns_and_an_exponent_by_exact_ones() {
    for text in [
        "", "-", ".", "+.", "1,5", "1.2.3", "1_000", " 1", "1 ", "0x10", "--1", "nan", "inf", "١", "1e", "e1",
    ] {
        for data_type in [Byte, Short, Int, Long, Decimal(10, 2), Float, Double] {
            assert!(lower(text, &data_type).is_err(), "{text:?} as {data_type}");
        }
    }
    for data_type in [Int, Decimal(10, 2)] {
        assert_eq!(equal("1e3", &data_type), Err("must be a number, not `1e3`".to_owned()));
    }
}

#[test]
fn floats_stay_as_written_for_the_engine_to_read_once() {
    for (text, expected) in [
        ("1e3", "1.0e3"),
        ("0.1", "0.1e0"),
        ("-.5", "-0.5e0"),
        ("+2.50E-3", "2.5e-3"),
        ("7", "7.0e0"),
        ("1e+2", "1.0e2"),
    ] {
        assert_eq!(lower(text, &Double), literal(&format!("CAST('{expected}' AS DOUBLE)")));
        assert_eq!(equal(text, &Float), literal(&format!("CAST('{expected}' AS FLOAT)")));
    }
}

#[test]
fn days_are_taken_in_one_notation_only() {
    assert_eq!(lower("2025-09-01", &Date), literal("DATE '2025-09-01'"));
    for text in ["2025-9-1", "2025-02-29", "2025-09-01 00:00:00", "today", "10000-01-01"] {
        assert!(upper(text, &Date).is_err(), "{text}");
    }
}

#[test]
fn instants_are_written_in_utc_to_the_microsecond() {
    for (text, expected) in [
        ("2025-09-01", "2025-09-01 00:00:00.000000Z"),
        ("2025-09-01 12:34:56", "2025-09-01 12:34:56.000000Z"),
        ("2025-09-01 12:34:56.7", "2025-09-01 12:34:56.700000Z"),
        ("2025-09-01 12:34:56.000001", "2025-09-01 12:34:56.000001Z"),
        ("2025-09-01T12:34:56Z", "2025-09-01 12:34:56.000000Z"),
        ("2025-09-01T01:30:00.25+02:00", "2025-08-31 23:30:00.250000Z"),
    ] {
        let micros = expected.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp_micros();
        assert_eq!(equal(text, &Timestamp), literal(&format!("timestamp_micros({micros})")));
    }
    let local = literal("timestamp_ntz_micros(1756730096500000)");
    assert_eq!(lower("2025-09-01 12:34:56.5", &TimestampNtz), local);
    assert!(lower("2025-09-01T12:34:56Z", &TimestampNtz).is_err(), "it has no zone");
}

#[test]
fn text_that_is_no_instant_or_finer_than_a_microsecond_is_refused() {
    for text in [
        "",
        "2025-09-01T12:34:56",
        "2025-09-01 12:34",
        "2025-09-01 1:02:03",
        "2025-09-01  1:02:03",
        "2025-09-01 12:34:56.",
        "2025-09-01 12:34:56.0000001",
        "2025-09-01T12:34:56.0000001Z",
        "2025-09-01 23:59:60",
        "2025-09-01T23:59:60Z",
        "2025-09-31",
        "now",
    ] {
        assert!(equal(text, &Timestamp).is_err(), "{text}");
    }
}

#[test]
fn instants_of_far_years_are_as_exact_as_others() {
    assert_eq!(upper("9999-12-31", &Timestamp), literal("timestamp_micros(253402214400000000)"));
    assert_eq!(lower("0001-01-01", &TimestampNtz), literal("timestamp_ntz_micros(-62135596800000000)"));
}

#[test]
fn text_is_quoted_and_truth_only_equals() {
    assert_eq!(lower("it's; --", &DataType::String), literal("'it''s; --'"));
    assert_eq!(equal("", &DataType::String), literal("''"));
    assert_eq!(equal("true", &Boolean), literal("TRUE"));
    assert_eq!(equal("False", &Boolean), literal("FALSE"));
    assert_eq!(equal("1", &Boolean), Err("must be `true` or `false`, not `1`".to_owned()));
    assert_eq!(lower("true", &Boolean), Err("cannot be compared with a column that is BOOLEAN".to_owned()));
}

#[test]
fn bytes_and_nested_values_have_no_literals() {
    for data_type in
        [Binary, Array(Box::new(Int)), Struct(vec![]), Map(Box::new(DataType::String), Box::new(Int))]
    {
        for function in [lower, upper, equal] as [Function; 3] {
            assert!(function("1", &data_type).is_err(), "{data_type}");
        }
    }
}

/// A number for slow and certain arithmetic: units of 10^-45, which is finer than any text below.
fn units(text: &str) -> (bool, String) {
    let unsigned = text.trim_start_matches(['-', '+']);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole:0>60}{fraction:0<45}");
    (text.starts_with('-') && digits.bytes().any(|digit| digit != b'0'), digits)
}

fn compare(a: &str, b: &str) -> Ordering {
    match (units(a), units(b)) {
        ((false, _), (true, _)) => Ordering::Greater,
        ((true, _), (false, _)) => Ordering::Less,
        ((false, a), (false, b)) => a.cmp(&b),
        ((true, a), (true, b)) => b.cmp(&a),
    }
}

/// What `function` lets pass of `value`, which is of the type.
fn passes(bound: &Bound, value: &str, wanted: fn(Ordering) -> bool) -> bool {
    match bound {
        Bound::Always => true,
        Bound::Never => false,
        Bound::Literal(sql) => {
            let literal = sql.strip_prefix("CAST('").and_then(|sql| sql.split('\'').next()).unwrap();
            wanted(compare(value, literal))
        }
    }
}

fn exact_type() -> impl Strategy<Value = DataType> {
    let decimal = (1..=38_u8).prop_flat_map(|p| (Just(p), 0..=p)).prop_map(|(p, s)| Decimal(p, s));
    prop_oneof![Just(Byte), Just(Short), Just(Int), Just(Long), decimal]
}

/// A value that the type can hold, from any digits.
fn value_of(data_type: &DataType, negative: bool, digits: &str) -> String {
    let sign = if negative { "-" } else { "" };
    let (precision, scale) = match data_type {
        // Digits that all values with so many of them have room in.
        Byte => (2, 0),
        Short => (4, 0),
        Int => (9, 0),
        Long => (18, 0),
        Decimal(precision, scale) => (usize::from(*precision), usize::from(*scale)),
        _ => unreachable!(),
    };
    let digits = &digits[..precision];
    let (whole, fraction) = digits.split_at(precision - scale);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole:0>1}.{fraction}") }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_value_passes_exactly_if_it_compares_so_with_what_was_written(
        text in "[-+]?(0{0,3}[0-9]{1,6}|[0-9]{1,42})(\\.[0-9]{1,42})?",
        data_type in exact_type(),
        negative: bool,
        digits in "0{0,38}[0-9]{38}",
        near: bool,
    ) {
        // Every other value is taken from the text itself, so that it lies near.
        let from_text = format!("{:0>38}{:0<38}", "", text.replace(['-', '+', '.'], ""));
        let value = value_of(&data_type, negative, if near { &from_text[38..] } else { &digits });
        let lower = lower(&text, &data_type).unwrap();
        let upper = upper(&text, &data_type).unwrap();
        let equal = equal(&text, &data_type).unwrap();
        let is = compare(&value, &text);
        prop_assert_eq!(passes(&lower, &value, Ordering::is_ge), is.is_ge(), "{:?}", lower);
        prop_assert_eq!(passes(&upper, &value, Ordering::is_le), is.is_le(), "{:?}", upper);
        prop_assert_eq!(passes(&equal, &value, Ordering::is_eq), is.is_eq(), "{:?}", equal);
    }

    #[test]
    fn a_value_of_the_type_is_its_own_bound(
        data_type in exact_type(), negative: bool, digits in "[0-9]{38}",
    ) {
        let value = value_of(&data_type, negative, &digits);
        for function in [lower, upper, equal] as [Function; 3] {
            let bound = function(&value, &data_type).unwrap();
            prop_assert!(matches!(bound, Bound::Literal(_)), "{:?}", bound);
            prop_assert!(passes(&bound, &value, Ordering::is_eq), "{:?}", bound);
        }
    }

    #[test]
    fn no_text_panics_or_leaves_its_quotes(text in "\\PC{0,30}|[-+.0-9eE: TZ]{0,40}") {
        let types = [Byte, Long, Float, Double, Decimal(38, 38), Date, Timestamp, TimestampNtz, DataType::String, Boolean];
        for data_type in types {
            for function in [lower, upper, equal] as [Function; 3] {
                if let Ok(Bound::Literal(sql)) = function(&text, &data_type) {
                    prop_assert_eq!(sql.matches('\'').count() % 2, 0, "{}", sql);
                }
            }
        }
    }
}
