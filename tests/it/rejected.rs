//! Batches that the gate rejects: what they leave behind, and how they load after all.

use serde_json::{Value, json};

use crate::common::Lab;
use crate::gate::{CUSTOMER, KNOWN, order, rejecting};

/// Everything but the audit table and the quarantine.
const UNTOUCHED: [&str; 2] = ["fact_orders", "load_watermarks"];

async fn audited(lab: &Lab, status: &str) -> Vec<Value> {
    let rows = lab.values("loads_audit").await;
    rows.into_iter().filter(|row| row["status"] == status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_batch_changes_neither_target_nor_watermark_and_tells_why() {
    let lab = rejecting().await;
    let before = lab.versions().await;
    let document = lab.expect(1, &["run"]);
    assert_eq!((&document["status"], &document["sequence"]), (&"rejected".into(), &Value::Null));
    assert_eq!(document["watermark"], json!({"before": null, "after": null}));
    let counts = &document["counts"];
    let told = ["staged", "superseded", "deduped", "quarantined", "rejected", "inserted"]
        .map(|name| counts[name].as_i64().unwrap());
    assert_eq!(told, [5, 1, 4, 1, 3, 0]);
    assert!(document["reason"].as_str().unwrap().contains("order_id=103"), "{document:#}");
    let after = lab.versions().await;
    for table in UNTOUCHED {
        assert_eq!(after[table], before[table], "{table}");
    }

    let audit = audited(&lab, "rejected").await;
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0]["batch_id"], document["batch_id"]);
    assert_eq!((&audit[0]["sequence"], &audit[0]["dq_errors"]), (&Value::Null, &1.into()));
    let checks = audit[0]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), document["checks"].as_array().unwrap().len());
    let check = checks.iter().find(|check| check["name"] == KNOWN).unwrap();
    assert_eq!((&check["verdict"], &check["action"]), (&"failed".into(), &"fail".into()));
    assert_eq!((&check["examined"], &check["failed"]), (&4.into(), &1.into()));

    let evidence = lab.values("fact_orders_bad").await;
    assert_eq!(evidence.len(), 1);
    assert_eq!(evidence[0]["dq_batch_id"], document["batch_id"]);
    assert_eq!(evidence[0]["dq_errors"][0]["check"], KNOWN);
    lab.must_be_sound("rejected", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn same_rejection_again_adds_nothing() {
    let lab = rejecting().await;
    let first = lab.expect(1, &["run"]);
    let (versions, state) = (lab.versions().await, lab.state().await);
    for _ in 0..2 {
        let again = lab.expect(1, &["run"]);
        for field in ["batch_id", "counts", "checks", "reason", "dq_errors"] {
            assert_eq!(again[field], first[field], "{field}");
        }
    }
    assert_eq!((lab.versions().await, lab.state().await), (versions, state));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_batch_loads_when_its_customer_came_and_closes_its_evidence() {
    let lab = rejecting().await;
    lab.expect(1, &["run"]);
    lab.append("dim_customer", CUSTOMER).await;
    let document = lab.load();
    assert_eq!((&document["counts"]["inserted"], &document["sequence"]), (&3.into(), &1.into()));
    assert_eq!(document["watermark"]["after"], "2025-08-31");
    let entry = &lab.values("fact_orders_bad").await[0];
    assert_eq!((&entry["dq_status"], &entry["dq_resolution"]), (&"replayed".into(), &document["batch_id"]));
    assert_eq!(lab.expect(0, &["run"])["status"], "already_loaded");
    lab.must_be_sound("loaded", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_row_that_mends_the_order_loads_and_leaves_the_older_one_as_evidence() {
    let lab = rejecting().await;
    lab.expect(1, &["run"]);
    lab.append("staging_orders", &order(103, 1, "2025-09-01", 9, "105.00")).await;
    let document = lab.load();
    assert_eq!((&document["counts"]["inserted"], &document["counts"]["superseded"]), (&3.into(), &2.into()));
    // That row never passed. A replay finds the newer one.
    assert_eq!(lab.entries().await, [(103, "open".to_owned())]);
    lab.append("dim_customer", CUSTOMER).await;
    assert_eq!(lab.expect(0, &["quarantine", "replay"])["counts"]["stale"], 1);
    assert_eq!(lab.entries().await, [(103, "stale".to_owned())]);
    lab.must_be_sound("mended", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_check_lets_the_batch_load_once_and_the_audit_row_says_so() {
    let lab = rejecting().await;
    let rejected = lab.expect(1, &["run"]);
    let accept = ["run", "--accept", KNOWN, "--reason", "customer 9 is on its way"];
    let document = lab.expect(0, &accept);
    assert_eq!((&document["status"], &document["counts"]["inserted"]), (&"loaded".into(), &3.into()));
    assert_ne!(document["batch_id"], rejected["batch_id"]);
    let audit = audited(&lab, "loaded").await;
    assert_eq!(audit.len(), 1);
    let reason = audit[0]["reason"].as_str().unwrap();
    assert!(reason.contains(KNOWN) && reason.contains("on its way"), "{reason}");
    let checks = audit[0]["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == KNOWN).unwrap();
    assert_eq!(check["verdict"], "accepted");
    assert_eq!(lab.entries().await, [(103, "replayed".to_owned())]);

    let versions = lab.versions().await;
    for again in [&["run"][..], &accept] {
        let again = lab.expect(0, again);
        assert_eq!((&again["status"], &again["batch_id"]), (&"already_loaded".into(), &document["batch_id"]));
    }
    assert_eq!(lab.versions().await, versions);
    // It was let pass once: the next batch is judged as ever.
    lab.append("staging_orders", &order(104, 8, "2025-09-01", 1, "4.00")).await;
    assert_eq!(lab.expect(1, &["run"])["status"], "rejected");
    assert_eq!(lab.entries().await, [(103, "replayed".to_owned()), (104, "open".to_owned())]);
    lab.must_be_sound("accepted", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_that_nobody_can_accept_are_usage_errors_and_change_nothing() {
    let lab = rejecting().await;
    let versions = lab.versions().await;
    for command in [&["run"][..], &["check"], &["plan"], &["quarantine", "replay"]] {
        for (name, hint) in [("nope", KNOWN), ("not_null_order_id", "mend the rows")] {
            let arguments = [command, &["--accept", name, "--reason", "x"]].concat();
            let error = lab.expect(2, &arguments);
            assert!(error["error"]["hint"].as_str().unwrap().contains(hint), "{error:#}");
        }
        assert_eq!(lab.run(&[command, &["--accept", KNOWN]].concat()).status.code(), Some(2));
    }
    assert_eq!(lab.versions().await, versions);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_alone_tells_what_a_run_would_and_changes_nothing() {
    let lab = rejecting().await;
    let (versions, state) = (lab.versions().await, lab.state().await);
    let checked = lab.expect(1, &["check"]);
    assert_eq!(checked["status"], "rejected");
    assert_eq!(lab.expect(0, &["check", "--accept", KNOWN, "--reason", "x"])["status"], "passed");
    // A plan says so too, but has done what it was asked for.
    assert_eq!(lab.expect(0, &["plan"])["reason"], checked["reason"]);
    assert_eq!((lab.versions().await, lab.state().await), (versions, state));

    assert_eq!(lab.expect(1, &["run"])["checks"], checked["checks"]);
    let versions = lab.versions().await;
    assert_eq!(lab.expect(1, &["check"])["status"], "rejected");
    lab.append("dim_customer", CUSTOMER).await;
    assert_eq!(lab.expect(0, &["check"])["status"], "passed");
    assert_eq!(lab.versions().await["loads_audit"], versions["loads_audit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_judged_by_another_history_is_another_rejection() {
    let lab = Lab::reference().await;
    lab.edit("min_history: 3, action: warn", "min_history: 1, action: fail");
    lab.load();
    // Twenty orders of the next day, after a load of four.
    let rows: String = (200..220).map(|id| order(id, 1, "2025-09-02", 1, "1.00")).collect();
    lab.append("staging_orders", &rows).await;
    let next = ["run", "--as-of", "2025-09-02"];
    let first = lab.expect(1, &next);
    assert!(first["reason"].as_str().unwrap().contains("row_count_change"), "{first:#}");
    assert_eq!(lab.expect(1, &next)["batch_id"], first["batch_id"]);
    assert_eq!(audited(&lab, "rejected").await.len(), 1);

    // Two rows: within half of four, and one more load to judge by.
    assert_eq!(lab.expect(0, &["run", "--as-of", "2025-08-28"])["status"], "loaded");
    let second = lab.expect(1, &next);
    assert_ne!(second["batch_id"], first["batch_id"]);
    assert_eq!(lab.expect(1, &next)["batch_id"], second["batch_id"]);
    assert_eq!(audited(&lab, "rejected").await.len(), 2);

    // A load that was taken back is no history: the first verdict holds again, and is not written again.
    lab.expect(0, &["rollback", "--last"]);
    assert_eq!(lab.expect(1, &next)["batch_id"], first["batch_id"]);
    assert_eq!(audited(&lab, "rejected").await.len(), 2);
    // Without any history, there is nothing to judge by.
    let loaded = audited(&lab, "loaded").await.into_iter().find(|row| row["sequence"] == 1).unwrap();
    lab.expect(0, &["rollback", "--batch", loaded["batch_id"].as_str().unwrap()]);
    assert_eq!(lab.expect(0, &next)["counts"]["inserted"], 22);
    lab.must_be_sound("history", &["orders"], 1).await;
}
