//! Rows of the record tables, to and from Arrow.

use deltalake::arrow::array::{Array as _, RecordBatch};
use deltalake::arrow::datatypes::DataType;
use deltalake::arrow::json::writer::LineDelimited;
use deltalake::arrow::json::{ReaderBuilder, WriterBuilder};
use deltalake::arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::sql::Param;
use crate::engine::{Engine, Rows};
use crate::error::{Error, Result};
use crate::lake::Table;

/// One row as a batch in the table's own schema. Columns that the row does not have are NULL.
///
/// # Errors
/// Fails when the table's columns cannot take the row's values.
pub fn to_batch(table: &Table, row: &impl Serialize) -> Result<RecordBatch> {
    to_batch_of(table, &[row])
}

/// Rows as a batch in the table's own schema.
///
/// # Errors
/// As [`to_batch`] does.
pub fn to_batch_of(table: &Table, rows: &[impl Serialize]) -> Result<RecordBatch> {
    let schema = table.arrow_schema()?;
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::usage(format!("table `{}` cannot take its rows", table.name()))
            .because(error)
            .hint("compare it with its DDL: `highwater init` names the differences")
    };
    let mut decoder = ReaderBuilder::new(schema)
        .with_batch_size(rows.len().max(1))
        .build_decoder()
        .map_err(|error| failed(Box::new(error)))?;
    decoder.serialize(rows).map_err(|error| failed(Box::new(error)))?;
    let batch = decoder.flush().map_err(|error| failed(Box::new(error)))?;
    batch.ok_or_else(|| Error::bug("a row made no batch"))
}

/// The pipeline's rows of a record table.
///
/// # Errors
/// Fails when the table cannot be read, or holds something else than its DDL says.
pub async fn rows_of<T: DeserializeOwned>(engine: &Engine, table: &Table, pipeline: &str) -> Result<Vec<T>> {
    let _records = engine.register("records", table.rows(&engine.state()).await?)?;
    let params = vec![("pipeline", Param::Text(pipeline.to_owned()))];
    let rows = engine.rows("SELECT * FROM records WHERE `pipeline` = $pipeline", &params).await?;
    parse(&rows, false).map_err(|error| {
        Error::usage(format!("table `{}` holds a row that cannot be read", table.name()))
            .because(error)
            .hint("compare it with its DDL: `highwater init` names the differences")
    })
}

/// Rows of a query as JSON objects, with every column.
///
/// # Errors
/// Fails when a value has no JSON.
pub fn values(rows: &Rows) -> Result<Vec<serde_json::Map<String, serde_json::Value>>> {
    parse(rows, true).map_err(|error| Error::bug("rows make no JSON").because(error))
}

/// Rows of a query as JSON objects, with every column and no digit lost: decimals are text, and so are floats that
/// JSON has no number for.
///
/// # Errors
/// Fails when a value has no JSON.
pub fn exact_values(rows: &Rows) -> Result<Vec<serde_json::Map<String, serde_json::Value>>> {
    let failed = |error| Error::bug("a value has no text").because(Box::new(error) as Box<_>);
    let mut objects = values(rows)?;
    let mut first = 0;
    for batch in &rows.batches {
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let decimal = matches!(field.data_type(), DataType::Decimal128(..) | DataType::Decimal256(..));
            if !decimal && !field.data_type().is_floating() {
                continue;
            }
            let format = ArrayFormatter::try_new(column, &FormatOptions::default()).map_err(failed)?;
            for row in (0..batch.num_rows()).filter(|row| column.is_valid(*row)) {
                let Some(value) =
                    objects.get_mut(first + row).and_then(|object| object.get_mut(field.name()))
                else {
                    continue;
                };
                if decimal || value.is_null() {
                    *value = format.value(row).to_string().into();
                }
            }
        }
        first += batch.num_rows();
    }
    Ok(objects)
}

fn parse<T: DeserializeOwned>(
    rows: &Rows,
    nulls: bool,
) -> std::result::Result<Vec<T>, Box<dyn std::error::Error + Send + Sync>> {
    let mut json = Vec::new();
    let builder = WriterBuilder::new().with_explicit_nulls(nulls);
    let mut writer = builder.build::<_, LineDelimited>(&mut json);
    for batch in &rows.batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    let values = serde_json::Deserializer::from_slice(&json).into_iter::<T>();
    Ok(values.collect::<std::result::Result<Vec<T>, _>>()?)
}
