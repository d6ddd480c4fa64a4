//! Files into staging: observe, decide, do that one step, and again.
//!
//! The order of writing, and the cases, are in [`plan::ingest`](crate::plan::IngestStep): staging's commit decides, by the
//! same means as a load's: a number in its own lane, and a record from which anybody can finish. [`take`] reads the files,
//! [`bookmarks`] shows and changes what is known of them, [`replay`] makes rows anew that came in before.

pub mod bookmarks;
mod replay;
mod take;

use std::collections::BTreeSet;

use deltalake::arrow::datatypes::DataType;

pub use self::replay::{ReplayReport, ReplayedFile, replay_from_raw};
pub use self::take::Failed;

use self::take::{Taken, Taking};
use crate::config::{Files, OnCorrupt, Pipeline};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::fail_points::SideCommit;
use crate::hooks::Hooks;
use crate::lake::record::rows_of;
use crate::lake::{Lake, RawReader, Table};
use crate::model::ingest::{FILE_COLUMN, ROW_COLUMN, TIME_COLUMN};
use crate::model::{Clock, FileRow, FileStatus, Lane, RawFile};
use crate::patience::Patience;
use crate::plan::{IngestSeen, IngestStep, Sorted, decide_ingest, newest_of_each, sort_files};
use crate::protocol::{Outcome, Stamp};

/// Steps that one process may take: far more than any has, so that a loop that goes nowhere ends.
const MAX_TURNS: u32 = 100_000;

/// Looks that others may overtake: more, and it is no race.
const LOOKS: u32 = 10;

/// Files of one commit, at most.
const FILES: usize = 20_000;

/// Bytes of the files of one commit, at most, but for the first.
const BYTES: i64 = 16 << 30;

/// What came in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IngestReport {
    /// The pipeline.
    pub pipeline: String,
    /// Commits that brought something in, by their numbers.
    pub numbers: Vec<i64>,
    /// Numbers of ingests that this process finished for another.
    pub finished: Vec<i64>,
    /// Files that came in.
    pub files: usize,
    /// Their bytes.
    pub bytes: i64,
    /// Their rows.
    pub rows: i64,
    /// Rows that could not be read.
    pub corrupt_rows: i64,
    /// Of these, some.
    pub examples: Vec<String>,
    /// Files that could not be read.
    pub failed: Vec<Failed>,
    /// Files that came in again, with other content.
    pub changed: Vec<String>,
    /// Files that are too young, or changed while they were read.
    pub waiting: usize,
    /// Files that were known.
    pub known: usize,
    /// Files that came in once, and are no longer there.
    pub vanished: usize,
    /// Columns of files that staging lacks.
    pub unknown_columns: BTreeSet<String>,
    /// Whether a person holds all files back.
    pub is_paused: bool,
    /// Why nothing came in, where too many rows could not be read.
    pub rejected: Option<String>,
}

impl IngestReport {
    /// Whether something is wrong with the files.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.rejected.is_some() || !self.failed.is_empty()
    }
}

/// The tables of an ingest, in the order in which they are looked at.
struct Tables {
    ledger: Table,
    corrupt: Table,
    staging: Table,
}

/// Brings files into staging, after finishing whatever others left behind.
///
/// # Errors
/// Fails when a table or the folder is missing or unfit, when storage is away, and when the tables say something that no
/// ingest could have written.
pub async fn ingest(
    pipeline: &Pipeline,
    lake: &Lake,
    engine: &Engine,
    clock: Clock,
    hooks: &Hooks,
) -> Result<IngestReport> {
    let files = files_of(pipeline)?;
    let tables = Tables {
        ledger: lake.open_record(files.ledger.name(), &files.ledger).await?,
        corrupt: lake.open_to_write(files.corrupt.name(), &files.corrupt).await?,
        staging: lake.open_to_write(pipeline.source.table.name(), &pipeline.source.table).await?,
    };
    check_staging(&tables.staging)?;
    let reader = lake.raw_reader(files, tables.staging.arrow_schema()?.fields()).await?;
    let report = IngestReport { pipeline: pipeline.name.clone(), ..IngestReport::default() };
    Ingest { pipeline, files, tables, reader, engine, clock, hooks, report, kept: None }.until_done().await
}

/// The files that a pipeline names.
fn files_of(pipeline: &Pipeline) -> Result<&Files> {
    pipeline.source.files.as_ref().ok_or_else(|| {
        Error::usage(format!("pipeline `{}` brings no files in", pipeline.name))
            .hint("name them under `source.files`: highwater schema pipeline")
    })
}

/// Staging must have the columns that tell where a row came from, and promise nothing that is not held against rows here.
fn check_staging(staging: &Table) -> Result<()> {
    let schema = staging.arrow_schema()?;
    let fits = |name: &str, data_type: &DataType| match name {
        FILE_COLUMN => *data_type == DataType::Utf8,
        ROW_COLUMN => *data_type == DataType::Int64,
        _ => matches!(data_type, DataType::Timestamp(_, Some(_))),
    };
    for (name, ddl) in [(FILE_COLUMN, "STRING"), (ROW_COLUMN, "BIGINT"), (TIME_COLUMN, "TIMESTAMP")] {
        let found = schema.field_with_name(name).ok();
        if !found.is_some_and(|field| fits(name, field.data_type())) {
            return Err(Error::usage(format!("staging `{}` has no column `{name} {ddl}`", staging.name()))
                .hint(format!("ALTER TABLE … ADD COLUMNS ({name} {ddl})")));
        }
    }
    match staging.keeps_from_appending()? {
        None => Ok(()),
        Some(why) => Err(Error::usage(format!(
            "files cannot be brought into `{}`: it {why}",
            staging.name()
        ))
        .hint("let staging be a plain table, which takes rows as they come: `init` makes one without `source.ddl`")),
    }
}

struct Ingest<'a> {
    pipeline: &'a Pipeline,
    files: &'a Files,
    tables: Tables,
    reader: RawReader,
    engine: &'a Engine,
    clock: Clock,
    hooks: &'a Hooks,
    report: IngestReport,
    /// What was read for the next commit: lost to another writer, it is made again as it is.
    kept: Option<Taken>,
}

impl Ingest<'_> {
    async fn until_done(mut self) -> Result<IngestReport> {
        let mut patience = Patience::default();
        let mut looks = 0;
        for _ in 0..MAX_TURNS {
            self.hooks.stop.at_boundary(None);
            let outcome = match decide_ingest(self.look().await?) {
                IngestStep::Begin(number) => match Box::pin(self.begin(number)).await? {
                    Some(outcome) => outcome,
                    None => return Ok(self.report),
                },
                IngestStep::WriteCorrupt(record) => {
                    let table = &self.tables.corrupt;
                    self.append(
                        SideCommit::Corrupt,
                        table,
                        &record.corrupt_id,
                        &record.corrupt,
                        record.number,
                    )
                    .await?
                }
                IngestStep::WriteLedger(record) => {
                    let table = &self.tables.ledger;
                    let outcome = self
                        .append(SideCommit::Ledger, table, &record.ledger_id, &record.ledger, record.number)
                        .await?;
                    if matches!(outcome, Outcome::Committed(_))
                        && !self.report.numbers.contains(&record.number)
                    {
                        self.report.finished.push(record.number);
                    }
                    outcome
                }
                IngestStep::LookAgain => {
                    looks += 1;
                    if looks > LOOKS {
                        return Err(Error::person(format!(
                            "`{}`: the ledger `{}` knows less than staging",
                            self.pipeline.name,
                            self.tables.ledger.name()
                        ))
                        .hint("bring the ledger back; or have every file brought in again: `highwater bookmarks reset --all`"));
                    }
                    Outcome::Lost
                }
                IngestStep::Refuse(why, hint) => {
                    return Err(Error::person(format!("`{}`: {why}", self.pipeline.name)).hint(hint));
                }
            };
            match outcome {
                Outcome::Committed(_) => {}
                Outcome::Lost => patience.lose(None).await?,
                Outcome::Unknown(error) => patience.lose(Some(error)).await?,
            }
        }
        Err(Error::bug(format!("no end after {MAX_TURNS} steps")))
    }

    /// Looks at the tables in the reverse order of writing.
    async fn look(&mut self) -> Result<IngestSeen> {
        let app = Lane::Ingest.app(&self.pipeline.name);
        let Tables { ledger, corrupt, staging } = &mut self.tables;
        ledger.refresh().await?;
        corrupt.refresh().await?;
        staging.refresh().await?;
        let mut seen = IngestSeen {
            ledger: ledger.txn(&app).await?.unwrap_or_default(),
            corrupt: corrupt.txn(&app).await?.unwrap_or_default(),
            staging: staging.txn(&app).await?.unwrap_or_default(),
            ..IngestSeen::default()
        };
        if seen.staging == seen.ledger + 1 {
            seen.record = staging.ingest_record(&self.pipeline.name, seen.staging).await?.map(Box::new);
        }
        if seen.staging < seen.ledger {
            let rows: Vec<FileRow> = rows_of(self.engine, ledger, &self.pipeline.name).await?;
            let newest = rows.iter().max_by_key(|row| row.order());
            let id = staging.id()?;
            seen.is_for_this_staging = newest.is_some_and(|row| row.staging_id == id);
        }
        Ok(seen)
    }

    /// Reads what is new, and commits it. `None`, where nothing is left to do.
    async fn begin(&mut self, number: i64) -> Result<Option<Outcome>> {
        // The ledger is as it was, so what was read is still what is new.
        let version = self.tables.ledger.version();
        let kept =
            self.kept.take().filter(|taken| taken.record.number == number && taken.ledger_version == version);
        let taken = match kept {
            Some(taken) => taken,
            None => match self.take(number).await? {
                Some(taken) => taken,
                None => return Ok(None),
            },
        };
        if let Some(why) = self.too_many_corrupt(&taken) {
            self.report.examples.clone_from(&taken.examples);
            self.report.corrupt_rows = taken.corrupt_rows;
            self.report.unknown_columns.extend(taken.unknown_columns);
            self.report.failed.extend(taken.failed);
            self.report.rejected = Some(why);
            return Ok(None);
        }
        self.hooks.fail_points.pass_side(SideCommit::Staging, false);
        let stamp = Stamp::ingest(taken.record.clone());
        let outcome = self.tables.staging.commit_files(&taken.adds, &[], stamp).await?;
        if matches!(outcome, Outcome::Committed(_)) {
            self.hooks.fail_points.pass_side(SideCommit::Staging, true);
            self.note(taken);
        } else {
            self.kept = Some(taken);
        }
        Ok(Some(outcome))
    }

    /// Reads the next files. `None`, where there are none, or nothing new is known of them.
    async fn take(&mut self, number: i64) -> Result<Option<Taken>> {
        let rows: Vec<FileRow> = rows_of(self.engine, &self.tables.ledger, &self.pipeline.name).await?;
        let ledger = newest_of_each(rows);
        if ledger.get(bookmarks::ALL).is_some_and(|row| row.status == FileStatus::Paused) {
            self.report.is_paused = true;
            return Ok(None);
        }
        let started = self.clock.now();
        let settle = chrono::TimeDelta::seconds(self.files.settle_seconds);
        let sorted = sort_files(self.reader.list().await?, &ledger, self.files.changed, settle, started);
        let Sorted { take, changed, refused, waiting, known, vanished } = sorted;
        if !refused.is_empty() {
            return Err(Error::person(format!("files changed that came in before: {}", listed(&refused)))
                .hint("highwater bookmarks skip FILE, or reset FILE; or say `changed: reload` under `source.files`"));
        }
        if self.report.numbers.is_empty() {
            (self.report.known, self.report.vanished) = (known, vanished);
        }
        self.report.waiting = waiting;
        // What cannot be read now could not a moment ago either.
        let tried = |file: &RawFile| self.report.failed.iter().any(|failed| failed.path == file.path);
        let files = first(take.into_iter().filter(|file| !tried(file)).collect());
        if files.is_empty() {
            return Ok(None);
        }
        let taking = Taking {
            pipeline: &self.pipeline.name,
            number,
            started,
            reader: &self.reader,
            events: &self.hooks.events,
            staging: &self.tables.staging,
            ledger: &self.tables.ledger,
            corrupt: &self.tables.corrupt,
            threads: self.engine.threads(),
        };
        let taken = taking.take(files).await?;
        self.report.waiting += taken.waiting;
        self.report.changed.extend(changed.into_iter().filter(|path| taken.paths.contains(path)));
        let is_told = |failed: &Failed| {
            ledger.get(&failed.path).is_some_and(|row| {
                (row.size, &row.tag, row.error.as_ref()) == (failed.size, &failed.tag, Some(&failed.why))
            })
        };
        if taken.paths.is_empty() && taken.failed.iter().all(is_told) {
            self.report.failed.extend(taken.failed);
            return Ok(None);
        }
        Ok(Some(taken))
    }

    fn too_many_corrupt(&self, taken: &Taken) -> Option<String> {
        let all = taken.record.rows + taken.corrupt_rows;
        let (have, may) = self.files.max_corrupt.sides(taken.corrupt_rows, all);
        let fails = self.files.on_corrupt == OnCorrupt::Fail && taken.corrupt_rows > 0;
        (fails || have > may).then(|| {
            let limit =
                if fails { "none may".to_owned() } else { format!("at most {} may", self.files.max_corrupt) };
            format!("{} of {all} rows cannot be read, and {limit}: nothing came in", taken.corrupt_rows)
        })
    }

    fn note(&mut self, taken: Taken) {
        let report = &mut self.report;
        report.numbers.push(taken.record.number);
        report.files += taken.paths.len();
        report.bytes += taken.bytes;
        report.rows += taken.record.rows;
        report.corrupt_rows += taken.corrupt_rows;
        report.failed.extend(taken.failed);
        report.examples.extend(taken.examples);
        report.examples.truncate(take::EXAMPLES);
        report.unknown_columns.extend(taken.unknown_columns);
    }

    /// Names files that were written before in the log of the table that they belong to.
    async fn append(
        &self,
        commit: SideCommit,
        table: &Table,
        id: &str,
        adds: &[serde_json::Value],
        number: i64,
    ) -> Result<Outcome> {
        if table.id()? != id {
            return Err(Error::person(format!(
                "an unfinished ingest wrote to another table than `{}` is now",
                table.name()
            ))
            .hint("name the table under `source.files` that it wrote to, and run again"));
        }
        table.must_have_files(adds).await?;
        self.hooks.fail_points.pass_side(commit, false);
        let stamp = Stamp::number(&Lane::Ingest.app(&self.pipeline.name), number);
        let outcome = table.commit_files(adds, &[], stamp).await?;
        if matches!(outcome, Outcome::Committed(_)) {
            self.hooks.fail_points.pass_side(commit, true);
        }
        Ok(outcome)
    }
}

/// The first files, as many as one commit may have.
fn first(files: Vec<RawFile>) -> Vec<RawFile> {
    let mut bytes = 0;
    let fits = |file: &RawFile| {
        bytes += file.size;
        bytes <= BYTES || bytes == file.size
    };
    files.into_iter().take(FILES).take_while(fits).collect()
}

/// Some of many names.
fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(3);
    let some = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{some} and {more} more") } else { some }
}
