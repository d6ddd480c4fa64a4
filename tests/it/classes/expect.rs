//! What the gate has to find, check by check.

use chrono::{Days, NaiveDate};
use highwater::model::Action;

use super::case::{Config, History, Row};
use super::demand::{Demand, STAGING, Spec, TOTALS, number};
use super::oracle::{Gated, all_checks};

/// A check's result: name, rows examined, rows that failed, verdict.
pub(super) type Found = (String, i64, i64, &'static str);

/// What the gate says.
pub(super) struct Verdict {
    pub(super) rejects: bool,
    pub(super) found: Vec<Found>,
    /// For each row that was looked at, whether it breaks a check which is more than a warning.
    pub(super) broken: Vec<bool>,
    /// Whether a check keeps it out.
    pub(super) kept_out: Vec<bool>,
}

/// What was counted for a check that judges the batch as a whole; `out` is `None` where there is nothing to judge by.
struct Whole {
    examined: i64,
    failed: i64,
    out: Option<bool>,
}

pub(super) fn judge(
    config: &Config,
    staged: &[Row],
    gated: &[Gated],
    duplicates: i64,
    history: &History,
    as_of: NaiveDate,
) -> Verdict {
    let rows: Vec<&Row> = gated.iter().map(|gated| &gated.row).collect();
    let mut verdict = Verdict {
        rejects: false,
        found: Vec::new(),
        broken: vec![false; rows.len()],
        kept_out: vec![false; rows.len()],
    };
    for check in all_checks(config) {
        let met = |threshold: Option<_>, failed, examined| {
            threshold.map(|threshold| Spec::is_met(threshold, failed, examined))
        };
        if !check.demand.is_of_rows() {
            let deduped = number(gated.len());
            let Whole { examined, failed, out } =
                whole(&check, config, staged, &rows, (duplicates, deduped), history, as_of);
            let is_out = out == Some(true);
            let rejects = met(check.error_if, failed, examined).unwrap_or(false)
                || (check.action == Action::Fail && is_out);
            let warns = met(check.warn_if, failed, examined).unwrap_or(false) || is_out;
            verdict.rejects |= rejects;
            let said = match out {
                None => "skipped",
                Some(_) if rejects => "failed",
                Some(_) if warns => "warned",
                Some(_) => "passed",
            };
            verdict.found.push((check.name, examined, failed, said));
            continue;
        }
        let examined: Vec<usize> = (0..rows.len()).filter(|at| check.examines(rows[*at], as_of)).collect();
        let looked_at: Vec<&Row> = examined.iter().map(|at| rows[*at]).collect();
        let fails = check.demand.failing(&looked_at, &config.key, &rows, as_of);
        let failing: Vec<usize> =
            examined.iter().zip(fails).filter(|(_, fails)| *fails).map(|(at, _)| *at).collect();
        let held = failing.iter().any(|at| gated[*at].is_held());
        for at in &failing {
            verdict.broken[*at] |= check.action != Action::Warn;
            verdict.kept_out[*at] |= check.action == Action::Quarantine;
        }
        let (examined, failed) = (number(examined.len()), number(failing.len()));
        let rejects = met(check.error_if, failed, examined).unwrap_or(check.action == Action::Fail && held);
        let warns = met(check.warn_if, failed, examined).unwrap_or(failed > 0);
        verdict.rejects |= rejects;
        let said = if rejects {
            "failed"
        } else if check.action == Action::Quarantine && held {
            "quarantined"
        } else if warns {
            "warned"
        } else {
            "passed"
        };
        verdict.found.push((check.name, examined, failed, said));
    }
    verdict
}

/// Judges a check of the batch as a whole.
fn whole(
    check: &Spec,
    config: &Config,
    staged: &[Row],
    gated: &[&Row],
    (duplicates, deduped): (i64, i64),
    history: &History,
    as_of: NaiveDate,
) -> Whole {
    let value = |examined: i64, out: bool| Whole { examined, failed: i64::from(out), out: Some(out) };
    let rate = |examined: i64, failed: i64, max: u64| Whole {
        examined,
        failed,
        out: Some(failed * 100 > i64::try_from(max).unwrap() * examined),
    };
    let examined = |rows: &mut dyn Iterator<Item = &Row>| -> Vec<Row> {
        rows.filter(|row| check.examines(row, as_of)).cloned().collect()
    };
    let of_gated = || examined(&mut gated.iter().copied());
    match &check.demand {
        Demand::RowCount(min, max) => {
            let rows = u64::try_from(staged.len()).unwrap();
            value(
                number(staged.len()),
                min.is_some_and(|min| rows < min) || max.is_some_and(|max| rows > max),
            )
        }
        Demand::RowCountChange { within, last, min_history } => {
            if history.len() < *min_history as usize {
                return Whole { examined: deduped, failed: 0, out: None };
            }
            let last = &history[history.len().saturating_sub(*last as usize)..];
            let (sum, loads) = (last.iter().sum::<i64>(), number(last.len()));
            let off = (deduped * loads - sum).abs();
            value(deduped, off * 100 > i64::try_from(*within).unwrap() * sum)
        }
        Demand::Freshness(days) => {
            let rows = of_gated();
            let newest = rows.iter().filter_map(|row| row.v).max();
            let oldest = as_of - Days::new(u64::from(*days));
            value(number(rows.len()), newest.is_some_and(|newest| newest < oldest))
        }
        Demand::NullRate(column, max) => {
            let rows = if config.key.contains(column) { examined(&mut staged.iter()) } else { of_gated() };
            let nulls = rows.iter().filter(|row| row.text(*column).is_none()).count();
            rate(number(rows.len()), number(nulls), *max)
        }
        Demand::DuplicateRate(max) => rate(number(staged.len()), duplicates, *max),
        Demand::Aggregate(which, min, max) => {
            let rows = of_gated();
            let total = TOTALS[*which].1(&rows.iter().collect::<Vec<_>>());
            let out = total.is_some_and(|total| {
                min.is_some_and(|min| total < min) || max.is_some_and(|max| total > max)
            });
            value(number(rows.len()), out)
        }
        Demand::Schema(agrees) => {
            let differ = i64::from(!agrees);
            Whole { examined: number(STAGING.len()), failed: differ, out: Some(differ > 0) }
        }
        _ => value(0, false),
    }
}
