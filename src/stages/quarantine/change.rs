//! What becomes of entries that the quarantine has.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deltalake::arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use deltalake::arrow::compute::cast_with_options;
use deltalake::arrow::datatypes::{DataType, Field, Schema};

use super::EXACT;
use super::broken::column_texts;
use crate::engine::sql::{Param, Params, Template, column};
use crate::engine::{Engine, Rows};
use crate::error::{Error, Result};
use crate::lake::{FileId, Table};
use crate::model::{EntryStatus, QuarantineWork, Selection};
use crate::plan::Recipe;
use crate::stages::rows::texts;
use crate::stages::selection::selected;
use crate::stages::text::FILE;

/// Selected entries whose row lost the dedupe to another entry's, which is not kept out: what they hold is
/// older than the target by now.
///
/// # Errors
/// Fails when the query does.
pub async fn superseded_entries(
    engine: &Engine,
    recipe: &Recipe,
    selection: &Selection,
    quarantine: &Table,
    located: &Rows,
) -> Result<Vec<String>> {
    let keys = &recipe.rules.unique_key;
    let on: Vec<String> =
        keys.iter().map(|key| format!("{} = {}", column("q", key), column("s", key))).collect();
    engine.register("quarantine", quarantine.rows(&engine.state()).await?)?;
    engine.register_rows("classified", located)?;
    let sql = format!(
        "SELECT DISTINCT q.`dq_entry_id` FROM (SELECT q.* FROM quarantine AS q WHERE {}) AS q \
         JOIN classified AS s ON {} \
         WHERE s.`__hw_class` <> 'quarantined' AND q.`dq_entry_id` <> s.`dq_entry_id` \
         ORDER BY q.`dq_entry_id`",
        // A person's condition names columns as they are: beside the batch's rows, it would be ambiguous.
        selected(recipe, selection, Some(EntryStatus::Open)),
        on.join(" AND "),
    );
    let rows = engine.rows(&sql, &Params::new()).await?;
    engine.forget("quarantine")?;
    engine.forget("classified")?;
    let mut ids = Vec::new();
    for batch in &rows.batches {
        ids.extend(texts(batch.column(0))?.into_iter().flatten());
    }
    Ok(ids)
}

/// Entries that are not in the quarantine yet: another batch may have written some since they were chosen.
///
/// # Errors
/// Fails when the query does.
pub async fn not_known(
    engine: &Engine,
    entries: Vec<RecordBatch>,
    quarantine: &Table,
) -> Result<Vec<RecordBatch>> {
    let Some(first) = entries.first() else { return Ok(entries) };
    engine.register_rows("entries", &Rows { schema: first.schema(), batches: entries })?;
    engine.register("quarantine", quarantine.rows(&engine.state()).await?)?;
    let sql =
        "SELECT e.* FROM entries AS e LEFT ANTI JOIN quarantine AS q ON e.`dq_entry_id` = q.`dq_entry_id`";
    let rows = engine.rows(sql, &Params::new()).await?;
    engine.forget("entries")?;
    engine.forget("quarantine")?;
    in_schema_of(quarantine, &rows)
}

/// The files of the quarantine that hold entries which get another status, and their rows as they will be.
///
/// # Errors
/// Fails when the query does.
pub async fn changed(
    engine: &Engine,
    work: &QuarantineWork,
    at: DateTime<Utc>,
    quarantine: &Table,
) -> Result<(Vec<FileId>, Vec<RecordBatch>)> {
    if work.changes.is_empty() && work.reopen.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    register_changes(engine, work)?;
    engine.register("quarantine", quarantine.rows_with_file(&engine.state(), FILE).await?)?;

    let closed: Vec<String> = work.reopen.iter().map(|id| Param::Text(id.clone()).to_string()).collect();
    let reopened = if closed.is_empty() {
        "FALSE".to_owned()
    } else {
        format!("(q.`dq_status` IN ('replayed', 'stale') AND q.`dq_resolution` IN ({}))", closed.join(", "))
    };
    let own = ["dq_status", "dq_resolution", "dq_resolved_at"];
    let kept = quarantine.columns()?.into_iter().map(|column| column.field.name);
    let kept: Vec<String> =
        kept.filter(|name| !own.contains(&name.as_str())).map(|name| column("q", &name)).collect();
    let sql = Template::new(include_str!("../../sql/entries_changed.sql"))
        .set("columns", kept.join(", "))
        .set("reopened", reopened)
        .finish();
    let rows = engine.rows(&sql, &vec![("at", Param::Timestamp(at))]).await?;
    engine.forget("changes")?;
    engine.forget("quarantine")?;

    let mut urls = BTreeSet::new();
    for batch in &rows.batches {
        urls.extend(column_texts(batch, FILE)?.into_iter().flatten());
    }
    let files = quarantine.files()?.into_keys().filter(|file| urls.contains(&quarantine.url_of(file)));
    let files: Vec<FileId> = files.collect();
    if files.len() != urls.len() {
        return Err(Error::bug(format!(
            "files of `{}` are not those that it was read from",
            quarantine.name()
        )));
    }
    Ok((files, in_schema_of(quarantine, &rows)?))
}

/// Makes the entries that get another status known as `changes`.
pub(super) fn register_changes(engine: &Engine, work: &QuarantineWork) -> Result<()> {
    let mut table: [Vec<Option<String>>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for change in &work.changes {
        for entry in &change.entries {
            table[0].push(Some(entry.clone()));
            table[1].push(Some(change.status.as_str().to_owned()));
            table[2].push(change.resolution.clone());
        }
    }
    let schema = Arc::new(Schema::new(
        ["__hw_id", "__hw_to", "__hw_by"].map(|name| Field::new(name, DataType::Utf8, true)).to_vec(),
    ));
    let columns = table.map(|values| Arc::new(StringArray::from(values)) as ArrayRef).to_vec();
    let changes = RecordBatch::try_new(Arc::clone(&schema), columns)
        .map_err(|error| Error::bug("changes make no rows").because(error))?;
    engine.register_rows("changes", &Rows { schema, batches: vec![changes] })
}

/// Rows of a query in the table's own schema, by the columns' names.
fn in_schema_of(table: &Table, rows: &Rows) -> Result<Vec<RecordBatch>> {
    let schema = table.arrow_schema()?;
    let failed = |error| Error::bug("entries do not fit their table").because(Box::new(error) as Box<_>);
    let mut batches = Vec::new();
    for batch in rows.batches.iter().filter(|batch| batch.num_rows() > 0) {
        let mut columns = Vec::new();
        for field in schema.fields() {
            columns.push(match batch.column_by_name(field.name()) {
                Some(values) => cast_with_options(values, field.data_type(), &EXACT).map_err(failed)?,
                None => new_null_array(field.data_type(), batch.num_rows()),
            });
        }
        batches.push(RecordBatch::try_new(Arc::clone(&schema), columns).map_err(failed)?);
    }
    Ok(batches)
}
