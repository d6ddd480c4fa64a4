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
use super::broken::{Fate, column_texts, flags, kept, whole};
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::model::{Action, Change, EntryStatus};
use crate::plan::Recipe;
use crate::stages::check_text::demand;
use crate::stages::gate::Gated;
use crate::stages::text::HASH;

/// Rows of a batch that are kept, and the entries of the quarantine that it changes.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    /// New entries, in the quarantine's schema.
    pub rows: Vec<RecordBatch>,
    /// Entries that get another status.
    pub changes: Vec<Change>,
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
        // Not as Arrow would by itself: a value that does not fit may not become NULL.
        columns.push(cast_with_options(&values, field.data_type(), &EXACT).map_err(unfit)?);
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
        for (check, _, found, demand) in checks.iter().filter(|(_, fails, ..)| fails.value(row)) {
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
