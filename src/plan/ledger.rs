//! What the audit rows of one pipeline say, whatever the order in which they came.

use std::collections::{BTreeSet, HashSet};

use chrono::NaiveDate;

use crate::checks::PastLoad;
use crate::model::{AuditRow, BatchKind, Pin, Status, Watermark};

/// A reading of all audit rows of one pipeline.
#[derive(Debug)]
pub struct Ledger<'a> {
    rows: &'a [AuditRow],
    undone: HashSet<&'a str>,
}

impl<'a> Ledger<'a> {
    /// Reads the rows.
    #[must_use]
    pub fn new(rows: &'a [AuditRow]) -> Self {
        let undone = rows
            .iter()
            .filter(|row| row.kind == BatchKind::Rollback)
            .flat_map(|row| row.undone.iter().map(String::as_str))
            .collect();
        Self { rows, undone }
    }

    /// All rows, as they were read.
    #[must_use]
    pub fn rows(&self) -> &'a [AuditRow] {
        self.rows
    }

    /// Batches in effect: audited as loaded, and named in no rollback's list.
    pub fn in_effect(&self) -> impl Iterator<Item = &'a AuditRow> {
        self.rows.iter().filter(|row| {
            row.status == Status::Loaded
                && row.kind != BatchKind::Rollback
                && !self.undone.contains(row.batch_id.as_str())
        })
    }

    /// Regular loads in effect: the only batches that windows, pins and watermarks refer to.
    pub fn loads(&self) -> impl Iterator<Item = &'a AuditRow> {
        self.in_effect().filter(|row| row.kind == BatchKind::Load)
    }

    /// The batch in effect with this id.
    #[must_use]
    pub fn loaded(&self, batch_id: &str) -> Option<&'a AuditRow> {
        self.in_effect().find(|row| row.batch_id == batch_id)
    }

    /// Whether the id belongs to a batch that was taken back or abandoned, so that the same inputs must
    /// take a new one.
    #[must_use]
    pub fn is_spent(&self, batch_id: &str) -> bool {
        self.undone.contains(batch_id)
            || self.rows.iter().any(|row| row.status == Status::Abandoned && row.batch_id == batch_id)
    }

    /// The batch in effect that loaded just these inputs by just these rules, whatever checks a person
    /// accepted for it.
    #[must_use]
    pub fn loaded_inputs(&self, as_of: NaiveDate, digest: &str, inputs: &[Pin]) -> Option<&'a AuditRow> {
        let identity = |pins: &[Pin]| -> Vec<(String, String, u64)> {
            pins.iter()
                .map(|pin| (pin.name.clone(), pin.table().table_id.clone(), pin.table().data_version))
                .collect()
        };
        let wanted = identity(inputs);
        self.loads()
            .find(|row| row.as_of == as_of && row.config_digest == digest && identity(&row.inputs) == wanted)
    }

    /// The rollback that took this batch back.
    #[must_use]
    pub fn taken_back_by(&self, batch_id: &str) -> Option<&'a AuditRow> {
        let names_it = |row: &&AuditRow| row.undone.iter().any(|id| id == batch_id);
        self.rows.iter().filter(|row| row.kind == BatchKind::Rollback).find(names_it)
    }

    /// The loads in effect, oldest first, with how many rows each had.
    #[must_use]
    pub fn history(&self) -> Vec<PastLoad> {
        let mut loads: Vec<&AuditRow> = self.loads().collect();
        loads.sort_by_key(|row| row.sequence);
        let past = |row: &AuditRow| PastLoad {
            batch_id: row.batch_id.clone(),
            deduped: row.deduped_rows,
            examined: row.checks.iter().map(|check| (check.name.clone(), check.examined)).collect(),
        };
        loads.into_iter().map(past).collect()
    }

    /// The row that holds this number.
    #[must_use]
    pub fn numbered(&self, sequence: i64) -> Option<&'a AuditRow> {
        self.rows.iter().find(|row| row.sequence == Some(sequence))
    }

    /// The newest numbered row.
    #[must_use]
    pub fn newest(&self) -> Option<&'a AuditRow> {
        self.rows.iter().filter(|row| row.sequence.is_some()).max_by_key(|row| row.sequence)
    }

    /// Numbers up to `upto` that no row accounts for. One that did not balance never gets a row of its own: the next
    /// one took it back, and unlike any other rollback says what that batch had read.
    #[must_use]
    pub fn unaccounted(&self, upto: i64) -> Vec<i64> {
        let rows = || self.rows.iter().filter_map(|row| Some((row, row.sequence?)));
        let mut known: BTreeSet<i64> = rows().map(|(_, number)| number).collect();
        let unbalanced = |row: &AuditRow| row.kind == BatchKind::Rollback && !row.inputs.is_empty();
        known.extend(rows().filter(|(row, _)| unbalanced(row)).map(|(_, number)| number - 1));
        (1..=upto).filter(|number| !known.contains(number)).collect()
    }

    /// Numbers up to `upto` that have a row here and none among `marked`.
    #[must_use]
    pub fn unmarked(&self, upto: i64, marked: &BTreeSet<i64>) -> Vec<i64> {
        let numbers: BTreeSet<i64> = self.rows.iter().filter_map(|row| row.sequence).collect();
        numbers.into_iter().filter(|number| *number <= upto && !marked.contains(number)).collect()
    }

    /// What a load as of `as_of` is anchored on: the last load in effect with an earlier logical date.
    #[must_use]
    pub fn anchor(&self, as_of: NaiveDate) -> Option<&'a AuditRow> {
        self.loads().filter(|row| row.as_of < as_of).max_by_key(|row| (row.as_of, row.sequence))
    }

    /// Loads in effect with the same or an earlier logical date.
    ///
    /// Of those that read by arrival, the one with the highest number has read all that its pin holds, itself or
    /// through those that it was anchored on: numbers and pins rise together, whatever the logical dates do.
    pub fn upto(&self, as_of: NaiveDate) -> impl Iterator<Item = &'a AuditRow> {
        self.loads().filter(move |row| row.as_of <= as_of)
    }

    /// The load in effect with the highest number.
    #[must_use]
    pub fn last_load(&self) -> Option<&'a AuditRow> {
        self.loads().max_by_key(|row| row.sequence)
    }

    /// The live watermark: the highest own value of the loads in effect.
    #[must_use]
    pub fn live_watermark(&self) -> Option<Watermark> {
        self.loads().filter_map(|row| row.watermark).max()
    }

    /// The live watermark as it was when batch `sequence` was done.
    #[must_use]
    pub fn live_watermark_at(&self, sequence: i64) -> Option<Watermark> {
        let upto: Vec<AuditRow> =
            self.rows.iter().filter(|row| row.sequence.is_some_and(|n| n <= sequence)).cloned().collect();
        Ledger::new(&upto).live_watermark()
    }
}

/// The staging table's pin of a row, if the row has one.
#[must_use]
pub fn source_pin(row: &AuditRow) -> Option<&Pin> {
    row.inputs.first()
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::model::{Counts, Form, Memos};
    use crate::model::{Pinned, TablePin};

    pub(in crate::plan) fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2025, 9, day).unwrap()
    }

    pub(in crate::plan) fn row(
        sequence: i64,
        kind: BatchKind,
        status: Status,
        as_of: u32,
        own: u32,
        undone: &[i64],
    ) -> AuditRow {
        let (counts, memos, at) = (Counts::default(), Memos::default(), DateTime::<Utc>::default());
        AuditRow {
            batch_id: sequence.to_string(),
            run_start: at,
            run_end: at,
            watermark_from: None,
            watermark_to: None,
            staged_rows: counts.staged,
            deduped_rows: counts.deduped,
            inserted_rows: counts.inserted,
            updated_rows: counts.updated,
            dq_errors: 0,
            status,
            pipeline: "p".to_owned(),
            kind,
            sequence: Some(sequence),
            as_of: day(as_of),
            duplicate_rows: counts.duplicate,
            superseded_rows: counts.superseded,
            stale_rows: counts.stale,
            unchanged_rows: counts.unchanged,
            tied_rows: counts.tied,
            quarantined_rows: counts.quarantined,
            rejected_rows: counts.rejected,
            deleted_rows: counts.deleted,
            late_rows: memos.late,
            future_rows: memos.future,
            history_rows: memos.history,
            filtered_rows: memos.filtered,
            ties_in_batch_rows: 0,
            ties_kept_rows: 0,
            ties_replaced_rows: 0,
            watermark: Some(day(own).into()),
            config_digest: String::new(),
            target_id: String::new(),
            fact_version_before: None,
            fact_version_after: None,
            inputs: Vec::new(),
            checks: Vec::new(),
            drift: Vec::new(),
            undone: undone.iter().map(ToString::to_string).collect(),
            form: Form::default(),
            reason: None,
            runner: None,
        }
    }

    fn loads() -> Vec<AuditRow> {
        vec![
            row(1, BatchKind::Load, Status::Loaded, 5, 4, &[]),
            row(2, BatchKind::Load, Status::Loaded, 3, 2, &[]),
            row(3, BatchKind::Load, Status::Loaded, 9, 8, &[]),
            row(4, BatchKind::Rollback, Status::RolledBack, 9, 1, &[3]),
        ]
    }

    #[test]
    fn anchor_is_the_load_in_effect_of_the_latest_earlier_day() {
        let rows = loads();
        let ledger = Ledger::new(&rows);
        let anchor = |as_of| ledger.anchor(day(as_of)).and_then(|row| row.sequence);
        // Never a load of the same day, nor one that was taken back, whichever came last.
        assert_eq!(
            [anchor(3), anchor(4), anchor(5), anchor(6), anchor(12)],
            [None, Some(2), Some(2), Some(1), Some(1)]
        );
    }

    #[test]
    fn numbers_without_a_row_are_missed_unless_the_next_one_took_them_back() {
        let table = TablePin { table_id: "s".to_owned(), version: 1, data_version: 1 };
        let pin = Pin { name: "staging".to_owned(), what: Pinned::Table(table) };
        let mut rows = loads();
        let unaccounted = |rows: &[AuditRow], upto| Ledger::new(rows).unaccounted(upto);
        assert_eq!(unaccounted(&rows, 4), [0_i64; 0]);
        assert_eq!(unaccounted(&rows, 6), [5, 6]);
        // Number 4 took number 3 back by a person's wish: that one had a row.
        rows.remove(2);
        assert_eq!(unaccounted(&rows, 4), [3]);
        // It says what it had read, so it did not balance and never got one.
        rows[2].inputs = vec![pin];
        assert_eq!(unaccounted(&rows, 4), [0_i64; 0]);
        rows.remove(2);
        assert_eq!(unaccounted(&rows, 4), [3, 4]);
        assert_eq!(unaccounted(&[], 2), [1, 2]);
    }

    #[test]
    fn recorded_numbers_without_a_watermark_row_are_missed() {
        let mut rows = loads();
        rows.remove(1);
        rows[0].sequence = None;
        let unmarked = |upto| Ledger::new(&rows).unmarked(upto, &[4].into());
        assert_eq!([unmarked(2), unmarked(3), unmarked(4)], [vec![], vec![3], vec![3]]);
    }

    #[test]
    fn live_watermark_goes_back_only_by_a_rollback() {
        let rows = loads();
        let ledger = Ledger::new(&rows);
        let live = [1, 2, 3, 4].map(|sequence| ledger.live_watermark_at(sequence));
        assert_eq!(live, [4, 4, 8, 4].map(|own| Some(day(own).into())));
    }

    #[test]
    fn id_of_a_batch_that_was_taken_back_is_spent() {
        let rows = loads();
        let ledger = Ledger::new(&rows);
        assert!(ledger.is_spent("3") && !ledger.is_spent("1"));
        assert!(ledger.loaded("3").is_none() && ledger.loaded("1").is_some());
    }
}
