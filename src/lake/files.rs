//! Data files that are written before a commit names them, and commits that name and drop files.

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::error::ArrowError;
use deltalake::kernel::Action;
use deltalake::kernel::StructField;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::writer::{DeltaWriter as _, RecordBatchWriter};
use object_store::ObjectStoreExt as _;
use serde_json::Value;

use super::changed_files::exists;
use super::file_id::FileId;
use super::table::{Table, failed};
use crate::contract::ddl::ColumnDef;
use crate::contract::schema_json::schema_json;
use crate::error::{Error, Result};
use crate::failure::{self, Phase};
use crate::protocol::{Outcome, Stamp};

impl Table {
    /// Writes rows to data files that no log names yet, and gives the actions that would name them.
    ///
    /// # Errors
    /// Fails when the rows do not fit the table, or storage is away.
    pub async fn write_files(&self, rows: Vec<RecordBatch>) -> Result<Vec<Value>> {
        let what = || format!("cannot write data files of `{}`", self.name);
        let failed = |error| failure::of(Phase::Data, &what(), error);
        let mut writer = RecordBatchWriter::for_table(&self.inner).map_err(failed)?;
        for batch in rows {
            writer.write(batch).await.map_err(failed)?;
        }
        let adds = writer.flush().await.map_err(failed)?;
        adds.into_iter()
            .map(|add| serde_json::to_value(Action::Add(add)))
            .collect::<Result<_, _>>()
            .map_err(|error| Error::bug("an action is no JSON").because(error))
    }

    /// Reads back the rows of such files.
    ///
    /// # Errors
    /// Fails when a file is gone.
    pub async fn read_files(&self, adds: &[Value]) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for file in named(adds) {
            let what = || format!("cannot read {file} of `{}`", self.name);
            let path = file.path(self.url())?;
            let bytes = async { self.inner.object_store().get(&path).await?.bytes().await }.await;
            let bytes = bytes.map_err(|error| failure::of(Phase::Data, &what(), error))?;
            let damaged = |error| failure::of(Phase::Data, &what(), error);
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
                .and_then(ParquetRecordBatchReaderBuilder::build)
                .map_err(|error| damaged(ArrowError::from(error)))?;
            for batch in reader {
                batches.push(batch.map_err(damaged)?);
            }
        }
        Ok(batches)
    }

    /// Makes sure that files which no log names are still there: a commit that names a missing file makes a
    /// table that nobody can read.
    ///
    /// # Errors
    /// Fails with what to do when a file is gone.
    pub async fn must_have_files(&self, adds: &[Value]) -> Result<()> {
        match self.missing_file(adds).await? {
            None => Ok(()),
            Some(file) => Err(Error::person(format!(
                "{file} of `{}` is gone, and holds rows of an unfinished batch",
                self.name
            ))
            .hint("VACUUM took it; bring it back from a copy, or, if its rows may go, put an empty one in its place")),
        }
    }

    /// Whether files that no log names are still there.
    ///
    /// # Errors
    /// Fails when storage is away.
    pub async fn has_data_files(&self, adds: &[Value]) -> Result<bool> {
        Ok(self.missing_file(adds).await?.is_none())
    }

    async fn missing_file(&self, adds: &[Value]) -> Result<Option<FileId>> {
        for file in named(adds) {
            if !exists(self, &file).await? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Names files that were written before, and drops others, in one commit onto this version.
    ///
    /// # Errors
    /// Fails when the table cannot be written.
    pub async fn commit_files(&self, adds: &[Value], dropped: &[FileId], stamp: Stamp) -> Result<Outcome> {
        let mut actions = parse(adds)?;
        if !dropped.is_empty() {
            actions.extend(self.removals(|file| dropped.contains(file), true)?);
        }
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        self.commit_actions(actions, None, operation, stamp, []).await
    }

    /// Adds columns, which are NULL in the rows that are there.
    ///
    /// # Errors
    /// Fails when the table cannot be changed.
    pub async fn add_columns(&self, columns: &[ColumnDef]) -> Result<()> {
        let json = schema_json(columns);
        let fields: Vec<StructField> = serde_json::from_value(json["fields"].clone())
            .map_err(|error| Error::bug("columns make no schema").because(error))?;
        let added = self.inner.clone().add_columns().with_fields(fields).await;
        added.map(drop).map_err(|error| failed(&format!("cannot add columns to `{}`", self.name), error))
    }

    /// Whether the table has no data file at all.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.active()?.is_empty())
    }
}

/// The files that the actions name.
fn named(adds: &[Value]) -> impl Iterator<Item = FileId> {
    adds.iter().filter_map(|action| action["add"]["path"].as_str()).map(FileId::new)
}

fn parse(actions: &[Value]) -> Result<Vec<Action>> {
    actions
        .iter()
        .map(|action| serde_json::from_value(action.clone()))
        .collect::<Result<_, _>>()
        .map_err(|error| Error::bug("a descriptor holds no actions").because(error))
}
