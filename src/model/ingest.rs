//! Files brought into staging: what a commit says of them, and the rows that are kept of each.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The column of staging with a row's file.
pub const FILE_COLUMN: &str = "source_file";
/// The column of staging with the line or row of a row in its file.
pub const ROW_COLUMN: &str = "source_row";
/// The column of staging with the time at which a row was brought in.
pub const TIME_COLUMN: &str = "ingest_time";
/// The columns of staging that are filled when files are brought in.
pub const INGEST_COLUMNS: [&str; 3] = [FILE_COLUMN, ROW_COLUMN, TIME_COLUMN];

/// What a commit to staging says of the files that it brings in: all that is needed to finish without reading them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IngestRecord {
    /// The pipeline.
    pub pipeline: String,
    /// The number of this ingest, from 1.
    pub number: i64,
    /// A hash of pipeline, number and files.
    pub batch_id: String,
    /// When it began.
    pub started: DateTime<Utc>,
    /// Rows that came in.
    pub rows: i64,
    /// The ledger's Delta id.
    pub ledger_id: String,
    /// Add actions of its files, which are written already.
    pub ledger: Vec<Value>,
    /// The Delta id of the table of rows that could not be read.
    pub corrupt_id: String,
    /// Add actions of its files, which are written already.
    pub corrupt: Vec<Value>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    /// Its rows are in staging.
    Loaded,
    /// It could not be read, and is tried again.
    Failed,
    /// A person said that it stays out.
    Skipped,
    /// A person said that it is to be brought in again.
    Reset,
    /// Of the path `*`: no file is brought in.
    Paused,
}

impl FileStatus {
    /// The word for it in tables and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Reset => "reset",
            Self::Paused => "paused",
        }
    }
}

/// A file as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFile {
    /// Its path below the pattern's fixed folder.
    pub path: String,
    /// Bytes.
    pub size: i64,
    /// What tells one content from another: the store's entity tag, or the time of the last change.
    pub tag: String,
    /// When it was changed last, by the store's clock.
    pub modified: DateTime<Utc>,
}

/// One row of `ingest_files`; the columns' meanings are in `tables/ingest_files.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns are documented in the table's DDL")]
pub struct FileRow {
    pub pipeline: String,
    pub path: String,
    pub size: i64,
    pub tag: String,
    pub status: FileStatus,
    pub rows: i64,
    pub corrupt_rows: i64,
    pub number: i64,
    pub batch_id: Option<String>,
    pub staging_id: String,
    pub error: Option<String>,
    pub recorded_at: DateTime<Utc>,
}

impl FileRow {
    /// What rows are ordered by: the newest of a path counts.
    #[must_use]
    pub fn order(&self) -> (i64, DateTime<Utc>) {
        (self.number, self.recorded_at)
    }
}

/// One row of `ingest_corrupt`; the columns' meanings are in `tables/ingest_corrupt.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns are documented in the table's DDL")]
pub struct CorruptRow {
    pub pipeline: String,
    pub source_file: String,
    pub source_row: i64,
    pub reason: String,
    pub text: String,
    pub number: i64,
    pub ingest_time: DateTime<Utc>,
}
