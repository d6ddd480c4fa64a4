//! Rows that a check keeps out: their entries, how they load after all, and how they stay out.

use highwater::contract::ddl::ColumnDef;
use highwater::model::types::{DataType, Field};
use serde_json::{Value, json};

use crate::common::Lab;
use crate::gate::{CUSTOMER, KNOWN, kept_out, order, quarantining, would_pass};

fn open(id: i64) -> (i64, String) {
    (id, "open".to_owned())
}

fn replayed(id: i64) -> (i64, String) {
    (id, "replayed".to_owned())
}

const REPLAY: [&str; 2] = ["quarantine", "replay"];

#[tokio::test(flavor = "multi_thread")]
async fn row_that_breaks_two_checks_is_one_entry_with_both_and_all_staged_columns() {
    let lab = quarantining().await;
    lab.edit(
        "accepted_range: {min: 0, action: warn, where",
        "accepted_range: {min: 0, action: quarantine, where",
    );
    lab.append("staging_orders", &order(104, 8, "2025-09-01", 1, "-4.00")).await;
    let document = lab.load();
    assert_eq!((&document["counts"]["quarantined"], &document["dq_errors"]), (&2.into(), &2.into()));
    let entries = lab.values("fact_orders_bad").await;
    assert_eq!(lab.entries().await, [open(103), open(104)]);
    let entry = entries.iter().find(|entry| entry["order_id"] == 104).unwrap();
    let errors: Vec<[&Value; 3]> = entry["dq_errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| [&error["check"], &error["column"], &error["value"]])
        .collect();
    let expected = [[KNOWN, "customer_id", "8"], ["accepted_range_total_amount", "total_amount", "-4.00"]];
    assert_eq!(json!(errors), json!(expected));
    assert_eq!((&entry["dq_pipeline"], &entry["dq_batch_id"]), (&"orders".into(), &document["batch_id"]));
    assert_eq!(entry["dq_quarantined_at"], "2025-09-01T00:10:00Z");

    let columns = lab.table("fact_orders_bad").await.columns().unwrap();
    let columns: Vec<&str> = columns.iter().map(|column| column.field.name.as_str()).collect();
    let staged = lab.table("staging_orders").await.columns().unwrap();
    let staged: Vec<&str> = staged.iter().map(|column| column.field.name.as_str()).collect();
    assert_eq!(columns[..staged.len()], staged[..]);
    assert!(columns[staged.len()..].iter().all(|name| name.starts_with("dq_")), "{columns:?}");
    let first = entries.iter().find(|entry| entry["order_id"] == 103).unwrap();
    assert_eq!((&first["source_file"], &first["customer_id"]), (&"orders_20250901".into(), &9.into()));
    lab.must_be_sound("two checks", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_met_again_in_later_windows_is_counted_and_not_doubled() {
    let lab = kept_out().await;
    let state = lab.rows("fact_orders_bad").await;
    for day in ["2025-09-02", "2025-09-03"] {
        let document = lab.expect(0, &["run", "--as-of", day]);
        assert_eq!((&document["status"], &document["counts"]["quarantined"]), (&"loaded".into(), &1.into()));
    }
    assert_eq!(lab.rows("fact_orders_bad").await, state);
    // The same row delivered again, in another file, is the same entry; a newer one is another.
    let again = r#"{"order_id":103,"customer_id":9,"order_date":"2025-09-01","updated_at":"2025-09-01T00:01:00Z","total_amount":"105.00","source_file":"again"}"#;
    lab.append("staging_orders", again).await;
    assert_eq!(lab.load()["counts"]["duplicate"], 1);
    assert_eq!(lab.rows("fact_orders_bad").await, state);
    lab.append("staging_orders", &order(103, 9, "2025-09-01", 2, "1.00")).await;
    assert_eq!(lab.load()["counts"]["quarantined"], 1);
    assert_eq!(lab.entries().await, [open(103), open(103)]);
    lab.must_be_sound("met again", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_that_passes_later_is_loaded_by_the_next_run_which_closes_its_entry() {
    let lab = would_pass().await;
    let document = lab.load();
    assert_eq!((&document["counts"]["inserted"], &document["counts"]["unchanged"]), (&1.into(), &3.into()));
    let entry = &lab.values("fact_orders_bad").await[0];
    assert_eq!((&entry["dq_status"], &entry["dq_resolution"]), (&"replayed".into(), &document["batch_id"]));
    assert_eq!(entry["dq_resolved_at"], "2025-09-01T00:10:00Z");
    // What it was kept out for stays with it.
    assert_eq!(entry["dq_errors"][0]["check"], KNOWN);
    lab.must_be_sound("closed", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_loads_what_is_selected_as_a_batch_of_its_own() {
    let lab = quarantining().await;
    let first = lab.load()["batch_id"].as_str().unwrap().to_owned();
    let rows = order(104, 8, "2025-08-31", 1, "4.00") + &order(105, 9, "2025-08-30", 2, "5.00");
    lab.append("staging_orders", &rows).await;
    lab.load();
    lab.append("dim_customer", &format!("{CUSTOMER}\n{}", CUSTOMER.replace(":9", ":8"))).await;
    let all = [103, 104, 105];
    let selections: [(&[&str], &[i64]); 8] = [
        (&[], &all),
        (&["--batch", &first], &[103]),
        (&["--key", "104"], &[104]),
        (&["--where", "total_amount > 4.5 AND order_date < DATE '2025-09-01'"], &[105]),
        (&["--check", KNOWN], &all),
        (&["--since", "2025-09-01"], &all),
        (&["--since", "2025-09-02"], &[]),
        (&["--check", "accepted_range_total_amount"], &[]),
    ];
    for (selection, closed) in selections {
        let lab = lab.copy();
        let arguments = [&REPLAY, selection].concat();
        let (before, watermark) = (lab.versions().await, lab.expect(0, &["status"])["watermark"].clone());
        let planned = lab.expect(0, &[&arguments[..], &["--dry-run"]].concat());
        assert_eq!(lab.versions().await, before, "{selection:?}");
        let document = lab.expect(0, &arguments);
        let status = if closed.is_empty() { "nothing_to_do" } else { "loaded" };
        assert_eq!(
            (&document["status"], &document["kind"]),
            (&status.into(), &"replay".into()),
            "{document:#}"
        );
        assert_eq!(document["counts"]["inserted"], closed.len(), "{selection:?}");
        assert_eq!((&planned["counts"], &planned["batch_id"]), (&document["counts"], &document["batch_id"]));
        let expected: Vec<_> =
            all.map(|id| if closed.contains(&id) { replayed(id) } else { open(id) }).into_iter().collect();
        assert_eq!(lab.entries().await, expected, "{selection:?}");
        // A person's choice says nothing about how far staging was loaded.
        assert_eq!(lab.expect(0, &["status"])["watermark"], watermark);
        let versions = lab.versions().await;
        assert_eq!(lab.expect(0, &arguments)["status"], "nothing_to_do", "{selection:?}");
        assert_eq!(lab.versions().await, versions, "{selection:?}");
        lab.must_be_sound(&format!("{selection:?}"), &["orders"], 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_of_rows_that_still_fail_changes_nothing() {
    let lab = kept_out().await;
    let (versions, state) = (lab.versions().await, lab.state().await);
    for _ in 0..2 {
        let document = lab.expect(0, &REPLAY);
        assert_eq!(
            (&document["status"], &document["counts"]["quarantined"]),
            (&"nothing_to_do".into(), &1.into())
        );
    }
    assert_eq!((lab.versions().await, lab.state().await), (versions, state));
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_never_writes_over_a_newer_row_and_closes_its_entry_as_stale() {
    let lab = kept_out().await;
    lab.append("staging_orders", &order(103, 1, "2025-09-01", 3, "3.00")).await;
    lab.load();
    let orders = lab.orders().await;
    lab.append("dim_customer", CUSTOMER).await;
    let document = lab.expect(0, &REPLAY);
    assert_eq!((&document["status"], &document["counts"]["stale"]), (&"loaded".into(), &1.into()));
    assert_eq!(lab.orders().await, orders);
    let entry = &lab.values("fact_orders_bad").await[0];
    assert_eq!((&entry["dq_status"], &entry["dq_resolution"]), (&"stale".into(), &document["batch_id"]));
    lab.must_be_sound("stale", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discarded_row_stays_out_though_it_would_pass() {
    let lab = kept_out().await;
    let discard = ["quarantine", "discard", "--key", "103", "--reason", "a test order"];
    assert_eq!(lab.expect(0, &discard)["discarded"], 1);
    let versions = lab.versions().await;
    assert_eq!(lab.expect(0, &discard)["discarded"], 0);
    assert_eq!(lab.versions().await, versions);
    let entry = &lab.values("fact_orders_bad").await[0];
    assert_eq!((&entry["dq_status"], &entry["dq_resolution"]), (&"discarded".into(), &"a test order".into()));

    lab.append("dim_customer", CUSTOMER).await;
    let document = lab.load();
    assert_eq!((&document["counts"]["quarantined"], &document["counts"]["inserted"]), (&1.into(), &0.into()));
    assert_eq!(lab.expect(0, &REPLAY)["status"], "nothing_to_do");
    assert_eq!(lab.entries().await, [(103, "discarded".to_owned())]);
    lab.must_be_sound("discarded", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn list_and_show_tell_each_entry_with_what_is_wrong() {
    let lab = kept_out().await;
    lab.append("staging_orders", &order(104, 8, "2025-09-01", 1, "4.00")).await;
    lab.load();
    let list = |arguments: &[&str]| lab.expect(0, &[&["quarantine", "list"], arguments].concat());
    let all = list(&[]);
    assert_eq!((&all["selected"], &all["table"]), (&2.into(), &"fact_orders_bad".into()));
    let one = list(&["--limit", "1"]);
    assert_eq!((&one["selected"], one["entries"].as_array().unwrap().len()), (&2.into(), 1));
    assert_eq!(list(&["--key", "104"])["entries"][0]["total_amount"], "4.00");
    assert_eq!(list(&["--status", "replayed"])["selected"], 0);
    let shown = lab.expect(0, &["quarantine", "show", "103"]);
    assert_eq!(shown["entries"][0]["dq_errors"][0]["value"], "9");
    let text = |arguments: &[&str]| {
        let output = lab.run(arguments);
        assert_eq!(output.status.code(), Some(0));
        // A line that is too long goes on in the next.
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let list = text(&["quarantine", "list"]);
    let told = "relationships_customer_id: customer_id = 9 must be found in dim_customer.customer_id";
    assert!(list.contains("2 entries") && list.contains(told), "{list}");
    let shown = text(&["quarantine", "show", "103"]);
    assert!(shown.contains("source_file") && shown.contains("105.00") && shown.contains(told), "{shown}");
    assert!(!shown.contains("order_id 104"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn selections_of_what_is_not_there_are_usage_errors() {
    let lab = kept_out().await;
    let versions = lab.versions().await;
    let wrong: [(&[&str], &str); 6] = [
        (&["list", "--where", "nope = 1"], "nope"),
        (&["replay", "--where", "nope = 1"], "nope"),
        (&["replay", "--where", "order_id + 1"], "not true or false"),
        (&["replay", "--key", "103", "--key", "2"], "2 values"),
        (&["discard", "--where", "order_id = ", "--reason", "x"], "--where"),
        (&["show", "99"], "99"),
    ];
    for (arguments, told) in wrong {
        let error = lab.expect(2, &[&["quarantine"], arguments].concat());
        assert!(error["error"]["message"].as_str().unwrap().contains(told), "{arguments:?}: {error:#}");
    }
    // Nothing is discarded for want of a selection.
    for arguments in [&["--reason", "x"][..], &["--all"], &["--all", "--key", "103", "--reason", "x"]] {
        lab.expect(2, &[&["quarantine", "discard"], arguments].concat());
    }
    assert_eq!(lab.versions().await, versions);
    assert_eq!(lab.entries().await, [open(103)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn column_that_staging_got_after_init_is_kept_with_the_rows() {
    let lab = kept_out().await;
    let note = ColumnDef {
        field: Field { name: "note".to_owned(), data_type: DataType::String, nullable: true },
        comment: None,
    };
    lab.table("staging_orders").await.add_columns(&[note]).await.unwrap();
    lab.edit("exclude: []", "exclude: [note]");
    let row = order(104, 8, "2025-09-01", 1, "4.00").replace('}', r#","note":"by phone"}"#);
    lab.append("staging_orders", &row).await;
    lab.load();
    let entries = lab.values("fact_orders_bad").await;
    let note = |id: i64| entries.iter().find(|entry| entry["order_id"] == id).unwrap()["note"].clone();
    assert_eq!((note(103), note(104)), (Value::Null, "by phone".into()));
    lab.append("dim_customer", CUSTOMER).await;
    assert_eq!(lab.expect(0, &REPLAY)["counts"]["inserted"], 1);
    assert_eq!(lab.entries().await, [replayed(103), open(104)]);
    lab.must_be_sound("a new column", &["orders"], 1).await;
}

/// Bad and good rows in the same partitions, one partition a commit.
async fn grouped() -> Lab {
    let lab = quarantining().await;
    lab.edit("partitions_per_commit: 400", "partitions_per_commit: 1");
    let rows = order(104, 1, "2025-09-01", 1, "4.00")
        + &order(106, 9, "2025-08-31", 1, "6.00")
        + &order(107, 9, "2025-08-26", 1, "7.00");
    lab.append("staging_orders", &rows).await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_between_groups_keeps_out_what_the_first_group_kept_out() {
    let lab = grouped().await;
    let whole = lab.copy();
    assert_eq!(whole.load()["counts"]["quarantined"], 3);
    let (versions, state) = (whole.versions().await, whole.state().await);
    assert_eq!(whole.entries().await, [open(103), open(106), open(107)]);
    whole.must_be_sound("groups", &["orders"], 1).await;
    for point in ["merge:0:after", "merge:1:after", "merge:2:after", "merge:3:after", "quarantine:before"] {
        let crashed = lab.copy();
        crashed.die(&["run"], point);
        crashed.load();
        assert_eq!(crashed.state().await, state, "{point}");
        assert_eq!(crashed.versions().await, versions, "{point}");
    }
    // Customer and checks may change meanwhile: the batch is finished as it was begun, the next one loads the rows.
    let crashed = lab.copy();
    crashed.die(&["run"], "merge:1:before");
    crashed.append("dim_customer", CUSTOMER).await;
    crashed.edit("accepted_range: {min: 0, action: warn", "accepted_range: {min: 5, action: quarantine");
    let document = crashed.load();
    assert_eq!((&document["sequence"], &document["recovered"][0]), (&2.into(), &batch_of(&crashed, 1).await));
    assert_eq!((&document["counts"]["inserted"], &document["counts"]["quarantined"]), (&3.into(), &0.into()));
    assert_eq!(crashed.entries().await, [replayed(103), replayed(106), replayed(107)]);
    crashed.must_be_sound("groups and a customer", &["orders"], 1).await;
}

async fn batch_of(lab: &Lab, sequence: i64) -> Value {
    let rows = lab.values("loads_audit").await;
    rows.iter().find(|row| row["sequence"] == sequence).unwrap()["batch_id"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_between_groups_of_a_replay_is_finished_by_any_next_command() {
    let lab = grouped().await;
    lab.load();
    lab.append("dim_customer", CUSTOMER).await;
    let whole = lab.copy();
    assert_eq!(whole.expect(0, &REPLAY)["counts"]["inserted"], 3);
    let (versions, state) = (whole.versions().await, whole.state().await);
    for point in ["merge:0:after", "merge:1:after", "merge:2:after"] {
        let crashed = lab.copy();
        crashed.die(&REPLAY, point);
        crashed.expect(0, &REPLAY);
        assert_eq!(crashed.state().await, state, "{point}");
        assert_eq!(crashed.versions().await, versions, "{point}");
    }
    let crashed = lab.copy();
    crashed.die(&REPLAY, "merge:0:after");
    crashed.load();
    assert_eq!(crashed.entries().await, [replayed(103), replayed(106), replayed(107)]);
    assert_eq!(crashed.orders().await, whole.orders().await);
    crashed.must_be_sound("a replay in groups", &["orders"], 1).await;
}
