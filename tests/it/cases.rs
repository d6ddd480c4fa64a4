//! `test`: a pipeline tried on rows of a person's own, in memory.

use serde_json::{Value, json};

use crate::common::Lab;

async fn lab() -> Lab {
    Lab::reference().await
}

fn tried(lab: &Lab, tests: &str) -> (Option<i32>, Value) {
    std::fs::write(lab.path().join("orders.tests.yaml"), tests).unwrap();
    lab.json(&["test"])
}

/// What is told of the only test.
fn differences(document: &Value) -> Vec<String> {
    serde_json::from_value(document["tests"][0]["differences"].clone()).unwrap()
}

const GIVEN: &str = r#"
one:
  as_of: 2025-09-01
  given:
    staging:
      - {order_id: 1, customer_id: 1, order_date: 2025-08-31, updated_at: "2025-08-31T10:00:00Z", total_amount: 5}
      - {order_id: 1, customer_id: 1, order_date: 2025-08-31, updated_at: "2025-08-31T12:00:00Z", total_amount: 7.50}
      - {order_id: 2, customer_id: 1, order_date: 2025-08-30, updated_at: "2025-08-31T12:00:00Z", total_amount: 1}
    target:
      - {order_id: 1, order_date: 2025-08-31, updated_at: "2025-08-30T10:00:00Z", total_amount: 1}
      - {order_id: 7, order_date: 2025-08-31, updated_at: "2025-08-30T10:00:00Z", total_amount: 3}
    dim_customer: [{customer_id: 1}]
  expect:
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_as_expected_passes_and_no_table_is_touched() {
    let lab = lab().await;
    let (versions, state) = (lab.versions().await, lab.state().await);
    let expect = "    status: loaded
    counts: {inserted: 1, updated: 1, superseded: 1, staged: 3}
    watermark: 2025-08-30
    quarantine: []
    checks: {relationships_customer_id: passed}
    target: [{order_id: 7}, {order_id: 1, total_amount: 7.5, updated_at: \"2025-08-31T12:00:00Z\"}, {order_id: 2, customer_id: 1}]
";
    let (status, document) = tried(&lab, &format!("{GIVEN}{expect}"));
    assert_eq!((status, &document["passed"]), (Some(0), &json!(1)), "{document:#}");
    assert_eq!((lab.versions().await, lab.state().await), (versions, state));
    // The same without tables: their DDL files say the columns.
    let file = std::fs::read_to_string(lab.config()).unwrap();
    assert!(!file.contains("ddl:"), "the demo's file names no DDL");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_not_as_expected_is_told() {
    let lab = lab().await;
    for (expect, told) in [
        ("{status: rejected}", "status is loaded, not rejected"),
        ("{counts: {updated: 2}}", "counts.updated is 1, not 2"),
        ("{counts: {updatd: 2}}", "counts.updatd is no class of rows, not 2"),
        (
            "{checks: {relationships_customer_id: failed}}",
            "checks.relationships_customer_id is passed, not failed",
        ),
        ("{checks: {nobody: failed}}", "checks.nobody is no check, not failed"),
        ("{watermark: 2025-08-29}", "watermark is 2025-08-30, not 2025-08-29"),
        (
            "{target: [{order_id: 1}, {order_id: 2}]}",
            "target has a row that is not expected: {\"order_id\":7}",
        ),
        ("{target: [{order_id: 1}, {order_id: 2}, {order_id: 8}]}", "target lacks a row {\"order_id\":8}"),
        (
            "{target: [{order_id: 1}, {order_id: 2}, {order_id: 7, total_amount: 3.01}]}",
            "\"total_amount\":\"3.01\"",
        ),
        (
            "{target: [{order_id: 1}, {order_id: 2}, {order_id: 7}, {order_id: 7}]}",
            "target lacks a row {\"order_id\":7}",
        ),
        ("{quarantine: [{order_id: 1}]}", "quarantine lacks a row {\"order_id\":1}"),
    ] {
        let (status, document) = tried(&lab, &format!("{GIVEN}    {expect}\n"));
        assert_eq!(status, Some(1), "{expect}: {document:#}");
        assert!(differences(&document).iter().any(|line| line.contains(told)), "{expect}: {document:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_understood_is_told_with_what_to_write() {
    let lab = lab().await;
    for (tests, told) in [
        ("one: {expct: {}}", "unknown field `expct`"),
        ("one: {expect: {}, given: {stagin: []}}", "the tables are staging, target, dim_customer"),
        ("one: {expect: {}, given: {staging: [{order_idd: 1}]}}", "no column `order_idd`"),
        ("one: {expect: {}, given: {staging: [{order_id: many}]}}", "cannot hold a row of the test"),
        ("one: {expect: {target: [{order_idd: 1}]}}", "no column `order_idd`"),
        ("one: {expect: {}, given: {target: [{order_id: 1}]}}", "`updated_at` of `fact_orders` is NOT NULL"),
        ("one: [", "not valid YAML"),
    ] {
        let (status, document) = tried(&lab, tests);
        assert_eq!(status, Some(2), "{tests}: {document:#}");
        assert!(document.to_string().contains(told), "{tests}: {document:#}");
    }
    std::fs::remove_file(lab.path().join("orders.tests.yaml")).unwrap();
    let (status, document) = lab.json(&["test"]);
    assert_eq!(status, Some(2), "{document:#}");
    assert!(document["error"]["message"].as_str().unwrap().contains("orders.tests.yaml"), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mappings_and_masks_are_tried_where_no_table_is() {
    let file = "name: feed\nsource: {table: src, ddl: src.sql}\ntarget: tgt\nunique_key: id\nupdated_at: at\n\
                incremental: {mode: changes}\ncolumns: {id: {from: Ref No.}, note: {mask: redact}}\n";
    let ddl = "CREATE TABLE src (`Ref No.` STRING, at TIMESTAMP, note STRING) USING DELTA";
    let lab = Lab::custom(file, &[("src", ddl)]);
    for table in ["src", "tgt", "tgt_bad", "loads_audit", "load_watermarks", "loads_attempts"] {
        std::fs::remove_dir_all(lab.path().join(table)).unwrap();
    }
    let tests = "masked:\n  given: {staging: [{Ref No.: a, at: '2025-08-31T10:00:00Z', note: secret}]}\n  \
                 expect: {target: [{id: a, note: '***'}], counts: {inserted: 1}}\n";
    std::fs::write(lab.path().join("pipeline.tests.yaml"), tests).unwrap();
    let (status, document) = lab.json(&["test"]);
    assert_eq!((status, &document["passed"]), (Some(0), &json!(1)), "{document:#}");
    assert!(!lab.path().join("tgt").exists());
}
