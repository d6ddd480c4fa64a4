//! `new`: a pipeline file from a look at a table, which loads it right as it stands.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{CLOCK, Lab, json_of, make_table, program};

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(folder).env("HIGHWATER_CLOCK", CLOCK).env_remove("RUST_LOG");
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A table of these columns and rows.
async fn table(folder: &Path, name: &str, columns: &str, rows: &[Value]) {
    let ddl = format!("CREATE TABLE {name} ({columns}) USING DELTA");
    let rows: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    make_table(folder, name, &ddl, &rows.concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_written_file_loads_the_table_that_it_was_written_from() {
    let lab = Lab::generated(2_000, 3).await;
    let (status, document) = json_of(command(lab.path(), &["new", "fresh", "--source", "staging_orders"]));
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!(document["key"][0]["column"], "order_id");
    assert_eq!(document["version"]["column"], "updated_at");
    assert_eq!(document["lineage"], json!(["source_file", "ingest_time"]));
    assert_eq!(document["profile"]["columns"][0]["name"], "order_id");
    for arguments in [&["-c", "fresh.yaml", "init"][..], &["-c", "fresh.yaml", "run"]] {
        let output = run(lab.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
    // Each key's latest version, of all that staging has.
    let staged = lab.rows("staging_orders").await;
    let keys: std::collections::BTreeSet<i64> = staged
        .iter()
        .map(|row| serde_json::from_str::<Value>(row).unwrap()["order_id"].as_i64().unwrap())
        .collect();
    assert_eq!(lab.rows("fresh").await.len(), keys.len());
    assert!(
        String::from_utf8(run(lab.path(), &["-c", "fresh.yaml", "run"]).stdout)
            .unwrap()
            .contains("already loaded")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suggested_checks_pass_once_they_are_no_comments_any_more() {
    let folder = TempDir::new().unwrap();
    let rows: Vec<Value> = (0..100)
        .map(|n| json!({"TicketRef": format!("T{n}"), "Kind": (["a", "b\"c"][n % 2]), "LastModified": "2025-08-01T00:00:00", "seats": n, "note": null}))
        .collect();
    table(
        folder.path(),
        "tickets",
        "TicketRef STRING, Kind STRING, LastModified TIMESTAMP_NTZ, seats INT, note STRING",
        &rows,
    )
    .await;
    let output = run(folder.path(), &["new", "t", "--source", "tickets", "--dir", "made"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let file = folder.path().join("made/t.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("CAST(`LastModified` AS TIMESTAMP)"), "{text}");
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(check) if check.contains(": {checks: [") => check.to_owned(),
        _ => line.to_owned(),
    };
    let active: Vec<String> = text.lines().map(uncommented).collect();
    std::fs::write(&file, active.join("\n")).unwrap();
    for arguments in [&["-c", "made/t.yaml", "init"][..], &["-c", "made/t.yaml", "run"]] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{}\n{}", told(&output), active.join("\n"));
    }
    let (_, document) = json_of(command(folder.path(), &["-c", "made/t.yaml", "status", "--last", "1"]));
    let checks = document["batches"][0]["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["name"] == "accepted_values_Kind"), "{document:#}");
    assert!(checks.iter().all(|check| check["failed"] == 0), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_target_s_names_and_types_are_met() {
    let folder = TempDir::new().unwrap();
    let row = |id: usize| json!({"OrderID": id, "ChangedAt": 1_756_684_800_000_i64 + i64::try_from(id).unwrap(), "Amount": "12.50"});
    table(
        folder.path(),
        "feed",
        "OrderID INT, ChangedAt BIGINT, Amount STRING",
        &(0..30).map(row).collect::<Vec<_>>(),
    )
    .await;
    let columns = "order_id BIGINT, changed_at TIMESTAMP, amount DECIMAL(12,2), load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING";
    table(
        folder.path(),
        "orders",
        columns,
        &[json!({"order_id": 3, "changed_at": "2020-01-01T00:00:00Z", "amount": 1})],
    )
    .await;
    let output = run(folder.path(), &["new", "o", "--source", "feed", "--target", "orders"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(!folder.path().join("o.sql").exists());
    assert_eq!(run(folder.path(), &["-c", "o.yaml", "init"]).status.code(), Some(0));
    let (status, document) = json_of(command(folder.path(), &["-c", "o.yaml", "run"]));
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!((&document["counts"]["inserted"], &document["counts"]["updated"]), (&json!(29), &json!(1)));
    // What the target has is loaded, whatever it is called; and what cannot be, is told before a file is written.
    let rows = [
        json!({"id": 1, "at": "2025-08-30T10:00:00Z", "source_file": "f\u{feff}", "c": "2025-08-30T10:00:00"}),
    ];
    table(folder.path(), "st", "id INT, at TIMESTAMP, source_file STRING, c STRING", &rows).await;
    let columns = "id INT, at TIMESTAMP, source_file STRING, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING";
    table(folder.path(), "tg", columns, &[json!({"id": 7, "at": "2020-01-01T00:00:00Z"})]).await;
    let output = run(folder.path(), &["new", "p", "--source", "st", "--target", "tg"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(!std::fs::read_to_string(folder.path().join("p.yaml")).unwrap().contains("lineage"));
    table(
        folder.path(),
        "tb",
        &format!("c BINARY, {columns}"),
        &[json!({"id": 7, "at": "2020-01-01T00:00:00Z"})],
    )
    .await;
    let output = run(folder.path(), &["new", "q", "--source", "st", "--target", "tb"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(!folder.path().join("q.yaml").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_told_and_leaves_no_file() {
    let folder = TempDir::new().unwrap();
    table(
        folder.path(),
        "notes",
        "text STRING, at TIMESTAMP",
        &[json!({"text": "x", "at": "2025-08-01T00:00:00Z"})],
    )
    .await;
    std::fs::write(folder.path().join("taken.sql"), "mine").unwrap();
    for (arguments, why) in [
        (&["new", "n", "--source", "notes"][..], "looks like a key"),
        (&["new", "n", "--source", "notes", "--key", "txt"], "did you mean `text`"),
        (
            &["new", "n", "--source", "notes", "--key", "text", "--version-column", "text"],
            "`text` is in `unique_key` too",
        ),
        (&["new", "n", "--source", "nowhere"], "there is no table at"),
        (&["new", "a/b", "--source", "notes"], "a pipeline's name is"),
        (&["new", "taken", "--source", "notes", "--key", "text"], "taken.sql is there already"),
        (&["new", "n", "--source", "notes", "--target", "notes/x", "--key", "text"], "lie in one folder"),
        (&["new", "n", "--source", "notes", "--key", "text", "--dir", "taken.sql"], "cannot be written"),
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", told(&output));
        assert!(told(&output).contains(why), "{arguments:?}: {}", told(&output));
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "{arguments:?}");
    }
}
