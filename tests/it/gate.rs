//! Labs whose rows the gate keeps out, and what must hold of their tables at rest.

use highwater::model::Strategy;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;

use serde_json::{Value, json};

use crate::common::{Lab, json_of};

/// The customer whose order the reference case keeps out.
pub const CUSTOMER: &str = r#"{"customer_id":9,"signup_date":"2025-09-01"}"#;
/// The check that keeps it out.
pub const KNOWN: &str = "relationships_customer_id";
/// What the reference pipeline file says of that check.
const KEPT_OUT: &str = r#"action: quarantine, error_if: "> 25 %""#;

/// An order as staging has it, last changed at an hour of 2025-09-01.
pub fn order(id: u32, customer: u32, day: &str, hour: u32, amount: &str) -> String {
    let row = json!({
        "order_id": id, "customer_id": customer, "order_date": day,
        "updated_at": format!("2025-09-01T{hour:02}:30:00Z"), "total_amount": amount,
    });
    format!("{row}\n")
}

/// The reference case; any share of orders may be without a customer.
pub async fn quarantining() -> Lab {
    let lab = Lab::reference().await;
    lab.edit(KEPT_OUT, "action: quarantine");
    lab
}

/// The reference case; an order without a customer rejects its batch.
pub async fn rejecting() -> Lab {
    let lab = Lab::reference().await;
    lab.edit(KEPT_OUT, "action: fail");
    lab
}

/// The row of order 103 is in the quarantine.
pub async fn kept_out() -> Lab {
    let lab = quarantining().await;
    assert_eq!(lab.load()["counts"]["quarantined"], 1);
    lab
}

/// The same, and the customer came since: the row would pass now.
pub async fn would_pass() -> Lab {
    let lab = kept_out().await;
    lab.append("dim_customer", CUSTOMER).await;
    lab
}

/// Two loads, of which the second closes the entry of order 103, and adds a bad and a good row.
pub async fn loaded_twice(strategy: Strategy) -> Lab {
    let lab = would_pass().await.written_by(strategy);
    let rows = order(104, 8, "2025-09-01", 1, "4.00") + &order(105, 1, "2025-08-31", 2, "5.00");
    lab.append("staging_orders", &rows).await;
    let second = lab.load();
    assert_eq!((&second["counts"]["inserted"], &second["counts"]["quarantined"]), (&2.into(), &1.into()));
    lab
}

impl Lab {
    /// Runs a command that must end with this exit status.
    pub fn expect(&self, status: i32, arguments: &[&str]) -> Value {
        let (code, document) = self.json(arguments);
        assert_eq!(code, Some(status), "{arguments:?}: {document:#}");
        document
    }

    /// Runs a command that must kill itself.
    pub fn die(&self, arguments: &[&str], point: &str) {
        let mut command = self.command(arguments);
        let output = command.args(["--fail-at", point]).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{arguments:?}: {point} was not reached: {output:?}");
    }

    /// A table's rows as JSON.
    pub async fn values(&self, table: &str) -> Vec<Value> {
        self.rows(table).await.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
    }

    /// The quarantine's entries: key, status.
    pub async fn entries(&self) -> Vec<(i64, String)> {
        let entries = self.values("fact_orders_bad").await;
        let told = |entry: &Value| {
            (entry["order_id"].as_i64().unwrap(), entry["dq_status"].as_str().unwrap().to_owned())
        };
        let mut told: Vec<_> = entries.iter().map(told).collect();
        told.sort();
        told
    }

    /// The target's rows: key and amount.
    pub async fn orders(&self) -> Vec<(i64, String)> {
        let rows = self.values("fact_orders").await;
        let told = |row: &Value| (row["order_id"].as_i64().unwrap(), row["total_amount"].to_string());
        let mut told: Vec<_> = rows.iter().map(told).collect();
        told.sort();
        told
    }

    /// The loaded columns of the target, without those that say who loaded a row and when.
    pub async fn loaded(&self) -> Vec<String> {
        let mut rows = self.values("fact_orders").await;
        for row in &mut rows {
            let row = row.as_object_mut().unwrap();
            assert!(row.remove("load_batch_id").is_some() && row.remove("loaded_at").is_some());
        }
        let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        rows.sort();
        rows
    }

    /// Checks what must hold of the tables at rest, whatever was done to them and in whatever order: I4, I5, I8,
    /// entries once each, numbers recorded once each, and nothing left to do.
    pub async fn must_be_sound(&self, what: &str, pipelines: &[&str], rows_before: i64) {
        let audit = self.values("loads_audit").await;
        let watermarks = self.values("load_watermarks").await;
        let mut balance = rows_before;
        for pipeline in pipelines {
            let own = |rows: &[Value]| -> Vec<i64> {
                let own = rows.iter().filter(|row| row["pipeline"] == *pipeline);
                let mut numbers: Vec<i64> = own.filter_map(|row| row["sequence"].as_i64()).collect();
                numbers.sort_unstable();
                numbers
            };
            let newest = self.number("fact_orders", pipeline).await;
            let all: Vec<i64> = (1..=newest).collect();
            assert_eq!(own(&audit), all, "{what}: numbers of {pipeline} in the audit table");
            assert_eq!(own(&watermarks), all, "{what}: numbers of {pipeline} in the watermark table");
            for table in ["loads_audit", "load_watermarks"] {
                assert_eq!(self.number(table, pipeline).await, newest, "{what}: {pipeline} in {table}");
            }
        }
        let ids: BTreeSet<&str> = audit.iter().map(|row| row["batch_id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), audit.len(), "{what}: a batch is recorded twice: {audit:#?}");
        let undone: BTreeSet<&str> = audit.iter().flat_map(undone).collect();
        for row in &audit {
            let count = |name: &str| row[format!("{name}_rows")].as_i64().unwrap();
            let sum = |names: &[&str]| names.iter().map(|name| count(name)).sum::<i64>();
            assert_eq!(count("staged"), sum(&["duplicate", "superseded", "deduped"]), "{what}: {row:#}");
            let classes = ["inserted", "updated", "stale", "unchanged", "tied", "quarantined", "rejected"];
            assert_eq!(count("deduped"), sum(&classes), "{what}: {row:#}");
            if row["status"] == "loaded" && !undone.contains(row["batch_id"].as_str().unwrap()) {
                balance += count("inserted") - count("deleted");
            }
        }
        let fact = self.values("fact_orders").await;
        let keys: BTreeSet<i64> = fact.iter().map(|row| row["order_id"].as_i64().unwrap()).collect();
        assert_eq!(keys.len(), fact.len(), "{what}: a key has two rows: {fact:#?}");
        assert_eq!(
            i64::try_from(fact.len()).unwrap(),
            balance,
            "{what}: the counts do not add up: {fact:#?}"
        );
        self.entries_must_be_sound(what, &fact, &undone).await;
        let status = self.expect(0, &["status"]);
        assert_eq!((&status["unfinished"], &status["refused"]), (&Value::Null, &Value::Null), "{what}");
    }

    async fn entries_must_be_sound(&self, what: &str, fact: &[Value], undone: &BTreeSet<&str>) {
        let entries = self.values("fact_orders_bad").await;
        let mut seen: BTreeMap<&str, &Value> = BTreeMap::new();
        for entry in &entries {
            let doubled = seen.insert(entry["dq_entry_id"].as_str().unwrap(), entry);
            assert!(doubled.is_none(), "{what}: two entries for one row: {entry:#} {doubled:#?}");
            let open = entry["dq_status"] == "open";
            assert_eq!(open, entry["dq_resolution"].is_null(), "{what}: {entry:#}");
            assert_eq!(open, entry["dq_resolved_at"].is_null(), "{what}: {entry:#}");
            let same = |row: &&Value| {
                ["order_id", "updated_at", "total_amount"].iter().all(|name| row[*name] == entry[*name])
            };
            if open || entry["dq_status"] == "discarded" {
                assert!(
                    !fact.iter().any(|row| same(&row)),
                    "{what}: a row is kept out and loaded: {entry:#}"
                );
            }
            if entry["dq_status"] == "replayed" {
                let by = entry["dq_resolution"].as_str().unwrap();
                assert!(!undone.contains(by), "{what}: closed by a batch that was taken back: {entry:#}");
            }
        }
    }
}

fn undone(row: &Value) -> impl Iterator<Item = &str> {
    row["undone"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Runs a command with another pipeline file, which must end with this exit status.
pub fn expect_with(lab: &Lab, file: &str, status: i32, arguments: &[&str]) -> Value {
    let (code, document) = json_of(lab.command_with(file, arguments));
    assert_eq!(code, Some(status), "{arguments:?}: {document:#}");
    document
}
