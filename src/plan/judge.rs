//! Judges what the gate measured. Pure, and in integers.

use chrono::NaiveDate;

use super::request::Accepted;
use crate::checks::{Check, CheckKind, Judged, Measure, PastLoad, Standing};
use crate::model::{Action, BatchKind, CheckResult, CheckVerdict};
use crate::notation::Threshold;

/// What a batch is judged by, beside its own rows.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// A load, or a replay, which is not judged as a whole: it is a choice of rows, not a delivery.
    pub kind: BatchKind,
    /// The logical date.
    pub as_of: NaiveDate,
    /// Checks that a person lets pass.
    pub accepted: &'a Accepted,
    /// The loads in effect, oldest first.
    pub history: &'a [PastLoad],
}

impl Circumstances<'_> {
    /// The history that the checks judge by, so that another history makes another rejection.
    #[must_use]
    pub fn judged_by(&self, checks: &[Check]) -> String {
        let used = checks.iter().filter_map(|check| match &check.kind {
            CheckKind::RowCountChange(change) => change.history(self.history),
            _ => None,
        });
        let longest = used.max_by_key(|history| history.len()).unwrap_or_default();
        let ids: Vec<&str> = longest.iter().map(|load| load.batch_id.as_str()).collect();
        ids.join(",")
    }

    /// Where a check stands among them.
    fn standing<'a>(&'a self, check: &'a Check) -> Standing<'a> {
        Standing { check: &check.name, as_of: self.as_of, history: self.history }
    }
}

/// Whether a row that an earlier load kept out, and that fails this check, stays out without being judged again.
///
/// What would keep an unjudged row out does, and what would reject its batch, but for a limit: that judges batches.
#[must_use]
pub fn keeps_out(check: &Check, accepted: &Accepted) -> bool {
    check.kind.is_of_rows()
        && match check.action {
            Action::Warn => false,
            Action::Quarantine => true,
            Action::Fail => check.error_if.is_none() && !accepted.checks.contains(&check.name),
        }
}

/// Judges one check.
#[must_use]
pub fn judge(check: &Check, measure: &Measure, by: &Circumstances<'_>) -> CheckResult {
    let (kind, of_rows) = (check.kind.kind(), check.kind.is_of_rows());
    let whole = by.kind != BatchKind::Replay;
    let Judged { out, value } = kind.judged(measure, &by.standing(check));
    let failed = kind.failures(measure).unwrap_or_else(|| i64::from(whole && out == Some(true)));
    let met = |threshold: Option<Threshold>| {
        threshold.filter(|_| whole).map(|threshold| threshold.is_met(failed, measure.examined))
    };
    let fails = |here: bool| check.action == Action::Fail && here;
    let (rejects, warns) = if of_rows {
        // A row that is older than the target's, or the same, does no harm: what counts is what would be
        // written. Thresholds judge all that was examined.
        (
            met(check.error_if).unwrap_or_else(|| fails(measure.held > 0)),
            met(check.warn_if).unwrap_or(failed > 0),
        )
    } else {
        let out = whole && out == Some(true);
        (met(check.error_if).unwrap_or(false) || fails(out), met(check.warn_if).unwrap_or(false) || out)
    };
    let verdict = if !of_rows && (!whole || out.is_none()) {
        CheckVerdict::Skipped
    } else if rejects && by.accepted.checks.contains(&check.name) {
        CheckVerdict::Accepted
    } else if rejects {
        CheckVerdict::Failed
    } else if check.action == Action::Quarantine && measure.held > 0 {
        CheckVerdict::Quarantined
    } else if warns {
        CheckVerdict::Warned
    } else {
        CheckVerdict::Passed
    };
    CheckResult {
        name: check.name.clone(),
        column: check.column.clone(),
        action: check.action,
        examined: measure.examined,
        failed,
        threshold: threshold(check, by),
        verdict,
        value,
        examples: measure.examples.clone(),
    }
}

/// What a check is judged by, in words. A replay is not judged as a whole.
fn threshold(check: &Check, by: &Circumstances<'_>) -> Option<String> {
    if by.kind == BatchKind::Replay {
        return None;
    }
    let mut parts: Vec<String> = check.kind.kind().threshold(&by.standing(check)).into_iter().collect();
    parts.extend(check.warn_if.map(|threshold| format!("warn_if {threshold}")));
    parts.extend(check.error_if.map(|threshold| format!("error_if {threshold}")));
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Why a check rejects the batch, in words.
#[must_use]
pub fn told(check: &Check, result: &CheckResult) -> String {
    let by = result.threshold.as_deref().map(|threshold| format!(" ({threshold})")).unwrap_or_default();
    check.kind.kind().told(result, &by)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::checks::{Aggregate, DuplicateRate, Freshness, NullRate, RowCount, RowCountChange};
    use crate::notation::{Limit, Percent};

    fn check(kind: CheckKind, action: Action) -> Check {
        Check {
            name: "c".to_owned(),
            kind,
            column: Some("amount".to_owned()),
            action,
            filter: None,
            warn_if: None,
            error_if: None,
        }
    }

    fn of(failed: i64, held: i64) -> Measure {
        Measure { examined: 100, failed, held, ..Measure::default() }
    }

    fn percent(number: u64) -> Percent {
        Percent::from_millionths(number * 1_000_000)
    }

    fn rows(limit: u64, inclusive: bool) -> Threshold {
        Threshold { inclusive, limit: Limit::Rows(limit) }
    }

    fn history(deduped: &[i64]) -> Vec<PastLoad> {
        let load = |(at, deduped): (usize, &i64)| PastLoad {
            batch_id: at.to_string(),
            deduped: *deduped,
            examined: BTreeMap::new(),
        };
        deduped.iter().enumerate().map(load).collect()
    }

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2025, 9, day).unwrap()
    }

    /// The result for a load as of 10 September, with nothing accepted.
    fn judged(check: &Check, measure: &Measure, history: &[PastLoad]) -> CheckResult {
        let accepted = Accepted::default();
        judge(
            check,
            measure,
            &Circumstances { kind: BatchKind::Load, as_of: day(10), accepted: &accepted, history },
        )
    }

    fn verdict(check: &Check, measure: &Measure) -> CheckVerdict {
        judged(check, measure, &[]).verdict
    }

    #[test]
    fn row_that_fails_warns_or_is_kept_out_or_rejects_as_the_action_says() {
        use CheckVerdict::{Failed, Passed, Quarantined, Warned};
        let verdicts =
            |action| [0, 1].map(|rows| verdict(&check(CheckKind::NotNull, action), &of(rows, rows)));
        assert_eq!(verdicts(Action::Warn), [Passed, Warned]);
        assert_eq!(verdicts(Action::Quarantine), [Passed, Quarantined]);
        assert_eq!(verdicts(Action::Fail), [Passed, Failed]);
    }

    #[test]
    fn row_that_fails_and_would_not_be_written_only_warns() {
        for action in [Action::Quarantine, Action::Fail] {
            assert_eq!(verdict(&check(CheckKind::NotNull, action), &of(3, 0)), CheckVerdict::Warned);
        }
    }

    #[test]
    fn error_if_rejects_beyond_its_limit_whatever_the_action() {
        let verdicts = |action, inclusive| {
            let check = Check { error_if: Some(rows(5, inclusive)), ..check(CheckKind::NotNull, action) };
            [4, 5, 6].map(|failed| verdict(&check, &of(failed, failed)) == CheckVerdict::Failed)
        };
        for action in [Action::Warn, Action::Quarantine, Action::Fail] {
            assert_eq!(verdicts(action, false), [false, false, true]);
            assert_eq!(verdicts(action, true), [false, true, true]);
        }
    }

    #[test]
    fn error_if_in_percent_counts_all_that_were_examined() {
        let limit = Limit::Percent(percent(5));
        let error_if = Some(Threshold { inclusive: false, limit });
        let check = Check { error_if, ..check(CheckKind::NotNull, Action::Quarantine) };
        let verdicts = [4, 5, 6].map(|failed| verdict(&check, &of(failed, 0)));
        assert_eq!(verdicts, [CheckVerdict::Warned, CheckVerdict::Warned, CheckVerdict::Failed]);
        let empty = Measure::default();
        assert_eq!(verdict(&check, &empty), CheckVerdict::Passed);
    }

    #[test]
    fn warn_if_is_silent_up_to_its_limit() {
        let check = Check { warn_if: Some(rows(5, false)), ..check(CheckKind::NotNull, Action::Warn) };
        let verdicts = [5, 6].map(|failed| verdict(&check, &of(failed, failed)));
        assert_eq!(verdicts, [CheckVerdict::Passed, CheckVerdict::Warned]);
    }

    #[test]
    fn accepted_check_does_not_reject_and_says_so_only_where_it_would_have() {
        let check = check(CheckKind::RowCount(RowCount { min: Some(5), max: None }), Action::Fail);
        let accepted = Accepted { checks: ["c".to_owned()].into(), reason: None };
        let by = Circumstances { kind: BatchKind::Load, as_of: day(10), accepted: &accepted, history: &[] };
        let verdicts = [4, 5].map(|examined| {
            let measure = Measure { examined, ..Measure::default() };
            judge(&check, &measure, &by).verdict
        });
        assert_eq!(verdicts, [CheckVerdict::Accepted, CheckVerdict::Passed]);
    }

    #[test]
    fn row_count_takes_both_its_bounds() {
        let check = check(CheckKind::RowCount(RowCount { min: Some(3), max: Some(5) }), Action::Fail);
        let failed = [2, 3, 5, 6].map(|examined| {
            let measure = Measure { examined, ..Measure::default() };
            let result = judged(&check, &measure, &[]);
            (result.verdict == CheckVerdict::Failed, result.failed, result.value.unwrap())
        });
        let text = str::to_owned;
        assert_eq!(
            failed,
            [(true, 1, text("2")), (false, 0, text("3")), (false, 0, text("5")), (true, 1, text("6"))]
        );
        let none = Check { kind: CheckKind::RowCount(RowCount { min: Some(1), max: None }), ..check };
        assert_eq!(verdict(&none, &Measure::default()), CheckVerdict::Failed);
    }

    #[test]
    fn row_count_change_judges_beyond_its_part_of_the_mean() {
        let within = percent(50);
        let check = check(
            CheckKind::RowCountChange(RowCountChange { within, last: 2, min_history: 2 }),
            Action::Fail,
        );
        // Of the last two, 90 and 110: the load before them is out of sight.
        let history = history(&[9000, 90, 110]);
        let failed = [49, 50, 150, 151].map(|examined| {
            let measure = Measure { examined, ..Measure::default() };
            judged(&check, &measure, &history).verdict == CheckVerdict::Failed
        });
        assert_eq!(failed, [true, false, false, true]);
        let result = judged(&check, &Measure::default(), &history);
        assert_eq!(result.threshold.unwrap(), "within 50 % of 100, the mean of 2");
    }

    #[test]
    fn row_count_change_compares_with_the_rows_that_it_examined_in_the_loads_before() {
        let within = percent(10);
        let check = check(
            CheckKind::RowCountChange(RowCountChange { within, last: 2, min_history: 1 }),
            Action::Fail,
        );
        // Of 100 rows, 40 were not judged; the check had another name before that.
        let mut history = history(&[60, 100]);
        history[1].examined = [("c".to_owned(), 60)].into();
        let failed = [53, 54, 66, 67].map(|examined| {
            let measure = Measure { examined, ..Measure::default() };
            judged(&check, &measure, &history).verdict == CheckVerdict::Failed
        });
        assert_eq!(failed, [true, false, false, true]);
    }

    #[test]
    fn row_kept_out_before_stays_out_for_what_would_keep_it_out_or_reject_its_batch() {
        let none = Accepted::default();
        let accepted = Accepted { checks: ["c".to_owned()].into(), reason: None };
        let keeps = |action, error_if, accepted: &Accepted| {
            keeps_out(&Check { error_if, ..check(CheckKind::NotNull, action) }, accepted)
        };
        let limit = Some(rows(5, false));
        assert!(keeps(Action::Quarantine, None, &none) && keeps(Action::Quarantine, limit, &accepted));
        assert!(keeps(Action::Fail, None, &none) && !keeps(Action::Fail, None, &accepted));
        assert!(!keeps(Action::Fail, limit, &none) && !keeps(Action::Warn, limit, &none));
        let of_whole = check(CheckKind::DuplicateRate(DuplicateRate { max: percent(1) }), Action::Fail);
        assert!(!keeps_out(&of_whole, &none));
    }

    #[test]
    fn row_count_change_without_enough_loads_before_is_skipped() {
        let within = percent(50);
        let check = check(
            CheckKind::RowCountChange(RowCountChange { within, last: 5, min_history: 2 }),
            Action::Fail,
        );
        let result = judged(&check, &of(0, 0), &history(&[1]));
        assert_eq!((result.verdict, result.failed), (CheckVerdict::Skipped, 0));
        assert_eq!(result.threshold.unwrap(), "needs 2 loads before, has 1");
        assert_eq!(judged(&check, &of(0, 0), &history(&[1, 1])).verdict, CheckVerdict::Failed);
        // Loads that had no row at all are a history too: from nothing, anything is far.
        assert_eq!(judged(&check, &of(0, 0), &history(&[0, 0])).verdict, CheckVerdict::Failed);
        assert_eq!(judged(&check, &Measure::default(), &history(&[0, 0])).verdict, CheckVerdict::Passed);
    }

    #[test]
    fn freshness_takes_the_day_at_its_limit_and_lets_an_empty_batch_pass() {
        let check = check(CheckKind::Freshness(Freshness { within_days: 2 }), Action::Fail);
        let failed = [None, Some(7), Some(8), Some(9), Some(11)].map(|newest| {
            let measure = Measure { newest: newest.map(day), ..of(0, 0) };
            judged(&check, &measure, &[]).verdict == CheckVerdict::Failed
        });
        assert_eq!(failed, [false, true, false, false, false]);
    }

    #[test]
    fn rate_at_its_limit_passes_and_an_empty_batch_has_none() {
        for kind in [
            CheckKind::NullRate(NullRate { max: percent(5) }),
            CheckKind::DuplicateRate(DuplicateRate { max: percent(5) }),
        ] {
            let check = check(kind, Action::Fail);
            let verdicts = [4, 5, 6].map(|failed| verdict(&check, &of(failed, 0)));
            assert_eq!(verdicts, [CheckVerdict::Passed, CheckVerdict::Passed, CheckVerdict::Failed]);
            assert_eq!(verdict(&check, &Measure::default()), CheckVerdict::Passed);
        }
    }

    #[test]
    fn aggregate_that_is_null_passes() {
        let check = check(
            CheckKind::Aggregate(Aggregate { sql: "max(x)".to_owned(), min: None, max: None }),
            Action::Fail,
        );
        let result = judged(&check, &of(0, 0), &[]);
        assert_eq!((result.verdict, result.value), (CheckVerdict::Passed, None));
        let out = Measure { value: Some("7".to_owned()), ..of(1, 0) };
        assert_eq!(told(&check, &judged(&check, &out, &[])), "c: 7 is out of bounds");
    }

    #[test]
    fn replay_is_judged_row_by_row_and_not_as_a_whole() {
        let accepted = Accepted::default();
        let by = Circumstances { kind: BatchKind::Replay, as_of: day(10), accepted: &accepted, history: &[] };
        let count = check(CheckKind::RowCount(RowCount { min: Some(5), max: None }), Action::Fail);
        let few = Measure { examined: 1, ..Measure::default() };
        assert_eq!(judge(&count, &few, &by).verdict, CheckVerdict::Skipped);
        let many = Check { error_if: Some(rows(5, false)), ..check(CheckKind::NotNull, Action::Quarantine) };
        assert_eq!(judge(&many, &of(6, 6), &by).verdict, CheckVerdict::Quarantined);
        let fail = check(CheckKind::NotNull, Action::Fail);
        assert_eq!(judge(&fail, &of(1, 1), &by).verdict, CheckVerdict::Failed);
    }

    #[test]
    fn judged_by_names_the_loads_that_a_check_looked_at() {
        let accepted = Accepted::default();
        let history = history(&[1, 2, 3]);
        let by =
            Circumstances { kind: BatchKind::Load, as_of: day(10), accepted: &accepted, history: &history };
        let change = |last, min_history| {
            check(
                CheckKind::RowCountChange(RowCountChange { within: percent(5), last, min_history }),
                Action::Fail,
            )
        };
        assert_eq!(by.judged_by(&[change(2, 1), check(CheckKind::NotNull, Action::Fail)]), "1,2");
        assert_eq!(by.judged_by(&[change(2, 1), change(9, 3)]), "0,1,2");
        assert_eq!(by.judged_by(&[change(9, 4)]), "");
    }
}
