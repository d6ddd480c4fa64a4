//! Rows of a table, each with its place: its file, and its number in there.
//!
//! delta-rs tells a row's file, not its number. But a scan that nothing filters reads each file from its first row to
//! its last in one stream, so the number follows from counting, past those rows that a deletion vector takes. That
//! nothing was left out or read twice is checked at the end of each file: by then as many rows have come as the file
//! has.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use deltalake::arrow::array::{AsArray as _, RecordBatch};
use deltalake::arrow::datatypes::{Schema, SchemaRef, UInt16Type};
use deltalake::datafusion::catalog::TableProvider as _;
use deltalake::datafusion::error::DataFusionError;
use deltalake::datafusion::execution::session_state::SessionState;
use deltalake::datafusion::physical_plan::execute_stream_partitioned;
use deltalake::delta_datafusion::FileSelection;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use roaring::RoaringTreemap;
use url::Url;

use super::file_id::FileId;
use super::table::Table;
use super::vectors::in_scans;
use crate::engine;
use crate::error::{Error, Result};

const FILE: &str = "__hw_file_of_row";

/// Bytes that a small file has at most.
const SMALL: u64 = 1 << 20;

/// Files that are read or written at once for each processor, where most of the time is spent waiting for storage.
pub(super) const AT_ONCE: usize = 4;

/// Rows of one file that follow each other, but for deleted ones.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The file, by its number in [`PlacedScan::files`].
    pub file: usize,
    /// The columns that were asked for, in that order.
    pub batch: RecordBatch,
    /// Whether no rows of the file follow, as far as is known.
    pub is_last: bool,
    numbers: Numbers,
}

#[derive(Debug, Clone)]
enum Numbers {
    From(u64),
    Each(Vec<u64>),
}

impl Placed {
    /// The number of a row in its file, from 0, deleted rows included.
    #[must_use]
    pub fn number(&self, row: usize) -> u64 {
        match &self.numbers {
            Numbers::From(first) => first + row as u64,
            Numbers::Each(numbers) => numbers[row],
        }
    }

    /// The row of this number, if it is among these.
    #[must_use]
    pub fn row(&self, number: u64) -> Option<usize> {
        match &self.numbers {
            Numbers::From(first) => {
                let row = usize::try_from(number.checked_sub(*first)?).ok()?;
                (row < self.batch.num_rows()).then_some(row)
            }
            Numbers::Each(numbers) => numbers.binary_search(&number).ok(),
        }
    }
}

/// A scan of some files of a table.
pub struct PlacedScan {
    /// The files that are read.
    pub files: Arc<Vec<FileId>>,
    /// The columns that were asked for.
    pub schema: SchemaRef,
    /// Parts of the scan, to be read side by side.
    pub streams: Vec<PlacedStream>,
}

/// One part of a scan: whole files, one after the other or by turns.
pub struct PlacedStream {
    table: Table,
    stream: BoxStream<'static, Result<RecordBatch, DataFusionError>>,
    known: Arc<Files>,
    read: HashMap<usize, Reading>,
    ready: Vec<Placed>,
}

/// What is known of the files of a scan.
struct Files {
    ids: Arc<Vec<FileId>>,
    /// Files by where they lie.
    by_place: HashMap<String, usize>,
    /// Rows of each that no vector deletes.
    rows: Vec<Option<i64>>,
    /// Of files with a vector: which rows it deletes.
    gone: HashMap<usize, RoaringTreemap>,
}

/// How far a file has been read.
#[derive(Default)]
struct Reading {
    /// Rows that came.
    came: i64,
    /// The number of the next row, if it is not deleted.
    next: u64,
    /// Numbers of deleted rows from there on.
    gone: Option<std::iter::Peekable<roaring::treemap::IntoIter>>,
}

impl Table {
    /// Reads columns of the given files, all active ones where none are given, with each row's place.
    ///
    /// # Errors
    /// Fails when the scan cannot be set up.
    pub async fn scan_places(
        &self,
        state: &SessionState,
        columns: &[&str],
        only: Option<&BTreeSet<FileId>>,
    ) -> Result<PlacedScan> {
        let mut sizes = self.files()?;
        sizes.retain(|file, _| only.is_none_or(|only| only.contains(file)));
        self.count_rows(&mut sizes, &HashMap::new()).await?;
        let mut ids: Vec<FileId> = sizes.keys().cloned().collect();
        ids.sort();
        if ids.is_empty() {
            return Ok(PlacedScan {
                files: Arc::default(),
                schema: Arc::new(Schema::empty()),
                streams: Vec::new(),
            });
        }
        let urls: Vec<String> = ids.iter().map(|file| self.url_of(file)).collect();
        let by_place: HashMap<String, usize> =
            urls.iter().enumerate().map(|(at, url)| (place_of(url), at)).collect();
        let rows = ids.iter().map(|file| sizes[file].rows).collect();

        // A scan reads its files one after the other: so one for each processor, of whole files. To open a small one is
        // mostly to wait.
        let bytes = |at: &usize| sizes[&ids[*at]].bytes.unsigned_abs();
        let are_small = (0..ids.len()).map(|at| bytes(&at)).sum::<u64>() / ids.len() as u64 <= SMALL;
        let among = state.config().target_partitions() * if are_small { AT_ONCE } else { 1 };
        let mut plans = Vec::new();
        let gone = self.gone_rows(|file| sizes.contains_key(file)).await?;
        let gone = gone.into_iter().filter_map(|(file, rows)| Some((ids.binary_search(&file).ok()?, rows)));
        let gone = gone.collect();
        for share in shares((0..ids.len()).collect(), among, bytes) {
            let mut parts = Vec::new();
            for share in in_scans(share, |at| sizes[&ids[*at]].deleted > 0) {
                let selection = FileSelection::from_file_paths(share.iter().map(|at| urls[*at].clone()));
                let scan = self.scan_builder(state, Some(selection))?.with_file_column(FILE);
                let scan = scan.build().await.map_err(engine::failed)?;
                let schema = scan.schema();
                let place = |name: &&str| {
                    schema.index_of(name).map_err(|error| Error::bug("a scan lacks a column").because(error))
                };
                let projection = columns.iter().chain([&FILE]).map(place).collect::<Result<Vec<_>>>()?;
                // Planned without the optimizer, which would cut files in parts.
                parts.push(scan.scan(state, Some(&projection), &[], None).await.map_err(engine::failed)?);
            }
            plans.push(parts);
        }
        let shown: Vec<usize> = (0..columns.len()).collect();
        let schema = plans
            .first()
            .and_then(|parts| parts.first())
            .map_or_else(|| Arc::new(Schema::empty()), |plan| plan.schema());
        let schema = schema.project(&shown).map_err(|error| engine::failed(error.into()))?;
        let ids = Arc::new(ids);
        let known = Arc::new(Files { ids: Arc::clone(&ids), by_place, rows, gone });
        let mut streams = Vec::new();
        for parts in plans {
            let mut of_share = Vec::new();
            for plan in parts {
                of_share.extend(execute_stream_partitioned(plan, state.task_ctx()).map_err(engine::failed)?);
            }
            streams.push(PlacedStream {
                table: self.clone(),
                stream: futures::stream::iter(of_share).flatten().boxed(),
                known: Arc::clone(&known),
                read: HashMap::new(),
                ready: Vec::new(),
            });
        }
        Ok(PlacedScan { files: ids, schema: Arc::new(schema), streams })
    }
}

/// Splits items among so many, evenly by what each weighs.
pub(super) fn shares<T>(mut items: Vec<T>, among: usize, weight: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    items.sort_by_key(|item| std::cmp::Reverse(weight(item)));
    let mut shares: Vec<(u64, Vec<T>)> = (0..among.max(1)).map(|_| (0, Vec::new())).collect();
    for item in items {
        if let Some((sum, share)) = shares.iter_mut().min_by_key(|(sum, _)| *sum) {
            *sum += weight(&item).max(1);
            share.push(item);
        }
    }
    shares.into_iter().map(|(_, share)| share).filter(|share| !share.is_empty()).collect()
}

impl PlacedStream {
    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// Fails when a file cannot be read, or did not have the rows that the log counts.
    pub async fn next(&mut self) -> Result<Option<Placed>> {
        loop {
            if let Some(placed) = self.ready.pop() {
                return Ok(Some(placed));
            }
            let Some(batch) = self.stream.next().await else {
                check_end(&self.table, &self.known, &self.read).await?;
                return Ok(None);
            };
            let batch = batch.map_err(engine::failed)?;
            self.split(&batch)?;
            // The first comes off the end.
            self.ready.reverse();
        }
    }

    /// Cuts a batch where the file changes.
    fn split(&mut self, batch: &RecordBatch) -> Result<()> {
        let lost = || Error::bug("a scan does not tell its rows' files");
        let (columns, rows) = (batch.num_columns() - 1, batch.num_rows());
        let files = batch.column(columns).as_dictionary_opt::<UInt16Type>().ok_or_else(lost)?;
        let urls = files.values().as_string_opt::<i32>().ok_or_else(lost)?;
        let keys = files.keys();
        let shown: Vec<usize> = (0..columns).collect();
        let batch = batch.project(&shown).map_err(|error| lost().because(error))?;
        let mut from = 0;
        while from < rows {
            let key = keys.value(from);
            let length = keys.values()[from..].iter().take_while(|other| **other == key).count();
            let file = *self.known.by_place.get(&place_of(urls.value(usize::from(key)))).ok_or_else(lost)?;
            let numbers = self.numbers(file, length);
            let is_last = self.known.rows[file].is_some_and(|rows| rows == self.read[&file].came);
            self.ready.push(Placed { file, batch: batch.slice(from, length), is_last, numbers });
            from += length;
        }
        Ok(())
    }

    /// The numbers of the next rows of a file.
    fn numbers(&mut self, file: usize, rows: usize) -> Numbers {
        let reading = self.read.entry(file).or_insert_with(|| Reading {
            gone: self.known.gone.get(&file).map(|gone| gone.clone().into_iter().peekable()),
            ..Reading::default()
        });
        reading.came += i64::try_from(rows).unwrap_or(i64::MAX);
        let first = reading.next;
        let Some(gone) = &mut reading.gone else {
            reading.next += rows as u64;
            return Numbers::From(first);
        };
        let numbers: Vec<u64> =
            (first..).filter(|number| gone.next_if_eq(number).is_none()).take(rows).collect();
        reading.next = numbers.last().map_or(first, |last| last + 1);
        Numbers::Each(numbers)
    }
}

/// Where a file lies: a scan may encode a URL otherwise than the table's own does.
pub(super) fn place_of(url: &str) -> String {
    let path = Url::parse(url).ok().and_then(|url| Path::from_url_path(url.path()).ok());
    path.map_or_else(|| url.to_owned(), String::from)
}

/// Holds the rows that came of each file against the log, and where that differs, against the file.
async fn check_end(table: &Table, known: &Files, read: &HashMap<usize, Reading>) -> Result<()> {
    for (file, reading) in read {
        if known.rows[*file].is_none_or(|rows| rows == reading.came) {
            continue;
        }
        let id = &known.ids[*file];
        let deleted = known.gone.get(file).map_or(0, RoaringTreemap::len);
        let there = table.rows_in_footer(id).await?.unwrap_or_default();
        if there - i64::try_from(deleted).unwrap_or(i64::MAX) != reading.came {
            let (came, table) = (reading.came, table.name());
            return Err(Error::bug(format!("{came} of {there} rows of {id} of `{table}` were read")));
        }
    }
    Ok(())
}
