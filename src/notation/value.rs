//! The notations that parts of a pipeline file share: whole days, parts in percent, thresholds of rows.

use std::fmt;

use chrono::NaiveDate;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Fault;

/// How many digits of a percentage count, and what that makes of one percent.
const PERCENT_DIGITS: usize = 6;
const ONE_PERCENT: u64 = 1_000_000;

/// The longest duration, a hundred years: enough for any, and far from where dates end.
const MAX_DAYS: u32 = 36_500;

/// A notation's schema: a text, with an example.
macro_rules! text_schema {
    ($notation:ident, $example:literal) => {
        impl JsonSchema for $notation {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($notation).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "examples": [$example]})
            }
        }
    };
}

text_schema!(Days, "2 days");
text_schema!(Percent, "5 %");
text_schema!(Threshold, "> 25 %");

/// A number of whole days: `7 days`, `1 day`, `2 weeks`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Days(u32);

impl Days {
    /// Reads it.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let (number, unit) = split_unit(text);
        let days = match unit {
            "day" | "days" => 1,
            "week" | "weeks" => 7,
            _ => {
                let fault = Fault::new(format!("must be a number of whole days, not `{text}`"));
                return Err(fault.hint("windows are whole UTC days: write it like `7 days` or `2 weeks`"));
            }
        };
        let total = number.parse::<u32>().ok().and_then(|number| number.checked_mul(days));
        match total {
            Some(total) if total <= MAX_DAYS => Ok(Self(total)),
            Some(_) => Err(Fault::new(format!("must be at most {MAX_DAYS} days, not `{text}`"))),
            None => {
                let fault = Fault::new(format!("must be a number of whole days, not `{text}`"));
                Err(fault.hint("write it like `7 days` or `2 weeks`"))
            }
        }
    }

    /// So many days.
    #[must_use]
    pub fn of(days: u32) -> Self {
        Self(days)
    }

    /// How many there are.
    #[must_use]
    pub fn whole(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 1 { "day" } else { "days" })
    }
}

/// How many rows are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// Whether the limit itself is too many already: `>=` instead of `>`.
    pub inclusive: bool,
    /// The limit.
    pub limit: Limit,
}

impl Threshold {
    /// Reads `> 25 %`, `>= 10`, `> 5 rows`.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let fault = || {
            let fault =
                Fault::new(format!("must be `>` or `>=` and a number of rows or a percentage, not `{text}`"));
            fault.hint("write it like \"> 25 %\" or \">= 10 rows\"")
        };
        let rest = text.trim().strip_prefix('>').ok_or_else(fault)?;
        let (inclusive, limit) = match rest.strip_prefix('=') {
            Some(limit) => (true, limit.trim()),
            None => (false, rest.trim()),
        };
        let limit = if limit.ends_with('%') {
            Limit::Percent(Percent::parse(limit)?)
        } else {
            let (number, unit) = split_unit(limit);
            let rows = number.parse().ok().filter(|_| matches!(unit, "" | "row" | "rows"));
            Limit::Rows(rows.ok_or_else(fault)?)
        };
        Ok(Self { inclusive, limit })
    }

    /// Whether `failed` of `examined` rows are too many. Integers are compared: 1 of 4 is not > 25 %.
    #[must_use]
    pub fn is_met(self, failed: i64, examined: i64) -> bool {
        let (is, limit) = match self.limit {
            Limit::Rows(rows) => (i128::from(failed), i128::from(rows)),
            Limit::Percent(percent) => percent.sides(failed, examined),
        };
        if self.inclusive { is >= limit && failed > 0 } else { is > limit }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.inclusive { ">=" } else { ">" };
        match self.limit {
            Limit::Rows(rows) => write!(f, "{sign} {rows}"),
            Limit::Percent(percent) => write!(f, "{sign} {percent}"),
        }
    }
}

/// A number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// So many.
    Rows(u64),
    /// So many of the rows examined.
    Percent(Percent),
}

/// A part of something, exact to a millionth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Percent {
    millionths: u64,
}

/// Millionths of a percent in the whole.
const WHOLE: i128 = 100 * 1_000_000;

impl Percent {
    /// All of it.
    pub(crate) const WHOLE: Self = Self::from_millionths(100 * ONE_PERCENT);

    /// Reads a part of the whole, exact to a millionth of a percent: `50 %`, `0.5 %`.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let fault = |wanted: &str| {
            let fault = Fault::new(format!("must be {wanted}, not `{text}`"));
            fault.hint("write it like `5 %` or `0.5 %`")
        };
        let number = text.trim().strip_suffix('%').map(str::trim_end);
        let number = number.ok_or_else(|| fault("a part in percent"))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) {
            return Err(fault("a part in percent"));
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > PERCENT_DIGITS {
            return Err(fault("a percentage of at most six decimals"));
        }
        let millionths = format!("{fraction:0<PERCENT_DIGITS$}").parse::<u64>().ok();
        let whole = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(ONE_PERCENT));
        let total = whole.zip(millionths).and_then(|(whole, rest)| whole.checked_add(rest));
        let total = total.filter(|total| *total <= 100 * ONE_PERCENT);
        total.map(Self::from_millionths).ok_or_else(|| fault("at most 100 %"))
    }

    /// A part in millionths of a percent: 25 % is 25 000 000.
    #[must_use]
    pub const fn from_millionths(millionths: u64) -> Self {
        Self { millionths }
    }

    /// Whether `part` is more than this part of `whole`.
    pub(crate) fn is_exceeded(self, part: i64, whole: i64) -> bool {
        let (part, limit) = self.sides(part, whole);
        part > limit
    }

    /// Two integers that compare as `part` does with this part of `whole`.
    #[must_use]
    pub fn sides(self, part: i64, whole: i64) -> (i128, i128) {
        (i128::from(part) * WHOLE, i128::from(self.millionths) * i128::from(whole))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.millionths / 1_000_000, self.millionths % 1_000_000);
        if rest == 0 {
            return write!(f, "{whole} %");
        }
        let rest = format!("{rest:06}");
        write!(f, "{whole}.{} %", rest.trim_end_matches('0'))
    }
}

/// A day, in one notation only.
pub(crate) fn date(text: &str) -> Option<NaiveDate> {
    // Chrono would also take `2025-9-1` and `+2025-09-01`, which tables and other tools would not.
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|date| date.to_string() == text)
}

/// A regular expression, as `regexp_like` compiles it. What is wrong with it is shown below the pattern.
pub(crate) fn pattern(text: &str) -> Result<(), Fault> {
    let error = match regex::Regex::new(text) {
        Ok(_) => return Ok(()),
        Err(regex::Error::Syntax(told)) => told,
        Err(error) => return Err(Fault::new(format!("is no regular expression: {error}"))),
    };
    let why = error.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or_default();
    let shown: Vec<&str> = error
        .lines()
        .filter(|line| !line.starts_with("regex parse error") && !line.starts_with("error: "))
        .collect();
    Err(Fault::new(format!("is no regular expression: {why}\n{}", shown.join("\n"))))
}

/// `7 days` as `7` and `days`; the blank is optional.
pub(crate) fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(number: u64) -> Limit {
        Limit::Percent(Percent::from_millionths(number * 1_000_000))
    }

    #[test]
    fn one_of_four_is_not_more_than_a_quarter() {
        let more = Threshold { inclusive: false, limit: percent(25) };
        assert!(!more.is_met(1, 4) && more.is_met(2, 4) && more.is_met(26, 100) && !more.is_met(0, 0));
        let as_many = Threshold { inclusive: true, ..more };
        assert!(as_many.is_met(1, 4) && !as_many.is_met(0, 0));
    }

    #[test]
    fn percent_shows_no_digits_that_say_nothing() {
        let texts = [25_000_000, 500_000, 33_333_333, 0].map(|n| Percent::from_millionths(n).to_string());
        assert_eq!(texts, ["25 %", "0.5 %", "33.333333 %", "0 %"]);
    }

    #[test]
    fn days_and_weeks_resolve_to_days() {
        for (text, expected) in [("7 days", 7), ("1 day", 1), ("0 days", 0), ("2 weeks", 14), ("1week", 7)] {
            assert_eq!(Days::parse(text).unwrap().whole(), expected, "{text}");
        }
    }

    #[test]
    fn durations_other_than_a_bounded_number_of_whole_days_are_refused() {
        for text in [
            "",
            "7",
            "days",
            "12 hours",
            "1.5 days",
            "-1 day",
            "7 Days",
            "36501 days",
            "613566757 weeks",
            "99999999999 days",
        ] {
            assert!(Days::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_are_exact_to_six_decimals() {
        for (text, millionths) in [
            ("50 %", 50_000_000),
            ("0.5%", 500_000),
            ("100.000 %", 100_000_000),
            ("0.000001 %", 1),
            ("007.50 %", 7_500_000),
        ] {
            assert_eq!(Percent::parse(text).unwrap(), Percent::from_millionths(millionths), "{text}");
            assert_eq!(
                Percent::parse(&Percent::parse(text).unwrap().to_string()).unwrap(),
                Percent::parse(text).unwrap(),
                "{text}"
            );
        }
    }

    #[test]
    fn percentages_of_more_than_all_of_less_than_nothing_or_too_exact_are_refused() {
        for text in [
            "",
            "%",
            "50",
            "101 %",
            "100.000001 %",
            "-1 %",
            "+1 %",
            ".5 %",
            "5. %",
            "0.0000001 %",
            "1e1 %",
            "1 % %",
            "99999999999999999999 %",
            "18446744073710 %",
        ] {
            assert!(Percent::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn thresholds_are_of_rows_or_of_a_percentage() {
        for (text, shown) in [
            ("> 25 %", "> 25 %"),
            (">=0.5%", ">= 0.5 %"),
            (">= 10", ">= 10"),
            ("> 5 rows", "> 5"),
            (">1 row", "> 1"),
        ] {
            let threshold = Threshold::parse(text).unwrap();
            assert_eq!(threshold.to_string(), shown);
            assert_eq!(Threshold::parse(shown).unwrap(), threshold);
        }
    }

    #[test]
    fn thresholds_with_another_operator_or_none_or_another_unit_are_refused() {
        for text in
            ["", ">", "25 %", "< 5", "= 5", "> = 5", ">> 5", "> -5", "> 5.5 rows", "> 5 columns", "> 101 %"]
        {
            assert!(Threshold::parse(text).is_err(), "{text}");
        }
    }
}
