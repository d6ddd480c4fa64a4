//! The definitions of all of a pipeline's tables, as they are or would be made.

use std::collections::BTreeMap;

use super::derived::batch_and_target;
use super::{Wanted, all, embedded, read_ddl, usable};
use crate::config::{Location, Origins, Pipeline};
use crate::contract::ddl::TableDef;
use crate::contract::quarantine::quarantine_of;
use crate::contract::{LOAD_WATERMARKS, LOADS_ATTEMPTS, LOADS_AUDIT};
use crate::error::{Error, Result};
use crate::lake::Lake;

/// Properties that say how a load writes, or what it must hold to.
const KEPT_PROPERTIES: [&str; 2] = ["delta.enableDeletionVectors", "delta.constraints."];

/// What each table of a pipeline is made from.
#[derive(Debug, Clone)]
pub struct Definitions {
    /// The staging table.
    pub staging: TableDef,
    /// The target.
    pub target: TableDef,
    /// The quarantine.
    pub quarantine: TableDef,
    /// The dimensions, by their names in the pipeline file.
    pub dimensions: BTreeMap<String, TableDef>,
    /// Audit, watermarks and attempts.
    pub records: [TableDef; 3],
}

/// What each table of a pipeline is made from: an existing one's own columns, else its DDL file, else, for the target, the
/// batch's columns.
///
/// # Errors
/// Fails with all that is wrong, and where a table is neither there nor has a DDL file.
pub async fn definitions(pipeline: &Pipeline, origins: &Origins) -> Result<Definitions> {
    let lake = Lake::of(pipeline);
    let mut problems = Vec::new();
    let mut tables = Vec::new();
    let dimensions = pipeline.dimensions.values().map(|dimension| (&dimension.table, &dimension.ddl));
    let wanted =
        [(&pipeline.source.table, &pipeline.source.ddl), (&pipeline.target.table, &pipeline.target.ddl)];
    for (location, ddl) in wanted.into_iter().chain(dimensions) {
        let def = read_ddl(ddl.as_deref(), &mut problems);
        tables.push(Wanted { location, def, existing: usable(&lake, pipeline, location).await? });
    }
    let batch = batch_and_target(pipeline, origins, &mut tables, &mut problems).await?;
    if !problems.is_empty() {
        return Err(all(&problems));
    }
    let mut found = Vec::new();
    for table in &tables {
        found.push(definition(table)?.ok_or_else(|| unknown(table.location))?);
    }
    let mut found = found.into_iter();
    let (Some(staging), Some(target), Some(batch)) = (found.next(), found.next(), batch) else {
        return Err(unknown(&pipeline.source.table));
    };
    let quarantine = quarantine_of(pipeline.quarantine.name(), &batch);
    Ok(Definitions {
        staging,
        target,
        quarantine: quarantine.map_err(|error| Error::bug(error.to_string()))?,
        dimensions: pipeline.dimensions.keys().cloned().zip(found).collect(),
        records: [
            embedded("loads_audit.sql", LOADS_AUDIT)?,
            embedded("load_watermarks.sql", LOAD_WATERMARKS)?,
            embedded("loads_attempts.sql", LOADS_ATTEMPTS)?,
        ],
    })
}

fn definition(table: &Wanted<'_>) -> Result<Option<TableDef>> {
    let Some(existing) = &table.existing else { return Ok(table.def.clone()) };
    let mut def = existing.as_it_is()?;
    def.properties.retain(|key, _| KEPT_PROPERTIES.iter().any(|kept| key.starts_with(kept)));
    Ok(Some(def))
}

fn unknown(location: &Location) -> Error {
    Error::usage(format!(
        "nobody knows the columns of `{}`: there is no table at {location}, and no DDL file",
        location.name()
    ))
    .hint("name its DDL file under `ddl` in the pipeline file")
}
