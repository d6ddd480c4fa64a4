//! Replaces rows by others in one commit: by deletion vectors, or by writing their files anew without them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deltalake::arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch};
use deltalake::arrow::compute::{cast, filter_record_batch};
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::arrow::error::ArrowError;
use deltalake::datafusion::execution::session_state::SessionState;
use deltalake::kernel::{Action, Add};
use deltalake::protocol::{DeltaOperation, MergePredicate};
use roaring::RoaringTreemap;
use serde_json::json;
use tokio::task::JoinSet;

use super::arranged::{ArrangeBy, Arranged};
use super::file_id::FileId;
use super::places::{AT_ONCE, Placed, PlacedStream};
use super::table::Table;
use super::write::{Files, PartitionWriter, Size, mostly_distinct};
use crate::engine;
use crate::error::{Error, Result};
use crate::protocol::{Outcome, Stamp};

/// Rows to be written, slice by slice.
pub type NewRows = Box<dyn Iterator<Item = Result<Vec<RecordBatch>>> + Send>;

/// Makes rows of the columns that a table has.
pub type AsWritten = Arc<dyn Fn(RecordBatch) -> std::result::Result<RecordBatch, ArrowError> + Send + Sync>;

/// Rows to be written, and rows that they take the place of.
pub struct Replacement {
    /// New rows, with the columns that they are partitioned and sorted by; in any order. Each item has its rows in memory
    /// while they are written.
    pub rows: NewRows,
    /// What makes rows of the table's columns of them, piece by piece.
    pub as_written: AsWritten,
    /// The columns by which rows are sorted.
    pub sort_by: Vec<String>,
    /// What the replaced rows are told by, for the log.
    pub predicate: String,
    /// The numbers of the rows that are replaced, by the URL of their file.
    pub replaced: BTreeMap<String, RoaringTreemap>,
    /// Whether replaced rows are marked in deletion vectors; else their files are written anew.
    pub by_vectors: bool,
}

impl Replacement {
    /// Leaves one row out, to prove that reconciling notices.
    pub(crate) fn lose_a_row(&mut self) {
        let mut lost = false;
        let rows = std::mem::replace(&mut self.rows, Box::new(std::iter::empty()));
        self.rows = Box::new(rows.map(move |slice| {
            let mut slice = slice?;
            if let (false, Some(batch)) = (lost, slice.last_mut()) {
                *batch = batch.slice(1, batch.num_rows() - 1);
                lost = true;
            }
            Ok(slice)
        }));
    }
}

/// What becomes of the files.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) removed: BTreeSet<FileId>,
    pub(super) added: Vec<Add>,
}

impl Table {
    /// Replaces rows, in one commit onto this version.
    ///
    /// # Errors
    /// Fails when rows cannot be read or written.
    pub async fn replace(
        &self,
        replacement: Replacement,
        state: &SessionState,
        stamp: Stamp,
    ) -> Result<Outcome> {
        let by_url: BTreeMap<String, FileId> =
            self.files()?.into_keys().map(|file| (self.url_of(&file), file)).collect();
        let Replacement { rows, as_written, sort_by, predicate, replaced, by_vectors } = replacement;
        let mut dead = BTreeMap::new();
        for (url, numbers) in replaced {
            let file =
                by_url.get(&url).ok_or_else(|| Error::bug(format!("{url} is no file of the table")))?;
            dead.insert(file.clone(), numbers);
        }
        let old = dead.values().map(RoaringTreemap::len).sum();
        let threads = state.config().target_partitions();
        let mut changes = Changes::default();
        let mut marking = JoinSet::new();
        if by_vectors {
            let (table, dead) = (self.clone(), dead.clone());
            marking.spawn(async move { table.mark(&dead, threads).await });
        }
        let mut must_rewrite = !by_vectors && !dead.is_empty();
        let by = ArrangeBy { partition: &self.partition_columns()?, key: &sort_by, threads };
        let (mut new, mut writing) = (0, None);
        for rows in rows {
            let rows = rows?;
            if rows.is_empty() {
                continue;
            }
            new += rows.iter().map(RecordBatch::num_rows).sum::<usize>();
            let plain = if writing.is_none() { mostly_distinct(&rows) } else { Ok(Vec::new()) };
            let arranged = Arranged::new(rows, by, Arc::clone(&as_written));
            let arranged =
                Arc::new(arranged.map_err(|error| Error::bug("rows cannot be arranged").because(error))?);
            let writing = if let Some(writing) = &writing {
                writing
            } else {
                let instead_of = dead.keys().take(usize::from(!by_vectors));
                let plain = plain.map_err(engine::failed)?;
                writing.insert(self.files_to_write(&plain, instead_of, arranged.size()).await?)
            };
            if std::mem::take(&mut must_rewrite) {
                // New rows of the first slice lie in the files of their partition that are written anew.
                changes = self.write_anew(&dead, state, writing, &arranged).await?;
            }
            let waits = !self.is_local() || arranged.size() != Size::Any;
            let among = threads * if waits { AT_ONCE } else { 1 };
            changes.added.extend(writing.write_rest(&arranged, among).await?);
        }
        if must_rewrite {
            return Err(Error::bug("rows are to be replaced, and there are none to replace them"));
        }
        while let Some(marked) = marking.join_next().await {
            let marked = marked.map_err(|error| Error::bug("the vectors were lost").because(error))??;
            changes.removed.extend(marked.removed);
            changes.added.extend(marked.added);
        }
        self.commit_changes(changes, &predicate, (new as u64, old), stamp).await
    }

    /// Writes files anew without some of their rows, with the new rows of their partition.
    async fn write_anew(
        &self,
        dead: &BTreeMap<FileId, RoaringTreemap>,
        state: &SessionState,
        writing: &Files,
        arranged: &Arc<Arranged>,
    ) -> Result<Changes> {
        let touched: BTreeSet<FileId> = dead.keys().cloned().collect();
        let schema = self.arrow_schema()?;
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let scan = self.scan_places(state, &columns, Some(&touched)).await?;
        let dead: Arc<Vec<RoaringTreemap>> =
            Arc::new(scan.files.iter().map(|file| dead[file].clone()).collect());
        let mut parts = JoinSet::new();
        for stream in scan.streams {
            let survivors = Survivors {
                schema: Arc::clone(&schema),
                dead: Arc::clone(&dead),
                writing: writing.clone(),
                arranged: Arc::clone(arranged),
            };
            parts.spawn(survivors.write(stream));
        }
        let mut added = Vec::new();
        while let Some(part) = parts.join_next().await {
            added.extend(part.map_err(|error| Error::bug("a part of the rewrite was lost").because(error))??);
        }
        Ok(Changes { removed: touched, added })
    }

    async fn commit_changes(
        &self,
        changes: Changes,
        predicate: &str,
        (new, old): (u64, u64),
        stamp: Stamp,
    ) -> Result<Outcome> {
        let mut actions = self.removals(|file| changes.removed.contains(file), true)?;
        let metrics = json!({
            "num_source_rows": new,
            "num_target_rows_inserted": new.saturating_sub(old),
            "num_target_rows_updated": old,
            "num_target_rows_deleted": 0,
            "num_output_rows": new,
            "num_target_files_added": changes.added.len(),
            "num_target_files_removed": actions.len(),
        });
        actions.extend(changes.added.into_iter().map(Action::Add));
        let did = |action: &str| MergePredicate { action_type: action.to_owned(), predicate: None };
        let operation = DeltaOperation::Merge {
            predicate: None,
            merge_predicate: Some(predicate.to_owned()),
            matched_predicates: vec![did("update")],
            not_matched_predicates: vec![did("insert")],
            not_matched_by_source_predicates: Vec::new(),
        };
        let metrics = [("operationMetrics".to_owned(), metrics)];
        // Files that get a vector are added again.
        self.commit_actions(actions, Some(self), operation, stamp, metrics).await
    }
}

/// Writes rows that stay, and the new ones of their partition.
struct Survivors {
    schema: SchemaRef,
    /// The numbers of the rows that go, by file.
    dead: Arc<Vec<RoaringTreemap>>,
    writing: Files,
    arranged: Arc<Arranged>,
}

impl Survivors {
    async fn write(self, mut stream: PlacedStream) -> Result<Vec<Add>> {
        let mut open: BTreeMap<usize, PartitionWriter> = BTreeMap::new();
        let mut added = Vec::new();
        while let Some(placed) = stream.next().await? {
            let unfit =
                |error: ArrowError| Error::bug("rows cannot be written as they were read").because(error);
            let is_first = !open.contains_key(&placed.file);
            let writer = open.entry(placed.file).or_insert_with(|| self.writing.writer());
            let rows = self.staying(&placed).map_err(unfit)?;
            self.writing.write(writer, [Ok(rows)]).await?;
            if is_first {
                let first = in_schema(&placed.batch.slice(0, 1), &self.schema);
                let part = first.and_then(|first| self.arranged.take_beside(&first)).map_err(unfit)?;
                if let Some(part) = part {
                    self.writing.write(writer, self.arranged.rows(part)).await?;
                }
            }
            if placed.is_last
                && let Some(writer) = open.remove(&placed.file)
            {
                added.extend(self.writing.close(writer).await?);
            }
        }
        for writer in open.into_values() {
            added.extend(self.writing.close(writer).await?);
        }
        Ok(added)
    }

    fn staying(&self, placed: &Placed) -> std::result::Result<RecordBatch, ArrowError> {
        let Some(last) = placed.batch.num_rows().checked_sub(1) else {
            return in_schema(&placed.batch, &self.schema);
        };
        let mut dead = self.dead[placed.file].iter();
        dead.advance_to(placed.number(0));
        let mut stays = BooleanBufferBuilder::new(last + 1);
        stays.append_n(last + 1, true);
        for row in dead.take_while(|number| *number <= placed.number(last)).filter_map(|n| placed.row(n)) {
            stays.set_bit(row, false);
        }
        in_schema(&filter_record_batch(&placed.batch, &BooleanArray::from(stays.finish()))?, &self.schema)
    }
}

/// Rows as a table's own schema has them.
pub(super) fn in_schema(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> std::result::Result<RecordBatch, ArrowError> {
    let columns =
        batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<std::result::Result<_, _>>()?)
}
