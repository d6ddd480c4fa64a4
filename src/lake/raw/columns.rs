//! Files that have types of their own.

use deltalake::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use deltalake::arrow::datatypes::{DataType, FieldRef, Schema};
use deltalake::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::typed::chunk;
use super::{Chunk, Fault, Sink, extra, position};
use crate::config::OnCorrupt;

/// Which columns of a file are which of those that are asked for.
pub(super) struct Columns<'f> {
    fields: &'f [FieldRef],
    names: Vec<String>,
    /// What the file has beside them, also within them.
    extra: Vec<String>,
    /// For each that is asked for, where it stands in the file; `None` for one that the file lacks.
    places: Vec<Option<usize>>,
}

impl<'f> Columns<'f> {
    /// Looks for the columns in a file's schema.
    ///
    /// # Errors
    /// Fails when the file has none of them.
    pub(super) fn of(schema: &Schema, fields: &'f [FieldRef]) -> Result<Self, Fault> {
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let places: Vec<Option<usize>> = fields.iter().map(|field| position(&names, field.name())).collect();
        if places.iter().all(Option::is_none) {
            return Err(Fault::Broken("it has no column of staging".to_owned()));
        }
        let mut extra = extra(&names, fields);
        for (field, at) in fields.iter().zip(&places).filter_map(|(field, place)| Some((field, (*place)?))) {
            members_left_out(field.name(), schema.field(at).data_type(), field.data_type(), &mut extra);
        }
        Ok(Self { fields, names, extra, places })
    }

    /// Where those that are asked for stand in the file.
    pub(super) fn wanted(&self) -> Vec<usize> {
        self.places.iter().copied().flatten().collect()
    }

    /// Gives the rows on, in the columns that are asked for. The batches have those of the file, or the wanted ones.
    ///
    /// # Errors
    /// Fails where a batch does, and where a column's type fits in no row.
    pub(super) fn read(
        &self,
        batches: impl Iterator<Item = Result<RecordBatch, Fault>>,
        on_corrupt: OnCorrupt,
        sink: Sink<'_>,
    ) -> Result<(), Fault> {
        let mut extra = self.extra.clone();
        let mut done = 0;
        for batch in batches {
            let batch = batch?;
            let rows = i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
            let column = |place: &Option<usize>| batch.column_by_name(&self.names[(*place)?]).cloned();
            let given: Vec<Option<ArrayRef>> = self.places.iter().map(column).collect();
            let numbers: Int64Array = (done + 1..=done + rows).map(Some).collect();
            done += rows;
            let text = |row: usize| told(&batch, row);
            let chunk = chunk(self.fields, &given, numbers, on_corrupt, Vec::new(), text)?;
            if sink(Chunk { extra: std::mem::take(&mut extra), ..chunk }).is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The members of a file's structs that a table's lack: `home.zip`.
fn members_left_out(at: &str, from: &DataType, to: &DataType, found: &mut Vec<String>) {
    match (from, to) {
        (DataType::Struct(from), DataType::Struct(to)) => {
            let names: Vec<String> = to.iter().map(|member| member.name().clone()).collect();
            for member in from {
                let path = format!("{at}.{}", member.name());
                match position(&names, member.name()) {
                    None => found.push(path),
                    Some(place) => members_left_out(&path, member.data_type(), to[place].data_type(), found),
                }
            }
        }
        (DataType::List(from) | DataType::LargeList(from), DataType::List(to)) => {
            members_left_out(at, from.data_type(), to.data_type(), found);
        }
        _ => {}
    }
}

/// A row as a person reads it: no file has a text of it.
fn told(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::new().with_null("null");
    let schema = batch.schema();
    let cells = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let shown = ArrayFormatter::try_new(column, &options).map(|cell| cell.value(row).to_string());
        format!("{}={}", field.name(), shown.unwrap_or_default())
    });
    cells.collect::<Vec<_>>().join(", ")
}
