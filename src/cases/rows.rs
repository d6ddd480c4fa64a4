//! Rows as a test's file has them, and as a table has them.

use std::sync::Arc;

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake::arrow::json::ReaderBuilder;
use serde_json::{Map, Value};

use super::Rows;
use crate::engine::sql::Params;
use crate::engine::{Engine, Rows as EngineRows};
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::lake::record::exact_values;
use crate::notation::did_you_mean;

/// Bytes that reading a test's tables may hold.
const MEMORY: usize = 1 << 30;

/// Rows to be written to a table, in its types. A column that is not named is NULL.
pub(super) fn written(table: &Table, rows: &Rows) -> Result<RecordBatch> {
    let schema = table.arrow_schema()?;
    for row in rows {
        let is_empty = |name: &String| row.get(name).is_none_or(Value::is_null);
        if let Some(field) =
            schema.fields().iter().find(|field| !field.is_nullable() && is_empty(field.name()))
        {
            let (name, row) = (field.name(), Value::from(row.clone()));
            return Err(Error::usage(format!(
                "`{name}` of `{}` is NOT NULL, and this row has none: {row}",
                table.name()
            )));
        }
    }
    decoded(table, &schema, rows)
}

fn decoded(table: &Table, schema: &SchemaRef, rows: &Rows) -> Result<RecordBatch> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    if let Some(name) = rows.iter().flat_map(Map::keys).find(|name| !names.contains(&name.as_str())) {
        let error = Error::usage(format!("`{}` has no column `{name}`", table.name()));
        return Err(did_you_mean(name, names).into_iter().fold(error, Error::hint));
    }
    let failed =
        |error| Error::usage(format!("`{}` cannot hold a row of the test", table.name())).because(error);
    let mut decoder = ReaderBuilder::new(schema.clone()).build_decoder().map_err(failed)?;
    decoder.serialize(rows).map_err(failed)?;
    Ok(decoder.flush().map_err(failed)?.unwrap_or_else(|| RecordBatch::new_empty(schema.clone())))
}

/// A table's rows by column.
pub(super) async fn stored(table: &Table) -> Result<Rows> {
    let engine = Engine::new(MEMORY);
    let _stored = engine.register("stored", table.rows(&engine.state()).await?)?;
    exact_values(&engine.rows("SELECT * FROM stored", &Params::new()).await?)
}

/// What of a table is not as expected: each expected row is one of the table's, by the columns that it names, and the
/// table has no other.
pub(super) fn compare(name: &str, table: &Table, found: &Rows, expected: &Rows) -> Result<Vec<String>> {
    // Columns that nobody names are not looked at, NOT NULL or not.
    let schema = table.arrow_schema()?;
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
    let batch = decoded(table, &schema, expected)?;
    // As the table would tell them: 5 is 5.00 in a DECIMAL(10,2).
    let told = exact_values(&EngineRows { schema: batch.schema(), batches: vec![batch] })?;
    let mut left: Vec<&Map<String, Value>> = found.iter().collect();
    let mut differences = Vec::new();
    for (written, told) in expected.iter().zip(told) {
        let wanted: Map<String, Value> =
            told.into_iter().filter(|(column, _)| written.contains_key(column)).collect();
        let is_it =
            |row: &&Map<String, Value>| wanted.iter().all(|(column, value)| row.get(column) == Some(value));
        match left.iter().position(is_it) {
            Some(at) => drop(left.remove(at)),
            None => differences.push(format!("{name} lacks a row {}", Value::from(wanted))),
        }
    }
    // Of those that nobody expects, the columns that others were expected by.
    let columns: Vec<&String> = expected.iter().flat_map(Map::keys).collect();
    for row in left {
        let shown: Map<String, Value> = row
            .iter()
            .filter(|(column, _)| columns.is_empty() || columns.contains(column))
            .map(|(column, value)| (column.clone(), value.clone()))
            .collect();
        differences.push(format!("{name} has a row that is not expected: {}", Value::from(shown)));
    }
    Ok(differences)
}
