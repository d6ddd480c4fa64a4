//! The target's columns are changed: by a person or by a run, after crashes and in races.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::{ADD, AUTO, SRC, TELL, becomes, loaded, row};
use crate::common::{Lab, seed, seed_of, setting};

const APP: &str = "feed/schema";

/// A pipeline whose staging has got a column, and a row with it.
async fn widened(schema: &str) -> Lab {
    let lab = loaded(schema, "warn").await;
    let columns = format!("{SRC}, coupon STRING COMMENT 'What made it cheaper'");
    becomes(&lab, &columns, &[row(2, 1, &json!({"coupon": "c"}))]).await;
    lab
}

async fn values(lab: &Lab, table: &str) -> Vec<Value> {
    lab.rows(table).await.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// The coupon of each key.
async fn coupons(lab: &Lab) -> Vec<(i64, Value)> {
    let mut rows: Vec<(i64, Value)> = values(lab, "tgt")
        .await
        .into_iter()
        .map(|row| (row["id"].as_i64().unwrap(), row["coupon"].clone()))
        .collect();
    rows.sort_by_key(|row| row.0);
    rows
}

/// The numbers of changes in the target and in the audit table, and the rows that tell of them.
async fn changes(lab: &Lab) -> (i64, i64, usize) {
    let rows = values(lab, "loads_audit").await;
    let told = rows.iter().filter(|row| row["kind"] == "schema").count();
    (lab.number("tgt", APP).await, lab.number("loads_audit", APP).await, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_adds_a_column_and_the_next_batch_fills_it() {
    let lab = widened(TELL).await;
    let versions = lab.versions().await;
    // The quarantine gets the column by itself.
    let (status, document) = lab.json(&["init"]);
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!(document["tables"][2]["state"], "agrees", "{document:#}");
    let (status, document) = lab.json(&["evolve"]);
    assert_eq!((status, &document["status"]), (Some(0), &json!("nothing_to_do")), "{document:#}");
    let (status, document) = lab.json(&["evolve", "--add", "coupon", "--dry-run"]);
    assert_eq!((status, &document["status"]), (Some(0), &json!("planned")), "{document:#}");
    assert_eq!(lab.versions().await, versions);
    let (status, document) = lab.json(&["evolve", "--add", "coupon"]);
    assert_eq!((status, &document["status"]), (Some(0), &json!("evolved")), "{document:#}");
    let change = json!({"change": "add_column", "column": "coupon", "type": "STRING", "comment": "What made it cheaper"});
    assert_eq!(document["changes"], json!([change]));
    assert_eq!(changes(&lab).await, (1, 1, 1));
    let status = lab.json(&["status"]).1;
    let row =
        status["batches"].as_array().unwrap().iter().find(|row| row["kind"] == "schema").unwrap().clone();
    assert_eq!((&row["kind"], &row["status"]), (&json!("schema"), &json!("evolved")), "{row:#}");
    assert_eq!(row["reason"], "add column `coupon` STRING");
    assert_eq!(row["target_version"], json!({"before": versions["tgt"], "after": versions["tgt"] + 1}));
    // Again, nothing is left to do; and the column is loaded.
    assert_eq!(lab.json(&["evolve", "--add", "coupon"]).1["status"], "nothing_to_do");
    let document = lab.load();
    assert_eq!((&document["not_loaded"], &document["drift"]), (&json!([]), &json!([])), "{document:#}");
    assert_eq!(coupons(&lab).await, [(1, Value::Null), (2, json!("c"))]);
    assert_eq!(lab.json(&["drift"]).1["status"], "differs");
    // No rollback crosses it, and none is told of it as a batch.
    let (status, document) = lab.json(&["rollback", "--last"]);
    assert_eq!((status, document["undone"].as_array().map(Vec::len)), (Some(0), Some(1)), "{document:#}");
    let rows = lab.json(&["status"]).1["batches"].as_array().unwrap().clone();
    let first =
        rows.iter().find(|row| row["sequence"] == 1).unwrap()["batch_id"].as_str().unwrap().to_owned();
    let (status, document) = lab.json(&["rollback", "--batch", &first]);
    assert_eq!(status, Some(4), "{document:#}");
    assert!(document.to_string().contains("columns or properties"), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_becomes_what_its_contract_says_as_far_as_no_file_is_written_anew() {
    let lab = loaded(TELL, "warn").await;
    lab.append("src", &row(2, 1, &json!({})).to_string()).await;
    let ddl = std::fs::read_to_string(lab.path().join("tgt.sql")).unwrap();
    let ddl = ddl
        .replace("note STRING", "note STRING COMMENT 'What was said'")
        .replace("must STRING NOT NULL", "must STRING")
        .replace("amount BIGINT", "amount DECIMAL(20,0)")
        .replace("state STRING,", "state STRING NOT NULL, coupon STRING, given INT NOT NULL,");
    std::fs::write(lab.path().join("tgt.sql"), ddl).unwrap();
    let drift = lab.json(&["drift"]).1;
    let breaks =
        drift["columns"].as_array().unwrap().iter().filter(|column| column["breaks_contract"] == true);
    let breaks: Vec<&str> = breaks.map(|column| column["column"].as_str().unwrap()).collect();
    assert_eq!(breaks, ["amount", "must", "state", "coupon", "given"], "{drift:#}");
    let (status, document) = lab.json(&["evolve"]);
    assert_eq!(status, Some(1), "{document:#}");
    let made: Vec<(&str, &str)> = document["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["change"].as_str().unwrap(), change["column"].as_str().unwrap()))
        .collect();
    assert_eq!(made, [("comment", "note"), ("drop_not_null", "must"), ("add_column", "coupon")]);
    let impossible = document["impossible"].to_string();
    for part in [
        "make `amount` DECIMAL(20,0)",
        "typeWidening",
        "make `state` NOT NULL",
        "add column `given` INT NOT NULL",
    ] {
        assert!(impossible.contains(part), "{part}: {impossible}");
    }
    let columns = lab.table("tgt").await.columns().unwrap();
    let column = |name: &str| columns.iter().find(|column| column.field.name == name).unwrap();
    assert_eq!(column("note").comment.as_deref(), Some("What was said"));
    assert!(column("must").field.nullable && column("coupon").field.nullable);
    // Files that are there have no such column, and are read all the same.
    lab.load();
    assert_eq!(coupons(&lab).await, [(1, Value::Null), (2, Value::Null)]);
    let (status, document) = lab.json(&["evolve"]);
    assert_eq!((status, &document["status"]), (Some(1), &json!("nothing_to_do")), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_changes_the_target_before_its_batch_where_the_file_says_so() {
    let lab = widened(AUTO).await;
    let document = lab.load();
    assert_eq!(document["evolved"]["changes"][0]["column"], "coupon", "{document:#}");
    assert_eq!(
        (&document["not_loaded"], &document["counts"]["inserted"]),
        (&json!([]), &json!(1)),
        "{document:#}"
    );
    assert_eq!(coupons(&lab).await, [(1, Value::Null), (2, json!("c"))]);
    assert_eq!(changes(&lab).await, (1, 1, 1));
    let versions = lab.versions().await;
    let (_, document) = lab.json(&["run"]);
    assert_eq!(
        (&document["status"], &document["evolved"]),
        (&json!("already_loaded"), &Value::Null),
        "{document:#}"
    );
    assert_eq!(lab.versions().await, versions);
    // A plan changes nothing, and tells what would be.
    let lab = widened(AUTO).await;
    let versions = lab.versions().await;
    let (_, document) = lab.json(&["plan"]);
    assert_eq!(document["drift"][0]["answer"], "add", "{document:#}");
    assert_eq!(lab.versions().await, versions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_either_commit_is_finished_by_whoever_comes_next() {
    for (schema, begun) in [(AUTO, &["run"] as &[&str]), (ADD, &["evolve"])] {
        let lab = widened(schema).await;
        let whole = lab.copy();
        assert_eq!(whole.json(begun).0, Some(0));
        whole.load();
        for point in ["schema:before", "schema:after", "schema-audit:before", "schema-audit:after"] {
            for next in ["run", "evolve"] {
                let told = format!("{schema}: {point}, then {next}");
                let crashed = lab.copy();
                let words: Vec<&str> = begun.iter().copied().chain(["--fail-at", point]).collect();
                let output = crashed.run(&words);
                assert_eq!(output.status.signal(), Some(9), "{told}: {output:?}");
                let (status, document) = crashed.json(&[next]);
                assert_eq!(status, Some(0), "{told}: {document:#}");
                let (in_target, in_audit, rows) = changes(&crashed).await;
                let lost = point == "schema:before" && schema == ADD && next == "run";
                assert_eq!((in_target, in_audit, rows), if lost { (0, 0, 0) } else { (1, 1, 1) }, "{told}");
                crashed.load();
                if !lost {
                    assert_eq!(coupons(&crashed).await, coupons(&whole).await, "{told}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_unfinished_is_finished_before_the_target_changes() {
    let lab = loaded(AUTO, "warn").await;
    lab.append("src", &row(2, 1, &json!({})).to_string()).await;
    let output = lab.run(&["run", "--fail-at", "merge:after"]);
    assert_eq!(output.status.signal(), Some(9), "{output:?}");
    let columns = format!("{SRC}, coupon STRING");
    becomes(&lab, &columns, &[row(3, 1, &json!({"coupon": "c"}))]).await;
    let document = lab.load();
    assert_eq!(document["evolved"]["status"], "evolved", "{document:#}");
    let rows = values(&lab, "loads_audit").await;
    let mut told: Vec<(String, i64)> = rows
        .iter()
        .map(|row| (row["kind"].as_str().unwrap().to_owned(), row["fact_version_after"].as_i64().unwrap()))
        .collect();
    told.sort_by_key(|row| row.1);
    let kinds: Vec<&str> = told.iter().map(|row| row.0.as_str()).collect();
    assert_eq!(kinds, ["load", "load", "schema", "load"]);
    assert_eq!(coupons(&lab).await, [(1, Value::Null), (2, Value::Null), (3, json!("c"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_killed_at_random_instants_change_the_target_once() {
    let base = seed();
    let lab = widened(AUTO).await;
    let whole = lab.copy();
    whole.load();
    for case in 0..setting("HIGHWATER_EVOLVE_KILLS", 12) {
        let mut random = StdRng::seed_from_u64(seed_of(base, case));
        let crashed = lab.copy();
        for _ in 0..3 {
            let mut child =
                crashed.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(random.random_range(20..500))).await;
            let _ = child.kill();
            child.wait().unwrap();
        }
        crashed.load();
        assert_eq!(changes(&crashed).await, (1, 1, 1), "case {case}");
        assert_eq!(coupons(&crashed).await, coupons(&whole).await, "case {case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_people_at_once_change_the_target_once_and_load_each_row_once() {
    for round in 0..setting("HIGHWATER_EVOLVE_RACES", 4) {
        let lab = widened(AUTO).await;
        let commands: [&[&str]; 4] = [&["run"], &["run"], &["evolve"], &["evolve", "--add", "coupon"]];
        let children: Vec<_> = commands
            .iter()
            .map(|words| lab.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            // A run whose columns changed while it began takes them as they are when it is run again.
            assert!(matches!(output.status.code(), Some(0 | 3)), "round {round}: {output:?}");
        }
        assert_eq!(lab.json(&["run"]).0, Some(0), "round {round}");
        assert_eq!(changes(&lab).await, (1, 1, 1), "round {round}");
        assert_eq!(coupons(&lab).await, [(1, Value::Null), (2, json!("c"))], "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_refused_with_no_table_changed() {
    let lab = widened(TELL).await;
    let versions = lab.versions().await;
    for (words, part) in [
        (&["evolve", "--add", "coupons"] as &[&str], "a batch has no column `coupons`"),
        (&["evolve", "--add", "Coupon"], "a batch has no column `Coupon`"),
    ] {
        let (status, document) = lab.json(words);
        assert_eq!(status, Some(2), "{document:#}");
        assert!(document.to_string().contains(part), "{document:#}");
    }
    let columns = format!("{SRC}, times ARRAY<TIMESTAMP_NTZ>, at TIMESTAMP_NTZ");
    let times = json!({"times": ["2025-09-01T00:00:00"], "at": "2025-09-01T00:00:00"});
    becomes(&lab, &columns, &[row(2, 1, &times)]).await;
    let mut versions = versions;
    versions.insert("src", lab.table("src").await.version());
    for name in ["times", "at"] {
        let (status, document) = lab.json(&["evolve", "--add", name]);
        assert_eq!(status, Some(1), "{document:#}");
        assert!(document["impossible"].to_string().contains("TIMESTAMP_NTZ"), "{document:#}");
    }
    assert_eq!(lab.versions().await, versions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_adds_of_the_contract_what_staging_brings_and_a_person_the_rest() {
    let lab = loaded("{dropped_column: fail, evolve: auto}", "warn").await;
    let ddl = std::fs::read_to_string(lab.path().join("tgt.sql")).unwrap();
    std::fs::write(
        lab.path().join("tgt.sql"),
        ddl.replace("state STRING,", "state STRING, coupon STRING, `Ära` STRING,"),
    )
    .unwrap();
    lab.append("src", &row(2, 1, &json!({})).to_string()).await;
    let document = lab.load();
    assert_eq!(document["evolved"], Value::Null, "{document:#}");
    becomes(
        &lab,
        &format!("{SRC}, coupon STRING, `Ära` STRING"),
        &[row(3, 1, &json!({"coupon": "c", "Ära": "x"}))],
    )
    .await;
    let document = lab.load();
    assert_eq!(document["evolved"]["changes"].as_array().map(Vec::len), Some(2), "{document:#}");
    assert_eq!(coupons(&lab).await, [(1, Value::Null), (2, Value::Null), (3, json!("c"))]);
    assert_eq!(lab.json(&["run"]).1["status"], "already_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_column_that_would_make_the_target_unreadable_is_added() {
    let lab = loaded(AUTO, "warn").await;
    let ddl = std::fs::read_to_string(lab.path().join("tgt.sql")).unwrap();
    let nested = ddl.replace("state STRING,", "state STRING, parts STRUCT<a: ARRAY<TIMESTAMP_NTZ>>,");
    std::fs::write(lab.path().join("tgt.sql"), nested).unwrap();
    let (status, document) = lab.json(&["evolve"]);
    assert_eq!(status, Some(1), "{document:#}");
    assert!(document["impossible"].to_string().contains("TIMESTAMP_NTZ"), "{document:#}");
    assert_eq!(lab.json(&["run"]).1["status"], "already_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_replayed_after_staging_gained_a_column() {
    let lab = loaded(AUTO, "quarantine").await;
    lab.append("src", &row(2, 1, &json!({"state": "returned", "amount": 77})).to_string()).await;
    assert_eq!(lab.load()["counts"]["quarantined"], 1);
    becomes(&lab, &format!("{SRC}, coupon STRING"), &[row(3, 1, &json!({"coupon": "c"}))]).await;
    lab.json(&["evolve"]);
    lab.edit("values: [new, paid]", "values: [new, paid, returned]");
    let (status, document) = lab.json(&["quarantine", "replay"]);
    assert_eq!((status, &document["counts"]["inserted"]), (Some(0), &json!(1)), "{document:#}");
    let rows = values(&lab, "tgt").await;
    let replayed = rows.iter().find(|row| row["id"] == 2).unwrap();
    assert_eq!((&replayed["amount"], &replayed["coupon"]), (&json!(77), &Value::Null), "{replayed:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_with_a_value_in_a_column_that_is_gone_stay_open_and_others_lose_nothing_of_the_target() {
    let lab = loaded(TELL, "quarantine").await;
    lab.append("src", &row(2, 1, &json!({"state": "returned", "amount": 77})).to_string()).await;
    assert_eq!(lab.load()["counts"]["quarantined"], 1);
    // A newer version of a row that is there, kept out while staging lacks the column.
    let mut sent = row(1, 2, &json!({"state": "returned", "note": "later"}));
    sent.as_object_mut().unwrap().remove("amount");
    becomes(&lab, &SRC.replace(" amount INT,", ""), &[sent]).await;
    assert_eq!(lab.load()["counts"]["quarantined"], 1);
    lab.edit("values: [new, paid]", "values: [new, paid, returned]");
    let (status, document) = lab.json(&["quarantine", "replay"]);
    assert_eq!((status, &document["counts"]["updated"]), (Some(0), &json!(1)), "{document:#}");
    let rows = values(&lab, "tgt").await;
    assert_eq!((rows.len(), &rows[0]["amount"], &rows[0]["note"]), (1, &json!(5), &json!("later")));
    assert_eq!(lab.json(&["quarantine", "list"]).1["entries"].as_array().map(Vec::len), Some(1));
    // A person says that the column is not to be loaded.
    lab.edit("ddl: tgt.sql}", "ddl: tgt.sql, exclude: amount}");
    let (status, document) = lab.json(&["quarantine", "replay"]);
    assert_eq!((status, &document["counts"]["inserted"]), (Some(0), &json!(1)), "{document:#}");
}
