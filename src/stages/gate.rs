//! Measures what the gate judges: so far, values that must not be missing.

use std::collections::BTreeMap;

use super::rows::{EXAMPLES, describe, first_number, quoted};
use super::text::Text;
use crate::engine::sql::{Ident, Params};
use crate::engine::{Engine, Rows};
use crate::error::Result;
use crate::plan::Recipe;

/// Rows that lack a required value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nulls {
    /// Rows with NULL in the column, by column; only those with any.
    pub by_column: BTreeMap<String, i64>,
    /// Rows with NULL in any of them.
    pub rows: i64,
    /// Some of the rows, by key and lineage.
    pub examples: Vec<String>,
}

/// Staged rows with NULL in a key, version or watermark column: they stand outside of the dedupe.
///
/// # Errors
/// Fails when the query does.
pub async fn incomplete(engine: &Engine, recipe: &Recipe, staged: &Rows) -> Result<Nulls> {
    let text = Text::new(recipe);
    find(engine, staged, &text.required(), &text.identifying()).await
}

/// Deduped rows with NULL in a column that the target declares NOT NULL.
///
/// # Errors
/// Fails when the query does.
pub async fn refused_by_target(engine: &Engine, recipe: &Recipe, deduped: &Rows) -> Result<Nulls> {
    let columns: Vec<&str> =
        recipe.columns.iter().filter(|column| !column.nullable).map(|column| column.name.as_str()).collect();
    find(engine, deduped, &columns, &Text::new(recipe).identifying()).await
}

/// All columns in one pass; a second one for examples where there are any.
async fn find(engine: &Engine, rows: &Rows, columns: &[&str], shown: &[&str]) -> Result<Nulls> {
    let mut nulls = Nulls::default();
    if columns.is_empty() {
        return Ok(nulls);
    }
    engine.register_rows("examined", rows)?;
    let missing: Vec<String> = columns.iter().map(|name| format!("{} IS NULL", Ident(name))).collect();
    let any = missing.join(" OR ");
    let counts: Vec<String> = std::iter::once(&any)
        .chain(&missing)
        .enumerate()
        .map(|(index, condition)| format!("COUNT(CASE WHEN {condition} THEN 1 END) AS `n{index}`"))
        .collect();
    let counted = engine.rows(&format!("SELECT {} FROM examined", counts.join(", ")), &Params::new()).await?;
    nulls.rows = first_number(&counted, 0)?;
    if nulls.rows > 0 {
        for (index, name) in columns.iter().enumerate() {
            let rows = first_number(&counted, index + 1)?;
            if rows > 0 {
                nulls.by_column.insert((*name).to_owned(), rows);
            }
        }
        let shown = quoted(shown);
        let sql = format!("SELECT {shown} FROM examined WHERE {any} ORDER BY {shown} LIMIT {EXAMPLES}");
        nulls.examples = describe(&engine.rows(&sql, &Params::new()).await?)?;
    }
    engine.forget("examined")?;
    Ok(nulls)
}
