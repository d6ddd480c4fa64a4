//! Whatever bytes stand in a pipeline file, a DDL file, a contract, a CSV or a JSON file: they are read or refused, and nothing panics.
//!
//! Inputs are right ones with a few bytes changed, left out, doubled or put in. `HIGHWATER_FUZZ` says how many of each.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_avro::writer::AvroWriter;
use deltalake::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use deltalake::arrow::json::ReaderBuilder;
use highwater::config::{self, Location, Overrides};
use highwater::contract::ddl::TableDef;
use highwater::lake::Lake;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::common::{seed, setting};

/// What is put into a text: what the readers take for a sign of something.
const SIGNS: [&str; 24] = [
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "\r\n",
    "\\",
    "\u{0}",
    "\u{feff}",
    "ß",
    "🙂",
    "-",
    "#",
    "&a",
    "*a",
    "<<",
    "(",
    ")",
    "1e999",
    "99999999999999999999999999999999999999999",
];

/// A right text, spoilt.
fn spoilt(random: &mut StdRng, whole: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = whole.as_ref().to_vec();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        let to = (at + random.random_range(0..20)).min(bytes.len());
        match random.random_range(0..5) {
            0 => drop(bytes.drain(at..to)),
            1 => drop(bytes.splice(at..at, SIGNS[random.random_range(0..SIGNS.len())].bytes())),
            2 => drop(bytes.splice(at..at, bytes[at..to].to_vec())),
            3 if at < bytes.len() => bytes[at] = random.random(),
            _ => bytes.truncate(bytes.len() - random.random_range(0..=bytes.len().min(9))),
        }
    }
    bytes
}

#[test]
fn no_pipeline_file_panics() {
    let mut random = StdRng::seed_from_u64(seed());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    let texts = [include_str!("../../config/orders.yaml"), include_str!("../../config/examples/export.yaml")];
    let mut understood = 0;
    for _ in 0..setting("HIGHWATER_FUZZ", 1_500) {
        let text = texts[random.random_range(0..2)];
        std::fs::write(&path, spoilt(&mut random, text)).unwrap();
        let loaded = config::load(&path, &Overrides::default());
        understood += u32::from(loaded.is_ok_and(|loaded| loaded.problems.is_empty()));
    }
    assert!(understood > 0, "no spoilt file was ever understood");
}

#[test]
fn no_ddl_panics() {
    let mut random = StdRng::seed_from_u64(seed());
    let texts = [include_str!("../../tables/fact_orders.sql"), include_str!("../../tables/loads_audit.sql")];
    let mut understood = 0;
    for _ in 0..setting("HIGHWATER_FUZZ", 1_500) {
        let text = texts[random.random_range(0..2)];
        let bytes = spoilt(&mut random, text);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        understood += u32::from(TableDef::parse_all("t.sql", &text).is_ok());
    }
    assert!(understood > 0, "no spoilt DDL was ever understood");
}

#[test]
fn no_contract_of_the_standard_panics() {
    let mut random = StdRng::seed_from_u64(seed());
    let mut understood = 0;
    for _ in 0..setting("HIGHWATER_FUZZ", 1_500) {
        let bytes = spoilt(&mut random, crate::drift::STANDARD);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        understood += u32::from(config::contract_of_text("c.yaml", &text, None).is_ok());
    }
    assert!(understood > 0, "no spoilt contract was ever understood");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_raw_file_panics() {
    let base = seed();
    let folder = tempfile::tempdir().unwrap();
    let staging = "id BIGINT, v BIGINT, day DATE, amount DECIMAL(10,2), name STRING, ok BOOLEAN, x DOUBLE, at TIMESTAMP, \
                   many ARRAY<BIGINT>, inner STRUCT<a: BIGINT>";
    let def = TableDef::parse("s.sql", &format!("CREATE TABLE s ({staging}) USING DELTA")).unwrap();
    let fields: Vec<FieldRef> =
        def.columns.iter().map(|column| Arc::new(highwater::engine::arrow_field(&column.field))).collect();
    let csv: Vec<FieldRef> = fields[..8].to_vec();
    let avro = avro();
    for (name, whole, fields) in [
        (
            "a.csv",
            "id,v,day,amount,name,ok,x,at\n1,2,2025-02-28,1.25,\"a \"\"b\"\"\",true,1e3,2025-01-01T00:00:00Z\n3,4,,,,,,\n"
                .as_bytes(),
            &csv,
        ),
        (
            "a.ndjson",
            b"{\"id\": 1, \"v\": 2, \"name\": \"\\u00e4\", \"many\": [1, 2], \"inner\": {\"a\": 1}}\n{\"id\": 3, \"at\": \"2025-01-01\"}\n",
            &fields,
        ),
        (
            "a.json",
            b"[{\"id\": 1, \"v\": 2, \"name\": \"\\u00e4\", \"many\": [1, 2]},\n {\"id\": 3, \"x\": 1e5}]\n",
            &fields,
        ),
        ("a.avro", &avro, &fields),
    ] {
        let (path, whole) = (folder.path().join(name), whole.to_vec());
        std::fs::write(
            folder.path().join("p.yaml"),
            format!("name: p\nsource: {{table: s, files: {{path: {name}}}}}\ntarget: t\nunique_key: id\nupdated_at: v\n"),
        )
        .unwrap();
        let loaded = config::load(&folder.path().join("p.yaml"), &Overrides::default()).unwrap();
        let files = loaded.pipeline.unwrap().source.files.unwrap();
        assert_eq!(files.folder, Location::named(folder.path().to_str().unwrap()).unwrap());
        let reader = Lake::plain().raw_reader(&files, fields).await.unwrap();
        let listed = tokio::runtime::Handle::current();
        let read = tokio::task::spawn_blocking(move || {
            let mut random = StdRng::seed_from_u64(base);
            let (mut rows, mut corrupt, mut broken) = (0, 0, 0);
            for _ in 0..setting("HIGHWATER_FUZZ", 1_500) {
                std::fs::write(&path, spoilt(&mut random, &whole)).unwrap();
                let Some(file) = listed.block_on(reader.list()).unwrap().pop() else { continue };
                let ended = reader.read(&file, &mut |chunk| {
                    (rows, corrupt) = (rows + chunk.rows.num_rows(), corrupt + chunk.corrupt.len());
                    ControlFlow::Continue(())
                });
                broken += usize::from(ended.is_err());
            }
            (rows, corrupt, broken)
        });
        let (rows, corrupt, broken) = read.await.unwrap();
        // Of Avro, a row cannot be read without those around it.
        assert!(rows > 0 && (corrupt > 0 || name == "a.avro" && broken > 0), "{name}: {rows} rows, {corrupt} corrupt, {broken} broken");
    }
}

/// A file of Avro, with a block for each of its batches.
fn avro() -> Vec<u8> {
    let number = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
    let list = DataType::List(number("element"));
    let fields = vec![number("id"), number("v"), Arc::new(Field::new("name", DataType::Utf8, true))];
    let fields = [fields, vec![Arc::new(Field::new("many", list, true))]].concat();
    let schema = Arc::new(Schema::new(fields));
    let mut reader = ReaderBuilder::new(Arc::clone(&schema)).build_decoder().unwrap();
    let rows =
        r#"{"id": 1, "v": 2, "name": "ä", "many": [1, null]} {"id": 3, "many": []} {"v": 7, "name": ""}"#;
    reader.decode(rows.as_bytes()).unwrap();
    let rows = reader.flush().unwrap().unwrap();
    let mut writer = AvroWriter::new(Vec::new(), schema.as_ref().clone()).unwrap();
    for _ in 0..3 {
        writer.write(&rows).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner()
}
