//! Processes that are killed while they bring files in, and several at once.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

use super::{filled, places, rows};
use crate::common::{Lab, batch, seed, setting};

/// What every table holds, apart from what a process chose by chance.
async fn state(lab: &Lab) -> Vec<Vec<Value>> {
    let mut state = Vec::new();
    for table in ["src", "ingest_files", "ingest_corrupt"] {
        let mut found = rows(lab, table).await;
        found.sort_by_key(ToString::to_string);
        state.push(found);
    }
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_commit_is_finished_by_whoever_comes_next() {
    let lab = filled();
    let whole = lab.copy();
    assert_eq!(whole.json(&["ingest"]).0, Some(0));
    let expected = state(&whole).await;
    assert_eq!(expected.iter().map(Vec::len).collect::<Vec<_>>(), [588, 12, 12]);
    for point in ["ingest", "ingest-corrupt", "ingest-ledger"] {
        for side in ["before", "after"] {
            for next in ["ingest", "run"] {
                let crashed = lab.copy();
                let at = format!("{point}:{side}");
                let output = crashed.run(&["ingest", "--fail-at", &at]);
                assert_eq!(output.status.signal(), Some(9), "{at}: {output:?}");
                let is_decided = at != "ingest:before";
                if is_decided {
                    // It reads no file.
                    std::fs::remove_dir_all(crashed.path().join("raw")).unwrap();
                    std::fs::create_dir(crashed.path().join("raw")).unwrap();
                }
                let (status, document) = crashed.json(&[next]);
                assert_eq!(status, Some(0), "{at}: {document:#}");
                assert_eq!(state(&crashed).await, expected, "{at}, {next}");
                let versions = crashed.versions().await;
                assert_eq!(crashed.json(&["ingest"]).1["status"], "nothing_new", "{at}");
                assert_eq!(crashed.versions().await, versions, "{at}");
                assert_eq!((versions["src"], versions["ingest_files"]), (1, 1), "{at}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_crashes_after_its_files_came_in_loads_them_the_next_time() {
    let lab = filled();
    let whole = lab.copy();
    whole.load();
    for point in ["ingest:after", "merge:before", "merge:after", "audit:after"] {
        let crashed = lab.copy();
        let output = crashed.run(&["run", "--fail-at", point]);
        assert_eq!(output.status.signal(), Some(9), "{point}: {output:?}");
        crashed.load();
        assert_eq!(state(&crashed).await, state(&whole).await, "{point}");
        let ids = |rows: Vec<Value>| rows.iter().map(|row| row["id"].to_string()).collect::<Vec<_>>();
        assert_eq!(ids(rows(&crashed, "tgt").await), ids(rows(&whole, "tgt").await), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_killed_at_random_instants_lose_nothing_and_double_nothing() {
    let mut random = StdRng::seed_from_u64(seed());
    let lab = filled();
    let whole = lab.copy();
    assert_eq!(whole.json(&["ingest"]).0, Some(0));
    let expected = places(&whole).await;
    for case in 0..setting("HIGHWATER_INGEST_KILLS", 12) {
        let crashed = lab.copy();
        for _ in 0..3 {
            let mut child =
                crashed.command(&["ingest"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(random.random_range(30..350))).await;
            let _ = child.kill();
            child.wait().unwrap();
        }
        let (status, document) = crashed.json(&["ingest"]);
        assert_eq!(status, Some(0), "case {case}: {document:#}");
        assert_eq!(places(&crashed).await, expected, "case {case}");
        assert_eq!(rows(&crashed, "ingest_files").await.len(), 12, "case {case}");
        assert_eq!(rows(&crashed, "ingest_corrupt").await.len(), 12, "case {case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_at_once_bring_each_file_in_once_while_others_write_to_staging() {
    for _ in 0..setting("HIGHWATER_INGEST_RACES", 4) {
        let lab = filled();
        let children: Vec<_> = (0..4)
            .map(|at| {
                let command = if at == 3 { "run" } else { "ingest" };
                let mut command = lab.command(&[command]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        // By the same way as the processes: what goes past a server, that server cannot keep apart from a commit of theirs.
        let other = lab.opened().await;
        for number in 0..5 {
            let staging = other.lake.open("src", &other.pipeline.source.table).await.unwrap();
            let row = format!(
                "{{\"id\": {}, \"v\": 1, \"source_file\": \"other\", \"source_row\": 1}}",
                10_000 + number
            );
            staging.append_foreign(vec![batch(&staging, &row)]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
        let found = places(&lab).await;
        assert_eq!(found.len(), 588 + 5);
        let mut distinct = found.clone();
        distinct.dedup();
        assert_eq!(distinct, found);
        assert_eq!(rows(&lab, "ingest_files").await.len(), 12);
        assert_eq!(rows(&lab, "ingest_corrupt").await.len(), 12);
    }
}
