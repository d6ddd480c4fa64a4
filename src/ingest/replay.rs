//! Makes rows of staging anew from the files that they came in: with the times at which they came, so that they are the same
//! rows again, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use chrono::{DateTime, NaiveDate, Utc};
use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::datatypes::SchemaRef;

use super::take::rows_of_staging;
use super::{check_staging, files_of};
use crate::config::{Files, Pipeline};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lake::record::rows_of;
use crate::lake::{CameWith, Fault, Lake, NewRows, RawReader, Replacement, RowsDigest, Table};
use crate::model::ingest::{FILE_COLUMN, ROW_COLUMN, TIME_COLUMN};
use crate::model::{FileRow, FileStatus, Lane, RawFile};
use crate::patience::Patience;
use crate::protocol::{Outcome, Stamp};

/// Bytes of rows that are held at once.
const HELD: usize = 128 << 20;

/// Pieces that are read ahead.
const AHEAD: usize = 1;

/// What was made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// The pipeline.
    pub pipeline: String,
    /// Files whose rows are in staging as they came.
    pub as_they_came: usize,
    /// Files whose rows are made anew, or would be.
    pub replayed: Vec<ReplayedFile>,
    /// Files that are not there any more, or hold something else: their rows stay as they are.
    pub gone: Vec<String>,
    /// The version of staging that holds the rows; `None` where none was made.
    pub version: Option<u64>,
}

/// A file whose rows are made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedFile {
    /// Its path.
    pub path: String,
    /// When it came in.
    pub ingest_time: DateTime<Utc>,
    /// Rows that it has.
    pub rows: u64,
    /// Rows that staging had of it.
    pub instead_of: u64,
}

/// A file as it came, which is still there.
#[derive(Clone)]
struct Came {
    file: RawFile,
    at: DateTime<Utc>,
}

impl Came {
    fn key(&self) -> CameWith {
        (self.file.path.clone(), self.at.timestamp_micros())
    }
}

/// Makes rows of staging anew that are not what their files hold: of files that came in on this day or later, or of all.
///
/// # Errors
/// Fails when tables or files cannot be read, while an ingest is unfinished, and when others keep committing.
pub async fn replay_from_raw(
    pipeline: &Pipeline,
    lake: &Lake,
    engine: &Engine,
    since: Option<NaiveDate>,
    dry_run: bool,
) -> Result<ReplayReport> {
    let files = files_of(pipeline)?;
    let mut ledger = lake.open_record(files.ledger.name(), &files.ledger).await?;
    let mut staging = lake.open_to_write(pipeline.source.table.name(), &pipeline.source.table).await?;
    check_staging(&staging)?;
    let mut patience = Patience::default();
    loop {
        ledger.refresh().await?;
        staging.refresh().await?;
        let tables = (&ledger, &staging);
        match Box::pin(replay_once(pipeline, (lake, files), engine, tables, since, dry_run)).await? {
            (report, None) => return Ok(report),
            (report, Some(Outcome::Committed(version))) => {
                return Ok(ReplayReport { version: Some(version), ..report });
            }
            (_, Some(Outcome::Lost)) => patience.lose(None).await?,
            (_, Some(Outcome::Unknown(error))) => patience.lose(Some(error)).await?,
        }
    }
}

async fn replay_once(
    pipeline: &Pipeline,
    (lake, files): (&Lake, &Files),
    engine: &Engine,
    (ledger, staging): (&Table, &Table),
    since: Option<NaiveDate>,
    dry_run: bool,
) -> Result<(ReplayReport, Option<Outcome>)> {
    must_be_finished(pipeline, ledger, staging).await?;
    let schema = staging.arrow_schema()?;
    let reader = lake.raw_reader(files, schema.fields()).await?;
    let known: Vec<FileRow> = rows_of(engine, ledger, &pipeline.name).await?;
    let id = staging.id()?;
    let is_meant = |row: &FileRow| {
        let came = row.status == FileStatus::Loaded && row.staging_id == id;
        came && since.is_none_or(|day| row.recorded_at.date_naive() >= day)
    };
    let there: BTreeMap<String, RawFile> =
        reader.list().await?.into_iter().map(|file| (file.path.clone(), file)).collect();
    let mut report = ReplayReport { pipeline: pipeline.name.clone(), ..ReplayReport::default() };
    let mut came = Vec::new();
    for row in known.into_iter().filter(is_meant) {
        let same = there.get(&row.path).filter(|file| file.size == row.size && file.tag == row.tag);
        match same {
            Some(file) => came.push(Came { file: file.clone(), at: row.recorded_at }),
            None => report.gone.push(row.path),
        }
    }
    report.gone.sort();
    report.gone.dedup();
    let state = engine.state();
    let found = staging.rows_by_what_they_came_with(&state).await?;
    let mut again = Vec::new();
    for came in came {
        let held = found.get(&came.key()).copied().unwrap_or_default();
        let read = digest(&reader, &schema, &came).await?;
        if read == held {
            report.as_they_came += 1;
            continue;
        }
        let Came { file, at } = came.clone();
        let replayed =
            ReplayedFile { path: file.path, ingest_time: at, rows: read.rows, instead_of: held.rows };
        report.replayed.push(replayed);
        again.push(came);
    }
    if dry_run || again.is_empty() {
        return Ok((report, None));
    }
    if report.replayed.iter().all(|file| file.rows == 0) {
        return Err(Error::person("none of the rows that came in can be read from their files any more")
            .hint("staging's columns have other types than they had: bring them back; nothing was changed"));
    }
    let wanted: BTreeSet<CameWith> = again.iter().map(Came::key).collect();
    let replaced = staging.places_of(&state, &wanted).await?;
    let replacement = Replacement {
        rows: rows_again(reader, schema, again),
        as_written: Arc::new(Ok),
        sort_by: vec![FILE_COLUMN.to_owned(), ROW_COLUMN.to_owned()],
        predicate: format!("{FILE_COLUMN}, {TIME_COLUMN} as the raw files have them"),
        replaced,
        by_vectors: false,
    };
    let outcome = staging.replace(replacement, &state, Stamp::default()).await?;
    Ok((report, Some(outcome)))
}

/// An ingest that is not recorded in the ledger yet brought rows that the ledger does not know.
async fn must_be_finished(pipeline: &Pipeline, ledger: &Table, staging: &Table) -> Result<()> {
    let app = Lane::Ingest.app(&pipeline.name);
    let of = async |table: &Table| Ok::<_, Error>(table.txn(&app).await?.unwrap_or_default());
    if of(staging).await? > of(ledger).await? {
        return Err(Error::person(format!("`{}`: an ingest is unfinished", pipeline.name))
            .hint("finish it first: highwater ingest"));
    }
    Ok(())
}

/// What tells the rows of a file, as they came.
async fn digest(reader: &RawReader, schema: &SchemaRef, came: &Came) -> Result<RowsDigest> {
    let (reader, schema, came) = (reader.clone(), SchemaRef::clone(schema), came.clone());
    let read = tokio::task::spawn_blocking(move || {
        let mut digest = RowsDigest::default();
        each_batch(&reader, &schema, &came, &mut |batch| digest.add(&batch)).map(|()| digest)
    });
    read.await.map_err(|error| Error::bug("reading a file ended early").because(error))?
}

/// Gives the rows of a file as those of staging. To be called where one may wait.
fn each_batch(
    reader: &RawReader,
    schema: &SchemaRef,
    came: &Came,
    take: &mut dyn FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let mut failed = None;
    let path = &came.file.path;
    let read = reader.read(&came.file, &mut |chunk| {
        let rows = rows_of_staging(schema, reader.fields(), path, came.at, &chunk.rows);
        match rows.and_then(&mut *take) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    match (failed, read) {
        (Some(error), _) | (None, Err(Fault::Away(error))) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(Fault::Changed)) => Err(Error::retry(format!("{path} changed while it was read"))
            .hint("run it again once nobody writes the file any more")),
        (None, Err(Fault::Broken(why))) => {
            Err(Error::person(format!("{path} came in, and cannot be read any more: {why}"))
                .hint("bring the file back as it was; nothing was changed"))
        }
    }
}

/// The rows of these files, a piece at a time, by a thread of its own.
fn rows_again(reader: RawReader, schema: SchemaRef, files: Vec<Came>) -> NewRows {
    let (give, take) = sync_channel::<Result<Vec<RecordBatch>>>(AHEAD);
    // Nobody takes any more where the writing failed, which tells why.
    tokio::task::spawn_blocking(move || {
        let (mut held, mut bytes) = (Vec::new(), 0);
        for came in &files {
            let read = each_batch(&reader, &schema, came, &mut |batch| {
                bytes += batch.get_array_memory_size();
                held.push(batch);
                if bytes > HELD {
                    bytes = 0;
                    let _ = give.send(Ok(std::mem::take(&mut held)));
                }
                Ok(())
            });
            if let Err(error) = read {
                let _ = give.send(Err(error));
                return;
            }
        }
        let _ = give.send(Ok(held));
    });
    Box::new(take.into_iter())
}
