//! The small notations of a pipeline file: durations, dates, amounts of memory, sort orders.

use std::time::Duration;

use chrono::NaiveDate;

use super::check::{Limit, Percent, Threshold};
use super::pipeline::{AsOf, Initial, Memory, TieBreaker};
use super::problem::{Fault, did_you_mean};

/// How many digits of a percentage count, and what that makes of one percent.
const PERCENT_DIGITS: usize = 6;
const ONE_PERCENT: u64 = 1_000_000;

/// The longest duration, a hundred years: enough for any, and far from where dates end.
const MAX_DAYS: u32 = 36_500;

/// The longest time that a statement may be given, a week.
const MAX_SECONDS: u64 = 604_800;

/// A number of whole days: `7 days`, `1 day`, `2 weeks`.
pub(super) fn days(text: &str) -> Result<u32, Fault> {
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
        Some(total) if total <= MAX_DAYS => Ok(total),
        Some(_) => Err(Fault::new(format!("must be at most {MAX_DAYS} days, not `{text}`"))),
        None => {
            let fault = Fault::new(format!("must be a number of whole days, not `{text}`"));
            Err(fault.hint("write it like `7 days` or `2 weeks`"))
        }
    }
}

/// A part of the whole, exact to a millionth of a percent: `50 %`, `0.5 %`.
pub(super) fn percent(text: &str) -> Result<Percent, Fault> {
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
    total.map(Percent::from_millionths).ok_or_else(|| fault("at most 100 %"))
}

/// How many rows are too many: `> 25 %`, `>= 10`, `> 5 rows`.
pub(super) fn threshold(text: &str) -> Result<Threshold, Fault> {
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
        Limit::Percent(percent(limit)?)
    } else {
        let (number, unit) = split_unit(limit);
        let rows = number.parse().ok().filter(|_| matches!(unit, "" | "row" | "rows"));
        Limit::Rows(rows.ok_or_else(fault)?)
    };
    Ok(Threshold { inclusive, limit })
}

/// A regular expression, as `regexp_like` compiles it. What is wrong with it is shown below the pattern.
pub(super) fn pattern(text: &str) -> Result<(), Fault> {
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

/// How long something may take: `90 seconds`, `10 minutes`, `1 hour`.
pub(super) fn duration(text: &str) -> Result<Duration, Fault> {
    let (number, unit) = split_unit(text);
    let unit = match unit {
        "s" | "second" | "seconds" => Some(1),
        "min" | "minute" | "minutes" => Some(60),
        "h" | "hour" | "hours" => Some(3_600),
        "d" | "day" | "days" => Some(86_400),
        _ => None,
    };
    let seconds = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    let seconds = seconds.filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| {
        let fault = Fault::new(format!("must be a time from a second to a week, not `{text}`"));
        fault.hint("write it like `90 seconds`, `10 minutes`, `1 hour` or `1 day`")
    })
}

/// A part of the memory there is, `60 %`, or an amount of it, `4 GiB`.
pub(super) fn memory(text: &str) -> Result<Memory, Fault> {
    let (number, unit) = split_unit(text);
    let number = number.parse::<u64>().ok().filter(|number| *number > 0);
    let unit_bytes: Option<u64> = match unit {
        "B" => Some(1),
        "kB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    let memory = match (number, unit, unit_bytes) {
        (Some(number), "%", _) => u8::try_from(number).ok().filter(|part| *part <= 100).map(Memory::Percent),
        (Some(number), _, Some(bytes)) => number.checked_mul(bytes).map(Memory::Bytes),
        _ => None,
    };
    memory.ok_or_else(|| {
        let fault = Fault::new(format!("must be a part or an amount of memory, not `{text}`"));
        fault.hint("write it like `60 %` or `4 GiB`, in whole numbers above 0")
    })
}

/// `today`, or a date.
pub(super) fn as_of(text: &str) -> Result<AsOf, Fault> {
    match text {
        "today" => Ok(AsOf::Today),
        text => date(text).map(AsOf::Date).ok_or_else(|| not_a_date(text, &["today"])),
    }
}

/// `lookback`, `all`, or a date.
pub(super) fn initial(text: &str) -> Result<Initial, Fault> {
    match text {
        "lookback" => Ok(Initial::Lookback),
        "all" => Ok(Initial::All),
        text => date(text).map(Initial::Date).ok_or_else(|| not_a_date(text, &["lookback", "all"])),
    }
}

/// A column, then optionally `asc`, which is the default as in SQL, or `desc`.
pub(super) fn tie_breaker(text: &str) -> Result<TieBreaker, Fault> {
    let mut words = text.split_whitespace();
    let (Some(column), direction, None) = (words.next(), words.next(), words.next()) else {
        let fault = Fault::new(format!("must be a column and a direction, not `{text}`"));
        return Err(fault.hint("write it like `ingest_time desc`"));
    };
    let descending = match direction.map(str::to_lowercase).as_deref() {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(other) => {
            let mut fault = Fault::new(format!("must end in `asc` or `desc`, not `{other}`"));
            fault.hint = did_you_mean(other, ["asc", "desc"]);
            return Err(fault);
        }
    };
    let column = column.to_owned();
    Ok(TieBreaker { column, descending })
}

/// A day, in one notation only.
pub(super) fn date(text: &str) -> Option<NaiveDate> {
    // Chrono would also take `2025-9-1` and `+2025-09-01`, which tables and other tools would not.
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|date| date.to_string() == text)
}

fn not_a_date(text: &str, words: &[&str]) -> Fault {
    let listed = words.join("` or `");
    let mut fault = Fault::new(format!("must be `{listed}` or a date such as `2025-09-01`, not `{text}`"));
    fault.hint = did_you_mean(text, words.iter().copied());
    fault
}

/// `7 days` as `7` and `days`; the blank is optional.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_weeks_resolve_to_days() {
        for (text, expected) in [("7 days", 7), ("1 day", 1), ("0 days", 0), ("2 weeks", 14), ("1week", 7)] {
            assert_eq!(days(text).unwrap(), expected, "{text}");
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
            assert!(days(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_resolves_to_a_part_or_to_bytes() {
        for (text, expected) in [
            ("60 %", Memory::Percent(60)),
            ("100%", Memory::Percent(100)),
            ("4 GiB", Memory::Bytes(4 << 30)),
            ("512 MiB", Memory::Bytes(512 << 20)),
            ("2 GB", Memory::Bytes(2_000_000_000)),
        ] {
            assert_eq!(memory(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn memory_of_nothing_of_too_much_or_without_a_unit_is_refused() {
        for text in ["0 %", "101 %", "356 %", "60", "0 GiB", "1.5 GiB", "4 gib", "18000000000 GiB", ""] {
            assert!(memory(text).is_err(), "{text}");
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
            assert_eq!(percent(text).unwrap(), Percent::from_millionths(millionths), "{text}");
            assert_eq!(
                percent(&percent(text).unwrap().to_string()).unwrap(),
                percent(text).unwrap(),
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
            assert!(percent(text).is_err(), "{text}");
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
            let threshold = threshold(text).unwrap();
            assert_eq!(threshold.to_string(), shown);
            assert_eq!(super::threshold(shown).unwrap(), threshold);
        }
    }

    #[test]
    fn thresholds_with_another_operator_or_none_or_another_unit_are_refused() {
        for text in
            ["", ">", "25 %", "< 5", "= 5", "> = 5", ">> 5", "> -5", "> 5.5 rows", "> 5 columns", "> 101 %"]
        {
            assert!(threshold(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_are_taken_in_one_notation_only() {
        let day = NaiveDate::from_ymd_opt(2025, 9, 1).unwrap();
        assert_eq!(as_of("2025-09-01").unwrap(), AsOf::Date(day));
        assert_eq!(initial("2025-09-01").unwrap(), Initial::Date(day));
        for text in ["2025-9-1", "2025-02-29", "01.09.2025", "20250901", "", "+2025-9-01"] {
            assert!(as_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_word_in_a_dates_place_is_named() {
        assert_eq!(as_of("todday").unwrap_err().hint.unwrap(), "did you mean `today`?");
        assert_eq!(initial("lokback").unwrap_err().hint.unwrap(), "did you mean `lookback`?");
    }

    #[test]
    fn a_tie_breaker_without_direction_is_ascending_as_in_sql() {
        assert!(!tie_breaker("ingest_time").unwrap().descending);
        assert!(!tie_breaker("ingest_time asc").unwrap().descending);
        assert!(tie_breaker("ingest_time DESC").unwrap().descending);
        assert!(tie_breaker("ingest_time down").is_err());
        assert!(tie_breaker("ingest_time desc nulls last").is_err());
    }
}
