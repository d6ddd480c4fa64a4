//! A DataFusion session with Delta's settings, Spark's dialect and a bounded memory pool.

use std::sync::Arc;

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::datafusion::catalog::TableProvider;
use deltalake::datafusion::common::TableReference;
use deltalake::datafusion::config::Dialect;
use deltalake::datafusion::dataframe::DataFrame;
use deltalake::datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use deltalake::datafusion::error::DataFusionError;
use deltalake::datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use deltalake::datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use deltalake::datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, Union};
use deltalake::datafusion::physical_plan::spill::get_record_batch_memory_size;
use deltalake::datafusion::prelude::SessionContext;
use deltalake::datafusion::scalar::ScalarValue;
use deltalake::delta_datafusion::create_session_state_with_spill_config;
use futures::TryStreamExt as _;

use super::any_type::{self, OutOfRange};
use super::apart::Apart;
use super::cut::Cut;
use super::functions;
use super::json;
use super::known::{Known, Names};
use super::slices::Slices;
use super::sql::{Params, scalar};
use crate::config::LEAST_MEMORY;
use crate::error::{Error, Result};
use crate::failure;

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
    pub(super) context: SessionContext,
    /// Where a person's statements run.
    pub(super) apart: Apart,
    /// Bytes that the process may take.
    pub(super) memory: usize,
    /// Bytes that a slice of a batch may take; for tests, where it is not what fits.
    slice_limit: Option<usize>,
    /// Who has which name.
    pub(super) names: Names,
}

/// Bytes that the process takes beside rows: the program, the tables' logs, and files that are being read.
const BASE: usize = 144 << 20;

/// Percent of the room for rows that a batch may take to stay in one piece, as measured: its rows are there as they were
/// read, with their classes, and as they are written.
const IN_ONE_PIECE: usize = 40;

/// Percent of the room for rows that may be reserved: what reads and writes files does not reserve what it holds.
const COUNTED: usize = 75;

/// Percent of the room for rows that a slice may take: slices need more, as they are read from disk and written to it.
const A_SLICE: usize = 25;

impl Engine {
    /// A session for a process that may take `memory` bytes, at least [`LEAST_MEMORY`]; what does not fit is spilled, or
    /// given up.
    #[must_use]
    pub fn new(memory: usize) -> Self {
        Self::with_threads(memory, None)
    }

    /// The same, with queries cut into so many parts that run side by side; `None` is one for each processor.
    #[must_use]
    pub fn with_threads(memory: usize, threads: Option<usize>) -> Self {
        let memory = memory.max(usize::try_from(LEAST_MEMORY).unwrap_or(usize::MAX));
        let counted = (memory - BASE) / 100 * COUNTED;
        let state = create_session_state_with_spill_config(Some(counted), None);
        // A file for each batch that a repartition spills. One of several batches is kept open, and where two tasks have
        // one each, the reader may wait for the wrong one, forever (apache/datafusion#24883; a MERGE that spills).
        let mut config =
            state.config().clone().set_usize("datafusion.execution.max_spill_file_size_bytes", 1);
        config.options_mut().sql_parser.dialect = Dialect::Spark;
        // As Spark has it: 0.1 in a check is a tenth, not the nearest binary fraction.
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        // Spark's times, in whose nanoseconds only the years 1677 to 2262 fit: others would be read as some time in these.
        config.options_mut().execution.parquet.coerce_int96 = Some("us".to_owned());
        if let Some(threads) = threads {
            config.options_mut().execution.target_partitions = threads;
        }
        let state = SessionStateBuilder::new_from_existing(state).with_config(config).build();
        let context = SessionContext::new_with_state(state);
        for function in functions::all().into_iter().chain(any_type::all()).chain([json::get_json_object()]) {
            context.register_udf(function);
        }
        Self::on(context, memory)
    }

    /// One that shares the tables of another.
    pub(super) fn on(context: SessionContext, memory: usize) -> Self {
        Self { context, apart: Apart::default(), memory, slice_limit: None, names: Names::default() }
    }

    /// The same, that cuts batches into slices of at most so many bytes, however much memory there is.
    #[must_use]
    pub fn with_slices_of(self, bytes: usize) -> Self {
        Self { slice_limit: Some(bytes), ..self }
    }

    /// Bytes that rows may take.
    #[must_use]
    pub fn room(&self) -> usize {
        self.memory - BASE
    }

    /// Bytes of rows up to which a batch stays in one piece.
    pub(super) fn most_in_one_piece(&self) -> usize {
        self.slice_limit.unwrap_or(self.part_of_room(IN_ONE_PIECE))
    }

    /// Bytes of rows that a slice is to take at most.
    pub(super) fn slice_limit(&self) -> usize {
        self.slice_limit.unwrap_or(self.part_of_room(A_SLICE))
    }

    /// Bytes of rows that a slice can take.
    pub(super) fn most_in_a_slice(&self) -> usize {
        self.part_of_room(IN_ONE_PIECE)
    }

    fn part_of_room(&self, percent: usize) -> usize {
        self.room() / 100 * percent
    }

    /// The memory of a process in which a slice of so many bytes fits.
    pub(super) fn memory_for(slice: usize) -> usize {
        BASE + slice.div_ceil(IN_ONE_PIECE) * 100
    }

    /// Parts into which queries are cut that run side by side.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.context.copied_config().target_partitions()
    }

    /// The same state, with queries cut into at most so many parts that run side by side.
    #[must_use]
    pub fn state_with_threads(&self, threads: usize) -> SessionState {
        let mut state = self.state();
        let threads = threads.clamp(1, self.threads());
        state.config_mut().options_mut().execution.target_partitions = threads;
        state
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
    pub fn register(&self, name: &str, table: Arc<dyn TableProvider>) -> Result<Known<'_>> {
        let known = Known::new(self, name);
        self.context.deregister_table(TableReference::bare(name)).map_err(failed)?;
        self.context.register_table(TableReference::bare(name), table).map_err(failed)?;
        Ok(known)
    }

    /// Makes materialised rows known under `name`.
    ///
    /// # Errors
    /// Fails when the batches do not have the schema.
    pub fn register_rows(&self, name: &str, rows: &Rows) -> Result<Known<'_>> {
        let table = MemTable::try_new(rows.schema.clone(), vec![rows.batches.clone()]).map_err(failed)?;
        self.register(name, Arc::new(table))
    }

    /// Makes a query known under `name`, to be run each time that it is read.
    ///
    /// # Errors
    /// Fails when the query cannot be planned.
    pub async fn register_view(&self, name: &str, sql: &str) -> Result<Known<'_>> {
        let view = self.plan(sql, &Params::new()).await?.into_view();
        self.register(name, view)
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
            params.iter().map(|(name, value)| (*name, scalar(value))).collect();
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
        let held = self.reserve("rows of a query", 0)?;
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            held.try_grow(get_record_batch_memory_size(&batch)).map_err(failed)?;
            batches.push(batch);
        }
        // What a plan says of nullability and what its batches say can differ; the batches are right.
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        Ok(Rows { schema, batches })
    }

    /// Runs a frame and keeps all of its rows. Where they do not fit memory, they are cut by `key`.
    ///
    /// # Errors
    /// Fails when the frame cannot be run; running out of memory or disk is named.
    pub async fn collect_cut(&self, frame: DataFrame, key: &[String]) -> Result<Slices> {
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        let mut cut = Cut::new(self, key)?;
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            cut.push(batch)?;
        }
        cut.done(schema)
    }

    /// Takes bytes from those that queries may hold, until what is given back is dropped.
    ///
    /// # Errors
    /// Fails when there are not so many left.
    pub fn reserve(&self, what: &str, bytes: usize) -> Result<MemoryReservation> {
        let pool = Arc::clone(&self.context.runtime_env().memory_pool);
        let held = MemoryConsumer::new(what).register(&pool);
        held.try_grow(bytes).map_err(failed)?;
        Ok(held)
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

/// The rows of several relations of one schema.
pub(crate) fn union(mut relations: Vec<Arc<dyn TableProvider>>) -> Result<Arc<dyn TableProvider>> {
    if relations.len() == 1 {
        return Ok(relations.remove(0));
    }
    let scan = |relation| LogicalPlanBuilder::scan("part", provider_as_source(relation), None)?.build();
    let scans = relations.into_iter().map(|relation| Ok(Arc::new(scan(relation)?)));
    let union = scans.collect::<Result<_, DataFusionError>>().and_then(Union::try_new);
    Ok(Arc::new(ViewTable::new(LogicalPlan::Union(union.map_err(failed)?), None)))
}

/// Says what a person can do about a failed query.
pub(crate) fn failed(error: DataFusionError) -> Error {
    match error.find_root() {
        DataFusionError::External(why) if why.is::<OutOfRange>() => Error::usage(why.to_string())
            .hint("correct it in staging, or name the column in `target.exclude`"),
        _ => failure::of_query(error),
    }
}
