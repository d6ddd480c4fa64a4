//! A column that is computed from others, outside of a query.

use std::sync::Arc;

use deltalake::arrow::array::{ArrayRef, RecordBatch};
use deltalake::arrow::datatypes::Schema;
use deltalake::datafusion::common::{DFSchema, TableReference};
use deltalake::datafusion::error::DataFusionError;
use deltalake::datafusion::physical_expr::PhysicalExpr;

use super::session::{Engine, failed};
use crate::error::Result;

/// What SQL over the columns of a relation gives for its rows.
#[derive(Debug, Clone)]
pub struct Computed(Arc<dyn PhysicalExpr>);

impl Engine {
    /// A column of a relation of this schema, which the SQL calls `alias`.
    ///
    /// # Errors
    /// Fails when the SQL is no expression over these columns.
    pub fn computed(&self, sql: &str, alias: &str, schema: &Schema) -> Result<Computed> {
        let from =
            DFSchema::try_from_qualified_schema(TableReference::bare(alias), schema).map_err(failed)?;
        let expression = self.context.parse_sql_expr(sql, &from).map_err(failed)?;
        self.context.create_physical_expr(expression, &from).map(Computed).map_err(failed)
    }
}

impl Computed {
    /// Its values for rows of the schema that it was made for.
    ///
    /// # Errors
    /// Fails for values that it is not for.
    pub fn of(&self, rows: &RecordBatch) -> std::result::Result<ArrayRef, DataFusionError> {
        self.0.evaluate(rows)?.into_array(rows.num_rows())
    }
}
