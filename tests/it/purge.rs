//! Files that a load writes anew, for what deletion vectors leave behind, and the order of rows in files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use highwater::config::Location;
use highwater::events::{Began, Event, Events, Listener, RunStep};
use highwater::hooks::Hooks;
use highwater::lake::Lake;
use highwater::plan::Accepted;
use highwater::run::{Ending, run};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::{Value, json};

use crate::common::{Lab, batch, clock, json_of, seed, setting};

const COLUMNS: &str = "id BIGINT NOT NULL, p STRING, at BIGINT, load_batch_id STRING, loaded_at TIMESTAMP, \
    row_hash STRING, PRIMARY KEY (id)";

const QUARTER: &str = "purge: {dead_rows: 25 %}";

fn lab(merge: &str) -> Lab {
    let file = format!(
        "name: p\nsource: {{table: src, ddl: src.sql}}\ntarget: {{table: tgt, ddl: tgt.sql}}\nunique_key: id\n\
         updated_at: at\nincremental: {{mode: changes}}\nas_of: 2025-09-01\nmerge: {{{merge}}}\n"
    );
    let target = format!(
        "CREATE TABLE tgt ({COLUMNS}) USING DELTA PARTITIONED BY (p) \
         TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
    );
    let staging = "CREATE TABLE src (id BIGINT, p STRING, at BIGINT) USING DELTA";
    Lab::custom(&file, &[("src", staging), ("tgt", &target)])
}

fn row(id: i64, p: &str, at: i64) -> String {
    format!("{{\"id\":{id},\"p\":\"{p}\",\"at\":{at}}}\n")
}

fn rows(ids: impl IntoIterator<Item = i64>, at: i64) -> String {
    ids.into_iter().map(|id| row(id, ["a", "b"][usize::from(id % 2 == 1)], at)).collect()
}

/// Rows by file, with their keys in the order in which they lie.
fn keys_in(folder: &Path, path: &str, column: &str) -> Vec<i64> {
    use deltalake::arrow::array::AsArray as _;
    use deltalake::arrow::datatypes::Int64Type;
    use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let file = std::fs::File::open(folder.join(path)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let of = |batch: deltalake::arrow::array::RecordBatch| {
        batch[column].as_primitive::<Int64Type>().values().to_vec()
    };
    reader.flat_map(|batch| of(batch.unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn file_with_many_dead_rows_is_written_anew_in_a_commit_that_changes_no_data() {
    let lab = lab(QUARTER);
    lab.append("src", &rows(0..40, 1)).await;
    lab.load();
    // More than a quarter of each is dead; but of files that have their first vector, half may be.
    lab.append("src", &rows(0..12, 2)).await;
    let kept = lab.load();
    assert_eq!((kept["purged"].is_null(), &kept["tables"]["tgt"]["after"]), (true, &json!(2)), "{kept:#}");
    lab.append("src", &rows([12], 3)).await;
    let document = lab.load();
    assert_eq!(document["tables"]["tgt"], json!({"before": 2, "after": 4}), "{document:#}");
    let purged = &document["purged"];
    // The old file of one partition, with the small ones beside it.
    assert_eq!((&purged["files"], &purged["dead_rows"]), (&json!(3), &json!(7)), "{purged}");
    let steps: Vec<&str> =
        document["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps.last(), Some(&"purge"));

    let commit = lab.actions("tgt", 4);
    let (mut added, mut removed) = (Vec::new(), 0);
    for action in &commit {
        if let Some(add) = action.get("add") {
            assert_eq!((&add["dataChange"], &add["partitionValues"]["p"]), (&json!(false), &json!("a")));
            assert!(add.get("deletionVector").is_none_or(Value::is_null), "{add:#}");
            added.push(add["path"].as_str().unwrap().to_owned());
        }
        if let Some(remove) = action.get("remove") {
            assert_eq!(remove["dataChange"], json!(false));
            removed += 1;
        }
        if let Some(info) = action.get("commitInfo") {
            assert_eq!(info["operation"], "OPTIMIZE");
        }
        assert!(action.get("txn").is_none());
    }
    assert_eq!((added.len(), removed), (1, 3));
    let expected: Vec<i64> = (0..40).filter(|id| id % 2 == 0).collect();
    assert_eq!(keys_in(&lab.path().join("tgt"), &added[0], "id"), expected);

    // The same again is nothing, and the batch before is taken back as if nothing had been written anew.
    let again = lab.load();
    assert_eq!((&again["status"], &again["tables"]["tgt"]["after"]), (&json!("already_loaded"), &json!(4)));
    let held = lab.rows("tgt").await;
    assert_eq!(lab.expect(0, &["rollback", "--last"])["status"], "rolled_back");
    assert_eq!(lab.rows("tgt").await.len(), 40);
    assert_ne!(lab.rows("tgt").await, held);
    // What went with the batch arrives again.
    lab.append("src", &rows([10, 12, 14], 4)).await;
    assert_eq!(lab.load()["counts"]["updated"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_put_together_in_each_partition_that_a_load_touched() {
    let lab = lab("purge: {small_files: 3}");
    for at in 0..3 {
        lab.append("src", &rows([at * 2, at * 2 + 1], 1)).await;
        assert!(lab.load()["purged"].is_null());
    }
    lab.append("src", &rows([6], 1)).await;
    let document = lab.load();
    assert_eq!(document["purged"]["files"], 4, "{document:#}");
    let text = lab.run(&["status"]);
    assert!(text.status.success(), "{text:?}");
    assert_eq!(lab.rows("tgt").await.len(), 7);
}

/// Rows that are written anew do not arrive once more at a pipeline that reads the target as its staging table.
#[tokio::test(flavor = "multi_thread")]
async fn rows_written_anew_are_no_news_to_the_next_pipeline() {
    let mut found = Vec::new();
    for merge in [QUARTER, "purge: {dead_rows: 100 %}"] {
        let lab = lab(merge);
        let next = "name: next\nsource: {table: tgt, lineage: [load_batch_id, loaded_at, row_hash]}\n\
            target: {table: last, ddl: last.sql}\nunique_key: id\nupdated_at: at\nincremental: {mode: changes}\n\
            as_of: 2025-09-01\naudit: next_audit\nwatermarks: next_marks\nattempts: next_attempts\n";
        std::fs::write(lab.path().join("next.yaml"), next).unwrap();
        let ddl = format!("CREATE TABLE last ({COLUMNS}) USING DELTA");
        std::fs::write(lab.path().join("last.sql"), ddl).unwrap();
        let next = |arguments: &[&str]| {
            let (code, document) = json_of(lab.command_with("next.yaml", arguments));
            assert_eq!(code, Some(0), "{document:#}");
            document
        };
        lab.append("src", &rows(0..20, 1)).await;
        lab.load();
        next(&["init"]);
        assert_eq!(next(&["run"])["counts"]["inserted"], 20);
        lab.append("src", &rows(0..12, 2)).await;
        let document = lab.load();
        assert_eq!(document["purged"].is_null(), merge != QUARTER, "{document:#}");
        let counts = &next(&["run"])["counts"];
        assert_eq!(counts["updated"], 12, "{counts}");
        found.push(counts.clone());
        assert_eq!(next(&["run"])["status"], "already_loaded");
    }
    assert_eq!(found[0], found[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn load_killed_while_it_purges_is_loaded_and_the_next_one_purges() {
    let lab = lab(QUARTER);
    lab.append("src", &rows(0..20, 1)).await;
    lab.load();
    lab.append("src", &rows(0..12, 2)).await;
    let whole = lab.copy();
    whole.load();
    for (side, version) in [("before", 2), ("after", 3)] {
        let crashed = lab.copy();
        crashed.die(&["run"], &format!("purge:{side}"));
        let again = crashed.load();
        assert_eq!(
            (&again["status"], &again["tables"]["tgt"]["after"]),
            (&json!("already_loaded"), &json!(version))
        );
        assert_eq!(crashed.state().await, whole.state().await, "{side}");
        crashed.append("src", &rows([0], 3)).await;
        assert_eq!(crashed.load()["purged"].is_null(), side == "after");
    }
    // The process that finishes the batch wrote no rows: the next load purges.
    let crashed = lab.copy();
    crashed.die(&["run"], "audit:before");
    assert!(crashed.load()["purged"].is_null());
    assert_eq!(crashed.state().await, whole.state().await);
    crashed.append("src", &rows([0], 3)).await;
    assert!(!crashed.load()["purged"].is_null());
}

/// The same drawn loads, purged by one rule or another, or never, come to the same rows.
#[tokio::test(flavor = "multi_thread")]
async fn drawn_loads_come_to_the_same_rows_whatever_is_purged() {
    let (seed, rounds) = (seed(), setting("HIGHWATER_PURGE_ROUNDS", 2));
    let mut has_purged_marked = false;
    for round in 0..rounds {
        let mut rng = Pcg64::seed_from_u64(crate::common::seed_of(seed, round));
        let rules = [
            "purge: {dead_rows: 100 %, small_files: 0}",
            "purge: {dead_rows: 0 %, small_files: 0}",
            "purge: {dead_rows: 100 %, small_files: 1}",
            "sort_by: [at, id]",
        ];
        let labs = rules.map(lab);
        let (mut expected, mut purged): (BTreeMap<i64, (i64, i64)>, BTreeSet<usize>) = Default::default();
        for at in 1..=8 {
            let size = *[3, 60, 9_000].get(rng.random_range(0..3)).unwrap();
            let mut staged = String::new();
            for _ in 0..size {
                // Some move to another partition, which may be one without a value.
                let (id, p) = (rng.random_range(0..size * 2), rng.random_range(0..5));
                let p_text = if p == 0 { "null".to_owned() } else { format!("\"p {p}\"") };
                staged.push_str(&format!("{{\"id\":{id},\"p\":{p_text},\"at\":{at}}}\n"));
                // Of rows that are alike but for the partition, which wins is the dedupe's to say.
                expected.insert(id, (at, 0));
            }
            let mut held: Option<Vec<String>> = None;
            for (number, lab) in labs.iter().enumerate() {
                lab.append("src", &staged).await;
                let document = lab.load();
                if !document["purged"].is_null() {
                    purged.insert(number);
                }
                let told =
                    || format!("seed {seed}, round {round}, load {at}, {}: {document:#}", rules[number]);
                let mut found: Vec<String> =
                    lab.rows("tgt").await.iter().map(|line| key_part_version(line)).collect();
                found.sort();
                assert_eq!(found.len(), expected.len(), "{}", told());
                assert_eq!(*held.get_or_insert_with(|| found.clone()), found, "{}", told());
            }
        }
        assert!(purged.contains(&2) && !purged.contains(&0), "seed {seed}: {purged:?}");
        has_purged_marked |= purged.contains(&1);
    }
    // Eight loads may draw no file to purge for its dead rows; those of the second round are the same in each run.
    assert!(has_purged_marked || rounds < 2, "seed {seed}");
}

fn key_part_version(line: &str) -> String {
    let row: Value = serde_json::from_str(line).unwrap();
    format!("{} {} {}", row["id"], row["p"], row["at"])
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_file_lie_in_the_order_that_the_pipeline_file_asks_for() {
    for (merge, column) in
        [("sort_by: [at, id]", "at"), ("sort_by: id", "id"), ("strategy: rewrite, sort_by: at", "at")]
    {
        let lab = lab(merge);
        let staged: String = (0..500).map(|n| row((n * 7) % 500, "a", (n * 11) % 500)).collect();
        lab.append("src", &staged).await;
        lab.load();
        let added =
            lab.actions("tgt", 1).into_iter().find_map(|action| Some(action.get("add")?["path"].to_string()));
        let keys = keys_in(&lab.path().join("tgt"), added.unwrap().trim_matches('"'), column);
        assert!(keys.len() == 500 && keys.is_sorted(), "{merge}: {keys:?}");
    }
    let lab = lab("sort_by: id");
    lab.edit("sort_by: id", "sort_by: [at, idd]");
    let refused = lab.expect(2, &["run"]);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("`idd`") && message.contains("did you mean `id`?"), "{message}");
    for wrong in ["dead_rows: 25", "dead_rows: 101 %", "small_files: -1", "smal_files: 3"] {
        let text = std::fs::read_to_string(lab.config())
            .unwrap()
            .replace("sort_by: [at, idd]", &format!("purge: {{{wrong}}}"));
        let path = lab.path().join("wrong.yaml");
        std::fs::write(&path, text).unwrap();
        let (code, document) = json_of(lab.command_with("wrong.yaml", &["run"]));
        assert_eq!(code, Some(2), "{wrong}: {document:#}");
        assert!(
            document["error"]["message"].as_str().unwrap().contains("merge.purge"),
            "{wrong}: {document:#}"
        );
    }
}

/// Does something at the moment at which a purge begins.
struct AtPurge(Box<dyn Fn() + Send + Sync>);

impl Listener for AtPurge {
    fn hear(&self, event: &Event) {
        if matches!(event, Event::Began(Began { step: RunStep::Purge, .. })) {
            (self.0)();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_loses_a_race_or_fails_leaves_a_loaded_batch_and_is_done_after_the_next() {
    for fails in [false, true] {
        let lab = lab(QUARTER);
        lab.append("src", &rows(0..40, 1)).await;
        lab.load();
        lab.append("src", &rows(0..24, 2)).await;
        let folder = lab.path().to_owned();
        let parts = ["p=a", "p=b"].map(|part| std::fs::read_dir(folder.join("tgt").join(part)).unwrap());
        let files: Vec<PathBuf> = parts.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        let away = |file: &Path| file.with_extension("away");
        let (runtime, there) = (tokio::runtime::Handle::current(), files.clone());
        let meddle = move || {
            if fails {
                for file in &there {
                    std::fs::rename(file, away(file)).unwrap();
                }
                return;
            }
            let location = Location::named(&folder.join("tgt").display().to_string()).unwrap();
            let append = async move {
                let table = Lake::plain().open("tgt", &location).await.unwrap();
                table.append_foreign(vec![batch(&table, r#"{"id":900,"p":"a","at":1}"#)]).await.unwrap();
            };
            tokio::task::block_in_place(|| runtime.block_on(append));
        };
        let hooks = Hooks { events: Events::default().with(AtPurge(Box::new(meddle))), ..Hooks::default() };
        let mut opened = lab.opened().await;
        let report = Box::pin(run(&mut opened, clock(), &hooks, Accepted::default())).await.unwrap();
        assert_eq!((report.ending, report.counts.updated), (Ending::Loaded, 24), "{fails}");
        assert!(report.purged.is_none(), "{fails}: {:?}", report.purged);
        if fails {
            for file in &files {
                std::fs::rename(away(file), file).unwrap();
            }
        }
        assert_eq!(lab.json(&["run"]).1["status"], "already_loaded");
        assert_eq!(lab.rows("tgt").await.len(), if fails { 40 } else { 41 });
        // What was not done then is due after the next load.
        lab.append("src", &rows([24, 25], 3)).await;
        let document = lab.load();
        assert!(document["purged"]["dead_rows"].as_i64().unwrap() >= 20, "{fails}: {document:#}");
        assert_eq!(lab.rows("tgt").await.len(), if fails { 40 } else { 41 });
    }
}

/// More files with a vector than one scan may have are purged all the same.
#[tokio::test(flavor = "multi_thread")]
async fn more_marked_files_than_a_scan_may_have_are_written_anew() {
    let lab = lab(QUARTER);
    let partitions = 250;
    let sent = |of_each: i64, at: i64| -> String {
        (0..partitions)
            .flat_map(|p| (0..of_each).map(move |n| row(p * 4 + n, &format!("p{p}"), at)))
            .collect()
    };
    lab.append("src", &sent(4, 1)).await;
    lab.load();
    // Half of each file, which has its first vector then and waits; then three in four.
    lab.append("src", &sent(2, 2)).await;
    assert!(lab.load()["purged"].is_null());
    lab.append("src", &sent(3, 3)).await;
    let document = lab.load();
    let purged = &document["purged"];
    assert!(purged["files"].as_i64().unwrap() >= 2 * partitions, "{purged}");
    assert!(purged["dead_rows"].as_i64().unwrap() >= 3 * partitions, "{purged}");
    let rows = lab.rows("tgt").await;
    assert_eq!(rows.len(), usize::try_from(partitions * 4).unwrap());
    let newest = rows.iter().filter(|line| line.contains("\"at\":3")).count();
    assert_eq!(newest, usize::try_from(partitions * 3).unwrap());
    let table = lab.table("tgt").await;
    let marked = table.files().unwrap().into_values().filter(|size| size.deleted > 0).count();
    assert_eq!(marked, 0);
}

/// A purge that may hold few rows at a time writes them in several stretches, and loses none.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_larger_than_memory_is_written_anew_in_stretches() {
    let lab = lab("purge: {dead_rows: 100 %, small_files: 0}");
    let sent = |ids: std::ops::Range<i64>, step: i64, at: i64| -> String {
        ids.map(|id| row(id * step, "a", at)).collect()
    };
    lab.append("src", &sent(0..60_000, 1, 1)).await;
    lab.load();
    // Every other one of some: in whatever order files are read, their stretches overlap.
    lab.append("src", &sent(5_000..20_000, 2, 2)).await;
    lab.load();
    let held = lab.rows("tgt").await;
    let table = lab.table("tgt").await;
    let files = table.files().unwrap();
    assert!(files.values().any(|size| size.deleted == 15_000), "{files:?}");
    let lots = [files.into_iter().collect::<Vec<_>>()];
    let engine = highwater::engine::Engine::new(1 << 30);
    // Less than a batch of rows: each becomes a stretch of its own.
    let outcome = table.purge(&lots, &["id".to_owned()], 1_000, &engine.state()).await.unwrap();
    assert!(matches!(outcome, highwater::protocol::Outcome::Committed(_)));
    assert_eq!(lab.rows("tgt").await, held);
    let table = lab.table("tgt").await;
    let files: Vec<_> = table.files().unwrap().into_iter().collect();
    assert!(files.iter().all(|(_, size)| size.deleted == 0), "{files:?}");
    let all: i64 = files.iter().filter_map(|(_, size)| size.rows).sum();
    assert_eq!(all, 60_000);
    // Sorted within each stretch, and not over all of them.
    let keys: Vec<Vec<i64>> =
        files.iter().map(|(file, _)| keys_in(&lab.path().join("tgt"), file.as_str(), "id")).collect();
    let falls: usize = keys.iter().map(|keys| keys.windows(2).filter(|pair| pair[0] > pair[1]).count()).sum();
    assert!(falls > 0 && falls < 60, "{falls}");
}
