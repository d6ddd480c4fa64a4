//! What is known of files, and what a person says of them.

use chrono::{NaiveDate, TimeDelta};

use super::files_of;
use crate::config::Pipeline;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lake::record::{rows_of, to_batch_of};
use crate::lake::{Lake, Table};
use crate::model::{Clock, FileRow, FileStatus, Lane};
use crate::patience::Patience;
use crate::plan::newest_of_each;
use crate::protocol::{Outcome, Stamp};

/// The path that stands for all files, where bringing them in is paused.
pub(super) const ALL: &str = "*";

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// This file stays out, for this reason.
    Skip(String, String),
    /// These are brought in again.
    Reset(Which),
    /// No file is brought in.
    Pause,
    /// Files are brought in again.
    Resume,
}

/// Which files are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one with this path.
    File(String),
    /// Those that came in on this day or later.
    Since(NaiveDate),
    /// Every one; and staging is the table that they are brought into from now on.
    All,
}

/// What is known of each file, by path.
///
/// # Errors
/// Fails when the ledger is missing or cannot be read.
pub async fn list(pipeline: &Pipeline, lake: &Lake, engine: &Engine) -> Result<Vec<FileRow>> {
    let files = files_of(pipeline)?;
    let ledger = lake.open_record(files.ledger.name(), &files.ledger).await?;
    let rows = rows_of(engine, &ledger, &pipeline.name).await?;
    let mut newest = newest_of_each(rows);
    if newest.get(ALL).is_some_and(|row| row.status != FileStatus::Paused) {
        newest.remove(ALL);
    }
    Ok(newest.into_values().collect())
}

/// Notes what a person says, and gives the rows that were written.
///
/// # Errors
/// Fails when no file is meant, and when others keep committing.
pub async fn say(
    pipeline: &Pipeline,
    lake: &Lake,
    engine: &Engine,
    clock: Clock,
    what: &Say,
) -> Result<Vec<FileRow>> {
    let files = files_of(pipeline)?;
    let mut ledger = lake.open_record(files.ledger.name(), &files.ledger).await?;
    let staging_id = lake.open(pipeline.source.table.name(), &pipeline.source.table).await?.id()?;
    let mut patience = Patience::default();
    loop {
        ledger.refresh().await?;
        let number = ledger.txn(&Lane::Ingest.app(&pipeline.name)).await?.unwrap_or_default();
        let known = rows_of(engine, &ledger, &pipeline.name).await?;
        let known: Vec<FileRow> = known;
        // A word on a few files does not make another staging table the right one.
        let newest = known.iter().max_by_key(|row| (row.number, row.recorded_at));
        let of = match what {
            Say::Reset(Which::All) => &staging_id,
            _ => newest.map_or(&staging_id, |row| &row.staging_id),
        };
        // Later than all that is known, whatever the clocks of others said.
        let last = newest.map(|row| row.recorded_at + TimeDelta::microseconds(1));
        let now = last.map_or(clock.now(), |last| last.max(clock.now()));
        let mut rows = said(&known, what)?;
        for row in &mut rows {
            row.pipeline.clone_from(&pipeline.name);
            row.number = number;
            row.batch_id = None;
            row.recorded_at = now;
            row.staging_id.clone_from(of);
        }
        if rows.is_empty() {
            return Ok(rows);
        }
        match append(&ledger, &rows).await? {
            Outcome::Committed(_) => return Ok(rows),
            Outcome::Lost => patience.lose(None).await?,
            Outcome::Unknown(error) => patience.lose(Some(error)).await?,
        }
    }
}

async fn append(ledger: &Table, rows: &[FileRow]) -> Result<Outcome> {
    ledger.append(to_batch_of(ledger, rows)?, Stamp::default()).await
}

/// The rows that say it.
fn said(known: &[FileRow], what: &Say) -> Result<Vec<FileRow>> {
    let newest = newest_of_each(known.to_vec());
    let unknown = |path: &str| {
        Error::usage(format!("no file `{path}` is known")).hint("highwater bookmarks list shows the paths")
    };
    let again = |row: &FileRow| FileRow { status: FileStatus::Reset, error: None, ..row.clone() };
    let all = |status: FileStatus| FileRow {
        pipeline: String::new(),
        path: ALL.to_owned(),
        size: 0,
        tag: String::new(),
        status,
        rows: 0,
        corrupt_rows: 0,
        number: 0,
        batch_id: None,
        staging_id: String::new(),
        error: None,
        recorded_at: chrono::DateTime::UNIX_EPOCH,
    };
    let is_paused = newest.get(ALL).is_some_and(|row| row.status == FileStatus::Paused);
    let files = newest.values().filter(|row| row.path != ALL);
    Ok(match what {
        Say::Pause if is_paused => Vec::new(),
        Say::Pause => vec![all(FileStatus::Paused)],
        Say::Resume if !is_paused => Vec::new(),
        Say::Resume => vec![all(FileStatus::Reset)],
        Say::Skip(path, reason) => {
            let row = newest.get(path).ok_or_else(|| unknown(path))?;
            vec![FileRow { status: FileStatus::Skipped, error: Some(reason.clone()), ..row.clone() }]
        }
        Say::Reset(Which::File(path)) => vec![again(newest.get(path).ok_or_else(|| unknown(path))?)],
        Say::Reset(Which::Since(day)) => {
            files.filter(|row| row.recorded_at.date_naive() >= *day).map(again).collect()
        }
        Say::Reset(Which::All) => files.map(again).collect(),
    })
}
