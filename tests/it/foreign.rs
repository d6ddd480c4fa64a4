//! Other hands on the tables: writers, maintenance, RESTORE, bad rows, and a row lost on the way.

use std::sync::Mutex;

use chrono::TimeDelta;
use highwater::events::{Began, Event, Events, Listener, RunStep};
use highwater::fail_points::FailPoints;
use highwater::hooks::Hooks;
use highwater::plan::Accepted;
use highwater::run::{Ending, run};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::common::{Lab, clock};

/// Does something once, when a step begins.
pub struct Once<F> {
    pub step: RunStep,
    pub action: Mutex<Option<F>>,
}

impl<F: FnOnce() + Send> Listener for Once<F> {
    fn hear(&self, event: &Event) {
        if let Event::Began(Began { step, .. }) = event
            && *step == self.step
            && let Some(action) = self.action.lock().unwrap().take()
        {
            action();
        }
    }
}

fn order(id: i32, date: &str, at: &str, amount: &str) -> String {
    format!(
        r#"{{"order_id":{id},"customer_id":1,"order_date":"{date}","updated_at":"{at}","total_amount":"{amount}"}}"#
    )
}

/// Runs a load, in the middle of which another writer appends this row to the target.
async fn load_with_a_writer_in_the_middle(lab: &Lab, row: String) -> highwater::run::Report {
    let table = lab.table("fact_orders").await;
    let action = move || {
        let append = table.append_foreign(vec![crate::common::batch(&table, &row)]);
        block_in_place(|| Handle::current().block_on(append)).unwrap();
    };
    let watch = Once { step: RunStep::Merge, action: Mutex::new(Some(action)) };
    let hooks = Hooks { events: Events::default().with(watch), ..Hooks::default() };
    let mut opened = lab.opened().await;
    run(&mut opened, clock(), &hooks, Accepted::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_of_other_keys_in_the_middle_loses_and_doubles_nothing() {
    let lab = Lab::ungated().await;
    let row = order(7, "2025-08-20", "2025-08-20T00:00:00Z", "7.00");
    let report = load_with_a_writer_in_the_middle(&lab, row).await;
    assert_eq!(report.ending, Ending::Loaded);
    assert_eq!((report.counts.inserted, report.counts.updated), (3, 1));
    assert_eq!(lab.rows("fact_orders").await.len(), 5);
    assert_eq!(lab.load()["status"], "already_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_of_the_same_key_in_the_middle_leaves_one_row_a_key() {
    let lab = Lab::ungated().await;
    // In another partition, older than what staging holds.
    let row = order(100, "2025-08-20", "2025-08-20T00:00:00Z", "1.00");
    let report = load_with_a_writer_in_the_middle(&lab, row).await;
    assert_eq!((report.counts.inserted, report.counts.updated), (2, 2));
    let fact = lab.rows("fact_orders").await;
    assert_eq!(fact.len(), 4);
    assert!(fact.iter().any(|row| row.contains(r#""order_id":100"#) && row.contains("49.00")));
}

#[tokio::test(flavor = "multi_thread")]
async fn optimize_and_vacuum_of_staging_make_no_new_batch() {
    for lab in [Lab::reference().await, Lab::stock().await] {
        let staging = lab.tables[0];
        lab.load();
        // A second file, so that OPTIMIZE has something to do; it is loaded first.
        let row = if staging == "staging_stock" {
            r#"{"warehouse":"south","item":9,"revision":1,"quantity":1}"#.to_owned()
        } else {
            order(200, "2025-08-30", "2025-08-30T00:00:00Z", "2.00")
        };
        lab.append(staging, &row).await;
        assert_eq!(lab.load()["counts"]["inserted"], 1);
        let state = lab.state().await;

        let (table, metrics) = lab.delta(staging).await.optimize().await.unwrap();
        assert!(metrics.num_files_removed >= 2, "{metrics:?}");
        assert_eq!(lab.load()["status"], "already_loaded");
        let (_, vacuumed) = table
            .vacuum()
            .with_retention_period(TimeDelta::zero())
            .with_enforce_retention_duration(false)
            .await
            .unwrap();
        assert!(!vacuumed.files_deleted.is_empty());
        assert_eq!(lab.load()["status"], "already_loaded");
        let after = lab.state().await;
        assert_eq!(after[lab.tables[1]], state[lab.tables[1]]);
        assert_eq!(after["loads_audit"], state["loads_audit"]);

        // What arrives later is still told from what was there, though its neighbours moved.
        let row = row.replace("200", "201").replace(r#""item":9"#, r#""item":10"#);
        lab.append(staging, &row).await;
        let (code, next) = lab.json(&["run", "--as-of", "2025-09-02"]);
        assert_eq!((code, &next["counts"]["inserted"]), (Some(0), &1.into()), "{next:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compacted_and_vacuumed_arrivals_are_still_loaded_by_arrival() {
    let lab = Lab::stock().await;
    lab.load();
    for item in 20..23 {
        let row = format!(r#"{{"warehouse":"east","item":{item},"revision":1,"quantity":{item}}}"#);
        lab.append("staging_stock", &row).await;
    }
    let compacted = lab.copy();
    let (table, _) = compacted.delta("staging_stock").await.optimize().await.unwrap();
    let vacuumed = compacted.copy();
    drop(table);
    let table = vacuumed.delta("staging_stock").await;
    let vacuum = table.vacuum().with_retention_period(TimeDelta::zero());
    vacuum.with_enforce_retention_duration(false).await.unwrap();

    for (lab, staged) in [(lab, 3), (compacted, 3), (vacuumed, 9)] {
        let (code, next) = lab.json(&["run", "--as-of", "2025-09-02"]);
        assert_eq!(code, Some(0), "{next:#}");
        assert_eq!(next["counts"]["inserted"], 3);
        // After VACUUM the compacted file is read, which holds the older rows too; the guard knows them.
        assert_eq!(next["counts"]["staged"], staged);
        assert_eq!(lab.rows("stock").await.len(), 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logical_dates_out_of_order_and_again_add_nothing_the_second_time() {
    let lab = Lab::ungated().await;
    let days = ["2025-09-01", "2025-08-28", "2025-08-30", "2025-09-02"];
    for day in days {
        let (code, document) = lab.json(&["run", "--as-of", day]);
        assert_eq!((code, &document["status"]), (Some(0), &"loaded".into()), "{document:#}");
        // The live watermark never goes back.
        assert_eq!(document["watermark"]["after"], "2025-08-31");
    }
    let (versions, state) = (lab.versions().await, lab.state().await);
    for day in days {
        let (code, document) = lab.json(&["run", "--as-of", day]);
        assert_eq!((code, &document["status"]), (Some(0), &"already_loaded".into()));
    }
    assert_eq!((lab.versions().await, lab.state().await), (versions, state));
    assert_eq!(lab.rows("fact_orders").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_row_that_arrived_since_is_loaded_and_counted() {
    let lab = Lab::reference().await;
    lab.load();
    lab.append("staging_orders", &order(300, "2025-03-01", "2025-09-01T01:00:00Z", "3.00")).await;
    lab.append("staging_orders", &order(301, "2025-09-09", "2025-09-01T01:00:00Z", "3.00")).await;
    let (_, document) = lab.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!(document["late"], 1);
    assert_eq!(document["future"], 1);
    assert_eq!(document["counts"]["inserted"], 1);
    assert!(lab.rows("fact_orders").await.iter().any(|row| row.contains(r#""order_id":300"#)));
}

#[tokio::test(flavor = "multi_thread")]
async fn late_row_is_only_counted_if_configured_so() {
    let lab = Lab::reference().await;
    lab.load();
    lab.edit("late: load", "late: skip");
    lab.append("staging_orders", &order(300, "2025-03-01", "2025-09-01T01:00:00Z", "3.00")).await;
    let (_, document) = lab.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!((&document["late"], &document["counts"]["inserted"]), (&1.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_of_the_target_by_another_hand_is_refused_until_it_is_taken_back() {
    let lab = Lab::ungated().await;
    lab.load();
    let (target, _) = lab.delta("fact_orders").await.restore().with_version_to_restore(1).await.unwrap();
    let (code, document) = lab.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!(code, Some(4));
    assert!(document["error"]["message"].as_str().unwrap().contains("restored_by_another"));
    assert!(document["error"]["hint"].as_str().unwrap().contains("version 2"));
    target.restore().with_version_to_restore(2).await.unwrap();
    let (code, _) = lab.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!(code, Some(0));
    assert_eq!(lab.rows("fact_orders").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_lost_on_the_way_to_the_merge_is_noticed_and_the_batch_undone() {
    let lab = Lab::ungated().await;
    let before = lab.rows("fact_orders").await;
    let hooks = Hooks { fail_points: FailPoints { lose_a_row: true, fail_at: None }, ..Hooks::default() };
    let mut opened = lab.opened().await;
    let error = run(&mut opened, clock(), &hooks, Accepted::default()).await.unwrap_err();
    assert_eq!(error.kind().exit_status(), 4);
    assert!(error.to_string().contains("did not balance"), "{error}");
    assert_eq!(lab.rows("fact_orders").await, before);
    let audit = lab.rows("loads_audit").await;
    assert_eq!(audit.len(), 1);
    assert!(audit[0].contains(r#""status":"failed""#) && audit[0].contains(r#""kind":"rollback""#));

    let document = lab.load();
    assert_eq!((&document["status"], &document["sequence"]), (&"loaded".into(), &3.into()));
    assert_eq!(lab.rows("fact_orders").await.len(), 4);
    assert_eq!(document["watermark"]["after"], "2025-08-31");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_required_value_reject_the_batch_once() {
    for (column, row) in [
        ("order_id", r#"{"order_id":null,"order_date":"2025-08-30","updated_at":"2025-08-30T00:00:00Z"}"#),
        ("updated_at", r#"{"order_id":400,"order_date":"2025-08-30","updated_at":null}"#),
        ("order_date", r#"{"order_id":400,"order_date":null,"updated_at":"2025-08-30T00:00:00Z"}"#),
    ] {
        let lab = Lab::reference().await;
        lab.append("staging_orders", row).await;
        let before = (lab.rows("fact_orders").await, lab.versions().await);
        let (code, document) = lab.json(&["run"]);
        assert_eq!((code, &document["status"]), (Some(1), &"rejected".into()), "{document:#}");
        assert!(document["reason"].as_str().unwrap().contains(&format!("NULL in `{column}`")));
        assert_eq!(document["counts"]["staged"], 6);
        assert_eq!(document["counts"]["deduped"], 5);
        // The row that lacks a value and the orphan are kept as evidence.
        assert_eq!(
            (&document["counts"]["quarantined"], &document["counts"]["rejected"]),
            (&2.into(), &3.into())
        );
        assert_eq!(document["sequence"], serde_json::Value::Null);
        let after = lab.versions().await;
        assert_eq!(lab.rows("fact_orders").await, before.0);
        assert_eq!(after["fact_orders"], before.1["fact_orders"]);
        assert_eq!(after["load_watermarks"], before.1["load_watermarks"]);
        assert_eq!(after["loads_audit"], before.1["loads_audit"] + 1);

        let (code, again) = lab.json(&["run"]);
        assert_eq!((code, &again["batch_id"]), (Some(1), &document["batch_id"]));
        assert_eq!(lab.versions().await, after);
        let (code, plan) = lab.json(&["plan"]);
        assert_eq!((code, &plan["status"]), (Some(0), &"planned".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tie_with_the_target_follows_the_rule() {
    let tie = order(101, "2025-08-28", "2025-08-30T12:30:00Z", "99.00");
    for (rule, code, status, amount) in [
        ("keep", 0, "loaded", "22.00"),
        ("replace_if_different", 0, "loaded", "99.00"),
        ("fail", 1, "rejected", "22.00"),
    ] {
        let lab = Lab::ungated().await;
        lab.load();
        lab.edit("on_tie: keep", &format!("on_tie: {rule}"));
        // The tie is alone in its batch: the older rows of staging are gone.
        let staging = lab.delta("staging_orders").await;
        staging.delete().await.unwrap();
        lab.append("staging_orders", &tie).await;
        let (exit, document) = lab.json(&["run"]);
        assert_eq!((exit, &document["status"]), (Some(code), &status.into()), "{document:#}");
        let fact = lab.rows("fact_orders").await;
        assert!(fact.iter().any(|row| row.contains(r#""order_id":101"#) && row.contains(amount)), "{rule}");
        let ties = &document["ties"];
        let expected = match rule {
            "keep" => (1, 0, 1, 0),
            "replace_if_different" => (0, 1, 0, 1),
            _ => (0, 0, 0, 0),
        };
        let (kept, replaced, tied, updated) = expected;
        assert_eq!((&ties["kept"], &ties["replaced"]), (&kept.into(), &replaced.into()), "{rule}");
        let counts = &document["counts"];
        assert_eq!((&counts["tied"], &counts["updated"]), (&tied.into(), &updated.into()), "{rule}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_that_the_target_holds_twice_is_refused_with_its_name() {
    let lab = Lab::reference().await;
    lab.append("fact_orders", &order(101, "2025-08-20", "2025-08-20T00:00:00Z", "1.00")).await;
    let before = lab.versions().await;
    let (code, document) = lab.json(&["run"]);
    assert_eq!(code, Some(4));
    assert!(document["error"]["message"].as_str().unwrap().contains("order_id=101"));
    assert_eq!(lab.versions().await, before);
}
