//! The notations that only the pipeline file's own keys have: dates, amounts of memory, times, sort orders.

use std::time::Duration;

use super::pipeline::{AsOf, Initial, LEAST_MEMORY, Memory, TieBreaker};
use crate::notation::{Fault, date, did_you_mean, split_unit};

/// The longest time that a statement may be given, a week.
const MAX_SECONDS: u64 = 604_800;

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
    if memory.is_some_and(|memory| matches!(memory, Memory::Bytes(bytes) if bytes < LEAST_MEMORY)) {
        return Err(Fault::new(format!("must be at least {} MiB, not `{text}`", LEAST_MEMORY >> 20)));
    }
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

fn not_a_date(text: &str, words: &[&str]) -> Fault {
    let listed = words.join("` or `");
    let mut fault = Fault::new(format!("must be `{listed}` or a date such as `2025-09-01`, not `{text}`"));
    fault.hint = did_you_mean(text, words.iter().copied());
    fault
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn memory_resolves_to_a_part_or_to_bytes() {
        for (text, expected) in [
            ("60 %", Memory::Percent(60)),
            ("100%", Memory::Percent(100)),
            ("4 GiB", Memory::Bytes(4 << 30)),
            ("256 MiB", Memory::Bytes(256 << 20)),
            ("2 GB", Memory::Bytes(2_000_000_000)),
        ] {
            assert_eq!(memory(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn memory_of_nothing_of_too_much_or_without_a_unit_is_refused() {
        for text in
            ["0 %", "101 %", "356 %", "60", "0 GiB", "1.5 GiB", "4 gib", "18000000000 GiB", "", "255 MiB"]
        {
            assert!(memory(text).is_err(), "{text}");
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
