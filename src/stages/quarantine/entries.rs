//! The entries of rows that are kept out, in the quarantine's schema.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use deltalake::arrow::array::{
    ArrayRef, ListBuilder, RecordBatch, StringArray, StringBuilder, StructBuilder, TimestampMicrosecondArray,
    UInt32Array, new_null_array,
};
use deltalake::arrow::compute::{cast_with_options, take};
use deltalake::arrow::datatypes::{DataType, Field, Fields};

use super::EXACT;
use super::broken::{Fate, broken, flags, held, is_discarded, judged, kept};
use super::change::EntryChange;
use super::told::{demand, shortened};
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::model::{Action, EntryStatus};
use crate::plan::LoadSpec;
use crate::stages::gate::Gated;
use crate::stages::rows::column_texts;
use crate::stages::text::HASH;

/// Entries that are made at once: what they hold, and what they tell of it, is to fit a text column.
const CHUNK: usize = 4096;

/// Rows of a batch that are kept, and the entries of the quarantine that it changes.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    /// New entries, in the quarantine's schema.
    pub rows: Vec<RecordBatch>,
    /// Entries that get another status.
    pub changes: Vec<EntryChange>,
    /// Entries whose row no load in effect kept out before.
    pub claims: Vec<String>,
}

/// The entries of a batch: new ones, and what becomes of those that the quarantine has.
///
/// # Errors
/// Fails when a value does not fit the quarantine's column.
pub fn entries(
    spec: &LoadSpec,
    gated: &Gated,
    fate: Fate,
    batch_id: &str,
    at: DateTime<Utc>,
    quarantine: &Table,
) -> Result<Entries> {
    let mut found = Entries::default();
    let mut new: BTreeSet<String> = BTreeSet::new();
    let mut changed: BTreeMap<EntryStatus, BTreeSet<String>> = BTreeMap::new();
    let mut claims: BTreeSet<String> = BTreeSet::new();
    for rows in broken(gated) {
        let mask = kept(rows, fate)?;
        let (ids, known) = (column_texts(rows, "__hw_entry_id")?, column_texts(rows, "__hw_known")?);
        let (status, class) = (column_texts(rows, "__hw_status")?, column_texts(rows, "__hw_class")?);
        let by_load = flags(rows, "__hw_by_load")?;
        let mut picked = Vec::new();
        for (row, (id, known)) in ids.into_iter().zip(known).enumerate() {
            let is_kept = mask.value(row);
            let Some(entry) = known else {
                // Rows that are alike in all that is loaded are one entry.
                if is_kept && new.insert(id.unwrap_or_default()) {
                    picked.push(
                        u32::try_from(row).map_err(|error| Error::bug("too many rows").because(error))?,
                    );
                }
                continue;
            };
            let status = status[row].as_deref();
            if is_kept && fate == Fate::Load && !by_load.value(row) && !is_discarded(status) {
                claims.insert(entry.clone());
            }
            if let Some(to) = next_status(fate, is_kept, status, class[row].as_deref()) {
                changed.entry(to).or_default().insert(entry);
            }
        }
        for picked in picked.chunks(CHUNK) {
            let picked = UInt32Array::from(picked.to_vec());
            found.rows.push(entry_rows(spec, rows, &picked, batch_id, at, quarantine)?);
        }
    }
    for rows in judged(gated) {
        let (known, status) = (column_texts(rows, "__hw_known")?, column_texts(rows, "__hw_status")?);
        let (held, class) = (held(rows)?, column_texts(rows, "__hw_class")?);
        for (row, entry) in known.into_iter().enumerate() {
            let to = next_status(fate, held.value(row), status[row].as_deref(), class[row].as_deref());
            if let (Some(to), Some(entry)) = (to, entry) {
                changed.entry(to).or_default().insert(entry);
            }
        }
    }
    let change = |(status, entries): (EntryStatus, BTreeSet<String>)| EntryChange {
        entries: entries.into_iter().collect(),
        status,
        resolution: (status != EntryStatus::Open).then(|| batch_id.to_owned()),
    };
    found.changes = changed.into_iter().map(change).collect();
    found.claims = claims.into_iter().collect();
    Ok(found)
}

/// What becomes of an entry whose row is met again.
fn next_status(fate: Fate, is_kept: bool, status: Option<&str>, class: Option<&str>) -> Option<EntryStatus> {
    let open = status == Some(EntryStatus::Open.as_str());
    if is_kept {
        // It was loaded once, and is kept out now: somebody has to look at it again.
        return (!open && !is_discarded(status)).then_some(EntryStatus::Open);
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

/// The picked rows as entries: staging's columns as they were, then our own.
fn entry_rows(
    spec: &LoadSpec,
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
            "dq_pipeline" => text(&spec.rules.pipeline),
            "dq_batch_id" => text(batch_id),
            "dq_status" => text(EntryStatus::Open.as_str()),
            "dq_quarantined_at" => Arc::new(timestamp.clone()),
            "dq_errors" => errors(spec, broken, picked)?,
            _ => match source.and_then(|name| broken.column_by_name(name)) {
                Some(values) => take(values, picked, None).map_err(unfit)?,
                None => new_null_array(field.data_type(), rows),
            },
        };
        // Not as Arrow would by itself: a value that does not fit may not become NULL.
        columns.push(cast_with_options(&values, field.data_type(), &EXACT).map_err(unfit)?);
    }
    RecordBatch::try_new(schema, columns).map_err(unfit)
}

/// For each picked row, the checks that it breaks.
fn errors(spec: &LoadSpec, broken: &RecordBatch, picked: &UInt32Array) -> Result<ArrayRef> {
    let parts = ["check", "column", "message", "value"];
    let fields: Fields = parts.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let builders: Vec<Box<dyn deltalake::arrow::array::ArrayBuilder>> =
        parts.iter().map(|_| Box::new(StringBuilder::new()) as Box<_>).collect();
    let item = Field::new("element", DataType::Struct(fields.clone()), true);
    let mut list = ListBuilder::new(StructBuilder::new(fields, builders)).with_field(item);
    let mut checks = Vec::new();
    for (index, check) in spec.checks.iter().enumerate() {
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
        for (check, _, found, demand) in checks.iter().filter(|(_, fails, ..)| fails.value(row)) {
            let value = found.as_ref().and_then(|found| found[row].clone()).map(shortened);
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
