//! Several processes at once reach the state of one.

use std::process::Stdio;

use serde_json::Value;

use crate::common::{Lab, setting};

/// Starts all commands at once; gives their documents, and whether any lost a commit to another.
fn race(lab: &Lab, files: &[&str]) -> (Vec<Value>, bool) {
    let children: Vec<_> = files
        .iter()
        .map(|file| {
            let mut command = lab.command_with(file, &["run", "--json"]);
            command.env("RUST_LOG", "highwater::lake=info");
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let mut lost = false;
    let mut documents = Vec::new();
    for output in outputs {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        lost |= log.contains("commit lost to another");
        assert_eq!(output.status.code(), Some(0), "{log}");
        documents.push(serde_json::from_slice(&output.stdout).unwrap());
    }
    (documents, lost)
}

fn rounds() -> u64 {
    setting("HIGHWATER_RACE_ROUNDS", 8)
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_batch_at_once_reach_the_state_of_one_run() {
    for lab in [Lab::reference().await, Lab::stock().await] {
        let whole = lab.copy();
        whole.load();
        let (versions, state) = (whole.versions().await, whole.state().await);
        let mut met = 0;
        for round in 0..rounds() {
            let raced = lab.copy();
            let runs = 2 + usize::try_from(round % 3).unwrap();
            let (documents, lost) = race(&raced, &vec![raced.file.as_str(); runs]);
            met += u64::from(lost);
            assert!(documents.iter().any(|document| document["status"] == "loaded"));
            assert_eq!(raced.state().await, state);
            assert_eq!(raced.versions().await, versions);
        }
        println!("{met} of {} rounds met at a commit", rounds());
        assert!(met > 0, "no two runs ever reached the same commit");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_configs_of_one_pipeline_at_once_load_one_batch_each() {
    let lab = Lab::reference().await;
    let other = lab.variant("other.yaml", "lookback: 7 days", "lookback: 3 days");
    let mut met = 0;
    for _ in 0..rounds() {
        let raced = lab.copy();
        let (documents, lost) = race(&raced, &[&raced.file, &other, &raced.file]);
        met += u64::from(lost);
        assert_ne!(documents[0]["batch_id"], documents[1]["batch_id"]);
        assert_eq!(documents[0]["batch_id"], documents[2]["batch_id"]);
        // Whichever came first wrote the rows; the other found them unchanged.
        assert_eq!(raced.rows("fact_orders").await.len(), 4);
        let inserted = |document: &Value| document["counts"]["inserted"].as_i64().unwrap();
        assert_eq!(inserted(&documents[0]) + inserted(&documents[1]), 3);
        assert_eq!(raced.rows("loads_audit").await.len(), 2);
        assert_eq!(raced.rows("load_watermarks").await.len(), 2);
        assert_eq!(raced.versions().await["fact_orders"], 3);
    }
    println!("{met} of {} rounds met at a commit", rounds());
    assert!(met > 0, "no two runs ever reached the same commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pipelines_into_one_target_at_once_keep_one_row_a_key() {
    let lab = Lab::reference().await;
    let other = lab.variant("other.yaml", "name: orders", "name: orders_too");
    let mut met = 0;
    for _ in 0..rounds() {
        let raced = lab.copy();
        let (documents, lost) = race(&raced, &[&raced.file, &other]);
        met += u64::from(lost);
        for document in &documents {
            assert_eq!((&document["status"], &document["sequence"]), (&"loaded".into(), &1.into()));
        }
        assert_eq!(raced.rows("fact_orders").await.len(), 4);
        for pipeline in ["orders", "orders_too"] {
            for table in ["fact_orders", "loads_audit", "load_watermarks"] {
                assert_eq!(raced.number(table, pipeline).await, 1, "{pipeline} in {table}");
            }
        }
    }
    println!("{met} of {} rounds met at a commit", rounds());
    assert!(met > 0, "no two runs ever reached the same commit");
}
