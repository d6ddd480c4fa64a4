//! What the protocol needs of a table.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::stamp::Stamp;
use crate::error::{Error, Result};
use crate::model::{AuditRow, Descriptor, Evidence, Group, WatermarkRow};
use crate::plan::Written;

/// A table at one version, with its log.
#[expect(async_fn_in_trait, reason = "whether a future can be sent is for the table behind the port to say")]
pub trait TableLog: Clone {
    /// What record rows are read with.
    type Reader;
    /// Rows to be merged into the table, ready to be written.
    type Rows;
    /// What changes among the entries of a quarantine, ready to be written.
    type Entries;

    /// The table's name in messages.
    fn name(&self) -> &str;

    /// The table's Delta id.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    fn id(&self) -> Result<String>;

    /// The version that is loaded.
    fn version(&self) -> u64;

    /// Loads the newest version.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    async fn refresh(&mut self) -> Result<()>;

    /// The same table at another version; `None` where that can no longer be loaded.
    ///
    /// # Errors
    /// Fails when storage is away.
    async fn at(&self, version: u64) -> Result<Option<Self>>;

    /// The number in the `txn` entry of this appId; 0 where there is none.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    async fn txn(&self, app: &str) -> Result<i64>;

    /// One entry of the log; `None` where it is gone.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    async fn log_entry(&self, version: u64) -> Result<Option<LogEntry>>;

    /// What the commit of this version wrote. `hand` is the table at some version that was loaded before, and is left
    /// for the commit before: to replay a log is the costly part of looking at one.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    async fn written(&self, version: u64, hand: &mut Option<Self>) -> Result<Written>;

    /// Whether all files of a version are still there.
    ///
    /// # Errors
    /// Fails when storage is away.
    async fn is_readable_at(&self, version: u64) -> Result<bool>;

    /// Whether columns, partitions and properties were the same at an older version as now.
    ///
    /// # Errors
    /// Fails when storage is away.
    async fn has_same_schema_at(&self, version: u64) -> Result<bool>;

    /// Whether data files that no log names yet, given as Add actions, are still there.
    ///
    /// # Errors
    /// Fails when storage is away.
    async fn has_files(&self, adds: &[Value]) -> Result<bool>;

    /// Whether a person gave the list of a batch's groups up.
    ///
    /// # Errors
    /// Fails when storage is away.
    async fn has_given_up(&self, group: &Group) -> Result<bool>;

    /// The digest of the files in which rows arrived after a version, up to the loaded one; `None` where nobody can tell.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    async fn arrivals_digest(&self, after: u64) -> Result<Option<String>>;

    /// The pipeline's rows of an audit table.
    ///
    /// # Errors
    /// Fails when the table cannot be read.
    async fn audit_rows(&self, reader: &Self::Reader, pipeline: &str) -> Result<Vec<AuditRow>>;

    /// The numbers of the pipeline's rows of a watermark table.
    ///
    /// # Errors
    /// Fails when the table cannot be read.
    async fn watermark_numbers(&self, reader: &Self::Reader, pipeline: &str) -> Result<BTreeSet<i64>>;

    /// Makes a commit onto the loaded version, and onto no other.
    ///
    /// # Errors
    /// Fails when the commit was not made, or the log cannot tell for good; the error's kind says whether another run
    /// may help.
    async fn commit(&self, change: Change<Self>, stamp: Stamp) -> Result<Outcome>;
}

/// One entry of a table's log, as far as the protocol reads it.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// The commit's time.
    pub timestamp: DateTime<Utc>,
    /// What highwater noted in it.
    pub note: Option<Note>,
    /// Whether it added or removed rows, as opposed to rewriting files only.
    pub changed_data: bool,
    /// Present for a RESTORE: the version that it went back to, where the log names it.
    pub restored: Option<Option<u64>>,
}

/// What highwater noted in a commit, as far as this program can read it.
#[derive(Debug, Clone)]
pub enum Note {
    /// A batch, in a commit to the target.
    Batch {
        /// The descriptor.
        descriptor: Option<Box<Descriptor>>,
        /// What a reader has to know and this program does not, in words.
        unknown: Option<String>,
    },
    /// A rejection that left rows behind, in a commit to the audit table.
    Rejection {
        /// The pipeline.
        pipeline: String,
        /// The rejection's number.
        number: i64,
        /// The evidence.
        evidence: Option<Box<Evidence>>,
        /// What a reader has to know and this program does not, in words.
        unknown: Option<String>,
    },
}

/// What a commit does to the table.
pub enum Change<T: TableLog> {
    /// Nothing: the commit is there for its stamp.
    Nothing,
    /// A row of a record table is appended.
    Append(RecordRow),
    /// Rows are merged.
    Merge(T::Rows),
    /// Entries of the quarantine are written and changed.
    Entries(T::Entries),
    /// The table goes back to this version.
    Restore(u64),
}

impl<T: TableLog<Rows: Clone, Entries: Clone>> Clone for Change<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Append(row) => Self::Append(row.clone()),
            Self::Merge(rows) => Self::Merge(rows.clone()),
            Self::Entries(entries) => Self::Entries(entries.clone()),
            Self::Restore(to) => Self::Restore(*to),
        }
    }
}

/// A row of a record table.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordRow {
    /// Of the audit table.
    Audit(Box<AuditRow>),
    /// Of the watermark table.
    Watermark(Box<WatermarkRow>),
}

/// How an attempt to commit ended.
#[derive(Debug)]
pub enum Outcome {
    /// This process made the commit, at this version.
    Committed(u64),
    /// Another commit came first; nothing was written.
    Lost,
    /// The storage did not say whether the commit was made. Only a new look can tell.
    Unknown(Error),
}
