//! Rows of the audit and the watermark table, field for column.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::batch::{BatchKind, Pin, Status};
use super::check::CheckResult;
use super::counts::{Counts, Memos, Ties};
use super::drift::Drift;
use super::form::Form;
use super::watermark::Watermark;

/// The job that a run is part of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner {
    /// AWS Batch: the job's id.
    pub job_id: Option<String>,
    /// AWS Batch: which attempt it is, from 1.
    pub job_attempt: Option<String>,
    /// AWS Batch: which job of an array, from 0.
    pub job_array_index: Option<String>,
    /// ECS: the task's ARN.
    pub ecs_task: Option<String>,
}

/// One row of `loads_audit`; the columns' meanings are in `tables/loads_audit.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns are documented in the table's DDL")]
pub struct AuditRow {
    pub batch_id: String,
    pub run_start: DateTime<Utc>,
    pub run_end: DateTime<Utc>,
    pub watermark_from: Option<NaiveDate>,
    pub watermark_to: Option<NaiveDate>,
    pub staged_rows: i64,
    pub deduped_rows: i64,
    pub inserted_rows: i64,
    pub updated_rows: i64,
    pub dq_errors: i64,
    pub status: Status,
    pub pipeline: String,
    pub kind: BatchKind,
    pub sequence: Option<i64>,
    pub as_of: NaiveDate,
    pub duplicate_rows: i64,
    pub superseded_rows: i64,
    pub stale_rows: i64,
    pub unchanged_rows: i64,
    pub tied_rows: i64,
    pub quarantined_rows: i64,
    pub rejected_rows: i64,
    pub deleted_rows: i64,
    pub late_rows: i64,
    pub future_rows: i64,
    #[serde(default)]
    pub history_rows: i64,
    #[serde(default)]
    pub filtered_rows: i64,
    pub ties_in_batch_rows: i64,
    pub ties_kept_rows: i64,
    pub ties_replaced_rows: i64,
    pub watermark: Option<Watermark>,
    pub config_digest: String,
    pub target_id: String,
    pub fact_version_before: Option<i64>,
    pub fact_version_after: Option<i64>,
    #[serde(default)]
    pub inputs: Vec<Pin>,
    #[serde(default)]
    pub checks: Vec<CheckResult>,
    #[serde(default)]
    pub drift: Vec<Drift>,
    #[serde(default)]
    pub undone: Vec<String>,
    pub reason: Option<String>,
    /// By whom the row was written: a batch may be finished by another than began it.
    #[serde(default)]
    pub runner: Option<Runner>,
    #[serde(flatten)]
    pub form: Form,
}

impl AuditRow {
    /// The row's counts by class.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            staged: self.staged_rows,
            duplicate: self.duplicate_rows,
            superseded: self.superseded_rows,
            deduped: self.deduped_rows,
            inserted: self.inserted_rows,
            updated: self.updated_rows,
            stale: self.stale_rows,
            unchanged: self.unchanged_rows,
            tied: self.tied_rows,
            quarantined: self.quarantined_rows,
            rejected: self.rejected_rows,
            deleted: self.deleted_rows,
        }
    }

    /// The row's memos.
    #[must_use]
    pub fn memos(&self) -> Memos {
        Memos {
            late: self.late_rows,
            future: self.future_rows,
            history: self.history_rows,
            filtered: self.filtered_rows,
            ties: Ties {
                in_batch: self.ties_in_batch_rows,
                kept: self.ties_kept_rows,
                replaced: self.ties_replaced_rows,
            },
        }
    }
}

/// One row of `loads_attempts`; the columns' meanings are in `tables/loads_attempts.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns are documented in the table's DDL")]
pub struct AttemptRow {
    pub attempted_at: DateTime<Utc>,
    pub pipeline: String,
    pub command: String,
    pub as_of: Option<NaiveDate>,
    pub exit_status: i32,
    pub message: Option<String>,
    pub job_id: Option<String>,
    pub job_attempt: Option<String>,
    pub ecs_task: Option<String>,
}

/// One row of `load_watermarks`; the columns' meanings are in `tables/load_watermarks.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns are documented in the table's DDL")]
pub struct WatermarkRow {
    pub pipeline: String,
    pub sequence: i64,
    pub batch_id: String,
    pub as_of: NaiveDate,
    pub watermark: Option<Watermark>,
    pub own: Option<Watermark>,
    pub updated_at: DateTime<Utc>,
}
