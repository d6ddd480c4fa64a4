//! What tells a newer row from an older one: several columns, ordered texts, times without a zone.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use crate::common::{Lab, STRATEGIES, seed, setting};

/// A pipeline whose version is this, over these columns beside the key.
fn lab(version: &str, columns: &str) -> Lab {
    let file = format!(
        "name: p\nsource: {{table: src, ddl: src.sql}}\ntarget: {{table: tgt, ddl: tgt.sql}}\nunique_key: id\n{version}\n\
         incremental: {{mode: changes}}\n"
    );
    let source = format!("CREATE TABLE src (id BIGINT, {columns}, note STRING) USING DELTA");
    let target = format!(
        "CREATE TABLE tgt (id BIGINT NOT NULL, {columns}, note STRING, load_batch_id STRING, loaded_at TIMESTAMP, \
         row_hash STRING, PRIMARY KEY (id)) USING DELTA"
    );
    Lab::custom(&file, &[("src", &source), ("tgt", &target)])
}

fn lines(rows: &[Value]) -> String {
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    lines.join("\n")
}

/// What counts say of inserted, updated, stale, unchanged and tied rows, and of those that lost in the batch.
fn classes(document: &Value) -> [i64; 6] {
    ["inserted", "updated", "stale", "unchanged", "tied", "superseded"]
        .map(|class| document["counts"][class].as_i64().unwrap())
}

/// A column of the target by key.
async fn held(lab: &Lab, column: &str) -> BTreeMap<i64, Value> {
    let rows = lab.rows("tgt").await;
    let rows = rows.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["id"].as_i64().unwrap(), row[column].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_decide_one_after_the_other() {
    for strategy in STRATEGIES {
        let lab = lab("sequence_by: [at, lsn]", "at DATE, lsn INT").written_by(strategy);
        let row = |id: i64, day: u32, lsn: i64, note: &str| json!({"id": id, "at": format!("2025-08-{day:02}"), "lsn": lsn, "note": note});
        let first: Vec<Value> = (0..6).map(|id| row(id, 10, 5, "first")).collect();
        lab.append("src", &lines(&first)).await;
        assert_eq!(classes(&lab.load())[0], 6);
        let second = [
            row(0, 10, 6, "higher in the second"),
            row(0, 10, 4, "and one that loses to it"),
            row(1, 11, 1, "higher in the first"),
            row(2, 10, 4, "lower in the second"),
            row(3, 9, 9, "lower in the first"),
            row(4, 10, 5, "first"),
            row(5, 10, 5, "other values"),
        ];
        lab.append("src", &lines(&second)).await;
        let document = lab.load();
        assert_eq!(classes(&document), [0, 2, 2, 1, 1, 1], "{strategy:?}: {document:#}");
        let notes = held(&lab, "note").await;
        assert_eq!((&notes[&0], &notes[&1]), (&json!("higher in the second"), &json!("higher in the first")));
        assert!((2..6).all(|id| notes[&id] == "first"), "{notes:?}");
        assert_eq!(lab.load()["status"], "already_loaded");
        // A row without one of them is none that could be loaded.
        lab.append("src", "{\"id\":0,\"at\":\"2025-08-20\"}\n").await;
        let rejected = lab.expect(1, &["run"]);
        assert_eq!(rejected["counts"]["quarantined"], 1, "{rejected:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_ordered_as_the_pipeline_file_says() {
    for (order, old, higher, lower, same) in [
        ("numeric", "9.5", "10", "-11", "9.50"),
        ("semver", "1.9.0", "1.10.0-rc.1", "1.9.0-rc.1", "v1.9+build.3"),
        ("text", "9.5", "a", "10", "9.5"),
    ] {
        for strategy in STRATEGIES {
            let version = format!("updated_at: {{column: v, order: {order}}}");
            let lab = lab(&version, "v STRING").written_by(strategy);
            let row = |id: i64, v: &str, note: &str| json!({"id": id, "v": v, "note": note});
            let first: Vec<Value> = (0..4).map(|id| row(id, old, "first")).collect();
            lab.append("src", &lines(&first)).await;
            lab.load();
            let second = [row(0, higher, "n"), row(1, lower, "n"), row(2, same, "first"), row(3, same, "n")];
            lab.append("src", &lines(&second)).await;
            let document = lab.load();
            assert_eq!(classes(&document)[..5], [0, 1, 1, 1, 1], "{order}, {strategy:?}: {document:#}");
            assert_eq!(held(&lab, "v").await[&0], higher);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_no_version_ends_the_run_and_one_in_the_target_is_older_than_all() {
    let lab = lab("updated_at: {column: v, order: semver}", "v STRING");
    lab.append("tgt", "{\"id\":1,\"v\":\"latest\",\"note\":\"odd\"}\n").await;
    lab.append("src", "{\"id\":1,\"v\":\"0.1\",\"note\":\"new\"}\n").await;
    assert_eq!(lab.load()["counts"]["updated"], 1);
    lab.append("src", "{\"id\":2,\"v\":\"1.0\"}\n{\"id\":3,\"v\":\"1.x\"}\n").await;
    let before = lab.versions().await;
    let refused = lab.expect(2, &["run"]);
    let told = refused["error"].to_string();
    assert!(told.contains("`v` holds `1.x`, which is no semantic version"), "{told}");
    assert_eq!(lab.versions().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_without_a_zone_are_versions() {
    for strategy in STRATEGIES {
        let lab = lab("updated_at: at", "at TIMESTAMP_NTZ").written_by(strategy);
        let row = |id: i64, hour: u32, note: &str| json!({"id": id, "at": format!("2025-08-30T{hour:02}:00:00"), "note": note});
        lab.append("src", &lines(&[row(1, 5, "a"), row(2, 5, "a"), row(3, 5, "a")])).await;
        lab.load();
        lab.append("src", &lines(&[row(1, 6, "b"), row(2, 4, "b"), row(3, 5, "b"), row(3, 4, "c")])).await;
        let document = lab.load();
        assert_eq!(classes(&document), [0, 1, 1, 0, 1, 1], "{strategy:?}: {document:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_version_is_refused_with_its_place() {
    let columns = "at DATE, lsn INT, v STRING, x DOUBLE";
    for (version, why) in [
        ("", "missing key `updated_at`"),
        ("sequence_by: []", "`sequence_by` names no column"),
        ("sequence_by: [at]", "`sequence_by` names one column"),
        ("updated_at: {colunm: v, order: text}", "did you mean `column`"),
        ("updated_at: {column: v, order: text}\ncolumns: {v: {mask: redact}}", "its masks have no order"),
        ("updated_at: at\nsequence_by: [at, lsn]", "both say what the version is"),
        ("sequence_by: [at, at]", "`at` is named before"),
        ("sequence_by: [at, id]", "`id` is in `unique_key` too"),
        ("sequence_by: [at, lsm]", "no column `lsm`"),
        ("sequence_by: [at, v]", "say how its texts are ordered"),
        ("sequence_by: [at, x]", "is DOUBLE in the target"),
        ("updated_at: {column: lsn, order: numeric}", "only a STRING has an `order`"),
        ("updated_at: {column: v, order: alphabetic}", "alphabetic"),
        ("updated_at: {column: v}", "missing key `order`"),
        ("sequence_by: [at, lsn]\ntie_breakers: lsn", "`lsn` is the version column"),
    ] {
        let lab = lab("updated_at: at", columns);
        lab.edit("updated_at: at", version);
        let refused = lab.expect(2, &["run"]);
        let told = refused.to_string();
        assert!(told.contains(why) && !told.contains("a bug in highwater"), "{version}: {refused:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_sql_compares_what_the_load_compares() {
    let lab = lab(
        "sequence_by: [at, {column: v, order: numeric}, {column: w, order: semver}]",
        "at DATE, v STRING, w STRING",
    );
    let output = lab.run(&["sql"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "struct(s.`at`, TRY_CAST(s.`v` AS DECIMAL(38, 18)), semver_key(s.`w`)) END > CASE",
        "ORDER BY s.`at` DESC, TRY_CAST(s.`v` AS DECIMAL(38, 18)) DESC, semver_key(s.`w`) DESC",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let output = lab.run(&["config", "show"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("sequence_by: [at, {column: v, order: numeric}, {column: w, order: semver}]"),
        "{text}"
    );
}

/// Loads of drawn rows, some thousand at a time, come to what plain Rust makes of them: of each key the row with the highest
/// version.
#[tokio::test(flavor = "multi_thread")]
async fn drawn_loads_end_with_the_highest_version_of_each_key() {
    let seed = seed();
    for round in 0..setting("HIGHWATER_VERSION_ROUNDS", 3) {
        let mut random = StdRng::seed_from_u64(seed + round);
        let strategy = STRATEGIES[usize::try_from(round).unwrap() % STRATEGIES.len()];
        let lab =
            lab("sequence_by: [at, {column: v, order: numeric}]", "at INT, v STRING").written_by(strategy);
        let mut best: BTreeMap<i64, (i64, i64, String)> = BTreeMap::new();
        for load in 0..4 {
            let size = random.random_range(1..12_000);
            let mut rows = Vec::with_capacity(size);
            for number in 0..size {
                let (id, at) = (random.random_range(0..3_000), random.random_range(0..3));
                // Each number is there once in a load: no ties, whatever its text looks like.
                let v = i64::try_from(load * 20_000 + number).unwrap() * 7_919 % 1_000_003;
                let text = match number % 3 {
                    0 => format!("{v}"),
                    1 => format!("{v}.00"),
                    _ => format!(" {v}.0"),
                };
                let note = format!("{load}/{number}");
                rows.push(json!({"id": id, "at": at, "v": text, "note": note}));
                let found = (at, v, note);
                let known = best.entry(id).or_insert_with(|| found.clone());
                if (found.0, found.1).cmp(&(known.0, known.1)) == Ordering::Greater {
                    *known = found;
                }
            }
            lab.append("src", &lines(&rows)).await;
            let document = lab.load();
            assert_eq!(document["status"], "loaded", "seed {seed}, round {round}: {document:#}");
            let notes = held(&lab, "note").await;
            let expected: BTreeMap<i64, Value> =
                best.iter().map(|(id, (_, _, note))| (*id, json!(note))).collect();
            assert_eq!(notes, expected, "seed {seed}, round {round}, load {load}, {strategy:?}");
        }
    }
}
