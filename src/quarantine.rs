//! Looks at the quarantine, loads its entries again, and closes those that shall stay out.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::config::BESIDE;
use crate::context::PipelineContext;
use crate::engine::sql::{Ident, Param, Params, column};
use crate::engine::{Failure, Rows};
use crate::error::{Error, Kind, Result};
use crate::events::{RunStep, Subject};
use crate::hooks::Hooks;
use crate::lake::Table;
use crate::lake::record::values;
use crate::model::types::DataType;
use crate::model::{Clock, EntryStatus, Selection};
use crate::notation::near;
use crate::patience::Patience;
use crate::plan::{Accepted, Request};
use crate::preview::preview;
use crate::protocol::{Outcome, Stamp};
use crate::run::{Report, Run};
use crate::stages::quarantine::{Changes, EntryChange, changed};
use crate::stages::rows::{HIDDEN, column_texts, quoted};
use crate::stages::selection::selected;

/// Entries of the quarantine.
#[derive(Debug, Clone)]
pub struct Entries {
    /// The pipeline.
    pub pipeline: String,
    /// The quarantine's name.
    pub table: String,
    /// The key columns.
    pub key: Vec<String>,
    /// The version column.
    pub version: String,
    /// How many entries were selected; more than are listed, perhaps.
    pub selected: usize,
    /// The entries, newest first, by column. Decimals are text, so that no digit is lost.
    pub entries: Vec<Map<String, Value>>,
}

/// The selected entries of a pipeline; with a status, only those that have it.
///
/// # Errors
/// Fails when the selection names what is not there.
pub async fn list(
    opened: &PipelineContext,
    selection: &Selection,
    status: Option<EntryStatus>,
    limit: usize,
) -> Result<Entries> {
    check_selection(opened, selection).await?;
    let (engine, table) = (&opened.engine, &opened.tables.quarantine);
    let condition = selected(&opened.spec, table, selection, status)?;
    let _quarantine = engine.register("quarantine", table.rows(&engine.state()).await?)?;
    let sql = format!("SELECT 1 AS `n` FROM quarantine AS q WHERE {condition}");
    let selected = chosen(opened, &sql).await?.len();
    let columns = table.columns()?.into_iter().map(|column| column.field);
    let columns: Vec<String> = columns
        .map(|field| match field.data_type {
            DataType::Decimal(_, _) => {
                format!("CAST({} AS STRING) AS {}", column("q", &field.name), Ident(&field.name))
            }
            _ => column("q", &field.name),
        })
        .collect();
    let key: Vec<&str> = opened.pipeline.unique_key.iter().map(String::as_str).collect();
    let sql = format!(
        "SELECT {} FROM quarantine AS q WHERE {condition} ORDER BY `dq_quarantined_at` DESC, {} LIMIT {limit}",
        columns.join(", "),
        quoted(&key)
    );
    let mut entries = values(&chosen(opened, &sql).await?)?;
    for entry in &mut entries {
        hide(entry, hidden_of(opened));
    }
    Ok(Entries {
        pipeline: opened.pipeline.name.clone(),
        table: table.name().to_owned(),
        key: opened.pipeline.unique_key.clone(),
        version: opened.pipeline.version.clone(),
        selected,
        entries,
    })
}

/// The columns whose values no report tells.
fn hidden_of(opened: &PipelineContext) -> &BTreeSet<String> {
    // What they are made from is known where the tables fit the pipeline file.
    if opened.spec.pii().is_empty() { &opened.pipeline.pii } else { opened.spec.pii() }
}

/// What is wrong with a condition that a person wrote; not the value that it fails on, where it may be a person's.
fn told_of_filter(opened: &PipelineContext, why: String) -> String {
    if hidden_of(opened).is_empty() { why } else { "fails on a value of an entry".to_owned() }
}

/// Takes values out of an entry that no report tells.
fn hide(entry: &mut Map<String, Value>, pii: &BTreeSet<String>) {
    let is_hidden = |name: &str| pii.contains(name.strip_prefix(BESIDE).unwrap_or(name));
    for (name, value) in entry.iter_mut() {
        if is_hidden(name) && !value.is_null() {
            *value = HIDDEN.into();
        }
    }
    let errors = entry.get_mut("dq_errors").and_then(Value::as_array_mut).into_iter().flatten();
    for error in errors.filter_map(Value::as_object_mut) {
        let of_hidden = error.get("column").and_then(Value::as_str).is_some_and(is_hidden);
        if let Some(value) = error.get_mut("value").filter(|value| of_hidden && !value.is_null()) {
            *value = HIDDEN.into();
        }
    }
}

/// How many open entries are selected.
///
/// # Errors
/// Fails when the selection names what is not there.
pub async fn count_open(opened: &PipelineContext, selection: &Selection) -> Result<usize> {
    check_selection(opened, selection).await?;
    let table = &opened.tables.quarantine;
    let condition = selected(&opened.spec, table, selection, Some(EntryStatus::Open))?;
    Ok(ids(opened, table, &condition).await?.len())
}

/// Loads the selected open entries as a batch of its own: through dedupe, gate and guard again. With `dry_run`,
/// only says what would be loaded.
///
/// # Errors
/// Fails as a run does.
pub async fn replay(
    opened: &mut PipelineContext,
    clock: Clock,
    hooks: &Hooks,
    selection: Selection,
    accepted: Accepted,
    dry_run: bool,
) -> Result<Report> {
    check_selection(opened, &selection).await?;
    let request = Request::Replay(selection, accepted);
    if dry_run {
        return preview(opened, clock, hooks, request).await;
    }
    Run::new(opened, clock, hooks, request).until_done().await
}

/// Closes the selected open entries: their rows stay out from now on. Gives their number.
///
/// # Errors
/// Fails when the selection names what is not there, or when others keep committing.
pub async fn discard(
    opened: &mut PipelineContext,
    clock: Clock,
    hooks: &Hooks,
    selection: &Selection,
    reason: &str,
) -> Result<usize> {
    check_selection(opened, selection).await?;
    let condition = selected(&opened.spec, &opened.tables.quarantine, selection, Some(EntryStatus::Open))?;
    let closed = selected(&opened.spec, &opened.tables.quarantine, selection, Some(EntryStatus::Discarded))?;
    let mut patience = Patience::default();
    // Entries of commits that nobody answered to, and that the log did not tell of at once.
    let mut unanswered: BTreeSet<String> = BTreeSet::new();
    loop {
        opened.tables.quarantine.refresh().await?;
        let table = &opened.tables.quarantine;
        let before = if unanswered.is_empty() {
            0
        } else {
            let closed = ids(opened, table, &closed).await?;
            closed.iter().filter(|id| unanswered.contains(*id)).count()
        };
        let entries = ids(opened, table, &condition).await?;
        if entries.is_empty() {
            return Ok(before);
        }
        let number = before + entries.len();
        let tried = entries.clone();
        hooks.begin(RunStep::Quarantine, Subject::Entries(number));
        let resolution = Some(reason.to_owned());
        let change = EntryChange { entries, status: EntryStatus::Discarded, resolution };
        let work = Changes { changes: vec![change], ..Changes::default() };
        let (dropped, rewritten) = changed(&opened.engine, &work, "", clock.now(), table).await?;
        let adds = table.write_files(rewritten).await?;
        match table.commit_files(&adds, &dropped, Stamp::default()).await? {
            Outcome::Committed(_) => {
                hooks.end(RunStep::Quarantine, Subject::Entries(number));
                return Ok(number);
            }
            Outcome::Lost => patience.lose(None).await?,
            Outcome::Unknown(error) => {
                unanswered.extend(tried);
                patience.lose(Some(error)).await?;
            }
        }
    }
}

/// Runs a query in which a person wrote the condition.
async fn chosen(opened: &PipelineContext, sql: &str) -> Result<Rows> {
    let engine = &opened.engine;
    engine.rows(sql, &Params::new()).await.map_err(|error| match error.kind() {
        Kind::Bug => match engine.words_of(&error).map(|why| told_of_filter(opened, why)) {
            Some(why) => Error::usage(format!("`--where` {why}")).hint("correct `--where`"),
            None => error,
        },
        _ => error,
    })
}

async fn ids(opened: &PipelineContext, table: &Table, condition: &str) -> Result<Vec<String>> {
    let engine = &opened.engine;
    let _quarantine = engine.register("quarantine", table.rows(&engine.state()).await?)?;
    let sql = format!("SELECT q.`dq_entry_id` FROM quarantine AS q WHERE {condition} ORDER BY `dq_entry_id`");
    let rows = chosen(opened, &sql).await?;
    let ids = values(&rows)?.into_iter().filter_map(|mut row| row.remove("dq_entry_id"));
    Ok(ids.filter_map(|id| id.as_str().map(str::to_owned)).collect())
}

/// What a person selects by must be there.
async fn check_selection(opened: &PipelineContext, selection: &Selection) -> Result<()> {
    let key = &opened.pipeline.unique_key;
    if let Some(values) = &selection.key
        && values.len() != key.len()
    {
        return Err(Error::usage(format!(
            "the key is ({}), and {} values are given",
            key.join(", "),
            values.len()
        ))
        .hint("give one value for each of its columns, in this order"));
    }
    // What is given for the key must be values of its columns.
    selected(&opened.spec, &opened.tables.quarantine, selection, None)?;
    if let Some(check) = &selection.check {
        known_check(opened, check).await?;
    }
    if let Some(filter) = &selection.filter {
        let engine = &opened.engine;
        let _quarantine =
            engine.register("quarantine", opened.tables.quarantine.rows(&engine.state()).await?)?;
        let found = engine.expression_type(filter, "quarantine AS q").await;
        let columns = engine.names_columns(filter, "quarantine AS q").await;
        match found {
            Ok(deltalake::arrow::datatypes::DataType::Boolean) if columns => {
                try_filter(opened, selection).await?;
            }
            Ok(deltalake::arrow::datatypes::DataType::Boolean) => {
                return Err(Error::usage("`--where` names no column, and would mean every entry or none"));
            }
            Ok(other) => return Err(Error::usage(format!("`--where` is {other}, not true or false"))),
            Err(why) => return Err(Error::usage(format!("`--where` {why}"))),
        }
    }
    Ok(())
}

/// Whether `--where` can be computed of every entry that it may be asked of, and in time.
async fn try_filter(opened: &PipelineContext, selection: &Selection) -> Result<()> {
    let (engine, table, limit) = (&opened.engine, &opened.tables.quarantine, opened.pipeline.checks_timeout);
    let condition = selected(&opened.spec, table, selection, None)?;
    let _quarantine = engine.register("quarantine", table.rows(&engine.state()).await?)?;
    let sql = format!("SELECT COUNT(*) FROM quarantine AS q WHERE {condition}");
    let tried = engine.try_rows(&sql, limit).await;
    match tried {
        Ok(_) => Ok(()),
        Err(Failure::Late) => Err(Error::usage(format!(
            "`--where` takes longer than {} s, the pipeline's `checks_timeout`",
            limit.as_secs()
        ))
        .hint("make the condition cheaper, or raise `checks_timeout` in the pipeline file")),
        Err(Failure::Unfit(why)) => {
            let why = told_of_filter(opened, why);
            Err(Error::usage(format!("`--where` {why}"))
                .hint("`try_cast` gives NULL where a text does not fit"))
        }
        Err(Failure::Other(error)) => Err(error),
    }
}

/// A check that a person selects by is one of the pipeline's, or one that kept a row out before.
async fn known_check(opened: &PipelineContext, name: &str) -> Result<()> {
    let (engine, table) = (&opened.engine, &opened.tables.quarantine);
    let mut known: BTreeSet<String> = opened.spec.checks.iter().map(|check| check.name.clone()).collect();
    known.extend(opened.pipeline.checks.iter().map(|check| check.name.clone()));
    if known.contains(name) {
        return Ok(());
    }
    let _quarantine = engine.register("quarantine", table.rows(&engine.state()).await?)?;
    let sql = "SELECT DISTINCT get_field(e.`error`, 'check') AS `check` FROM (SELECT UNNEST(`dq_errors`) AS `error` \
               FROM quarantine WHERE `dq_pipeline` = $pipeline) AS e";
    let rows = engine.rows(sql, &vec![("pipeline", Param::text(&opened.pipeline.name))]).await?;
    for batch in &rows.batches {
        known.extend(column_texts(batch, "check")?.into_iter().flatten());
    }
    if known.contains(name) {
        return Ok(());
    }
    let meant = near(name, known.iter().map(String::as_str), 1);
    let hint = match meant.first() {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the checks are {}", known.iter().cloned().collect::<Vec<_>>().join(", ")),
    };
    Err(Error::usage(format!("there is no check `{name}`")).hint(hint))
}
