//! Rows in slices as a relation of SQL.

use std::sync::Arc;

use async_trait::async_trait;
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::datafusion::catalog::{Session, TableProvider};
use deltalake::datafusion::error::{DataFusionError, Result as DataFusionResult};
use deltalake::datafusion::execution::{SendableRecordBatchStream, TaskContext};
use deltalake::datafusion::logical_expr::{Expr, TableType};
use deltalake::datafusion::physical_plan::ExecutionPlan;
use deltalake::datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deltalake::datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::known::Known;
use super::session::{Engine, Rows};
use super::slices::{Slice, Slices};
use crate::error::Result;

impl Engine {
    /// Makes rows known under `name`; where they lie on disk, the columns that a query names are read each time.
    ///
    /// # Errors
    /// Fails when the batches do not have the schema.
    pub fn register_slices(&self, name: &str, slices: &Slices) -> Result<Known<'_>> {
        if let [Slice::Here { batches, .. }] = &slices.slices[..] {
            let rows = Rows { schema: slices.schema.clone(), batches: batches.clone() };
            return self.register_rows(name, &rows);
        }
        let threads = self.threads().max(1);
        let mut parts: Vec<Vec<Slice>> = Vec::new();
        for (at, slice) in slices.slices.iter().enumerate() {
            match parts.get_mut(at % threads) {
                Some(part) => part.push(slice.clone()),
                None => parts.push(vec![slice.clone()]),
            }
        }
        self.register(name, Arc::new(Relation { schema: slices.schema.clone(), parts }))
    }
}

/// Slices, split among the threads that read them.
#[derive(Debug)]
struct Relation {
    schema: SchemaRef,
    parts: Vec<Vec<Slice>>,
}

#[async_trait]
impl TableProvider for Relation {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        columns: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let schema = match columns {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let part = |slices: &Vec<Slice>| -> Arc<dyn PartitionStream> {
            Arc::new(Part { schema: Arc::clone(&schema), columns: columns.cloned(), slices: slices.clone() })
        };
        let parts = self.parts.iter().map(part).collect();
        Ok(Arc::new(StreamingTableExec::try_new(Arc::clone(&schema), parts, None, None, false, limit)?))
    }
}

/// Slices that are read one after the other.
#[derive(Debug)]
struct Part {
    schema: SchemaRef,
    columns: Option<Vec<usize>>,
    slices: Vec<Slice>,
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let columns = self.columns.clone();
        let batches = self.slices.clone().into_iter().flat_map(move |slice| slice.batches(columns.clone()));
        let batches = futures::stream::iter(batches.map(|batch| batch.map_err(DataFusionError::from)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}
