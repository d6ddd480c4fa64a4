//! One observation of a pipeline's tables, as plain values.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::model::{AuditRow, BatchKind, Counts, Descriptor, Evidence, Pin, batch::WrittenTables};

/// All that `decide` knows. Observed in the reverse order of writing, so that what is seen later is never
/// older than what it is compared with: watermark, audit, quarantine, target, inputs.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The watermark table.
    pub watermarks: TableState,
    /// The numbers of the pipeline's rows in it.
    pub marked: BTreeSet<i64>,
    /// The audit table.
    pub audit: TableState,
    /// The pipeline's rows of the audit table.
    pub rows: Vec<AuditRow>,
    /// The quarantine.
    pub quarantine: TableState,
    /// The evidence of the newest rejection that has any, where it is not in the quarantine yet.
    pub evidence: Option<Evidence>,
    /// The appId under which the rows of rejections are numbered, in the audit table and in this quarantine.
    pub evidence_app: String,
    /// The target.
    pub target: Target,
    /// The inputs as they could be pinned now, first what rows are read from: staging, or for a replay the quarantine.
    pub inputs: Vec<Pin>,
    /// Whether what an unfinished batch of groups pinned can still be read: its source, the quarantine by which rows
    /// were kept out, and its lists. `true` where there is no such batch.
    pub pinned_readable: bool,
    /// The target's past, if it was asked for.
    pub past: Option<Past>,
}

/// What a rollback has to know of the target: all since a version that it may go back to.
#[derive(Debug, Clone)]
pub struct Past {
    /// The version.
    pub since: u64,
    /// Every commit after it, oldest first.
    pub commits: Vec<Commit>,
    /// Whether log entries in between are gone.
    pub gap: bool,
    /// Whether the version's files are all still there.
    pub readable: bool,
    /// Whether columns, partitions and properties were the same then as now.
    pub same_schema: bool,
}

impl Observation {
    /// The ids of the tables that a batch writes.
    #[must_use]
    pub fn tables(&self) -> WrittenTables {
        WrittenTables {
            target: self.target.table_id.clone(),
            quarantine: self.quarantine.table_id.clone(),
            audit: self.audit.table_id.clone(),
            watermarks: self.watermarks.table_id.clone(),
        }
    }
}

/// One record table: the quarantine, `loads_audit` or `load_watermarks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// The Delta id.
    pub table_id: String,
    /// The version that was read.
    pub version: u64,
    /// The number in the table's `txn` entry of this pipeline; 0 where there is none.
    pub sequence: i64,
    /// The number of the newest rejection with rows for the quarantine that the table knows of; 0 where there is none.
    pub evidence: i64,
}

/// The target.
#[derive(Debug, Clone)]
pub struct Target {
    /// The Delta id.
    pub table_id: String,
    /// The version that was read.
    pub version: u64,
    /// The number in the `txn` entry of this pipeline; 0 where there is none.
    pub sequence: i64,
    /// The number of the newest batch that committed a group; 0 where there is none.
    pub group_sequence: i64,
    /// Commits after the last batch that the audit table knows, oldest first.
    pub commits: Vec<Commit>,
}

/// One commit of the target, as far as its log entry is still there.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The version that it made.
    pub version: u64,
    /// The commit's time.
    pub timestamp: DateTime<Utc>,
    /// The descriptor, where the commit is one of this pipeline.
    pub descriptor: Option<Descriptor>,
    /// Whose batch it is, where that is another pipeline.
    pub other: Option<OtherBatch>,
    /// Present where it has a descriptor that this program does not understand: what it needs, in words.
    pub unreadable: Option<String>,
    /// Whether it added or removed rows, as opposed to rewriting files only.
    pub changed_data: bool,
    /// Present for a RESTORE by another hand: the version that it went back to, where the log names it.
    /// A RESTORE with a descriptor, whichever pipeline's, is none: it takes back nobody else's rows.
    pub restored: Option<Option<u64>>,
    /// What it wrote.
    pub written: Written,
}

/// A commit of another pipeline that loads into the same target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherBatch {
    /// The pipeline.
    pub pipeline: String,
    /// The batch.
    pub batch_id: String,
    /// What it takes back; empty unless it is a rollback.
    pub undone: Vec<String>,
}

/// What a commit wrote, by its own actions and metrics, and by what became of the table. Numbers of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Sum of `numRecords` over added files; `None` where a file does not say.
    pub added: Option<i64>,
    /// Sum of `numRecords` over removed files; `None` where a file does not say. A Remove that names no file of
    /// the table takes nothing away.
    pub removed: Option<i64>,
    /// By how many rows the table moved from the version before to this one, by the files of both; `None` where
    /// they do not say.
    pub moved: Option<i64>,
    /// Rows inserted, by the operation's metrics.
    pub inserted: Option<i64>,
    /// Rows updated, by the operation's metrics.
    pub updated: Option<i64>,
}

impl Commit {
    /// How the commit differs from what its descriptor says; `None` when it balances.
    ///
    /// The row count must have moved by inserted − deleted, by the commit's own files as well as by those of the
    /// versions before and after it: a Remove that matches no Add shows in the latter. An update leaves the row
    /// count alone, so the operation's own metrics are held against the classes too, where the commit has them. A
    /// RESTORE has no classes: it moves the row count by whatever it takes back.
    #[must_use]
    pub fn imbalance(&self) -> Option<String> {
        let descriptor = self.descriptor.as_ref()?;
        if descriptor.kind == BatchKind::Rollback {
            return None;
        }
        self.written.imbalance(descriptor.counts)
    }
}

impl Written {
    /// How it differs from these classes.
    fn imbalance(&self, counts: Counts) -> Option<String> {
        let expected = counts.inserted - counts.deleted;
        if let (Some(added), Some(removed)) = (self.added, self.removed)
            && added - removed != expected
        {
            return Some(format!(
                "the commit moved the row count by {}, its classes say {expected}",
                added - removed
            ));
        }
        if let Some(moved) = self.moved
            && moved != expected
        {
            return Some(format!("the table's row count moved by {moved}, the classes say {expected}"));
        }
        let classes =
            [("inserted", self.inserted, counts.inserted), ("updated", self.updated, counts.updated)];
        for (class, written, expected) in classes {
            if let Some(written) = written
                && written != expected
            {
                return Some(format!("the commit {class} {written} rows, its classes say {expected}"));
            }
        }
        // Without metrics, at least the rows to be written must be among the rows that were.
        let rows = counts.inserted + counts.updated;
        match (self.updated, self.added) {
            (None, Some(added)) if added < rows => {
                Some(format!("the commit added {added} rows, its classes say {rows} were written"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Counts {
        Counts { inserted: 2, updated: 1, ..Counts::default() }
    }

    fn right() -> Written {
        Written { added: Some(5), removed: Some(3), moved: Some(2), inserted: Some(2), updated: Some(1) }
    }

    #[test]
    fn commit_that_did_what_its_classes_say_balances() {
        assert_eq!(right().imbalance(counts()), None);
        assert_eq!(Written { moved: None, ..right() }.imbalance(counts()), None);
    }

    #[test]
    fn table_that_moved_otherwise_than_the_commit_says_does_not_balance() {
        // A Remove that matched no Add: by the commit's own numbers, all is well.
        let why = Written { moved: Some(5), ..right() }.imbalance(counts()).unwrap();
        assert!(why.contains("row count moved by 5"), "{why}");
    }

    #[test]
    fn commit_with_other_numbers_than_its_classes_does_not_balance() {
        for wrong in [
            Written { removed: Some(4), ..right() },
            Written { inserted: Some(3), ..right() },
            Written { updated: Some(0), ..right() },
            Written { added: Some(2), removed: Some(0), updated: None, ..right() },
        ] {
            assert!(wrong.imbalance(counts()).is_some(), "{wrong:?}");
        }
    }
}
