//! Rows of staging that are made anew from the files that they came in.

use std::process::Command;

use deltalake::datafusion::prelude::{col, lit};
use serde_json::{Value, json};

use super::{lab, packed, write};
use crate::common::{CLOCK, Lab, json_of};

/// A command at another time than the clock of the labs.
fn at(lab: &Lab, time: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command: Command = lab.command(arguments);
    command.env("HIGHWATER_CLOCK", time);
    json_of(command)
}

/// Takes rows out of staging behind its back.
async fn lose(lab: &Lab, condition: deltalake::datafusion::prelude::Expr) {
    let table = lab.delta("src").await;
    let (_, metrics) = table.delete().with_predicate(condition).await.unwrap();
    assert!(metrics.num_deleted_rows.is_none_or(|rows| rows > 0));
}

/// Two days' files: more rows than a batch of Arrow holds, packed ones, and rows that cannot be read.
fn filled() -> Lab {
    let lab = lab();
    let many: Vec<String> = (0..20_000).map(|id| format!("{id},1,name {id}")).collect();
    write(&lab, "one/many.csv.gz", packed(&format!("id,v,name\n{}\n", many.join("\n"))));
    write(&lab, "one/few.csv", "id,v,name\n1,2,a\nx,1,b\n");
    assert_eq!(at(&lab, "2025-08-30T06:00:00.123456Z", &["ingest"]).0, Some(0));
    write(&lab, "two/next.ndjson", "{\"id\":30000,\"v\":1,\"name\":\"c\",\"x\":0.1}\n{\"id\":1,\"v\":3}\n");
    assert_eq!(at(&lab, "2025-08-31T06:00:00Z", &["ingest"]).0, Some(0));
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_and_changed_rows_are_the_same_again_and_no_others_are_touched() {
    let lab = filled();
    lab.load();
    let whole = lab.rows("src").await;
    assert_eq!(whole.len(), 20_003);
    let loaded = lab.rows("tgt").await;
    // Nothing is lost, and nothing is done.
    let before = lab.versions().await;
    let (status, document) = lab.json(&["replay", "--from-raw"]);
    assert_eq!(
        (status, &document["status"], &document["as_they_came"]),
        (Some(0), &json!("as_they_came"), &json!(3)),
        "{document:#}"
    );
    assert_eq!(lab.versions().await, before);

    lose(&lab, col("source_row").gt(lit(15_000_i64))).await;
    let table = lab.delta("src").await;
    let update =
        table.update().with_predicate(col("id").eq(lit(30_000_i64))).with_update("name", lit("changed"));
    update.await.unwrap();
    let before = lab.versions().await;
    let (status, document) = lab.json(&["replay", "--from-raw", "--dry-run"]);
    assert_eq!((status, &document["status"]), (Some(0), &json!("would_replay")), "{document:#}");
    assert_eq!(lab.versions().await, before);
    // Of the second day alone.
    let (status, document) = lab.json(&["replay", "--from-raw", "--since", "2025-08-31"]);
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!(document["replayed"][0]["path"], "two/next.ndjson", "{document:#}");
    assert_eq!(
        (&document["replayed"][0]["rows"], &document["replayed"][0]["instead_of"]),
        (&json!(2), &json!(2))
    );
    let (status, document) = lab.json(&["replay", "--from-raw"]);
    assert_eq!((status, document["replayed"].as_array().map(Vec::len)), (Some(0), Some(1)), "{document:#}");
    assert_eq!(document["replayed"][0]["path"], "one/many.csv.gz");
    assert_eq!(lab.rows("src").await, whole);
    assert_eq!(lab.versions().await["src"], before["src"] + 2);
    // What comes of it is what there was.
    let document = lab.load();
    let counts = &document["counts"];
    assert_eq!((&counts["inserted"], &counts["updated"]), (&json!(0), &json!(0)), "{document:#}");
    assert_eq!(lab.rows("tgt").await, loaded);
    assert_eq!(lab.json(&["replay", "--from-raw"]).1["status"], "as_they_came");
    assert_eq!(lab.json(&["ingest"]).1["status"], "nothing_new");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_gone_or_hold_something_else_are_told_and_their_rows_stay() {
    let lab = filled();
    lose(&lab, col("source_file").eq(lit("one/few.csv"))).await;
    lose(&lab, col("id").eq(lit(30_000_i64))).await;
    let before = lab.rows("src").await;
    write(&lab, "one/few.csv", "id,v,name\n1,2,other\n");
    std::fs::remove_file(lab.path().join("raw/two/next.ndjson")).unwrap();
    let (status, document) = lab.json(&["replay", "--from-raw"]);
    assert_eq!((status, &document["status"]), (Some(1), &json!("as_they_came")), "{document:#}");
    assert_eq!(document["gone"], json!(["one/few.csv", "two/next.ndjson"]));
    assert_eq!(lab.rows("src").await, before);
    // All of staging's rows are lost of a file that is still there.
    lose(&lab, col("source_file").eq(lit("one/many.csv.gz"))).await;
    let (status, document) = lab.json(&["replay", "--from-raw"]);
    assert_eq!((status, &document["replayed"][0]["instead_of"]), (Some(1), &json!(0)), "{document:#}");
    assert_eq!(lab.rows("src").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_ingest_is_finished_first_and_a_pipeline_without_files_has_none() {
    let lab = filled();
    write(&lab, "three.csv", "id,v\n7,9\n");
    lab.die(&["ingest"], "ingest:after");
    let (status, document) = at(&lab, CLOCK, &["replay", "--from-raw"]);
    assert_eq!(status, Some(4), "{document:#}");
    assert!(document["error"].to_string().contains("an ingest is unfinished"), "{document:#}");
    assert_eq!(lab.json(&["ingest"]).0, Some(0));
    assert_eq!(lab.json(&["replay", "--from-raw"]).1["as_they_came"], 4);
    let other = Lab::reference().await;
    let refused = other.expect(2, &["replay", "--from-raw"]);
    assert!(refused["error"].to_string().contains("brings no files in"), "{refused:#}");
}
