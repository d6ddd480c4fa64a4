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
    // There is no gate yet: order 103 of the unknown customer 9 loads, and moves the watermark by a day.
    assert_eq!(document["watermark"], json!({"before": null, "after": "2025-08-31"}));
    assert_eq!(
        document["counts"],
        json!({"staged": 5, "duplicate": 0, "superseded": 1, "deduped": 4, "inserted": 3, "updated": 1,
               "stale": 0, "unchanged": 0, "tied": 0, "quarantined": 0, "rejected": 0, "deleted": 0})
    );
    let fact = lab.rows("fact_orders").await;
    assert_eq!(fact.len(), 4);
    let order = |id: &str| fact.iter().find(|row| row.contains(&format!("\"order_id\":{id},"))).unwrap();
    assert!(order("101").contains(r#""total_amount":22.00"#), "{}", order("101"));
    assert!(order("101").contains("2025-08-30T12:30:00Z"), "{}", order("101"));
    assert!(order("103").contains(r#""customer_id":9"#), "{}", order("103"));
    let watermarks = lab.rows("load_watermarks").await;
    assert_eq!(watermarks.len(), 1);
    assert!(watermarks[0].contains(r#""watermark":"2025-08-31""#), "{}", watermarks[0]);
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
    assert_eq!(plan["rewrite"]["partitions"], 4);
    assert_eq!(plan["rewrite"]["files"], 1);
    assert_eq!((lab.versions().await, lab.state().await), (versions, state));
    let run = lab.load();
    for field in ["batch_id", "sequence", "window", "watermark", "counts", "late", "future", "ties"] {
        assert_eq!(plan[field], run[field], "{field}");
    }
    let (_, plan) = lab.json(&["plan"]);
    assert_eq!(plan["status"], "already_loaded");
}
