//! Commits, each a compare-and-set onto the version that was looked at.
//!
//! delta-rs does not refuse a `txn` number that is already there; it only detects concurrent commits. So
//! every commit here is made with no retries, onto one version: if anything else was committed in
//! between, the commit is lost, and the run observes again.

use deltalake::DeltaTableError;
use deltalake::arrow::array::RecordBatch;
use deltalake::kernel::Transaction;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::protocol::{DeltaOperation, SaveMode};

use super::table::{Table, failed};
use super::{DESCRIPTOR_KEY, EVIDENCE_KEY, GROUPS, evidence_app, group_app, rejected_app};
use crate::error::{Error, Result};
use crate::model::{Descriptor, Evidence};

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

/// The `txn` entries and the `commitInfo` of a commit.
#[derive(Debug, Clone, Default)]
pub struct Stamp {
    transactions: Vec<Transaction>,
    /// What the `commitInfo` says, and under which key.
    info: Option<(&'static str, serde_json::Value)>,
}

impl Stamp {
    /// A record table's stamp: the batch's number.
    #[must_use]
    pub fn number(app: &str, sequence: i64) -> Self {
        Self { transactions: vec![Transaction::new(app, sequence)], info: None }
    }

    /// The audit table's stamp of a rejection, with the rows that it leaves behind, if any.
    ///
    /// # Errors
    /// Fails when the evidence cannot be written as JSON.
    pub fn reject(pipeline: &str, number: i64, evidence: Option<&Evidence>) -> Result<Self> {
        let mut transactions = vec![Transaction::new(rejected_app(pipeline), number)];
        let Some(evidence) = evidence else { return Ok(Self { transactions, info: None }) };
        transactions.push(Transaction::new(evidence_app(pipeline, &evidence.quarantine_id), number));
        let evidence = serde_json::to_value(evidence)
            .map_err(|error| Error::bug("a rejection's evidence is no JSON").because(error))?;
        Ok(Self { transactions, info: Some((EVIDENCE_KEY, evidence)) })
    }

    /// The target's stamp: the descriptor, with the batch's number if this commit completes the batch,
    /// and the group's own number if there are groups.
    ///
    /// # Errors
    /// Fails when the descriptor cannot be written as JSON.
    pub fn describe(descriptor: &Descriptor) -> Result<Self> {
        let mut transactions = Vec::new();
        if let Some(group) = &descriptor.group {
            let index = i64::try_from(group.index).unwrap_or(GROUPS - 1).min(GROUPS - 1);
            let number = descriptor.sequence * GROUPS + index;
            transactions.push(Transaction::new(group_app(&descriptor.pipeline), number));
        }
        if descriptor.is_last_of_batch() {
            transactions.push(Transaction::new(&descriptor.pipeline, descriptor.sequence));
        }
        let descriptor = serde_json::to_value(descriptor)
            .map_err(|error| Error::bug("a descriptor is no JSON").because(error))?;
        Ok(Self { transactions, info: Some((DESCRIPTOR_KEY, descriptor)) })
    }

    pub(super) fn properties(self) -> CommitProperties {
        let metadata = self.info.map(|(key, value)| (key.to_owned(), value));
        CommitProperties::default()
            .with_max_retries(0)
            // Listing the log at every commit is slow, and cleaning up is left to maintenance.
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(self.transactions)
            .with_metadata(metadata)
    }
}

impl Table {
    /// Appends rows in one commit onto this version.
    ///
    /// # Errors
    /// Fails when the rows do not fit the table.
    pub async fn append(&self, rows: RecordBatch, stamp: Stamp) -> Result<Outcome> {
        let result = self
            .inner
            .clone()
            .write([rows])
            .with_save_mode(SaveMode::Append)
            .with_commit_properties(stamp.properties())
            .await;
        self.outcome(result.map(|table| table.version()))
    }

    /// Appends rows as any other writer would: not as part of a batch.
    ///
    /// # Errors
    /// Fails when the rows cannot be written.
    pub async fn append_foreign(&self, rows: Vec<RecordBatch>) -> Result<()> {
        let written = self.inner.clone().write(rows).with_save_mode(SaveMode::Append).await;
        written.map(drop).map_err(|error| failed(&format!("cannot write to `{}`", self.name), error))
    }

    /// Replaces all rows, as any other writer would.
    ///
    /// # Errors
    /// Fails when the rows cannot be written.
    pub async fn overwrite_foreign(&self, rows: Vec<RecordBatch>) -> Result<()> {
        let written = self.inner.clone().write(rows).with_save_mode(SaveMode::Overwrite).await;
        written.map(drop).map_err(|error| failed(&format!("cannot write to `{}`", self.name), error))
    }

    /// Makes a commit without data onto this version: a MERGE that changes nothing makes none.
    ///
    /// # Errors
    /// Fails when the table cannot be written.
    pub async fn commit_empty(&self, stamp: Stamp) -> Result<Outcome> {
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let builder = CommitBuilder::from(stamp.properties());
        let result = builder.build(Some(self.snapshot()?), self.inner.log_store(), operation).await;
        self.outcome(result.map(|commit| Some(commit.version())))
    }

    /// Takes the table back to an older version, in a commit onto this one.
    ///
    /// # Errors
    /// Fails with what to do when VACUUM took files that the older version needs.
    pub async fn restore(&self, to: u64, stamp: Stamp) -> Result<Outcome> {
        let result = self
            .inner
            .clone()
            .restore()
            .with_version_to_restore(to)
            .with_commit_properties(stamp.properties())
            .await;
        if let Err(error) = &result
            && error.to_string().contains("Find missing file")
        {
            return Err(Error::person(format!("`{}` cannot go back to version {to}: {error}", self.name))
                .hint("VACUUM took files that the older version needs; load the rows anew instead"));
        }
        self.outcome(result.map(|(table, _)| table.version()))
    }

    /// Sorts the result of a commit. `None` as version means that nothing was committed.
    pub(super) fn outcome(&self, result: Result<Option<u64>, DeltaTableError>) -> Result<Outcome> {
        match result {
            Ok(Some(version)) => Ok(Outcome::Committed(version)),
            Ok(None) => Ok(Outcome::Unknown(Error::bug("a commit has no version"))),
            Err(error) if is_lost(&error) => {
                tracing::info!(table = self.name, version = self.version(), "commit lost to another");
                Ok(Outcome::Lost)
            }
            Err(error) if error.to_string().contains("failed validation check") => {
                Err(Error::person(format!("`{}` has constraints that rows of the batch break", self.name))
                    .because(error)
                    .hint("mend the rows in staging, or drop the constraint; nothing was written"))
            }
            Err(error) if error.to_string().contains("Resources exhausted") => Err(Error::usage(format!(
                "the MERGE into `{}` does not fit the memory it may use",
                self.name
            ))
            .because(error)
            .hint("raise `memory` in the pipeline file")),
            Err(error) if is_ambiguous(&error) => {
                Ok(Outcome::Unknown(failed(&format!("cannot commit to `{}`", self.name), error)))
            }
            Err(error) => Err(failed(&format!("cannot write to `{}`", self.name), error)),
        }
    }
}

fn is_lost(error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::VersionAlreadyExists(_) => true,
        DeltaTableError::Transaction { source } => matches!(
            source,
            TransactionError::VersionAlreadyExists(_)
                | TransactionError::CommitConflict(_)
                | TransactionError::MaxCommitAttempts(_)
        ),
        _ => false,
    }
}

/// Whether the commit may have been made all the same. Only errors that surely come before it say no: a
/// hook after the commit can fail in many ways.
fn is_ambiguous(error: &DeltaTableError) -> bool {
    !matches!(
        error,
        DeltaTableError::SchemaMismatch { .. }
            | DeltaTableError::InvalidData { .. }
            | DeltaTableError::Arrow { .. }
            | DeltaTableError::Parquet { .. }
            | DeltaTableError::MissingFeature { .. }
            | DeltaTableError::UnsupportedColumnMapping { .. }
            | DeltaTableError::NotInitialized
            | DeltaTableError::Transaction {
                source: TransactionError::DeltaTableAppendOnly
                    | TransactionError::UnsupportedTableFeatures(_)
                    | TransactionError::TableFeaturesRequired(_)
            }
    )
}
