//! Files that are brought into staging: read by real processes from real files.

mod crash;
mod policies;
mod readers;
mod replay;

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::common::Lab;

const FILE: &str = r#"
name: feed
source: {table: src, ddl: src.sql, files: {path: "raw/**" }}
target: {table: tgt, ddl: tgt.sql}
unique_key: id
updated_at: v
incremental: {mode: changes}
"#;

const SOURCE: &str = "CREATE TABLE src (
  id BIGINT, v BIGINT, day DATE, amount DECIMAL(10,2), name STRING, ok BOOLEAN, x DOUBLE, at TIMESTAMP
) USING DELTA";

const TARGET: &str = "CREATE TABLE tgt (
  id BIGINT NOT NULL, v BIGINT NOT NULL, day DATE, amount DECIMAL(10,2), name STRING,
  load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)
) USING DELTA";

/// A pipeline with files in `raw`, of which there are none yet.
fn lab() -> Lab {
    lab_with("raw/**\" }", "raw/**\" }")
}

/// The same, with a change to its file.
fn lab_with(from: &str, to: &str) -> Lab {
    let file = FILE.replace(from, to);
    let mut lab = Lab::custom(&file, &[("src", SOURCE), ("tgt", TARGET)]);
    lab.tables.extend(["ingest_files", "ingest_corrupt"]);
    std::fs::create_dir(lab.path().join("raw")).unwrap();
    lab
}

/// Writes a raw file.
fn write(lab: &Lab, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = lab.path().join("raw").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Rows of a table without the columns that a clock or chance fills.
async fn rows(lab: &Lab, table: &str) -> Vec<Value> {
    let rows = lab.rows(table).await;
    let mut rows: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    for row in &mut rows {
        for name in ["tag", "batch_id", "staging_id"] {
            row.as_object_mut().unwrap().remove(name);
        }
    }
    rows
}

/// Each row of staging as `file:row=id`, sorted.
async fn places(lab: &Lab) -> Vec<String> {
    let rows = rows(lab, "src").await;
    let mut all: Vec<String> = rows
        .iter()
        .map(|row| format!("{}:{}={}", row["source_file"].as_str().unwrap(), row["source_row"], row["id"]))
        .collect();
    all.sort();
    all
}

/// Twelve files, some of whose rows cannot be read.
pub(crate) fn filled() -> Lab {
    let lab = lab();
    for number in 0..12 {
        let row = |row: i32| format!("{},{}\n", number * 50 + row, if row == 7 { "x" } else { "1" });
        let rows = (0..50).map(row).collect::<Vec<_>>().concat();
        write(&lab, &format!("{number}.csv"), format!("id,v\n{rows}"));
    }
    lab
}

/// Text as gzip packs it.
fn packed(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}
