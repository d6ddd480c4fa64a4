//! Files of separated fields.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;
use std::thread;

use csv::{ByteRecord, ReaderBuilder, Terminator, WriterBuilder};
use deltalake::arrow::array::{ArrayRef, Int64Array};
use deltalake::arrow::datatypes::FieldRef;

use super::lines::Lines;
use super::typed::{Texts, chunk};
use super::{Chunk, Corrupt, Fault, ROWS, Sink};
use crate::config::{CsvForm, Files, OnCorrupt};

/// Bytes of the records of one batch, at most, but for the last of them.
const BYTES: usize = 8 << 20;

/// Batches that are read ahead.
const AHEAD: usize = 2;

/// What reads records as they are, whatever their number of fields.
pub(super) fn reader<R: io::Read>(input: R, form: &CsvForm) -> csv::Reader<R> {
    ReaderBuilder::new()
        .delimiter(form.delimiter)
        .quote(form.quote)
        .escape(form.escape)
        .double_quote(form.escape.is_none())
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(256 << 10)
        .from_reader(input)
}

/// The names in the first record.
pub(super) fn names(record: &ByteRecord) -> Result<Vec<String>, Fault> {
    let names: Vec<String> =
        record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => Err(Fault::Broken(format!("its first line names the column `{twice}` twice"))),
        None => Ok(names),
    }
}

/// Reads a file. Its text is taken apart by a thread of its own, while this one makes values of the texts.
pub(super) fn read(
    input: impl io::Read + Send,
    files: &Files,
    fields: &[FieldRef],
    sink: Sink<'_>,
) -> Result<(), Fault> {
    let (give, take) = sync_channel::<Read>(AHEAD);
    thread::scope(|threads| {
        let reading = thread::Builder::new().name("csv".to_owned()).spawn_scoped(threads, move || {
            records(input, files, fields, &mut |read| match give.send(read) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            })
        })?;
        for read in take {
            if sink(read.fitted(files, fields)?).is_break() {
                return Ok(());
            }
        }
        // Libraries give up on some damaged files by a panic.
        reading.join().unwrap_or_else(|_| Err(Fault::Broken("its reader broke".to_owned())))
    })
}

/// Takes a file's text apart.
fn records(
    input: impl io::Read,
    files: &Files,
    fields: &[FieldRef],
    sink: &mut dyn FnMut(Read) -> ControlFlow<()>,
) -> Result<(), Fault> {
    let lines = Lines::of_quotes(files.csv.quote, files.csv.delimiter, files.csv.escape);
    let mut records = reader(lines.noting(input), &files.csv);
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord| records.read_byte_record(record).map_err(fault);
    let mut extra = Vec::new();
    let (places, width) = if files.csv.header {
        if !next(&mut record)? {
            return Ok(());
        }
        let names = names(&record)?;
        let places: Vec<Option<usize>> =
            fields.iter().map(|field| super::position(&names, field.name())).collect();
        if places.iter().all(Option::is_none) {
            return Err(Fault::Broken(format!(
                "its first line names no column of staging: {}",
                names.join(", ")
            )));
        }
        extra = super::extra(&names, fields);
        (places, names.len())
    } else {
        ((0..fields.len()).map(Some).collect(), fields.len())
    };
    let mut rows = Rows::new(files, fields, places);
    while next(&mut record)? {
        let line = lines.of(record.position().map_or(0, csv::Position::byte));
        rows.push(&record, line, width);
        if rows.is_full() && sink(rows.take()).is_break() {
            return Ok(());
        }
    }
    if lines.ends_in_quotes() {
        return Err(Fault::Broken("it ends within quotes".to_owned()));
    }
    let _ = sink(Read { extra, ..rows.take() });
    Ok(())
}

/// Records that were read, not yet of their columns' types.
struct Read {
    /// The columns as texts, `None` for one that the file lacks.
    given: Vec<Option<ArrayRef>>,
    kept: Kept,
    corrupt: Vec<Corrupt>,
    extra: Vec<String>,
}

impl Read {
    /// The records as rows, without those that do not fit.
    fn fitted(self, files: &Files, fields: &[FieldRef]) -> Result<Chunk, Fault> {
        let numbers: Int64Array = self.kept.records.iter().map(|(line, _, _)| Some(*line)).collect();
        let text = |row: usize| written(&files.csv, self.kept.record(row));
        let chunk = chunk(fields, &self.given, numbers, files.on_corrupt, self.corrupt, text)?;
        Ok(Chunk { extra: self.extra, ..chunk })
    }
}

/// Records one after the other, for those that turn out not to fit.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Where each field ends.
    fields: Vec<usize>,
    /// Of each record: its line, and where its fields' ends begin and end.
    records: Vec<(i64, usize, usize)>,
}

impl Kept {
    fn push(&mut self, record: &ByteRecord, line: i64) {
        let (first, before) = (self.fields.len(), self.bytes.len());
        self.bytes.extend_from_slice(record.as_slice());
        self.fields.extend((0..record.len()).filter_map(|at| Some(before + record.range(at)?.end)));
        self.records.push((line, first, self.fields.len()));
    }

    fn record(&self, row: usize) -> impl Iterator<Item = &[u8]> {
        let (_, first, last) = self.records[row];
        let begins = |field: usize| if field == 0 { 0 } else { self.fields[field - 1] };
        (first..last).map(move |field| &self.bytes[begins(field)..self.fields[field]])
    }
}

/// Rows that are being put together.
struct Rows<'a> {
    files: &'a Files,
    /// Where each column stands in a record.
    places: Vec<Option<usize>>,
    texts: Vec<Texts>,
    kept: Kept,
    corrupt: Vec<Corrupt>,
}

impl<'a> Rows<'a> {
    fn new(files: &'a Files, fields: &[FieldRef], places: Vec<Option<usize>>) -> Self {
        let texts = fields.iter().map(|field| Texts::new(field.data_type())).collect();
        Self { files, places, texts, kept: Kept::default(), corrupt: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.kept.records.len() + self.corrupt.len() >= ROWS || self.kept.bytes.len() > BYTES
    }

    fn push(&mut self, record: &ByteRecord, line: i64, width: usize) {
        let is_ragged = record.len() != width && self.files.on_corrupt != OnCorrupt::Permissive;
        // All fields at once; one that begins or ends within a character is no text either.
        let text = std::str::from_utf8(record.as_slice()).ok();
        let field = |at: usize| text.zip(record.range(at)).and_then(|(text, range)| text.get(range));
        let is_text = (0..record.len()).all(|at| field(at).is_some());
        if is_ragged || !is_text {
            let reason = if is_text {
                format!("it has {} fields, and there are {width} columns", record.len())
            } else {
                "it holds bytes that are no UTF-8: say `source.files.encoding`".to_owned()
            };
            self.corrupt.push(Corrupt::new(line, reason, &written(&self.files.csv, record.iter())));
            return;
        }
        for (texts, place) in self.texts.iter_mut().zip(&self.places) {
            match place.and_then(field) {
                Some(text) => texts.push(text, &self.files.csv.null),
                None => texts.push_null(),
            }
        }
        self.kept.push(record, line);
    }

    fn take(&mut self) -> Read {
        let columns = self.texts.iter_mut().zip(&self.places);
        let given = columns.map(|(texts, place)| {
            let values = texts.take();
            place.map(|_| values)
        });
        let given = given.collect();
        let (kept, corrupt) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.corrupt));
        Read { given, kept, corrupt, extra: Vec::new() }
    }
}

/// A record as it may have been written.
fn written<'f>(form: &CsvForm, record: impl Iterator<Item = &'f [u8]>) -> String {
    let mut writer = WriterBuilder::new()
        .delimiter(form.delimiter)
        .quote(form.quote)
        .flexible(true)
        .terminator(Terminator::Any(b'\n'))
        .from_writer(Vec::new());
    // In memory, nothing can go wrong.
    let _ = writer.write_record(record);
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()
}

pub(super) fn fault(error: csv::Error) -> Fault {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => Fault::Broken(format!("{other:?}")),
    }
}
