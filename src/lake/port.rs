//! Delta tables behind the protocol's port.

use std::collections::BTreeSet;

use deltalake::datafusion::execution::session_state::SessionState;
use serde_json::Value;

use super::record::{rows_of, to_batch};
use super::{Arrivals, FileId, MergeSource, Replacement, Table};
use crate::engine::Engine;
use crate::error::Result;
use crate::model::{AuditRow, Group, WatermarkRow};
use crate::plan::Written;
use crate::protocol::{Change, LogEntry, Outcome, RecordRow, Stamp, TableLog};

/// Rows to be written, and the session that they are written in.
pub struct WriteRows {
    /// The rows, and how they are written.
    pub by: WriteBy,
    /// The session.
    pub state: SessionState,
}

/// How rows are written.
pub enum WriteBy {
    /// By delta-rs's MERGE.
    Merge(Box<MergeSource>),
    /// By replacing rows whose places are known.
    Replace(Replacement),
}

/// What changes in a quarantine: files that are written already, and files that they take the place of.
#[derive(Debug, Clone, Default)]
pub struct EntryFiles {
    /// Add actions.
    pub adds: Vec<Value>,
    /// Files that go.
    pub dropped: Vec<FileId>,
}

// Methods of the same name are the table's own.
impl TableLog for Table {
    type Reader = Engine;
    type Rows = WriteRows;
    type Entries = EntryFiles;

    fn name(&self) -> &str {
        self.name()
    }

    fn id(&self) -> Result<String> {
        self.id()
    }

    fn version(&self) -> u64 {
        self.version()
    }

    async fn refresh(&mut self) -> Result<()> {
        self.refresh().await
    }

    async fn at(&self, version: u64) -> Result<Option<Self>> {
        self.at(version).await
    }

    async fn txn(&self, app: &str) -> Result<i64> {
        Ok(self.txn(app).await?.unwrap_or_default())
    }

    async fn log_entry(&self, version: u64) -> Result<Option<LogEntry>> {
        self.read_log_entry(version).await
    }

    async fn written(&self, version: u64, hand: &mut Option<Self>) -> Result<Written> {
        self.rows_written(version, hand).await
    }

    async fn is_readable_at(&self, version: u64) -> Result<bool> {
        self.is_readable_at(version).await
    }

    async fn has_same_schema_at(&self, version: u64) -> Result<bool> {
        self.has_same_schema_at(version).await
    }

    async fn has_files(&self, adds: &[Value]) -> Result<bool> {
        self.has_data_files(adds).await
    }

    async fn has_given_up(&self, group: &Group) -> Result<bool> {
        self.is_given_up(group.partitions_file.as_ref()).await
    }

    async fn arrivals_digest(&self, after: u64) -> Result<Option<String>> {
        Ok(Arrivals::since(self, after).await?.map(|arrivals| arrivals.digest()))
    }

    async fn audit_rows(&self, engine: &Engine, pipeline: &str) -> Result<Vec<AuditRow>> {
        rows_of(engine, self, pipeline).await
    }

    async fn watermark_numbers(&self, engine: &Engine, pipeline: &str) -> Result<BTreeSet<i64>> {
        if let Some(numbers) = self.numbers_by_statistics("pipeline", pipeline, "sequence")? {
            return Ok(numbers.into_iter().collect());
        }
        let rows: Vec<WatermarkRow> = rows_of(engine, self, pipeline).await?;
        Ok(rows.iter().map(|row| row.sequence).collect())
    }

    async fn commit(&self, change: Change<Self>, stamp: Stamp) -> Result<Outcome> {
        match change {
            Change::Nothing => self.commit_empty(stamp).await,
            Change::Append(RecordRow::Audit(row)) => self.append(to_batch(self, &row)?, stamp).await,
            Change::Append(RecordRow::Watermark(row)) => self.append(to_batch(self, &row)?, stamp).await,
            Change::Merge(WriteRows { by: WriteBy::Merge(source), state }) => {
                self.merge(*source, &state, stamp).await
            }
            Change::Merge(WriteRows { by: WriteBy::Replace(rows), state }) => {
                self.replace(rows, &state, stamp).await
            }
            Change::Entries(EntryFiles { adds, dropped }) => self.commit_files(&adds, &dropped, stamp).await,
            Change::Restore(to) => self.restore(to, stamp).await,
        }
    }
}
