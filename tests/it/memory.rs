//! Batches that do not fit `memory`: they are cut by key, and end as batches that fit.

use std::sync::Arc;

use deltalake::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use deltalake::arrow::compute::cast;
use highwater::config::LEAST_MEMORY;
use highwater::engine::Engine;
use highwater::model::Strategy;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::Value;

use crate::common::{Lab, STRATEGIES, rows, seed, setting};

const PIPELINE: &str = "name: p\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.sql}\n\
    unique_key: [id, p]\nupdated_at: at\nincremental: {mode: changes}\nas_of: 2025-09-01\n\
    columns:\n  at:\n    checks:\n      - accepted_range: {max: 2, action: quarantine}\n";
const STAGING: &str = "CREATE TABLE src (id BIGINT, p STRING, at BIGINT, x STRING) USING DELTA";
const TARGET: &str = "CREATE TABLE tgt (id BIGINT NOT NULL, p STRING NOT NULL, at BIGINT, x STRING, \
    load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id, p)) USING DELTA PARTITIONED BY (p)";

fn lab() -> Lab {
    Lab::custom(PIPELINE, &[("src", STAGING), ("tgt", TARGET)])
}

fn hex(number: u64) -> String {
    format!("{number:016x}")
}

/// Stages rows of a KiB each: these keys, of this version.
async fn stage(lab: &Lab, keys: impl Iterator<Item = i64>, at: i64, random: &mut Pcg64) {
    let table = lab.table("src").await;
    let keys: Vec<i64> = keys.collect();
    for keys in keys.chunks(20_000) {
        let text = |_: &i64| (0..64).map(|_| random.random::<u64>()).map(hex).collect::<Vec<_>>().concat();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(keys.to_vec())),
            Arc::new(keys.iter().map(|key| Some(format!("p{}", key % 7))).collect::<StringArray>()),
            Arc::new(Int64Array::from_value(at, keys.len())),
            Arc::new(keys.iter().map(text).map(Some).collect::<StringArray>()),
        ];
        let schema = table.arrow_schema().unwrap();
        let columns =
            columns.iter().zip(schema.fields()).map(|(of, field)| cast(of, field.data_type()).unwrap());
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
        table.append_foreign(vec![batch]).await.unwrap();
    }
}

/// What the target holds, as far as batches of one content are alike.
async fn content(lab: &Lab, table: &str) -> Vec<String> {
    let engine = Engine::new(1 << 30);
    let _known = engine.register("t", lab.table(table).await.rows(&engine.state()).await.unwrap()).unwrap();
    rows(&engine, "SELECT `id`, `p`, `at`, MD5(`x`) AS `x` FROM t").await
}

/// The most memory that the process had by the end of its run, in bytes.
fn peak(document: &Value) -> u64 {
    document["steps"].as_array().unwrap().last().unwrap()["peak_memory"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_that_does_not_fit_ends_like_one_that_does_by_each_strategy_within_its_memory() {
    let mut random = Pcg64::seed_from_u64(seed());
    let wanted = i64::try_from(setting("HIGHWATER_MEMORY_ROWS", 60_000)).unwrap();
    let first = lab();
    stage(&first, 0..wanted / 4, 1, &mut random).await;
    first.load();
    // Updates, doubles, rows that break the check, and new ones.
    stage(&first, (0..wanted).filter(|key| key % 3 > 0), 2, &mut random).await;
    stage(&first, (0..wanted).filter(|key| key % 5 == 0), 1, &mut random).await;
    stage(&first, (0..wanted).filter(|key| key % 50 == 1), 3, &mut random).await;
    let whole = first.copy();
    let expected = whole.load();
    assert_eq!(expected.get("slices"), None, "{expected:#}");
    for class in ["inserted", "updated", "quarantined", "tied", "superseded"] {
        assert!(expected["counts"][class].as_i64().unwrap() > 0, "no row is {class}: {expected:#}");
    }
    let least = format!("memory: {} MiB\n", LEAST_MEMORY >> 20);
    for strategy in STRATEGIES {
        let lab = first.copy().written_by(strategy);
        lab.edit("name: p\n", &format!("name: p\n{least}"));
        if strategy == Strategy::Builder {
            // By itself it gives way to a rewrite.
            let other = lab.copy();
            let by_itself = other.load();
            assert_eq!(by_itself["strategy"]["name"], "rewrite");
            assert!(by_itself["strategy"]["why"].as_str().unwrap().contains("MERGE would hold about"));
            assert_eq!(content(&other, "tgt").await, content(&whole, "tgt").await);
            lab.edit(&least, &format!("{least}merge: {{strategy: builder}}\n"));
        }
        let planned = lab.json(&["plan"]).1;
        let loaded = lab.load();
        assert_eq!(loaded["strategy"]["name"], strategy.as_str());
        let slices = &loaded["slices"];
        // Their bytes differ by how the batches came.
        assert!(
            slices["count"].as_i64().unwrap() > 2 && slices["count"] == planned["slices"]["count"],
            "{planned:#} {loaded:#}"
        );
        for fact in ["counts", "memos", "batch_id", "checks"] {
            assert_eq!(loaded[fact], expected[fact], "{strategy:?}");
        }
        for table in ["tgt", "tgt_bad"] {
            assert_eq!(content(&lab, table).await, content(&whole, table).await, "{strategy:?}");
        }
        assert_eq!(lab.load()["status"], "already_loaded");
        // A debug build is larger than one that is handed out: what counts is what the rows take. What delta-rs's MERGE
        // holds beside the pool is not ours to count.
        let most = if strategy == Strategy::Builder { LEAST_MEMORY * 3 / 4 } else { LEAST_MEMORY / 2 };
        let (_, idle) = lab.json(&["run", "--as-of", "2025-09-02"]);
        let taken = peak(&loaded) - peak(&idle);
        assert!(taken < most, "{} MiB by {strategy:?}", taken >> 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_key_that_do_not_fit_together_are_refused_with_the_memory_that_they_need() {
    let mut random = Pcg64::seed_from_u64(seed());
    let lab = lab();
    stage(&lab, std::iter::repeat_n(7, 60_000), 1, &mut random).await;
    lab.edit("name: p\n", &format!("name: p\nmemory: {} MiB\n", LEAST_MEMORY >> 20));
    let before = lab.state().await;
    for command in ["plan", "run"] {
        let (status, document) = lab.json(&[command]);
        let error = document["error"].to_string();
        assert_eq!(status, Some(2), "{document:#}");
        assert!(error.contains("cannot be cut small enough"), "{document:#}");
    }
    assert_eq!(lab.state().await, before);
    let (_, document) = lab.json(&["run"]);
    let hint = document["error"]["hint"].as_str().unwrap();
    let needed = hint.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap();
    lab.edit(&format!("{} MiB", LEAST_MEMORY >> 20), &format!("{needed} MiB"));
    assert_eq!(lab.load()["counts"]["inserted"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_run_leaves_no_spooled_rows_behind_and_no_room_for_them_is_told() {
    let mut random = Pcg64::seed_from_u64(seed());
    let lab = lab();
    stage(&lab, 0..60_000, 1, &mut random).await;
    lab.edit("name: p\n", &format!("name: p\nmemory: {} MiB\n", LEAST_MEMORY >> 20));
    let spool = tempfile::tempdir().unwrap();
    let killed = lab.command(&["run", "--fail-at", "gate"]).env("TMPDIR", spool.path()).output().unwrap();
    assert_eq!(killed.status.code(), None, "{killed:?}");
    let left = std::fs::read_dir(spool.path()).unwrap().flatten().map(|entry| entry.path());
    let left: Vec<_> =
        left.filter(|path| path.is_file() || std::fs::read_dir(path).unwrap().count() > 0).collect();
    assert!(left.is_empty(), "{left:?}");
    let nowhere = spool.path().join("nowhere");
    let output = lab.command(&["run"]).env("TMPDIR", &nowhere).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("nowhere") && told.contains("TMPDIR"), "{told}");
    assert_eq!(lab.load()["counts"]["inserted"], 60_000);
}
