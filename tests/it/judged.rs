//! A row is judged once: what a load in effect kept out, or a person discarded, holds no later batch up.

use highwater::protocol::Stamp;
use serde_json::{Value, json};

use crate::common::{Lab, setting};
use crate::gate::{CUSTOMER, KNOWN, order, quarantining, rejecting};
use crate::recovery::clean_log;

/// Runs a load of this day, which must end with this exit status.
fn run_on(lab: &Lab, status: i32, day: &str) -> Value {
    lab.expect(status, &["run", "--as-of", day])
}

/// What a check found: rows examined, rows that failed, verdict.
fn found(document: &Value, name: &str) -> (i64, i64, String) {
    let checks = document["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    let number = |key: &str| check[key].as_i64().unwrap();
    (number("examined"), number("failed"), check["verdict"].as_str().unwrap().to_owned())
}

fn count(document: &Value, class: &str) -> i64 {
    document["counts"][class].as_i64().unwrap()
}

async fn batch_of_entry(lab: &Lab) -> Value {
    let entries = lab.values("fact_orders_bad").await;
    assert_eq!(entries.len(), 1, "{entries:#?}");
    entries[0]["dq_batch_id"].clone()
}

/// Another order of the last of the reference case's days, so that the window is not empty when the others left it.
async fn deliver(lab: &Lab, id: u32, day: &str) {
    lab.append("staging_orders", &order(id, 1, day, 3, "3.00")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orphan_of_the_first_day_rejects_no_later_day() {
    let lab = Lab::reference().await;
    assert_eq!(count(&lab.load(), "quarantined"), 1);
    let discarded = lab.copy();
    let discard = ["quarantine", "discard", "--all", "--reason", "no use"];
    assert_eq!(discarded.expect(0, &discard)["discarded"], 1);
    for lab in [&lab, &discarded] {
        let entries = lab.rows("fact_orders_bad").await;
        // On the second of these days it is one of three rows, and more than 25 % of them.
        for day in ["2025-09-02", "2025-09-03", "2025-09-07"] {
            let next = ["--as-of", day];
            let planned = lab.expect(0, &[&["plan"], &next[..]].concat());
            let checked = lab.expect(0, &[&["check"], &next[..]].concat());
            let document = run_on(lab, 0, day);
            assert_eq!(document["counts"], planned["counts"], "{day}");
            assert_eq!(document["checks"], checked["checks"], "{day}");
            assert_eq!(count(&document, "quarantined"), 1, "{day}");
            let (staged, deduped) = (count(&document, "staged"), count(&document, "deduped"));
            for check in document["checks"].as_array().unwrap() {
                let rows = if check["name"] == "row_count" { staged } else { deduped };
                assert_eq!(check["examined"], rows - 1, "{check:#}");
                assert!(check["failed"] == 0 || check["name"] == "row_count_change", "{check:#}");
            }
            assert_eq!(document["dq_errors"], 0, "{day}");
        }
        assert_eq!(lab.rows("fact_orders_bad").await, entries);
        lab.must_be_sound("judged once", &["orders"], 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_kept_out_before_loads_when_it_passes_and_stays_out_for_a_check_that_came_since() {
    let lab = quarantining().await;
    lab.load();
    lab.append("dim_customer", CUSTOMER).await;
    // It breaks this one alone, and is not judged by it: nothing is rejected.
    let strict = lab.copy();
    strict.edit("accepted_range: {min: 0, action: warn", "accepted_range: {max: 100, action: fail");
    let document = run_on(&strict, 0, "2025-09-02");
    assert_eq!((count(&document, "quarantined"), count(&document, "inserted")), (1, 0));
    assert_eq!(found(&document, "accepted_range_total_amount"), (3, 0, "passed".to_owned()));
    assert_eq!(strict.entries().await, [(103, "open".to_owned())]);
    strict.must_be_sound("a check that came since", &["orders"], 1).await;
    // A person may accept it, as for any other row; then it is one like any other.
    let accept = ["--accept", "accepted_range_total_amount", "--reason", "fine"];
    let document = strict.expect(0, &[&["run", "--as-of", "2025-09-03"], &accept[..]].concat());
    assert_eq!(count(&document, "inserted"), 1);
    assert_eq!(found(&document, "accepted_range_total_amount"), (3, 1, "accepted".to_owned()));

    let document = run_on(&lab, 0, "2025-09-02");
    assert_eq!((count(&document, "quarantined"), count(&document, "inserted")), (0, 1));
    assert_eq!(found(&document, KNOWN), (4, 0, "passed".to_owned()));
    assert_eq!(lab.entries().await, [(103, "replayed".to_owned())]);
    lab.must_be_sound("passes", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_of_a_rejection_is_judged_until_a_load_keeps_it_out_that_is_not_taken_back() {
    let lab = rejecting().await;
    let rejection = lab.expect(1, &["run"]);
    assert_eq!(batch_of_entry(&lab).await, rejection["batch_id"]);
    let again = run_on(&lab, 1, "2025-09-02");
    assert_eq!(found(&again, KNOWN), (4, 1, "failed".to_owned()));
    assert_eq!(batch_of_entry(&lab).await, rejection["batch_id"]);

    let keeping = lab.variant("keeping.yaml", "action: fail}   # * error_if", "action: quarantine}");
    let (code, kept) = crate::common::json_of(lab.command_with(&keeping, &["run", "--as-of", "2025-09-02"]));
    assert_eq!((code, found(&kept, KNOWN)), (Some(0), (4, 1, "quarantined".to_owned())), "{kept:#}");
    // The entry is that load's from now on, and the row is judged no more.
    assert_eq!(batch_of_entry(&lab).await, kept["batch_id"]);
    let taken_back = lab.copy();
    let next = run_on(&lab, 0, "2025-09-03");
    assert_eq!((count(&next, "quarantined"), found(&next, KNOWN)), (1, (2, 0, "passed".to_owned())));
    assert_eq!(batch_of_entry(&lab).await, kept["batch_id"]);
    lab.must_be_sound("kept out", &["orders"], 1).await;

    taken_back.expect(0, &["rollback", "--last"]);
    let next = run_on(&taken_back, 1, "2025-09-03");
    // A first batch again, whose window begins after order 100.
    assert_eq!(found(&next, KNOWN), (3, 1, "failed".to_owned()));
    taken_back.must_be_sound("taken back", &["orders"], 1).await;
}

/// Rows that lack one of the required values, with the column.
const LACKING: [(&str, &str); 4] = [
    ("order_id", r#"{"order_id":null,"order_date":"2025-08-30","updated_at":"2025-08-30T00:00:00Z"}"#),
    ("updated_at", r#"{"order_id":400,"order_date":"2025-08-30","updated_at":null}"#),
    ("order_date", r#"{"order_id":400,"order_date":null,"updated_at":"2025-08-30T00:00:00Z"}"#),
    ("order_id", r#"{"order_id":null,"order_date":null,"updated_at":null,"total_amount":"1.00"}"#),
];

#[tokio::test(flavor = "multi_thread")]
async fn discarded_row_without_key_version_or_watermark_value_is_quarantined_and_the_rest_loads() {
    for (column, row) in LACKING {
        let lab = quarantining().await;
        lab.append("staging_orders", row).await;
        lab.expect(1, &["run"]);
        let discard = ["quarantine", "discard", "--where", "order_id IS DISTINCT FROM 103", "--reason", "x"];
        assert_eq!(lab.expect(0, &discard)["discarded"], 1, "{column}");
        let planned = lab.expect(0, &["plan"]);
        let checked = lab.expect(0, &["check"]);
        let document = lab.expect(0, &["run"]);
        assert_eq!((&document["counts"], &document["checks"]), (&planned["counts"], &checked["checks"]));
        let counts = ["staged", "deduped", "inserted", "quarantined"].map(|class| count(&document, class));
        assert_eq!(counts, [6, 5, 2, 2], "{column}: {document:#}");
        assert_eq!(found(&document, &format!("not_null_{column}")), (4, 0, "passed".to_owned()));
        assert_eq!(document["watermark"]["after"], "2025-08-30");
        assert_eq!(lab.expect(0, &["run"])["status"], "already_loaded");
        assert_eq!(count(&run_on(&lab, 0, "2025-09-02"), "quarantined"), 2, "{column}");
        let audit = lab.values("loads_audit").await;
        assert_eq!(audit.iter().filter(|row| row["status"] == "loaded").count(), 2);
    }
}

/// Has the pipeline keep out rows without a value in this column, instead of rejecting the batch; with more checks.
fn keep_out(lab: &Lab, column: &str, more: &str) {
    let keeps = format!("{column}: {{checks: [{{not_null: {{action: quarantine}}}}{more}]}}");
    if column == "order_date" {
        lab.edit("\n  customer_id:", &format!("\n  {keeps}\n  customer_id:"));
    } else {
        let built_in = format!("{:11} {{checks: [{{not_null: {{action: fail}}}}]}}", format!("{column}:"));
        lab.edit(&built_in, &keeps);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_key_version_or_watermark_value_are_kept_out_one_by_one_where_the_file_says_so() {
    for (column, row) in &LACKING[..3] {
        let lab = quarantining().await;
        keep_out(&lab, column, "");
        // The first and the second are alike in all that is loaded, and one entry.
        let other = row.replace("2025-08-30", "2025-08-31").replace("400", "401");
        lab.append("staging_orders", &format!("{row}\n{row}\n{other}")).await;
        let planned = lab.expect(0, &["plan"]);
        let document = lab.expect(0, &["run"]);
        assert_eq!(document["counts"], planned["counts"], "{column}");
        let counts = ["staged", "deduped", "inserted", "quarantined"].map(|class| count(&document, class));
        assert_eq!(counts, [8, 7, 2, 4], "{column}: {document:#}");
        assert_eq!(found(&document, &format!("not_null_{column}")), (7, 3, "quarantined".to_owned()));
        let entries = lab.values("fact_orders_bad").await;
        let broke = |entry: &&Value| entry["dq_errors"][0]["check"] == format!("not_null_{column}");
        assert_eq!((entries.len(), entries.iter().filter(broke).count()), (3, 2), "{entries:#?}");
        assert_eq!(document["watermark"]["after"], "2025-08-30", "{column}");
        assert_eq!(lab.expect(0, &["run"])["status"], "already_loaded");

        let state = lab.rows("fact_orders_bad").await;
        let next = run_on(&lab, 0, "2025-09-02");
        assert_eq!(count(&next, "quarantined"), 4, "{column}: {next:#}");
        assert_eq!(found(&next, &format!("not_null_{column}")), (3, 0, "passed".to_owned()));
        assert_eq!(lab.rows("fact_orders_bad").await, state);
        // Nobody can ever load them.
        lab.append("dim_customer", CUSTOMER).await;
        let replayed = lab.expect(0, &["quarantine", "replay"]);
        assert_eq!((count(&replayed, "staged"), count(&replayed, "inserted")), (1, 1), "{column}");
        lab.expect(0, &["rollback", "--last"]);
    }
}

/// A pipeline whose watermark column is not loaded, so that no row hash tells whether it has a value.
fn undated() -> Lab {
    let file = "name: p\nsource: {table: src, ddl: src.sql}\ntarget: {table: tgt, ddl: tgt.sql, exclude: [day]}\n\
                unique_key: id\nupdated_at: v\nincremental: {mode: changes, column: day}\nas_of: 2025-09-01\n\
                columns: {day: {checks: [{not_null: {action: quarantine}}]}}\n";
    let ddl = [
        ("src", "CREATE TABLE src (id BIGINT, v BIGINT, day DATE, s STRING) USING DELTA"),
        (
            "tgt",
            "CREATE TABLE tgt (id BIGINT NOT NULL, v BIGINT, s STRING, load_batch_id STRING, loaded_at TIMESTAMP, \
             row_hash STRING, PRIMARY KEY (id)) USING DELTA",
        ),
    ];
    Lab::custom(file, &ddl)
}

#[tokio::test(flavor = "multi_thread")]
async fn row_without_a_watermark_value_is_not_taken_for_the_same_row_that_has_one() {
    let lab = undated();
    let row = |id: i64, day: Option<&str>| format!("{}\n", json!({"id": id, "v": 1, "day": day, "s": "x"}));
    let both = row(1, None) + &row(1, Some("2025-08-30"));
    lab.append("src", &(both + &row(2, None))).await;
    let document = lab.load();
    let counts = ["staged", "deduped", "inserted", "quarantined"].map(|class| count(&document, class));
    assert_eq!(counts, [3, 3, 1, 2], "{document:#}");
    let open = |entries: &[Value]| entries.iter().filter(|entry| entry["dq_status"] == "open").count();
    assert_eq!(open(&lab.values("tgt_bad").await), 2);
    // Discarded, such a row keeps nothing else out.
    lab.expect(0, &["quarantine", "discard", "--all", "--reason", "x"]);
    lab.append("src", &(row(2, Some("2025-08-31")) + &row(2, None))).await;
    let document = run_on(&lab, 0, "2025-09-02");
    let counts = ["staged", "deduped", "inserted", "quarantined"].map(|class| count(&document, class));
    assert_eq!(counts, [2, 2, 1, 1], "{document:#}");
    let entries = lab.values("tgt_bad").await;
    assert_eq!((entries.len(), open(&entries)), (2, 0), "{entries:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doubles_stay_out_together_until_one_of_them_is_discarded() {
    let lab = quarantining().await;
    lab.edit(
        "\nchecks:",
        "\nchecks:\n  - unique: {columns: [customer_id, total_amount], action: quarantine}",
    );
    let rows = order(201, 1, "2025-09-01", 1, "7.00") + &order(202, 1, "2025-09-01", 1, "7.00");
    lab.append("staging_orders", &rows).await;
    assert_eq!(count(&lab.load(), "quarantined"), 3);
    let next = run_on(&lab, 0, "2025-09-02");
    assert_eq!((count(&next, "quarantined"), count(&next, "inserted")), (3, 0));
    assert_eq!(found(&next, "unique_customer_id_total_amount"), (3, 0, "passed".to_owned()));
    // A third that comes later is no double of rows that are not there.
    deliver(&lab, 203, "2025-09-01").await;
    lab.expect(0, &["quarantine", "discard", "--key", "201", "--reason", "a double"]);
    let next = run_on(&lab, 0, "2025-09-03");
    assert_eq!((count(&next, "quarantined"), count(&next, "inserted")), (2, 2));
    let states = [(103, "open"), (201, "discarded"), (202, "replayed")];
    assert_eq!(lab.entries().await, states.map(|(id, status)| (id, status.to_owned())));
    lab.must_be_sound("doubles", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn null_rate_of_a_key_column_and_ties_do_not_see_rows_judged_before() {
    let lab = quarantining().await;
    keep_out(&lab, "order_id", ", {null_rate: {max: 15 %}}");
    let row = LACKING[0].1;
    let rejected = lab.copy();
    lab.append("staging_orders", row).await;
    lab.append("staging_orders", &order(110, 1, "2025-09-01", 1, "1.00")).await;
    // One of seven is less than 15 %.
    assert_eq!(found(&lab.load(), "null_rate_order_id"), (7, 1, "passed".to_owned()));
    let next = run_on(&lab, 0, "2025-09-02");
    assert_eq!(found(&next, "null_rate_order_id"), (5, 0, "passed".to_owned()));
    // One of six is more.
    rejected.append("staging_orders", row).await;
    assert_eq!(found(&rejected.expect(1, &["run"]), "null_rate_order_id"), (6, 1, "failed".to_owned()));

    // The row is kept out; then another writer brings the same version with another amount.
    let tied = quarantining().await;
    tied.load();
    tied.edit("on_tie: keep", "on_tie: fail");
    let other = r#"{"order_id":103,"customer_id":9,"order_date":"2025-09-01","updated_at":"2025-09-01T00:01:00Z","total_amount":"1.00"}"#;
    tied.append("fact_orders", other).await;
    let next = run_on(&tied, 0, "2025-09-02");
    assert_eq!((count(&next, "tied"), count(&next, "quarantined")), (1, 0), "{next:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_a_long_list_of_accepted_values_are_short() {
    let lab = undated();
    let values: Vec<String> = (0..1_700).map(|number| format!("value_{number:05}")).collect();
    let check =
        format!("columns: {{s: {{checks: [{{accepted_values: {{values: [{}]}}}}]}}, ", values.join(", "));
    lab.edit("columns: {", &check);
    let rows = setting("HIGHWATER_REJECTED", 5_000);
    let long = "bad ".repeat(100);
    let row =
        |id: u64| json!({"id": id, "v": 1, "day": "2025-08-30", "s": format!("{long}{id}")}).to_string();
    let ids: Vec<u64> = (0..rows).collect();
    for some in ids.chunks(100_000) {
        let lines: Vec<String> = some.iter().map(|id| row(*id)).collect();
        lab.append("src", &lines.join("\n")).await;
    }
    let document = lab.expect(1, &["run"]);
    assert_eq!(
        (count(&document, "quarantined"), count(&document, "rejected")),
        (i64::try_from(rows).unwrap(), 0)
    );
    assert_eq!(lab.expect(1, &["run"])["batch_id"], document["batch_id"]);
    let entries = lab.values("tgt_bad").await;
    assert_eq!(entries.len() as u64, rows);
    for entry in &entries {
        let error = &entry["dq_errors"][0];
        assert_eq!((&error["check"], &error["column"]), (&json!("accepted_values_s"), &json!("s")));
        let told =
            "must be one of value_00000, value_00001, value_00002, value_00003, value_00004 and 1695 more";
        assert_eq!(error["message"], told);
        let value = error["value"].as_str().unwrap();
        assert!(
            value.chars().count() == 201 && value.starts_with("bad bad") && value.ends_with('…'),
            "{value}"
        );
        assert!(entry["s"].as_str().unwrap().len() > 400, "the row is kept whole");
    }
}

/// Cleans the audit table's log, so that what its last commit said is gone.
async fn clean_audit(lab: &Lab) {
    lab.table("loads_audit").await.commit_empty(Stamp::default()).await.unwrap();
    let newest = lab.table("loads_audit").await.version();
    clean_log(lab, "loads_audit", newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejection_for_another_quarantine_holds_nobody_up_though_its_log_entry_is_gone() {
    for point in [None, Some("audit:after")] {
        let lab = rejecting().await;
        match point {
            None => drop(lab.expect(1, &["run"])),
            Some(point) => lab.die(&["run"], point),
        }
        let back = lab.copy();
        lab.edit("quarantine: fact_orders_bad", "quarantine: fact_orders_bad_2");
        assert_eq!(lab.run(&["init"]).status.code(), Some(0));
        clean_audit(&lab).await;
        // The next verdict of the batch has been recorded, and the next batch is rejected into the new table.
        assert_eq!(run_on(&lab, 1, "2025-09-02")["status"], "rejected");
        assert_eq!(lab.rows("fact_orders_bad_2").await.len(), 1);
        lab.append("dim_customer", CUSTOMER).await;
        assert_eq!(count(&lab.load(), "inserted"), 3);
        assert_eq!(lab.expect(0, &["status"])["refused"], Value::Null);

        // Rows for the table that the file names are missed, though.
        clean_audit(&back).await;
        let status = if point.is_some() { 4 } else { 1 };
        let error = back.expect(status, &["run"]);
        if point.is_some() {
            let id = back.table("fact_orders_bad").await.id().unwrap();
            let hint = error["error"]["hint"].as_str().unwrap();
            assert!(hint.contains(&format!("appId orders/evidence/{id}, version 1")), "{hint}");
        }
    }
}

/// Makes the logs as they were before there was a count of rejections for each quarantine.
async fn as_before(lab: &Lab) {
    let id = lab.table("fact_orders_bad").await.id().unwrap();
    let app = format!("orders/evidence/{id}");
    for table in ["loads_audit", "fact_orders_bad"] {
        for entry in std::fs::read_dir(lab.path().join(table).join("_delta_log")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(&path, text.replace(&app, "orders/evidence")).unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejections_of_the_version_before_are_finished_and_known_as_finished() {
    let finished = rejecting().await;
    finished.expect(1, &["run"]);
    as_before(&finished).await;
    let begun = rejecting().await;
    begun.die(&["run"], "audit:after");
    as_before(&begun).await;
    for lab in [&finished, &begun] {
        assert_eq!(lab.expect(1, &["run"])["status"], "rejected");
        assert_eq!(lab.entries().await, [(103, "open".to_owned())]);
        let versions = lab.versions().await;
        lab.expect(1, &["run"]);
        assert_eq!(lab.versions().await, versions);
        // The next one has a number of the new kind.
        lab.append("staging_orders", &order(104, 8, "2025-09-01", 1, "4.00")).await;
        lab.expect(1, &["run"]);
        assert_eq!(lab.entries().await, [103, 104].map(|id| (id, "open".to_owned())));
        lab.append("dim_customer", &format!("{CUSTOMER}\n{}", CUSTOMER.replace(":9", ":8"))).await;
        assert_eq!(count(&lab.load(), "inserted"), 4);
        lab.must_be_sound("old rejections", &["orders"], 1).await;
    }
}
