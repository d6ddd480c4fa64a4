//! Columns of a staging table, from a look at files. What was found once stays: the table keeps it.

use std::collections::BTreeSet;
use std::io::Read as _;

use csv::ByteRecord;
use deltalake::arrow::array::{Array as _, ArrayRef, AsArray as _};
use deltalake::arrow::datatypes::{DataType as Arrow, Field, FieldRef, TimeUnit};
use deltalake::arrow::json::reader::infer_json_schema_from_iterator;

use super::typed::{Texts, fitted};
use super::{Fault, RawReader, avro, csv as fields_of, parquet};
use crate::config::{FileFormat, Files};
use crate::contract::ddl::ColumnDef;
use crate::engine::table_type;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::model::RawFile;
use crate::model::ingest::{FILE_COLUMN, ROW_COLUMN, TIME_COLUMN};
use crate::model::types::{DataType, Field as Column};

/// Rows that are looked at in each file.
const SAMPLE: usize = 10_000;
/// Files that are looked at.
const FILES: usize = 5;
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

/// A column that has a type of its own, as a table has it.
fn settled(field: &FieldRef) -> Field {
    let data_type = match field.data_type() {
        Arrow::Timestamp(_, zone) => {
            Arrow::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into()))
        }
        Arrow::LargeUtf8 | Arrow::Utf8View => Arrow::Utf8,
        Arrow::LargeBinary | Arrow::BinaryView => Arrow::Binary,
        Arrow::UInt8 => Arrow::Int16,
        Arrow::UInt16 => Arrow::Int32,
        Arrow::UInt32 => Arrow::Int64,
        other => other.clone(),
    };
    Field::new(field.name(), data_type, true)
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
    let objects: Vec<serde_json::Value> = match objects.as_slice() {
        [serde_json::Value::Array(objects)] => objects.iter().take(SAMPLE).cloned().collect(),
        _ => objects,
    };
    if objects.is_empty() {
        return if bytes.trim_ascii().is_empty() {
            Ok(Vec::new())
        } else {
            Err(Fault::Broken("it does not begin with an object".to_owned()))
        };
    }
    let fits = |objects: &[serde_json::Value]| infer_json_schema_from_iterator(objects.iter().map(Ok));
    let mut objects = objects;
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
            Arrow::Null => Arrow::Utf8,
            other => other.clone(),
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
    let fits = |to: &Arrow| fitted(texts, to).is_ok_and(|values| values.null_count() == texts.null_count());
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

/// What another file says of the same column.
fn unite(columns: &mut Vec<Field>, field: Field) {
    let Some(known) = columns.iter_mut().find(|known| known.name() == field.name()) else {
        columns.push(field);
        return;
    };
    if known.data_type() == field.data_type() {
        return;
    }
    let wider = match (known.data_type(), field.data_type()) {
        (Arrow::Int64, Arrow::Float64) | (Arrow::Float64, Arrow::Int64) => Arrow::Float64,
        (one, other) if one.is_signed_integer() && other.is_signed_integer() => {
            if one.primitive_width() > other.primitive_width() { one.clone() } else { other.clone() }
        }
        _ => Arrow::Utf8,
    };
    *known = Field::new(field.name(), wider, true);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
}
