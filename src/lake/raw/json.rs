//! Files of JSON objects.

use std::io::{BufRead as _, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use deltalake::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use deltalake::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use deltalake::arrow::json::ReaderBuilder;

use serde_json::{Map, Value};

use super::typed::chunk;
use super::{Chunk, Corrupt, Fault, ROWS, Sink};
use crate::config::OnCorrupt;

/// The most bytes that one object may take: more, and it is no row, but a file that lacks a bracket.
const LONGEST: usize = 64 << 20;

/// Bytes of one batch, at most, but for its last object.
const BYTES: usize = 8 << 20;

/// What is wrong with a line that holds no object, or several.
const NOT_ONE: &str = "it is not one object";

/// An object as it stands in a file.
struct Found {
    line: i64,
    text: Vec<u8>,
    /// The same, with texts for what is nested where staging has a text.
    read_as: Option<Vec<u8>>,
}

impl Found {
    fn new(line: i64, text: Vec<u8>) -> Self {
        Self { line, text, read_as: None }
    }
}

/// Reads a file with an object on each line.
pub(super) fn read_lines(
    input: impl Read,
    fields: &[FieldRef],
    on_corrupt: OnCorrupt,
    sink: Sink<'_>,
) -> Result<(), Fault> {
    let mut input = BufReader::with_capacity(256 << 10, input);
    let mut rows = Rows::new(fields, on_corrupt);
    for line in 1.. {
        let mut text = Vec::new();
        if input.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        if text.len() > LONGEST {
            return Err(Fault::Broken(format!("line {line} has more than {} MiB", LONGEST >> 20)));
        }
        if !text.trim_ascii().is_empty() && rows.push(Found::new(line, text), sink)? {
            return Ok(());
        }
    }
    let _ = sink(rows.take()?);
    Ok(())
}

/// Reads a file with objects one after the other, or in one array.
pub(super) fn read_objects(
    input: impl Read,
    fields: &[FieldRef],
    on_corrupt: OnCorrupt,
    sink: Sink<'_>,
) -> Result<(), Fault> {
    let mut rows = Rows::new(fields, on_corrupt);
    let mut cut = Cut::default();
    for byte in BufReader::with_capacity(256 << 10, input).bytes() {
        if let Some(found) = cut.next(byte?)?
            && rows.push(found, sink)?
        {
            return Ok(());
        }
    }
    if let Some(why) = cut.is_cut_off() {
        return Err(Fault::Broken(why));
    }
    if let Some(found) = cut.rest()
        && rows.push(found, sink)?
    {
        return Ok(());
    }
    let _ = sink(rows.take()?);
    Ok(())
}

/// Cuts a text into its objects: where one ends is told by brackets outside of texts.
#[derive(Default)]
struct Cut {
    line: i64,
    began: i64,
    /// Arrays of objects that are open.
    arrays: i64,
    depth: usize,
    in_text: bool,
    escaped: bool,
    text: Vec<u8>,
}

impl Cut {
    fn next(&mut self, byte: u8) -> Result<Option<Found>, Fault> {
        self.line += i64::from(byte == b'\n');
        if self.depth == 0 && self.text.is_empty() {
            // Between objects, the array's own brackets and commas mean nothing.
            self.arrays += i64::from(byte == b'[') - i64::from(byte == b']');
            if byte.is_ascii_whitespace() || matches!(byte, b'[' | b']' | b',') {
                return Ok(None);
            }
            self.began = self.line + 1;
        }
        self.text.push(byte);
        if self.text.len() > LONGEST {
            return Err(Fault::Broken(format!("what begins on line {} does not end", self.began)));
        }
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return Ok(None);
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        // What is no object ends with its line.
        let ends = self.depth == 0 && matches!(byte, b'}' | b']' | b'\n');
        Ok(ends.then(|| Found::new(self.began, std::mem::take(&mut self.text))))
    }

    /// Why the text cannot be all of the file.
    fn is_cut_off(&self) -> Option<String> {
        if self.depth > 0 || self.in_text {
            return Some(format!("it ends within what begins on line {}", self.began));
        }
        (self.arrays > 0).then(|| "its array does not end".to_owned())
    }

    fn rest(self) -> Option<Found> {
        (!self.text.trim_ascii().is_empty()).then(|| Found::new(self.began, self.text))
    }
}

/// Objects that are being put together.
struct Rows<'a> {
    fields: &'a [FieldRef],
    on_corrupt: OnCorrupt,
    schema: Arc<Schema>,
    objects: Vec<Found>,
    bytes: usize,
    corrupt: Vec<Corrupt>,
}

impl<'a> Rows<'a> {
    fn new(fields: &'a [FieldRef], on_corrupt: OnCorrupt) -> Self {
        // As texts: what reads a number as one of another type cuts off what does not fit.
        let texts = fields.iter().map(|field| as_texts(field).as_ref().clone());
        let schema = Arc::new(Schema::new(texts.collect::<Vec<_>>()));
        Self { fields, on_corrupt, schema, objects: Vec::new(), bytes: 0, corrupt: Vec::new() }
    }

    /// Adds an object; whether the sink wants no more.
    fn push(&mut self, found: Found, sink: Sink<'_>) -> Result<bool, Fault> {
        self.bytes += found.text.len();
        self.objects.push(found);
        let is_full = self.objects.len() >= ROWS || self.bytes > BYTES;
        Ok(is_full && sink(self.take()?).is_break())
    }

    fn take(&mut self) -> Result<Chunk, Fault> {
        let mut objects = std::mem::take(&mut self.objects);
        self.bytes = 0;
        let (mut batches, mut good) = (Vec::new(), Vec::new());
        if let Ok(batch) = decoded(&self.schema, &objects) {
            batches.push(batch);
            good.extend(&objects);
        } else {
            for found in &mut objects {
                found.read_as = nested_as_texts(&found.text, self.fields);
            }
            self.decode(&objects, &mut batches, &mut good);
        }
        let numbers: Int64Array = good.iter().map(|found| Some(found.line)).collect();
        let batch = deltalake::arrow::compute::concat_batches(&self.schema, &batches)
            .map_err(|error| Fault::Broken(error.to_string()))?;
        let given: Vec<Option<ArrayRef>> = batch.columns().iter().cloned().map(Some).collect();
        let corrupt = std::mem::take(&mut self.corrupt);
        // To look at each would take longer than to read them.
        let first =
            good.first().and_then(|found| serde_json::from_slice::<Map<String, Value>>(&found.text).ok());
        // Unlike in other formats, names are compared letter by letter.
        let is_extra = |name: &&String| !self.fields.iter().any(|field| field.name() == *name);
        let extra = first.as_ref().map(|object| object.keys().filter(is_extra).cloned().collect::<Vec<_>>());
        let mut extra = extra.unwrap_or_default();
        if first.as_ref().is_some_and(|object| !object.is_empty() && extra.len() == object.len()) {
            return Err(Fault::Broken(format!("it has no column of staging: {}", extra.join(", "))));
        }
        for (name, value) in first.iter().flatten() {
            if let Some(field) = self.fields.iter().find(|field| field.name() == name) {
                members_left_out(name, value, field.data_type(), &mut extra);
            }
        }
        let text = |row: usize| String::from_utf8_lossy(good[row].text.trim_ascii()).into_owned();
        Ok(Chunk { extra, ..chunk(self.fields, &given, numbers, self.on_corrupt, corrupt, text)? })
    }

    /// Decodes objects; where one cannot be, halves of them, until it is alone.
    fn decode<'f>(
        &mut self,
        objects: &'f [Found],
        batches: &mut Vec<RecordBatch>,
        good: &mut Vec<&'f Found>,
    ) {
        if objects.is_empty() {
            return;
        }
        match decoded(&self.schema, objects) {
            Ok(batch) => {
                batches.push(batch);
                good.extend(objects);
            }
            Err(reason) if objects.len() == 1 => {
                let text = String::from_utf8_lossy(objects[0].text.trim_ascii());
                self.corrupt.push(Corrupt::new(objects[0].line, reason, &text));
            }
            Err(_) => {
                let (before, after) = objects.split_at(objects.len() / 2);
                self.decode(before, batches, good);
                self.decode(after, batches, good);
            }
        }
    }
}

/// A column with texts for all that it holds.
fn as_texts(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::List(element) => DataType::List(as_texts(element)),
        DataType::Struct(members) => DataType::Struct(members.iter().map(as_texts).collect()),
        DataType::Map(entries, sorted) => DataType::Map(as_texts_of_map(entries), *sorted),
        _ => DataType::Utf8,
    };
    Arc::new(Field::new(field.name(), data_type, true))
}

/// The same for a map's entries, whose keys are never NULL.
fn as_texts_of_map(entries: &FieldRef) -> FieldRef {
    let DataType::Struct(members) = entries.data_type() else { return Arc::clone(entries) };
    let members = members
        .iter()
        .map(|member| Arc::new(as_texts(member).as_ref().clone().with_nullable(member.is_nullable())));
    Arc::new(Field::new(entries.name(), DataType::Struct(members.collect()), false))
}

/// Objects as rows: as many as there are, or the reason.
fn decoded(schema: &Arc<Schema>, objects: &[Found]) -> Result<RecordBatch, String> {
    let builder =
        ReaderBuilder::new(Arc::clone(schema)).with_coerce_primitive(true).with_batch_size(objects.len() + 1);
    let mut decoder = builder.build_decoder().map_err(|error| error.to_string())?;
    for Found { text, read_as, .. } in objects {
        // So no object can go on in the next one.
        let text = read_as.as_ref().unwrap_or(text).trim_ascii();
        if !(text.starts_with(b"{") && text.ends_with(b"}")) {
            return Err(NOT_ONE.to_owned());
        }
        if std::str::from_utf8(text).is_err() {
            return Err("it holds bytes that are no UTF-8: say `source.files.encoding`".to_owned());
        }
        let read = decoder.decode(text).map_err(|error| told(&error.to_string()))?;
        if read != text.len() {
            return Err(NOT_ONE.to_owned());
        }
        let _ = decoder.decode(b"\n").map_err(|error| told(&error.to_string()))?;
    }
    let batch = decoder.flush().map_err(|error| told(&error.to_string()))?;
    match batch {
        Some(batch) if batch.num_rows() == objects.len() => Ok(batch),
        _ => Err(NOT_ONE.to_owned()),
    }
}

/// The members of nested objects that a table's structs lack: `home.zip`.
fn members_left_out(at: &str, value: &Value, to: &DataType, found: &mut Vec<String>) {
    match (value, to) {
        (Value::Object(object), DataType::Struct(members)) => {
            for (name, value) in object {
                let path = format!("{at}.{name}");
                match members.iter().find(|member| member.name() == name) {
                    None if !found.contains(&path) => found.push(path),
                    None => {}
                    Some(member) => members_left_out(&path, value, member.data_type(), found),
                }
            }
        }
        (Value::Array(elements), DataType::List(element)) => {
            for value in elements {
                members_left_out(at, value, element.data_type(), found);
            }
        }
        _ => {}
    }
}

/// An object with texts of JSON for the objects and arrays that staging has a text for: a member may be a text in one row
/// and an object in another. `None`, where it has none of them.
fn nested_as_texts(text: &[u8], fields: &[FieldRef]) -> Option<Vec<u8>> {
    let is_text =
        |name: &str| fields.iter().any(|field| field.name() == name && *field.data_type() == DataType::Utf8);
    let mut made = Vec::with_capacity(text.len());
    let mut copied = 0;
    for (name, place) in nested_members(text) {
        let name: String = serde_json::from_slice(&text[name]).ok()?;
        if is_text(&name) {
            made.extend_from_slice(&text[copied..place.start]);
            let value = std::str::from_utf8(&text[place.clone()]).ok()?;
            // Brackets alone make no JSON.
            serde_json::from_str::<serde::de::IgnoredAny>(value).ok()?;
            made.extend_from_slice(Value::from(value).to_string().as_bytes());
            copied = place.end;
        }
    }
    made.extend_from_slice(&text[copied..]);
    (copied > 0).then_some(made)
}

/// Where an object's members that are objects or arrays stand, each with where its name does.
fn nested_members(text: &[u8]) -> Vec<(Range<usize>, Range<usize>)> {
    let mut found = Vec::new();
    let (mut name, mut began) = (0..0, 0);
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            if !in_text && depth == 1 {
                name = began..at + 1;
            }
            continue;
        }
        match byte {
            b'"' => {
                in_text = true;
                if depth == 1 {
                    began = at;
                }
            }
            b'{' | b'[' => {
                depth += 1;
                if depth == 2 {
                    began = at;
                }
            }
            b'}' | b']' => {
                if depth == 2 {
                    found.push((name.clone(), began..at + 1));
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }
    found
}

fn told(error: &str) -> String {
    error.strip_prefix("Json error: ").unwrap_or(error).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(i64, String)> {
        let mut cut = Cut::default();
        let found: Vec<_> = text.bytes().filter_map(|byte| cut.next(byte).unwrap()).collect();
        let all = found.into_iter().chain(cut.rest());
        all.map(|found| (found.line, String::from_utf8(found.text).unwrap().trim().to_owned())).collect()
    }

    #[test]
    fn objects_are_cut_by_brackets_outside_of_texts() {
        let expected = vec![(1, r#"{"a": "}]\"{"}"#.to_owned()), (2, r#"{"b": [{"c": 1}]}"#.to_owned())];
        assert_eq!(cut("[{\"a\": \"}]\\\"{\"},\n {\"b\": [{\"c\": 1}]}\n]"), expected);
        assert_eq!(cut("{\"a\": \"}]\\\"{\"}\n{\"b\": [{\"c\": 1}]}"), expected);
    }

    #[test]
    fn what_is_nested_becomes_a_text_where_staging_has_one() {
        let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
        let list = DataType::List(field("element", DataType::Utf8));
        let fields = [field("a", DataType::Utf8), field("b", list), field("\"", DataType::Utf8)];
        let made = |text: &str| {
            nested_as_texts(text.as_bytes(), &fields).map(|made| String::from_utf8(made).unwrap())
        };
        let text = r#"{"a": {"x": 1.10, "a": []}, "b": ["}"], "\"":[{"\\": "\""}, 9], "c": {}}"#;
        let expected =
            r#"{"a": "{\"x\": 1.10, \"a\": []}", "b": ["}"], "\"":"[{\"\\\\\": \"\\\"\"}, 9]", "c": {}}"#;
        assert_eq!(made(text).as_deref(), Some(expected));
        assert!(serde_json::from_str::<Value>(expected).is_ok());
        for other in [r#"{"a": "{}", "b": []}"#, r#"{"a": {"x""#, "", "]]}}", r#"{"a"}"#, r#"[{"a": {}}]"#] {
            assert_eq!(made(other), None, "{other}");
        }
    }

    #[test]
    fn what_does_not_end_and_what_is_no_object_comes_out_whole() {
        let is_cut_off = |text: &str| {
            let mut cut = Cut::default();
            text.bytes().for_each(|byte| drop(cut.next(byte).unwrap()));
            cut.is_cut_off().is_some()
        };
        for (text, expected) in
            [("{\"a\": 1", true), ("[{\"a\": 1},", true), ("[{\"a\": 1}]", false), ("", false), ("\"", true)]
        {
            assert_eq!(is_cut_off(text), expected, "{text}");
        }
        assert_eq!(cut("oops\n{\"a\": 1}"), [(1, "oops".to_owned()), (2, "{\"a\": 1}".to_owned())]);
        assert_eq!(cut("[ ]\n\n"), []);
    }
}
