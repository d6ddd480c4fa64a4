//! What `init` makes a target of that no DDL file states.

use super::{TARGET, Wanted, all, read_ddl, usable};
use crate::config::{self, Origins, Pipeline, check_columns};
use crate::contract::ddl::{ColumnDef, TableDef};
use crate::contract::target::{TargetShape, target_of};
use crate::engine::Engine;
use crate::error::{Error, Problem, Result};
use crate::lake::Lake;
use crate::model::types::Field;
use crate::notation::did_you_mean;
use crate::stages::mapping::bind_mapping;

pub(super) fn fields(columns: &[ColumnDef]) -> Vec<Field> {
    columns.iter().map(|column| column.field.clone()).collect()
}

/// The columns that a batch has: staging's, mapped as the pipeline file says. `None`, where nobody knows staging's.
pub(super) async fn batch_columns(
    pipeline: &Pipeline,
    origins: &Origins,
    tables: &[Wanted<'_>],
    problems: &mut Vec<Problem>,
) -> Result<Option<Vec<ColumnDef>>> {
    let [staging, target, ..] = tables else { return Ok(None) };
    let Some(stored) = staging.columns()? else { return Ok(None) };
    let known = target.columns()?.unwrap_or_default();
    let engine = Engine::new(0).with_mask_key(pipeline.mask_key.as_ref());
    let mapping = &pipeline.source.mapping;
    match bind_mapping(&engine, mapping, origins, &fields(&stored), &fields(&known)).await {
        Ok(bound) => {
            // What a person wrote of a column still holds where it stays as it is.
            let comment =
                |name: &str| stored.iter().find(|c| c.field.name == name).and_then(|c| c.comment.clone());
            let columns = bound.fields.into_iter().map(|field| {
                let comment = comment(&field.name).filter(|_| !mapping.columns.contains_key(&field.name));
                ColumnDef { field, comment }
            });
            Ok(Some(columns.collect()))
        }
        Err(found) => {
            problems.extend(found.iter().map(Problem::from));
            Ok(None)
        }
    }
}

/// The contract of a target without a DDL file. `None`, where key or version is no column of the batch.
pub(super) fn derived(
    pipeline: &Pipeline,
    origins: &Origins,
    batch: &[ColumnDef],
    problems: &mut Vec<Problem>,
) -> Option<TableDef> {
    let Pipeline { source, target, unique_key, version, .. } = pipeline;
    let left_out: Vec<&str> = source.lineage.iter().chain(&target.exclude).map(String::as_str).collect();
    let partitioned_by = target.partitioned_by.clone().unwrap_or_default();
    let has = |name: &String| batch.iter().any(|column| column.field.name == *name);
    let needed = unique_key.iter().enumerate().map(|(i, name)| (format!("unique_key.{i}"), name));
    let parts = partitioned_by.iter().enumerate();
    let parts = parts.map(|(i, name)| (format!("target.partitioned_by.{i}"), name));
    let needed = needed.chain([("updated_at".to_owned(), version)]).chain(parts);
    let is_out = |name: &String| left_out.contains(&name.as_str()) || target.load_columns.contains(name);
    let missing: Vec<Problem> = needed
        .filter(|(_, name)| !has(name) || is_out(name))
        .map(|(path, name)| {
            let known = batch.iter().map(|column| column.field.name.as_str());
            Problem::from(&config::Problem {
                origin: origins.position(&path),
                path,
                message: if has(name) {
                    format!("`{name}` is not loaded")
                } else {
                    format!("the staging table has no column `{name}`")
                },
                hint: did_you_mean(name, known),
            })
        })
        .collect();
    if !missing.is_empty() {
        problems.extend(missing);
        return None;
    }
    let shape = TargetShape {
        name: target.table.name(),
        unique_key,
        version,
        left_out: &left_out,
        load_columns: target.load_columns.names(),
        partitioned_by: &partitioned_by,
    };
    Some(target_of(shape, batch))
}

/// Whether a load could use staging and the target as they are, or as they would be made.
///
/// # Errors
/// Fails with all that keeps it from that.
pub async fn fits(pipeline: &Pipeline, origins: &Origins) -> Result<()> {
    let lake = Lake::of(pipeline);
    let mut problems = Vec::new();
    let mut tables = Vec::new();
    for location in [&pipeline.source.table, &pipeline.target.table] {
        tables.push(Wanted { location, def: None, existing: usable(&lake, pipeline, location).await? });
    }
    if let Some(batch) = batch_columns(pipeline, origins, &tables, &mut problems).await? {
        if tables[TARGET].existing.is_none() {
            tables[TARGET].def = derived(pipeline, origins, &batch, &mut problems);
        }
        if let Some(target) = tables[TARGET].columns()? {
            let partitions = tables[TARGET].partitions()?;
            let found = check_columns(pipeline, origins, &fields(&batch), &fields(&target), &partitions);
            problems.extend(found.iter().map(Problem::from));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(all(&problems)) }
}

/// The DDL of the pipeline's target: the table's, if it is there, else what `init` would make it from.
///
/// # Errors
/// Fails with all that is wrong, and when nobody knows staging's columns.
pub async fn target_ddl(pipeline: &Pipeline, origins: &Origins) -> Result<TableDef> {
    let lake = Lake::of(pipeline);
    let mut problems = Vec::new();
    let mut tables = Vec::new();
    for (location, ddl) in
        [(&pipeline.source.table, &pipeline.source.ddl), (&pipeline.target.table, &pipeline.target.ddl)]
    {
        let def = read_ddl(ddl.as_deref(), &mut problems);
        tables.push(Wanted { location, def, existing: usable(&lake, pipeline, location).await? });
    }
    if problems.is_empty()
        && let Some(target) = tables.get(TARGET)
    {
        if let Some(table) = &target.existing {
            let actual = table.actual()?;
            return Ok(TableDef {
                name: target.location.name().to_owned(),
                comment: None,
                columns: actual.columns,
                primary_key: pipeline.unique_key.clone(),
                partitioned_by: actual.partitioned_by,
                properties: actual.properties,
                location: None,
            });
        }
        if let Some(def) = &target.def {
            return Ok(def.clone());
        }
        if let Some(batch) = batch_columns(pipeline, origins, &tables, &mut problems).await?
            && let Some(def) = derived(pipeline, origins, &batch, &mut problems)
        {
            return Ok(def);
        }
    }
    if problems.is_empty() {
        return Err(Error::usage(format!("there is no staging table at {}", pipeline.source.table))
            .hint("a target without a DDL file is made from staging's columns: correct `source.table`, or name `source.ddl`"));
    }
    Err(all(&problems))
}
