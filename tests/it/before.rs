//! Tables, pipeline files and JSON documents of an older version: it loads on, and reads and says what that one did.
//!
//! They were made by `tests/fixtures/v0.1-pre8/make.py`, which tells what is in them.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Lab, json_of};
use crate::gate::CUSTOMER;

/// Keys whose values a later version says in another form.
const OTHERWISE: [&str; 1] = ["examples"];

fn orders() -> Lab {
    let tables = vec![
        "staging_orders",
        "fact_orders",
        "dim_customer",
        "fact_orders_bad",
        "loads_audit",
        "load_watermarks",
    ];
    Lab::before("orders", "orders.yaml", tables)
}

fn stock() -> Lab {
    let tables = vec!["staging_stock", "stock", "stock_bad", "loads_audit", "load_watermarks"];
    Lab::before("stock", "config/stock.yaml", tables)
}

/// A command on a later day than all that the tables tell of.
fn later(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = lab.command(arguments);
    command.env("HIGHWATER_CLOCK", "2025-09-05T00:10:00Z");
    command
}

/// Runs a command which must end with this status.
fn expect(lab: &Lab, status: i32, arguments: &[&str]) -> Value {
    let (code, document) = json_of(later(lab, arguments));
    assert_eq!(code, Some(status), "{arguments:?}: {document:#}");
    document
}

/// What a document of the older version has and a new one has not, or of another type.
fn lacks(old: &Value, new: &Value, path: &str, lacking: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                let path = format!("{path}.{key}");
                match new.get(key) {
                    Some(_) if OTHERWISE.contains(&key.as_str()) => {}
                    Some(other) => lacks(value, other, &path, lacking),
                    None => lacking.push(path),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for (old, new) in old.iter().zip(new) {
                lacks(old, new, &format!("{path}[]"), lacking);
            }
        }
        // Both tell of other tables, so what the one has not may be there in the other.
        (Value::Null, _) | (_, Value::Null) => {}
        (old, new) => {
            if std::mem::discriminant(old) != std::mem::discriminant(new) {
                lacking.push(format!("{path}: {old} became {new}"));
            }
        }
    }
}

/// Holds a document against the one that the older version printed.
fn must_have_the_keys_of(name: &str, new: &Value) {
    let file = format!("tests/fixtures/v0.1-pre8/documents/{name}.json");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let mut lacking = Vec::new();
    lacks(&serde_json::from_str(&text).unwrap(), new, "", &mut lacking);
    assert_eq!(lacking, Vec::<String>::new(), "{name}: {new:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_that_an_older_version_left_unfinished_is_finished_and_known_from_then_on() {
    let lab = orders();
    let status = expect(&lab, 0, &["status"]);
    must_have_the_keys_of("status", &status);
    assert_eq!(status["unfinished"]["next"], "write the rows that were kept out to the quarantine");
    assert_eq!(status["batches"].as_array().unwrap().len(), 7);
    must_have_the_keys_of("quarantine list", &expect(&lab, 0, &["quarantine", "list", "--status", "all"]));

    let target = lab.versions().await["fact_orders"];
    let load = ["run", "--as-of", "2025-09-04"];
    let document = expect(&lab, 0, &load);
    must_have_the_keys_of("run", &document);
    assert_eq!(document["batch_id"], status["unfinished"]["batch_id"]);
    assert_eq!((&document["status"], &document["sequence"]), (&json!("loaded"), &json!(7)));
    let counts = &document["counts"];
    for (class, rows) in [
        ("staged", 15),
        ("superseded", 3),
        ("inserted", 1),
        ("updated", 1),
        ("unchanged", 8),
        ("quarantined", 2),
    ] {
        assert_eq!(counts[class], rows, "{class}: {counts}");
    }
    let entries = [(103, "replayed"), (105, "discarded"), (113, "open")];
    assert_eq!(lab.entries().await, entries.map(|(key, status)| (key, status.to_owned())));
    lab.must_be_sound("finished", &["orders"], 1).await;

    let versions = lab.versions().await;
    assert_eq!(versions["fact_orders"], target, "its commit was there");
    let again = expect(&lab, 0, &load);
    assert_eq!((&again["status"], &again["batch_id"]), (&json!("already_loaded"), &document["batch_id"]));
    assert_eq!(lab.versions().await, versions);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipeline_of_an_older_version_loads_on_and_its_batches_can_be_taken_back() {
    let lab = orders();
    expect(&lab, 0, &["run", "--as-of", "2025-09-04"]);
    let before = lab.orders().await;
    let row = |id: u32, customer: u32, hour: u32, amount: &str| {
        let row = json!({
            "order_id": id, "customer_id": customer, "order_date": "2025-09-05",
            "updated_at": format!("2025-09-05T{hour:02}:00:00Z"), "total_amount": amount,
        });
        format!("{row}\n")
    };
    let rows = row(114, 1, 1, "1.00") + &row(115, 6, 1, "2.00") + &row(112, 3, 2, "8.80");
    lab.append("staging_orders", &rows).await;

    // One of the rows rejects the batch where nobody may be unknown.
    let mut strict = lab.command_with("strict.yaml", &["run", "--as-of", "2025-09-05"]);
    strict.env("HIGHWATER_CLOCK", "2025-09-05T00:10:00Z");
    let (code, rejected) = json_of(strict);
    assert_eq!(code, Some(1), "{rejected:#}");
    must_have_the_keys_of("rejected", &rejected);

    must_have_the_keys_of("plan", &expect(&lab, 0, &["plan", "--as-of", "2025-09-05"]));
    must_have_the_keys_of("check", &expect(&lab, 0, &["check", "--as-of", "2025-09-05"]));
    let loaded = expect(&lab, 0, &["run", "--as-of", "2025-09-05"]);
    assert_eq!((&loaded["status"], &loaded["sequence"]), (&json!("loaded"), &json!(8)));
    // Two were kept out by the older version, one of which a person discarded.
    let counts = &loaded["counts"];
    for (class, rows) in [("inserted", 1), ("updated", 1), ("quarantined", 3)] {
        assert_eq!(counts[class], rows, "{class}: {counts}");
    }
    lab.must_be_sound("loaded on", &["orders"], 1).await;

    let back = expect(&lab, 0, &["rollback", "--last", "--reason", "a test"]);
    must_have_the_keys_of("rollback", &back);
    assert_eq!(lab.orders().await, before);
    // And with it the batches that the older version loaded, down to the first.
    let status = expect(&lab, 0, &["status", "--last", "100"]);
    let batches = status["batches"].as_array().unwrap();
    let third = batches.iter().find(|batch| batch["sequence"] == 3).unwrap();
    let id = third["batch_id"].as_str().unwrap();
    expect(&lab, 4, &["rollback", "--batch", id]);
    expect(&lab, 0, &["rollback", "--batch", id, "--cascade", "--reason", "a test"]);
    let keys: Vec<i64> = lab.orders().await.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, [100, 101, 102, 106, 107, 108, 109, 110]);
    lab.must_be_sound("taken back", &["orders"], 1).await;

    let discard = ["quarantine", "discard", "--key", "113", "--reason", "a test order"];
    must_have_the_keys_of("quarantine discard", &expect(&lab, 0, &discard));
    must_have_the_keys_of("quarantine replay", &expect(&lab, 0, &["quarantine", "replay", "--key", "103"]));
    lab.append("dim_customer", &CUSTOMER.replace("\"customer_id\":9", "\"customer_id\":6")).await;
    let again = expect(&lab, 0, &["run", "--as-of", "2025-09-05"]);
    assert_eq!((&again["status"], &again["counts"]["quarantined"]), (&json!("loaded"), &json!(2)));
    let entries = [(103, "replayed"), (105, "discarded"), (113, "discarded"), (115, "replayed")];
    assert_eq!(lab.entries().await, entries.map(|(key, status)| (key, status.to_owned())));
    lab.must_be_sound("loaded again", &["orders"], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipeline_by_arrival_of_an_older_version_loads_what_came_since_and_nothing_twice() {
    let lab = stock();
    must_have_the_keys_of("init", &expect(&lab, 0, &["init"]));
    let (versions, before) = (lab.versions().await, lab.rows("stock").await);
    expect(&lab, 0, &["run", "--as-of", "2025-09-02"]);
    assert_eq!(lab.versions().await, versions, "nothing came since");

    lab.append(
        "staging_stock",
        r#"{"warehouse":"north","item":2,"revision":2,"quantity":21,"note":null,"arrived_from":"b"}
           {"warehouse":"south","item":2,"revision":1,"quantity":50,"note":"new","arrived_from":"b"}"#,
    )
    .await;
    let document = expect(&lab, 0, &["run", "--as-of", "2025-09-03"]);
    must_have_the_keys_of("run in mode changes", &document);
    assert_eq!((&document["status"], &document["sequence"]), (&json!("loaded"), &json!(3)));
    let counts = &document["counts"];
    for (class, rows) in [("staged", 2), ("inserted", 1), ("updated", 1)] {
        assert_eq!(counts[class], rows, "{class}: {counts}");
    }
    let loaded = lab.versions().await;
    assert_eq!(expect(&lab, 0, &["run", "--as-of", "2025-09-03"])["status"], "already_loaded");
    assert_eq!(lab.versions().await, loaded);

    expect(&lab, 0, &["rollback", "--last"]);
    assert_eq!(lab.rows("stock").await, before);
    let again = expect(&lab, 0, &["run", "--as-of", "2025-09-03"]);
    assert_eq!((&again["counts"]["inserted"], &again["counts"]["updated"]), (&json!(1), &json!(1)));
}
