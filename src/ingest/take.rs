//! Reads files, and writes what is in them to data files that no log names yet: of staging, of the table of rows that could
//! not be read, and of the ledger.
//!
//! A file's rows come in whole or not at all, although it is read from beginning to end once: those of a small one wait in
//! memory until its end was seen, those of a large one go to data files of its own, which are dropped if it breaks. So many
//! small files share data files, and a large one takes no memory.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use deltalake::arrow::array::{
    ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{FieldRef, SchemaRef};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::events::{Event, Events};
use crate::lake::record::to_batch_of;
use crate::lake::{Appender, Chunk, Fault, RawReader, Table};
use crate::model::ingest::{FILE_COLUMN, ROW_COLUMN, TIME_COLUMN};
use crate::model::{CorruptRow, FileRow, FileStatus, IngestRecord, RawFile};
use crate::plan::ingest_id;

/// Bytes of a file's rows that wait for its end.
const HELD: usize = 32 << 20;

/// Rows that could not be read that wait in memory.
const CORRUPT_HELD: usize = 10_000;

/// Files that are read at once, at most.
const AT_ONCE: usize = 4;

/// How often it is told how many files are left.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// Rows that could not be read that a report shows.
pub(super) const EXAMPLES: usize = 5;

/// A file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Its path below the folder.
    pub path: String,
    /// Its bytes.
    pub size: i64,
    /// What tells its content from another.
    pub tag: String,
    /// Why.
    pub why: String,
}

/// What files are read for.
pub(super) struct Taking<'a> {
    pub(super) pipeline: &'a str,
    pub(super) number: i64,
    pub(super) started: DateTime<Utc>,
    pub(super) reader: &'a RawReader,
    pub(super) events: &'a Events,
    pub(super) staging: &'a Table,
    pub(super) ledger: &'a Table,
    pub(super) corrupt: &'a Table,
    pub(super) threads: usize,
}

/// What was read, written but for the commits.
pub(super) struct Taken {
    pub(super) record: IngestRecord,
    /// The ledger's version for which these files are what is new.
    pub(super) ledger_version: u64,
    /// Add actions of staging.
    pub(super) adds: Vec<Value>,
    pub(super) paths: BTreeSet<String>,
    pub(super) bytes: i64,
    pub(super) corrupt_rows: i64,
    pub(super) examples: Vec<String>,
    pub(super) failed: Vec<Failed>,
    pub(super) waiting: usize,
    pub(super) unknown_columns: BTreeSet<String>,
}

/// What one worker did.
#[derive(Default)]
struct Share {
    adds: Vec<Value>,
    rows: Vec<FileRow>,
    corrupt_adds: Vec<Value>,
    corrupt: Vec<CorruptRow>,
    failed: Vec<Failed>,
    waiting: usize,
    unknown_columns: BTreeSet<String>,
}

impl Taking<'_> {
    pub(super) async fn take(&self, files: Vec<RawFile>) -> Result<Taken> {
        let batch_id = ingest_id(self.pipeline, self.number, &files);
        let workers = self.threads.clamp(1, AT_ONCE).min(files.len());
        let total = files.len();
        let queue = Arc::new(Mutex::new(VecDeque::from(files)));
        let staging_id = self.staging.id()?;
        let mut shares = JoinSet::new();
        for _ in 0..workers {
            let worker = Worker {
                pipeline: self.pipeline.to_owned(),
                number: self.number,
                started: self.started,
                batch_id: batch_id.clone(),
                staging_id: staging_id.clone(),
                reader: self.reader.clone(),
                staging: self.staging.clone(),
                schema: self.staging.arrow_schema()?,
                corrupt: self.corrupt.clone(),
                shared: None,
                share: Share::default(),
            };
            let queue = Arc::clone(&queue);
            shares.spawn(async move { worker.work(&queue).await });
        }
        let mut all = Share::default();
        let mut ticks = tokio::time::interval(TOLD_EVERY);
        loop {
            let done = tokio::select! {
                done = shares.join_next() => done,
                _ = ticks.tick() => {
                    let left = queue.lock().unwrap_or_else(PoisonError::into_inner).len();
                    self.events.tell(&Event::Files { begun: total - left, of: total });
                    continue;
                }
            };
            let Some(done) = done else { break };
            let share = done.map_err(|error| Error::bug("reading files ended early").because(error))??;
            all.adds.extend(share.adds);
            all.rows.extend(share.rows);
            all.corrupt_adds.extend(share.corrupt_adds);
            all.corrupt.extend(share.corrupt);
            all.failed.extend(share.failed);
            all.waiting += share.waiting;
            all.unknown_columns.extend(share.unknown_columns);
        }
        self.taken(all, batch_id).await
    }

    async fn taken(&self, mut all: Share, batch_id: String) -> Result<Taken> {
        // Whatever thread read them.
        all.rows.sort_by(|a, b| a.path.cmp(&b.path));
        all.failed.sort_by(|a, b| a.path.cmp(&b.path));
        all.corrupt.sort_by(|a, b| (&a.source_file, a.source_row).cmp(&(&b.source_file, b.source_row)));
        let loaded = all.rows.iter().filter(|row| row.status == FileStatus::Loaded);
        let (mut paths, mut bytes, mut rows, mut corrupt_rows) = (BTreeSet::new(), 0, 0, 0);
        for row in loaded {
            paths.insert(row.path.clone());
            (bytes, rows, corrupt_rows) =
                (bytes + row.size, rows + row.rows, corrupt_rows + row.corrupt_rows);
        }
        let example = |row: &CorruptRow| format!("{}:{}: {}", row.source_file, row.source_row, row.reason);
        let examples = all.corrupt.iter().take(EXAMPLES).map(example).collect();
        if !all.corrupt.is_empty() {
            spill(self.corrupt, &mut all.corrupt, &mut all.corrupt_adds).await?;
        }
        let ledger = if all.rows.is_empty() {
            Vec::new()
        } else {
            self.ledger.write_files(vec![to_batch_of(self.ledger, &all.rows)?]).await?
        };
        let record = IngestRecord {
            pipeline: self.pipeline.to_owned(),
            number: self.number,
            batch_id,
            started: self.started,
            rows,
            ledger_id: self.ledger.id()?,
            ledger,
            corrupt_id: self.corrupt.id()?,
            corrupt: all.corrupt_adds,
        };
        Ok(Taken {
            record,
            ledger_version: self.ledger.version(),
            adds: all.adds,
            paths,
            bytes,
            corrupt_rows,
            examples,
            failed: all.failed,
            waiting: all.waiting,
            unknown_columns: all.unknown_columns,
        })
    }
}

/// Writes rows that could not be read to a data file, so that they need not wait in memory.
async fn spill(table: &Table, rows: &mut Vec<CorruptRow>, adds: &mut Vec<Value>) -> Result<()> {
    let batch = to_batch_of(table, &std::mem::take(rows))?;
    adds.extend(table.write_files(vec![batch]).await?);
    Ok(())
}

/// Reads one file after the other.
struct Worker {
    pipeline: String,
    number: i64,
    started: DateTime<Utc>,
    batch_id: String,
    staging_id: String,
    reader: RawReader,
    staging: Table,
    schema: SchemaRef,
    corrupt: Table,
    /// What rows of small files are written by.
    shared: Option<Appender>,
    share: Share,
}

/// What was read of a file so far.
#[derive(Default)]
struct Half {
    held: Vec<RecordBatch>,
    held_bytes: usize,
    own: Option<Appender>,
    rows: i64,
    corrupt: Vec<CorruptRow>,
    corrupt_adds: Vec<Value>,
    corrupt_rows: i64,
}

impl Worker {
    async fn work(mut self, queue: &Mutex<VecDeque<RawFile>>) -> Result<Share> {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(file) = next else { break };
            let result = self.read(&file).await;
            if result.is_err() {
                // The others need not go on.
                queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            result?;
        }
        if let Some(shared) = self.shared {
            self.share.adds.extend(shared.close().await?);
        }
        Ok(self.share)
    }

    async fn read(&mut self, file: &RawFile) -> Result<()> {
        let (give, mut take) = mpsc::channel::<Chunk>(2);
        let (reader, of_file) = (self.reader.clone(), file.clone());
        let reading = tokio::task::spawn_blocking(move || {
            reader.read(&of_file, &mut |chunk| match give.blocking_send(chunk) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            })
        });
        let mut half = Half::default();
        while let Some(chunk) = take.recv().await {
            self.keep(file, &mut half, chunk).await?;
        }
        // Libraries give up on some damaged files by a panic.
        let read =
            reading.await.unwrap_or_else(|error| Err(Fault::Broken(format!("its reader broke: {error}"))));
        match read {
            Ok(()) => self.whole(file, half).await,
            Err(fault) => {
                if let Some(own) = half.own {
                    own.abandon().await;
                }
                match fault {
                    Fault::Away(error) => return Err(error),
                    Fault::Changed => self.share.waiting += 1,
                    Fault::Broken(why) => {
                        self.share.rows.push(self.row(file, FileStatus::Failed, 0, 0, Some(why.clone())));
                        let (path, tag) = (file.path.clone(), file.tag.clone());
                        self.share.failed.push(Failed { path, size: file.size, tag, why });
                    }
                }
                Ok(())
            }
        }
    }

    /// Keeps rows until the end of their file was seen.
    async fn keep(&mut self, file: &RawFile, half: &mut Half, chunk: Chunk) -> Result<()> {
        self.share.unknown_columns.extend(chunk.extra);
        half.corrupt_rows += i64::try_from(chunk.corrupt.len()).unwrap_or(i64::MAX);
        half.corrupt.extend(chunk.corrupt.into_iter().map(|corrupt| CorruptRow {
            pipeline: self.pipeline.clone(),
            source_file: file.path.clone(),
            source_row: corrupt.row,
            reason: corrupt.reason,
            text: corrupt.text,
            number: self.number,
            ingest_time: self.started,
        }));
        if half.corrupt.len() > CORRUPT_HELD {
            spill(&self.corrupt, &mut half.corrupt, &mut half.corrupt_adds).await?;
        }
        if chunk.rows.num_rows() == 0 {
            return Ok(());
        }
        half.rows += i64::try_from(chunk.rows.num_rows()).unwrap_or(i64::MAX);
        let batch =
            rows_of_staging(&self.schema, self.reader.fields(), &file.path, self.started, &chunk.rows)?;
        if let Some(own) = &mut half.own {
            return own.write(&batch).await;
        }
        half.held_bytes += batch.get_array_memory_size();
        half.held.push(batch);
        if half.held_bytes > HELD {
            let own = half.own.insert(self.staging.appender().await?);
            for batch in half.held.drain(..) {
                own.write(&batch).await?;
            }
        }
        Ok(())
    }

    /// A file was read to its end.
    async fn whole(&mut self, file: &RawFile, half: Half) -> Result<()> {
        match half.own {
            Some(own) => self.share.adds.extend(own.close().await?),
            None if half.held.is_empty() => {}
            None => {
                let shared = match &mut self.shared {
                    Some(shared) => shared,
                    none => none.insert(self.staging.appender().await?),
                };
                for batch in half.held {
                    shared.write(&batch).await?;
                }
            }
        }
        self.share.corrupt_adds.extend(half.corrupt_adds);
        self.share.corrupt.extend(half.corrupt);
        if self.share.corrupt.len() > CORRUPT_HELD {
            spill(&self.corrupt, &mut self.share.corrupt, &mut self.share.corrupt_adds).await?;
        }
        self.share.rows.push(self.row(file, FileStatus::Loaded, half.rows, half.corrupt_rows, None));
        Ok(())
    }

    fn row(
        &self,
        file: &RawFile,
        status: FileStatus,
        rows: i64,
        corrupt_rows: i64,
        error: Option<String>,
    ) -> FileRow {
        FileRow {
            pipeline: self.pipeline.clone(),
            path: file.path.clone(),
            size: file.size,
            tag: file.tag.clone(),
            status,
            rows,
            corrupt_rows,
            number: self.number,
            batch_id: Some(self.batch_id.clone()),
            staging_id: self.staging_id.clone(),
            error,
            recorded_at: self.started,
        }
    }
}

/// Rows of a file, with these columns, as those of staging that came in at this time.
pub(super) fn rows_of_staging(
    schema: &SchemaRef,
    fields: &[FieldRef],
    path: &str,
    at: DateTime<Utc>,
    rows: &RecordBatch,
) -> Result<RecordBatch> {
    let failed = |error| Error::bug("rows of a file do not fit staging").because(error);
    let many = rows.num_rows();
    let mut given = rows.columns().iter();
    let numbers = rows.column(rows.num_columns() - 1);
    let columns: Result<Vec<ArrayRef>> = schema
        .fields()
        .iter()
        .map(|field| {
            let column: ArrayRef = match field.name().as_str() {
                FILE_COLUMN => Arc::new(StringArray::from(vec![path; many])),
                ROW_COLUMN => Arc::clone(numbers),
                TIME_COLUMN => {
                    let micros = vec![at.timestamp_micros(); many];
                    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
                }
                name if fields.iter().any(|field| field.name() == name) => {
                    given.next().cloned().unwrap_or_else(|| new_null_array(field.data_type(), many))
                }
                _ => new_null_array(field.data_type(), many),
            };
            if column.data_type() == field.data_type() {
                Ok(column)
            } else {
                cast(&column, field.data_type()).map_err(failed)
            }
        })
        .collect();
    RecordBatch::try_new(Arc::clone(schema), columns?).map_err(failed)
}
