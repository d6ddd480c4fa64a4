//! What `init` makes a target of that no DDL file states.

use super::{STAGING, TARGET, Wanted, all, read_ddl, usable};
use crate::config::{
    self, BothColumns, Files, Missing, OnCorrupt, Origins, Pipeline, TEXTS_OF, check_columns,
};
use crate::contract::ddl::{ColumnDef, TableDef};
use crate::contract::target::{TargetShape, target_of};
use crate::engine::Engine;
use crate::error::{Error, Problem, Result};
use crate::lake::{Lake, Table, inferred, own_columns};
use crate::model::types::{DataType, Field};
use crate::notation::{NullKeys, did_you_mean};
use crate::stages::mapping::bind_with_generated;

/// The columns of a staging table that files are brought into: those of its DDL or, where there is neither table nor DDL,
/// of the files; and those that bringing them in fills.
pub(super) async fn complete_staging(
    lake: &Lake,
    pipeline: &Pipeline,
    staging: &mut Wanted<'_>,
    problems: &[Problem],
) -> Result<()> {
    let Some(files) = pipeline.source.files.as_ref().filter(|_| problems.is_empty()) else { return Ok(()) };
    match &mut staging.def {
        Some(def) => {
            let missing = own_columns().into_iter().filter(|own| def.column(&own.field.name).is_none());
            def.columns.extend(missing.collect::<Vec<_>>());
        }
        None if staging.existing.is_none() && pipeline.source.ddl.is_none() => {
            staging.def = Some(inferred_staging(lake, files, staging.location.name()).await?);
        }
        None => {}
    }
    Ok(())
}

/// The staging table that `init` makes for files.
///
/// # Errors
/// Fails when the files do not tell their columns.
pub async fn inferred_staging(lake: &Lake, files: &Files, name: &str) -> Result<TableDef> {
    let mut columns = inferred(lake, files).await?;
    if files.on_corrupt == OnCorrupt::Choice {
        columns = with_columns_of_texts(columns);
    }
    Ok(TableDef {
        name: name.to_owned(),
        comment: None,
        columns,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        properties: [("delta.enableExpiredLogCleanup".to_owned(), "false".to_owned())].into(),
        location: None,
    })
}

/// The columns with those that take what does not fit them, each after its own.
fn with_columns_of_texts(columns: Vec<ColumnDef>) -> Vec<ColumnDef> {
    let own = own_columns();
    let names: Vec<String> = columns.iter().map(|column| column.field.name.clone()).collect();
    let of = |column: ColumnDef| {
        let Field { name, data_type, .. } = &column.field;
        let texts = format!("{name}{TEXTS_OF}");
        let takes_all = *data_type == DataType::String || data_type.is_nested();
        let needs_none = takes_all || names.contains(&texts) || own.iter().any(|own| own.field.name == *name);
        let comment = Some(format!("What was there in place of a value of {name}, and is none of its type"));
        let field = Field { name: texts, data_type: DataType::String, nullable: true };
        let beside = (!needs_none).then_some(ColumnDef { field, comment });
        std::iter::once(column).chain(beside)
    };
    columns.into_iter().flat_map(of).collect()
}

/// What keeps a batch with these columns from being loaded into a target with those.
pub(super) fn columns_that_clash(
    pipeline: &Pipeline,
    origins: &Origins,
    batch: &[ColumnDef],
    target: &[ColumnDef],
    partitions: &[String],
) -> Vec<config::Problem> {
    let (batch, target) = (fields(batch), fields(target));
    let both = BothColumns::of(&batch, &target, partitions);
    check_columns(pipeline, origins, both, Missing::Wrong)
}

pub(super) fn fields(columns: &[ColumnDef]) -> Vec<Field> {
    columns.iter().map(|column| column.field.clone()).collect()
}

/// The columns that a batch has: staging's, mapped as the pipeline file says. `None`, where nobody knows staging's.
async fn batch_columns(
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
    let generated = target.existing.as_ref().map(Table::generated_columns).transpose()?.unwrap_or_default();
    let both = (&*fields(&stored), &*fields(&known));
    match Box::pin(bind_with_generated(&engine, pipeline, origins, both, &generated)).await {
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

/// The columns that a batch has, with the target made from them where it is neither there nor has a DDL file. `None`, where
/// nobody knows staging's, or something is wrong already.
pub(super) async fn batch_and_target(
    pipeline: &Pipeline,
    origins: &Origins,
    tables: &mut [Wanted<'_>],
    problems: &mut Vec<Problem>,
) -> Result<Option<Vec<ColumnDef>>> {
    if !problems.is_empty() {
        return Ok(None);
    }
    let batch = batch_columns(pipeline, origins, tables, problems).await?;
    if let (Some(batch), Some(target)) = (&batch, tables.get_mut(TARGET))
        && target.existing.is_none()
        && target.def.is_none()
    {
        target.def = derived(pipeline, origins, batch, problems);
    }
    Ok(batch)
}

/// The contract of a target without a DDL file. `None`, where key or version is no column of the batch.
fn derived(
    pipeline: &Pipeline,
    origins: &Origins,
    batch: &[ColumnDef],
    problems: &mut Vec<Problem>,
) -> Option<TableDef> {
    let Pipeline { source, target, unique_key, .. } = pipeline;
    let versions = pipeline.versions();
    let left_out: Vec<&str> = source.lineage.iter().chain(&target.exclude).map(String::as_str).collect();
    let partitioned_by = target.partitioned_by.clone().unwrap_or_default();
    let needed = unique_key.iter().enumerate().map(|(i, name)| (format!("unique_key.{i}"), name));
    let parts = partitioned_by.iter().enumerate();
    let parts = parts.map(|(i, name)| (format!("target.partitioned_by.{i}"), name));
    let needed = needed.map(|(path, name)| (path, name.as_str()));
    let needed = needed.chain(versions.clone()).chain(parts.map(|(path, name)| (path, name.as_str())));
    let has = |name: &str| batch.iter().any(|column| column.field.name == *name);
    let is_out = |name: &str| left_out.contains(&name) || target.load_columns.contains(name);
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
        has_null_keys: pipeline.null_keys == NullKeys::Match,
        versions: &versions.iter().map(|(_, name)| *name).collect::<Vec<_>>(),
        left_out: &left_out,
        load_columns: target.load_columns.names(),
        partitioned_by: &partitioned_by,
    };
    Some(target_of(shape, batch))
}

/// The target that would be made from the batch's columns; `None`, where it is there.
///
/// # Errors
/// Fails with all that would keep a load from using it.
pub async fn fitting_target(pipeline: &Pipeline, origins: &Origins) -> Result<Option<TableDef>> {
    let lake = Lake::of(pipeline);
    let mut problems = Vec::new();
    let mut tables = Vec::new();
    for location in [&pipeline.source.table, &pipeline.target.table] {
        tables.push(Wanted { location, def: None, existing: usable(&lake, pipeline, location).await? });
    }
    complete_staging(&lake, pipeline, &mut tables[STAGING], &problems).await?;
    let batch = batch_and_target(pipeline, origins, &mut tables, &mut problems).await?;
    if let (Some(batch), Some(target)) = (batch, tables[TARGET].columns()?) {
        let partitions = tables[TARGET].partitions()?;
        let found = columns_that_clash(pipeline, origins, &batch, &target, &partitions);
        problems.extend(found.iter().map(Problem::from));
    }
    if problems.is_empty() { Ok(tables.swap_remove(TARGET).def) } else { Err(all(&problems)) }
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
    complete_staging(&lake, pipeline, &mut tables[STAGING], &problems).await?;
    if problems.is_empty() {
        if let Some(table) = &tables[TARGET].existing {
            // Columns of a PRIMARY KEY are never NULL.
            let key = pipeline.unique_key.iter().filter(|_| pipeline.null_keys == NullKeys::Reject);
            return Ok(TableDef { primary_key: key.cloned().collect(), ..table.as_it_is()? });
        }
        if tables[TARGET].def.is_none() {
            batch_and_target(pipeline, origins, &mut tables, &mut problems).await?;
        }
    }
    if !problems.is_empty() {
        return Err(all(&problems));
    }
    tables.swap_remove(TARGET).def.ok_or_else(|| {
        Error::usage(format!("there is no staging table at {}", pipeline.source.table))
            .hint("a target without a DDL file is made from staging's columns: correct `source.table`, or name `source.ddl`")
    })
}
