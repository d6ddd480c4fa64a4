//! Small readings of materialised rows that several stages need.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use deltalake::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Date32Type, Int64Type};
use deltalake::arrow::error::ArrowError;

use crate::engine::Rows;
use crate::engine::sql::Ident;
use crate::error::{Error, Result};
use crate::model::Class;
use crate::stages::text::CLASS;

/// How no value is written.
const NULL: &str = "NULL";

/// What stands for a value that no report tells.
pub const HIDDEN: &str = "***";

/// How many offending rows a message shows.
pub const EXAMPLES: usize = 5;

/// Rows in words: `order_id=100 source_file=orders_20250826`. Of `hidden` columns, no value is told.
///
/// # Errors
/// Fails when a value has no text.
pub fn describe(rows: &Rows, hidden: &BTreeSet<String>) -> Result<Vec<String>> {
    use deltalake::arrow::util::display::{ArrayFormatter, FormatOptions};

    let options = FormatOptions::default().with_null("NULL");
    let failed = |error| Error::bug("a value has no text").because(Box::new(error) as Box<_>);
    let mut lines = Vec::new();
    for batch in &rows.batches {
        let schema = batch.schema();
        let formatters = batch
            .columns()
            .iter()
            .map(|values| ArrayFormatter::try_new(values, &options))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(failed)?;
        for row in 0..batch.num_rows() {
            let values: Vec<String> = schema
                .fields()
                .iter()
                .zip(batch.columns())
                .zip(&formatters)
                .map(|((field, values), formatter)| {
                    let value = if values.is_null(row) {
                        NULL.to_owned()
                    } else if hidden.contains(field.name()) {
                        HIDDEN.to_owned()
                    } else {
                        unmistakable(&formatter.value(row).to_string())
                    };
                    format!("{}={value}", unmistakable(field.name()))
                })
                .collect();
            lines.push(values.join(" "));
        }
    }
    Ok(lines)
}

/// A word that reads back as itself: a name or a value with a space, a quote or an equals sign in it, or with what
/// could be taken for no value, is written as a JSON string.
fn unmistakable(word: &str) -> String {
    let bare = !word.is_empty()
        && word != NULL
        && !word.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '='));
    if bare { word.to_owned() } else { serde_json::Value::from(word).to_string() }
}

/// What [`describe`] says of a row, by column; `None` where the text is no such description.
#[must_use]
pub fn described(line: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    let mut row = serde_json::Map::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (name, after) = first_word(rest, '=')?;
        let (value, after) = first_word(after.strip_prefix('=')?, ' ')?;
        row.insert(name?, value.into());
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    (!row.is_empty()).then_some(row)
}

/// The word that a text begins with, `None` for NULL; and what follows it.
fn first_word(text: &str, end: char) -> Option<(Option<String>, &str)> {
    if text.starts_with('"') {
        let mut words = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let word = words.next()?.ok()?;
        return Some((Some(word), text.get(words.byte_offset()..)?));
    }
    let (word, after) = text.split_at(text.find(end).unwrap_or(text.len()));
    if word.is_empty() || (end == '=' && word.contains(' ')) {
        return None;
    }
    Some(((word != NULL).then(|| word.to_owned()), after))
}

/// A number of the first row.
///
/// # Errors
/// Fails when there is no row, or no such number.
pub fn first_number(rows: &Rows, name: &str) -> Result<i64> {
    let lost = || Error::bug(format!("a count returned no number `{name}`"));
    let numbers = first_row(rows).and_then(|batch| batch.column_by_name(name)).ok_or_else(lost)?;
    Ok(numbers.as_primitive_opt::<Int64Type>().ok_or_else(lost)?.value(0))
}

/// A truth value of the first row; false where there is none.
#[must_use]
pub fn first_flag(rows: &Rows, name: &str) -> bool {
    let flags = first_row(rows).and_then(|batch| batch.column_by_name(name)?.as_boolean_opt());
    flags.is_some_and(|flags| flags.value(0))
}

/// A day of the first row; `None` where there is none.
#[must_use]
pub fn first_day(rows: &Rows, name: &str) -> Option<NaiveDate> {
    let days = first_row(rows)?.column_by_name(name)?.as_primitive_opt::<Date32Type>()?;
    days.is_valid(0).then(|| days.value_as_date(0)).flatten()
}

/// A text of the first row; `None` where there is none.
///
/// # Errors
/// Fails when the column holds no text.
pub fn first_text(rows: &Rows, name: &str) -> Result<Option<String>> {
    match first_row(rows) {
        Some(batch) => Ok(column_texts(&batch.slice(0, 1), name)?.into_iter().next().flatten()),
        None => Ok(None),
    }
}

fn first_row(rows: &Rows) -> Option<&RecordBatch> {
    rows.batches.iter().find(|batch| batch.num_rows() > 0)
}

/// A column of text by its name.
///
/// # Errors
/// Fails when there is none, or it holds no text.
pub fn column_texts(batch: &RecordBatch, name: &str) -> Result<Vec<Option<String>>> {
    let column = batch.column_by_name(name).ok_or_else(|| Error::bug(format!("there is no {name}")))?;
    texts(column)
}

/// Which rows of a batch are of such a class.
///
/// # Errors
/// Fails when they have no class.
pub fn of_class(
    batch: &RecordBatch,
    wanted: impl Fn(Class) -> bool,
) -> std::result::Result<BooleanArray, ArrowError> {
    let classes = cast(column(batch, CLASS)?, &DataType::Utf8)?;
    let is_wanted = |name: Option<&str>| name.and_then(Class::from_name).is_some_and(&wanted);
    Ok(classes.as_string::<i32>().iter().map(|name| Some(is_wanted(name))).collect())
}

/// A column by its name.
///
/// # Errors
/// Fails when there is none.
pub fn column<'a>(batch: &'a RecordBatch, name: &str) -> std::result::Result<&'a ArrayRef, ArrowError> {
    batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("rows have no column `{name}`")))
}

/// Column names as a list in SQL.
#[must_use]
pub fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| Ident(name).to_string()).collect();
    names.join(", ")
}

/// A column of text in whatever form the engine keeps it.
///
/// # Errors
/// Fails when the column holds no text.
pub fn texts(column: &dyn Array) -> Result<Vec<Option<String>>> {
    let plain = cast(column, &DataType::Utf8)
        .map_err(|error| Error::bug("a text column is no text").because(error))?;
    Ok(plain.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use deltalake::arrow::array::{RecordBatch, StringArray};
    use serde_json::json;

    use super::*;

    #[test]
    fn description_reads_back_as_the_row_whatever_is_in_it() {
        let values = [
            Some("a"),
            Some(""),
            Some(" "),
            None,
            Some("NULL"),
            Some("x y=1"),
            Some("line\nbreak\u{1b}[0m"),
            Some("\"q\""),
        ];
        let column = Arc::new(StringArray::from(values.to_vec()));
        let batch =
            RecordBatch::try_from_iter([("odd name", column.clone() as _), ("b", column as _)]).unwrap();
        let rows = Rows { schema: batch.schema(), batches: vec![batch] };
        let lines = describe(&rows, &BTreeSet::new()).unwrap();
        for (line, value) in lines.iter().zip(values) {
            assert_eq!(json!(described(line)), json!({"odd name": value, "b": value}), "{line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        assert_eq!(described("`id` is missing"), None);
        assert_eq!(described(""), None);
    }
}
