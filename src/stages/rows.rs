//! Small readings of materialised rows that several stages need.

use deltalake::arrow::array::{Array, AsArray};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Int64Type};

use crate::engine::Rows;
use crate::engine::sql::Ident;
use crate::error::{Error, Result};

/// How many offending rows a message shows.
pub const EXAMPLES: usize = 5;

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

/// A number of the first row.
///
/// # Errors
/// Fails when there is no row.
pub fn first_number(rows: &Rows, column: usize) -> Result<i64> {
    let batch = rows.batches.iter().find(|batch| batch.num_rows() > 0);
    let batch = batch.ok_or_else(|| Error::bug("a count returned no row"))?;
    Ok(batch.column(column).as_primitive::<Int64Type>().value(0))
}

/// A truth value of the first row; false where there is none.
#[must_use]
pub fn first_flag(rows: &Rows, column: usize) -> bool {
    let batch = rows.batches.iter().find(|batch| batch.num_rows() > 0);
    batch.is_some_and(|batch| batch.column(column).as_boolean().value(0))
}

/// Column names as a list in SQL.
#[must_use]
pub fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| Ident(name).to_string()).collect();
    names.join(", ")
}

/// A column of text in whatever form the engine keeps it.
///
/// # Errors
/// Fails when the column holds no text.
pub fn texts(column: &dyn Array) -> Result<Vec<Option<String>>> {
    let plain = cast(column, &DataType::Utf8)
        .map_err(|error| Error::bug("a text column is no text").because(error))?;
    Ok(plain.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
}
