//! Creates tables from their DDL.

use deltalake::DeltaTableError;
use deltalake::kernel::transaction::TransactionError;
use deltalake::kernel::{Action, Protocol, StructType};
use deltalake::table::config::TableProperty;

use super::open::{Lake, location_url};
use super::table::failed;
use crate::config::Location;
use crate::contract::ddl::TableDef;
use crate::error::{Error, Result};
use crate::failure::{self, Phase};
use crate::model::types::DataType;

/// Creates a table; `false` when somebody else created it first.
///
/// # Errors
/// Fails when the location cannot be written.
pub async fn create_table(lake: &Lake, location: &Location, def: &TableDef) -> Result<bool> {
    let url = location_url(location)?;
    if url.scheme() == "file"
        && let Ok(path) = url.to_file_path()
    {
        std::fs::create_dir_all(&path).map_err(|error| {
            failure::of(Phase::Data, &format!("cannot create the folder {}", path.display()), error)
        })?;
    }
    let schema: StructType = serde_json::from_value(def.schema_json())
        .map_err(|error| Error::bug(format!("the DDL of `{}` makes no schema", def.name)).because(error))?;
    let what = || format!("cannot create table `{}` at {location}", def.name);
    let table = lake.builder_to_write(&url).await?.build().map_err(|error| failed(&what(), error))?;
    let mut builder = table
        .create()
        .with_table_name(&def.name)
        .with_columns(schema.fields().cloned())
        .with_partition_columns(&def.partitioned_by)
        .with_configuration(def.properties.iter().map(|(key, value)| (key.clone(), Some(value.clone()))));
    if let Some(comment) = &def.comment {
        builder = builder.with_comment(comment);
    }
    if def.properties.keys().any(|key| is_constraint(key)) {
        // delta-rs takes a constraint for a property that there is none of.
        check_properties(def)?;
        builder = builder.with_raise_if_key_not_exists(false);
    }
    if let Some(protocol) = protocol_of(def)? {
        builder = builder.with_actions([Action::Protocol(protocol)]);
    }
    match builder.await {
        Ok(_) => Ok(true),
        Err(
            DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction { source: TransactionError::VersionAlreadyExists(_) },
        ) => Ok(false),
        // So delta-rs says it of a table that was there before it began; that error has no type of its own.
        Err(error) if error.to_string().contains("already exists at that location") => Ok(false),
        Err(error) => Err(failed(&what(), error)),
    }
}

/// The protocol that a table starts from, where delta-rs would not make it what the columns and properties ask for: what
/// the versions before 7 ask for without a word, it does not name with `TIMESTAMP_NTZ`, and Spark opens no table with NOT
/// NULL columns that does not; and CHECK constraints ask for version 3.
fn protocol_of(def: &TableDef) -> Result<Option<Protocol>> {
    let protocol = if def.columns.iter().any(|column| has_wall_clock(&column.field.data_type)) {
        serde_json::json!({
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["timestampNtz"], "writerFeatures": ["appendOnly", "invariants", "timestampNtz"],
        })
    } else if def.properties.keys().any(|key| is_constraint(key)) {
        serde_json::json!({"minReaderVersion": 1, "minWriterVersion": 3})
    } else {
        return Ok(None);
    };
    let protocol = serde_json::from_value(protocol);
    protocol.map(Some).map_err(|error| Error::bug("a protocol is none").because(error))
}

fn is_constraint(key: &str) -> bool {
    key.starts_with("delta.constraints.")
}

/// What delta-rs checks of properties, but for constraints.
fn check_properties(def: &TableDef) -> Result<()> {
    let unknown =
        def.properties.keys().find(|key| !is_constraint(key) && key.parse::<TableProperty>().is_err());
    match unknown {
        None => Ok(()),
        Some(key) => {
            let what = format!("cannot create table `{}`", def.name);
            let why = std::io::Error::other(format!("there is no property '{key}'"));
            Err(Error::usage(what).because(why))
        }
    }
}

fn has_wall_clock(data_type: &DataType) -> bool {
    match data_type {
        DataType::TimestampNtz => true,
        DataType::Array(element) => has_wall_clock(element),
        DataType::Struct(fields) => fields.iter().any(|field| has_wall_clock(&field.data_type)),
        DataType::Map(key, value) => has_wall_clock(key) || has_wall_clock(value),
        _ => false,
    }
}
