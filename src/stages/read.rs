//! Reads the rows that a batch takes.

use super::mapping::{explained, register_mapped};
use super::rows::{column_texts, first_number};
use super::selection::selected;
use super::text::{Text, all_of};
use crate::config::{BESIDE, Late, Mode};
use crate::engine::sql::{Ident, Params, column, placeholders};
use crate::engine::{Engine, Known, Slices, arrow_field};
use crate::error::{Error, Kind, Result};
use crate::lake::{Arrivals, Table};
use crate::model::types::Field;
use crate::model::{Dialect, EntryStatus, Literal, Memos};
use crate::notation::VersionOrder;
use crate::plan::LoadSpec;
use crate::plan::window::{Arrived, ReadPlan};

/// The rows of a batch, with what there is to know about rows that it leaves out.
#[derive(Debug, Clone)]
pub struct Read {
    /// The staged rows, in slices by key.
    pub rows: Slices,
    /// Late, future and filtered rows, and history.
    pub memos: Memos,
    /// Digest of the files that the arrived rows were read from; `None` where all rows count as arrived.
    pub arrivals: Option<String>,
}

/// Reads the rows of a batch from the pinned staging table, or those of a replay from the quarantine.
///
/// # Errors
/// Fails when staging cannot be read, or when it cannot be told which rows arrived.
pub async fn read(engine: &Engine, spec: &LoadSpec, reading: &ReadPlan, staging: &Table) -> Result<Read> {
    let text = Text::new(spec);
    let state = engine.state();
    let _staging = match &reading.selection {
        None => Box::pin(register_mapped(engine, spec, "staging", staging.rows(&state).await?)).await?,
        Some(selection) => {
            let quarantine = engine.register("quarantine", staging.rows(&state).await?)?;
            // An entry that lacks a value which it must have can never be loaded; it is a person's to discard.
            let filled = spec.must_be_filled().map(|name| format!("{} IS NOT NULL", column("q", name)));
            let filled = filled.chain(still_wrong(spec, staging)?).collect();
            let chosen =
                selected(spec, staging, selection, Some(EntryStatus::Open))? + " AND " + &all_of(filled);
            let lacking = lacking(spec, staging)?;
            let chosen = format!("SELECT *{lacking} FROM quarantine AS q WHERE {chosen}");
            vec![engine.register_view("staging", &chosen).await?, quarantine]
        }
    };
    let (_known, arrived, arrivals) = Box::pin(register_arrived(engine, spec, reading, staging)).await?;
    let params = text.window_params(reading);

    let taken = engine.plan(&text.taken(reading, &arrived), &params).await?;
    let rows = match engine.collect_cut(taken, &spec.rules.unique_key).await {
        Ok(rows) => rows,
        Err(error) => return Err(Box::pin(explained(engine, spec, error)).await),
    };
    let _staged = engine.register_slices("staged", &rows)?;
    must_be_versions(engine, spec, &text, reading.selection.is_some()).await?;
    let memos = Memos {
        late: optional_count(engine, text.late_count(reading, &arrived), &params).await?,
        future: optional_count(engine, text.future_count(reading), &params).await?,
        history: optional_count(engine, text.history_count(reading), &params).await?,
        filtered: filtered(engine, spec, &text, reading, &arrived).await?,
        ..Memos::default()
    };
    Ok(Read { rows, memos, arrivals })
}

/// Refuses a text that is no version of the order that its column has: nobody could say which row is newer.
async fn must_be_versions(engine: &Engine, spec: &LoadSpec, text: &Text<'_>, of_entries: bool) -> Result<()> {
    for by in spec.rules.sequence.iter().filter(|by| by.order.is_made()) {
        let value = column("s", &by.column);
        let sql = format!(
            "SELECT {value} AS `text` FROM staged AS s WHERE {} AND {} IS NULL LIMIT 1",
            text.complete("s"),
            text.ordered("s", &by.column, by.order)
        );
        let found = engine.rows(&sql, &Params::new()).await?;
        let Some(batch) = found.batches.iter().find(|batch| batch.num_rows() > 0) else { continue };
        let is_told = !spec.hides(&by.column);
        let first = column_texts(batch, "text")?.into_iter().flatten().next().filter(|_| is_told);
        let (what, name) =
            (if by.order == VersionOrder::Numeric { "number" } else { "semantic version" }, &by.column);
        let told = first.map_or("a text that".to_owned(), |text| format!("`{}`, which", text.escape_debug()));
        let hint = if of_entries {
            "discard the entry, or select others: highwater quarantine discard --where …"
        } else {
            "leave such rows out by `source.where`, or compute the column under `columns`"
        };
        return Err(Error::usage(format!("the version column `{name}` holds {told} is no {what}")).hint(hint));
    }
    Ok(())
}

/// What would be lost of an entry: a value that did not fit its column, and one of a column that is not loaded now. Such an
/// entry stays open.
fn still_wrong(spec: &LoadSpec, quarantine: &Table) -> Result<Vec<String>> {
    let there = quarantine.arrow_schema()?;
    let names = there.fields().iter().map(|field| field.name());
    let lost = names.filter(|name| name.starts_with(BESIDE) || spec.lost.contains(name));
    Ok(lost.map(|name| format!("{} IS NULL", column("q", name))).collect())
}

/// The columns that staging got since the last row was kept out, as a quarantine that lacks them has them: NULL.
fn lacking(spec: &LoadSpec, quarantine: &Table) -> Result<String> {
    let there = quarantine.arrow_schema()?;
    let lacking = spec.staging_columns().filter(|(name, _)| there.field_with_name(name).is_err());
    let nulls: Vec<String> = lacking
        .map(|(name, data_type)| {
            let field = Field { name: name.to_owned(), data_type: data_type.clone(), nullable: true };
            let arrow = Literal::text(arrow_field(&field).data_type().to_string()).sql(Dialect::Engine);
            format!(", arrow_cast(NULL, {arrow}) AS {}", Ident(name))
        })
        .collect();
    Ok(nulls.concat())
}

/// Registers the rows that arrived since the last load; gives the relations' names, and a digest of what
/// they are read from.
async fn register_arrived<'e>(
    engine: &'e Engine,
    spec: &LoadSpec,
    reading: &ReadPlan,
    staging: &Table,
) -> Result<(Vec<Known<'e>>, Vec<String>, Option<String>)> {
    let Arrived::After(version) = reading.arrived else { return Ok((Vec::new(), Vec::new(), None)) };
    let incremental = &spec.rules.incremental;
    let Some(arrivals) = Arrivals::since(staging, version).await? else {
        if incremental.mode == Mode::Window && incremental.late == Late::Skip {
            // Late rows are only counted: without the log, all rows below the window are.
            return Ok((Vec::new(), vec!["staging".to_owned()], None));
        }
        return Err(arrivals_unknown(staging, version));
    };
    let (mut known, mut names) = (Vec::new(), Vec::new());
    for (index, provider) in arrivals.providers(staging, &engine.state()).await?.into_iter().enumerate() {
        let name = format!("arrived_{index}");
        known.extend(Box::pin(register_mapped(engine, spec, &name, provider)).await?);
        names.push(name);
    }
    Ok((known, names, Some(arrivals.digest())))
}

/// Why a batch cannot be read when staging's log was cleaned too early, and what helps.
#[must_use]
pub fn arrivals_unknown(staging: &Table, version: u64) -> Error {
    Error::person(format!(
        "log entries of `{}` after version {version} are gone, so nobody can tell which rows arrived since",
        staging.name()
    ))
    .hint(
        "in mode window, `late: skip` loads the window alone; in mode changes, give the pipeline another \
         name: its first batch takes all of staging, and finds unchanged what is loaded. Keep staging's log \
         longer (delta.logRetentionDuration)",
    )
}

/// How many rows the filter left out. Of some, nobody can say whether the batch would have taken them: what the filter
/// leaves out may be what does not fit. Then all are counted.
async fn filtered(
    engine: &Engine,
    spec: &LoadSpec,
    text: &Text<'_>,
    reading: &ReadPlan,
    arrived: &[String],
) -> Result<i64> {
    let Some(sql) = text.filtered_count(reading, arrived) else { return Ok(0) };
    let params = text.window_params(reading);
    match engine.rows(&sql, &used(&sql, &params)).await {
        Ok(rows) => first_number(&rows, "n"),
        Err(error) if error.kind() == Kind::Bug && spec.mapped.is_some() => {
            tracing::debug!(error = error.chain(), "counting all rows that the filter leaves out");
            first_number(&engine.rows(&text.all_filtered_count(reading, arrived), &Params::new()).await?, "n")
        }
        Err(error) => Err(error),
    }
}

async fn optional_count(engine: &Engine, sql: Option<String>, params: &Params) -> Result<i64> {
    match sql {
        Some(sql) => first_number(&engine.rows(&sql, &used(&sql, params)).await?, "n"),
        None => Ok(0),
    }
}

/// The parameters that the statement names: DataFusion refuses others.
fn used(sql: &str, params: &Params) -> Params {
    let named = placeholders(sql);
    params.iter().filter(|(name, _)| named.iter().any(|(other, _)| other == name)).cloned().collect()
}
