//! Batches that touch more partitions than one MERGE can bear.

use std::os::unix::process::ExitStatusExt as _;

use chrono::TimeDelta;

use crate::common::{Lab, json_of};

/// The reference case, written in groups of at most this many partitions.
async fn grouped(partitions: usize) -> Lab {
    let lab = Lab::ungated().await;
    lab.edit("partitions_per_commit: 400", &format!("partitions_per_commit: {partitions}"));
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_in_groups_ends_like_a_batch_in_one_commit() {
    let lab = grouped(2).await;
    let whole = lab.copy();
    whole.edit("partitions_per_commit: 2", "partitions_per_commit: 400");
    let (one, many) = (whole.load(), lab.load());
    assert_eq!(one["batch_id"], many["batch_id"]);
    assert_eq!(one["counts"], many["counts"]);
    assert_eq!(one["watermark"], many["watermark"]);
    assert_eq!(lab.rows("fact_orders").await, whole.rows("fact_orders").await);
    assert_eq!(lab.rows("load_watermarks").await.len(), 1);
    assert_eq!(lab.versions().await["fact_orders"], 3);
    assert_eq!(whole.versions().await["fact_orders"], 2);
    assert_eq!(lab.load()["status"], "already_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_between_groups_is_completed_by_any_next_run() {
    let lab = grouped(1).await;
    let whole = lab.copy();
    whole.load();
    let (versions, state) = (whole.versions().await, whole.state().await);
    assert_eq!(versions["fact_orders"], 5, "four groups");
    for point in [
        "merge:0:after",
        "merge:1:before",
        "merge:1:after",
        "merge:2:after",
        "merge:3:before",
        "merge:3:after",
    ] {
        let crashed = lab.copy();
        assert_eq!(crashed.run(&["run", "--fail-at", point]).status.signal(), Some(9), "{point}");
        crashed.load();
        assert_eq!(crashed.state().await, state, "{point}");
        assert_eq!(crashed.versions().await, versions, "{point}");
    }
    // A helper with another config completes the batch as it was begun, and then loads its own.
    let crashed = lab.copy();
    assert_eq!(crashed.run(&["run", "--fail-at", "merge:2:before"]).status.signal(), Some(9));
    let other = crashed.variant("other.yaml", "lookback: 7 days", "lookback: 3 days");
    let (code, helped) = json_of(crashed.command_with(&other, &["run"]));
    assert_eq!((code, &helped["sequence"]), (Some(0), &2.into()), "{helped:#}");
    assert_eq!(helped["recovered"].as_array().unwrap().len(), 1);
    assert_eq!(crashed.rows("fact_orders").await, whole.rows("fact_orders").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_in_groups_is_abandoned_when_its_staging_version_is_gone() {
    let lab = grouped(1).await;
    assert_eq!(lab.run(&["run", "--fail-at", "merge:2:before"]).status.signal(), Some(9));
    // Staging is rewritten and vacuumed: the version that the batch pinned cannot be read any more.
    let (staging, _) =
        lab.delta("staging_orders").await.delete().with_predicate("order_id = 100").await.unwrap();
    let vacuum = staging.vacuum().with_retention_period(TimeDelta::zero());
    vacuum.with_enforce_retention_duration(false).await.unwrap();
    let (_, status) = lab.json(&["status"]);
    assert!(status["unfinished"]["next"].as_str().unwrap().contains("abandon"), "{status:#}");

    let document = lab.load();
    assert_eq!(document["sequence"], 2);
    assert_eq!(document["watermark"], serde_json::json!({"before": null, "after": "2025-08-31"}));
    let audit = lab.rows("loads_audit").await;
    assert_eq!(audit.len(), 2);
    let abandoned = audit.iter().find(|row| row.contains(r#""status":"abandoned""#)).unwrap();
    assert!(
        abandoned.contains(r#""staged_rows":5"#) && abandoned.contains(r#""rejected_rows":2"#),
        "{abandoned}"
    );
    // Written rows are found unchanged, the rest is loaded.
    let fact = lab.rows("fact_orders").await;
    assert_eq!(fact.len(), 4);
    let counts = &document["counts"];
    assert_eq!(counts["unchanged"].as_i64().unwrap() + counts["inserted"].as_i64().unwrap(), 3, "{counts}");
    assert_eq!(lab.load()["status"], "already_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_that_moves_partition_ends_as_one_row() {
    for partitions in [400, 1] {
        let lab = grouped(partitions).await;
        let moved = r#"{"order_id":101,"customer_id":2,"order_date":"2025-08-29","updated_at":"2025-08-31T00:00:00Z","total_amount":"23.00"}"#;
        lab.append("staging_orders", moved).await;
        lab.load();
        let fact = lab.rows("fact_orders").await;
        let rows: Vec<_> = fact.iter().filter(|row| row.contains(r#""order_id":101"#)).collect();
        assert_eq!(rows.len(), 1);
        assert!(rows[0].contains("2025-08-29") && rows[0].contains("23.00"), "{}", rows[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_partitions_load_as_one_batch() {
    let lab = Lab::ungated().await;
    lab.edit("initial: lookback", "initial: all");
    let start: chrono::NaiveDate = "2017-01-01".parse().unwrap();
    let mut rows = String::new();
    for (id, day) in (1000..4000).zip(start.iter_days()) {
        rows.push_str(&format!(
            r#"{{"order_id":{id},"customer_id":1,"order_date":"{day}","updated_at":"2025-08-31T00:00:00Z","total_amount":"1.00"}}"#
        ));
        rows.push('\n');
    }
    lab.append("staging_orders", &rows).await;
    let document = lab.load();
    assert_eq!((&document["status"], &document["sequence"]), (&"loaded".into(), &1.into()));
    assert_eq!(document["counts"]["inserted"], 3003);
    assert_eq!(document["counts"]["updated"], 1);
    // The newest partitions hold both; every group is one commit.
    assert_eq!(lab.versions().await["fact_orders"], 1 + 3004_u64.div_ceil(400));
    assert_eq!(lab.rows("fact_orders").await.len(), 3004);
    assert_eq!(lab.load()["status"], "already_loaded");

    // All of them updated at once: as many partitions to read as to write.
    lab.append("staging_orders", &rows.replace("2025-08-31T00", "2025-08-31T01")).await;
    let document = lab.load();
    assert_eq!(document["counts"]["updated"], 3000);
    assert_eq!(lab.rows("fact_orders").await.len(), 3004);
}
