//! A Delta table at one version.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deltalake::arrow::array::AsArray as _;
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::datafusion::catalog::TableProvider;
use deltalake::datafusion::execution::session_state::SessionState;
use deltalake::delta_datafusion::{FileSelection, TableProviderBuilder};
use deltalake::kernel::LogicalFileView;
use deltalake::{DeltaTable, DeltaTableError};
use url::Url;

use super::file_id::FileId;
use super::kept::Kept;
use super::layer::Layered;
use super::pieces::InPieces;
use crate::contract::ddl::{ColumnDef, TableDef};
use crate::contract::differences::ActualTable;
use crate::contract::schema_json::columns_from_schema_json;
use crate::engine;
use crate::error::{Error, Result};
use crate::failure::{self, Cause, Phase};
use crate::model::types::Field;

/// A Delta table at one version.
#[derive(Clone)]
pub struct Table {
    pub(super) name: String,
    pub(super) inner: DeltaTable,
    /// The store that `inner` goes through.
    pub(super) kept: Arc<Layered<Kept>>,
    /// Whether no message may tell rows.
    pub(super) is_discreet: bool,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.name)
            .field("version", &self.inner.version())
            .finish_non_exhaustive()
    }
}

impl Table {
    /// The table's name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table, of whose rows no message tells any.
    #[must_use]
    pub fn discreet(self) -> Self {
        Self { is_discreet: true, ..self }
    }

    /// Where the table lies.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.inner.table_url()
    }

    /// The version that is loaded.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.inner.version().unwrap_or_default()
    }

    /// The table's Delta id.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn id(&self) -> Result<String> {
        Ok(self.snapshot()?.metadata().id().to_owned())
    }

    /// Whether the table's properties forbid replacing rows.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn is_append_only(&self) -> Result<bool> {
        self.is_true("delta.appendOnly")
    }

    /// The CHECK constraints: name and condition.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn constraints(&self) -> Result<Vec<(String, String)>> {
        let properties = self.snapshot()?.metadata().configuration();
        let mut found: Vec<(String, String)> = properties
            .iter()
            .filter_map(|(key, value)| {
                Some((key.strip_prefix("delta.constraints.")?.to_owned(), value.clone()))
            })
            .collect();
        found.sort();
        Ok(found)
    }

    /// The partition columns, in order.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn partition_columns(&self) -> Result<Vec<String>> {
        Ok(self.snapshot()?.metadata().partition_columns().to_vec())
    }

    /// The columns.
    ///
    /// # Errors
    /// Fails when a column has a type that highwater does not know.
    pub fn columns(&self) -> Result<Vec<ColumnDef>> {
        let schema = self.schema_json()?;
        columns_from_schema_json(&schema).map_err(|error| {
            Error::usage(format!("table `{}` has a column that cannot be loaded", self.name)).because(error)
        })
    }

    /// The columns without their comments.
    ///
    /// # Errors
    /// As [`columns`](Self::columns) does.
    pub fn fields(&self) -> Result<Vec<Field>> {
        Ok(self.columns()?.into_iter().map(|column| column.field).collect())
    }

    /// The contract that the table keeps as it is. Delta stores no key.
    ///
    /// # Errors
    /// As [`columns`](Self::columns) does.
    pub fn as_it_is(&self) -> Result<TableDef> {
        let ActualTable { columns, partitioned_by, properties } = self.actual()?;
        Ok(TableDef {
            name: self.name.clone(),
            comment: None,
            columns,
            primary_key: Vec::new(),
            partitioned_by,
            properties,
            location: None,
        })
    }

    /// The schema as the log has it.
    pub(super) fn schema_json(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self.snapshot()?.schema().as_ref())
            .map_err(|error| Error::bug("a table's schema is no JSON").because(error))
    }

    /// Whether a property of the table is true.
    pub(super) fn is_true(&self, property: &str) -> Result<bool> {
        let properties = self.snapshot()?.metadata().configuration();
        Ok(properties.get(property).is_some_and(|value| value.eq_ignore_ascii_case("true")))
    }

    /// The columns as Arrow has them.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn arrow_schema(&self) -> Result<SchemaRef> {
        Ok(self.snapshot()?.snapshot().arrow_schema())
    }

    /// The table as its DDL is compared with it.
    ///
    /// # Errors
    /// Fails when a column has a type that highwater does not know.
    pub fn actual(&self) -> Result<ActualTable> {
        let properties = self.snapshot()?.metadata().configuration().clone();
        Ok(ActualTable {
            columns: self.columns()?,
            partitioned_by: self.partition_columns()?,
            properties: properties.into_iter().collect(),
        })
    }

    /// The number in the table's `txn` entry of this appId.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn txn(&self, app: &str) -> Result<Option<i64>> {
        let log_store = self.inner.log_store();
        self.snapshot()?
            .transaction_version(log_store.as_ref(), app)
            .await
            .map_err(|error| failed(&format!("cannot read the log of `{}`", self.name), error))
    }

    /// The same table at another version.
    ///
    /// # Errors
    /// `Ok(None)` where that version can no longer be loaded.
    pub async fn at(&self, version: u64) -> Result<Option<Self>> {
        if version == self.version() {
            return Ok(Some(self.clone()));
        }
        let mut inner = self.inner.clone();
        match inner.load_version(version).await {
            Ok(()) => {
                let older = Self { inner, ..self.clone() };
                Ok(older.has_beginning().await?.then_some(older))
            }
            Err(error) if !is_gone(&error) => {
                Err(failed(&format!("cannot read `{}` at version {version}", self.name), error))
            }
            Err(error) => {
                tracing::debug!(table = self.name, version, %error, "version cannot be loaded");
                Ok(None)
            }
        }
    }

    /// The same table as it was at a time, or at its oldest version where it is younger; `None` where that can no longer be
    /// loaded.
    ///
    /// # Errors
    /// Fails when storage is away.
    pub async fn at_time(&self, time: DateTime<Utc>) -> Result<Option<Self>> {
        let mut inner = self.inner.clone();
        match inner.load_with_datetime(time).await {
            Ok(()) => Ok(Some(Self { inner, ..self.clone() })),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(failed(&format!("cannot read `{}` as of {time}", self.name), error)),
        }
    }

    /// Loads the newest version.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn refresh(&mut self) -> Result<()> {
        let name = self.name.clone();
        self.inner
            .update_state()
            .await
            .map_err(|error| failed(&format!("cannot read the log of `{name}`"), error))
    }

    /// The table's rows at this version.
    ///
    /// # Errors
    /// Fails when the scan cannot be set up.
    pub async fn rows(&self, state: &SessionState) -> Result<Arc<dyn TableProvider>> {
        self.provider(state, None, None).await
    }

    /// The table's rows, with the URL of each row's file in the column `file_column`.
    ///
    /// # Errors
    /// Fails when the scan cannot be set up.
    pub async fn rows_with_file(
        &self,
        state: &SessionState,
        file_column: &str,
    ) -> Result<Arc<dyn TableProvider>> {
        self.provider(state, None, Some(file_column)).await
    }

    /// The rows of some files that are active at this version.
    ///
    /// # Errors
    /// Fails when the scan cannot be set up.
    pub(super) async fn rows_of_files(
        &self,
        state: &SessionState,
        files: &[FileId],
    ) -> Result<Arc<dyn TableProvider>> {
        self.rows_in(state, files.iter().map(|file| self.url_of(file))).await
    }

    /// The rows of the files that a scan with [`rows_with_file`](Self::rows_with_file) calls so.
    ///
    /// # Errors
    /// Fails when the scan cannot be set up.
    pub async fn rows_in(
        &self,
        state: &SessionState,
        urls: impl IntoIterator<Item = String>,
    ) -> Result<Arc<dyn TableProvider>> {
        self.provider(state, Some(urls.into_iter().collect()), None).await
    }

    async fn provider(
        &self,
        state: &SessionState,
        files: Option<Vec<String>>,
        file_column: Option<&str>,
    ) -> Result<Arc<dyn TableProvider>> {
        let sizes = self.files()?;
        let in_pieces = self.is_local() && sizes.values().all(|size| size.deleted == 0);
        let mut scans: Vec<Arc<dyn TableProvider>> = Vec::new();
        for selected in self.scans_of(&sizes, files) {
            let mut builder = self.scan_builder(state, selected)?;
            if let Some(column) = file_column {
                builder = builder.with_file_column(column);
            }
            let scan: Arc<dyn TableProvider> = builder.await.map_err(engine::failed)?;
            scans.push(if in_pieces { Arc::new(InPieces(scan)) } else { scan });
        }
        engine::union(scans)
    }

    /// A scan of some files, or of all.
    pub(super) fn scan_builder(
        &self,
        state: &SessionState,
        files: Option<FileSelection>,
    ) -> Result<TableProviderBuilder> {
        // An older version may be mapped otherwise than the one that was opened.
        self.check_column_mapping()?;
        self.inner
            .update_datafusion_session(state)
            .map_err(|error| failed(&format!("cannot read `{}`", self.name), error))?;
        let builder = self.inner.table_provider().with_session(Arc::new(state.clone()));
        Ok(match files {
            Some(files) => builder.with_file_selection(files),
            None => builder,
        })
    }

    /// The active files, with what delta-rs knows of each.
    pub(super) fn active(&self) -> Result<Vec<(FileId, LogicalFileView)>> {
        let what = || format!("cannot list the files of `{}`", self.name);
        let snapshot = self.snapshot()?.snapshot();
        // The views decode the files' strings; the batches, which are in the same order, have them as they are.
        let batches = snapshot.add_actions_batches(false).map_err(|error| failed(&what(), error))?;
        let views = snapshot.try_log_data().map_err(|error| failed(&what(), error))?;
        let mut ids = Vec::with_capacity(views.num_files());
        for batch in &batches {
            let paths = batch.column_by_name("path").and_then(|paths| paths.as_string_opt::<i32>());
            let paths = paths.ok_or_else(|| Error::bug("files have no paths").because(what()))?;
            ids.extend(paths.iter().flatten().map(FileId::new));
        }
        if ids.len() != views.num_files() {
            return Err(Error::bug("files and their paths are not as many").because(what()));
        }
        Ok(ids.into_iter().zip(views.iter()).collect())
    }

    /// Size in bytes and number of rows of each active file.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn files(&self) -> Result<HashMap<FileId, FileSize>> {
        Ok(self.active()?.into_iter().map(|(file, view)| (file, FileSize::of(&view))).collect())
    }

    /// Whether the table lies on this machine's file system.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.url().scheme() == "file"
    }

    /// Makes sure that each file is named by a plain path in the table's own folder.
    ///
    /// # Errors
    /// Names a file that is not: it may belong to another table, and a RESTORE, which reads the log's string as a
    /// path, would not find it again.
    pub fn check_files(&self) -> Result<()> {
        match self.active()?.into_iter().find(|(file, _)| !file.is_plain()) {
            None => Ok(()),
            Some((file, _)) => Err(Error::usage(format!(
                "the log of `{}` names a file as {file}, which is no plain path in the table's own folder",
                self.name
            ))
            .hint(
                "a shallow clone, say, holds files of another table: rewrite it, so that it holds its own",
            )),
        }
    }

    /// How a scan with [`rows_with_file`](Self::rows_with_file) calls a file.
    #[must_use]
    pub fn url_of(&self, file: &FileId) -> String {
        file.url(self.url())
    }

    pub(super) fn snapshot(&self) -> Result<&deltalake::table::state::DeltaTableState> {
        self.inner.snapshot().map_err(|error| failed(&format!("table `{}` is not loaded", self.name), error))
    }
}

/// How big a data file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSize {
    /// Bytes.
    pub bytes: i64,
    /// Rows, less those that a deletion vector takes; `None` where the log does not say.
    pub rows: Option<i64>,
    /// Rows that a deletion vector takes.
    pub deleted: i64,
}

impl FileSize {
    pub(super) fn of(view: &LogicalFileView) -> Self {
        // What the log counts are the rows of the file, those that a vector deletes included.
        let deleted = view.deletion_vector_descriptor().map_or(0, |vector| vector.cardinality);
        let rows = view.num_records().and_then(|rows| i64::try_from(rows).ok());
        Self { bytes: view.size(), rows: rows.map(|rows| rows - deleted), deleted }
    }
}

/// Says what a person can do about a table or a log that cannot be read.
pub(super) fn failed(what: &str, error: DeltaTableError) -> Error {
    failure::of(Phase::Log, what, error)
}

/// Whether a version is no longer there, as opposed to one that may be, and could not be read.
fn is_gone(error: &DeltaTableError) -> bool {
    use Cause::{DamagedFile, DamagedLog, Missing, StalePointer, Unsupported};
    matches!(failure::cause(error), Missing | DamagedLog | DamagedFile | StalePointer | Unsupported)
}
