//! Shows a table's rows.

use deltalake::arrow::util::pretty::pretty_format_batches;

use crate::config::Location;
use crate::engine::Engine;
use crate::engine::sql::{Ident, Params};
use crate::error::{Error, Result};
use crate::lake::Lake;

/// Bytes that showing a table may hold.
const MEMORY: usize = 1 << 30;

/// The rows of a table as text, sorted by the first columns.
///
/// # Errors
/// Fails when the table cannot be read.
pub async fn show(lake: &Lake, location: &Location, limit: usize) -> Result<String> {
    let Some(table) = lake.open_existing(location.name(), location).await? else {
        return Err(Error::usage(format!("there is no table at {location}")));
    };
    let engine = Engine::new(MEMORY);
    engine.register("shown", table.rows(&engine.state()).await?)?;
    let sortable = table.columns()?.into_iter().filter(|column| !column.field.data_type.is_nested());
    let order: Vec<String> = sortable.map(|column| Ident(&column.field.name).to_string()).collect();
    let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
    let rows = engine.rows(&format!("SELECT * FROM shown{order} LIMIT {limit}"), &Params::new()).await?;
    let text = pretty_format_batches(&rows.batches)
        .map_err(|error| Error::bug("a table cannot be shown").because(error))?;
    Ok(format!("{} version {}\n{text}\n", location.name(), table.version()))
}
