//! What goes wrong with tables: the exit status by feature, role and command, and that nothing is changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::Lab;

const PIPELINE: &str = "
name: p
source: {table: src, ddl: src.sql}
target: {table: tgt, ddl: tgt.sql}
unique_key: id
updated_at: at
incremental: {column: at}
as_of: 2025-09-01
dimensions: {dim: {table: dim, ddl: dim.sql}}
columns:
  city: {checks: [{relationships: {to: dim, field: city, action: quarantine}}]}
";

const SOURCE: &str = "CREATE TABLE src (id BIGINT, at TIMESTAMP, city STRING, note STRING) USING DELTA";
const TARGET: &str = "CREATE TABLE tgt (
  id BIGINT NOT NULL, at TIMESTAMP, city STRING, note STRING, load_batch_id STRING, loaded_at TIMESTAMP,
  row_hash STRING, PRIMARY KEY (id)
) USING DELTA";
const DIMENSION: &str = "CREATE TABLE dim (city STRING) USING DELTA";

/// Tables by role: staging and dimension are read, the others written too.
const READ: [&str; 2] = ["src", "dim"];
const WRITTEN: [&str; 4] = ["tgt", "tgt_bad", "loads_audit", "load_watermarks"];
const COMMANDS: [&str; 4] = ["init", "plan", "check", "run"];

fn lab() -> Lab {
    Lab::custom(PIPELINE, &[("src", SOURCE), ("tgt", TARGET), ("dim", DIMENSION)])
}

async fn filled() -> Lab {
    let lab = lab();
    lab.append("dim", "{\"city\":\"here\"}\n").await;
    let rows = |day: &str, version: u32| -> String {
        let row = |id: u32| {
            let city = if id == 1 { "nowhere" } else { "here" };
            let note = format!("{version} {}", u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let row = json!({"id": id, "at": format!("{day}T00:00:00Z"), "city": city, "note": note});
            format!("{row}\n")
        };
        (1..=3_000).map(row).collect()
    };
    lab.append("src", &rows("2025-08-30", 1)).await;
    lab.load();
    lab.append("src", &rows("2025-08-31", 2)).await;
    lab
}

fn log(lab: &Lab, table: &str) -> PathBuf {
    lab.path().join(table).join("_delta_log")
}

fn entry(lab: &Lab, table: &str, version: u64) -> PathBuf {
    log(lab, table).join(format!("{version:020}.json"))
}

/// Every log entry there is, with its text: whatever cannot be opened can still be compared.
fn logs(lab: &Lab) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for table in READ.iter().chain(&WRITTEN) {
        for file in files(&log(lab, table), "json") {
            let text = std::fs::read(&file).unwrap();
            found.insert(file, text);
        }
    }
    found
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    paths
}

/// Gives a table features, as if another engine had made it.
fn with_protocol(lab: &Lab, table: &str, protocol: &Value) {
    let file = entry(lab, table, 0);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| {
        if line.starts_with("{\"protocol\"") {
            json!({ "protocol": protocol }).to_string()
        } else {
            line.to_owned()
        }
    });
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

/// A command must end with this status, and change nothing unless it succeeds.
fn expect(lab: &Lab, command: &str, wanted: i32, what: &str) -> String {
    let before = logs(lab);
    let (code, document) = lab.json(&[command]);
    assert_eq!(code, Some(wanted), "{what}: {command}: {document:#}");
    if wanted != 0 {
        assert!(logs(lab) == before, "{what}: {command} changed a table");
    }
    document["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn features_by_role_and_command_are_refused_by_name_or_loaded() {
    let both = |names: &[&str]| {
        json!({
            "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": names, "writerFeatures": names,
        })
    };
    let writer =
        |names: &[&str]| json!({"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": names});
    // The feature that is named, the protocol, and the status where the table is read, and where it is written.
    let cases = [
        ("deletionVectors", both(&["deletionVectors"]), 0, 0),
        ("timestampNtz", both(&["timestampNtz"]), 0, 0),
        ("v2Checkpoint", both(&["v2Checkpoint"]), 0, 0),
        ("appendOnly", writer(&["appendOnly", "invariants"]), 0, 0),
        ("typeWidening", both(&["typeWidening"]), 2, 2),
        ("vacuumProtocolCheck", both(&["vacuumProtocolCheck"]), 2, 2),
        ("catalogManaged", both(&["catalogManaged", "vacuumProtocolCheck"]), 2, 2),
        ("newReader2031", both(&["newReader2031"]), 2, 2),
        ("rowTracking", writer(&["rowTracking", "domainMetadata"]), 0, 2),
        ("inCommitTimestamp", writer(&["inCommitTimestamp"]), 0, 2),
        ("identityColumns", writer(&["identityColumns"]), 0, 2),
        ("clustering", writer(&["clustering", "domainMetadata"]), 0, 2),
        ("allowColumnDefaults", writer(&["allowColumnDefaults"]), 0, 2),
        ("newWriter2031", writer(&["newWriter2031"]), 0, 2),
    ];
    let made = lab();
    made.append("dim", "{\"city\":\"here\"}\n").await;
    made.append("src", "{\"id\":1,\"at\":\"2025-08-30T00:00:00Z\",\"city\":\"here\"}\n").await;
    for (feature, protocol, read, written) in &cases {
        let roles =
            READ.map(|table| (table, *read)).into_iter().chain(WRITTEN.map(|table| (table, *written)));
        for (table, status) in roles {
            let lab = made.copy();
            with_protocol(&lab, table, protocol);
            for command in COMMANDS {
                let what = format!("{feature} of {table}");
                let message = expect(&lab, command, status, &what);
                assert!(status == 0 || message.contains(feature), "{what}: {command}: {message}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn target_that_cannot_be_written_is_refused_by_init_before_any_table_is_made() {
    let lab = lab();
    for table in ["src", "dim", "tgt_bad", "loads_audit", "load_watermarks"] {
        std::fs::remove_dir_all(lab.path().join(table)).unwrap();
    }
    with_protocol(
        &lab,
        "tgt",
        &json!({"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["rowTracking"]}),
    );
    let (code, document) = lab.json(&["init"]);
    assert_eq!(code, Some(2), "{document:#}");
    assert!(document["error"]["message"].as_str().unwrap().contains("rowTracking"), "{document:#}");
    for table in ["src", "dim", "tgt_bad", "loads_audit", "load_watermarks"] {
        assert!(!lab.path().join(table).exists(), "{table} was made");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_page_in_any_role_calls_a_person_and_changes_nothing() {
    let whole = filled().await;
    for table in ["src", "tgt", "dim", "tgt_bad", "loads_audit"] {
        let lab = whole.copy();
        for file in files(&lab.path().join(table), "parquet") {
            let mut bytes = std::fs::read(&file).unwrap();
            // Pages begin after the first four bytes, and the footer with its length ends the file.
            let footer = u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
            let pages = 4..bytes.len() - 8 - footer;
            bytes[pages].fill(0xA5);
            std::fs::write(&file, bytes).unwrap();
        }
        expect(&lab, "run", 4, &format!("damaged page of {table}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_log_of_any_table_calls_a_person() {
    let whole = filled().await;
    for table in READ.iter().chain(&WRITTEN) {
        for damage in ["broken", "empty", "gap", "half"] {
            let lab = whole.copy();
            if damage == "gap" {
                // Version 1 is missing, and 2 is there.
                for version in 1..=2 {
                    if !entry(&lab, table, version).exists() {
                        std::fs::copy(entry(&lab, table, 1), entry(&lab, table, version)).unwrap();
                    }
                }
                std::fs::remove_file(entry(&lab, table, 1)).unwrap();
            } else {
                deltalake::checkpoints::create_checkpoint(&lab.delta(table).await, None).await.unwrap();
                let checkpoint = files(&log(&lab, table), "parquet").pop().unwrap();
                let bytes: &[u8] = if damage == "broken" { &[b'x'; 100] } else { &[] };
                std::fs::write(checkpoint, bytes).unwrap();
                if damage == "half" {
                    // What is left has protocol and metadata, and looks like a table.
                    let first = std::fs::read_to_string(entry(&lab, table, 0)).unwrap();
                    let second = std::fs::read_to_string(entry(&lab, table, 1)).unwrap();
                    std::fs::write(entry(&lab, table, 1), format!("{}\n{second}", first.trim_end())).unwrap();
                    std::fs::remove_file(entry(&lab, table, 0)).unwrap();
                    std::fs::remove_file(log(&lab, table).join("_last_checkpoint")).unwrap();
                }
            }
            expect(&lab, "run", 4, &format!("{damage} log of {table}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_entry_without_a_byte_is_damage_in_every_role() {
    let whole = filled().await;
    for table in READ.iter().chain(&WRITTEN) {
        let lab = whole.copy();
        let newest = files(&log(&lab, table), "json").pop().unwrap();
        std::fs::write(newest, "").unwrap();
        let message = expect(&lab, "run", 4, &format!("empty entry of {table}"));
        assert!(message.contains(table), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_pointer_to_a_checkpoint_is_passed_over_where_all_commits_are_there() {
    let whole = filled().await;
    for table in READ.iter().chain(&WRITTEN) {
        let lab = whole.copy();
        deltalake::checkpoints::create_checkpoint(&lab.delta(table).await, None).await.unwrap();
        std::fs::remove_file(files(&log(&lab, table), "parquet").pop().unwrap()).unwrap();
        assert_eq!(expect(&lab, "run", 0, &format!("stale pointer of {table}")), "");
    }
    // With the beginning of the log gone as well, what is left is not the whole table.
    let lab = whole.copy();
    deltalake::checkpoints::create_checkpoint(&lab.delta("src").await, None).await.unwrap();
    std::fs::remove_file(files(&log(&lab, "src"), "parquet").pop().unwrap()).unwrap();
    std::fs::remove_file(entry(&lab, "src", 0)).unwrap();
    expect(&lab, "run", 4, "no checkpoint and no beginning");
}

/// Gives a table a CHECK constraint, as if another engine had.
fn constrain(lab: &Lab, table: &str, condition: &str) {
    let file = entry(lab, table, 0);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| {
        let mut action: Value = serde_json::from_str(line).unwrap();
        if let Some(metadata) = action.get_mut("metaData") {
            metadata["configuration"]["delta.constraints.shape"] = condition.into();
        }
        if action.get("protocol").is_some() {
            action = json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 3}});
        }
        action.to_string()
    });
    std::fs::write(file, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn constraint_that_has_no_value_for_a_row_and_one_of_a_table_of_highwaters_own_are_refused() {
    let made = lab();
    made.append("dim", "{\"city\":\"here\"}\n").await;
    made.append("src", "{\"id\":1,\"at\":\"2025-08-30T00:00:00Z\",\"city\":\"here\"}\n").await;
    for condition in ["10 / (id - 1) > 0", "CAST(city AS INT) > 0"] {
        let lab = made.copy();
        constrain(&lab, "tgt", condition);
        let message = expect(&lab, "run", 2, condition);
        assert!(message.contains("CHECK constraint of `tgt`"), "{message}");
    }
    for table in ["tgt_bad", "loads_audit", "load_watermarks"] {
        let lab = made.copy();
        constrain(&lab, table, "1 = 1");
        for command in ["plan", "check", "run"] {
            let message = expect(&lab, command, 2, table);
            assert!(message.contains(table) && message.contains("`shape`"), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn constraint_that_cannot_be_run_is_refused_by_name_in_every_command() {
    let lab = lab();
    lab.append("dim", "{\"city\":\"here\"}\n").await;
    lab.append("src", "{\"id\":1,\"at\":\"2025-08-30T00:00:00Z\",\"city\":\"here\"}\n").await;
    let cases = [
        ("city RLIKE '^h'", 2),
        ("no_such_function(id) > 1", 2),
        ("no_such_column > 1", 2),
        ("id + 1", 2),
        ("id IN (SELECT 1)", 2),
        ("count(*) > 1", 2),
        ("length(city) < 9 AND id IN (1, 2)", 0),
    ];
    for (condition, status) in cases {
        let constrained = lab.copy();
        constrain(&constrained, "tgt", condition);
        for command in ["plan", "check", "run"] {
            let message = expect(&constrained, command, status, condition);
            assert!(status == 0 || message.contains("`shape`"), "{condition}: {message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn column_with_a_reserved_name_is_refused_in_every_role_and_by_init_before_any_table_is_made() {
    for name in ["__delta_rs_source", "__delta_rs_path", "__hw_hash"] {
        let lab = lab();
        let renamed = SOURCE.replace("note", name);
        std::fs::write(lab.path().join("src.sql"), &renamed).unwrap();
        for table in READ.iter().chain(&WRITTEN) {
            std::fs::remove_dir_all(lab.path().join(table)).unwrap();
        }
        let (code, document) = lab.json(&["init"]);
        assert_eq!(code, Some(2), "{document:#}");
        assert!(document["error"]["message"].as_str().unwrap().contains(name), "{document:#}");
        for table in READ.iter().chain(&WRITTEN) {
            assert!(!lab.path().join(table).exists(), "{table} was made");
        }
    }
    let made = lab();
    for table in ["src", "tgt", "dim", "tgt_bad"] {
        let lab = made.copy();
        let file = entry(&lab, table, 0);
        let text = std::fs::read_to_string(&file).unwrap();
        let column = if table == "dim" { "city" } else { "note" };
        let named = |name: &str| format!("\\\"name\\\":\\\"{name}\\\"");
        assert!(text.contains(&named(column)), "{text}");
        std::fs::write(&file, text.replace(&named(column), &named("__delta_rs_target"))).unwrap();
        for command in COMMANDS {
            let message = expect(&lab, command, 2, table);
            assert!(message.contains("`__delta_rs_target`"), "{table}: {command}: {message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_value_that_is_too_long_for_a_folder_is_refused_and_loads_once_it_is_shorter() {
    let target = TARGET.replace("USING DELTA", "USING DELTA PARTITIONED BY (city)");
    let pipeline =
        PIPELINE.replace("relationships: {to: dim, field: city, action: quarantine}", "not_null: {}");
    let lab = Lab::custom(&pipeline, &[("src", SOURCE), ("tgt", &target), ("dim", DIMENSION)]);
    let row = |city: &str| format!("{}\n", json!({"id": 1, "at": "2025-08-30T00:00:00Z", "city": city}));
    lab.append("src", &row(&"x".repeat(300))).await;
    let before = logs(&lab);
    for command in ["plan", "check", "run"] {
        let message = expect(&lab, command, 2, "long value");
        assert!(message.contains("partition column `city` takes 300 bytes"), "{message}");
    }
    assert!(files(&lab.path().join("tgt"), "parquet").is_empty(), "a data file was left");
    assert!(logs(&lab) == before);
    lab.append("src", &row("short").replace("08-30", "08-31")).await;
    assert_eq!(lab.load()["counts"]["inserted"], 1);
}
