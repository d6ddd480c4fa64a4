//! Reads the rows that a batch takes.

use std::collections::BTreeMap;

use deltalake::arrow::array::AsArray;
use deltalake::arrow::datatypes::Int64Type;

use super::text::Text;
use crate::engine::sql::{Ident, Params, column};
use crate::engine::{Engine, Rows};
use crate::error::{Error, Result};
use crate::lake::{Arrivals, Table};
use crate::model::Memos;
use crate::plan::Recipe;
use crate::plan::window::{Arrived, ReadPlan};

/// How many offending rows a message shows.
const EXAMPLES: usize = 5;

/// The rows of a batch, with what there is to know about rows that it leaves out.
#[derive(Debug, Clone)]
pub struct Read {
    /// The staged rows, hashed.
    pub rows: Rows,
    /// Late and future rows.
    pub memos: Memos,
    /// Rows with NULL in a key, version or watermark column.
    pub nulls: Nulls,
}

/// Staged rows that lack a required value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nulls {
    /// Rows with NULL in the column, by column; only those with any.
    pub by_column: BTreeMap<String, i64>,
    /// Rows with NULL in any of them.
    pub rows: i64,
    /// Some of the rows, by key and lineage.
    pub examples: Vec<String>,
}

/// Reads the rows of a batch from the pinned staging table.
///
/// # Errors
/// Fails when staging cannot be read, or when it cannot be told which rows arrived.
pub async fn read(engine: &Engine, recipe: &Recipe, reading: &ReadPlan, staging: &Table) -> Result<Read> {
    let text = Text::new(recipe);
    let state = engine.state();
    engine.register("staging", staging.rows(&state).await?)?;
    let arrived = register_arrived(engine, reading, staging).await?;
    let params = text.window_params(reading);

    let rows = engine.rows(&text.staged(reading, &arrived), &params).await?;
    engine.register_rows("staged", &rows)?;
    let memos = Memos {
        late: optional_count(engine, text.late_count(reading, &arrived), &params).await?,
        future: optional_count(engine, text.future_count(reading), &params).await?,
        ..Memos::default()
    };
    let nulls = find_nulls(engine, &text).await?;
    for name in arrived.iter().map(String::as_str).chain(["staging", "staged"]) {
        engine.forget(name)?;
    }
    Ok(Read { rows, memos, nulls })
}

/// Registers the rows that arrived since the last load, and names the relations.
async fn register_arrived(engine: &Engine, reading: &ReadPlan, staging: &Table) -> Result<Vec<String>> {
    let Arrived::After(version) = reading.arrived else { return Ok(Vec::new()) };
    let Some(arrivals) = Arrivals::since(staging, version).await? else {
        return Err(Error::person(format!(
            "log entries of `{}` after version {version} are gone, so nobody can tell which rows arrived since",
            staging.name()
        ))
        .hint(
            "load once with a wider window: `incremental.late: skip` with a `lookback` that covers the gap; \
             and keep staging's log longer (`delta.logRetentionDuration`)",
        ));
    };
    let mut names = Vec::new();
    for (index, provider) in arrivals.providers(staging, &engine.state()).await?.into_iter().enumerate() {
        let name = format!("arrived_{index}");
        engine.register(&name, provider)?;
        names.push(name);
    }
    Ok(names)
}

async fn find_nulls(engine: &Engine, text: &Text<'_>) -> Result<Nulls> {
    let mut nulls = Nulls::default();
    let incomplete = format!("NOT ({})", text.complete("s"));
    nulls.rows =
        count(engine, &format!("SELECT COUNT(*) AS `n` FROM staged AS s WHERE {incomplete}")).await?;
    if nulls.rows == 0 {
        return Ok(nulls);
    }
    for name in text.required() {
        let missing = column("s", name);
        let sql = format!("SELECT COUNT(*) AS `n` FROM staged AS s WHERE {missing} IS NULL");
        let rows = count(engine, &sql).await?;
        if rows > 0 {
            nulls.by_column.insert(name.to_owned(), rows);
        }
    }
    let shown: Vec<String> = text.identifying().iter().map(|name| column("s", name)).collect();
    let sql = format!(
        "SELECT {} FROM staged AS s WHERE {incomplete} ORDER BY {} LIMIT {EXAMPLES}",
        shown.join(", "),
        shown.join(", ")
    );
    nulls.examples = describe(&engine.rows(&sql, &Params::new()).await?)?;
    Ok(nulls)
}

/// Rows in words: `order_id=100 source_file=orders_20250826`.
///
/// # Errors
/// Fails when a value has no text.
pub fn describe(rows: &Rows) -> Result<Vec<String>> {
    use deltalake::arrow::util::display::{ArrayFormatter, FormatOptions};

    let options = FormatOptions::default().with_null("NULL");
    let failed = |error| Error::bug("a value has no text").because(Box::new(error) as Box<_>);
    let mut lines = Vec::new();
    for batch in &rows.batches {
        let schema = batch.schema();
        let formatters = batch
            .columns()
            .iter()
            .map(|values| ArrayFormatter::try_new(values, &options))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(failed)?;
        for row in 0..batch.num_rows() {
            let values: Vec<String> = schema
                .fields()
                .iter()
                .zip(&formatters)
                .map(|(field, formatter)| format!("{}={}", field.name(), formatter.value(row)))
                .collect();
            lines.push(values.join(" "));
        }
    }
    Ok(lines)
}

async fn optional_count(engine: &Engine, sql: Option<String>, params: &Params) -> Result<i64> {
    match sql {
        Some(sql) => first_number(&engine.rows(&sql, &used(&sql, params)).await?),
        None => Ok(0),
    }
}

async fn count(engine: &Engine, sql: &str) -> Result<i64> {
    first_number(&engine.rows(sql, &Params::new()).await?)
}

/// The parameters that the statement names: DataFusion refuses others.
fn used(sql: &str, params: &Params) -> Params {
    params.iter().filter(|(name, _)| sql.contains(&format!("${name}"))).cloned().collect()
}

/// The first number of the first row.
///
/// # Errors
/// Fails when there is no row.
pub fn first_number(rows: &Rows) -> Result<i64> {
    let batch = rows.batches.iter().find(|batch| batch.num_rows() > 0);
    let batch = batch.ok_or_else(|| Error::bug("a count returned no row"))?;
    Ok(batch.column(0).as_primitive::<Int64Type>().value(0))
}

/// A column name in a list of columns, quoted.
#[must_use]
pub fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| Ident(name).to_string()).collect();
    names.join(", ")
}
