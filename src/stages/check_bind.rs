//! Holds a pipeline's checks against the tables that it reads, before any row is read.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use deltalake::arrow::datatypes::DataType as Arrow;

use super::check_text::{CheckText, GATED};
use super::mapping::register_mapped;
use super::text::Text;
use crate::checks::{
    Aggregate, Check, CheckKind, Relationships, dimension_relation, keys_in, query_relation,
};
use crate::config::{Origins, Problem};
use crate::contract::widening;
use crate::engine::sql::{Param, bind};
use crate::engine::{Engine, called, model_type};
use crate::error::Result;
use crate::lake::Table;
use crate::model::Dialect;
use crate::plan::LoadSpec;
use crate::plan::window::ReadPlan;

/// What keeps the load spec's checks from being measured, each with where it stands in the pipeline file.
///
/// # Errors
/// Fails when a table cannot be read.
pub async fn unfit_checks(
    engine: &Engine,
    spec: &LoadSpec,
    origins: &Origins,
    staging: &Table,
    dimensions: &BTreeMap<String, Table>,
) -> Result<Vec<Problem>> {
    let mut found = Vec::new();
    if let Err(error) = CheckText::new(spec) {
        found.push(Problem {
            path: "checks".to_owned(),
            origin: origins.position("checks"),
            message: error.to_string(),
            hint: None,
        });
    }
    let known = register_mapped(engine, spec, "staging", staging.rows(&engine.state()).await?).await?;
    let staged = Text::new(spec).staged(&ReadPlan::everything(), &[]);
    let _gated = engine
        .register_view(GATED, &format!("SELECT s.*, '' AS `__hw_class` FROM (\n{staged}\n) AS s"))
        .await?;
    // The view keeps the table; a check may not name it.
    drop(known);
    for check in &spec.checks {
        let (key, why) = match &check.kind {
            CheckKind::Relationships(kind) => ("field", foreign_key(spec, check, kind, dimensions)?),
            CheckKind::Expression(kind) => ("sql", condition(engine, "sql", &kind.sql).await),
            CheckKind::Aggregate(kind) => ("sql", total(engine, check, kind).await),
            CheckKind::Sql(kind) => ("query", rows(engine, spec, &kind.query, dimensions).await?),
            _ => ("", None),
        };
        found.extend(why.map(|why| Problem::of_check(origins, &check.name, key, &why)));
        if let Some(sql) = &check.filter
            && let Some(why) = condition(engine, "where", sql).await
        {
            found.push(Problem::of_check(origins, &check.name, "where", &why));
        }
    }
    if found.is_empty() {
        found.extend(whole(engine, spec, origins, dimensions).await?);
    }
    Ok(found)
}

/// All checks as they will be run together: what passes alone may not pass in there, such as an aggregate.
async fn whole(
    engine: &Engine,
    spec: &LoadSpec,
    origins: &Origins,
    dimensions: &BTreeMap<String, Table>,
) -> Result<Option<Problem>> {
    let text = CheckText::new(spec)?;
    let mut known = Vec::new();
    for (name, table) in dimensions {
        known.push(engine.register(&dimension_relation(name), table.rows(&engine.state()).await?)?);
    }
    for (index, check) in spec.checks.iter().enumerate() {
        if matches!(check.kind, CheckKind::Sql(_)) {
            let keys = keys_in(GATED, &spec.rules.unique_key);
            known.push(engine.register_view(&query_relation(index), &keys).await?);
        }
    }
    let mut problem = None;
    if let Err(why) = engine.prepare(&any_day(&text.counts())).await {
        // The first that cannot be run by itself is the one to correct.
        for index in text.of_rows() {
            if let Err(why) = engine.prepare(&any_day(&text.examples(index, 1))).await {
                problem = Some(Problem::of_check(origins, &spec.checks[index].name, "", &why));
                break;
            }
        }
        problem = problem.or_else(|| {
            Some(Problem {
                path: "checks".to_owned(),
                origin: origins.position("checks"),
                message: format!("the checks {why}"),
                hint: None,
            })
        });
    }
    Ok(problem)
}

/// A condition has to be true or false for each row.
async fn condition(engine: &Engine, key: &str, sql: &str) -> Option<String> {
    match engine.expression_type(&any_day(sql), &format!("{GATED} AS s")).await {
        Ok(Arrow::Boolean | Arrow::Null) => None,
        Ok(other) => Some(format!("`{key}` is {}, not true or false", called(&other))),
        Err(why) => Some(format!("`{key}` {why}")),
    }
}

/// An aggregate has one value, of a type that has bounds.
async fn total(engine: &Engine, check: &Check, kind: &Aggregate) -> Option<String> {
    match engine.expression_type(&any_day(&kind.sql), &format!("{GATED} AS s")).await {
        Err(why) => Some(format!("`sql` {why}")),
        Ok(found) => match model_type(&found) {
            None => Some(format!("`sql` is {}, which has no bounds", called(&found))),
            Some(data_type) => match kind.query(check.filter.as_deref(), &data_type) {
                Err(why) => Some(format!("check {}: {why}", check.name)),
                Ok(sql) => engine.query_schema(&any_day(&sql)).await.err().map(|why| format!("`sql` {why}")),
            },
        },
    }
}

/// A query has to return the key, so that its rows can be told.
async fn rows(
    engine: &Engine,
    spec: &LoadSpec,
    query: &str,
    dimensions: &BTreeMap<String, Table>,
) -> Result<Option<String>> {
    // Names without quotes are read in lower case.
    let is_ours = |name: &str| ["batch", "staging", GATED].iter().any(|own| own.eq_ignore_ascii_case(name));
    if let Some(name) = dimensions.keys().find(|name| is_ours(name)) {
        return Ok(Some(format!("a dimension cannot be called `{name}` where a query is used")));
    }
    let columns = super::rows::quoted(&Text::new(spec).staged_columns());
    let mut known = vec![engine.register_view("batch", &format!("SELECT {columns} FROM {GATED}")).await?];
    for (name, table) in dimensions {
        known.push(engine.register(name, table.rows(&engine.state()).await?)?);
    }
    let query = query.trim().trim_end_matches(';');
    let found = engine.query_schema(&any_day(query)).await;
    drop(known);
    Ok(match found {
        Err(why) => Some(format!("`query` {why}")),
        Ok(schema) => spec
            .rules
            .unique_key
            .iter()
            .find(|key| schema.field_with_name(key).is_err())
            .map(|key| format!("`query` must return the key, and has no column `{key}`")),
    })
}

/// The dimension has the column, and its type can be compared.
fn foreign_key(
    spec: &LoadSpec,
    check: &Check,
    kind: &Relationships,
    dimensions: &BTreeMap<String, Table>,
) -> Result<Option<String>> {
    let Relationships { to, field } = kind;
    let Some(dimension) = dimensions.get(to) else {
        return Ok(Some(format!("there is no dimension `{to}`")));
    };
    let own = check.column.as_deref().and_then(|name| spec.data_type(name));
    let columns = dimension.columns()?;
    let found = columns.iter().find(|column| column.field.name == *field);
    let (Some(own), Some(found)) = (own, found) else {
        return Ok(Some(format!("`{to}` has no column `{field}`")));
    };
    let theirs = &found.field.data_type;
    let comparable = own == theirs || widening::accepts(own, theirs) || widening::accepts(theirs, own);
    Ok((!comparable).then(|| format!("`{to}.{field}` is {theirs}, which does not compare with {own}")))
}

/// The SQL with some logical date in it: which one makes no difference to its type.
fn any_day(sql: &str) -> String {
    bind(sql, &vec![("as_of", Param::Date(NaiveDate::default()))], Dialect::Engine)
}
