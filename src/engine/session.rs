//! A DataFusion session with Delta's settings, Spark's dialect and a bounded memory pool.

use std::sync::Arc;

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::arrow::error::ArrowError;
use deltalake::datafusion::catalog::TableProvider;
use deltalake::datafusion::common::TableReference;
use deltalake::datafusion::config::Dialect;
use deltalake::datafusion::dataframe::DataFrame;
use deltalake::datafusion::datasource::MemTable;
use deltalake::datafusion::error::DataFusionError;
use deltalake::datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use deltalake::datafusion::prelude::SessionContext;
use deltalake::datafusion::scalar::ScalarValue;
use deltalake::delta_datafusion::create_session_state_with_spill_config;
use deltalake::parquet::errors::ParquetError;

use super::any_type::{self, OutOfRange};
use super::functions;
use super::sql::Params;
use crate::error::{Error, Result};

/// Materialised rows with their schema, which is known even where there are none.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

impl Rows {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A DataFusion session.
pub struct Engine {
    context: SessionContext,
}

impl Engine {
    /// A session that may hold `memory` bytes in its operators before it spills or gives up.
    #[must_use]
    pub fn new(memory: usize) -> Self {
        Self::with_threads(memory, None)
    }

    /// The same, with queries cut into so many parts that run side by side; `None` is one for each processor.
    #[must_use]
    pub fn with_threads(memory: usize, threads: Option<usize>) -> Self {
        let state = create_session_state_with_spill_config(Some(memory), None);
        let mut config = state.config().clone();
        config.options_mut().sql_parser.dialect = Dialect::Spark;
        // As Spark has it: 0.1 in a check is a tenth, not the nearest binary fraction.
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        if let Some(threads) = threads {
            config.options_mut().execution.target_partitions = threads;
        }
        let state = SessionStateBuilder::new_from_existing(state).with_config(config).build();
        let context = SessionContext::new_with_state(state);
        for function in functions::all().into_iter().chain(any_type::all()) {
            context.register_udf(function);
        }
        Self { context }
    }

    /// The session's state, for delta-rs operations.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.context.state()
    }

    /// Makes a table known under `name`, in place of another of that name.
    ///
    /// # Errors
    /// Fails when DataFusion refuses the table.
    pub fn register(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<()> {
        self.context.deregister_table(TableReference::bare(name)).map_err(failed)?;
        self.context.register_table(TableReference::bare(name), table).map_err(failed)?;
        Ok(())
    }

    /// Makes materialised rows known under `name`.
    ///
    /// # Errors
    /// Fails when the batches do not have the schema.
    pub fn register_rows(&self, name: &str, rows: &Rows) -> Result<()> {
        let table = MemTable::try_new(rows.schema.clone(), vec![rows.batches.clone()]).map_err(failed)?;
        self.register(name, Arc::new(table))
    }

    /// Makes a query known under `name`, to be run each time that it is read.
    ///
    /// # Errors
    /// Fails when the query cannot be planned.
    pub async fn register_view(&self, name: &str, sql: &str) -> Result<()> {
        let view = self.plan(sql, &Params::new()).await?.into_view();
        self.register(name, view)
    }

    /// Forgets a table, and with it the rows that it held.
    ///
    /// # Errors
    /// Fails when DataFusion does.
    pub fn forget(&self, name: &str) -> Result<()> {
        self.context.deregister_table(TableReference::bare(name)).map_err(failed)?;
        Ok(())
    }

    /// Plans a statement.
    ///
    /// # Errors
    /// Fails when the statement cannot be planned.
    pub async fn plan(&self, sql: &str, params: &Params) -> Result<DataFrame> {
        let frame = self.context.sql(sql).await.map_err(failed)?;
        if params.is_empty() {
            return Ok(frame);
        }
        let values: Vec<(&str, ScalarValue)> =
            params.iter().map(|(name, value)| (*name, value.scalar())).collect();
        frame.with_param_values(values).map_err(failed)
    }

    /// Runs a statement and keeps all of its rows.
    ///
    /// # Errors
    /// Fails when the statement cannot be planned or run; running out of memory or disk is named.
    pub async fn rows(&self, sql: &str, params: &Params) -> Result<Rows> {
        tracing::debug!(sql, "query");
        let frame = self.plan(sql, params).await?;
        self.collect(frame).await
    }

    /// Runs a frame and keeps all of its rows.
    ///
    /// # Errors
    /// Fails when it cannot be run; running out of memory or disk is named.
    pub async fn collect(&self, frame: DataFrame) -> Result<Rows> {
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.map_err(failed)?;
        // What a plan says of nullability and what its batches say can differ; the batches are right.
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        Ok(Rows { schema, batches })
    }

    /// A frame over materialised rows.
    ///
    /// # Errors
    /// Fails when DataFusion refuses the rows.
    pub fn frame(&self, rows: &Rows) -> Result<DataFrame> {
        let table = MemTable::try_new(rows.schema.clone(), vec![rows.batches.clone()]).map_err(failed)?;
        self.context.read_table(Arc::new(table)).map_err(failed)
    }
}

/// Says what a person can do about a failed query.
pub(crate) fn failed(error: DataFusionError) -> Error {
    if let DataFusionError::ResourcesExhausted(why) = error.find_root() {
        return Error::usage(format!("the batch does not fit the memory or disk that it may use: {why}"))
            .hint("raise `memory` in the pipeline file, or free disk space for spilling");
    }
    if let DataFusionError::External(why) = error.find_root()
        && let Some(why) = why.downcast_ref::<OutOfRange>()
    {
        return Error::usage(why.to_string())
            .hint("correct it in staging, or name the column in `target.exclude`");
    }
    match storage_error(&error).or_else(|| flattened_storage_error(&error.to_string())) {
        Some(StorageError::Missing) => Error::person("a data file that the table's log names is missing")
            .because(error)
            .hint("VACUUM or another hand took it; restore the table to a version whose files are there"),
        Some(StorageError::Denied) => Error::usage("a data file may not be read")
            .because(error)
            .hint("check the permissions, the credentials and the storage options"),
        Some(StorageError::Away) => Error::retry("storage failed while reading").because(error),
        None if is_damaged_file(&error) => Error::person("a data file cannot be read: it is damaged")
            .because(error)
            .hint("bring the file back from a copy, or restore the table to a version without it"),
        None => Error::bug("a query failed").because(error),
    }
}

/// How storage failed, where that is what lies under an error.
pub(crate) enum StorageError {
    /// The object is not there.
    Missing,
    /// It may not be read or written.
    Denied,
    /// Anything else: it may pass.
    Away,
}

/// Looks for an error of storage at any depth: readers wrap it in errors of their own.
pub(crate) fn storage_error(error: &(dyn std::error::Error + 'static)) -> Option<StorageError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<object_store::Error>() {
            return Some(match error {
                object_store::Error::NotFound { .. } => StorageError::Missing,
                object_store::Error::PermissionDenied { .. }
                | object_store::Error::Unauthenticated { .. } => StorageError::Denied,
                _ => StorageError::Away,
            });
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return Some(match error.kind() {
                std::io::ErrorKind::NotFound => StorageError::Missing,
                std::io::ErrorKind::PermissionDenied => StorageError::Denied,
                _ => StorageError::Away,
            });
        }
        next = inner(error);
    }
    None
}

/// A file that is there, and is no Parquet file.
fn is_damaged_file(error: &DataFusionError) -> bool {
    let text = error.to_string();
    text.contains("Parquet error") || text.contains("Invalid Parquet")
}

/// The Parquet reader keeps only the text of what went wrong with a file's footer.
fn flattened_storage_error(text: &str) -> Option<StorageError> {
    if !text.contains("Object Store error") {
        return None;
    }
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    // Asking for a footer beyond the end of a file: it was cut off.
    if says(&["Requested range was invalid", "out of range"]) {
        return None;
    }
    Some(if says(&["not found", "No such file"]) {
        StorageError::Missing
    } else if says(&["ermission denied", "Unauthenticated", "PermissionDenied"]) {
        StorageError::Denied
    } else {
        StorageError::Away
    })
}

/// The error inside, also where a wrapper does not give it as its source.
fn inner<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        match error {
            DataFusionError::External(inner) => return Some(inner.as_ref()),
            DataFusionError::ObjectStore(inner) => return Some(inner.as_ref()),
            DataFusionError::ParquetError(inner) => return Some(inner.as_ref()),
            DataFusionError::ArrowError(inner, _) => return Some(inner.as_ref()),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                return Some(inner.as_ref());
            }
            DataFusionError::Shared(inner) => return Some(inner.as_ref()),
            _ => {}
        }
    }
    if let Some(ParquetError::External(inner)) = error.downcast_ref::<ParquetError>() {
        return Some(inner.as_ref());
    }
    if let Some(ArrowError::ExternalError(inner)) = error.downcast_ref::<ArrowError>() {
        return Some(inner.as_ref());
    }
    error.source()
}
