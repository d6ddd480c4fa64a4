//! `new`: a pipeline file from a look at a table, which loads it right as it stands.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{CLOCK, Lab, json_of, make_table, program, rows_of};

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
            &["new", "n", "--source", "notes", "--key", "at", "--version-column", "at"],
            "`at` is in `unique_key` too",
        ),
        (&["new", "n", "--source", "nowhere"], "there is no table at nowhere, and no files that can be read"),
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

/// Writes a file below a folder.
fn file(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Lines of orders that come in files, some of them changed by a later one.
fn order_lines(folder: &Path) {
    for (day, orders) in [(1, 0..40), (2, 20..60)] {
        let mut text = "order_id;line_no;ordered_on;updated_at;amount\n".to_owned();
        for order in orders {
            for line in 1..=3 {
                let amount = order * 10 + line + day;
                text.push_str(&format!(
                    "{order};{line};2025-08-30;2025-08-3{}T10:00:00Z;{amount}\n",
                    day - 1
                ));
            }
        }
        file(folder, &format!("incoming/{day}/lines.csv"), &text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_loaded_by_the_file_that_was_written_from_them() {
    let folder = TempDir::new().unwrap();
    order_lines(folder.path());
    // A folder means all that is in it; a pattern what it says; and the tables lie beside the pipeline file.
    for (source, dir) in [("incoming", "one"), ("incoming/**/*.csv", "two")] {
        let (status, document) =
            json_of(command(folder.path(), &["new", "lines", "--source", source, "--dir", dir]));
        assert_eq!(status, Some(0), "{document:#}");
        let key: Vec<&str> =
            document["key"].as_array().unwrap().iter().map(|key| key["column"].as_str().unwrap()).collect();
        assert_eq!(key, ["order_id", "line_no"], "{document:#}");
        assert_eq!(document["partition"]["column"], Value::Null, "one day alone: {document:#}");
        let files = &document["profile"]["files"];
        assert_eq!(
            (&files["count"], &files["delimiter"], &files["corrupt"]),
            (&json!(2), &json!(";"), &json!(0))
        );
        assert_eq!((&document["doubts"], &document["profile"]["rows"]), (&json!([]), &json!(240)));
        let config = format!("{dir}/lines.yaml");
        for arguments in [&["-c", &config, "init"][..], &["-c", &config, "run"]] {
            let output = run(folder.path(), arguments);
            assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        }
        let (_, document) = json_of(command(folder.path(), &["-c", &config, "run"]));
        assert_eq!(document["status"], "already_loaded", "{document:#}");
        let (_, document) = json_of(command(folder.path(), &["-c", &config, "status", "--last", "1"]));
        assert_eq!(document["batches"][0]["counts"]["inserted"], 180, "{document:#}");
        assert!(folder.path().join(dir).join("lines_staging/_delta_log").is_dir());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_files_that_cannot_be_read_are_told_and_a_key_that_is_not_enough_is_doubted() {
    let folder = TempDir::new().unwrap();
    let rows: Vec<String> = (0..40)
        .map(|n| format!("{{\"id\": {}, \"at\": \"2025-08-30T10:00:00Z\", \"note\": \"n{n}\"}}\n", n / 4))
        .collect();
    file(folder.path(), "raw/a.ndjson", &(rows.concat() + "{\"id\": 3,\n"));
    let output = run(folder.path(), &["new", "notes", "--source", "raw/*.ndjson"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(text.contains("unsure    30 rows differ from others of their id and at"), "{text}");
    assert!(text.contains("corrupt   1 to be kept aside: a.ndjson:41"), "{text}");
    let written = std::fs::read_to_string(folder.path().join("notes.yaml")).unwrap();
    assert!(written.contains("does the key lack a column") && written.contains("a.ndjson:41"), "{written}");
    // It loads all the same: what cannot be read is kept aside.
    for arguments in [&["-c", "notes.yaml", "init"][..], &["-c", "notes.yaml", "run"]] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    file(folder.path(), "torn/a.parquet", "PAR1 no more");
    std::fs::create_dir(folder.path().join("latin")).unwrap();
    std::fs::write(folder.path().join("latin/a.csv"), b"id,at\n\xe4,2025-08-30T10:00:00Z\n").unwrap();
    for (source, why) in [
        ("raw/*.csv", "no file is there"),
        ("empty", "there is no table at empty, and no files that can be read"),
        ("torn/a.parquet", "a.parquet cannot be read"),
        ("nowhere/*.csv", "there is no folder"),
        ("raw/***.csv", "holds no pattern"),
        ("latin", "no row of latin/**/*.csv* can be read: such as a.csv:2"),
    ] {
        let output = run(folder.path(), &["new", "n", "--source", source]);
        assert_eq!(output.status.code(), Some(2), "{source}: {}", told(&output));
        assert!(told(&output).contains(why), "{source}: {}", told(&output));
        assert!(!folder.path().join("n.yaml").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_changes_are_no_parts_of_a_key_and_a_doubtful_key_is_told() {
    let folder = TempDir::new().unwrap();
    // Changes of customers that share a second: `seq` tells each from all others.
    let change = |n: usize| {
        json!({"customer_id": n / 3, "seq": n, "event_id": format!("e{n}"), "birth_date": format!("1990-01-{:02}", n % 28 + 1),
               "changed_at": "2025-08-30T10:00:00Z"})
    };
    let changes: Vec<String> = (0..90).map(|n| change(n).to_string()).collect();
    file(folder.path(), "cdc/a.ndjson", &changes.join("\n"));
    let (status, document) = json_of(command(folder.path(), &["new", "customers", "--source", "cdc"]));
    assert_eq!((status, document["key"].as_array().map(Vec::len)), (Some(0), Some(1)), "{document:#}");
    assert!(document["doubts"][0].as_str().unwrap().starts_with("60 rows differ"), "{document:#}");
    // Lines of orders that each have their own time.
    let line = |n: usize| json!({"order_id": n / 3, "line_no": n % 3, "at": format!("2025-08-30T10:00:{:02}Z", n % 60)});
    let lines: Vec<String> = (0..90).map(|n| line(n).to_string()).collect();
    file(folder.path(), "lines/a.ndjson", &lines.join("\n"));
    let (_, document) =
        json_of(command(folder.path(), &["new", "lines", "--source", "lines/*.ndjson", "--dir", "x"]));
    let doubts = document["doubts"].to_string();
    assert!(
        doubts.contains("60 of 90 rows have the order_id of another") && doubts.contains("line_no?"),
        "{document:#}"
    );
    // NULL in a key that was named; and a version that is no time.
    let rows = "id,at,day\n1,2025-08-30T10:00:00Z,30.08.2025\n,2025-08-30T10:00:00Z,31.08.2025\n";
    file(folder.path(), "nulls/a.csv", rows);
    let (_, document) =
        json_of(command(folder.path(), &["new", "nu", "--source", "nulls", "--key", "id", "--dir", "x"]));
    assert!(document["doubts"].to_string().contains("id is NULL in 1 of 2 rows"), "{document:#}");
    let output = run(folder.path(), &["new", "nv", "--source", "nulls", "--version-column", "day"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("of which 2 of 2 are no times"), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_what_is_there_and_no_table_lies_where_its_files_do() {
    let folder = TempDir::new().unwrap();
    let rows = "id;at\n1;2025-08-30T10:00:00Z\n2;2025-08-30T10:00:00Z\n";
    // Other files beside, an empty one before, and a name that would be a pattern.
    file(folder.path(), "in [1]/README.txt", "about");
    file(folder.path(), "in [1]/a.csv", "");
    file(folder.path(), "in [1]/b.csv", &format!("\n{rows}"));
    let (status, document) = json_of(command(folder.path(), &["new", "feed", "--source", "in [1]"]));
    assert_eq!(status, Some(0), "{document:#}");
    assert!(
        document["doubts"].to_string().contains("other files are left out, of another format or none: 1"),
        "{document:#}"
    );
    assert_eq!(document["profile"]["files"]["delimiter"], ";");
    for arguments in [&["-c", "feed.yaml", "init"][..], &["-c", "feed.yaml", "run"]] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
    assert_eq!(rows_of(folder.path(), "feed", "id").await.len(), 2);
    // A table of any name is a table.
    std::fs::rename(folder.path().join("feed_staging"), folder.path().join("feed[x].csv")).unwrap();
    let output = run(folder.path(), &["new", "again", "--source", "feed[x].csv"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    // A target in the folder of its own files would hide them.
    file(folder.path(), "data/a.csv", rows);
    let output = run(folder.path(), &["new", "data", "--source", "data"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("lie in the folder of `target.table`"), "{}", told(&output));
    assert!(!folder.path().join("data.yaml").exists());
}
