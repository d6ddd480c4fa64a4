//! Columns of a staging table, from a look at files. What was found once stays: the table keeps it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::sync::Arc;

use csv::ByteRecord;
use deltalake::arrow::array::{Array as _, ArrayRef, AsArray as _};
use deltalake::arrow::datatypes::{DataType as Arrow, Field, FieldRef, Fields, TimeUnit};
use deltalake::arrow::json::reader::infer_json_schema_from_iterator;

use super::fitted::fitted;
use super::typed::Texts;
use super::{Fault, RawReader, avro, csv as fields_of, parquet};
use crate::config::{FileFormat, Files};
use crate::contract::ddl::ColumnDef;
use crate::engine::table_type;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::model::RawFile;
use crate::model::ingest::{FILE_COLUMN, ROW_COLUMN, TIME_COLUMN};
use crate::model::types::{DataType, Field as Column, same_name};

/// Rows that are looked at in each file.
const SAMPLE: usize = 10_000;
/// Files that are looked at.
const FILES: usize = 5;
/// Levels of nested values, at most: a reader of a table's log goes no deeper than some hundred brackets.
const DEEPEST: usize = 32;
/// What fields are separated by, the most common first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Bytes of a first line that are looked at.
const LINE: u64 = 64 << 10;
/// Bytes of JSON that are looked at in each file.
const BYTES: u64 = 16 << 20;

/// The columns that every staging table with files has, beside those of the files.
#[must_use]
pub fn own_columns() -> [ColumnDef; 3] {
    let column = |name: &str, data_type: DataType, comment: &str| ColumnDef {
        field: Column { name: name.to_owned(), data_type, nullable: true },
        comment: Some(comment.to_owned()),
    };
    [
        column(
            FILE_COLUMN,
            DataType::String,
            "The file that the row came in; lineage, neither loaded nor hashed",
        ),
        column(
            ROW_COLUMN,
            DataType::Long,
            "Line on which the row begins, from 1; in a Parquet file its number",
        ),
        column(TIME_COLUMN, DataType::Timestamp, "When the row was brought in, UTC"),
    ]
}

/// The columns that the files have, by a look at the first of them, and those that bringing them in fills. To be called
/// once, for a table that is to be made.
///
/// # Errors
/// Fails when there is no file, when none can be read, and when columns have types that no table can hold.
pub async fn inferred(lake: &Lake, files: &Files) -> Result<Vec<ColumnDef>> {
    let reader = lake.raw_reader(files, &[]).await?;
    let mut found = reader.list().await?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.truncate(FILES);
    let none = || {
        Error::usage(format!(
            "no file is there to tell staging's columns: {}/{}",
            files.folder, files.pattern
        ))
        .hint("correct `source.files.path`, or name the table's DDL: `source.ddl`")
    };
    if found.is_empty() {
        return Err(none());
    }
    let looked = tokio::task::spawn_blocking(move || {
        let mut columns: Vec<Field> = Vec::new();
        for file in found {
            match look(&reader, &file) {
                Ok(fields) => fields.into_iter().for_each(|field| unite(&mut columns, field)),
                Err(Fault::Away(error)) => return Err(error),
                Err(Fault::Changed) => {}
                Err(Fault::Broken(why)) => {
                    return Err(Error::usage(format!("{} cannot be read: {why}", file.path))
                        .hint("say how files are written under `source.files`, or name the table's DDL: `source.ddl`"));
                }
            }
        }
        Ok(columns)
    });
    let columns =
        looked.await.map_err(|error| Error::bug("a look at files ended early").because(error))??;
    if columns.is_empty() {
        return Err(none());
    }
    let own = own_columns();
    let is_own = |name: &str| own.iter().any(|column| column.field.name == name);
    let mut defs = Vec::new();
    for field in columns.iter().filter(|field| !is_own(field.name())) {
        let data_type = table_type(field.data_type()).ok_or_else(|| {
            Error::usage(format!(
                "column `{}` of the files is {}, which no table can hold",
                field.name(),
                field.data_type()
            ))
            .hint("name the table's DDL: `source.ddl`")
        })?;
        defs.push(ColumnDef {
            field: Column { name: field.name().clone(), data_type, nullable: true },
            comment: None,
        });
    }
    defs.extend(own);
    Ok(defs)
}

/// The columns of one file.
fn look(reader: &RawReader, file: &RawFile) -> Result<Vec<Field>, Fault> {
    match reader.format_of(file) {
        None => Err(Fault::Broken("its name tells no format: say `source.files.format`".to_owned())),
        Some(FileFormat::Parquet) => {
            let schema = parquet::schema(reader.bytes(file)?)?;
            Ok(schema.fields().iter().map(settled).collect())
        }
        Some(FileFormat::Avro) => {
            let schema = avro::schema(reader.unpacked(file)?)?;
            Ok(schema.fields().iter().map(settled).collect())
        }
        Some(FileFormat::Csv) => of_csv(reader, file),
        Some(FileFormat::Json | FileFormat::Ndjson) => of_json(reader, file),
    }
}

/// A column that has a type of its own, as a table has it. One of which nothing is known may hold a text.
fn settled(field: &FieldRef) -> Field {
    Field::new(field.name(), settled_type(field.data_type(), DEEPEST).unwrap_or(Arrow::Utf8), true)
}

/// A type as a table has it; `None` for objects without a member, which no file can hold, and for what is nested too deeply
/// for a table's log.
fn settled_type(data_type: &Arrow, depth: usize) -> Option<Arrow> {
    let depth = depth.checked_sub(1)?;
    let within = |field: &FieldRef| {
        let data_type = settled_type(field.data_type(), depth)?;
        Some(Arc::new(Field::new(field.name(), data_type, true)))
    };
    Some(match data_type {
        Arrow::Timestamp(_, zone) => {
            Arrow::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into()))
        }
        Arrow::LargeUtf8 | Arrow::Utf8View => Arrow::Utf8,
        Arrow::LargeBinary | Arrow::BinaryView => Arrow::Binary,
        Arrow::UInt8 => Arrow::Int16,
        Arrow::UInt16 => Arrow::Int32,
        Arrow::UInt32 => Arrow::Int64,
        Arrow::Dictionary(_, values) => settled_type(values, depth)?,
        Arrow::List(element)
        | Arrow::LargeList(element)
        | Arrow::ListView(element)
        | Arrow::LargeListView(element)
        | Arrow::FixedSizeList(element, _) => Arrow::List(within(element)?),
        Arrow::Struct(members) => {
            let members: Fields = members.iter().filter_map(within).collect();
            if members.is_empty() {
                return None;
            }
            Arrow::Struct(members)
        }
        other => other.clone(),
    })
}

impl RawReader {
    /// What separates fields in the first line of a CSV file: what is there most often. `None` for a file of another format,
    /// and where none is there.
    ///
    /// # Errors
    /// Fails with why the file cannot be read. To be called where one may wait.
    pub fn delimiter(&self, file: &RawFile) -> Result<Option<u8>, Fault> {
        if self.format_of(file) != Some(FileFormat::Csv) {
            return Ok(None);
        }
        let (mut line, mut lines) = (Vec::new(), BufReader::new(self.input(file)?.take(LINE)));
        // Empty lines are passed over.
        while line.trim_ascii().is_empty() {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
        }
        let mut quoted = false;
        let outside = |byte: &&u8| {
            quoted ^= **byte == self.files.csv.quote;
            !quoted
        };
        let bare: Vec<u8> = line.iter().filter(outside).copied().collect();
        let count = |delimiter: u8| memchr::memchr_iter(delimiter, &bare).count();
        // Of equally many, the first.
        let most = DELIMITERS.into_iter().rev().max_by_key(|delimiter| count(*delimiter));
        Ok(most.filter(|delimiter| count(*delimiter) > 0))
    }
}

fn of_csv(reader: &RawReader, file: &RawFile) -> Result<Vec<Field>, Fault> {
    let form = &reader.files.csv;
    let mut records = fields_of::reader(reader.input(file)?, form);
    let mut record = ByteRecord::new();
    if !records.read_byte_record(&mut record).map_err(fields_of::fault)? {
        return Ok(Vec::new());
    }
    let names = if form.header {
        fields_of::names(&record)?
    } else {
        (1..=record.len()).map(|number| format!("column_{number}")).collect()
    };
    let mut texts: Vec<Texts> = names.iter().map(|_| Texts::new(&Arrow::Utf8)).collect();
    let mut push = |record: &ByteRecord| {
        for (texts, field) in texts.iter_mut().zip(record) {
            texts.push(String::from_utf8_lossy(field).trim(), &form.null);
        }
    };
    if !form.header {
        push(&record);
    }
    for _ in 0..SAMPLE {
        if !records.read_byte_record(&mut record).map_err(fields_of::fault)? {
            break;
        }
        push(&record);
    }
    Ok(names
        .iter()
        .zip(&mut texts)
        .map(|(name, texts)| Field::new(name, narrowest(&texts.take(), false), true))
        .collect())
}

fn of_json(reader: &RawReader, file: &RawFile) -> Result<Vec<Field>, Fault> {
    let mut bytes = Vec::new();
    reader.input(file)?.take(BYTES).read_to_end(&mut bytes)?;
    let objects = serde_json::Deserializer::from_slice(&bytes).into_iter::<serde_json::Value>();
    // The first that cannot be read, cut off by the limit or not, ends the look.
    let objects: Vec<serde_json::Value> = objects.map_while(std::result::Result::ok).take(SAMPLE).collect();
    let mut objects: Vec<serde_json::Value> = match objects.as_slice() {
        [serde_json::Value::Array(objects)] => objects.iter().take(SAMPLE).cloned().collect(),
        _ => objects,
    };
    // What is none is a row that cannot be read.
    objects.retain(serde_json::Value::is_object);
    if objects.is_empty() {
        return if bytes.trim_ascii().is_empty() {
            Ok(Vec::new())
        } else {
            Err(Fault::Broken("it does not begin with an object".to_owned()))
        };
    }
    let fits = |objects: &[serde_json::Value]| infer_json_schema_from_iterator(objects.iter().map(Ok));
    objects.iter_mut().for_each(without_null_elements);
    let schema = fits(&objects).or_else(|_| {
        as_texts_where_mixed(&mut objects);
        fits(&objects)
    });
    let schema = schema.map_err(|error| Fault::Broken(error.to_string()))?;
    let fields = schema.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            Arrow::Utf8 => {
                let mut texts = Texts::new(&Arrow::Utf8);
                objects
                    .iter()
                    .filter_map(|object| object[field.name()].as_str())
                    .for_each(|text| texts.push(text, ""));
                narrowest(&texts.take(), true)
            }
            // One that is NULL alone stays so: another file may say of what.
            other => settled_type(other, DEEPEST).unwrap_or(Arrow::Utf8),
        };
        Field::new(field.name(), data_type, true)
    });
    Ok(fields.collect())
}

/// An element that is NULL says nothing of the others' type, and Arrow takes it for one that does not fit them.
fn without_null_elements(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(elements) => {
            elements.retain(|element| !element.is_null());
            elements.iter_mut().for_each(without_null_elements);
        }
        serde_json::Value::Object(members) => members.values_mut().for_each(without_null_elements),
        _ => {}
    }
}

/// Makes those values texts that have no type in common with others of their name: an object here, a number there.
fn as_texts_where_mixed(objects: &mut [serde_json::Value]) {
    let names: BTreeSet<String> = objects
        .iter()
        .filter_map(serde_json::Value::as_object)
        .flat_map(|members| members.keys().cloned())
        .collect();
    for name in names {
        let alone = objects.iter().map(|object| Ok(serde_json::json!({ &name: object[&name] })));
        if infer_json_schema_from_iterator(alone).is_ok() {
            continue;
        }
        let values = objects.iter_mut().filter_map(|object| object.get_mut(&name));
        for value in values.filter(|value| !value.is_null()) {
            *value = value.to_string().into();
        }
    }
}

/// The type that all texts are values of. Texts with a leading zero are no numbers.
fn narrowest(texts: &ArrayRef, only_times: bool) -> Arrow {
    if texts.null_count() == texts.len() {
        return Arrow::Utf8;
    }
    let values = texts.as_string::<i32>();
    let all = |test: fn(&str) -> bool| values.iter().flatten().all(test);
    let is_padded = |text: &str| {
        let digits = text.trim_start_matches('-');
        digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.") || text.starts_with('+')
    };
    let instant = Arrow::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fits = |to: &Arrow| fitted(texts, to).is_ok_and(|fitted| !fitted.lost.contains(&true));
    let looks_like_a_day: fn(&str) -> bool = |text| text.len() == 10 && text.as_bytes()[4] == b'-';
    let looks_like_a_time: fn(&str) -> bool = |text| text.len() > 10 && text.as_bytes()[4] == b'-';
    if all(looks_like_a_day) && fits(&Arrow::Date32) {
        return Arrow::Date32;
    }
    if all(looks_like_a_time) && fits(&instant) {
        return instant;
    }
    if only_times {
        return Arrow::Utf8;
    }
    if all(|text| text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")) {
        return Arrow::Boolean;
    }
    let are_numbers = !values.iter().flatten().any(is_padded);
    if are_numbers && fits(&Arrow::Int64) {
        return Arrow::Int64;
    }
    let has_digit: fn(&str) -> bool = |text| text.bytes().any(|byte| byte.is_ascii_digit());
    if are_numbers && all(has_digit) && fits(&Arrow::Float64) { Arrow::Float64 } else { Arrow::Utf8 }
}

/// What another file says of the same column, whose name may differ in case.
fn unite(columns: &mut Vec<Field>, field: Field) {
    let Some(known) = columns.iter_mut().find(|known| same_name(known.name(), field.name())) else {
        columns.push(field);
        return;
    };
    *known = Field::new(known.name().clone(), united(known.data_type(), field.data_type()), true);
}

/// The type that holds the values of both; a text does.
fn united(one: &Arrow, other: &Arrow) -> Arrow {
    match (one, other) {
        (one, other) if one == other => one.clone(),
        (Arrow::Null, known) | (known, Arrow::Null) => known.clone(),
        (Arrow::Int64, Arrow::Float64) | (Arrow::Float64, Arrow::Int64) => Arrow::Float64,
        (one, other) if one.is_signed_integer() && other.is_signed_integer() => {
            if one.primitive_width() > other.primitive_width() { one.clone() } else { other.clone() }
        }
        (Arrow::List(one), Arrow::List(other)) => {
            Arrow::List(Arc::new(Field::new(one.name(), united(one.data_type(), other.data_type()), true)))
        }
        (Arrow::Struct(one), Arrow::Struct(other)) => {
            let mut members: Vec<Field> = one.iter().map(|member| member.as_ref().clone()).collect();
            other.iter().for_each(|member| unite(&mut members, member.as_ref().clone()));
            Arrow::Struct(members.into())
        }
        _ => Arrow::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Arrow {
        let texts: ArrayRef = Arc::new(deltalake::arrow::array::StringArray::from(texts.to_vec()));
        narrowest(&texts, false)
    }

    #[test]
    fn the_narrowest_type_that_all_texts_are_values_of_is_taken() {
        assert_eq!(of(&["1", "-20"]), Arrow::Int64);
        assert_eq!(of(&["1", "2.5"]), Arrow::Float64);
        assert_eq!(of(&["0.5", "0"]), Arrow::Float64);
        assert_eq!(of(&["007", "12"]), Arrow::Utf8);
        assert_eq!(of(&["+49", "12"]), Arrow::Utf8);
        assert_eq!(of(&["99999999999999999999"]), Arrow::Float64);
        assert_eq!(of(&["nan", "inf"]), Arrow::Utf8);
        assert_eq!(of(&["true", "FALSE"]), Arrow::Boolean);
        assert_eq!(of(&["2025-01-31"]), Arrow::Date32);
        assert_eq!(of(&["2025-02-31"]), Arrow::Utf8);
        assert!(matches!(of(&["2025-01-31T10:00:00Z", "2025-01-31 10:00:00.123"]), Arrow::Timestamp(..)));
        assert_eq!(of(&["2025-01-31", "2025-01-31 10:00:00"]), Arrow::Utf8);
        assert_eq!(of(&["a", "1"]), Arrow::Utf8);
    }

    #[test]
    fn what_several_files_say_of_a_column_is_united_also_within_it() {
        let list = |of: Arrow| Arrow::List(Arc::new(Field::new("item", of, true)));
        let object = |members: &[(&str, Arrow)]| {
            let field = |(name, of): &(&str, Arrow)| Field::new(*name, of.clone(), true);
            Arrow::Struct(members.iter().map(field).collect())
        };
        for (one, other, expected) in [
            (Arrow::Null, Arrow::Int64, Arrow::Int64),
            (list(Arrow::Null), list(Arrow::Float64), list(Arrow::Float64)),
            (list(Arrow::Int64), list(Arrow::Float64), list(Arrow::Float64)),
            (
                object(&[("a", Arrow::Int64), ("b", Arrow::Utf8)]),
                object(&[("c", Arrow::Boolean), ("A", Arrow::Float64)]),
                object(&[("a", Arrow::Float64), ("b", Arrow::Utf8), ("c", Arrow::Boolean)]),
            ),
            (object(&[("a", Arrow::Int64)]), Arrow::Int64, Arrow::Utf8),
            (list(Arrow::Int64), object(&[("a", Arrow::Int64)]), Arrow::Utf8),
        ] {
            let mut columns = vec![Field::new("x", one.clone(), true)];
            unite(&mut columns, Field::new("X", other.clone(), true));
            assert_eq!(columns, [Field::new("x", expected, true)], "{one} and {other}");
        }
    }

    #[test]
    fn types_are_settled_within_others_and_what_no_file_can_hold_is_left_out() {
        let field = |of: Arrow| Arc::new(Field::new("x", of, true));
        let millis = Arrow::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()));
        let micros = Arrow::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let within =
            |of: Arrow| Arrow::Struct(vec![field(of), Arc::new(Field::new("y", Arrow::Int64, true))].into());
        assert_eq!(*settled(&field(within(millis))).data_type(), within(micros));
        let empty = || Arrow::Struct(Fields::empty());
        let only = Arrow::Struct(vec![Arc::new(Field::new("y", Arrow::Int64, true))].into());
        assert_eq!(*settled(&field(within(Arrow::List(field(empty()))))).data_type(), only);
        assert_eq!(*settled(&field(empty())).data_type(), Arrow::Utf8);
        let deep = (0..100).fold(Arrow::Int64, |inner, _| Arrow::List(field(inner)));
        assert_eq!(*settled(&field(deep)).data_type(), Arrow::Utf8);
    }
}
