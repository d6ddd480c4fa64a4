//! The rows that break a check or are known to the quarantine, as the gate leaves them.

use deltalake::arrow::array::{AsArray, BooleanArray, RecordBatch};
use deltalake::arrow::compute::concat_batches;

use crate::error::{Error, Result};
use crate::model::EntryStatus;
use crate::stages::gate::Gated;
use crate::stages::rows::texts;

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

/// Which of the rows are kept.
pub(super) fn kept(broken: &RecordBatch, fate: Fate) -> Result<BooleanArray> {
    let held = flags(broken, "__hw_held")?;
    let breaks = flags(broken, if fate == Fate::Reject { "__hw_broken" } else { "__hw_fails" })?;
    let status = column_texts(broken, "__hw_status")?;
    let discarded = Some(EntryStatus::Discarded.as_str());
    let rows = (0..broken.num_rows())
        .map(|row| held.value(row) && (breaks.value(row) || status[row].as_deref() == discarded));
    Ok(rows.map(Some).collect())
}

/// The rows that break a check or are known to the quarantine, in one piece.
pub(super) fn whole(gated: &Gated) -> Result<Option<RecordBatch>> {
    let Some(rows) = &gated.broken else { return Ok(None) };
    let batch = concat_batches(&rows.schema, &rows.batches)
        .map_err(|error| Error::bug("rows cannot be put together").because(error))?;
    Ok(Some(batch))
}

pub(super) fn flags<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b BooleanArray> {
    let column = batch.column_by_name(name).and_then(|column| column.as_boolean_opt());
    column.ok_or_else(|| Error::bug(format!("the gate made no {name}")))
}

pub(super) fn column_texts(batch: &RecordBatch, name: &str) -> Result<Vec<Option<String>>> {
    let column = batch.column_by_name(name).ok_or_else(|| Error::bug(format!("there is no {name}")))?;
    texts(column)
}
