//! Every step × before and after: the process kills itself there, and the same command again must reach the state
//! of one that was never interrupted, in every column of every table.

use std::os::unix::process::ExitStatusExt as _;

use highwater::events::RunStep;
use highwater::model::Strategy;

use crate::common::{Lab, STRATEGIES};
use crate::gate::{CUSTOMER, kept_out, loaded_twice, rejecting, would_pass};

/// Steps of a load after which there is nothing to purge: all but the last.
pub const LOADING: &[RunStep] = RunStep::ALL.split_at(RunStep::ALL.len() - 1).0;

/// Steps of a command that writes, and of those before it the last.
const WRITING: &[RunStep] = LOADING.split_at(5).1;

/// Kills a command before and after each of its steps; the same command again must reach the end of one that was
/// never killed, exit status included.
async fn survives(lab: &Lab, arguments: &[&str], status: i32, steps: &[RunStep]) {
    let whole = lab.copy();
    whole.expect(status, arguments);
    let (versions, state) = (whole.versions().await, whole.state().await);
    assert_ne!(versions, lab.versions().await, "{arguments:?} changes nothing");
    let target = lab.tables[1];
    let name = if target == "stock" { "stock" } else { "orders" };
    for step in steps {
        for side in ["before", "after"] {
            let point = format!("{step}:{side}");
            let crashed = lab.copy();
            crashed.die(arguments, &point);
            let mut numbers = Vec::new();
            for table in [target, "loads_audit", "load_watermarks"] {
                numbers.push(crashed.number(table, name).await);
            }
            assert!(numbers.is_sorted_by(|higher, lower| higher >= lower), "{point}: {numbers:?}");
            crashed.expect(status, arguments);
            assert_eq!(crashed.state().await, state, "{arguments:?} {point}");
            assert_eq!(crashed.versions().await, versions, "{arguments:?} {point}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_any_step_of_orders_then_rerun_equals_the_whole_run() {
    // One row is kept out.
    for strategy in STRATEGIES {
        survives(&Lab::reference().await.written_by(strategy), &["run"], 0, LOADING).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_any_step_of_stock_then_rerun_equals_the_whole_run() {
    // No row is kept out, so nothing is written to the quarantine.
    let steps: Vec<RunStep> = LOADING.iter().copied().filter(|step| *step != RunStep::Quarantine).collect();
    for strategy in STRATEGIES {
        survives(&Lab::stock().await.written_by(strategy), &["run"], 0, &steps).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_any_step_of_a_rejection_then_rerun_leaves_its_evidence_once() {
    let steps = [RunStep::Locate, RunStep::Gate, RunStep::Audit, RunStep::Quarantine];
    survives(&rejecting().await, &["run"], 1, &steps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_any_step_of_a_load_that_closes_entries_then_rerun_equals_the_whole_run() {
    survives(&would_pass().await, &["run"], 0, WRITING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_any_step_of_a_replay_then_rerun_equals_the_whole_replay() {
    survives(&would_pass().await, &["quarantine", "replay"], 0, WRITING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_any_step_of_a_rollback_then_rerun_equals_the_whole_rollback() {
    let steps = [RunStep::Merge, RunStep::Quarantine, RunStep::Audit, RunStep::Watermark];
    for strategy in [Strategy::Builder, Strategy::DeletionVectors] {
        let lab = loaded_twice(strategy).await;
        survives(&lab, &["rollback", "--last"], 0, &steps).await;
        let first = lab.expect(0, &["status"])["batches"][1]["batch_id"].as_str().unwrap().to_owned();
        survives(&lab, &["rollback", "--batch", &first, "--cascade"], 0, &steps).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_around_a_discard_then_rerun_closes_the_entry_once() {
    let discard = ["quarantine", "discard", "--all", "--reason", "a test order"];
    survives(&kept_out().await, &discard, 0, &[RunStep::Quarantine]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_between_a_rejection_and_its_evidence_is_finished_by_any_next_command() {
    let lab = rejecting().await;
    lab.die(&["run"], "audit:after");
    assert_eq!((lab.values("loads_audit").await.len(), lab.entries().await.len()), (1, 0));
    let status = lab.expect(0, &["status"]);
    let next = status["unfinished"]["next"].as_str().unwrap();
    assert!(next.contains("quarantine"), "{status:#}");
    let open = [(103, "open".to_owned())];

    for arguments in [&["run"][..], &["rollback", "--last"], &["quarantine", "replay", "--key", "100"]] {
        let lab = lab.copy();
        let (code, document) = lab.json(arguments);
        assert_eq!(code, Some(i32::from(arguments == ["run"])), "{arguments:?}: {document:#}");
        assert_eq!(lab.entries().await, open, "{arguments:?}");
        lab.must_be_sound(&format!("{arguments:?}"), &["orders"], 1).await;
    }
    // With other rules, that keep the row out: it meets its own evidence, and makes no second entry.
    let other = lab.copy();
    other.edit("action: fail}   # * error_if", "action: quarantine}");
    let document = other.load();
    assert_eq!((&document["counts"]["quarantined"], &document["sequence"]), (&1.into(), &1.into()));
    assert_eq!(other.entries().await, open);
    other.must_be_sound("other rules", &["orders"], 1).await;
    // And with the customer, who came meanwhile: the entry is written, and then closed.
    lab.append("dim_customer", CUSTOMER).await;
    let document = lab.load();
    assert_eq!(document["counts"]["inserted"], 3, "{document:#}");
    assert_eq!(lab.entries().await, [(103, "replayed".to_owned())]);
    lab.must_be_sound("the customer came", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_kept_out_whose_files_are_gone_before_they_are_recorded_are_refused_by_name() {
    for (lab, point) in [(rejecting().await, "audit:after"), (Lab::reference().await, "merge:after")] {
        lab.die(&["run"], point);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(lab.path().join("fact_orders_bad")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "parquet") {
                std::fs::remove_file(&path).unwrap();
                files.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
        assert_eq!(files.len(), 1, "{point}");
        let versions = lab.versions().await;
        for _ in 0..2 {
            let error = lab.expect(4, &["run"]);
            assert!(error["error"]["message"].as_str().unwrap().contains(&files[0]), "{point}: {error:#}");
            assert!(error["error"]["hint"].as_str().unwrap().contains("bring it back"), "{point}: {error:#}");
        }
        assert_eq!(lab.versions().await, versions, "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_batch_is_shown_by_status_and_finished_by_a_run_of_another_day() {
    let lab = Lab::reference().await;
    let crashed = lab.run(&["run", "--fail-at", "audit:before"]);
    assert_eq!(crashed.status.signal(), Some(9));
    let (_, status) = lab.json(&["status"]);
    assert_eq!(status["unfinished"]["next"], "append its audit row");
    let (code, plan) = lab.json(&["plan"]);
    assert_eq!((code, plan["error"]["kind"].as_str()), (Some(3), Some("retry")));

    let (code, next_day) = lab.json(&["run", "--as-of", "2025-09-02"]);
    assert_eq!(code, Some(0));
    assert_eq!(next_day["recovered"], serde_json::json!([status["unfinished"]["batch_id"]]));
    assert_eq!(next_day["sequence"], 2);
    let (_, status) = lab.json(&["status"]);
    assert_eq!(status["unfinished"], serde_json::Value::Null);
    assert_eq!(status["batches"].as_array().unwrap().len(), 2);
}
