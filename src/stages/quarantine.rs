//! Rows that are kept out: which they are, their entries in the quarantine, and what becomes of those.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deltalake::arrow::array::{
    ArrayRef, AsArray, BooleanArray, ListBuilder, RecordBatch, StringArray, StringBuilder, StructBuilder,
    TimestampMicrosecondArray, UInt32Array, new_null_array,
};
use deltalake::arrow::compute::{cast, concat_batches, filter_record_batch, take};
use deltalake::arrow::datatypes::{DataType, Field, Fields, Schema};

use super::check_text::demand;
use super::gate::Gated;
use super::rows::{first_number, texts};
use super::selection::selected;
use super::text::{FILE, HASH};
use crate::engine::sql::{Ident, Param, Params, Template, column};
use crate::engine::{Engine, Rows};
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::model::{Action, Change, EntryStatus, QuarantineWork, Selection};
use crate::plan::Recipe;

/// What becomes of the batch whose rows are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A load that is committed: rows that a check keeps out become entries.
    Load,
    /// A replay that is committed: what it finds older than the target, or tied with it, is closed too.
    Replay,
    /// It is rejected: every row that breaks a check which is more than a warning is evidence.
    Reject,
}

/// Rows of a batch that are kept, and the entries of the quarantine that it changes.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    /// New entries, in the quarantine's schema.
    pub rows: Vec<RecordBatch>,
    /// Entries that get another status.
    pub changes: Vec<Change>,
}

/// How many rows are kept out if the batch is committed, and how many are evidence if it is rejected.
///
/// # Errors
/// Fails when the rows are not what the gate makes.
pub fn count_kept(gated: &Gated) -> Result<(i64, i64)> {
    let Some(broken) = whole(gated)? else { return Ok((0, 0)) };
    let count = |fate| Ok(i64::try_from(kept(&broken, fate)?.true_count()).unwrap_or(i64::MAX));
    Ok((count(Fate::Load)?, count(Fate::Reject)?))
}

/// Gives the rows that are kept out a class of their own.
///
/// # Errors
/// Fails when the query does.
pub async fn keep_out(engine: &Engine, recipe: &Recipe, located: &Rows, gated: &Gated) -> Result<Rows> {
    let Some(broken) = whole(gated)? else { return Ok(located.clone()) };
    let mask = kept(&broken, Fate::Load)?;
    let failed = |error| Error::bug("rows cannot be picked").because(Box::new(error) as Box<_>);
    let picked = filter_record_batch(&broken, &mask).map_err(failed)?;
    if picked.num_rows() == 0 {
        return Ok(located.clone());
    }
    engine.register_rows("picked", &Rows { schema: picked.schema(), batches: vec![picked] })?;
    let sql = format!(
        "SELECT {} AS `__hw_known_hash`, {} AS `__hw_known_version` FROM picked",
        Ident(HASH),
        Ident(&recipe.rules.version)
    );
    let kept = engine.rows(&sql, &Params::new()).await?;
    engine.forget("picked")?;
    reclassify(engine, recipe, located, &kept).await
}

/// The same for a later group of a batch, as its first commit says: rows of entries that stay open or discarded,
/// and those of new ones. `at_base` is the quarantine that the batch was judged by, `added` are its new entries.
///
/// # Errors
/// Fails when the query does.
pub async fn keep_out_known(
    engine: &Engine,
    recipe: &Recipe,
    located: &Rows,
    work: &QuarantineWork,
    at_base: &Table,
    added: Vec<RecordBatch>,
) -> Result<Rows> {
    let version = &recipe.rules.version;
    let data_type = recipe.data_type(version).ok_or_else(|| Error::bug("the version has no type"))?;
    let entry = format!(
        "`dq_row_hash` AS `__hw_known_hash`, CAST({} AS {data_type}) AS `__hw_known_version`",
        Ident(version)
    );
    engine.register("quarantine", at_base.rows(&engine.state()).await?)?;
    register_changes(engine, work)?;
    let mut sql = format!(
        "SELECT {entry} FROM quarantine AS q LEFT JOIN changes AS c ON q.`dq_entry_id` = c.`__hw_id` \
         WHERE `dq_pipeline` = $pipeline AND COALESCE(c.`__hw_to`, q.`dq_status`) IN ('open', 'discarded')"
    );
    if let Some(first) = added.first() {
        engine.register_rows("added", &Rows { schema: first.schema(), batches: added })?;
        sql.push_str(&format!(" UNION ALL SELECT {entry} FROM added"));
    }
    let params = vec![("pipeline", Param::Text(recipe.rules.pipeline.clone()))];
    let kept = engine.rows(&sql, &params).await?;
    for name in ["quarantine", "changes", "added"] {
        engine.forget(name)?;
    }
    if kept.is_empty() { Ok(located.clone()) } else { reclassify(engine, recipe, located, &kept).await }
}

/// How many rows are kept out that tie with the target's, and would have replaced it.
///
/// # Errors
/// Fails when the query does.
pub async fn count_kept_ties(engine: &Engine, recipe: &Recipe, located: &Rows) -> Result<i64> {
    engine.register_rows("classified", located)?;
    let sql = format!(
        "SELECT COUNT(*) AS `n` FROM classified WHERE `__hw_class` = 'quarantined' AND {} = `__hw_t_version`",
        Ident(&recipe.rules.version)
    );
    let counted = engine.rows(&sql, &Params::new()).await?;
    engine.forget("classified")?;
    first_number(&counted, 0)
}

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
    let version = &recipe.rules.version;
    engine.register("quarantine", quarantine.rows(&engine.state()).await?)?;
    engine.register_rows("classified", located)?;
    let sql = format!(
        "SELECT DISTINCT q.`dq_entry_id` FROM quarantine AS q JOIN classified AS s ON {} \
         WHERE s.`__hw_class` <> 'quarantined' AND NOT (q.`dq_row_hash` = s.{} AND {} = {}) AND {} \
         ORDER BY q.`dq_entry_id`",
        on.join(" AND "),
        Ident(HASH),
        column("q", version),
        column("s", version),
        selected(recipe, selection, Some(EntryStatus::Open)),
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

async fn reclassify(engine: &Engine, recipe: &Recipe, located: &Rows, kept: &Rows) -> Result<Rows> {
    let columns: Vec<String> = located
        .schema
        .fields()
        .iter()
        .filter(|field| field.name() != "__hw_class")
        .map(|field| column("s", field.name()))
        .collect();
    let sql = Template::new(include_str!("../sql/kept_out.sql"))
        .set("columns", columns.join(", "))
        .set("version", Ident(&recipe.rules.version).to_string())
        .finish();
    engine.register_rows("classified", located)?;
    engine.register_rows("kept", kept)?;
    let rows = engine.rows(&sql, &Params::new()).await?;
    engine.forget("classified")?;
    engine.forget("kept")?;
    Ok(rows)
}

/// The entries of a batch: new ones, and what becomes of those that the quarantine has.
///
/// # Errors
/// Fails when a value does not fit the quarantine's column.
pub fn entries(
    recipe: &Recipe,
    gated: &Gated,
    fate: Fate,
    batch_id: &str,
    at: DateTime<Utc>,
    quarantine: &Table,
) -> Result<Entries> {
    let Some(broken) = whole(gated)? else { return Ok(Entries::default()) };
    let mask = kept(&broken, fate)?;
    let (ids, known) = (column_texts(&broken, "__hw_entry_id")?, column_texts(&broken, "__hw_known")?);
    let (status, class) = (column_texts(&broken, "__hw_status")?, column_texts(&broken, "__hw_class")?);
    let mut new: BTreeMap<&str, u32> = BTreeMap::new();
    let mut changed: BTreeMap<EntryStatus, BTreeSet<String>> = BTreeMap::new();
    for row in 0..broken.num_rows() {
        let Some(entry) = &known[row] else {
            if mask.value(row) {
                // Rows that are alike in all that is loaded are one entry.
                let at = u32::try_from(row).map_err(|error| Error::bug("too many rows").because(error))?;
                new.entry(ids[row].as_deref().unwrap_or_default()).or_insert(at);
            }
            continue;
        };
        let to = next_status(fate, mask.value(row), status[row].as_deref(), class[row].as_deref());
        if let Some(to) = to {
            changed.entry(to).or_default().insert(entry.clone());
        }
    }
    let changes = changed
        .into_iter()
        .map(|(status, entries)| Change {
            entries: entries.into_iter().collect(),
            status,
            resolution: (status != EntryStatus::Open).then(|| batch_id.to_owned()),
        })
        .collect();
    let rows = if new.is_empty() {
        Vec::new()
    } else {
        let picked = UInt32Array::from_iter_values(new.into_values());
        vec![entry_rows(recipe, &broken, &picked, batch_id, at, quarantine)?]
    };
    Ok(Entries { rows, changes })
}

/// What becomes of an entry whose row is met again.
fn next_status(fate: Fate, is_kept: bool, status: Option<&str>, class: Option<&str>) -> Option<EntryStatus> {
    let open = status == Some(EntryStatus::Open.as_str());
    let discarded = status == Some(EntryStatus::Discarded.as_str());
    if is_kept {
        // It was loaded once, and is kept out now: somebody has to look at it again.
        return (!open && !discarded).then_some(EntryStatus::Open);
    }
    if !open || fate == Fate::Reject {
        return None;
    }
    match class {
        Some("inserted" | "updated" | "unchanged") => Some(EntryStatus::Replayed),
        Some("stale" | "tied") if fate == Fate::Replay => Some(EntryStatus::Stale),
        _ => None,
    }
}

/// Which of the rows are kept.
fn kept(broken: &RecordBatch, fate: Fate) -> Result<BooleanArray> {
    let held = flags(broken, "__hw_held")?;
    let breaks = flags(broken, if fate == Fate::Reject { "__hw_broken" } else { "__hw_fails" })?;
    let status = column_texts(broken, "__hw_status")?;
    let discarded = Some(EntryStatus::Discarded.as_str());
    let rows = (0..broken.num_rows())
        .map(|row| held.value(row) && (breaks.value(row) || status[row].as_deref() == discarded));
    Ok(rows.map(Some).collect())
}

/// The picked rows as entries: staging's columns as they were, then our own.
fn entry_rows(
    recipe: &Recipe,
    broken: &RecordBatch,
    picked: &UInt32Array,
    batch_id: &str,
    at: DateTime<Utc>,
    quarantine: &Table,
) -> Result<RecordBatch> {
    let unfit = |error| {
        Error::usage(format!("`{}` cannot take a row that is kept out", quarantine.name()))
            .because(Box::new(error) as Box<_>)
            .hint("compare it with staging: `highwater init` names the differences")
    };
    let rows = picked.len();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; rows])) };
    let timestamp = TimestampMicrosecondArray::from(vec![at.timestamp_micros(); rows]).with_timezone("UTC");
    let schema = quarantine.arrow_schema()?;
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let source = match field.name().as_str() {
            "dq_entry_id" => Some("__hw_entry_id"),
            "dq_row_hash" => Some(HASH),
            name => Some(name).filter(|name| !name.starts_with("dq_")),
        };
        let values: ArrayRef = match field.name().as_str() {
            "dq_pipeline" => text(&recipe.rules.pipeline),
            "dq_batch_id" => text(batch_id),
            "dq_status" => text(EntryStatus::Open.as_str()),
            "dq_quarantined_at" => Arc::new(timestamp.clone()),
            "dq_errors" => errors(recipe, broken, picked)?,
            _ => match source.and_then(|name| broken.column_by_name(name)) {
                Some(values) => take(values, picked, None).map_err(unfit)?,
                None => new_null_array(field.data_type(), rows),
            },
        };
        columns.push(cast(&values, field.data_type()).map_err(unfit)?);
    }
    RecordBatch::try_new(schema, columns).map_err(unfit)
}

/// For each picked row, the checks that it breaks.
fn errors(recipe: &Recipe, broken: &RecordBatch, picked: &UInt32Array) -> Result<ArrayRef> {
    let parts = ["check", "column", "message", "value"];
    let fields: Fields = parts.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let builders: Vec<Box<dyn deltalake::arrow::array::ArrayBuilder>> =
        parts.iter().map(|_| Box::new(StringBuilder::new()) as Box<_>).collect();
    let item = Field::new("element", DataType::Struct(fields.clone()), true);
    let mut list = ListBuilder::new(StructBuilder::new(fields, builders)).with_field(item);
    let mut checks = Vec::new();
    for (index, check) in recipe.checks.iter().enumerate() {
        if !check.kind.is_of_rows() || check.action == Action::Warn {
            continue;
        }
        let found = match &check.column {
            Some(_) => Some(column_texts(broken, &format!("__hw_x{index}"))?),
            None => None,
        };
        checks.push((check, flags(broken, &format!("__hw_f{index}"))?.clone(), found, demand(check)));
    }
    for row in picked.values() {
        let row = *row as usize;
        for (check, fails, found, demand) in checks.iter().filter(|(_, fails, ..)| fails.value(row)) {
            debug_assert!(fails.value(row));
            let value = found.as_ref().and_then(|found| found[row].clone());
            let texts = [Some(check.name.clone()), check.column.clone(), Some(demand.clone()), value];
            let entry = list.values();
            for (at, text) in texts.into_iter().enumerate() {
                if let Some(builder) = entry.field_builder::<StringBuilder>(at) {
                    builder.append_option(text);
                }
            }
            entry.append(true);
        }
        list.append(true);
    }
    Ok(Arc::new(list.finish()))
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
) -> Result<(Vec<String>, Vec<RecordBatch>)> {
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
    let sql = Template::new(include_str!("../sql/entries_changed.sql"))
        .set("columns", kept.join(", "))
        .set("reopened", reopened)
        .finish();
    let rows = engine.rows(&sql, &vec![("at", Param::Timestamp(at))]).await?;
    engine.forget("changes")?;
    engine.forget("quarantine")?;

    let mut files = BTreeSet::new();
    for batch in &rows.batches {
        for path in column_texts(batch, FILE)?.into_iter().flatten() {
            files.extend(path.rsplit('/').next().map(str::to_owned));
        }
    }
    Ok((files.into_iter().collect(), in_schema_of(quarantine, &rows)?))
}

/// Makes the entries that get another status known as `changes`.
fn register_changes(engine: &Engine, work: &QuarantineWork) -> Result<()> {
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
                Some(values) => cast(values, field.data_type()).map_err(failed)?,
                None => new_null_array(field.data_type(), batch.num_rows()),
            });
        }
        batches.push(RecordBatch::try_new(Arc::clone(&schema), columns).map_err(failed)?);
    }
    Ok(batches)
}

/// The rows that break a check or are known to the quarantine, in one piece.
fn whole(gated: &Gated) -> Result<Option<RecordBatch>> {
    let Some(rows) = &gated.broken else { return Ok(None) };
    let batch = concat_batches(&rows.schema, &rows.batches)
        .map_err(|error| Error::bug("rows cannot be put together").because(error))?;
    Ok(Some(batch))
}

fn flags<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b BooleanArray> {
    let column = batch.column_by_name(name).and_then(|column| column.as_boolean_opt());
    column.ok_or_else(|| Error::bug(format!("the gate made no {name}")))
}

fn column_texts(batch: &RecordBatch, name: &str) -> Result<Vec<Option<String>>> {
    let column = batch.column_by_name(name).ok_or_else(|| Error::bug(format!("there is no {name}")))?;
    texts(column)
}
