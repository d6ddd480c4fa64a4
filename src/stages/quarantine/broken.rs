//! The rows that break a check or are known to the quarantine, as the gate leaves them, batch by batch: all of them in
//! one piece can be more than a text column holds.

use deltalake::arrow::array::{AsArray, BooleanArray, RecordBatch};

use crate::error::{Error, Result};
use crate::model::EntryStatus;
use crate::stages::check_text::ALONE;
use crate::stages::gate::Gated;
use crate::stages::rows::column_texts;

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

/// Rows that were judged by this batch, and break a check or are known.
pub(super) fn broken(gated: &Gated) -> impl Iterator<Item = &RecordBatch> {
    gated.broken.iter().flat_map(|rows| &rows.batches)
}

/// Rows that were judged before, and stay out.
pub(super) fn judged(gated: &Gated) -> impl Iterator<Item = &RecordBatch> {
    gated.judged.iter().flat_map(|rows| &rows.batches)
}

/// Which of the rows that were judged by this batch are kept.
pub(super) fn kept(broken: &RecordBatch, fate: Fate) -> Result<BooleanArray> {
    let held = flags(broken, "__hw_held")?;
    let breaks = flags(broken, if fate == Fate::Reject { "__hw_broken" } else { "__hw_fails" })?;
    let rows = (0..broken.num_rows()).map(|row| held.value(row) && breaks.value(row));
    Ok(rows.map(Some).collect())
}

/// Which of the rows that were judged before would be written, were they not kept out.
pub(super) fn held(judged: &RecordBatch) -> Result<BooleanArray> {
    let classes = column_texts(judged, "__hw_class")?;
    let held = |class: &Option<String>| matches!(class.as_deref(), Some("inserted" | "updated" | ALONE));
    Ok(classes.iter().map(held).map(Some).collect())
}

/// Which rows lack a required value.
pub(super) fn alone(rows: &RecordBatch) -> Result<BooleanArray> {
    let classes = column_texts(rows, "__hw_class")?;
    Ok(classes.iter().map(|class| Some(class.as_deref() == Some(ALONE))).collect())
}

/// Whether an entry with this status is discarded.
pub(super) fn is_discarded(status: Option<&str>) -> bool {
    status == Some(EntryStatus::Discarded.as_str())
}

pub(super) fn flags<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b BooleanArray> {
    let column = batch.column_by_name(name).and_then(|column| column.as_boolean_opt());
    column.ok_or_else(|| Error::bug(format!("the gate made no {name}")))
}
