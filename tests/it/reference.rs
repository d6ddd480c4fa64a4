//! The reference case, with its fixed result.

use serde_json::json;

use crate::common::Lab;

#[tokio::test(flavor = "multi_thread")]
async fn reference_case_loads_with_the_fixed_result() {
    let lab = Lab::reference().await;
    let document = lab.load();
    assert_eq!(document["status"], "loaded");
    assert_eq!(document["sequence"], 1);
    assert_eq!(document["window"], json!({"from": "2025-08-25", "to": "2025-09-01"}));
    assert_eq!(document["watermark"], json!({"before": null, "after": "2025-08-30"}));
    assert_eq!(
        document["counts"],
        json!({"staged": 5, "duplicate": 0, "superseded": 1, "deduped": 4, "inserted": 2, "updated": 1,
               "stale": 0, "unchanged": 0, "tied": 0, "quarantined": 1, "rejected": 0, "deleted": 0})
    );
    assert_eq!(document["dq_errors"], 1);
    let check = |name: &str| {
        let checks = document["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).cloned().unwrap()
    };
    assert_eq!(
        check("relationships_customer_id"),
        json!({"name": "relationships_customer_id", "column": "customer_id", "action": "quarantine",
               "examined": 4, "failed": 1, "percent": 25.0, "threshold": "error_if > 25 %",
               "verdict": "quarantined", "value": null,
               "examples": [{"order_id": "103", "source_file": "orders_20250901",
                             "ingest_time": "2025-09-01T00:05:30Z"}]})
    );
    for passed in ["not_null_order_id", "not_null_updated_at", "not_null_order_date", "row_count"] {
        assert_eq!(check(passed)["verdict"], "passed", "{passed}");
    }
    let fact = lab.rows("fact_orders").await;
    assert_eq!(fact.len(), 3);
    let order = |id: &str| fact.iter().find(|row| row.contains(&format!("\"order_id\":{id},"))).unwrap();
    assert!(order("101").contains(r#""total_amount":22.00"#), "{}", order("101"));
    assert!(order("101").contains("2025-08-30T12:30:00Z"), "{}", order("101"));
    assert!(order("100").contains(r#""total_amount":49.00"#) && order("102").contains("15.50"), "{fact:?}");
    let watermarks = lab.rows("load_watermarks").await;
    assert_eq!(watermarks.len(), 1);
    assert!(watermarks[0].contains(r#""watermark":"2025-08-30""#), "{}", watermarks[0]);
    let audit = lab.rows("loads_audit").await;
    for part in [
        r#""staged_rows":5,"deduped_rows":4,"inserted_rows":2,"updated_rows":1,"dq_errors":1"#,
        r#""quarantined_rows":1"#,
        r#""verdict":"quarantined""#,
    ] {
        assert!(audit[0].contains(part), "{part} is not in {}", audit[0]);
    }
    let bad = lab.rows("fact_orders_bad").await;
    assert_eq!(bad.len(), 1);
    for part in [
        r#""order_id":103,"customer_id":9"#,
        r#""source_file":"orders_20250901""#,
        r#""dq_status":"open""#,
        r#""check":"relationships_customer_id""#,
        r#""value":"9""#,
    ] {
        assert!(bad[0].contains(part), "{part} is not in {}", bad[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_case_with_fail_on_orphans_is_rejected_and_moves_nothing() {
    let lab = Lab::reference().await;
    lab.edit("action: quarantine, error_if: \"> 25 %\"", "action: fail");
    let (versions, fact) = (lab.versions().await, lab.rows("fact_orders").await);
    for _ in 0..2 {
        let (status, document) = lab.json(&["run"]);
        assert_eq!((status, &document["status"]), (Some(1), &json!("rejected")));
        assert!(document["reason"].as_str().unwrap().contains("order_id=103"), "{document:#}");
        assert_eq!(document["counts"]["quarantined"], 1);
        assert_eq!(document["counts"]["rejected"], 3);
        assert_eq!(lab.rows("fact_orders").await, fact);
        let after = lab.versions().await;
        assert_eq!(after["fact_orders"], versions["fact_orders"]);
        assert_eq!(after["load_watermarks"], versions["load_watermarks"]);
        assert_eq!(after["loads_audit"], versions["loads_audit"] + 1);
    }
    let audit = lab.rows("loads_audit").await;
    assert!(audit[0].contains(r#""status":"rejected""#) && audit[0].contains("relationships_customer_id"));
    assert_eq!(lab.rows("fact_orders_bad").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rerun_of_a_loaded_batch_changes_no_table() {
    for lab in [Lab::reference().await, Lab::stock().await] {
        let first = lab.load();
        let (versions, state) = (lab.versions().await, lab.state().await);
        for _ in 0..2 {
            let again = lab.load();
            assert_eq!(again["status"], "already_loaded");
            assert_eq!(again["batch_id"], first["batch_id"]);
            assert_eq!(again["counts"], first["counts"]);
            assert_eq!(again["sequence"], 1);
        }
        assert_eq!(lab.versions().await, versions);
        assert_eq!(lab.state().await, state);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compound_key_by_arrival_loads_each_class() {
    let lab = Lab::stock().await;
    let document = lab.load();
    assert_eq!(document["window"], json!({"from": null, "to": null}));
    assert_eq!(document["watermark"], json!({"before": null, "after": null}));
    assert_eq!(
        document["counts"],
        json!({"staged": 6, "duplicate": 1, "superseded": 1, "deduped": 4, "inserted": 2, "updated": 1,
               "stale": 0, "unchanged": 1, "tied": 0, "quarantined": 0, "rejected": 0, "deleted": 0})
    );
    assert_eq!(lab.rows("stock").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_before_a_run_says_what_the_run_does_and_changes_nothing() {
    let lab = Lab::reference().await;
    let (versions, state) = (lab.versions().await, lab.state().await);
    let (status, plan) = lab.json(&["plan"]);
    assert_eq!((status, &plan["status"]), (Some(0), &json!("planned")));
    assert_eq!(lab.json(&["run", "--dry-run"]).1["batch_id"], plan["batch_id"]);
    assert_eq!(plan["rewrite"]["partitions"], 3);
    assert_eq!(plan["rewrite"]["files"], 1);
    assert_eq!((lab.versions().await, lab.state().await), (versions, state));
    let run = lab.load();
    for field in [
        "batch_id",
        "sequence",
        "window",
        "watermark",
        "counts",
        "late",
        "future",
        "history",
        "ties",
        "dq_errors",
        "checks",
    ] {
        assert_eq!(plan[field], run[field], "{field}");
    }
    let (_, plan) = lab.json(&["plan"]);
    assert_eq!(plan["status"], "already_loaded");
}
