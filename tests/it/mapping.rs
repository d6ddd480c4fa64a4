//! Columns that are computed from staging's: a mapped load is the load of tables that somebody mapped before.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use highwater::config::Location;
use highwater::lake::Lake;
use highwater::model::Strategy;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{
    CLOCK, Lab, STRATEGIES, batch, json_of, make_table, program, rows_of, seed, seed_of, setting,
};

const RAW: &str = "CREATE TABLE src (
  `Ref No.` STRING, Shop STRING, millis BIGINT, day DATE, Amount STRING, `in` BIGINT, state STRING, seq BIGINT
) USING DELTA";

const MAPPED: &str = "
name: feed
source: {table: src, ddl: src.sql, where: \"state <> 'test'\", select: mapped, lineage: seq}
target: {table: tgt, ddl: tgt.sql}
unique_key: [id, shop]
updated_at: changed_at
incremental: {mode: MODE, column: day, lookback: 2 days, initial: all}
columns:
  id: {from: Ref No.}
  shop: {default: none}
  changed_at: {from: to_timestamp_millis(millis)}
  day: {from: day}
  amount:
    from: TRY_CAST(amount AS DECIMAL(12,2))
    checks: [{accepted_range: {max: 900, action: quarantine}}]
  place: {from: \"CONCAT('p', CAST(`in` % 3 AS STRING))\"}
  doubled: {from: \"`in` * 2\", default: -1}
  fixed: {default: x}
  seq: {from: seq}
\"merge\": {partitions_per_commit: 2}
";

const PLAIN: &str = "
name: feed
source: {table: src, ddl: src.sql, lineage: seq}
target: {table: tgt, ddl: tgt.sql}
unique_key: [id, shop]
updated_at: changed_at
incremental: {mode: MODE, column: day, lookback: 2 days, initial: all}
columns: {amount: {checks: [{accepted_range: {max: 900, action: quarantine}}]}}
\"merge\": {partitions_per_commit: 2}
";

const BEFORE: &str = "CREATE TABLE src (
  id STRING, shop STRING, changed_at TIMESTAMP, day DATE, amount DECIMAL(12,2), place STRING, doubled BIGINT,
  fixed STRING, seq BIGINT
) USING DELTA";

const TARGET: &str = "CREATE TABLE tgt (
  id STRING NOT NULL, shop STRING NOT NULL, changed_at TIMESTAMP, day DATE, amount DECIMAL(12,2), place STRING,
  doubled BIGINT, fixed STRING, load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING, PRIMARY KEY (id, shop)
) USING DELTA PARTITIONED BY (place)";

const FIRST: NaiveDate = NaiveDate::from_ymd_opt(2025, 8, 20).unwrap();

/// A row as it is sent, and as somebody would have mapped it; `None` where that one would have left it out.
fn draw(random: &mut StdRng, day: NaiveDate, seq: u64) -> (Value, Option<Value>) {
    let id = format!("R{}", random.random_range(0..40));
    let shop = random.random_bool(0.7).then(|| ["a", "b"][random.random_range(0..2)]);
    let at: DateTime<Utc> = day.and_hms_milli_opt(10, 0, 0, 7).unwrap().and_utc();
    let at = at + TimeDelta::milliseconds(random.random_range(0..20_000));
    let day = if random.random_bool(0.9) { day } else { day - Days::new(random.random_range(1..9)) };
    let cents: i64 = random.random_range(0..100_000);
    let (amount, number) = match random.random_range(0..10) {
        0 => (Some("much".to_owned()), None),
        1 => (None, None),
        _ => {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            (Some(text.clone()), Some(text))
        }
    };
    let n = random.random_bool(0.9).then(|| random.random_range(0..1_000_i64));
    let state = [Some("ok"), Some("ok"), Some("test"), None][random.random_range(0..4)];
    let raw = json!({
        "Ref No.": id, "Shop": shop, "millis": at.timestamp_millis(), "day": day, "Amount": amount, "in": n,
        "state": state, "seq": seq,
    });
    let mapped = json!({
        "id": id, "shop": shop.unwrap_or("none"), "changed_at": at.to_rfc3339(), "day": day, "amount": number,
        "place": n.map_or("p".to_owned(), |n| format!("p{}", n % 3)), "doubled": n.map_or(-1, |n| n * 2), "fixed": "x", "seq": seq,
    });
    (raw, (state == Some("ok")).then_some(mapped))
}

fn lab(file: &str, source: &str, mode: &str, strategy: Strategy) -> Lab {
    Lab::custom(&file.replace("MODE", mode), &[("src", source), ("tgt", TARGET)]).written_by(strategy)
}

/// Rows without what differs from batch to batch.
async fn content(lab: &Lab, table: &str) -> Vec<String> {
    let strip = |line: String| {
        let mut row: BTreeMap<String, Value> = serde_json::from_str(&line).unwrap();
        row.retain(|name, _| {
            !["load_batch_id", "loaded_at", "dq_batch_id", "dq_entry_id", "dq_config_digest"]
                .contains(&name.as_str())
        });
        json!(row).to_string()
    };
    let mut rows: Vec<String> = lab.rows(table).await.into_iter().map(strip).collect();
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapped_load_is_the_load_of_rows_that_were_mapped_before() {
    let base = seed();
    for case in 0..setting("HIGHWATER_MAPPED", 4) {
        let mut random = StdRng::seed_from_u64(seed_of(base, case));
        let strategy = STRATEGIES[usize::try_from(case).unwrap() % 3];
        let mode = if random.random_bool(0.5) { "window" } else { "changes" };
        let told = format!("case {case}, {strategy:?}, {mode}");
        let (mapped, plain) = (lab(MAPPED, RAW, mode, strategy), lab(PLAIN, BEFORE, mode, strategy));
        let mut seq = 0;
        for offset in 0..3 {
            let day = FIRST + Days::new(offset);
            let (mut raw, mut before, mut left_out) = (String::new(), String::new(), 0);
            // A day whose rows are all left out has no counterpart in a feed that somebody filtered before.
            let rows = random.random_range(1..150);
            let mut drawn = 0;
            while drawn < rows || before.is_empty() {
                (drawn, seq) = (drawn + 1, seq + 1);
                let (sent, row) = draw(&mut random, day, seq);
                raw += &format!("{sent}\n");
                left_out += i64::from(row.is_none());
                before += &row.map(|row| format!("{row}\n")).unwrap_or_default();
            }
            mapped.append("src", &raw).await;
            plain.append("src", &before).await;
            let as_of = day.to_string();
            let (one, other) =
                (mapped.json(&["run", "--as-of", &as_of]), plain.json(&["run", "--as-of", &as_of]));
            assert_eq!((one.0, other.0), (Some(0), Some(0)), "{told}: {:#} {:#}", one.1, other.1);
            for part in ["status", "counts", "late", "future", "history", "watermark", "ties", "dq_errors"] {
                assert_eq!(one.1[part], other.1[part], "{told}, day {offset}: {part}");
            }
            if mode == "changes" {
                assert_eq!(one.1["filtered"], left_out, "{told}");
            }
            assert_eq!(content(&mapped, "tgt").await, content(&plain, "tgt").await, "{told}");
            assert_eq!(content(&mapped, "tgt_bad").await, content(&plain, "tgt_bad").await, "{told}");
            assert_eq!(mapped.json(&["run", "--as-of", &as_of]).1["status"], "already_loaded", "{told}");
        }
    }
}

/// A feed with rows of two days.
async fn filled(strategy: Strategy) -> Lab {
    let lab = lab(MAPPED, RAW, "changes", strategy);
    let mut random = StdRng::seed_from_u64(7);
    for offset in 0..2 {
        let rows = (0..60).map(|seq| draw(&mut random, FIRST + Days::new(offset), seq).0.to_string() + "\n");
        lab.append("src", &rows.collect::<String>()).await;
    }
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_anywhere_is_completed_with_the_mapping_that_the_batch_began_with() {
    for strategy in STRATEGIES {
        let lab = filled(strategy).await;
        let whole = lab.copy();
        whole.load();
        for point in ["merge:before", "merge:0:after", "merge:1:after", "quarantine:after", "audit:after"] {
            if point == "merge:1:after" && strategy != Strategy::Builder {
                // Only a MERGE is made in groups.
                continue;
            }
            let crashed = lab.copy();
            let output = crashed.run(&["run", "--fail-at", point]);
            assert_eq!(output.status.signal(), Some(9), "{strategy:?} {point}: {output:?}");
            // Whoever comes next may have edited the file: the batch is completed as it was begun.
            if point.starts_with("merge:0") || point.starts_with("merge:1") {
                crashed.edit("`in` * 2", "`in` * 3");
                let (_, document) = crashed.json(&["run"]);
                let finished = document["recovered"].as_array().map_or(0, Vec::len);
                assert_eq!(finished, 1, "{strategy:?} {point}: {document:#}");
                crashed.edit("`in` * 3", "`in` * 2");
                // What the edited file loads is a batch of its own, without a row that is new.
                assert_eq!(document["counts"]["inserted"], 0, "{document:#}");
            } else {
                crashed.load();
                assert_eq!(crashed.state().await, whole.state().await, "{strategy:?} {point}");
            }
            assert_eq!(content(&crashed, "tgt").await, content(&whole, "tgt").await, "{strategy:?} {point}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_row_counts_what_the_filter_left_out_whoever_writes_it() {
    let lab = filled(Strategy::Builder).await;
    let output = lab.run(&["run", "--fail-at", "merge:1:after"]);
    assert_eq!(output.status.signal(), Some(9));
    let document = lab.load();
    assert!(document["filtered"].as_i64().unwrap() > 20, "{document:#}");
    let audit: Value = serde_json::from_str(&lab.rows("loads_audit").await[0]).unwrap();
    assert_eq!(audit["filtered_rows"], document["filtered"]);
    let (_, status) = lab.json(&["status"]);
    assert_eq!(status["batches"][0]["filtered"], document["filtered"], "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_kept_out_are_kept_as_they_were_mapped_and_replayed_so() {
    let lab = filled(Strategy::Builder).await;
    let first = lab.load();
    let kept = first["counts"]["quarantined"].as_i64().unwrap();
    assert!(kept > 0, "{first:#}");
    lab.edit("max: 900", "max: 9000");
    let (status, replayed) = lab.json(&["quarantine", "replay"]);
    assert_eq!(status, Some(0), "{replayed:#}");
    let loaded =
        replayed["counts"]["inserted"].as_i64().unwrap() + replayed["counts"]["updated"].as_i64().unwrap();
    assert!(loaded > 0 && replayed["filtered"] == 0, "{replayed:#}");
    let rows = lab.rows("tgt").await;
    let high = rows.iter().filter(|row| {
        let row: Value = serde_json::from_str(row).unwrap();
        row["amount"].as_f64().is_some_and(|amount| amount > 900.0)
    });
    assert_eq!(i64::try_from(high.count()).unwrap(), loaded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_computed_is_told_where_it_stands_before_anything_is_read() {
    let lab = filled(Strategy::Builder).await;
    let versions = lab.versions().await;
    let (from, amount) = ("from: TRY_CAST(amount AS DECIMAL(12,2))", "columns.amount.from");
    for (sql, why) in [
        ("from: nowhere + 1", "there is no column `nowhere`"),
        ("from: millis * rand()", "uses `random`, which differs from run to run"),
        ("from: now()", "uses `now`, which differs from run to run"),
        ("from: SUM(millis)", "is an aggregate"),
        ("from: row_number() OVER (ORDER BY millis)", "looks at other rows"),
        ("from: (SELECT 1)", "holds a query of its own"),
        ("from: millis; DROP TABLE tgt", "is no single expression"),
        ("from: INTERVAL '1' DAY", "which no column can hold"),
        ("from: millis + $as_of", "names `$as_of`, which has no value here"),
        ("from: no_such_function(millis)", "there is no function `no_such_function`"),
    ] {
        lab.edit(from, sql);
        let output = lab.run(&["run"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{sql}: {told}");
        assert!(
            told.contains(amount) && told.contains(why) && told.contains("pipeline.yaml:14"),
            "{sql}: {told}"
        );
        assert!(!told.contains("__hw_"), "{sql}: {told}");
        lab.edit(sql, from);
    }
    for (from, to, why) in [
        ("where: \"state <> 'test'\"", "where: millis + 1", "`source.where` is BIGINT, not true or false"),
        ("default: -1", "default: many", "`columns.doubled.default` must be"),
        ("select: mapped", "select: {except: [Stat]}", "did you mean `state`?"),
        ("fixed: {default: x}", "stray: {default: x}", "staging and target have no column `stray`"),
        ("select: mapped", "select: some", "`source.select`"),
        ("id: {from: Ref No.}", "id: {from: millis}", "does not fit the target's STRING"),
    ] {
        lab.edit(from, to);
        let output = lab.run(&["run"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{to}: {told}");
        assert!(told.contains(why), "{to}: {told}");
        lab.edit(to, from);
    }
    assert_eq!(lab.versions().await, versions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_is_told_by_its_column_and_nothing_is_loaded() {
    let lab = filled(Strategy::Builder).await;
    let versions = lab.versions().await;
    lab.edit("TRY_CAST", "CAST");
    let output = lab.run(&["run"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("pipeline.yaml:14:11: columns.amount.from does not fit a row"), "{told}");
    assert!(told.contains("'much'") && told.contains("TRY_CAST"), "{told}");
    assert_eq!(lab.versions().await, versions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_mapping_is_another_batch_and_a_changed_comment_is_none() {
    let lab = filled(Strategy::Builder).await;
    let (_, first) = lab.json(&["plan"]);
    let id = |lab: &Lab| lab.json(&["plan"]).1["batch_id"].clone();
    for (from, to) in [
        ("`in` * 2", "`in` * 3"),
        ("default: none", "default: nobody"),
        ("state <> 'test'", "state <> 'tests'"),
        ("select: mapped", "select: all"),
    ] {
        lab.edit(from, to);
        assert_ne!(id(&lab), first["batch_id"], "{to}");
        lab.edit(to, from);
    }
    lab.edit("name: feed", "# a comment\nname: feed");
    assert_eq!(id(&lab), first["batch_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_a_ddl_file_is_made_from_the_batch_s_columns() {
    let file = "
name: made
source: {table: src, ddl: src.sql, where: \"state <> 'test'\", lineage: seq}
target: {table: tgt, partitioned_by: month}
unique_key: id
updated_at: changed_at
incremental: {mode: changes}
columns:
  id: {from: Ref No.}
  changed_at: {from: to_timestamp_millis(millis)}
  month: {from: \"CAST(date_trunc('month', day) AS DATE)\"}
";
    let lab = Lab::custom(file, &[("src", RAW)]);
    let expected = "CREATE TABLE tgt (
  id             STRING    NOT NULL,
  `Shop`         STRING,
  millis         BIGINT,
  day            DATE,
  `Amount`       STRING,
  `in`           BIGINT,
  state          STRING,
  changed_at     TIMESTAMP NOT NULL,
  month          DATE,
  load_batch_id  STRING    COMMENT 'Id of the batch that wrote the row',
  loaded_at      TIMESTAMP COMMENT 'When that batch started, UTC',
  row_hash       STRING    COMMENT 'Hash of the row''s values, by which the next load knows whether they differ',
  PRIMARY KEY (id)
)
USING DELTA
PARTITIONED BY (month)
";
    let printed = |lab: &Lab| String::from_utf8(lab.run(&["init", "--print-ddl"]).stdout).unwrap();
    assert_eq!(printed(&lab).replace("\nTBLPROPERTIES", "\n--"), expected, "{}", printed(&lab));
    let mut row = draw(&mut StdRng::seed_from_u64(1), FIRST, 1).0;
    row["state"] = "ok".into();
    lab.append("src", &row.to_string()).await;
    assert_eq!(lab.load()["counts"]["inserted"], 1);
    // What is printed is a DDL file that the table agrees with.
    std::fs::write(lab.path().join("tgt.sql"), expected).unwrap();
    lab.edit("{table: tgt, partitioned_by: month}", "{table: tgt, ddl: tgt.sql}");
    let (status, document) = lab.json(&["init"]);
    assert_eq!((status, &document["tables"][1]["state"]), (Some(0), &json!("agrees")), "{document:#}");
    lab.edit("{table: tgt, ddl: tgt.sql}", "{table: tgt, partitioned_by: day}");
    let output = lab.run(&["run"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("the target is partitioned by (month), not by (day)"), "{told}");
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_key_or_staging_is_not_made() {
    let file = "name: made\nsource: src\ntarget: tgt\nunique_key: idd\nupdated_at: at\nincremental: {mode: changes}\n";
    let lab = Lab::custom(
        &file.replace("source: src", "source: {table: src, ddl: src.sql}").replace("idd", "id"),
        &[(
            "src",
            "CREATE TABLE src (id BIGINT, at TIMESTAMP, load_batch_id STRING, tags ARRAY<STRING>) USING DELTA",
        )],
    );
    // Those of the load's own names are the load's.
    assert_eq!(lab.table("tgt").await.columns().unwrap().len(), 6);
    lab.edit("unique_key: id", "unique_key: idd");
    lab.edit("target: tgt", "target: other");
    let output = lab.run(&["init"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("the staging table has no column `idd`") && told.contains("did you mean `id`"),
        "{told}"
    );
    assert!(!lab.path().join("other").exists());
    let lost = lab.variant("lost.yaml", "{table: src, ddl: src.sql}", "nowhere");
    let (status, document) = json_of(lab.command_with(&lost, &["init", "--print-ddl"]));
    assert_eq!(status, Some(2), "{document:#}");
    assert!(
        document["error"]["message"].as_str().unwrap().contains("there is no staging table"),
        "{document:#}"
    );
}

/// A key for hashes.
const KEY: &str = "a key of some length";

/// A pipeline over these columns of staging, with what else its file says.
fn small(columns: &str, more: &str) -> Lab {
    let file = format!(
        "name: small\nsource: {{table: src, ddl: src.sql}}\ntarget: tgt\nunique_key: id\nupdated_at: at\n\
         incremental: {{mode: changes}}\n{more}\n"
    );
    Lab::custom(
        &file,
        &[("src", &format!("CREATE TABLE src (id BIGINT, at TIMESTAMP, {columns}) USING DELTA"))],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_numbers_that_do_not_fit_end_the_run_and_never_wrap_around() {
    for (sql, row, fits) in [
        ("qty * cents", r#""qty":3000,"cents":1000000"#, false),
        ("qty * cents", r#""qty":3,"cents":1000000"#, true),
        ("big + 1", r#""big":9223372036854775807"#, false),
        ("-1 - big * 2", r#""big":-4611686018427387904"#, true),
        ("big * 8", r#""big":4611686018427387904"#, false),
        ("tiny + tiny", r#""tiny":127"#, false),
        ("CASE WHEN qty > 5 THEN qty * cents ELSE 0 END", r#""qty":3,"cents":2147483647"#, true),
    ] {
        let lab = small(
            "qty INT, cents INT, big BIGINT, tiny TINYINT",
            &format!("columns: {{x: {{from: \"{sql}\"}}}}"),
        );
        lab.append("src", &format!(r#"{{"id":1,"at":"2025-08-30T10:00:00Z",{row}}}"#)).await;
        let output = lab.run(&["run"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(if fits { 0 } else { 2 }), "{sql}: {told}");
        assert!(fits || told.contains("columns.x.from does not fit a row"), "{sql}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_keeps_what_does_not_fit_from_being_computed() {
    for mode in ["mode: window, column: day", "mode: changes, column: day"] {
        let lab = small("day STRING, kind STRING", "columns: {day: {from: CAST(day AS DATE)}}");
        lab.edit("ddl: src.sql}", "ddl: src.sql, where: kind = 'o'}");
        lab.edit("mode: changes", mode);
        let row = |id: u32, day: &str, kind: &str| json!({"id": id, "at": "2025-08-30T10:00:00Z", "day": day, "kind": kind});
        let rows = [row(1, "2025-08-31", "o"), row(2, "2025-08-30", "o"), row(3, "n/a", "t")];
        lab.append("src", &rows.map(|row| row.to_string()).join("\n")).await;
        let document = lab.load();
        assert_eq!(
            (&document["counts"]["inserted"], &document["filtered"]),
            (&json!(2), &json!(1)),
            "{document:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_of_every_type_and_times_of_all_years_are_loaded() {
    let more = r#"columns:
  b: {default: 00ff}
  s: {default: none}
  n: {default: 1.5}
  d: {default: 9999-12-31}
  t: {default: "0001-01-01T00:00:00Z"}
  o: {default: true}
  far: {from: CAST(text AS TIMESTAMP)}
  last: {from: CAST(wall AS TIMESTAMP)}"#;
    let columns =
        "b BINARY, s STRING, n DECIMAL(5,2), d DATE, t TIMESTAMP, o BOOLEAN, text STRING, wall TIMESTAMP_NTZ";
    let lab = small(columns, more);
    lab.append(
        "src",
        r#"{"id":1,"at":"2025-08-30T10:00:00Z","text":"9999-12-31T23:59:59Z","wall":"9999-12-31T00:00:00"}"#,
    )
    .await;
    assert_eq!(lab.load()["counts"]["inserted"], 1);
    let row: Value = serde_json::from_str(&lab.rows("tgt").await[0]).unwrap();
    let expected = json!({"b": "00ff", "s": "none", "n": 1.5, "d": "9999-12-31", "t": "0001-01-01T00:00:00Z", "o": true,
        "far": "9999-12-31T23:59:59Z", "last": "9999-12-31T00:00:00Z"});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&row[name], value, "{name}: {row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_struct_of_any_name_is_what_its_members_are_taken_from() {
    let lab = small("s STRUCT<x: STRING>, x STRING", "columns: {y: {from: s.x}}");
    lab.append("src", r#"{"id":1,"at":"2025-08-30T10:00:00Z","s":{"x":"in"},"x":"top"}"#).await;
    lab.load();
    let row: Value = serde_json::from_str(&lab.rows("tgt").await[0]).unwrap();
    assert_eq!((&row["y"], &row["x"]), (&json!("in"), &json!("top")));
    lab.edit("s.x", "src.x");
    let output = lab.run(&["run"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("a table or a struct that staging does not have")
    );
    lab.edit("columns: {y: {from: src.x}}", "columns: {loaded_at: {from: x}}");
    let output = lab.run(&["run"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("`loaded_at` is a load column"));
}

/// A folder with a staging table and one of the shipped pipeline files.
async fn shipped(
    file: &str,
    staging: &str,
    ddl: &str,
    rows: &str,
) -> (TempDir, impl Fn(&[&str]) -> (Option<i32>, Value)) {
    let folder = TempDir::new().unwrap();
    let text =
        std::fs::read_to_string(format!("{}/config/examples/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(lines <= 13, "{file} has {lines} lines");
    std::fs::write(folder.path().join(file), text).unwrap();
    make_table(folder.path(), staging, ddl, rows).await;
    let config = folder.path().join(file);
    let run = move |arguments: &[&str]| {
        let mut command = Command::new(program());
        command
            .env("MASK_KEY", KEY)
            .arg("-c")
            .arg(&config)
            .args(arguments)
            .env("HIGHWATER_CLOCK", CLOCK)
            .env_remove("RUST_LOG");
        json_of(command)
    };
    assert_eq!(run(&["init"]).0, Some(0));
    let (status, document) = run(&["run"]);
    assert_eq!(status, Some(0), "{file}: {document:#}");
    assert_eq!(run(&["run"]).1["status"], "already_loaded", "{file}");
    (folder, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_file_of_renamed_columns_loads_a_shop_s_export() {
    let ddl =
        "CREATE TABLE shop_export (`Order No.` STRING, LastChange STRING, Total STRING, currency STRING,
               `Order State` STRING, `Internal Note` STRING) USING DELTA";
    let sent = r#"{"Order No.":"A-1","LastChange":"2025-08-30T10:00:00Z","Total":"10.50","currency":null,"Order State":"paid"}
        {"Order No.":"A-1","LastChange":"2025-08-30T14:00:00+02:00","Total":"11","currency":"USD","Order State":"paid"}
        {"Order No.":"A-2","LastChange":"2025-08-30 09:00:00","Total":"7.25","currency":null,"Order State":"new"}
        {"Order No.":"A-3","LastChange":"2025-08-30T10:00:00Z","Total":"1","currency":"EUR","Order State":"test"}"#;
    let (folder, run) = shipped("renamed.yaml", "shop_export", ddl, sent).await;
    assert_eq!(run(&["status"]).1["batches"][0]["filtered"], 1);
    let columns = "order_ref, CAST(changed_at AS STRING) AS at, amount, currency, `Order State` AS state";
    assert_eq!(
        rows_of(folder.path(), "shop_orders", columns).await,
        [
            r#"{"order_ref":"A-1","at":"2025-08-30T12:00:00Z","amount":11.00,"currency":"USD","state":"paid"}"#,
            r#"{"order_ref":"A-2","at":"2025-08-30T09:00:00Z","amount":7.25,"currency":"EUR","state":"new"}"#,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_files_of_ordered_texts_keep_the_newest() {
    let ddl = "CREATE TABLE releases_raw (package STRING, release STRING, by STRING) USING DELTA";
    let sent = r#"{"package":"p","release":"1.9.0","by":"a"}
        {"package":"p","release":"1.10.0-rc.1","by":"b"}
        {"package":"p","release":"1.10.0","by":"c"}
        {"package":"q","release":"v2","by":"d"}"#;
    let (folder, _) = shipped("releases.yaml", "releases_raw", ddl, sent).await;
    assert_eq!(
        rows_of(folder.path(), "releases", "package, release").await,
        [r#"{"package":"p","release":"1.10.0"}"#, r#"{"package":"q","release":"v2"}"#]
    );
    let ddl = "CREATE TABLE changes_raw (account_id INT, committed_at TIMESTAMP, position STRING, balance INT) USING DELTA";
    let sent = r#"{"account_id":1,"committed_at":"2025-08-30T10:00:00Z","position":"99","balance":1}
        {"account_id":1,"committed_at":"2025-08-30T10:00:00Z","position":"100","balance":2}
        {"account_id":2,"committed_at":"2025-08-30T11:00:00Z","position":"7","balance":3}
        {"account_id":2,"committed_at":"2025-08-30T10:00:00Z","position":"101","balance":4}"#;
    let (folder, _) = shipped("changes.yaml", "changes_raw", ddl, sent).await;
    assert_eq!(
        rows_of(folder.path(), "accounts", "account_id, balance").await,
        [r#"{"account_id":1,"balance":2}"#, r#"{"account_id":2,"balance":3}"#]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_file_of_a_derived_partition_lays_bookings_out_by_the_month() {
    let ddl = "CREATE TABLE bookings_raw (hotel STRING, booking_id BIGINT, revision INT, stay DATE, guests INT) USING DELTA";
    let sent = r#"{"hotel":"h","booking_id":1,"revision":1,"stay":"2025-07-31","guests":2}
        {"hotel":"h","booking_id":1,"revision":3,"stay":"2025-08-01","guests":2}
        {"hotel":"h","booking_id":2,"revision":1,"stay":"2025-08-31","guests":1}
        {"hotel":"i","booking_id":1,"revision":1,"stay":"2024-02-29","guests":4}"#;
    let (folder, _) = shipped("monthly.yaml", "bookings_raw", ddl, sent).await;
    assert_eq!(
        rows_of(folder.path(), "bookings", "hotel, booking_id, stay, month").await,
        [
            r#"{"hotel":"h","booking_id":1,"stay":"2025-08-01","month":"2025-08-01"}"#,
            r#"{"hotel":"h","booking_id":2,"stay":"2025-08-31","month":"2025-08-01"}"#,
            r#"{"hotel":"i","booking_id":1,"stay":"2024-02-29","month":"2024-02-01"}"#,
        ]
    );
    assert!(folder.path().join("bookings/month=2024-02-01").is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_file_of_epoch_milliseconds_loads_readings() {
    let ddl = "CREATE TABLE sensor_feed (device STRING, ts BIGINT, received BIGINT, fahrenheit DOUBLE, junk STRING) USING DELTA";
    let sent = r#"{"device":" S1 ","ts":1756684800123,"received":1,"fahrenheit":50.0,"junk":"x"}
        {"device":"s1","ts":1756684800123,"received":2,"fahrenheit":32.0,"junk":"y"}
        {"device":"s2","ts":-1,"received":1,"fahrenheit":212.0,"junk":"z"}"#;
    let (folder, _) = shipped("epoch.yaml", "sensor_feed", ddl, sent).await;
    let columns = "sensor, CAST(measured_at AS STRING) AS at, received_ms, day, celsius";
    assert_eq!(
        rows_of(folder.path(), "readings", columns).await,
        [
            r#"{"sensor":"s1","at":"2025-09-01T00:00:00.123Z","received_ms":2,"day":"2025-09-01","celsius":0.0}"#,
            r#"{"sensor":"s2","at":"1969-12-31T23:59:59.999Z","received_ms":1,"day":"1969-12-31","celsius":100.0}"#,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_file_of_json_takes_values_out_of_payloads_and_keeps_bad_ones_out() {
    let ddl = "CREATE TABLE events_raw (payload STRING, offset BIGINT, topic STRING) USING DELTA";
    let payloads = [
        json!({"id": "e1", "type": "buy", "user": {"address": {"city": "Zürich"}}, "items": [{"amount": 12.5}]}).to_string(),
        json!({"id": "e1", "type": "buy", "items": [{"amount": "13.00"}]}).to_string(),
        json!({"id": "e2", "user": {"address": null}, "items": []}).to_string(),
        "{cut off".to_owned(),
        json!({"type": "no id"}).to_string(),
    ];
    let rows = payloads
        .iter()
        .enumerate()
        .map(|(offset, payload)| json!({"payload": payload, "offset": offset, "topic": "t"}));
    let sent = rows.map(|row| row.to_string()).collect::<Vec<_>>().join("\n");
    let (folder, run) = shipped("events.yaml", "events_raw", ddl, &sent).await;
    assert_eq!(
        rows_of(folder.path(), "events", "event_id, kind, city, amount, topic").await,
        [
            r#"{"event_id":"e1","kind":"buy","amount":13.00,"topic":"t"}"#,
            r#"{"event_id":"e2","kind":"unknown","topic":"t"}"#,
        ]
    );
    assert_eq!(run(&["status"]).1["batches"][0]["counts"]["quarantined"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_struct_are_columns_and_the_struct_itself_is_kept_beside() {
    let file = "name: nested\nsource: {table: src, ddl: src.sql}\ntarget: tgt\nunique_key: id\nupdated_at: at\n\
                incremental: {mode: changes}\ncolumns: {city: {from: Address.City}, first: {from: \"tags[0]\"}}\n";
    let ddl = "CREATE TABLE src (id BIGINT, at TIMESTAMP, Address STRUCT<City: STRING, zip: STRING>, tags ARRAY<STRING>)
               USING DELTA";
    let lab = Lab::custom(&file.replace("tags[0]", "array_element(tags, 1)"), &[("src", ddl)]);
    lab.append(
        "src",
        r#"{"id":1,"at":"2025-08-30T10:00:00Z","Address":{"City":"Bern","zip":"3000"},"tags":["a","b"]}"#,
    )
    .await;
    let document = lab.load();
    assert_eq!(document["counts"]["inserted"], 1, "{document:#}");
    // What they are taken from is used; nobody need be told of it.
    assert_eq!(document["not_loaded"], json!([]), "{document:#}");
    let row: Value = serde_json::from_str(&lab.rows("tgt").await[0]).unwrap();
    assert_eq!((&row["city"], &row["first"]), (&json!("Bern"), &json!("a")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_file_of_masks_loads_customers_whom_nobody_can_read() {
    let ddl = "CREATE TABLE customers_raw (customer_id BIGINT, changed_at TIMESTAMP, email STRING, iban STRING, phone BIGINT,
               birthday DATE, name STRING) USING DELTA";
    let sent = r#"{"customer_id":1,"changed_at":"2025-08-30T10:00:00Z","email":" Ann@Example.com","iban":"DE001234567890","phone":5551234,"birthday":"1990-05-17"}
        {"customer_id":2,"changed_at":"2025-08-30T10:00:00Z","email":"ann@example.com","iban":"short","phone":null,"birthday":null}
        {"customer_id":3,"changed_at":"2025-08-30T10:00:00Z","email":null,"iban":null,"phone":1,"birthday":"1990-05-17"}"#;
    let (folder, _) = shipped("private.yaml", "customers_raw", ddl, sent).await;
    // By OpenSSL: printf ann@example.com | openssl dgst -sha256 -hmac 'a key of some length'
    let ann = "a1d5e79afffd32fedbce0ae1a911a23dd234ebdec84f490250243fd87dc104a1";
    assert_eq!(
        rows_of(folder.path(), "customers", "customer_id, email, iban, phone, birthday IS NULL AS gone")
            .await,
        [
            format!(r#"{{"customer_id":1,"email":"{ann}","iban":"***7890","phone":"***","gone":true}}"#),
            format!(r#"{{"customer_id":2,"email":"{ann}","iban":"***","gone":true}}"#),
            r#"{"customer_id":3,"phone":"***","gone":true}"#.to_owned(),
        ]
    );
}

const PRIVATE: &str = "
name: feed
source: {table: src, ddl: src.sql}
target: tgt
unique_key: id
updated_at: at
incremental: {mode: changes}
columns:
  mail: {from: lower(mail), mask: hash, checks: [{regex: {pattern: never, action: quarantine}}]}
  card: {mask: last4}
  born: {from: CAST(born AS DATE), mask: \"null\"}
  domain: {from: \"split_part(mail, '@', 2)\"}
mask_key: ${env:MASK_KEY}
";

fn private() -> Lab {
    // `init` asks for the key too.
    let file = PRIVATE.replace("${env:MASK_KEY}", "${file:key}");
    let folder = "src";
    let ddl = "CREATE TABLE src (id BIGINT, at TIMESTAMP, mail STRING, card STRING, born STRING) USING DELTA";
    let lab =
        Lab::custom(&file.replace("mask_key", "# mask_key").replace("mask: hash, ", ""), &[(folder, ddl)]);
    std::fs::write(lab.path().join("key"), KEY).unwrap();
    std::fs::write(lab.config(), file).unwrap();
    lab
}

const SENT: &str = r#"{"id":1,"at":"2025-08-30T10:00:00Z","mail":"Secret.Person@clear.example","card":"4111222233334444","born":"1987-06-05"}
    {"id":2,"at":"2025-08-30T10:00:00Z","mail":"secret.person@clear.example","card":"4111222233334444","born":"1987-06-05"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_masked_is_in_the_clear_nowhere() {
    let lab = private();
    lab.append("src", SENT).await;
    let mut told = String::new();
    for arguments in [
        &["plan", "--json"][..],
        &["run", "--json", "--verbose"],
        &["status", "--json"],
        &["quarantine", "list", "--json"],
        &["sql"],
        &["config", "show", "--resolved"],
        &["doctor"],
    ] {
        let output = lab.command(arguments).env("RUST_LOG", "highwater=debug").output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        told += &String::from_utf8_lossy(&output.stdout);
        told += &String::from_utf8_lossy(&output.stderr);
    }
    assert!(told.contains("keyed_hash") && told.contains("\"quarantined\": 2"), "{told}");
    for table in ["tgt", "tgt_bad", "loads_audit", "load_watermarks"] {
        told += &lab.rows(table).await.concat();
        for entry in std::fs::read_dir(lab.path().join(table).join("_delta_log")).unwrap() {
            told += &String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap());
        }
    }
    for clear in ["ecret.Person", "ecret.person", "411122223333", "1987-06-05", KEY] {
        assert!(!told.contains(clear), "{clear}: {told}");
    }
    // What somebody else makes of it is another's to mask.
    assert!(told.contains("clear.example") && told.contains("***4444"), "{told}");
}

/// Columns whose values are a person's are loaded and kept out as they are, and told in no report.
#[tokio::test(flavor = "multi_thread")]
async fn values_of_persons_are_loaded_and_not_reported() {
    let file = "name: feed\nsource: {table: src, ddl: src.sql}\ntarget: tgt\nunique_key: [id, mail]\nupdated_at: at\n\
        on_tie: fail\nincremental: {mode: changes}\n\
        columns:\n  mail: {pii: true, checks: [{regex: {pattern: clear, action: quarantine}}]}\n  born: {pii: true}\n";
    let ddl = "CREATE TABLE src (id BIGINT, mail STRING, at BIGINT, born STRING) USING DELTA";
    let lab = Lab::custom(file, &[("src", ddl)]);
    let row = |id: i64, mail: &str, at: i64, born: &str| {
        json!({"id": id, "mail": mail, "at": at, "born": born}).to_string()
    };
    let mut told = String::new();
    let mut run = |lab: &Lab, status: i32, arguments: &[&str]| {
        let output = lab.command(arguments).env("RUST_LOG", "highwater=debug").output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        told += &text;
    };
    lab.append(
        "src",
        &[row(1, "ann@clear.example", 1, "1987-06-05"), row(2, "bob@other.example", 1, "x")].join("\n"),
    )
    .await;
    for arguments in [
        &["check"][..],
        &["plan", "--json"],
        &["run", "--verbose"],
        &["status", "--json"],
        &["quarantine", "list"],
        &["quarantine", "list", "--json"],
    ] {
        run(&lab, 0, arguments);
    }
    let shown = lab.expect(0, &["quarantine", "show", "2", "bob@other.example"]);
    assert!(!shown.to_string().contains("bob@"), "{shown:#}");
    // A tie, and SQL that fails on a value.
    lab.append("src", &row(1, "ann@clear.example", 1, "1999-01-02")).await;
    run(&lab, 1, &["run"]);
    lab.edit("on_tie: fail", "on_tie: keep");
    let unfit = "checks: [{expression: {sql: \"CAST(born AS INT) > 0\"}}]";
    for (from, to, why) in [
        ("born: {pii: true}", format!("born: {{pii: true, {unfit}}}"), "it fails on a value"),
        (
            unfit,
            "from: CAST(CAST(born AS DOUBLE) AS STRING)".to_owned(),
            "columns.born.from does not fit a row: a value of it",
        ),
        (
            "  born: {pii: true, from: CAST(CAST(born AS DOUBLE) AS STRING)}",
            "  born: {pii: true}\n  year: {from: CAST(born AS INT)}".to_owned(),
            "columns.year.from does not fit a row: a value of it",
        ),
    ] {
        lab.edit(from, &to);
        let refused = lab.expect(2, &["check"]);
        assert!(refused["error"].to_string().contains(why), "{why}: {refused:#}");
        run(&lab, 2, &["check"]);
    }
    lab.edit("\n  year: {from: CAST(born AS INT)}", "");
    run(&lab, 2, &["quarantine", "list", "--where", "CAST(mail AS INT) > 1"]);
    // What a column of a person's is made from is as much theirs.
    lab.edit("mail: {pii: true,", "mail: {pii: true, from: lower(mail),");
    run(&lab, 0, &["quarantine", "list", "--json"]);
    // delta-rs tells the rows that break a constraint.
    let kept = "CREATE TABLE tgt (id BIGINT NOT NULL, mail STRING NOT NULL, at BIGINT, born STRING, load_batch_id STRING, \
        loaded_at TIMESTAMP, row_hash STRING, CONSTRAINT short CHECK (length(born) < 3), PRIMARY KEY (id, mail)) USING DELTA";
    let strict = Lab::custom(
        &file.replace("target: tgt", "target: {table: tgt, ddl: tgt.sql}"),
        &[("src", ddl), ("tgt", kept)],
    );
    strict.append("src", &row(1, "ann@clear.example", 1, "1987-06-05")).await;
    run(&strict, 4, &["run"]);
    run(&strict, 0, &["status", "--json"]);
    assert!(told.contains("mail=***") && told.contains("\"born\": \"***\""), "{told}");
    for clear in ["ann@", "bob@", "1987-06", "1999-01"] {
        assert!(!told.contains(clear), "{clear}: {told}");
    }
    assert!(lab.rows("tgt").await.concat().contains("ann@clear.example"));
    assert!(lab.rows("tgt_bad").await.concat().contains("bob@other.example"));
    assert!(!lab.rows("loads_audit").await.concat().contains("bob@"));
    lab.edit("born: {pii", "bron: {pii");
    let refused = lab.expect(2, &["run"]);
    assert!(refused["error"].to_string().contains("bron"), "{refused:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_a_masked_column_is_told_to_nobody_who_cannot_compute_it() {
    let lab = private();
    lab.append("src", SENT).await;
    lab.edit("from: lower(mail)", "from: CAST(mail AS DATE)");
    let output = lab.run(&["run"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("columns.mail.from does not fit a row") && !told.contains("ecret"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_hashes_comes_from_outside_and_makes_the_batch() {
    let lab = private();
    lab.append("src", SENT).await;
    let id = |lab: &Lab| lab.json(&["plan"]).1["batch_id"].clone();
    let first = id(&lab);
    std::fs::write(lab.path().join("key"), "another key of some length").unwrap();
    assert_ne!(id(&lab), first);
    std::fs::write(lab.path().join("key"), format!("{KEY}\n")).unwrap();
    assert_eq!(id(&lab), first);
    for (to, why) in [
        ("mask_key: ${file:gone}", "needs the file"),
        ("mask_key: 0123456789abcdef", "is a secret, which must not be written here"),
        ("mask_key: ${file:short}", "at least 16 characters"),
        ("", "`mask_key` is missing, and `mask: hash` needs it"),
    ] {
        std::fs::write(lab.path().join("short"), "short").unwrap();
        lab.edit("mask_key: ${file:key}", to);
        let output = lab.run(&["run"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{to}: {told}");
        assert!(told.contains(why), "{to}: {told}");
        let text = std::fs::read_to_string(lab.config()).unwrap();
        let text = if to.is_empty() {
            format!("{text}mask_key: ${{file:key}}\n")
        } else {
            text.replace(to, "mask_key: ${file:key}")
        };
        std::fs::write(lab.config(), text).unwrap();
    }
}

/// A column that the target computes by itself is filled by its own expression, and is not the pipeline file's to compute.
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_column_is_filled_by_its_own_expression_and_a_mapping_of_it_is_refused() {
    let file = "name: p\nsource: {table: src, ddl: src.sql}\ntarget: tgt\nunique_key: id\n\
        updated_at: at\nincremental: {mode: changes}\n";
    let source = "CREATE TABLE src (id BIGINT, at TIMESTAMP, ms BIGINT) USING DELTA";
    let own = "load_batch_id STRING, loaded_at TIMESTAMP, row_hash STRING";
    for (columns, partitioned, mapped) in [
        ("id BIGINT, at TIMESTAMP, ms BIGINT, day DATE", "", ""),
        ("id BIGINT, at TIMESTAMP, ms BIGINT, day DATE", "PARTITIONED BY (day)", ""),
        (
            "id BIGINT, at TIMESTAMP, ms BIGINT, day DATE",
            "",
            "columns: {at: {from: to_timestamp_millis(ms)}}\n",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let target = format!("CREATE TABLE tgt ({columns}, {own}) USING DELTA {partitioned}");
        let old = r#"{"id":9,"at":"2020-01-01T00:00:00Z","ms":0,"day":"2020-01-01"}"#;
        make_table(folder.path(), "tgt", &target, old).await;
        let first = json!({"id": 1, "at": "2025-08-30T10:00:00Z", "ms": 1_756_548_000_000_i64});
        make_table(folder.path(), "src", source, &first.to_string()).await;
        std::fs::write(folder.path().join("src.sql"), source).unwrap();
        // As Spark's GENERATED ALWAYS AS leaves it.
        let log = folder.path().join("tgt/_delta_log/00000000000000000000.json");
        let entry = std::fs::read_to_string(&log).unwrap();
        let lines = entry.lines().map(|line| {
            let mut action: Value = serde_json::from_str(line).unwrap();
            if let Some(protocol) = action.get_mut("protocol") {
                *protocol = json!({"minReaderVersion": 1, "minWriterVersion": 4});
            }
            if let Some(metadata) = action.get_mut("metaData") {
                let mut schema: Value =
                    serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
                schema["fields"][3]["metadata"]["delta.generationExpression"] = json!("CAST(at AS DATE)");
                metadata["schemaString"] = schema.to_string().into();
            }
            format!("{action}\n")
        });
        std::fs::write(&log, lines.collect::<Vec<_>>().concat()).unwrap();
        let config = folder.path().join("p.yaml");
        std::fs::write(&config, format!("{file}{mapped}")).unwrap();
        let run = |status: i32, arguments: &[&str]| {
            let mut command = Command::new(program());
            command
                .arg("-c")
                .arg(&config)
                .args(arguments)
                .env("HIGHWATER_CLOCK", CLOCK)
                .env_remove("RUST_LOG");
            let (found, document) = json_of(command);
            assert_eq!(found, Some(status), "{partitioned} {mapped} {arguments:?}: {document:#}");
            document
        };
        let append = async |row: Value| {
            let location = Location::named(folder.path().join("src").to_str().unwrap()).unwrap();
            let table = Lake::plain().open("src", &location).await.unwrap();
            table.append_foreign(vec![batch(&table, &row.to_string())]).await.unwrap();
        };
        run(0, &["init"]);
        assert_eq!(run(0, &["run"])["counts"]["inserted"], 1);
        append(json!({"id": 1, "at": "2025-08-31T10:00:00Z", "ms": 1_756_634_400_000_i64})).await;
        assert_eq!(run(0, &["run"])["counts"]["updated"], 1);
        assert_eq!(
            rows_of(folder.path(), "tgt", "id, day").await,
            [r#"{"id":1,"day":"2025-08-31"}"#, r#"{"id":9,"day":"2020-01-01"}"#]
        );
        assert_eq!(run(0, &["run"])["status"], "already_loaded");
        assert_eq!(run(0, &["drift"])["status"], "agrees");
        std::fs::write(&config, format!("{file}columns: {{day: {{from: CAST(at AS DATE)}}}}\n")).unwrap();
        let message = run(2, &["plan"])["error"].to_string();
        assert!(
            message.contains("`day` is a generated column: the target fills it by `CAST(at AS DATE)`"),
            "{message}"
        );
    }
}
