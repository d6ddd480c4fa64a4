//! Creates a pipeline's missing tables; compares existing ones with their DDL, and never alters them.

use std::path::Path;

use crate::config::{Location, Pipeline};
use crate::contract::ddl::{ColumnDef, TableDef};
use crate::contract::quarantine::quarantine_of;
use crate::contract::{LOAD_WATERMARKS, LOADS_AUDIT};
use crate::error::{Error, Result};
use crate::lake::{Lake, check_column_names, create_table};

/// What `init` found or did for one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitTable {
    /// The table's name.
    pub name: String,
    /// Where it lies.
    pub location: String,
    /// What became of it.
    pub state: InitState,
}

/// The state of one table after `init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitState {
    /// It was created.
    Created,
    /// It exists and agrees with its DDL.
    Agrees,
    /// It exists, and no DDL is named to compare it with.
    Exists,
    /// It exists and differs from its DDL in these ways.
    Differs(Vec<String>),
    /// It does not exist, and no DDL is named to create it from.
    Missing,
}

/// Creates and compares a pipeline's tables.
///
/// # Errors
/// Fails when a DDL file cannot be read, or its PRIMARY KEY is not the pipeline's `unique_key`: before any
/// table is created.
pub async fn init(pipeline: &Pipeline) -> Result<Vec<InitTable>> {
    let mut wanted: Vec<(&Location, Option<TableDef>)> = Vec::new();
    let staging = read_ddl(pipeline.source.ddl.as_deref())?;
    wanted.push((&pipeline.source.table, staging.clone()));
    let target = read_ddl(pipeline.target.ddl.as_deref())?;
    if let Some(def) = &target {
        check_target(pipeline, def)?;
    }
    wanted.push((&pipeline.target.table, target));
    for dimension in pipeline.dimensions.values() {
        wanted.push((&dimension.table, read_ddl(dimension.ddl.as_deref())?));
    }
    wanted.push((&pipeline.audit, Some(embedded("loads_audit.sql", LOADS_AUDIT)?)));
    wanted.push((&pipeline.watermarks, Some(embedded("load_watermarks.sql", LOAD_WATERMARKS)?)));

    let lake = Lake::of(pipeline);
    check_usable(&lake, pipeline).await?;
    let mut tables = Vec::new();
    for (location, def) in wanted {
        tables.push(named(location, init_table(&lake, location, def.as_ref()).await?));
    }
    let columns = staging_columns(&lake, pipeline, staging).await?;
    let quarantine = columns
        .map(|columns| quarantine_of(pipeline.quarantine.name(), &columns))
        .transpose()
        .map_err(|error| Error::bug(error.to_string()))?;
    tables.insert(
        2,
        named(&pipeline.quarantine, init_table(&lake, &pipeline.quarantine, quarantine.as_ref()).await?),
    );
    Ok(tables)
}

/// Makes sure that a load can read and write the tables that are there, before any other is made.
async fn check_usable(lake: &Lake, pipeline: &Pipeline) -> Result<()> {
    let read =
        std::iter::once(&pipeline.source.table).chain(pipeline.dimensions.values().map(|one| &one.table));
    for location in read {
        lake.open_existing(location.name(), location).await?;
    }
    for location in [&pipeline.target.table, &pipeline.quarantine, &pipeline.audit, &pipeline.watermarks] {
        if let Some(table) = lake.open_existing(location.name(), location).await? {
            table.check_writable()?;
        }
    }
    Ok(())
}

/// The columns that the quarantine keeps: those of staging as it is, or else of its DDL.
async fn staging_columns(
    lake: &Lake,
    pipeline: &Pipeline,
    ddl: Option<TableDef>,
) -> Result<Option<Vec<ColumnDef>>> {
    let location = &pipeline.source.table;
    match lake.open_existing(location.name(), location).await? {
        Some(table) => Ok(Some(table.columns()?)),
        None => Ok(ddl.map(|def| def.columns)),
    }
}

fn named(location: &Location, state: InitState) -> InitTable {
    InitTable { name: location.name().to_owned(), location: location.to_string(), state }
}

async fn init_table(lake: &Lake, location: &Location, def: Option<&TableDef>) -> Result<InitState> {
    // Twice at most: when somebody else creates the table first, theirs is compared.
    for _ in 0..2 {
        let existing = lake.open_existing(location.name(), location).await?;
        match (existing, def) {
            (Some(table), Some(def)) => {
                let differences = def.differences(&table.actual()?);
                return Ok(if differences.is_empty() {
                    InitState::Agrees
                } else {
                    InitState::Differs(differences)
                });
            }
            (Some(_), None) => return Ok(InitState::Exists),
            (None, None) => return Ok(InitState::Missing),
            (None, Some(def)) => {
                if create_table(lake, location, def).await? {
                    return Ok(InitState::Created);
                }
            }
        }
    }
    Err(Error::retry(format!("{location} appears and disappears")))
}

fn read_ddl(path: Option<&Path>) -> Result<Option<TableDef>> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::usage(format!("cannot read the DDL file {}", path.display())).because(error)
    })?;
    parse_ddl(&path.display().to_string(), &text).map(Some)
}

fn embedded(name: &str, text: &str) -> Result<TableDef> {
    parse_ddl(name, text)
}

fn parse_ddl(name: &str, text: &str) -> Result<TableDef> {
    let def = TableDef::parse(name, text).map_err(|error| Error::usage(error.to_string()))?;
    check_column_names(&def.name, def.columns.iter().map(|column| column.field.name.as_str()))?;
    Ok(def)
}

fn check_target(pipeline: &Pipeline, def: &TableDef) -> Result<()> {
    let (mut key, mut primary) = (pipeline.unique_key.clone(), def.primary_key.clone());
    key.sort();
    primary.sort();
    if key == primary {
        return Ok(());
    }
    Err(Error::usage(format!(
        "the PRIMARY KEY of `{}` is ({}), and unique_key is ({})",
        def.name,
        def.primary_key.join(", "),
        pipeline.unique_key.join(", ")
    ))
    .hint("make them equal: a row is one key's"))
}
