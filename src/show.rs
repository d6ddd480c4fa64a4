//! Shows a table's rows.

use serde_json::{Map, Value};

use crate::config::Location;
use crate::engine::Engine;
use crate::engine::sql::{Ident, Params};
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::lake::record::exact_values;
use crate::model::types::DataType;

/// Bytes that showing a table may hold.
const MEMORY: usize = 1 << 30;

/// The first rows of a table.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The table's name.
    pub table: String,
    /// The version that was read.
    pub version: u64,
    /// The columns, in order.
    pub columns: Vec<ShownColumn>,
    /// The rows by column. Decimals are text, so that no digit is lost.
    pub rows: Vec<Map<String, Value>>,
}

/// A column that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownColumn {
    /// Its name.
    pub name: String,
    /// Its type, as DDL names it.
    pub data_type: String,
    /// Whether its values are numbers.
    pub is_number: bool,
}

/// The rows of a table, sorted by the first columns.
///
/// # Errors
/// Fails when the table cannot be read.
pub async fn show(lake: &Lake, location: &Location, limit: usize) -> Result<Shown> {
    let Some(table) = lake.open_existing(location.name(), location).await? else {
        return Err(Error::usage(format!("there is no table at {location}")));
    };
    let engine = Engine::new(MEMORY);
    let _shown = engine.register("shown", table.rows(&engine.state()).await?)?;
    let columns = table.columns()?;
    let sortable = columns.iter().filter(|column| !column.field.data_type.is_nested());
    let order: Vec<String> = sortable.map(|column| Ident(&column.field.name).to_string()).collect();
    let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
    let rows = engine.rows(&format!("SELECT * FROM shown{order} LIMIT {limit}"), &Params::new()).await?;
    let columns = columns
        .into_iter()
        .map(|column| ShownColumn {
            is_number: is_number(&column.field.data_type),
            data_type: column.field.data_type.to_string(),
            name: column.field.name,
        })
        .collect();
    Ok(Shown {
        table: location.name().to_owned(),
        version: table.version(),
        columns,
        rows: exact_values(&rows)?,
    })
}

fn is_number(data_type: &DataType) -> bool {
    use DataType::{Byte, Decimal, Double, Float, Int, Long, Short};
    matches!(data_type, Byte | Short | Int | Long | Float | Double | Decimal(..))
}
