//! Commits, each a compare-and-set onto the version that was looked at.
//!
//! delta-rs does not refuse a `txn` number that is already there; it only detects concurrent commits. So
//! commits of a batch are made with no retries, onto one version (MERGE in `merge`, files in `files`), and told from
//! others' by a mark: if anything else was committed in
//! between, the commit is lost, and the run observes again.

use std::hash::{BuildHasher as _, RandomState};

use deltalake::DeltaTableError;
use deltalake::arrow::array::RecordBatch;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use serde_json::Value;

use super::file_id::FileId;
use super::table::Table;
use super::{ATTEMPT_KEY, DESCRIPTOR_KEY, EVIDENCE_KEY, INGEST_KEY, SCHEMA_KEY};
use crate::error::{Error, Kind, Result};
use crate::failure::{self, Cause, Phase};
use crate::model::Form;
use crate::protocol::{Outcome, Recorded, Stamp};

/// What is committed with a stamp, and the mark by which the commit is known again.
pub(super) fn commit_properties(
    stamp: Stamp,
    more: impl IntoIterator<Item = (String, Value)>,
) -> Result<(CommitProperties, Attempt)> {
    let attempt = Attempt::new();
    let metadata = stamp.recorded.map(json).transpose()?;
    let mark = (ATTEMPT_KEY.to_owned(), attempt.0.clone().into());
    let transactions = stamp.txn.into_iter().map(|(app, number)| Transaction::new(app, number));
    let properties = CommitProperties::default()
        .with_max_retries(0)
        // Listing the log at every commit is slow, and cleaning up is left to maintenance.
        .with_cleanup_expired_logs(Some(false))
        .with_application_transactions(transactions.collect())
        .with_metadata(metadata.into_iter().chain([mark]).chain(more));
    Ok((properties, attempt))
}

/// A record as `commitInfo` has it, with its key.
fn json(recorded: Recorded) -> Result<(String, Value)> {
    let (key, features, value) = match recorded {
        Recorded::Batch(batch) => (DESCRIPTOR_KEY, batch.features(), serde_json::to_value(batch)),
        Recorded::Rejection(left) => (EVIDENCE_KEY, left.features(), serde_json::to_value(left)),
        Recorded::Ingest(record) => (INGEST_KEY, Vec::new(), serde_json::to_value(record)),
        Recorded::Schema(record) => (SCHEMA_KEY, Vec::new(), serde_json::to_value(record)),
    };
    let value = value.map_err(|error| Error::bug("a record is no JSON").because(error))?;
    Ok((key.to_owned(), Form::stamped(value, &features)))
}

/// One attempt at a commit. Two processes that write the same batch make the same descriptor, so a commit whose
/// answer was lost is told from another's by a random mark.
#[derive(Debug)]
pub(super) struct Attempt(String);

impl Attempt {
    fn new() -> Self {
        Self(format!("{:016x}{:016x}", RandomState::new().hash_one(0), RandomState::new().hash_one(1)))
    }

    fn made(&self, info: &serde_json::Map<String, Value>) -> bool {
        info.get(ATTEMPT_KEY).and_then(Value::as_str) == Some(&self.0)
    }
}

impl Table {
    /// Appends rows in one commit onto this version.
    ///
    /// # Errors
    /// Fails when the rows do not fit the table.
    pub async fn append(&self, rows: RecordBatch, stamp: Stamp) -> Result<Outcome> {
        let (properties, attempt) = commit_properties(stamp, [])?;
        let result = self
            .inner
            .clone()
            .write([rows])
            .with_save_mode(SaveMode::Append)
            .with_commit_properties(properties)
            .await;
        self.outcome(result.map(|table| table.version()), &attempt).await
    }

    /// Appends rows as any other writer would: not as part of a batch.
    ///
    /// # Errors
    /// Fails when the rows cannot be written.
    pub async fn append_foreign(&self, rows: Vec<RecordBatch>) -> Result<()> {
        let written = self.inner.clone().write(rows).with_save_mode(SaveMode::Append).await;
        let what = || format!("cannot write to `{}`", self.name);
        written.map(drop).map_err(|error| failure::of(Phase::Data, &what(), error))
    }

    /// Replaces all rows, as any other writer would.
    ///
    /// # Errors
    /// Fails when the rows cannot be written.
    pub async fn overwrite_foreign(&self, rows: Vec<RecordBatch>) -> Result<()> {
        let written = self.inner.clone().write(rows).with_save_mode(SaveMode::Overwrite).await;
        let what = || format!("cannot write to `{}`", self.name);
        written.map(drop).map_err(|error| failure::of(Phase::Data, &what(), error))
    }

    /// What takes those of the files away that are `gone`.
    pub(super) fn removals(&self, gone: impl Fn(&FileId) -> bool, data_change: bool) -> Result<Vec<Action>> {
        let concerned = self.active()?.into_iter().filter(|(file, _)| gone(file));
        Ok(concerned.map(|(_, view)| Action::Remove(view.remove_action(data_change))).collect())
    }

    /// Commits actions onto this version. With `again`, files of this version are added once more, by the names that
    /// the log has for them.
    pub(super) async fn commit_actions(
        &self,
        actions: Vec<Action>,
        again: Option<&Self>,
        operation: DeltaOperation,
        stamp: Stamp,
        more: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Outcome> {
        let log_store = self.to_commit(again)?.log_store();
        let (properties, attempt) = commit_properties(stamp, more)?;
        let builder = CommitBuilder::from(properties).with_actions(actions);
        let result = builder.build(Some(self.snapshot()?), log_store, operation).await;
        self.outcome(result.map(|commit| Some(commit.version())), &attempt).await
    }

    /// Makes a commit without data onto this version: a MERGE that changes nothing makes none.
    ///
    /// # Errors
    /// Fails when the table cannot be written.
    pub async fn commit_empty(&self, stamp: Stamp) -> Result<Outcome> {
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let (properties, attempt) = commit_properties(stamp, [])?;
        let builder = CommitBuilder::from(properties);
        let result = builder.build(Some(self.snapshot()?), self.inner.log_store(), operation).await;
        self.outcome(result.map(|commit| Some(commit.version())), &attempt).await
    }

    /// Takes the table back to an older version, in a commit onto this one.
    ///
    /// # Errors
    /// Fails with what to do when VACUUM took files that the older version needs.
    pub async fn restore(&self, to: u64, stamp: Stamp) -> Result<Outcome> {
        let older = self.at(to).await?;
        let (properties, attempt) = commit_properties(stamp, [])?;
        let result = self
            .to_commit(older.as_ref())?
            .restore()
            .with_version_to_restore(to)
            .with_commit_properties(properties)
            .await;
        if let Err(error) = &result
            && error.to_string().contains("Find missing file")
        {
            return Err(Error::person(format!("`{}` cannot go back to version {to}: {error}", self.name))
                .hint("VACUUM took files that the older version needs; load the rows anew instead"));
        }
        self.outcome(result.map(|(table, _)| table.version()), &attempt).await
    }

    /// Sorts the result of a commit, and where it is no plain success, looks at the log: what lies there decides, not
    /// what the library or the storage says. `None` as version means that nothing was committed.
    pub(super) async fn outcome(
        &self,
        result: Result<Option<u64>, DeltaTableError>,
        attempt: &Attempt,
    ) -> Result<Outcome> {
        let expected = self.version() + 1;
        if let Ok(Some(version)) = result
            && version == expected
        {
            return Ok(Outcome::Committed(version));
        }
        let what = format!("cannot commit to `{}`", self.name);
        match (self.actions(expected).await, result) {
            (Ok(Some(actions)), _) if attempt.made(&actions.info) => {
                tracing::warn!(
                    table = self.name,
                    version = expected,
                    "a commit's answer was lost, but it was made"
                );
                Ok(Outcome::Committed(expected))
            }
            (Ok(Some(_)), _) => {
                tracing::info!(table = self.name, version = expected, "commit lost to another");
                Ok(Outcome::Lost)
            }
            (Ok(None), Err(error)) => self.not_made(&what, error),
            (Ok(None), Ok(found)) => {
                Err(Error::bug(format!("{what}: it made no version {expected}, but {found:?}")))
            }
            // Only a new look can tell, once the log can be read again.
            (Err(error), _) if error.kind() == Kind::Retry => Ok(Outcome::Unknown(error)),
            (Err(error), _) => Err(error),
        }
    }

    /// Why a commit failed that is not in the log. If its answer was lost on the way, it may still come; a data
    /// file that could not be written comes before that, and leaves no doubt.
    fn not_made(&self, what: &str, error: DeltaTableError) -> Result<Outcome> {
        let failed = |what: &str, error| failure::of(Phase::Data, what, error);
        match failure::cause(&error) {
            Cause::Away if is_of_the_log(&error) && !failure::is_refusal(&error) => {
                Ok(Outcome::Unknown(failed(what, error)))
            }
            Cause::Constraint => {
                let constraints = self.constraints()?;
                let named = constraints.iter().map(|(name, condition)| format!("`{name}` ({condition})"));
                let named = named.collect::<Vec<_>>().join(", ");
                let what = if named.is_empty() {
                    format!("rows of the batch break a generated column or an invariant of `{}`", self.name)
                } else {
                    format!("rows of the batch break the CHECK constraints of `{}`, {named}", self.name)
                };
                let rows = if self.is_discreet { Vec::new() } else { preview(&error.to_string()) };
                let what = if rows.is_empty() { what } else { format!("{what}: {}", rows.join("; ")) };
                Err(failure::said(Phase::Data, Cause::Constraint, &what))
            }
            Cause::Value if !self.constraints()?.is_empty() => {
                let why = Error::usage(format!(
                    "a CHECK constraint of `{}` cannot be computed for a row of the batch",
                    self.name
                ));
                // It has the value in it.
                let why = if self.is_discreet { why } else { why.because(error) };
                Err(why.hint("write the constraint so that it has a value for every row, or drop it"))
            }
            Cause::Value if self.is_discreet => {
                Err(Error::bug(format!("{what}: a value of the batch cannot be written")))
            }
            Cause::Exhausted => Err(failed(
                &format!("the MERGE into `{}` does not fit the memory it may use", self.name),
                error,
            )),
            _ => Err(failed(what, error)),
        }
    }
}

/// Rows that a message shows at most.
const EXAMPLES: usize = 3;

/// The rows that delta-rs shows as a table, which may be wider than any screen, each on a line of its own.
fn preview(text: &str) -> Vec<String> {
    let cells = |line: &str| -> Option<Vec<String>> {
        let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some(inner.split('|').map(|cell| cell.trim().to_owned()).collect())
    };
    let mut lines = text.lines().filter_map(cells);
    let Some(header) = lines.next() else { return Vec::new() };
    let row = |cells: Vec<String>| {
        let pairs = header.iter().zip(cells).map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(", ")
    };
    lines.filter(|cells| cells.len() == header.len()).take(EXAMPLES).map(row).collect()
}

/// Whether an error may be that of the log entry's own PUT. Those of data files come from the Parquet writer or from
/// the query that feeds it, and are wrapped as such.
fn is_of_the_log(error: &DeltaTableError) -> bool {
    matches!(error, DeltaTableError::ObjectStore { .. } | DeltaTableError::Transaction { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_break_a_constraint_are_told_without_the_table_around_them() {
        let text = "Invalid data found: 2 rows failed validation check.\nPreview:\n\n+----+---+\n| id | n |\n+----+---+\n\
                    | 1  | 2 |\n| 3  |   |\n+----+---+";
        assert_eq!(preview(text), ["id=1, n=2", "id=3, n="]);
        assert_eq!(preview("nothing"), Vec::<String>::new());
    }
}
