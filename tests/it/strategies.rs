//! What each strategy leaves in the log, and which targets it is refused for or not chosen for.

use std::collections::BTreeMap;

use highwater::fail_points::FailPoints;
use highwater::hooks::Hooks;
use highwater::plan::Accepted;
use highwater::run::run;
use serde_json::{Map, Value, json};

use crate::common::{Lab, STRATEGIES, clock};

const PIPELINE: &str = "name: p\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.sql}\n\
    unique_key: id\nupdated_at: at\nincremental: {mode: changes}\nas_of: 2025-09-01\n";
const STAGING: &str = "CREATE TABLE src (id BIGINT, p STRING, at BIGINT, x DOUBLE) USING DELTA";
const COLUMNS: &str = "id BIGINT NOT NULL, p STRING, at BIGINT, x DOUBLE, load_batch_id STRING, \
    loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)";

fn lab_with(more: &str, properties: &str) -> Lab {
    let excluded = if more.is_empty() { "target: {" } else { "target: {exclude: extra, " };
    let file = PIPELINE.replace("target: {", excluded);
    let target = format!("CREATE TABLE tgt ({more}{COLUMNS}) USING DELTA PARTITIONED BY (p) {properties}");
    Lab::custom(&file, &[("src", STAGING), ("tgt", &target)])
}

/// A target by deletion vectors that stay.
fn vectors() -> Lab {
    let lab = lab_with("", "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')");
    lab.edit("as_of:", "merge: {purge: {dead_rows: 100 %, small_files: 0}}\nas_of:");
    lab
}

fn row(id: i64, p: &str, at: i64) -> String {
    format!("{{\"id\":{id},\"p\":\"{p}\",\"at\":{at},\"x\":0.1}}\n")
}

/// Key, partition and version of the target's rows.
async fn held(lab: &Lab) -> Vec<(i64, String, i64)> {
    let rows = lab.rows("tgt").await;
    let rows = rows.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut held: Vec<_> = rows
        .map(|row| {
            (row["id"].as_i64().unwrap(), row["p"].as_str().unwrap().to_owned(), row["at"].as_i64().unwrap())
        })
        .collect();
    held.sort();
    held
}

fn of(rows: &[(i64, &str, i64)]) -> Vec<(i64, String, i64)> {
    rows.iter().map(|(id, p, at)| (*id, (*p).to_owned(), *at)).collect()
}

/// The actions of one kind in a commit of the target.
fn actions(lab: &Lab, version: u64, kind: &str) -> Vec<Map<String, Value>> {
    let actions = lab.actions("tgt", version).into_iter();
    actions.filter_map(|action| action.get(kind)?.as_object().cloned()).collect()
}

fn stats(add: &Map<String, Value>) -> Value {
    serde_json::from_str(add["stats"].as_str().unwrap()).unwrap()
}

/// The rows that each added file's vector deletes, by path; of files with a vector.
fn marked(lab: &Lab, version: u64) -> BTreeMap<String, i64> {
    let with_vector = |add: Map<String, Value>| {
        let cardinality = add.get("deletionVector")?["cardinality"].as_i64()?;
        Some((add["path"].as_str().unwrap().to_owned(), cardinality))
    };
    actions(lab, version, "add").into_iter().filter_map(with_vector).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn superseded_rows_are_marked_and_changed_ones_appended_in_one_commit() {
    let lab = vectors();
    let protocol = &actions(&lab, 0, "protocol")[0];
    for features in ["readerFeatures", "writerFeatures"] {
        assert!(protocol[features].as_array().unwrap().contains(&json!("deletionVectors")), "{protocol:?}");
    }
    lab.append("src", &(1..=4).map(|id| row(id, "a", 1)).collect::<String>()).await;
    lab.append("src", &row(5, "b", 1)).await;
    let first = lab.load();
    assert_eq!(first["strategy"]["name"], "deletion_vectors", "{first:#}");
    let written = actions(&lab, 1, "add");
    assert_eq!((written.len(), marked(&lab, 1).len()), (2, 0));

    // One changes where it lies, one moves.
    lab.append("src", &(row(1, "a", 2) + &row(2, "b", 2) + &row(6, "b", 2))).await;
    let second = lab.load();
    assert_eq!((&second["counts"]["updated"], &second["counts"]["inserted"]), (&json!(2), &json!(1)));
    let file = written.iter().find(|add| add["path"].as_str().unwrap().starts_with("p=a")).unwrap();
    let path = file["path"].as_str().unwrap();
    assert_eq!(marked(&lab, 2), BTreeMap::from([(path.to_owned(), 2)]));
    let removed = actions(&lab, 2, "remove");
    assert_eq!((removed.len(), &removed[0]["path"]), (1, &json!(path)));
    assert_eq!((actions(&lab, 2, "add").len(), actions(&lab, 2, "protocol").len()), (3, 0));
    let again = actions(&lab, 2, "add").into_iter().find(|add| add["path"] == path).unwrap();
    let (mut loose, mut tight) = (stats(&again), stats(file));
    assert_eq!((&loose["tightBounds"], &loose["numRecords"]), (&json!(false), &json!(4)));
    loose.as_object_mut().unwrap().remove("tightBounds");
    tight.as_object_mut().unwrap().remove("tightBounds");
    assert_eq!((loose, &again["size"]), (tight, &file["size"]));
    assert_eq!(
        held(&lab).await,
        of(&[(1, "a", 2), (2, "b", 2), (3, "a", 1), (4, "a", 1), (5, "b", 1), (6, "b", 2)])
    );

    // The vector of the next commit holds what this one held; a file without a row left goes.
    lab.append("src", &row(3, "a", 3)).await;
    lab.load();
    assert_eq!(marked(&lab, 3), BTreeMap::from([(path.to_owned(), 3)]));
    assert!(!actions(&lab, 3, "remove")[0]["deletionVector"].is_null());
    lab.append("src", &row(4, "a", 4)).await;
    lab.load();
    assert_eq!((marked(&lab, 4).len(), actions(&lab, 4, "remove").len()), (0, 1));
    let rows = [(1, "a", 2), (2, "b", 2), (3, "a", 3), (4, "a", 4), (5, "b", 1), (6, "b", 2)];
    assert_eq!(held(&lab).await, of(&rows));

    // What is told of the load are bytes that came, not those of the file that was there.
    let size = |add: &Map<String, Value>| add["size"].as_i64().unwrap();
    let new: i64 = actions(&lab, 2, "add").iter().filter(|add| add["path"] != path).map(size).sum();
    assert_eq!(second["bytes_written"], new);
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_by_vectors_are_taken_back_and_go_on_after_compaction() {
    let lab = vectors();
    lab.append("src", &(1..=9).map(|id| row(id, "a", 1)).collect::<String>()).await;
    lab.load();
    for at in 2..5 {
        lab.append("src", &(row(at, "a", at) + &row(at + 100, "b", at))).await;
        lab.load();
    }
    let rows = held(&lab).await;
    lab.append("src", &(row(2, "a", 9) + &row(9, "b", 9))).await;
    lab.load();
    let (code, back) = lab.json(&["rollback", "--last"]);
    assert_eq!((code, &back["status"]), (Some(0), &json!("rolled_back")), "{back:#}");
    assert_eq!(held(&lab).await, rows);

    lab.delta("tgt").await.optimize().with_target_size(1.try_into().unwrap()).await.unwrap();
    let compacted = held(&lab).await;
    assert_eq!(compacted, rows);
    let next = lab.load();
    assert_eq!(next["counts"]["updated"], 2, "{next:#}");
    lab.append("src", &row(9, "b", 8)).await;
    assert_eq!(lab.load()["counts"]["stale"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn target_that_needs_the_merge_gets_it_and_a_strategy_that_cannot_be_is_refused() {
    let on = "'delta.enableDeletionVectors' = 'true'";
    let cases = [
        ("", format!("TBLPROPERTIES ({on})"), "CHECK constraint `positive`"),
        ("", format!("TBLPROPERTIES ({on}, 'delta.enableChangeDataFeed' = 'true')"), "change data feed"),
        ("extra STRING, ", format!("TBLPROPERTIES ({on})"), "column `extra` stays as it is"),
    ];
    for (more, properties, why) in cases {
        let lab = lab_with(more, &properties);
        if why.contains("CHECK") {
            lab.delta("tgt").await.add_constraint().with_constraint("positive", "at > 0").await.unwrap();
        }
        lab.append("src", &(row(1, "a", 1) + &row(2, "a", 1))).await;
        let first = lab.load();
        assert_eq!(first["strategy"]["name"], "builder", "{first:#}");
        assert!(first["strategy"]["why"].as_str().unwrap().contains(why), "{first:#}");
        lab.append("src", &row(1, "a", 2)).await;
        let (versions, text) = (lab.versions().await, std::fs::read_to_string(lab.config()).unwrap());
        for named in ["deletion_vectors", "rewrite"] {
            std::fs::write(lab.config(), format!("{text}merge: {{strategy: {named}}}\n")).unwrap();
            let refused = lab.expect(2, &["run"]);
            let message = refused["error"]["message"].as_str().unwrap();
            assert!(message.contains(why) && message.contains(named), "{message}");
        }
        assert_eq!(lab.versions().await, versions);
        std::fs::write(lab.config(), text).unwrap();
        assert_eq!(lab.load()["counts"]["updated"], 1);
        assert_eq!(held(&lab).await, of(&[(1, "a", 2), (2, "a", 1)]));
    }

    let plain = lab_with("", "");
    plain.append("src", &row(1, "a", 1)).await;
    let plan = plain.expect(0, &["plan"]);
    assert!(plan["strategy"]["why"].as_str().unwrap().contains("enableDeletionVectors"), "{plan:#}");
    let text = std::fs::read_to_string(plain.config()).unwrap();
    std::fs::write(plain.config(), format!("{text}merge: {{strategy: deletion_vectors}}\n")).unwrap();
    for command in ["plan", "run"] {
        let message = plain.expect(2, &[command])["error"]["message"].to_string();
        assert!(message.contains("enableDeletionVectors is not true"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_that_a_commit_lost_is_noticed_and_taken_back_by_every_strategy() {
    for strategy in STRATEGIES {
        let lab = lab_with("", "").written_by(strategy);
        lab.append("src", &(row(1, "a", 1) + &row(2, "a", 1))).await;
        lab.load();
        let before = held(&lab).await;
        lab.append("src", &(row(1, "a", 2) + &row(2, "a", 2) + &row(3, "b", 2))).await;
        let hooks = Hooks { fail_points: FailPoints { lose_a_row: true, fail_at: None }, ..Hooks::default() };
        let mut opened = lab.opened().await;
        let error = run(&mut opened, clock(), &hooks, Accepted::default()).await.unwrap_err();
        assert!(error.to_string().contains("did not balance"), "{strategy:?}: {error}");
        assert_eq!(held(&lab).await, before, "{strategy:?}");
        assert_eq!(lab.load()["counts"]["inserted"], 1, "{strategy:?}");
    }
}

/// delta-rs waits forever for more than some 500 vectors at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_with_a_vector_in_each_of_many_files_is_loaded_read_and_written_by_every_strategy() {
    const FILES: i64 = 700;
    let lab = vectors();
    let rows = |at: i64| (0..FILES).map(|file| row(file, &format!("{file:04}"), at)).collect::<String>();
    let kept = (0..FILES).map(|file| row(FILES + file, &format!("{file:04}"), 1)).collect::<String>();
    lab.append("src", &(rows(1) + &kept)).await;
    lab.load();
    lab.append("src", &rows(2)).await;
    lab.load();
    assert_eq!(marked(&lab, 2).len(), 700);
    let files: std::collections::BTreeSet<String> = actions(&lab, 2, "add")
        .iter()
        .filter_map(|add| Some(add.get("deletionVector")?["pathOrInlineDv"].to_string()))
        .collect();
    assert_eq!(files.len(), 1);

    let by = |strategy: &str| {
        let mut command = lab.command(&["run"]);
        command.env("HIGHWATER__MERGE__STRATEGY", strategy);
        crate::common::json_of(command).1
    };

    // Vectors are looked up, and those of files that change united; then all are read.
    lab.append("src", &(row(3, "0003", 3) + &row(FILES + 3, "0004", 3))).await;
    let third = lab.load();
    assert_eq!(
        (&third["counts"]["updated"], &third["strategy"]["name"]),
        (&json!(2), &json!("deletion_vectors"))
    );
    lab.append("src", &row(5, "0005", 3)).await;
    let rewritten = by("rewrite");
    assert_eq!(rewritten["counts"]["updated"], 1, "{rewritten:#}");
    lab.append("src", &(row(6, "0006", 3) + &row(7, "0006", 1))).await;
    let merged = by("builder");
    assert_eq!(merged["counts"]["updated"], 1, "{merged:#}");
    let held = held(&lab).await;
    assert_eq!(held.len(), 1_400);
    for id in [3, FILES + 3, 5, 6] {
        assert_eq!(held[usize::try_from(id).unwrap()].2, 3, "{id}");
    }
    assert_eq!(held.iter().filter(|row| row.2 == 2).count(), 697);
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_that_cannot_be_read_stop_the_load_before_anything_changes() {
    let lab = vectors();
    lab.append("src", &(1..=4).map(|id| row(id, "a", 1)).collect::<String>()).await;
    lab.load();
    lab.append("src", &row(1, "a", 2)).await;
    lab.load();
    lab.append("src", &row(2, "a", 2)).await;
    let versions = lab.versions().await;
    let names = std::fs::read_dir(lab.path().join("tgt")).unwrap().map(|entry| entry.unwrap().path());
    let vectors = names.filter(|path| path.extension().is_some_and(|end| end == "bin"));
    let path = vectors.last().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut other = whole.clone();
    let last = other.len() - 6;
    other[last] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &other, b""] {
        std::fs::write(&path, damaged).unwrap();
        let refused = lab.expect(4, &["run"]);
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("deletion vector") && message.contains(".parquet"), "{refused:#}");
    }
    std::fs::remove_file(&path).unwrap();
    let refused = lab.expect(4, &["run"]);
    assert!(refused["error"]["message"].as_str().unwrap().contains("deletion vectors"), "{refused:#}");
    assert_eq!(lab.versions().await, versions);
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(lab.load()["counts"]["updated"], 1);
}
