//! Mode `changes`: each version of staging is read by one load, whatever was done to staging.

use deltalake::arrow::array::RecordBatch;
use deltalake::datafusion::prelude::{col, lit};
use deltalake::protocol::SaveMode;
use serde_json::{Value, json};

use crate::common::{Lab, batch};
use crate::recovery::{clean_log, vacuum};

const PIPELINE: &str = "
name: arrivals
source: {table: src, ddl: src.sql}
target: {table: tgt, ddl: tgt.sql}
unique_key: id
updated_at: version
incremental: {mode: changes}
as_of: 2025-09-01
";
const SOURCE: &str = "CREATE TABLE src (id BIGINT, version BIGINT, text STRING) USING DELTA";
const TARGET: &str =
    "CREATE TABLE tgt (id BIGINT NOT NULL, version BIGINT, text STRING, load_batch_id STRING,
  loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)) USING DELTA";

fn lab() -> Lab {
    Lab::custom(PIPELINE, &[("src", SOURCE), ("tgt", TARGET)])
}

fn lines(rows: &[(i64, i64)]) -> String {
    let line =
        |(id, version): &(i64, i64)| json!({"id": id, "version": version, "text": format!("{id}.{version}")});
    rows.iter().flat_map(|row| [line(row).to_string(), "\n".to_owned()]).collect()
}

async fn deliver(lab: &Lab, rows: &[(i64, i64)]) {
    lab.append("src", &lines(rows)).await;
}

/// Staging with two files: rows 1 to 3, and 4 and 5, of version 1; loaded.
async fn loaded() -> Lab {
    let lab = lab();
    deliver(&lab, &[(1, 1), (2, 1), (3, 1)]).await;
    deliver(&lab, &[(4, 1), (5, 1)]).await;
    assert_eq!(numbers(&lab.load()), [5, 5, 0]);
    lab
}

/// Staged, inserted and updated.
fn numbers(document: &Value) -> [i64; 3] {
    ["staged", "inserted", "updated"]
        .map(|class| document["counts"][class].as_i64().unwrap_or_else(|| panic!("{document:#}")))
}

fn run(lab: &Lab, as_of: &str) -> Value {
    let (code, document) = lab.json(&["run", "--as-of", as_of]);
    assert_eq!(code, Some(0), "{document:#}");
    document
}

/// Ids with versions in the target.
async fn target(lab: &Lab) -> Vec<(i64, i64)> {
    let rows = lab.rows("tgt").await;
    let value = |row: &String| serde_json::from_str::<Value>(row).unwrap();
    let mut found: Vec<(i64, i64)> = rows
        .iter()
        .map(value)
        .map(|row| (row["id"].as_i64().unwrap(), row["version"].as_i64().unwrap()))
        .collect();
    found.sort_unstable();
    found
}

/// Nothing is left to read, today or tomorrow.
async fn all_is_read(lab: &Lab) {
    let before = lab.versions().await;
    assert_eq!(lab.load()["status"], "already_loaded");
    assert_eq!(lab.versions().await, before);
    assert_eq!(numbers(&run(lab, "2025-09-02")), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_day_each_take_what_was_appended_since_the_run_before() {
    let lab = loaded().await;
    let mut ids = Vec::new();
    for round in 0..3 {
        deliver(&lab, &[(1, round + 2), (10 + round, 1)]).await;
        let document = lab.load();
        assert_eq!(numbers(&document), [2, 1, 1], "round {round}: {document:#}");
        ids.push(document["batch_id"].clone());
        let again = lab.load();
        assert_eq!((&again["status"], &again["batch_id"]), (&"already_loaded".into(), &ids[ids.len() - 1]));
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    all_is_read(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overwritten_staging_is_read_whole_once() {
    let lab = loaded().await;
    let rows: RecordBatch = batch(&lab.table("src").await, &lines(&[(1, 2), (2, 1), (9, 1)]));
    lab.delta("src").await.write(vec![rows]).with_save_mode(SaveMode::Overwrite).await.unwrap();
    assert_eq!(numbers(&lab.load()), [3, 1, 1]);
    assert_eq!(target(&lab).await, [(1, 2), (2, 1), (3, 1), (4, 1), (5, 1), (9, 1)]);
    all_is_read(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updated_rows_of_staging_are_read_with_the_file_that_holds_them() {
    let lab = loaded().await;
    let update = lab.delta("src").await.update().with_predicate(col("id").eq(lit(4_i64)));
    update.with_update("version", lit(2_i64)).with_update("text", lit("changed")).await.unwrap();
    let document = lab.load();
    assert_eq!(numbers(&document), [2, 0, 1], "{document:#}");
    assert_eq!(document["counts"]["unchanged"], 1);
    assert_eq!(target(&lab).await[3], (4, 2));
    all_is_read(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_deleted_from_staging_stay_in_the_target_and_what_arrived_beside_them_is_read() {
    let lab = loaded().await;
    deliver(&lab, &[(6, 1), (7, 1)]).await;
    let (table, _) = lab.delta("src").await.delete().with_predicate(col("id").eq(lit(6_i64))).await.unwrap();
    let document = lab.load();
    assert_eq!(numbers(&document), [1, 1, 0], "{document:#}");
    table.delete().with_predicate(col("id").eq(lit(1_i64))).await.unwrap();
    let document = lab.load();
    assert_eq!((&document["status"], &document["counts"]["inserted"]), (&"loaded".into(), &0.into()));
    assert_eq!(target(&lab).await, [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (7, 1)]);
    all_is_read(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compacted_staging_is_no_change_and_what_arrived_before_it_is_read_once() {
    let lab = loaded().await;
    let before = lab.load();
    let (table, metrics) = lab.delta("src").await.optimize().await.unwrap();
    assert!(metrics.num_files_removed >= 2);
    assert_eq!(lab.load()["batch_id"], before["batch_id"]);
    deliver(&lab, &[(6, 1)]).await;
    deliver(&lab, &[(1, 2)]).await;
    let (table, _) = table.optimize().await.unwrap();
    assert_eq!(numbers(&lab.load()), [2, 1, 1]);
    all_is_read(&lab).await;
    vacuum(table).await;
    all_is_read(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_restore_of_staging_brings_back_are_read_and_those_that_it_takes_away_are_not() {
    let lab = loaded().await;
    let loaded_at = lab.table("src").await.version();
    deliver(&lab, &[(6, 1)]).await;
    deliver(&lab, &[(7, 1)]).await;
    // Row 7 goes before any load has seen it.
    lab.delta("src").await.restore().with_version_to_restore(loaded_at + 1).await.unwrap();
    assert_eq!(numbers(&lab.load()), [1, 1, 0]);
    // And comes back.
    lab.delta("src").await.restore().with_version_to_restore(loaded_at + 2).await.unwrap();
    assert_eq!(numbers(&lab.load()), [1, 1, 0]);
    // What is taken away from staging stays in the target.
    lab.delta("src").await.restore().with_version_to_restore(loaded_at).await.unwrap();
    assert_eq!(numbers(&lab.load()), [0, 0, 0]);
    let ids: Vec<i64> = target(&lab).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7]);
    all_is_read(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_made_anew_is_a_first_batch_and_then_read_once() {
    let lab = loaded().await;
    std::fs::remove_dir_all(lab.path().join("src")).unwrap();
    assert_eq!(lab.run(&["init"]).status.code(), Some(0));
    deliver(&lab, &[(1, 2), (2, 1), (8, 1)]).await;
    assert_eq!(numbers(&lab.load()), [3, 1, 1]);
    deliver(&lab, &[(9, 1)]).await;
    assert_eq!(numbers(&lab.load()), [1, 1, 0]);
    all_is_read(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_that_was_taken_back_is_read_again_and_no_more() {
    let lab = loaded().await;
    deliver(&lab, &[(6, 1)]).await;
    let taken_back = lab.load();
    assert_eq!(lab.run(&["rollback", "--last"]).status.code(), Some(0));
    deliver(&lab, &[(7, 1)]).await;
    let again = lab.load();
    assert_eq!(numbers(&again), [2, 2, 0]);
    assert_ne!(again["batch_id"], taken_back["batch_id"]);
    all_is_read(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logical_dates_in_odd_order_lose_no_row_and_read_no_version_twice_after_the_first() {
    let lab = loaded().await;
    deliver(&lab, &[(6, 1)]).await;
    assert_eq!(numbers(&run(&lab, "2025-09-05")), [1, 1, 0]);
    deliver(&lab, &[(7, 1)]).await;
    // Anchored on the load of 09-01, which did not see row 6.
    assert_eq!(numbers(&run(&lab, "2025-09-03")), [2, 1, 0]);
    deliver(&lab, &[(8, 1)]).await;
    for as_of in ["2025-09-04", "2025-09-05"] {
        let document = run(&lab, as_of);
        assert_eq!(document["counts"]["staged"], i64::from(as_of == "2025-09-04"), "{document:#}");
    }
    // The first of its kind takes all.
    assert_eq!(run(&lab, "2025-08-01")["counts"]["staged"], 8);
    assert_eq!(target(&lab).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_changes_are_read_again() {
    let lab = loaded().await;
    lab.edit("incremental:", "columns: {text: {checks: [{not_null: {action: fail}}]}}\nincremental:");
    lab.append("src", r#"{"id":6,"version":1,"text":null}"#).await;
    for _ in 0..2 {
        let (code, document) = lab.json(&["run"]);
        assert_eq!((code, &document["counts"]["staged"]), (Some(1), &1.into()), "{document:#}");
    }
    deliver(&lab, &[(6, 2)]).await;
    assert_eq!(numbers(&lab.load()), [2, 1, 0]);
    all_is_read(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_log_entries_of_staging_are_refused_with_a_remedy_that_works() {
    let lab = loaded().await;
    deliver(&lab, &[(6, 1)]).await;
    deliver(&lab, &[(7, 1)]).await;
    let newest = lab.table("src").await.version();
    clean_log(&lab, "src", newest).await;
    let before = lab.versions().await;
    for command in ["run", "plan", "check"] {
        let (code, document) = lab.json(&[command]);
        assert_eq!(code, Some(4), "{command}: {document:#}");
        let hint = document["error"]["hint"].as_str().unwrap();
        assert!(hint.contains("another") && hint.contains("delta.logRetentionDuration"), "{hint}");
    }
    assert_eq!(lab.versions().await, before);
    lab.edit("name: arrivals", "name: arrivals_again");
    assert_eq!(numbers(&lab.load()), [7, 2, 0]);
    deliver(&lab, &[(8, 1)]).await;
    assert_eq!(numbers(&lab.load()), [1, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_replaced_by_an_older_copy_is_refused() {
    let lab = lab();
    deliver(&lab, &[(1, 1)]).await;
    let older = lab.copy();
    deliver(&lab, &[(2, 1)]).await;
    lab.load();
    std::fs::remove_dir_all(lab.path().join("src")).unwrap();
    std::fs::rename(older.path().join("src"), lab.path().join("src")).unwrap();
    let (code, document) = lab.json(&["run"]);
    assert_eq!(code, Some(4), "{document:#}");
    assert!(document["error"]["message"].as_str().unwrap().contains("staging_went_back"), "{document:#}");
}
