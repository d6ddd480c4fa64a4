//! Rows of other writers that go with a batch which is taken back.

use super::rows::describe;
use super::text::Text;
use crate::engine::sql::{Ident, Param, Params};
use crate::engine::{Engine, Rows};
use crate::error::Result;
use crate::lake::Table;
use crate::plan::LoadSpec;

/// How many of the rows a report shows.
const SHOWN: usize = 20;

/// The rows that the target has gained since `before`, but for those that `batch_id` wrote; and some of them
/// in words.
///
/// # Errors
/// Fails when a version cannot be read.
pub async fn rows_since(
    engine: &Engine,
    spec: &LoadSpec,
    target: &Table,
    before: &Table,
    batch_id: &str,
) -> Result<(Rows, Vec<String>)> {
    let _target = engine.register("target", target.rows(&engine.state()).await?)?;
    let _before = engine.register("before", before.rows(&engine.state()).await?)?;
    let sql = format!(
        "SELECT * FROM (SELECT * FROM target EXCEPT ALL SELECT * FROM before) AS s WHERE {} IS DISTINCT FROM $batch",
        Ident(&spec.rules.load_columns.batch_id)
    );
    let rows = engine.rows(&sql, &vec![("batch", Param::Text(batch_id.to_owned()))]).await?;

    let _aside = engine.register_rows("aside", &rows)?;
    let loaded = spec.columns.iter().map(|column| column.name.as_str());
    let shown = super::rows::quoted(&loaded.collect::<Vec<_>>());
    let shown = if shown.is_empty() { "*".to_owned() } else { shown };
    let order = super::rows::quoted(&Text::new(spec).required());
    let sql = format!("SELECT {shown} FROM aside ORDER BY {order} LIMIT {SHOWN}");
    let told = describe(&engine.rows(&sql, &Params::new()).await?, spec.pii())?;
    Ok((rows, told))
}
