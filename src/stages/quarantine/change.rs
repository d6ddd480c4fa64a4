//! What becomes of entries that the quarantine has.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deltalake::arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use deltalake::arrow::compute::cast_with_options;
use deltalake::arrow::datatypes::{DataType, Field, Schema};

use super::EXACT;
use crate::engine::sql::{Param, Params, Template, column};
use crate::engine::{Engine, Known, Rows, Slices};
use crate::error::{Error, Result};
use crate::lake::{FileId, Table};
use crate::model::{Dialect, EntryStatus, Literal, QuarantineWork, Selection, StatusChange};
use crate::plan::LoadSpec;
use crate::stages::rows::column_texts;
use crate::stages::selection::selected;
use crate::stages::text::{FILE, Text};

/// Selected entries whose row lost the dedupe to another entry's, which is not kept out: what they hold is
/// older than the target by now.
///
/// # Errors
/// Fails when the query does.
pub async fn superseded_entries(
    engine: &Engine,
    spec: &LoadSpec,
    selection: &Selection,
    quarantine: &Table,
    located: &Slices,
) -> Result<Vec<String>> {
    let on = Text::new(spec).on_key("q", "s");
    let _quarantine = engine.register("quarantine", quarantine.rows(&engine.state()).await?)?;
    let _classified = engine.register_slices("classified", located)?;
    let sql = format!(
        "SELECT DISTINCT q.`dq_entry_id` FROM (SELECT q.* FROM quarantine AS q WHERE {}) AS q \
         JOIN classified AS s ON {} \
         WHERE s.`__hw_class` <> 'quarantined' AND q.`dq_entry_id` <> s.`dq_entry_id` \
         ORDER BY q.`dq_entry_id`",
        // A person's condition names columns as they are: beside the batch's rows, it would be ambiguous.
        selected(spec, quarantine, selection, Some(EntryStatus::Open))?,
        on,
    );
    let rows = engine.rows(&sql, &Params::new()).await?;
    entry_ids(&rows)
}

/// Entries that get another status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryChange {
    /// The entries' ids.
    pub entries: Vec<String>,
    /// Their status from now on.
    pub status: EntryStatus,
    /// The batch, or the reason, that closes them; `None` where they open.
    pub resolution: Option<String>,
}

/// What becomes of entries that the quarantine has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Entries that get another status.
    pub changes: Vec<EntryChange>,
    /// Ids of entries whose row no load in effect kept out before: they are the batch's from now on.
    pub claims: Vec<String>,
    /// Batches that are taken back: the entries that they closed open again.
    pub reopen: Vec<String>,
}

impl Changes {
    /// What a record says, its long lists read from their files.
    ///
    /// # Errors
    /// Fails when such a file is gone.
    pub async fn of(work: &QuarantineWork, quarantine: &Table) -> Result<Self> {
        let claims = quarantine.items(&work.claims, work.claims_file.as_ref()).await?;
        Ok(Self { claims, reopen: work.reopen.clone(), ..Self::of_status(work, quarantine).await? })
    }

    /// The same, but only which entries get another status.
    ///
    /// # Errors
    /// Fails when a file with such is gone.
    pub(super) async fn of_status(work: &QuarantineWork, quarantine: &Table) -> Result<Self> {
        let mut changes = Vec::new();
        for StatusChange { entries, entries_file, status, resolution } in &work.changes {
            let entries = quarantine.items(entries, entries_file.as_ref()).await?;
            changes.push(EntryChange { entries, status: *status, resolution: resolution.clone() });
        }
        Ok(Self { changes, ..Self::default() })
    }

    /// Whether there are any.
    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.claims.is_empty() && self.reopen.is_empty()
    }
}

/// A batch's new entries, held against the quarantine once more.
#[derive(Debug, Clone, Default)]
pub struct Compared {
    /// Entries that are not there yet.
    pub rows: Vec<RecordBatch>,
    /// Ids of those that another batch has written since they were chosen.
    pub known: Vec<String>,
}

/// Holds new entries against the quarantine: another batch may have written some since they were chosen.
///
/// # Errors
/// Fails when the query does.
pub async fn compared(engine: &Engine, entries: Vec<RecordBatch>, quarantine: &Table) -> Result<Compared> {
    let Some(first) = entries.first() else { return Ok(Compared::default()) };
    let _entries = engine.register_rows("entries", &Rows { schema: first.schema(), batches: entries })?;
    let _quarantine = engine.register("quarantine", quarantine.rows(&engine.state()).await?)?;
    let on = "JOIN quarantine AS q ON e.`dq_entry_id` = q.`dq_entry_id`";
    let rows = engine.rows(&format!("SELECT e.* FROM entries AS e LEFT ANTI {on}"), &Params::new()).await?;
    let known = format!("SELECT e.`dq_entry_id` FROM entries AS e LEFT SEMI {on} ORDER BY e.`dq_entry_id`");
    let known = engine.rows(&known, &Params::new()).await?;
    Ok(Compared { rows: in_schema_of(quarantine, &rows)?, known: entry_ids(&known)? })
}

/// Ids of entries.
fn entry_ids(rows: &Rows) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for batch in &rows.batches {
        found.extend(column_texts(batch, "dq_entry_id")?.into_iter().flatten());
    }
    Ok(found)
}

/// The files of the quarantine that hold entries which change, and their rows as they will be. `batch_id` is the batch
/// that does the work.
///
/// # Errors
/// Fails when the query does.
pub async fn changed(
    engine: &Engine,
    changes: &Changes,
    batch_id: &str,
    at: DateTime<Utc>,
    quarantine: &Table,
) -> Result<(Vec<FileId>, Vec<RecordBatch>)> {
    if changes.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let _changes = register_changes(engine, changes)?;
    let claims: Vec<Option<String>> = changes.claims.iter().cloned().map(Some).collect();
    let _claims = engine.register_rows("claims", &text_rows([("__hw_id", claims)])?)?;
    let _quarantine =
        engine.register("quarantine", quarantine.rows_with_file(&engine.state(), FILE).await?)?;

    let closed: Vec<String> =
        changes.reopen.iter().map(|id| Literal::text(id).sql(Dialect::Engine)).collect();
    let reopened = if closed.is_empty() {
        "FALSE".to_owned()
    } else {
        format!("(q.`dq_status` IN ('replayed', 'stale') AND q.`dq_resolution` IN ({}))", closed.join(", "))
    };
    let own = ["dq_batch_id", "dq_status", "dq_resolution", "dq_resolved_at"];
    let kept = quarantine.columns()?.into_iter().map(|column| column.field.name);
    let kept: Vec<String> =
        kept.filter(|name| !own.contains(&name.as_str())).map(|name| column("q", &name)).collect();
    let sql = Template::new(include_str!("../../sql/entries_changed.sql"))
        .set("columns", kept.join(", "))
        .set("reopened", reopened)
        .finish();
    let params = vec![("at", Param::Timestamp(at)), ("batch", Param::Text(batch_id.to_owned()))];
    let rows = engine.rows(&sql, &params).await?;

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
pub(super) fn register_changes<'e>(engine: &'e Engine, changes: &Changes) -> Result<Known<'e>> {
    let [mut ids, mut statuses, mut resolutions] = [Vec::new(), Vec::new(), Vec::new()];
    for change in &changes.changes {
        for entry in &change.entries {
            ids.push(Some(entry.clone()));
            statuses.push(Some(change.status.as_str().to_owned()));
            resolutions.push(change.resolution.clone());
        }
    }
    let rows = text_rows([("__hw_id", ids), ("__hw_to", statuses), ("__hw_by", resolutions)])?;
    engine.register_rows("changes", &rows)
}

/// Columns of text as rows.
fn text_rows<const N: usize>(columns: [(&str, Vec<Option<String>>); N]) -> Result<Rows> {
    let fields = columns.each_ref().map(|(name, _)| Field::new(*name, DataType::Utf8, true));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let columns = columns.map(|(_, values)| Arc::new(StringArray::from(values)) as ArrayRef).to_vec();
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns)
        .map_err(|error| Error::bug("texts make no rows").because(error))?;
    Ok(Rows { schema, batches: vec![rows] })
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
