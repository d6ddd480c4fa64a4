//! What is read of a file, and what is not: oddities of CSV, JSON and Parquet, one file each.

use std::collections::BTreeMap;
use std::sync::Arc;

use deltalake::arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, ListArray, NullArray, RecordBatch,
    StringArray, StructArray,
};
use deltalake::arrow::datatypes::Float64Type;
use deltalake::parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::{lab, lab_with, packed, rows, write};
use crate::common::{Lab, json_of, program, rows_of};

/// A file, what is said of files, and what comes of it.
struct Case {
    file: &'static str,
    bytes: Vec<u8>,
    /// Rows, by the values that are not NULL, with the row's number.
    rows: Vec<Value>,
    /// Rows that could not be read: number, reason, text.
    corrupt: Vec<(i64, &'static str, &'static str)>,
    /// Why the file could not be read.
    failed: Option<&'static str>,
}

fn case(file: &'static str, bytes: impl Into<Vec<u8>>, rows: Vec<Value>) -> Case {
    Case { file, bytes: bytes.into(), rows, corrupt: Vec::new(), failed: None }
}

impl Case {
    fn corrupt(self, corrupt: &[(i64, &'static str, &'static str)]) -> Self {
        Self { corrupt: corrupt.to_vec(), ..self }
    }

    fn failed(self, why: &'static str) -> Self {
        Self { failed: Some(why), ..self }
    }
}

/// Brings the files in, all at once, and holds each against what is expected of it.
async fn check(lab: &Lab, cases: Vec<Case>) {
    for case in &cases {
        write(lab, case.file, &case.bytes);
    }
    let (status, document) = lab.json(&["ingest"]);
    let any_failed = cases.iter().any(|case| case.failed.is_some());
    assert_eq!(status, Some(i32::from(any_failed)), "{document:#}");
    let (found, corrupt, ledger) =
        (rows(lab, "src").await, rows(lab, "ingest_corrupt").await, rows(lab, "ingest_files").await);
    for case in cases {
        let mut of_file: Vec<Value> =
            found.iter().filter(|row| row["source_file"] == case.file).map(without_nulls).collect();
        of_file.sort_by_key(|row| row["row"].as_i64());
        assert_eq!(of_file, case.rows, "{}", case.file);
        let mut bad: Vec<&Value> = corrupt.iter().filter(|row| row["source_file"] == case.file).collect();
        bad.sort_by_key(|row| row["source_row"].as_i64());
        assert_eq!(bad.len(), case.corrupt.len(), "{}: {bad:#?}", case.file);
        for (row, (number, reason, text)) in bad.iter().zip(&case.corrupt) {
            assert_eq!(row["source_row"], *number, "{row:#}");
            assert!(row["reason"].as_str().unwrap().contains(reason), "{row:#}");
            assert!(row["text"].as_str().unwrap().contains(text), "{row:#}");
        }
        let known = ledger.iter().find(|row| row["path"] == case.file).unwrap();
        let Some(why) = case.failed else {
            assert_eq!(known["status"], "loaded", "{known:#}");
            assert_eq!(known["rows"], case.rows.len(), "{known:#}");
            assert_eq!(known["corrupt_rows"], case.corrupt.len(), "{known:#}");
            continue;
        };
        assert_eq!(known["status"], "failed", "{known:#}");
        assert!(known["error"].as_str().unwrap().contains(why), "{known:#}");
    }
}

fn without_nulls(row: &Value) -> Value {
    let mut fields = row.as_object().unwrap().clone();
    fields.remove("source_file");
    fields.remove("ingest_time");
    let number = fields.remove("source_row").unwrap();
    fields.insert("row".to_owned(), number);
    fields.retain(|_, value| !value.is_null());
    Value::Object(fields)
}

#[tokio::test(flavor = "multi_thread")]
async fn oddities_of_csv_are_read_as_they_are_meant_or_kept_aside() {
    let lab = lab();
    let one = |row: i64| json!({"row": row, "id": 1, "v": 2, "name": "a"});
    let mut utf16 = vec![0xFF, 0xFE];
    utf16.extend("id,v,name\n1,2,ä\n".encode_utf16().flat_map(u16::to_le_bytes));
    let two_packed = [packed("id,v,name\n1,2,a\n"), packed("1,2,a\n")].concat();
    let half = packed(&format!("id,v,name\n{}", "1,2,a\n".repeat(5_000)));
    check(
        &lab,
        vec![
            case("plain.csv", "id,v,name\n1,2,a\n", vec![one(2)]),
            case("no_end_of_line.csv", "id,v,name\n1,2,a", vec![one(2)]),
            case("windows.csv", "id,v,name\r\n1,2,a\r\n\r\n1,2,a\r\n", vec![one(2), one(4)]),
            case("bom.csv", "\u{feff}id,v,name\n1,2,a\n", vec![one(2)]),
            case("utf16.csv", utf16, vec![json!({"row": 2, "id": 1, "v": 2, "name": "ä"})]),
            case("empty.csv", "", vec![]),
            case("only_header.csv", "id,v,name\n", vec![]),
            case("other_order.csv", "name,id,v\na,1,2\n", vec![one(2)]),
            case("spaces.csv", " id , v,name\n 1 ,\t2,a\n", vec![one(2)]),
            case(
                "quotes.csv",
                "id,v,name\n1,2,\"a \"\"b\"\", c\"\n3,4,\"two\nlines\"\n5,6, \"as it is\"\n",
                vec![
                    json!({"row": 2, "id": 1, "v": 2, "name": "a \"b\", c"}),
                    json!({"row": 3, "id": 3, "v": 4, "name": "two\nlines"}),
                    json!({"row": 5, "id": 5, "v": 6, "name": " \"as it is\""}),
                ],
            ),
            case(
                "ragged.csv",
                "id,v,name\n1,2\n1,2,a\n1,2,a,b\n",
                vec![one(3)],
            )
            .corrupt(&[(2, "it has 2 fields, and there are 3 columns", "1,2"), (4, "it has 4 fields", "1,2,a,b")]),
            case("no_text.csv", b"id,v,name\n1,2,a\n1,2,\xE4\n".as_slice(), vec![one(2)])
                .corrupt(&[(3, "no UTF-8", "1,2,\u{fffd}")]),
            case(
                "types.csv",
                "id,v,day,amount,name,ok,x,at\n\
                 1,2,2025-02-28,1.25,,true,1e3,2025-01-01T00:00:00+02:00\n\
                 1,2,2025-02-29,1,a,true,1,2025-01-01 00:00:00\n\
                 1,2,2025-02-28,123456789.00,a,true,1,2025-01-01 00:00:00\n\
                 1,2,,,,maybe,,\n\
                 1,2,,,,,1e400,\n\
                 1,2,,,,,inf,\n\
                 99999999999999999999,2,,,,,,\n\
                 1,2.5,,,,,,\n\
                 1,2,,,,,,noon\n\
                 -9223372036854775808,9223372036854775807,0001-01-01,-99999999.99,x,f,-0,9999-12-31T23:59:59.999999Z\n",
                vec![
                    json!({"row": 2, "id": 1, "v": 2, "day": "2025-02-28", "amount": 1.25, "ok": true, "x": 1000.0, "at": "2024-12-31T22:00:00Z"}),
                    json!({"row": 7, "id": 1, "v": 2}),
                    json!({"row": 11, "id": i64::MIN, "v": i64::MAX, "day": "0001-01-01", "amount": -99_999_999.99, "name": "x", "ok": false, "x": -0.0, "at": "9999-12-31T23:59:59.999999Z"}),
                ],
            )
            .corrupt(&[
                (3, "`day` is no DATE", "2025-02-29"),
                (4, "`amount` is no DECIMAL(10,2)", "123456789.00"),
                (5, "`ok` is no BOOLEAN", "maybe"),
                (6, "`x` is no DOUBLE", "1e400"),
                (8, "`id` is no BIGINT", "99999999999999999999"),
                (9, "`v` is no BIGINT", "2.5"),
                (10, "`at` is no TIMESTAMP", "noon"),
            ]),
            case("twice.csv", "id,v,id\n1,2,3\n", vec![]).failed("names the column `id` twice"),
            case("other.csv", "a,b\n1,2\n", vec![]).failed("names no column of staging: a, b"),
            case("packed.csv.gz", packed("id,v,name\n1,2,a\n"), vec![one(2)]),
            case("appended.csv.gz", two_packed, vec![one(2), one(3)]),
            case("half.csv.gz", half[..half.len() / 2].to_vec(), vec![]).failed("incomplete deflate stream"),
            case("not.csv.gz", "id,v,name\n1,2,a\n", vec![]).failed("invalid gzip header"),
            case(
                "packed.csv.zst",
                zstd::encode_all("id,v,name\n1,2,a\n".as_bytes(), 0).unwrap(),
                vec![one(2)],
            ),
            case("quotes_open.csv", "id,v,name\n1,2,\"a\n1,2,b\n", vec![]).failed("ends within quotes"),
            case("case.csv", "ID,V,Name\n1,2,a\n", vec![one(2)]),
            case("times.csv", "id,v,day\n1,2,2025-01-01 12:00:00\n", vec![]).corrupt(&[(2, "`day` is no DATE", "12:00")]),
            case("noname", "id,v,name\n1,2,a\n", vec![]).failed("tells no format"),
        ],
    )
    .await;
    // What is passed over, and what failed and is as it was, makes no commit.
    write(&lab, "_SUCCESS", "");
    write(&lab, ".hidden.csv", "id\n1\n");
    let before = lab.versions().await;
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!((status, document["status"].as_str()), (Some(1), Some("nothing_new")), "{document:#}");
    assert_eq!(document["failed"].as_array().unwrap().len(), 6, "{document:#}");
    assert_eq!(lab.versions().await, before);
    // Mended, it comes in.
    write(&lab, "half.csv.gz", packed("id,v,name\n1,2,mended\n"));
    let (_, document) = lab.json(&["ingest"]);
    assert_eq!((&document["files"], &document["rows"]), (&json!(1), &json!(1)), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_is_read_by_what_the_file_says_of_it() {
    for (more, text, expected) in [
        ("delimiter: ';'", "id;v;name\n1;2;a,b\n", json!({"row": 2, "id": 1, "v": 2, "name": "a,b"})),
        ("delimiter: '\\t'", "id\tv\tname\n1\t2\ta\n", json!({"row": 2, "id": 1, "v": 2, "name": "a"})),
        (
            "header: false",
            "1,2,2025-01-01,1,a,true,1,\n",
            json!({"row": 1, "id": 1, "v": 2, "day": "2025-01-01", "amount": 1.0, "name": "a", "ok": true, "x": 1.0}),
        ),
        ("null: NA", "id,v,name\n1,2,NA\n", json!({"row": 2, "id": 1, "v": 2})),
        ("null: NA", "id,v,name\n1,2,\n", json!({"row": 2, "id": 1, "v": 2, "name": ""})),
        ("quote: \"'\"", "id,v,name\n1,2,'a,b'\n", json!({"row": 2, "id": 1, "v": 2, "name": "a,b"})),
        (
            "escape: \"\\\\\"",
            "id,v,name\n1,2,\"a\\\"b\"\n",
            json!({"row": 2, "id": 1, "v": 2, "name": "a\"b"}),
        ),
        ("encoding: latin1", "id,v,name\n1,2,\u{e4}\n", json!({"row": 2, "id": 1, "v": 2, "name": "ä"})),
        ("format: csv", "id,v,name\n1,2,a\n", json!({"row": 2, "id": 1, "v": 2, "name": "a"})),
    ] {
        let lab = lab_with("raw/**\" }", &format!("raw/**\", {more} }}"));
        let bytes: Vec<u8> = if more.contains("latin1") {
            text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
        } else {
            text.as_bytes().to_vec()
        };
        write(&lab, if more.contains("format") { "a.txt" } else { "a.csv" }, bytes);
        let (status, document) = lab.json(&["ingest"]);
        assert_eq!(status, Some(0), "{more}: {document:#}");
        let found: Vec<Value> = rows(&lab, "src").await.iter().map(without_nulls).collect();
        assert_eq!(found, [expected], "{more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oddities_of_json_are_read_as_they_are_meant_or_kept_aside() {
    let lab = lab();
    let one = |row: i64| json!({"row": row, "id": 1, "v": 2, "name": "a"});
    let good = r#"{"id": 1, "v": 2, "name": "a"}"#;
    check(
        &lab,
        vec![
            case("plain.ndjson", format!("{good}\n\n{good}"), vec![one(1), one(3)]),
            case("windows.jsonl", format!("\u{feff}{good}\r\n{good}\r\n"), vec![one(1), one(2)]),
            case(
                "bad.ndjson",
                format!(
                    "{good}\n{{\"id\": 1, \"v\": \"x\"}}\n{{\"id\": 1\n{good}{good}\n[1]\n17\n{good}\n{{\"id\": 1, \"v\": 2.5}}\n"
                ),
                vec![one(1), one(7)],
            )
            .corrupt(&[
                (2, "`v` is no BIGINT", "\"x\""),
                (3, "not one object", "{\"id\": 1"),
                (4, "not one object", "}{"),
                (5, "not one object", "[1]"),
                (6, "not one object", "17"),
                (8, "`v` is no BIGINT", "2.5"),
            ]),
            case(
                "values.ndjson",
                "{\"id\": 1, \"v\": 2, \"amount\": 1.25, \"day\": \"2025-02-28\", \"at\": \"2025-01-01T00:00:00Z\", \"name\": \"\\u00e4\\n\", \"ok\": true, \"other\": {\"a\": [1]}}\n\
                 {\"id\": 1, \"v\": 2, \"name\": 17, \"day\": null}\n",
                vec![
                    json!({"row": 1, "id": 1, "v": 2, "amount": 1.25, "day": "2025-02-28", "at": "2025-01-01T00:00:00Z", "name": "ä\n", "ok": true}),
                    json!({"row": 2, "id": 1, "v": 2, "name": "17"}),
                ],
            ),
            case("array.json", format!("[{good},\n  {good}\n]\n"), vec![one(1), one(2)]),
            case("pretty.json", "{\n  \"id\": 1,\n  \"v\": 2,\n  \"name\": \"a\"\n}\n", vec![one(1)]),
            case("half.json", format!("[{good}, {{\"id\": 1"), vec![])
                .failed("ends within what begins on line 1"),
            case("open.json", format!("[{good},\n"), vec![]).failed("array does not end"),
            case("other.ndjson", "{\"ID\": 1, \"V\": 2}\n", vec![]).failed("no column of staging"),
            case("empty.json", " \n", vec![]),
            case("packed.ndjson.gz", packed(good), vec![one(1)]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_lines_with_a_bad_one_now_and_then_lose_only_those() {
    let lab = lab();
    let line = |id: usize| match id % 1_000 {
        7 => format!("{{\"id\": {id}, \"v\": oops}}\n"),
        _ => format!("{{\"id\": {id}, \"v\": 1}}\n"),
    };
    write(&lab, "many.ndjson", (0..30_000).map(line).collect::<String>());
    let csv = |id: usize| if id % 1_000 == 7 { format!("{id},x\n") } else { format!("{id},1\n") };
    write(&lab, "many.csv", format!("id,v\n{}", (0..30_000).map(csv).collect::<String>()));
    let (status, document) = lab.json(&["ingest"]);
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!((&document["rows"], &document["corrupt_rows"]), (&json!(59_940), &json!(60)), "{document:#}");
    for row in rows(&lab, "src").await {
        let (id, number) = (row["id"].as_i64().unwrap(), row["source_row"].as_i64().unwrap());
        let first = if row["source_file"] == "many.csv" { 2 } else { 1 };
        assert_eq!(id + first, number, "{row:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_is_read_by_names_and_what_does_not_fit_is_kept_aside() {
    let lab = lab();
    let batch = RecordBatch::try_from_iter([
        ("v", Arc::new(StringArray::from(vec!["2", "two", "3"])) as Arc<_>),
        ("id", Arc::new(Int32Array::from(vec![1, 2, 3])) as Arc<_>),
        ("more", Arc::new(Int32Array::from(vec![1, 2, 3])) as Arc<_>),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let cases = vec![
        case(
            "a.parquet",
            bytes.clone(),
            vec![json!({"row": 1, "id": 1, "v": 2}), json!({"row": 3, "id": 3, "v": 3})],
        )
        .corrupt(&[(2, "`v` is no BIGINT", "v=two, id=2")]),
        case("half.parquet", bytes[..bytes.len() / 2].to_vec(), vec![]).failed(""),
    ];
    check(&lab, cases).await;
    let again = lab.json(&["bookmarks", "reset", "a.parquet"]);
    assert_eq!(again.0, Some(0), "{:#}", again.1);
    let (_, document) = lab.json(&["ingest"]);
    assert_eq!(document["unknown_columns"], json!(["more"]), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_spark_wrote_are_read_with_their_times_of_all_ages() {
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/spark");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("raw")).unwrap();
    for entry in std::fs::read_dir(fixture.join("types")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "parquet") {
            std::fs::copy(&path, folder.path().join("raw").join(path.file_name().unwrap())).unwrap();
        }
    }
    let config = folder.path().join("p.yaml");
    let text = "name: p\nsource: {table: s, files: {path: raw/*}}\ntarget: t\nunique_key: id\nupdated_at: updated_at\n\
                incremental: {mode: changes}\n";
    std::fs::write(&config, text).unwrap();
    for command in ["init", "ingest"] {
        let mut process = std::process::Command::new(program());
        let (status, document) = json_of({
            process.arg("-c").arg(&config).arg(command).env_remove("RUST_LOG");
            process
        });
        assert_eq!(status, Some(0), "{document:#}");
    }
    let text = std::fs::read_to_string(fixture.join("types.json")).unwrap();
    let expected: Vec<Value> = serde_json::from_str(&text).unwrap();
    let columns = "CAST(id AS STRING) AS id, CAST(ts AS STRING) AS ts, CAST(day AS STRING) AS day, \
                   CAST(ntz AS STRING) AS ntz, name";
    let found = rows_of(folder.path(), "s", columns).await;
    let found: BTreeMap<String, Value> = found
        .iter()
        .map(|row| serde_json::from_str::<Value>(row).unwrap())
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row))
        .collect();
    assert_eq!(found.len(), expected.len());
    for row in expected {
        let own = &found[row["id"].as_str().unwrap()];
        for name in ["ts", "day", "ntz", "name"] {
            // A time by what it is, however many digits it is written with.
            let told = |value: &Value| {
                let text = value.as_str()?.to_owned();
                let zoned = format!("{}Z", text.trim_end_matches('Z'));
                Some(zoned.parse::<chrono::DateTime<chrono::Utc>>().map_or(text, |at| at.to_string()))
            };
            assert_eq!(told(&own[name]), told(&row[name]), "{name} of {row}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_would_be_others_in_staging_are_kept_aside_also_within_others() {
    let ddl = "CREATE TABLE src (id BIGINT, v INT, name STRING, x DOUBLE, inner STRUCT<a: INT, d: DECIMAL(4,1)>, many ARRAY<INT>) USING DELTA";
    let target = "CREATE TABLE tgt (id BIGINT NOT NULL, v INT, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING,
                  PRIMARY KEY (id)) USING DELTA";
    let text = "name: feed\nsource: {table: src, ddl: src.sql, files: {path: 'raw/**'}}\ntarget: {table: tgt, ddl: tgt.sql}\n\
                unique_key: id\nupdated_at: v\nincremental: {mode: changes}\n";
    let lab = Lab::custom(text, &[("src", ddl), ("tgt", target)]);
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4])) as Arc<_>),
        ("v", Arc::new(Float64Array::from(vec![Some(1.0), Some(2.7), None, Some(4e12)])) as Arc<_>),
        ("x", Arc::new(Int64Array::from(vec![1, 2, 3, 4])) as Arc<_>),
    ]);
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    check(
        &lab,
        vec![
            case(
                "a.parquet",
                writer.into_inner().unwrap(),
                vec![json!({"row": 1, "id": 1, "v": 1, "x": 1.0}), json!({"row": 3, "id": 3, "x": 3.0})],
            )
            .corrupt(&[(2, "`v` is no INT", "v=2.7"), (4, "`v` is no INT", "v=4")]),
            case(
                "a.ndjson",
                "{\"id\": 1, \"inner\": {\"a\": 2, \"d\": 1.26}, \"many\": [1, 2, null]}\n{\"id\": 2, \"inner\": {\"a\": 2.7}}\n{\"id\": 3, \"many\": [1, 1.9]}\n\
                 {\"id\": 4, \"inner\": null, \"many\": []}\n{\"id\": 5, \"inner\": {\"a\": 99999999999}}\n",
                vec![
                    json!({"row": 1, "id": 1, "inner": {"a": 2, "d": 1.3}, "many": [1, 2, null]}),
                    json!({"row": 4, "id": 4, "many": []}),
                ],
            )
            .corrupt(&[(2, "`inner`", "2.7"), (3, "`many`", "1.9"), (5, "`inner`", "99999999999")]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_nested_is_found_by_names_and_held_to_its_types_like_the_rest() {
    let ddl = "CREATE TABLE src (id BIGINT, v INT, at STRUCT<lat: DOUBLE, lon: DOUBLE>, many ARRAY<BIGINT>, days ARRAY<DATE>, \
               x ARRAY<DOUBLE>, note STRING, day DATE) USING DELTA";
    let target = "CREATE TABLE tgt (id BIGINT NOT NULL, v INT, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING,
                  PRIMARY KEY (id)) USING DELTA";
    let text = "name: feed\nsource: {table: src, ddl: src.sql, files: {path: 'raw/**'}}\ntarget: {table: tgt, ddl: tgt.sql}\n\
                unique_key: id\nupdated_at: v\nincremental: {mode: changes}\n";
    let lab = Lab::custom(text, &[("src", ddl), ("tgt", target)]);
    let lon = Float64Array::from(vec![8.5, 8.5, 8.5]);
    let at = StructArray::try_from(vec![
        ("Lon", Arc::new(lon) as ArrayRef),
        ("high", Arc::new(Int32Array::from(vec![400; 3])) as ArrayRef),
    ]);
    let many = vec![Some(vec![Some(1.0), None]), Some(vec![Some(2.5)]), None];
    let far = Date32Array::from(vec![Some(1), None, Some(i32::MIN)]);
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
        ("at", Arc::new(at.unwrap()) as ArrayRef),
        ("many", Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(many)) as ArrayRef),
        ("note", Arc::new(NullArray::new(3)) as ArrayRef),
        ("day", Arc::new(far) as ArrayRef),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let json = [
        r#"{"id": 1, "x": [1e400]}"#,
        r#"{"id": 2, "days": ["2025-09-01T10:00:00"]}"#,
        r#"{"id": 3, "days": ["2025-09-01", null], "at": {"lat": 1, "up": 2}, "note": {"a": [1]}}"#,
        r#"{"id": 4, "note": [1}, "v": 2}"#,
        r#"{"id": 5, "note": {"a":1 "b":2}}"#,
    ];
    let unlike = [("many", Arc::new(Int32Array::from(vec![1])) as ArrayRef)];
    let unlike = RecordBatch::try_from_iter(unlike).unwrap();
    let mut other = ArrowWriter::try_new(Vec::new(), unlike.schema(), None).unwrap();
    other.write(&unlike).unwrap();
    check(
        &lab,
        vec![
            case(
                "a.parquet",
                writer.into_inner().unwrap(),
                vec![json!({"row": 1, "id": 1, "at": {"lon": 8.5}, "many": [1, null], "day": "1970-01-02"})],
            )
            .corrupt(&[(2, "`many` is no ARRAY<BIGINT>", "2.5"), (3, "`day` is no DATE", "id=3")]),
            case(
                "a.ndjson",
                json.join("\n"),
                vec![json!({"row": 3, "id": 3, "days": ["2025-09-01", null], "at": {"lat": 1.0}, "note": "{\"a\": [1]}"}),
                ],
            )
            .corrupt(&[
                (1, "`x` is no ARRAY<DOUBLE>", "1e400"),
                (2, "`days` is no ARRAY<DATE>", "10:00"),
                (4, "", "[1}"),
                (5, "", "\"a\":1 \"b\""),
            ]),
            case("b.parquet", other.into_inner().unwrap(), vec![]).failed("it has INT where staging has ARRAY<BIGINT>"),
        ],
    )
    .await;
}
