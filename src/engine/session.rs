//! A DataFusion session with Delta's settings, Spark's dialect and a bounded memory pool.

use std::sync::Arc;

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::datatypes::{Schema, SchemaRef};
use deltalake::datafusion::catalog::TableProvider;
use deltalake::datafusion::common::TableReference;
use deltalake::datafusion::config::Dialect;
use deltalake::datafusion::dataframe::DataFrame;
use deltalake::datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use deltalake::datafusion::error::DataFusionError;
use deltalake::datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use deltalake::datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use deltalake::datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, Union};
use deltalake::datafusion::prelude::SessionContext;
use deltalake::datafusion::scalar::ScalarValue;
use deltalake::delta_datafusion::create_session_state_with_spill_config;
use futures::{StreamExt as _, TryStreamExt as _};

use super::any_type::{self, OutOfRange};
use super::apart::Apart;
use super::functions;
use super::sql::{Params, scalar};
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
    /// Bytes that queries may hold.
    memory: usize,
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
        Self::on(context, memory)
    }

    /// One that shares the tables of another.
    pub(super) fn on(context: SessionContext, memory: usize) -> Self {
        Self { context, apart: Apart::default(), memory }
    }

    /// Bytes that queries may hold.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
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
        let batches = frame.collect().await.map_err(failed)?;
        // What a plan says of nullability and what its batches say can differ; the batches are right.
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        Ok(Rows { schema, batches })
    }

    /// Runs a frame and keeps all of its rows, with one more column, which is computed from batches side by side.
    ///
    /// A plan would do as much with a repartition in it, were it not that tokio lets the thread that read a batch go
    /// on with it, and so reads and computes by turns: what is to run elsewhere must be sent elsewhere.
    ///
    /// # Errors
    /// Fails when the frame or the expression cannot be run; running out of memory or disk is named.
    pub async fn collect_with(&self, frame: DataFrame, name: &str, sql: &str) -> Result<Rows> {
        let from = frame.schema().clone();
        let expression = self.context.parse_sql_expr(sql, &from).map_err(failed)?;
        let expression = self.context.create_physical_expr(expression, &from).map_err(failed)?;
        let more = expression.return_field(from.as_arrow()).map_err(failed)?;
        let more = Arc::unwrap_or_clone(more).with_name(name);
        let schema_of = move |rows: &Schema| {
            let fields = rows.fields().iter().cloned().chain([Arc::new(more.clone())]);
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        };
        let schema = schema_of(from.as_arrow());
        let with = Arc::new(move |batch: RecordBatch| {
            let values = expression.evaluate(&batch)?.into_array(batch.num_rows())?;
            let columns = batch.columns().iter().cloned().chain([values]);
            Ok(RecordBatch::try_new(schema_of(&batch.schema()), columns.collect())?)
        });
        let threads = self.context.copied_config().target_partitions();
        let computed = frame.execute_stream().await.map_err(failed)?.map(|batch| {
            let with = Arc::clone(&with);
            tokio::task::spawn_blocking(move || batch.and_then(|batch| with(batch)))
        });
        let batches: Vec<RecordBatch> = computed
            .buffered(2 * threads)
            .map(|done| done.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?)
            .try_collect()
            .await
            .map_err(failed)?;
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        Ok(Rows { schema, batches })
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
