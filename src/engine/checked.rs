//! Sums and products of whole numbers that fail where they do not fit their type, as in Spark's ANSI mode: DataFusion's
//! own wrap around, without a word.

use std::sync::{Arc, LazyLock};

use deltalake::arrow::compute::kernels::numeric;
use deltalake::arrow::datatypes::DataType;
use deltalake::datafusion::common::DFSchema;
use deltalake::datafusion::common::tree_node::{Transformed, TreeNode as _};
use deltalake::datafusion::error::{DataFusionError, Result};
use deltalake::datafusion::logical_expr::{
    BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable as _, LogicalPlan, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::session::failed;
use super::sql::Params;
use super::{Engine, Known};

impl Engine {
    /// Makes a query known under `name`, as [`Engine::register_view`] does, whose sums and products of whole numbers fail
    /// where they do not fit.
    ///
    /// # Errors
    /// Fails when the query cannot be planned.
    pub async fn register_checked_view(&self, name: &str, sql: &str) -> crate::error::Result<Known<'_>> {
        let (state, plan) = self.plan(sql, &Params::new()).await?.into_parts();
        let plan = checked(plan).map_err(failed)?;
        let frame = deltalake::datafusion::dataframe::DataFrame::new(state, plan);
        self.register(name, frame.into_view())
    }
}

/// The plan with each sum, difference and product of whole numbers checked.
fn checked(plan: LogicalPlan) -> Result<LogicalPlan> {
    let done = plan.transform_up(|node| {
        let inputs: Vec<_> = node.inputs().into_iter().map(|input| input.schema().clone()).collect();
        let Some(schema) = inputs.first() else { return Ok(Transformed::no(node)) };
        node.map_expressions(|expression| expression.transform_up(|part| checked_part(part, schema)))
    });
    Ok(done?.data)
}

fn checked_part(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let operation = match &part {
        Expr::BinaryExpr(BinaryExpr { op: Operator::Plus, .. }) => Operation::Add,
        Expr::BinaryExpr(BinaryExpr { op: Operator::Minus, .. }) => Operation::Subtract,
        Expr::BinaryExpr(BinaryExpr { op: Operator::Multiply, .. }) => Operation::Multiply,
        _ => return Ok(Transformed::no(part)),
    };
    let found = part.get_type(schema)?;
    let (true, Expr::BinaryExpr(BinaryExpr { left, right, .. })) = (found.is_integer(), &part) else {
        return Ok(Transformed::no(part));
    };
    let as_found = |side: &Expr| Expr::Cast(Cast::new(Box::new(side.clone()), found.clone()));
    let call = operation.function().call(vec![as_found(left), as_found(right)]);
    Ok(Transformed::yes(call))
}

/// What is done to two whole numbers of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
}

impl Operation {
    fn function(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

impl ScalarUDFImpl for Operation {
    fn name(&self) -> &'static str {
        match self {
            Self::Add => "checked_add",
            Self::Subtract => "checked_subtract",
            Self::Multiply => "checked_multiply",
        }
    }

    fn signature(&self) -> &Signature {
        static SIGNATURE: LazyLock<Signature> = LazyLock::new(|| Signature::any(2, Volatility::Immutable));
        &SIGNATURE
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let found = arguments.first().cloned();
        found.ok_or_else(|| DataFusionError::Internal("a sum has no parts".to_owned()))
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sides = ColumnarValue::values_to_arrays(&call.args)?;
        let done = match self {
            Self::Add => numeric::add(&sides[0], &sides[1]),
            Self::Subtract => numeric::sub(&sides[0], &sides[1]),
            Self::Multiply => numeric::mul(&sides[0], &sides[1]),
        };
        Ok(ColumnarValue::Array(done?))
    }
}
