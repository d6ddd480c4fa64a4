//! Columns that the target computes from others by itself.
//!
//! delta-rs fills them where it inserts a row, and not where it updates one. So they are computed like any other column of a
//! batch, before anything else sees the rows: they may be what the target is partitioned by.

use std::ops::ControlFlow;

use deltalake::datafusion::sql::sqlparser::ast::{Expr, visit_expressions_mut};
use deltalake::datafusion::sql::sqlparser::dialect::SparkSqlDialect;
use deltalake::datafusion::sql::sqlparser::parser::Parser;

use super::{BoundMapping, bind_mapping};
use crate::config::{MappedColumn, Mapping, Origins, Pipeline, Problem};
use crate::engine::Engine;
use crate::model::types::{DataType, Field, same_name};

/// [`bind_mapping`] with the target's generated columns: each a name and an expression over the target's columns. Those that
/// cannot be computed here are left to the target.
///
/// # Errors
/// Fails with all that is wrong with the mapping itself.
pub async fn bind_with_generated(
    engine: &Engine,
    pipeline: &Pipeline,
    origins: &Origins,
    (stored, target): (&[Field], &[Field]),
    generated: &[(String, String)],
) -> std::result::Result<BoundMapping, Vec<Problem>> {
    let mapping = &pipeline.source.mapping;
    let is_left =
        |name: &String| mapping.columns.contains_key(name) || pipeline.target.exclude.contains(name);
    let mut whole = mapping.clone();
    for (name, expression) in generated.iter().filter(|(name, _)| !is_left(name)) {
        let field = target.iter().find(|field| field.name == *name);
        if let (Some(field), Some(from)) = (field, over_staging(expression, mapping)) {
            let from = match field.data_type {
                // An engine may give another type than the table has, such as a time for a day.
                DataType::Timestamp | DataType::TimestampNtz => from,
                ref other => format!("CAST({from} AS {other})"),
            };
            whole.columns.insert(name.clone(), MappedColumn { from: Some(from), ..MappedColumn::default() });
        }
    }
    if whole != *mapping {
        match Box::pin(bind_mapping(engine, &whole, origins, stored, target)).await {
            Ok(bound) => return Ok(bound),
            Err(problems) => tracing::debug!(?problems, "generated columns are left to the target"),
        }
    }
    Box::pin(bind_mapping(engine, mapping, origins, stored, target)).await
}

/// An expression over a batch's columns as one over staging's; `None` where a column that it names is not plainly computed.
fn over_staging(expression: &str, mapping: &Mapping) -> Option<String> {
    let parse = |sql: &str| Parser::new(&SparkSqlDialect {}).try_with_sql(sql).ok()?.parse_expr().ok();
    let mut tree = parse(expression)?;
    let replaced = visit_expressions_mut(&mut tree, |part| {
        let Expr::Identifier(name) = part else { return ControlFlow::Continue(()) };
        let Some((_, mapped)) = mapping.columns.iter().find(|(other, _)| same_name(other, &name.value))
        else {
            return ControlFlow::Continue(());
        };
        let plainly = MappedColumn { from: mapped.from.clone(), ..MappedColumn::default() };
        match mapped.from.as_deref().filter(|_| plainly == *mapped).and_then(parse) {
            Some(from) => {
                *part = Expr::Nested(Box::new(from));
                // What it is computed from are staging's columns.
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    });
    replaced.is_continue().then(|| tree.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_computed_columns_are_replaced_by_what_they_are_computed_from() {
        let column = |from: &str| MappedColumn { from: Some(from.to_owned()), ..MappedColumn::default() };
        let masked = MappedColumn { mask: Some(crate::notation::Mask::Hash), ..column("mail") };
        let columns = [("At", column("to_timestamp_millis(ts)")), ("mail", masked)];
        let columns = columns.map(|(name, column)| (name.to_owned(), column));
        let mapping = Mapping { columns: columns.into(), ..Mapping::default() };
        let of = |expression| over_staging(expression, &mapping);
        assert_eq!(of("CAST(at AS DATE)").as_deref(), Some("CAST((to_timestamp_millis(ts)) AS DATE)"));
        assert_eq!(of("year(day)").as_deref(), Some("year(day)"));
        assert_eq!(of("upper(mail)"), None);
        assert_eq!(of("no ("), None);
    }
}
