//! What is known of files, and what a person says of them.

use chrono::{NaiveDate, TimeDelta};

use super::files_of;
use crate::config::Pipeline;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::lake::record::{rows_of, to_batch_of};
use crate::model::{Clock, FileRow, FileStatus, Lane, RawFile};
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
    let mut staging = lake.open(pipeline.source.table.name(), &pipeline.source.table).await?;
    let staging_id = staging.id()?;
    let app = Lane::Ingest.app(&pipeline.name);
    // A file stays out as it is now, and whether it was met before or not.
    let there = match what {
        Say::Skip(path, _) => {
            let found = lake.raw_reader(files, &[]).await?.list().await?;
            found.into_iter().find(|file| file.path == *path)
        }
        _ => None,
    };
    let mut patience = Patience::default();
    loop {
        ledger.refresh().await?;
        staging.refresh().await?;
        let in_ledger = ledger.txn(&app).await?.unwrap_or_default();
        let in_staging = staging.txn(&app).await?.unwrap_or_default();
        // What a person says now comes after an ingest that is yet to be finished.
        let number = in_ledger.max(in_staging);
        let known: Vec<FileRow> = rows_of(engine, &ledger, &pipeline.name).await?;
        // A word on a few files does not make another staging table the right one.
        let newest = known.iter().max_by_key(|row| row.order());
        let of = match what {
            Say::Reset(Which::All) => &staging_id,
            _ => newest.map_or(&staging_id, |row| &row.staging_id),
        };
        // Later than all that is known, whatever the clocks of others said.
        let last = newest.map(|row| row.recorded_at);
        let now = last.map_or(clock.now(), |last| last.max(clock.now())) + TimeDelta::microseconds(1);
        let mut rows = said(&known, what, there.as_ref())?;
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
        // The ledger of before is gone, and what staging holds comes again: it begins after that.
        let is_anew = *what == Say::Reset(Which::All) && in_staging > in_ledger + 1;
        let stamp = if is_anew { Stamp::number(&app, in_staging) } else { Stamp::default() };
        match ledger.append(to_batch_of(&ledger, &rows)?, stamp).await? {
            Outcome::Committed(_) => return Ok(rows),
            Outcome::Lost => patience.lose(None).await?,
            Outcome::Unknown(error) => patience.lose(Some(error)).await?,
        }
    }
}

/// The rows that say it.
fn said(known: &[FileRow], what: &Say, there: Option<&RawFile>) -> Result<Vec<FileRow>> {
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
            let (status, error) = (FileStatus::Skipped, Some(reason.clone()));
            let row = match (newest.get(path), there) {
                (_, Some(file)) => {
                    FileRow { path: path.clone(), size: file.size, tag: file.tag.clone(), ..all(status) }
                }
                (Some(row), None) => row.clone(),
                (None, None) => return Err(unknown(path)),
            };
            vec![FileRow { status, error, ..row }]
        }
        Say::Reset(Which::File(path)) => vec![again(newest.get(path).ok_or_else(|| unknown(path))?)],
        Say::Reset(Which::Since(day)) => {
            files.filter(|row| row.recorded_at.date_naive() >= *day).map(again).collect()
        }
        Say::Reset(Which::All) => files.map(again).chain([all(FileStatus::Reset)]).collect(),
    })
}
