//! From a staged, located and measured batch to its verdict: reject it, or commit it, whole or in groups.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::groups::{self, Moves};
use super::judge::{Circumstances, judge, told};
use crate::checks::{Check, Measure};
use crate::config::OnTie;
use crate::model::batch::PartitionName;
use crate::model::{BatchKind, CheckResult, CheckVerdict, Class, Counts, Memos};

/// Deduped rows by where they go, where the row that they match lies, and class.
pub type Cells = BTreeMap<(PartitionName, Option<PartitionName>, Class), i64>;

/// A batch as it stands against the target, before anything is written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Staged {
    /// Rows read, and how the dedupe split them. Classes are not filled in.
    pub dedupe: Counts,
    /// Late and future rows, and ties in the batch.
    pub memos: Memos,
    /// Deduped rows by partition and class.
    pub cells: Cells,
    /// Deduped rows that tie with the target, whatever became of them.
    pub target_ties: i64,
    /// Some of them, if ties fail the batch.
    pub tied_examples: Vec<String>,
    /// What was measured, check by check.
    pub measures: Vec<Measure>,
    /// Distinct rows that broke a check whose action isn't warn.
    pub dq_errors: i64,
    /// How many of those tie with the target.
    pub tied_errors: i64,
    /// Rows that tie with the target, would have replaced it, and are kept out.
    pub kept_ties: i64,
    /// Rows that would be kept as evidence, were the batch rejected; among them those that were kept out before.
    pub evidence: i64,
    /// Rows that lack a required value, and so stand in no cell, and are kept out.
    pub outside: i64,
    /// Deduped rows that tie with the target, and are not judged because they were before.
    pub judged_ties: i64,
    /// The highest day of the watermark column, over rows that are not kept out.
    pub newest: Option<NaiveDate>,
}

/// What becomes of a staged batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Refuse the batch; the row to record.
    Reject(Rejection),
    /// Commit it.
    Commit(Commitment),
    /// Make no commit: a replay would load nothing and close no entry. Else each rerun of a replay would be
    /// another batch, as long as some row is still kept out.
    Nothing(Commitment),
}

impl Verdict {
    /// What the gate found, check by check.
    #[must_use]
    pub fn checks(&self) -> &[CheckResult] {
        match self {
            Self::Reject(rejection) => &rejection.checks,
            Self::Commit(commitment) | Self::Nothing(commitment) => &commitment.checks,
        }
    }
}

/// Why a batch is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// Deduped rows are kept as evidence, or else count as rejected.
    pub counts: Counts,
    /// As staged.
    pub memos: Memos,
    /// Distinct rows that broke a rule.
    pub dq_errors: i64,
    /// What the gate found.
    pub checks: Vec<CheckResult>,
    /// For a person.
    pub reason: String,
    /// The history that the batch was judged by: another one makes another rejection, other words don't.
    pub judged_by: String,
}

/// A batch to be committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Commitment {
    /// Partitions of each group; empty when one commit does.
    pub groups: Vec<Vec<PartitionName>>,
    /// Rows by class: of the first group, or of all where there are none.
    pub counts: Counts,
    /// Memos, with ties as they were settled for all rows.
    pub memos: Memos,
    /// Distinct rows that broke a check whose action isn't warn.
    pub dq_errors: i64,
    /// What the gate found.
    pub checks: Vec<CheckResult>,
}

/// What a batch is settled by.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The checks, in the order in which they were measured.
    pub checks: &'a [Check],
    /// What becomes of ties with the target.
    pub on_tie: OnTie,
    /// Partitions that one commit may touch.
    pub partitions_per_commit: usize,
    /// What the checks are judged by.
    pub by: Circumstances<'a>,
}

/// Settles a batch. Pure: the verdict depends on nothing but what was staged and the rules.
#[must_use]
pub fn settle(staged: &Staged, terms: &Terms<'_>) -> Verdict {
    let measured = terms.checks.iter().zip(&staged.measures);
    let checks: Vec<CheckResult> =
        measured.map(|(check, measure)| judge(check, measure, &terms.by)).collect();
    let mut reasons = Vec::new();
    for (check, result) in terms.checks.iter().zip(&checks) {
        if result.verdict == CheckVerdict::Failed {
            let examples = for_example(&result.examples);
            reasons.push(format!("{}{examples}", told(check, result)));
        }
    }
    let new_ties = staged.target_ties - staged.judged_ties;
    let ties_fail = terms.on_tie == OnTie::Fail && new_ties > 0;
    if ties_fail {
        reasons.push(format!(
            "{new_ties} rows have the version of the target's row but other values, and on_tie is `fail`{}",
            for_example(&staged.tied_examples)
        ));
    }
    let mut memos = staged.memos;
    if !reasons.is_empty() {
        let ties = if ties_fail { new_ties - staged.tied_errors } else { 0 };
        let counts = Counts {
            quarantined: staged.evidence,
            rejected: staged.dedupe.deduped - staged.evidence,
            ..staged.dedupe
        };
        return Verdict::Reject(Rejection {
            counts,
            memos,
            dq_errors: staged.dq_errors + ties,
            checks,
            reason: reasons.join("; "),
            judged_by: terms.by.judged_by(terms.checks),
        });
    }

    match terms.on_tie {
        OnTie::ReplaceIfDifferent => memos.ties.replaced = staged.target_ties - staged.kept_ties,
        OnTie::Keep | OnTie::Fail => memos.ties.kept = staged.target_ties,
    }
    let moves = moves(&staged.cells);
    let groups = groups::split(&moves, terms.partitions_per_commit);
    let mut counts = staged.dedupe;
    counts.add_class(Class::Quarantined, staged.outside);
    let elsewhere: BTreeSet<&PartitionName> = groups.iter().skip(1).flatten().collect();
    for ((new, _, class), rows) in &staged.cells {
        if !elsewhere.contains(new) {
            counts.add_class(*class, *rows);
        }
    }
    let commitment = Commitment { groups, counts, memos, dq_errors: staged.dq_errors, checks };
    let all_kept_out = staged.cells.keys().all(|(_, _, class)| *class == Class::Quarantined);
    if terms.by.kind == BatchKind::Replay && all_kept_out {
        return Verdict::Nothing(commitment);
    }
    Verdict::Commit(commitment)
}

fn for_example(examples: &[String]) -> String {
    if examples.is_empty() { String::new() } else { format!(", for example {}", examples.join("; ")) }
}

/// The classes of the rows that go to these partitions.
#[must_use]
pub fn group_counts(cells: &Cells, partitions: &[PartitionName]) -> Counts {
    let partitions: BTreeSet<&PartitionName> = partitions.iter().collect();
    let mut counts = Counts::default();
    for ((new, _, class), rows) in cells {
        if partitions.contains(new) {
            counts.add_class(*class, *rows);
        }
    }
    counts
}

fn moves(cells: &Cells) -> Moves {
    let mut moves = Moves::new();
    for ((new, old, class), rows) in cells {
        if class.is_written() {
            *moves.entry((new.clone(), old.clone())).or_default() += rows;
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::super::request::Accepted;
    use super::*;
    use crate::checks::CheckKind;
    use crate::model::Action;

    fn check(action: Action) -> Check {
        Check {
            name: "known".to_owned(),
            kind: CheckKind::Expression(crate::checks::Expression { sql: "true".to_owned() }),
            column: None,
            action,
            filter: None,
            warn_if: None,
            error_if: None,
        }
    }

    fn staged(cells: &[(&str, Class, i64)], failed: i64) -> Staged {
        let deduped = cells.iter().map(|(_, _, rows)| rows).sum();
        let cell = |(day, class, rows): &(&str, Class, i64)| (((*day).to_owned(), None, *class), *rows);
        Staged {
            dedupe: Counts { staged: deduped + 1, superseded: 1, deduped, ..Counts::default() },
            cells: cells.iter().map(cell).collect(),
            measures: vec![Measure { examined: deduped, failed, held: failed, ..Measure::default() }],
            dq_errors: failed,
            evidence: failed,
            ..Staged::default()
        }
    }

    fn settled(staged: &Staged, action: Action, kind: BatchKind, accepted: &[&str]) -> Verdict {
        settled_with(staged, action, kind, accepted, OnTie::Keep)
    }

    fn settled_with(
        staged: &Staged,
        action: Action,
        kind: BatchKind,
        accepted: &[&str],
        on_tie: OnTie,
    ) -> Verdict {
        let checks = accepted.iter().map(|name| (*name).to_owned()).collect();
        let accepted = Accepted { checks, reason: None };
        let as_of = NaiveDate::default();
        let by = Circumstances { kind, as_of, accepted: &accepted, history: &[] };
        settle(staged, &Terms { checks: &[check(action)], on_tie, partitions_per_commit: 1, by })
    }

    fn rejected(verdict: Verdict) -> Rejection {
        match verdict {
            Verdict::Reject(rejection) => rejection,
            other => panic!("not rejected: {other:?}"),
        }
    }

    fn committed(verdict: Verdict) -> Commitment {
        match verdict {
            Verdict::Commit(commitment) => commitment,
            other => panic!("not committed: {other:?}"),
        }
    }

    #[test]
    fn rows_kept_out_are_a_class_of_their_own_and_no_move() {
        let staged = staged(&[("1", Class::Inserted, 2), ("2", Class::Quarantined, 3)], 3);
        let commitment = committed(settled(&staged, Action::Quarantine, BatchKind::Load, &[]));
        assert!(commitment.groups.is_empty());
        assert_eq!((commitment.counts.inserted, commitment.counts.quarantined), (2, 3));
        assert_eq!(commitment.counts.imbalance(), None);
        assert_eq!((commitment.dq_errors, commitment.checks[0].verdict), (3, CheckVerdict::Quarantined));
    }

    #[test]
    fn rows_of_partitions_without_a_group_are_counted_in_the_first() {
        let cells = [("1", Class::Inserted, 1), ("2", Class::Updated, 2), ("3", Class::Quarantined, 4)];
        let staged = staged(&cells, 4);
        let commitment = committed(settled(&staged, Action::Quarantine, BatchKind::Load, &[]));
        assert_eq!(commitment.groups, [["1"], ["2"]]);
        let rest = group_counts(&staged.cells, &commitment.groups[1]);
        assert_eq!((commitment.counts.quarantined, rest.updated), (4, 2));
        assert_eq!((commitment.counts + rest).imbalance(), None);
    }

    #[test]
    fn rejection_keeps_the_failed_rows_as_evidence_and_rejects_the_rest() {
        let staged = staged(&[("1", Class::Inserted, 5)], 2);
        let rejection = rejected(settled(&staged, Action::Fail, BatchKind::Load, &[]));
        assert_eq!((rejection.counts.quarantined, rejection.counts.rejected), (2, 3));
        assert_eq!(rejection.counts.imbalance(), None);
        assert_eq!((rejection.dq_errors, rejection.reason.as_str()), (2, "known: 2 of 5 rows fail"));
    }

    #[test]
    fn accepted_check_has_the_batch_committed() {
        let staged = staged(&[("1", Class::Inserted, 5)], 2);
        let commitment = committed(settled(&staged, Action::Fail, BatchKind::Load, &["known"]));
        assert_eq!(commitment.checks[0].verdict, CheckVerdict::Accepted);
        assert_eq!(commitment.counts.inserted, 5);
        rejected(settled(&staged, Action::Fail, BatchKind::Load, &["another"]));
    }

    #[test]
    fn rows_without_a_required_value_that_are_kept_out_are_quarantined_and_in_no_cell() {
        let mut staged = staged(&[("1", Class::Inserted, 2), ("2", Class::Inserted, 1)], 2);
        staged.dedupe = Counts { staged: 5, deduped: 5, ..Counts::default() };
        staged.outside = 2;
        let commitment = committed(settled(&staged, Action::Quarantine, BatchKind::Load, &[]));
        assert_eq!(commitment.counts.quarantined, 2);
        let rest = group_counts(&staged.cells, &commitment.groups[1]);
        assert_eq!((commitment.counts + rest).imbalance(), None);
    }

    #[test]
    fn ties_that_were_judged_before_reject_no_batch() {
        let mut staged = staged(&[("1", Class::Tied, 2)], 0);
        (staged.target_ties, staged.judged_ties) = (2, 2);
        let commitment = committed(settled_with(&staged, Action::Warn, BatchKind::Load, &[], OnTie::Fail));
        assert_eq!(commitment.memos.ties.kept, 2);
        staged.judged_ties = 1;
        let rejection = rejected(settled_with(&staged, Action::Warn, BatchKind::Load, &[], OnTie::Fail));
        assert_eq!(rejection.dq_errors, 1);
    }

    #[test]
    fn ties_that_fail_the_batch_count_once_where_they_broke_a_check_too() {
        let mut staged = staged(&[("1", Class::Tied, 4)], 2);
        (staged.target_ties, staged.tied_errors) = (4, 1);
        let rejection = rejected(settled_with(&staged, Action::Warn, BatchKind::Load, &[], OnTie::Fail));
        assert_eq!(rejection.dq_errors, 2 + 4 - 1);
        let commitment = committed(settled_with(&staged, Action::Warn, BatchKind::Load, &[], OnTie::Keep));
        assert_eq!((commitment.memos.ties.kept, commitment.memos.ties.replaced), (4, 0));
    }

    #[test]
    fn empty_load_is_committed_and_empty_replay_is_nothing() {
        let empty = Staged { measures: vec![Measure::default()], ..Staged::default() };
        let commitment = committed(settled(&empty, Action::Fail, BatchKind::Load, &[]));
        assert_eq!(commitment.counts, Counts::default());
        let replay = settled(&empty, Action::Fail, BatchKind::Replay, &[]);
        assert!(matches!(replay, Verdict::Nothing(_)), "{replay:?}");
    }

    #[test]
    fn replay_is_nothing_only_while_every_row_is_kept_out() {
        let is_nothing = |cells: &[(&str, Class, i64)]| {
            let verdict = settled(&staged(cells, 0), Action::Quarantine, BatchKind::Replay, &[]);
            matches!(verdict, Verdict::Nothing(_))
        };
        assert!(is_nothing(&[("1", Class::Quarantined, 2)]));
        for class in [Class::Inserted, Class::Updated, Class::Stale, Class::Unchanged, Class::Tied] {
            assert!(!is_nothing(&[("1", Class::Quarantined, 2), ("1", class, 1)]), "{class}");
        }
    }
}
