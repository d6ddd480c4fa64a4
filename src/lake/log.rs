//! Reads commits back from a table's log.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::actions::Actions;
use super::file_id::FileId;
use super::table::{FileSize, Table, failed};
use super::{DESCRIPTOR_KEY, EVIDENCE_KEY, INGEST_KEY, SCHEMA_KEY};
use crate::error::{Error, Result};
use crate::model::{Form, IngestRecord, SchemaRecord};
use crate::plan::Written;
use crate::protocol::{LogEntry, Note};

/// Versions of a table that are in hand while its commits are read, newest first: to replay the log is the
/// costly part of looking at one.
struct InHand<'a> {
    newest: &'a Table,
    earlier: Option<Table>,
}

impl InHand<'_> {
    async fn at(&mut self, version: u64) -> Result<Option<Table>> {
        let mut there = std::iter::once(self.newest).chain(&self.earlier);
        if let Some(table) = there.find(|table| table.version() == version) {
            return Ok(Some(table.clone()));
        }
        self.earlier = self.newest.at(version).await?;
        Ok(self.earlier.clone())
    }
}

impl Table {
    /// The actions of one commit; `None` where its log entry is gone.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub(super) async fn actions(&self, version: u64) -> Result<Option<Actions>> {
        let what = || format!("cannot read version {version} of the log of `{}`", self.name);
        let bytes = self.inner.log_store().read_commit_entry(version).await;
        let Some(bytes) = bytes.map_err(|error| failed(&what(), error))? else { return Ok(None) };
        Ok(Some(Actions::parse(version, &bytes).map_err(|error| failed(&what(), error))?))
    }

    /// One entry of the log, as the protocol reads it; `None` where it is gone.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub(super) async fn read_log_entry(&self, version: u64) -> Result<Option<LogEntry>> {
        let Some(actions) = self.actions(version).await? else { return Ok(None) };
        Ok(Some(LogEntry {
            timestamp: actions.timestamp().unwrap_or_default(),
            note: note(&actions),
            changed_data: actions.change_data(),
            restored: actions.restored_version(),
        }))
    }

    /// The record of a pipeline's files that were brought in under this number, which the table's `txn` entry names;
    /// `None` where the log no longer has it.
    ///
    /// # Errors
    /// Fails when the log cannot be read, and on a record that this release does not know.
    pub async fn ingest_record(&self, pipeline: &str, number: i64) -> Result<Option<IngestRecord>> {
        Ok(self.record(INGEST_KEY, pipeline, number).await?.map(|(record, _, _)| record))
    }

    /// The record of a change of the table's columns under this number, with the version that has it and that commit's
    /// time; `None` where the log no longer has it.
    ///
    /// # Errors
    /// As [`ingest_record`](Self::ingest_record) does.
    pub async fn schema_record(
        &self,
        pipeline: &str,
        number: i64,
    ) -> Result<Option<(SchemaRecord, u64, DateTime<Utc>)>> {
        self.record(SCHEMA_KEY, pipeline, number).await
    }

    async fn record<T: DeserializeOwned>(
        &self,
        key: &str,
        pipeline: &str,
        number: i64,
    ) -> Result<Option<(T, u64, DateTime<Utc>)>> {
        // Others may have written to the table since.
        for version in (0..=self.version()).rev() {
            let Some(actions) = self.actions(version).await? else { return Ok(None) };
            let Some(value) = actions.info.get(key) else { continue };
            if value["pipeline"] != pipeline || value["number"] != number {
                continue;
            }
            let unknown = Form::of(value).unknown();
            return match serde_json::from_value(value.clone()) {
                Ok(record) if unknown.is_none() => {
                    Ok(Some((record, version, actions.timestamp().unwrap_or_default())))
                }
                _ => Err(Error::person(format!(
                    "version {version} of `{}` has a record, `{key}`, in a form that this release does not know",
                    self.name
                ))
                .hint("finish with the release that wrote it: run its `highwater run`")),
            };
        }
        Ok(None)
    }

    /// What the commit of this version wrote: by its own adds and removes, and by what became of the table. The log
    /// does not say how many rows a removed file held, so that is looked up in the version before.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub(super) async fn rows_written(&self, version: u64, hand: &mut Option<Self>) -> Result<Written> {
        let Some(actions) = self.actions(version).await? else { return Ok(Written::default()) };
        let mut in_hand = InHand { newest: self, earlier: hand.take() };
        let written = written(&mut in_hand, version, &actions).await?;
        *hand = in_hand.earlier;
        Ok(written)
    }

    /// Whether columns, partitions and properties were the same at an older version as now.
    ///
    /// # Errors
    /// Fails when storage is away. Where that version cannot be loaded, nothing is known to differ.
    pub async fn has_same_schema_at(&self, version: u64) -> Result<bool> {
        let Some(older) = self.at(version).await? else { return Ok(true) };
        let (then, now) = (older.snapshot()?.metadata(), self.snapshot()?.metadata());
        let columns = older.arrow_schema()? == self.arrow_schema()?;
        let partitions = then.partition_columns() == now.partition_columns();
        Ok(columns && partitions && then.configuration() == now.configuration())
    }
}

/// What highwater noted in a commit.
fn note(actions: &Actions) -> Option<Note> {
    fn read<T: DeserializeOwned>(value: &Value) -> (Option<Box<T>>, Option<String>) {
        (serde_json::from_value(value.clone()).ok().map(Box::new), Form::of(value).unknown())
    }
    if let Some(value) = actions.info.get(DESCRIPTOR_KEY) {
        let (descriptor, unknown) = read(value);
        return Some(Note::Batch { descriptor, unknown });
    }
    let value = actions.info.get(EVIDENCE_KEY)?;
    let (evidence, unknown) = read(value);
    let pipeline = value["pipeline"].as_str().unwrap_or_default().to_owned();
    let number = value["number"].as_i64().unwrap_or_default();
    Some(Note::Rejection { pipeline, number, evidence, unknown })
}

/// What a commit wrote: by its own adds and removes, and by what became of the table. The log does not say
/// how many rows a removed file held, so that is looked up in the version before.
async fn written(in_hand: &mut InHand<'_>, version: u64, actions: &Actions) -> Result<Written> {
    // delta-rs names its metrics in its own way, Spark in another.
    let either = |ours: &str, spark: &str| actions.metric(ours).or_else(|| actions.metric(spark));
    let mut written = Written {
        added: actions.adds.iter().map(|add| add.rows).sum(),
        removed: None,
        moved: None,
        inserted: either("num_target_rows_inserted", "numTargetRowsInserted"),
        updated: either("num_target_rows_updated", "numTargetRowsUpdated"),
    };
    if actions.adds.is_empty() && actions.removes.is_empty() {
        return Ok(Written { removed: Some(0), moved: Some(0), ..written });
    }
    // The later one first: then the earlier one is in hand for the commit before.
    let after = in_hand.at(version).await?;
    let Some(before) = version.checked_sub(1) else { return Ok(written) };
    let Some(before) = in_hand.at(before).await? else { return Ok(written) };
    let (mut files, mut now) = (before.files()?, after.as_ref().map(Table::files).transpose()?);
    if let (Some(after), Some(now)) = (&after, &mut now) {
        after.count_rows(now, &files).await?;
        before.count_rows(&mut files, now).await?;
    }
    // A Remove that names no file of the table takes nothing away.
    let removed = actions.removes.iter().filter_map(|remove| files.get(&remove.file));
    written.removed = removed.map(|size| size.rows).sum();
    written.moved = now.and_then(|now| rows_moved(&files, &now));
    Ok(written)
}

/// By how many rows two versions of a table differ. Files that both hold need not say how many they have.
fn rows_moved(before: &HashMap<FileId, FileSize>, after: &HashMap<FileId, FileSize>) -> Option<i64> {
    let only = |here: &HashMap<FileId, FileSize>, there: &HashMap<FileId, FileSize>| -> Option<i64> {
        here.iter().filter(|(file, size)| there.get(*file) != Some(*size)).map(|(_, size)| size.rows).sum()
    };
    Some(only(after, before)? - only(before, after)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(sizes: &[(&str, i64, Option<i64>)]) -> HashMap<FileId, FileSize> {
        sizes
            .iter()
            .map(|(file, bytes, rows)| {
                (FileId::new(*file), FileSize { bytes: *bytes, rows: *rows, deleted: 0 })
            })
            .collect()
    }

    #[test]
    fn files_that_both_versions_hold_need_no_row_count() {
        let before = files(&[("a", 1, None), ("b", 2, Some(10))]);
        let after = files(&[("a", 1, None), ("c", 3, Some(12))]);
        assert_eq!(rows_moved(&before, &after), Some(2));
        assert_eq!(rows_moved(&before, &files(&[("b", 2, Some(10))])), None);
    }

    #[test]
    fn file_with_fewer_rows_by_a_deletion_vector_moves_the_count() {
        assert_eq!(rows_moved(&files(&[("a", 1, Some(10))]), &files(&[("a", 1, Some(7))])), Some(-3));
    }

    #[test]
    fn file_that_stays_beside_its_rewritten_copy_moves_the_count() {
        let before = files(&[("c=Zürich/a", 1, Some(2))]);
        let after = files(&[("c=Zürich/a", 1, Some(2)), ("c=Z%C3%BCrich/b", 1, Some(3))]);
        assert_eq!(rows_moved(&before, &after), Some(3));
    }
}
