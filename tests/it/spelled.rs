//! Tables whose log names files, columns and actions in the ways of other writers.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::common::Lab;

const PIPELINE: &str = "
name: spelled
source: {table: src, ddl: src.sql}
target: {table: tgt, ddl: tgt.sql}
unique_key: id
updated_at: at
incremental: {mode: changes}
as_of: 2025-09-01
";

const SOURCE: &str =
    "CREATE TABLE src (id BIGINT, city STRING, at TIMESTAMP, n BIGINT) PARTITIONED BY (city) USING DELTA";

const TARGET: &str = "CREATE TABLE tgt (
  id BIGINT NOT NULL, city STRING, at TIMESTAMP, n BIGINT, load_batch_id STRING, loaded_at TIMESTAMP,
  row_hash STRING, PRIMARY KEY (id)
) PARTITIONED BY (city) USING DELTA";

fn lab() -> Lab {
    Lab::custom(PIPELINE, &[("src", SOURCE), ("tgt", TARGET)])
}

fn row(id: i64, city: &str, hour: u32, n: i64) -> String {
    format!("{}\n", json!({"id": id, "city": city, "at": format!("2025-08-31T{hour:02}:00:00Z"), "n": n}))
}

fn entry(lab: &Lab, table: &str, version: usize) -> PathBuf {
    lab.path().join(table).join(format!("_delta_log/{version:020}.json"))
}

/// Rewrites the lines of a log entry.
fn rewrite(path: &Path, mut change: impl FnMut(&mut Map<String, Value>)) {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| {
        let mut line: Map<String, Value> = serde_json::from_str(line).unwrap();
        change(&mut line);
        Value::from(line).to_string()
    });
    std::fs::write(path, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

/// Moves the files that a log entry adds to where another writer would put them, and names them in its way. In
/// each partition, the file has the same name.
fn respell(lab: &Lab, table: &str, version: usize, spell: fn(&str) -> String) {
    let folder = lab.path().join(table);
    rewrite(&entry(lab, table, version), |line| {
        let Some(add) = line.get_mut("add") else { return };
        let city = add["partitionValues"]["city"].as_str().unwrap().to_owned();
        let found = folder.join(add["path"].as_str().unwrap().replace("%25", "%"));
        let name = format!("part-{version}.parquet");
        std::fs::create_dir_all(folder.join(format!("city={city}"))).unwrap();
        std::fs::rename(found, folder.join(format!("city={city}/{name}"))).unwrap();
        add["path"] = format!("city={}/{name}", spell(&city)).into();
    });
}

const SPELLINGS: [fn(&str) -> String; 4] = [
    str::to_owned,
    |city| city.replace('ü', "%C3%BC").replace(' ', "%20"),
    |city| city.replace('ü', "%c3%bc").replace(' ', "%20"),
    |city| city.replace('Z', "%5A").replace('N', "%4e"),
];

async fn numbers(lab: &Lab) -> Vec<(i64, i64)> {
    let values = lab.values("tgt").await;
    let mut numbers: Vec<_> =
        values.iter().map(|row| (row["id"].as_i64().unwrap(), row["n"].as_i64().unwrap())).collect();
    numbers.sort_unstable();
    numbers
}

/// The strings under an action in a log entry.
fn paths(lab: &Lab, table: &str, version: usize, action: &str) -> Vec<String> {
    let mut paths = Vec::new();
    rewrite(&entry(lab, table, version), |line| {
        paths.extend(line.get(action).map(|action| action["path"].as_str().unwrap().to_owned()));
    });
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn target_with_paths_of_another_writer_loses_and_doubles_no_row() {
    for spell in SPELLINGS {
        let lab = lab();
        lab.append("tgt", &(row(1, "Zürich", 0, 1) + &row(2, "Zürich", 0, 2) + &row(3, "New York", 0, 3)))
            .await;
        respell(&lab, "tgt", 1, spell);
        let own = |city: &str| format!("city={}/part-1.parquet", spell(city));

        lab.append("src", &(row(1, "Zürich", 1, 10) + &row(4, "Zürich", 1, 4))).await;
        // Two files have one name; one of them is rewritten.
        let planned = lab.expect(0, &["plan"]);
        let size = std::fs::metadata(lab.path().join("tgt/city=Zürich/part-1.parquet")).unwrap().len();
        assert_eq!((&planned["rewrite"]["files"], &planned["rewrite"]["bytes"]), (&1.into(), &size.into()));
        lab.load();
        assert_eq!(paths(&lab, "tgt", 2, "remove"), [own("Zürich")]);
        let loaded = [(1, 10), (2, 2), (3, 3), (4, 4)];
        assert_eq!(numbers(&lab).await, loaded);
        assert_eq!(lab.load()["status"], "already_loaded");

        lab.append("src", &row(3, "New York", 2, 30)).await;
        lab.load();
        assert_eq!(paths(&lab, "tgt", 3, "remove"), [own("New York")]);
        assert_eq!(numbers(&lab).await, [(1, 10), (2, 2), (3, 30), (4, 4)]);
        lab.expect(0, &["rollback", "--last"]);
        assert_eq!(paths(&lab, "tgt", 4, "add"), [own("New York")]);
        assert_eq!(numbers(&lab).await, loaded);
        let first = lab.expect(0, &["status"])["batches"].as_array().unwrap().clone();
        let first = first.iter().find(|batch| batch["sequence"] == 1).unwrap()["batch_id"].clone();
        lab.expect(0, &["rollback", "--batch", first.as_str().unwrap()]);
        assert_eq!(paths(&lab, "tgt", 5, "add"), [own("Zürich")]);
        assert_eq!(numbers(&lab).await, [(1, 1), (2, 2), (3, 3)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_with_paths_of_another_writer_is_read_by_arrival() {
    for spell in SPELLINGS {
        let lab = lab();
        lab.append("src", &(row(1, "Zürich", 1, 1) + &row(2, "New York", 1, 2))).await;
        respell(&lab, "src", 1, spell);
        assert_eq!(lab.load()["counts"]["inserted"], 2);
        lab.append("src", &(row(1, "Zürich", 2, 10) + &row(3, "New York", 2, 3))).await;
        respell(&lab, "src", 2, spell);
        let (code, next) = lab.json(&["run", "--as-of", "2025-09-02"]);
        assert_eq!((code, &next["counts"]["staged"]), (Some(0), &2.into()), "{next:#}");
        assert_eq!(numbers(&lab).await, [(1, 10), (2, 2), (3, 3)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn remove_that_matches_no_file_shows_in_the_balance_and_is_taken_back() {
    let lab = lab();
    lab.append("tgt", &(row(1, "Zürich", 0, 1) + &row(2, "Zürich", 0, 2))).await;
    lab.append("src", &row(1, "Zürich", 1, 10)).await;
    lab.die(&["run"], "merge:after");
    // As a program would write it that encodes a path in its own way.
    rewrite(&entry(&lab, "tgt", 2), |line| {
        if let Some(remove) = line.get_mut("remove") {
            remove["path"] = remove["path"].as_str().unwrap().replace("%25", "%2525").into();
        }
    });
    assert_eq!(numbers(&lab).await.len(), 4);
    let refused = lab.expect(4, &["run"]);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("did not balance") && message.contains("row count"), "{message}");
    assert_eq!(numbers(&lab).await, [(1, 1), (2, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_and_keys_that_nobody_knows_and_nulls_are_ignored() {
    let lab = lab();
    let strange = |table: &str, version: usize| {
        rewrite(&entry(&lab, table, version), |line| {
            for kind in ["txn", "add", "remove", "metaData", "protocol", "cdc", "commitInfo"] {
                line.entry(kind).or_insert(Value::Null);
            }
            line.insert("someNewKey".to_owned(), json!(["a", 1]));
        });
        let path = entry(&lab, table, version);
        let text = std::fs::read_to_string(&path).unwrap().replace('\n', "\r\n\n");
        std::fs::write(path, format!("{{\"someNewAction\":{{\"a\":1}}}}\n{text}\n")).unwrap();
    };
    lab.append("tgt", &row(1, "x", 0, 1)).await;
    strange("tgt", 1);
    for version in 1..3 {
        let id = i64::try_from(version).unwrap();
        lab.append("src", &row(id, "x", 1, 10 * id)).await;
        strange("src", version);
        let (code, document) = lab.json(&["run", "--as-of", &format!("2025-09-0{version}")]);
        assert_eq!((code, &document["counts"]["staged"]), (Some(0), &1.into()), "{document:#}");
    }
    assert_eq!(numbers(&lab).await, [(1, 10), (2, 20)]);
    lab.expect(0, &["rollback", "--last"]);
}

/// Gives every field of a type, however deep, an id and its name as physical name.
fn annotate(kind: &mut Value, id: &mut i64) {
    let Some(parts) = kind.as_object_mut() else { return };
    for field in parts.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
        *id += 1;
        field["metadata"]["delta.columnMapping.id"] = (*id).into();
        field["metadata"]["delta.columnMapping.physicalName"] = field["name"].clone();
        annotate(&mut field["type"], id);
    }
    for part in ["elementType", "keyType", "valueType"] {
        parts.get_mut(part).into_iter().for_each(|part| annotate(part, id));
    }
}

/// Turns column mapping on, as the one who wrote the files would have; `rename` tells the columns' new names.
fn map_columns(lab: &Lab, table: &str, mode: &str, rename: &[(&str, &str)]) {
    let renamed = |name: &str| {
        let found = rename.iter().find(|(old, _)| *old == name);
        Value::from(found.map_or(name, |(_, new)| *new))
    };
    rewrite(&entry(lab, table, 0), |line| {
        if let Some(protocol) = line.get_mut("protocol") {
            *protocol = json!({"minReaderVersion": 2, "minWriterVersion": 5});
        }
        let Some(metadata) = line.get_mut("metaData") else { return };
        metadata["configuration"]["delta.columnMapping.mode"] = mode.into();
        metadata["configuration"]["delta.columnMapping.maxColumnId"] = "99".into();
        for partition in metadata["partitionColumns"].as_array_mut().unwrap() {
            *partition = renamed(partition.as_str().unwrap());
        }
        let mut schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
        annotate(&mut schema, &mut 0);
        for field in schema["fields"].as_array_mut().unwrap() {
            field["name"] = renamed(field["name"].as_str().unwrap());
        }
        metadata["schemaString"] = schema.to_string().into();
    });
}

fn is_refused(lab: &Lab, table: &str) {
    let logs = |lab: &Lab| -> Vec<usize> {
        let count =
            |table: &&str| std::fs::read_dir(lab.path().join(table).join("_delta_log")).unwrap().count();
        lab.tables.iter().map(count).collect()
    };
    let before = logs(lab);
    for command in ["init", "plan", "check", "run"] {
        let refused = lab.expect(2, &[command]);
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains(table), "{command}: {message}");
        assert!(!refused["errors"][0]["hint"].is_null(), "{refused:#}");
    }
    assert_eq!(logs(lab), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_mapped_by_id_are_refused_in_every_role() {
    let lab = Lab::reference().await;
    for table in lab.tables.clone() {
        let mapped = lab.copy();
        map_columns(&mapped, table, "id", &[]);
        is_refused(&mapped, table);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_files_call_as_a_partition_column_is_refused_and_other_renames_load() {
    let source = SOURCE.replace("n BIGINT", "n BIGINT, note STRING");
    let target = TARGET.replace("n BIGINT", "n BIGINT, note STRING");
    let lab = Lab::custom(PIPELINE, &[("src", &source), ("tgt", &target)]);
    let noted = |id: i64, n: i64| {
        let row = json!({"id": id, "city": "there", "at": "2025-08-31T00:00:00Z", "n": n, "note": "here"});
        format!("{row}\n")
    };
    lab.append("src", &(noted(1, 10) + &noted(2, 20))).await;
    lab.append("tgt", &noted(3, 30)).await;
    for table in ["src", "tgt"] {
        let swapped = lab.copy();
        map_columns(&swapped, table, "name", &[("city", "note"), ("note", "city")]);
        is_refused(&swapped, table);
    }
    let renamed = lab.copy();
    map_columns(&renamed, "src", "name", &[("n", "id"), ("id", "n"), ("note", "memo")]);
    map_columns(&renamed, "tgt", "name", &[("note", "memo")]);
    renamed.load();
    assert_eq!(numbers(&renamed).await, [(3, 30), (10, 1), (20, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_plain_paths_in_the_tables_folder_are_refused_before_anything() {
    for spell in ["{root}/", "file://{root}/", "./", "a/../", "../tgt/"] {
        let lab = lab();
        lab.append("tgt", &row(1, "Oslo", 0, 1)).await;
        let root = lab.path().join("tgt").display().to_string();
        rewrite(&entry(&lab, "tgt", 1), |line| {
            let Some(add) = line.get_mut("add") else { return };
            let path = format!("{}{}", spell.replace("{root}", &root), add["path"].as_str().unwrap());
            add["path"] = path.into();
        });
        lab.append("src", &row(1, "Oslo", 1, 10)).await;
        let before = lab.versions().await;
        for command in ["plan", "check", "run"] {
            let document = lab.expect(2, &[command]);
            let message = document["error"]["message"].as_str().unwrap();
            assert!(message.contains("no plain path"), "{spell}: {command}: {message}");
        }
        assert_eq!(lab.versions().await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_lost_from_a_file_that_the_log_does_not_count_is_noticed() {
    let lab = lab();
    lab.append("tgt", &(row(1, "Oslo", 0, 1) + &row(2, "Oslo", 0, 2) + &row(3, "Oslo", 0, 3))).await;
    // A writer that keeps no statistics.
    rewrite(&entry(&lab, "tgt", 1), |line| {
        if let Some(add) = line.get_mut("add") {
            add["stats"] = Value::Null;
        }
    });
    lab.append("src", &row(1, "Oslo", 1, 10)).await;
    let whole = lab.copy();
    whole.load();
    assert_eq!(numbers(&whole).await, [(1, 10), (2, 2), (3, 3)]);

    assert_eq!(lab.run(&["run", "--fail-at", "merge:after"]).status.code(), None);
    // As if the MERGE had written one row less than it should have.
    rewrite(&entry(&lab, "tgt", 2), |line| {
        if let Some(add) = line.get_mut("add") {
            add["stats"] = add["stats"].as_str().unwrap().replace(":3,", ":2,").into();
            assert!(add["stats"].as_str().unwrap().contains("\"numRecords\":2"), "{add}");
        }
    });
    let document = lab.expect(4, &["run"]);
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("row count"), "{message}");
}
