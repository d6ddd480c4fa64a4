//! Looks at SQL that a person wrote, before it is run.

use deltalake::arrow::datatypes::{DataType, SchemaRef};
use deltalake::datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use deltalake::datafusion::logical_expr::{Expr, LogicalPlan, Volatility};

use super::Engine;
use super::sql::placeholders;

impl Engine {
    /// The type of an expression over the rows of `relation`, which may have an alias.
    ///
    /// # Errors
    /// Fails with what is wrong: it is no single expression, names what is not there, or has another value
    /// each time that it is run.
    pub async fn expression_type(&self, expression: &str, relation: &str) -> Result<DataType, String> {
        given(expression)?;
        let state = self.state();
        let dialect = state.config().options().sql_parser.dialect;
        state.sql_to_expr(expression, &dialect).map_err(|error| self.words(&error))?;
        let schema =
            self.query_schema(&format!("SELECT (\n{expression}\n) AS `value` FROM {relation}")).await?;
        Ok(schema.field(0).data_type().clone())
    }

    /// Whether an expression over the rows of `relation` depends on any of their columns.
    pub async fn names_columns(&self, expression: &str, relation: &str) -> bool {
        let query = format!("SELECT (\n{expression}\n) AS `value` FROM {relation}");
        let Ok(LogicalPlan::Projection(plan)) = self.state().create_logical_plan(&query).await else {
            return false;
        };
        plan.expr.iter().any(|expression| !expression.column_refs().is_empty())
    }

    /// Plans a statement to the end, without running it.
    ///
    /// # Errors
    /// Fails with what is wrong.
    pub async fn prepare(&self, sql: &str) -> Result<(), String> {
        let state = self.state();
        let plan = state.create_logical_plan(sql).await.map_err(|error| self.words(&error))?;
        state.create_physical_plan(&plan).await.map(drop).map_err(|error| self.words(&error))
    }

    /// Plans an expression over the rows of `relation` to the end, as one of each row by itself: an aggregate cannot stand
    /// in WHERE, and a query of its own not in SELECT.
    ///
    /// # Errors
    /// Fails with what is wrong.
    pub async fn prepare_each_row(&self, expression: &str, relation: &str) -> Result<(), String> {
        self.prepare(&format!("SELECT (\n{expression}\n) AS `value` FROM {relation}")).await?;
        self.prepare(&format!("SELECT 1 FROM {relation} WHERE (\n{expression}\n) IS NULL")).await
    }

    /// The columns that a query returns.
    ///
    /// # Errors
    /// Fails with what is wrong: it is no query, names what is not there, or returns other rows each time that
    /// it is run.
    pub async fn query_schema(&self, query: &str) -> Result<SchemaRef, String> {
        given(query)?;
        let plan = self.state().create_logical_plan(query).await.map_err(|error| self.words(&error))?;
        if !matches!(
            plan,
            LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_)
        ) {
            self.refuse_moods(&plan)?;
            return Ok(plan.schema().inner().clone());
        }
        Err("is no query".to_owned())
    }

    /// A batch is a function of its inputs: what it is judged by may not depend on the clock, or on chance.
    fn refuse_moods(&self, plan: &LogicalPlan) -> Result<(), String> {
        let mut moody: Option<String> = None;
        let visited = plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expression| {
                expression.apply(|expression| {
                    if let Expr::ScalarFunction(call) = expression
                        && call.func.signature().volatility != Volatility::Immutable
                    {
                        moody = Some(call.func.name().to_owned());
                        return Ok(TreeNodeRecursion::Stop);
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        });
        visited.map_err(|error| self.words(&error))?;
        match moody {
            Some(name) => {
                Err(format!("uses `{name}`, which differs from run to run; `$as_of` is the logical date"))
            }
            None => Ok(()),
        }
    }
}

/// Every parameter has been given its value before.
fn given(sql: &str) -> Result<(), String> {
    match placeholders(sql).first() {
        None => Ok(()),
        Some((name, _)) => Err(format!("names `${name}`, which has no value here")),
    }
}
