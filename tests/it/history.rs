//! Where a first batch starts, and what lies before it.

use highwater::contract::LOADS_AUDIT;
use highwater::contract::ddl::TableDef;
use highwater::lake::{Lake, create_table};
use serde_json::{Value, json};

use crate::common::Lab;

const PIPELINE: &str = "
name: days
source: {table: src, ddl: src.sql}
target: {table: tgt, ddl: tgt.sql}
unique_key: id
updated_at: at
incremental: {column: day, late: load, initial: lookback}
as_of: 2025-09-01
";
const SOURCE: &str = "CREATE TABLE src (id BIGINT, day DATE, at TIMESTAMP) USING DELTA";
const TARGET: &str = "CREATE TABLE tgt (id BIGINT NOT NULL, day DATE, at TIMESTAMP, load_batch_id STRING,
  loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id)) USING DELTA";

fn lab() -> Lab {
    Lab::custom(PIPELINE, &[("src", SOURCE), ("tgt", TARGET)])
}

async fn deliver(lab: &Lab, rows: &[(u32, &str)]) {
    let lines = rows.iter().map(|(id, day)| json!({"id": id, "day": day, "at": "2025-09-01T00:00:00Z"}));
    lab.append("src", &lines.flat_map(|line| [line.to_string(), "\n".to_owned()]).collect::<String>()).await;
}

/// Rows of one day each: long before the window, the day before it, its first and last day, and the day after.
async fn five_days(lab: &Lab) {
    let days = ["2025-01-01", "2025-08-24", "2025-08-25", "2025-09-01", "2025-09-02"];
    deliver(lab, &(1..).zip(days).collect::<Vec<_>>()).await;
}

async fn ids(lab: &Lab) -> Vec<i64> {
    let rows = lab.rows("tgt").await;
    let mut ids: Vec<i64> =
        rows.iter().map(|row| serde_json::from_str::<Value>(row).unwrap()["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

/// Staged, late, future and history.
fn numbers(document: &Value) -> [i64; 4] {
    [&document["counts"]["staged"], &document["late"], &document["future"], &document["history"]]
        .map(|number| number.as_i64().unwrap_or_else(|| panic!("{document:#}")))
}

fn run(lab: &Lab, as_of: &str) -> Value {
    let (code, document) = lab.json(&["run", "--as-of", as_of]);
    assert_eq!(code, Some(0), "{document:#}");
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn first_batch_starts_where_initial_says_and_tells_of_history() {
    for late in ["load", "skip"] {
        for (initial, loaded, history) in [
            ("lookback", vec![3, 4], 2),
            ("2025-08-24", vec![2, 3, 4], 1),
            ("2025-09-01", vec![4], 3),
            ("all", vec![1, 2, 3, 4], 0),
        ] {
            let lab = lab();
            lab.edit("late: load, initial: lookback", &format!("late: {late}, initial: {initial}"));
            five_days(&lab).await;
            let expected = [i64::try_from(loaded.len()).unwrap(), 0, 1, history];
            let (_, plan) = lab.json(&["plan"]);
            assert_eq!(numbers(&plan), expected, "{initial}, late: {late}: {plan:#}");
            let document = lab.load();
            assert_eq!(numbers(&document), expected, "{initial}, late: {late}: {document:#}");
            assert_eq!(ids(&lab).await, loaded);
            let audit = lab.rows("loads_audit").await;
            assert!(audit[0].contains(&format!(r#""history_rows":{history}"#)), "{audit:?}");
            let again = lab.load();
            assert_eq!((&again["status"], numbers(&again)), (&"already_loaded".into(), expected));
            let (_, status) = lab.json(&["status"]);
            assert_eq!(status["batches"][0]["history"], history);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_told_with_the_way_to_take_it_which_takes_it() {
    let lab = lab();
    five_days(&lab).await;
    let text = String::from_utf8(lab.run(&["run"]).stdout).unwrap();
    // A line that is too long goes on in the next.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, told) = text.split_once("history, not loaded: ").unwrap_or_else(|| panic!("{text}"));
    assert!(told.contains("2 rows before 2025-08-25") && told.contains("initial: all"), "{told}");
    lab.edit("initial: lookback", "initial: all");
    let document = lab.load();
    assert_eq!(numbers(&document), [4, 0, 1, 0], "{document:#}");
    assert_eq!(ids(&lab).await, [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_arrive_below_the_window_after_the_first_batch_are_late_and_history_stays_out() {
    let lab = lab();
    five_days(&lab).await;
    lab.load();
    deliver(&lab, &[(6, "2025-02-01")]).await;
    // On the same day there is no earlier load to be anchored on.
    assert_eq!(numbers(&run(&lab, "2025-09-01")), [3, 1, 1, 0]);
    deliver(&lab, &[(7, "2025-02-02")]).await;
    assert_eq!(numbers(&run(&lab, "2025-09-02")), [3, 1, 0, 0]);
    assert_eq!(ids(&lab).await, [3, 4, 5, 6, 7]);
    // Nor as of an earlier day: what the first batch left out is no news.
    deliver(&lab, &[(8, "2025-02-03")]).await;
    let earlier = run(&lab, "2025-08-26");
    assert_eq!((&earlier["late"], &earlier["history"]), (&1.into(), &0.into()), "{earlier:#}");
    assert_eq!(ids(&lab).await, [2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_batch_that_is_taken_back_is_a_first_batch_again() {
    let lab = lab();
    five_days(&lab).await;
    let first = lab.load();
    assert_eq!(lab.run(&["rollback", "--last"]).status.code(), Some(0));
    let again = lab.load();
    assert_eq!((&again["status"], numbers(&again)), (&"loaded".into(), [2, 0, 1, 2]));
    assert_ne!(again["batch_id"], first["batch_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_after_one_that_let_no_row_through_takes_its_future_rows_and_no_history() {
    let lab = lab();
    deliver(&lab, &[(1, "2025-01-01"), (2, "2025-08-02"), (3, "2025-08-30")]).await;
    assert_eq!(numbers(&run(&lab, "2025-08-01")), [0, 0, 2, 1]);
    let next = run(&lab, "2025-09-01");
    assert_eq!(numbers(&next), [2, 0, 0, 0], "{next:#}");
    assert_eq!(ids(&lab).await, [2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_batch_in_groups_is_finished_without_history() {
    let lab = lab();
    let partitioned = TARGET.replace("USING DELTA", "PARTITIONED BY (day) USING DELTA");
    let file = format!("{PIPELINE}merge: {{partitions_per_commit: 1}}\n");
    let split = Lab::custom(&file, &[("src", SOURCE), ("tgt", &partitioned)]);
    five_days(&split).await;
    split.run(&["run", "--fail-at", "merge:0:after"]);
    let document = split.load();
    assert_eq!(numbers(&document), [2, 0, 1, 2], "{document:#}");
    five_days(&lab).await;
    lab.load();
    assert_eq!(ids(&split).await, ids(&lab).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_table_without_the_column_for_history_is_written_and_agreed_with() {
    let lab = lab();
    std::fs::remove_dir_all(lab.path().join("loads_audit")).unwrap();
    let mut def = TableDef::parse("loads_audit.sql", LOADS_AUDIT).unwrap();
    def.columns.retain(|column| column.field.name != "history_rows");
    let audit = lab.path().join("loads_audit").display().to_string();
    let location = highwater::config::Location::named(&audit).unwrap();
    create_table(&Lake::plain(), &location, &def).await.unwrap();
    let (code, document) = lab.json(&["init"]);
    assert_eq!(code, Some(0), "{document:#}");
    five_days(&lab).await;
    assert_eq!(numbers(&lab.load()), [2, 0, 1, 2]);
    assert_eq!(lab.load()["status"], "already_loaded");
    assert!(!lab.rows("loads_audit").await[0].contains("history_rows"));
}
