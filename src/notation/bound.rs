//! Texts of a pipeline file as SQL literals of a column's type, to be compared with the column.
//!
//! A bound means the number that was written, not the nearest one that the column could hold: one with more digits than
//! the column is moved to the next value inside of it, and one that lies outside of the type lets all values pass, or
//! none. So no comparison ever rounds, or fails for want of room.

use chrono::{DateTime, NaiveDateTime, NaiveTime, Timelike, Utc};

use super::date;
use crate::model::Literal;
use crate::model::types::DataType;

/// What a column's values are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// A value of exactly the column's type.
    Literal(Literal),
    /// Every value of the type passes.
    Always,
    /// No value of the type passes.
    Never,
}

/// The most digits that a decimal has.
const MAX_DIGITS: usize = 38;

/// What to put for `x` in `column >= x`, where `text` is the lowest value that passes.
///
/// # Errors
/// What is wrong with `text`, to follow on its key: `must be …`.
pub fn lower(text: &str, data_type: &DataType) -> Result<Bound, String> {
    bound(text, data_type, Side::Lower)
}

/// What to put for `x` in `column <= x`, where `text` is the highest value that passes.
///
/// # Errors
/// What is wrong with `text`, to follow on its key: `must be …`.
pub fn upper(text: &str, data_type: &DataType) -> Result<Bound, String> {
    bound(text, data_type, Side::Upper)
}

/// What to put for `x` in `column = x`, where `text` is the value. There is no value that is always equal.
///
/// # Errors
/// What is wrong with `text`, to follow on its key: `must be …`.
pub fn equal(text: &str, data_type: &DataType) -> Result<Bound, String> {
    bound(text, data_type, Side::Equal)
}

/// The one value of the type that `text` spells, in whichever way a person may: `007`, `1.50`, a time of any zone.
///
/// # Errors
/// What is wrong with `text`, to follow on its key: `must be …`.
pub fn exactly(text: &str, data_type: &DataType) -> Result<Literal, String> {
    let respelt = match data_type {
        DataType::Binary => {
            let digits = text.strip_prefix("X'").and_then(|digits| digits.strip_suffix('\'')).unwrap_or(text);
            let bytes = hex::decode(digits).map_err(|_| must_be(text, "hex digits, such as `00ff`"))?;
            return Ok(Literal::Binary(bytes));
        }
        DataType::Timestamp | DataType::TimestampNtz => respelt_time(text),
        _ => text.to_owned(),
    };
    match equal(&respelt, data_type)
        .map_err(|why| why.replace(&format!("`{respelt}`"), &format!("`{text}`")))?
    {
        Bound::Literal(literal) => Ok(literal),
        Bound::Always | Bound::Never => Err(must_be(text, &format!("a value of {data_type}"))),
    }
}

/// A time as [`instant`] and [`wall_clock`] read it: with a blank or a `T` between day and time, with or without
/// seconds, and with the zone as `Z`, `UTC`, `+02`, `+0200` or `+02:00`, after a blank or not.
fn respelt_time(text: &str) -> String {
    let text = text.trim();
    let (Some(day), Some(rest)) = (text.get(..10), text.get(10..)) else { return text.to_owned() };
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else { return text.to_owned() };
    let zone_at = rest.find(|c: char| "zZuU+-".contains(c)).unwrap_or(rest.len());
    let (time, zone) = (rest[..zone_at].trim_end(), &rest[zone_at..]);
    let time = if time.len() == 5 { format!("{time}:00") } else { time.to_owned() };
    let is_utc = ["", "z", "utc"].contains(&zone.to_lowercase().as_str());
    let digits = zone.get(1..).unwrap_or_default().replace(':', "");
    match (is_utc, zone, digits.len()) {
        (true, "", _) => format!("{day} {time}"),
        (true, ..) => format!("{day}T{time}Z"),
        (false, _, 2) => format!("{day}T{time}{}{digits}:00", &zone[..1]),
        (false, _, 4) if digits.is_ascii() => {
            format!("{day}T{time}{}{}:{}", &zone[..1], &digits[..2], &digits[2..])
        }
        _ => text.to_owned(),
    }
}

/// Which of the three comparisons it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Lower,
    Upper,
    Equal,
}

impl Side {
    /// What a bound means that lies outside of what the type can hold.
    fn outside(self, above: bool) -> Bound {
        match (self, above) {
            (Self::Upper, true) | (Self::Lower, false) => Bound::Always,
            (Self::Lower, true) | (Self::Upper, false) | (Self::Equal, _) => Bound::Never,
        }
    }
}

fn bound(text: &str, data_type: &DataType, side: Side) -> Result<Bound, String> {
    let literal = match data_type {
        DataType::Byte => return integer(text, data_type, i128::from(i8::MIN)..=i128::from(i8::MAX), side),
        DataType::Short => {
            return integer(text, data_type, i128::from(i16::MIN)..=i128::from(i16::MAX), side);
        }
        DataType::Int => return integer(text, data_type, i128::from(i32::MIN)..=i128::from(i32::MAX), side),
        DataType::Long => return integer(text, data_type, i128::from(i64::MIN)..=i128::from(i64::MAX), side),
        DataType::Decimal(precision, scale) => return decimal(text, *precision, *scale, side),
        DataType::Float => return float::<f32>(text, data_type, side),
        DataType::Double => return float::<f64>(text, data_type, side),
        DataType::Date => date(text).map(Literal::Date).ok_or("a date such as `2025-09-01`"),
        DataType::Timestamp => Ok(Literal::Timestamp(instant(text)?)),
        DataType::TimestampNtz => {
            let at = wall_clock(text).ok_or_else(|| must_be(text, "a time such as `2025-09-01 12:00:00`"))?;
            Ok(Literal::TimestampNtz(at))
        }
        DataType::String => Ok(Literal::text(text)),
        // As YAML spells them.
        DataType::Boolean => match (side, text.to_lowercase().as_str()) {
            (Side::Equal, "true") => Ok(Literal::Boolean(true)),
            (Side::Equal, "false") => Ok(Literal::Boolean(false)),
            (Side::Equal, _) => Err("`true` or `false`"),
            (Side::Lower | Side::Upper, _) => return Err(no_order(data_type)),
        },
        DataType::Binary | DataType::Array(_) | DataType::Struct(_) | DataType::Map(_, _) => {
            return Err(no_order(data_type));
        }
    };
    literal.map(Bound::Literal).map_err(|wanted| must_be(text, wanted))
}

fn must_be(text: &str, wanted: &str) -> String {
    format!("must be {wanted}, not `{text}`")
}

fn no_order(data_type: &DataType) -> String {
    format!("cannot be compared with a column that is {data_type}")
}

fn integer(
    text: &str,
    data_type: &DataType,
    range: std::ops::RangeInclusive<i128>,
    side: Side,
) -> Result<Bound, String> {
    let number = Number::parse(text).ok_or_else(|| must_be(text, "a number"))?;
    Ok(match number.in_steps(0, &range, side) {
        Ok(value) => Bound::Literal(Literal::Number(value.to_string(), data_type.clone())),
        Err(outside) => outside,
    })
}

fn decimal(text: &str, precision: u8, scale: u8, side: Side) -> Result<Bound, String> {
    let number = Number::parse(text).ok_or_else(|| must_be(text, "a number"))?;
    let highest = 10_i128.checked_pow(u32::from(precision)).map_or(i128::MAX, |limit| limit - 1);
    Ok(match number.in_steps(usize::from(scale), &(-highest..=highest), side) {
        Ok(value) => {
            let digits = with_point(value, usize::from(scale));
            Bound::Literal(Literal::Number(digits, DataType::Decimal(precision, scale)))
        }
        Err(outside) => outside,
    })
}

/// `steps` of 10^-scale, written out.
fn with_point(steps: i128, scale: usize) -> String {
    let sign = if steps < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", steps.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// A number as it was written, without zeros that say nothing.
struct Number<'t> {
    negative: bool,
    /// Digits before the point, none leading that is 0.
    whole: &'t str,
    /// Digits after the point, none last that is 0.
    fraction: &'t str,
}

impl<'t> Number<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let any = !whole.is_empty() || !fraction.is_empty();
        (any && is_digits(whole) && is_digits(fraction)).then(|| Self {
            negative: text.starts_with('-'),
            whole: whole.trim_start_matches('0'),
            fraction: fraction.trim_end_matches('0'),
        })
    }

    /// This number in steps of 10^-scale, moved to the next step that passes; or what it means that there is none in
    /// `range`.
    fn in_steps(
        &self,
        scale: usize,
        range: &std::ops::RangeInclusive<i128>,
        side: Side,
    ) -> Result<i128, Bound> {
        let beyond = || side.outside(!self.negative);
        if self.whole.len() + scale > MAX_DIGITS {
            return Err(beyond());
        }
        let kept = self.fraction.get(..scale).unwrap_or(self.fraction);
        let digits = format!("{}{kept:0<scale$}", self.whole);
        // No digits are 0 steps; 38 digits always fit.
        let digits = if digits.is_empty() { "0" } else { &digits };
        let steps = digits.parse::<i128>().map_err(|_| beyond())?;
        let between = self.fraction.len() > scale;
        let away_from_zero = match side {
            Side::Equal if between => return Err(Bound::Never),
            Side::Equal => false,
            Side::Lower => between && !self.negative,
            Side::Upper => between && self.negative,
        };
        let steps = steps + i128::from(away_from_zero);
        let steps = if self.negative { -steps } else { steps };
        if range.contains(&steps) { Ok(steps) } else { Err(side.outside(steps > *range.end())) }
    }
}

/// Digits with at most a sign, a point and an exponent, as Rust, DataFusion and Spark all read them.
fn exponential(text: &str) -> Result<String, String> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let is_exponent = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = Number::parse(mantissa).filter(|_| is_exponent);
    let Number { negative, whole, fraction } = number.ok_or_else(|| must_be(text, "a number"))?;
    let sign = if negative { "-" } else { "" };
    let exponent = exponent.trim_start_matches('+');
    Ok(format!("{sign}{whole:0>1}.{fraction:0<1}e{exponent}"))
}

/// The nearest value of the type is meant, which DataFusion or Spark makes of the text, once.
fn float<F: std::str::FromStr + Into<f64>>(
    text: &str,
    data_type: &DataType,
    side: Side,
) -> Result<Bound, String> {
    let number = exponential(text)?;
    let value = number.parse::<F>().map_or(f64::NAN, Into::into);
    if value.is_finite() {
        return Ok(Bound::Literal(Literal::Number(number, data_type.clone())));
    }
    Ok(side.outside(value > 0.0))
}

/// RFC 3339, or a day with or without a time, in UTC.
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let with_zone = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    // Microseconds are what the column holds.
    let exact = |at: &DateTime<Utc>| !is_leap(at) && at.nanosecond().is_multiple_of(1_000);
    let at = wall_clock(text).map(|at| at.and_utc()).or_else(|| with_zone().filter(exact));
    at.ok_or_else(|| must_be(text, "a time such as `2025-09-01 12:00:00` (UTC) or `2025-09-01T12:00:00Z`"))
}

/// `YYYY-MM-DD`, then optionally `HH:MM:SS`, then optionally up to six digits of a second.
fn wall_clock(text: &str) -> Option<NaiveDateTime> {
    if let Some(day) = date(text) {
        return Some(day.and_time(NaiveTime::MIN));
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_fraction = (1..=6).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let at = NaiveDateTime::parse_from_str(&format!("{seconds}.{fraction}"), "%Y-%m-%d %H:%M:%S%.f").ok()?;
    // Chrono would also take `1:2:3`.
    let as_written = at.format("%Y-%m-%d %H:%M:%S").to_string() == seconds;
    (is_fraction && as_written && !is_leap(&at)).then_some(at)
}

/// A second 60, which no table holds, but chrono takes.
fn is_leap(at: &impl Timelike) -> bool {
    at.nanosecond() >= 1_000_000_000
}
