//! What a batch needs to be finished, and what it does not; and rows that must not fall between two batches.

use std::os::unix::process::ExitStatusExt as _;

use chrono::TimeDelta;
use deltalake::datafusion::prelude::{col, lit};
use serde_json::{Value, json};

use crate::common::Lab;

fn order(id: u32, day: &str, version: u32) -> String {
    let row = json!({
        "order_id": id, "customer_id": 1, "order_date": day,
        "updated_at": format!("2025-08-31T{version:02}:00:00Z"), "total_amount": "1.00",
    });
    format!("{row}\n")
}

pub async fn vacuum(table: deltalake::DeltaTable) {
    let vacuum = table.vacuum().with_retention_period(TimeDelta::zero());
    vacuum.with_enforce_retention_duration(false).await.unwrap();
}

/// Cuts the log off below `version`, behind a checkpoint.
pub async fn clean_log(lab: &Lab, table: &str, version: u64) {
    let delta = lab.delta(table).await;
    deltalake::checkpoints::create_checkpoint(&delta, None).await.unwrap();
    for old in 0..version {
        std::fs::remove_file(lab.path().join(format!("{table}/_delta_log/{old:020}.json"))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_past_its_commit_is_finished_though_staging_is_gone() {
    let lab = Lab::reference().await;
    assert_eq!(lab.run(&["run", "--fail-at", "merge:after"]).status.signal(), Some(9));
    std::fs::remove_dir_all(lab.path().join("staging_orders")).unwrap();
    let (code, document) = lab.json(&["run"]);
    assert_eq!(code, Some(2));
    assert!(document["error"]["message"].as_str().unwrap().contains("staging_orders"), "{document:#}");
    for table in ["fact_orders", "loads_audit", "load_watermarks"] {
        assert_eq!(lab.number(table, "orders").await, 1, "{table}");
    }
    let (code, status) = lab.json(&["status"]);
    assert_eq!((code, &status["unfinished"]), (Some(0), &Value::Null));
    assert!(status["refused"].as_str().unwrap().contains("staging_orders"), "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn future_rows_of_a_batch_that_loaded_nothing_are_in_the_next_one() {
    let lab = Lab::ungated().await;
    let staging = lab.delta("staging_orders").await;
    staging.delete().await.unwrap();
    lab.append("staging_orders", &(order(500, "2025-08-05", 1) + &order(501, "2025-08-06", 1))).await;
    let (_, early) = lab.json(&["run", "--as-of", "2025-08-01"]);
    assert_eq!(early["status"], "loaded");
    assert_eq!((&early["counts"]["staged"], &early["future"]), (&0.into(), &2.into()));
    let (_, later) = lab.json(&["run", "--as-of", "2025-09-01"]);
    assert_eq!(later["counts"]["inserted"], 2, "{later:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn future_rows_are_not_lost_when_the_mode_changes_to_changes() {
    let lab = Lab::reference().await;
    lab.append("staging_orders", &order(500, "2025-09-05", 1)).await;
    assert_eq!(lab.load()["future"], 1);
    lab.edit("mode: window", "mode: changes");
    let (_, next) = lab.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!(next["counts"]["inserted"], 1, "{next:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_in_groups_is_abandoned_when_its_arrivals_cannot_be_told_any_more() {
    // Compacted arrivals, vacuumed after the first group: other files would be read in their place.
    let lab = Lab::ungated().await;
    lab.edit("mode: window", "mode: changes");
    lab.edit("partitions_per_commit: 400", "partitions_per_commit: 1");
    lab.load();
    for (id, day) in [(600, "2025-08-20"), (601, "2025-08-21"), (602, "2025-08-22")] {
        lab.append("staging_orders", &order(id, day, 1)).await;
    }
    let (staging, _) = lab.delta("staging_orders").await.optimize().await.unwrap();
    let cleaned = lab.copy();
    for lab in [&lab, &cleaned] {
        let crash = lab.run(&["run", "--as-of", "2025-09-02", "--fail-at", "merge:0:after"]);
        assert_eq!(crash.status.signal(), Some(9));
    }
    vacuum(staging).await;
    let newest = cleaned.table("staging_orders").await.version();
    clean_log(&cleaned, "staging_orders", newest).await;

    for (lab, what) in [(&lab, "vacuumed"), (&cleaned, "log cleaned")] {
        let (_, status) = lab.json(&["status"]);
        assert!(status["unfinished"]["next"].as_str().unwrap().contains("abandon"), "{what}: {status:#}");
        let (code, document) = lab.json(&["run", "--as-of", "2025-09-02"]);
        let audit = lab.rows("loads_audit").await;
        let abandoned = audit.iter().find(|row| row.contains(r#""status":"abandoned""#)).unwrap();
        assert!(abandoned.contains(r#""deduped_rows":3"#) && abandoned.contains(r#""inserted_rows":1"#));
        if what == "vacuumed" {
            assert_eq!(code, Some(0), "{document:#}");
            assert_eq!(lab.rows("fact_orders").await.len(), 7);
        } else {
            // The next batch cannot tell either what arrived, and says what helps.
            assert_eq!(code, Some(4), "{document:#}");
        }
    }
    // The remedy that the hint names: under another name, all of staging is read, and nothing is doubled.
    cleaned.edit("name: orders", "name: orders_again");
    let (code, document) = cleaned.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!(code, Some(0), "{document:#}");
    assert_eq!(cleaned.rows("fact_orders").await.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn window_without_late_rows_loads_though_staging_s_log_was_cleaned() {
    let lab = Lab::reference().await;
    lab.load();
    lab.append("staging_orders", &order(700, "2025-09-01", 1)).await;
    lab.append("staging_orders", &order(701, "2025-03-01", 1)).await;
    let newest = lab.table("staging_orders").await.version();
    clean_log(&lab, "staging_orders", newest).await;
    let before = lab.versions().await;
    let (code, document) = lab.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!(code, Some(4));
    assert!(document["error"]["hint"].as_str().unwrap().contains("late: skip"), "{document:#}");
    assert_eq!(lab.versions().await, before);
    let (code, _) = lab.json(&["sql", "--as-of", "2025-09-02"]);
    assert_eq!(code, Some(4));
    lab.edit("late: load", "late: skip");
    let (code, document) = lab.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!((code, &document["counts"]["inserted"]), (Some(0), &1.into()), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn record_table_made_anew_is_refused_and_status_says_so() {
    let lab = Lab::reference().await;
    lab.load();
    std::fs::remove_dir_all(lab.path().join("load_watermarks")).unwrap();
    assert_ne!(lab.run(&["init"]).status.code(), Some(3));
    let (code, document) = lab.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!(code, Some(0), "one row is written again: {document:#}");
    std::fs::remove_dir_all(lab.path().join("load_watermarks")).unwrap();
    lab.run(&["init"]);
    let (code, document) = lab.json(&["run", "--as-of", "2025-09-03"]);
    assert_eq!(code, Some(4), "{document:#}");
    let (_, status) = lab.json(&["status"]);
    assert!(status["refused"].as_str().unwrap().contains("numbers_missing"), "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_rows_of_a_record_table_are_refused_and_come_back_with_a_restore() {
    let whole = Lab::ungated().await;
    whole.load();
    whole.append("staging_orders", &order(500, "2025-09-01", 1)).await;
    let last = whole.load();
    for (table, rows) in [
        ("loads_audit", None),
        ("loads_audit", Some(1)),
        ("load_watermarks", None),
        ("load_watermarks", Some(2)),
    ] {
        let lab = whole.copy();
        let before = lab.table(table).await.version();
        let delete = lab.delta(table).await.delete();
        let delete = match rows {
            None => delete,
            Some(number) => delete.with_predicate(col("sequence").eq(lit(number))),
        };
        let (deleted, _) = delete.await.unwrap();
        let versions = lab.versions().await;
        // Neither is the batch loaded twice, nor does the live watermark go back.
        for as_of in ["2025-09-01", "2025-08-28", "2025-09-02"] {
            let (code, document) = lab.json(&["run", "--as-of", as_of]);
            assert_eq!(code, Some(4), "{table} {rows:?}: {document:#}");
            let error = &document["error"];
            assert!(
                error["message"].as_str().unwrap().contains("rows of this pipeline are missing"),
                "{error:#}"
            );
            assert!(error["hint"].as_str().unwrap().contains("RESTORE"), "{error:#}");
        }
        assert_eq!(lab.run(&["rollback", "--last"]).status.code(), Some(4));
        assert_eq!(lab.versions().await, versions);
        let (_, status) = lab.json(&["status"]);
        assert!(status["refused"].as_str().unwrap().contains("numbers_missing"), "{status:#}");

        deleted.restore().with_version_to_restore(before).await.unwrap();
        let again = lab.load();
        assert_eq!((&again["status"], &again["batch_id"]), (&"already_loaded".into(), &last["batch_id"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_one_pipeline_lost_are_no_matter_of_another_in_the_same_tables() {
    let lab = Lab::ungated().await;
    lab.load();
    let other = lab.variant("returns.yaml", "name: orders", "name: returns");
    let run = |as_of: &str| crate::common::json_of(lab.command_with(&other, &["run", "--as-of", as_of]));
    assert_eq!(run("2025-09-01").0, Some(0));
    let delete = lab.delta("loads_audit").await.delete();
    delete.with_predicate(col("pipeline").eq(lit("orders"))).await.unwrap();
    assert_eq!(lab.json(&["run"]).0, Some(4));
    let (code, document) = run("2025-09-02");
    assert_eq!((code, &document["sequence"]), (Some(0), &2.into()), "{document:#}");
}
