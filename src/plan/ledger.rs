//! What the audit rows of one pipeline say, whatever the order in which they came.

use std::collections::HashSet;

use chrono::NaiveDate;

use crate::model::{AuditRow, BatchKind, Pin, Status};

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

    /// The rejection with this id.
    #[must_use]
    pub fn rejection(&self, id: &str) -> Option<&'a AuditRow> {
        self.rows.iter().find(|row| row.status == Status::Rejected && row.batch_id == id)
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

    /// What a load as of `as_of` is anchored on: the last load in effect with an earlier logical date.
    #[must_use]
    pub fn anchor(&self, as_of: NaiveDate) -> Option<&'a AuditRow> {
        self.loads().filter(|row| row.as_of < as_of).max_by_key(|row| (row.as_of, row.sequence))
    }

    /// The load in effect with the highest number.
    #[must_use]
    pub fn last_load(&self) -> Option<&'a AuditRow> {
        self.loads().max_by_key(|row| row.sequence)
    }

    /// The live watermark: the highest own value of the loads in effect.
    #[must_use]
    pub fn live_watermark(&self) -> Option<NaiveDate> {
        self.loads().filter_map(|row| row.watermark).max()
    }

    /// The live watermark as it was when batch `sequence` was done.
    #[must_use]
    pub fn live_watermark_at(&self, sequence: i64) -> Option<NaiveDate> {
        let upto: Vec<AuditRow> =
            self.rows.iter().filter(|row| row.sequence.is_some_and(|n| n <= sequence)).cloned().collect();
        Ledger::new(&upto).live_watermark()
    }
}

/// The staging table's pin of a row, if the row has one.
#[must_use]
pub fn staging_pin(row: &AuditRow) -> Option<&Pin> {
    row.inputs.first()
}
