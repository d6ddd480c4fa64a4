//! Every step × before and after: the process kills itself there, and the next run must reach the state
//! of a run that was never interrupted, in every column of every table.

use std::os::unix::process::ExitStatusExt as _;

use highwater::hooks::RunStep;

use crate::common::Lab;

async fn every_step_survives(lab: Lab, pipeline: &str) {
    let whole = lab.copy();
    whole.load();
    let (versions, state) = (whole.versions().await, whole.state().await);
    for step in RunStep::ALL {
        for side in ["before", "after"] {
            let point = format!("{step}:{side}");
            let crashed = lab.copy();
            let output = crashed.run(&["run", "--fail-at", &point]);
            assert_eq!(output.status.signal(), Some(9), "{point} was not reached: {output:?}");
            let fact = crashed.number(crashed.tables[1], pipeline).await;
            let audit = crashed.number("loads_audit", pipeline).await;
            let watermark = crashed.number("load_watermarks", pipeline).await;
            assert!(fact >= audit && audit >= watermark, "{point}: {fact} {audit} {watermark}");

            let done = crashed.load();
            let expected = if watermark == 1 { "already_loaded" } else { "loaded" };
            assert_eq!(done["status"], expected, "{point}");
            assert_eq!(crashed.state().await, state, "{point}");
            assert_eq!(crashed.versions().await, versions, "{point}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_any_step_of_orders_then_rerun_equals_the_whole_run() {
    every_step_survives(Lab::reference().await, "orders").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_any_step_of_stock_then_rerun_equals_the_whole_run() {
    every_step_survives(Lab::stock().await, "stock").await;
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
