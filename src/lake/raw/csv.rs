//! Files of separated fields.

use std::collections::HashSet;
use std::io::Read;

use csv::{ByteRecord, ReaderBuilder, Terminator, WriterBuilder};
use deltalake::arrow::array::{ArrayRef, Int64Array};
use deltalake::arrow::datatypes::FieldRef;

use super::lines::Lines;
use super::typed::{Texts, chunk};
use super::{Chunk, Corrupt, Fault, ROWS, Sink};
use crate::config::{CsvForm, Files, OnCorrupt};

/// What reads records as they are, whatever their number of fields.
pub(super) fn reader<R: Read>(input: R, form: &CsvForm) -> csv::Reader<R> {
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

/// Reads a file.
pub(super) fn read(
    input: impl Read,
    files: &Files,
    fields: &[FieldRef],
    sink: Sink<'_>,
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
        rows.push(&mut record, line, width);
        if rows.is_full() && sink(rows.take()?).is_break() {
            return Ok(());
        }
    }
    if lines.ends_in_quotes() {
        return Err(Fault::Broken("it ends within quotes".to_owned()));
    }
    let _ = sink(Chunk { extra, ..rows.take()? });
    Ok(())
}

/// Rows that are being put together.
struct Rows<'a> {
    files: &'a Files,
    fields: &'a [FieldRef],
    /// Where each column stands in a record.
    places: Vec<Option<usize>>,
    texts: Vec<Texts>,
    /// Each with its line.
    records: Vec<(i64, ByteRecord)>,
    /// Records that were used before: each has room for a next one.
    spare: Vec<ByteRecord>,
    corrupt: Vec<Corrupt>,
}

impl<'a> Rows<'a> {
    fn new(files: &'a Files, fields: &'a [FieldRef], places: Vec<Option<usize>>) -> Self {
        let texts = fields.iter().map(|field| Texts::new(field.data_type())).collect();
        Self { files, fields, places, texts, records: Vec::new(), spare: Vec::new(), corrupt: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.records.len() + self.corrupt.len() >= ROWS
    }

    fn push(&mut self, record: &mut ByteRecord, line: i64, width: usize) {
        let is_ragged = record.len() != width && self.files.on_corrupt != OnCorrupt::Permissive;
        let is_text = record.iter().all(|field| std::str::from_utf8(field).is_ok());
        if is_ragged || !is_text {
            let reason = if is_text {
                format!("it has {} fields, and there are {width} columns", record.len())
            } else {
                "it holds bytes that are no UTF-8: say `source.files.encoding`".to_owned()
            };
            self.corrupt.push(Corrupt::new(line, reason, &self.written(record)));
            return;
        }
        for (texts, place) in self.texts.iter_mut().zip(&self.places) {
            match place.and_then(|place| record.get(place)).and_then(|field| std::str::from_utf8(field).ok())
            {
                Some(text) => texts.push(text, &self.files.csv.null),
                None => texts.push_null(),
            }
        }
        let empty = self.spare.pop().unwrap_or_default();
        self.records.push((line, std::mem::replace(record, empty)));
    }

    fn take(&mut self) -> Result<Chunk, Fault> {
        let columns = self.texts.iter_mut().zip(&self.places);
        let given: Vec<Option<ArrayRef>> = columns
            .map(|(texts, place)| {
                let values = texts.take();
                place.map(|_| values)
            })
            .collect();
        let records = std::mem::take(&mut self.records);
        let numbers: Int64Array = records.iter().map(|(line, _)| Some(*line)).collect();
        let corrupt = std::mem::take(&mut self.corrupt);
        let text = |row: usize| self.written(&records[row].1);
        let chunk = chunk(self.fields, &given, numbers, self.files.on_corrupt, corrupt, text)?;
        self.spare.extend(records.into_iter().map(|(_, record)| record));
        Ok(chunk)
    }

    /// A record as it may have been written.
    fn written(&self, record: &ByteRecord) -> String {
        let form = &self.files.csv;
        let mut writer = WriterBuilder::new()
            .delimiter(form.delimiter)
            .quote(form.quote)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_writer(Vec::new());
        // In memory, nothing can go wrong.
        let _ = writer.write_byte_record(record);
        let bytes = writer.into_inner().unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()
    }
}

pub(super) fn fault(error: csv::Error) -> Fault {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => Fault::Broken(format!("{other:?}")),
    }
}
