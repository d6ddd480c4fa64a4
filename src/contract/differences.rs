//! Whether an existing table keeps its contract.

use std::collections::BTreeMap;

use super::ddl::{ColumnDef, TableDef};

/// With this property set, a table's log forgets its `txn` entries.
const TXN_RETENTION: &str = "delta.setTransactionRetentionDuration";

/// A table as it is, for comparison with its contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActualTable {
    /// Its columns.
    pub columns: Vec<ColumnDef>,
    /// The columns it is partitioned by, in order.
    pub partitioned_by: Vec<String>,
    /// Its table properties.
    pub properties: BTreeMap<String, String>,
}

impl TableDef {
    /// What keeps `actual` from being the table of this contract, a sentence each; empty if nothing does.
    ///
    /// A contract is a minimum. Extra columns may follow, so they are no difference, and neither is the order of
    /// columns, a comment where the contract has none, or a property that the contract does not name. The primary key
    /// is not compared, for Delta does not store it.
    #[must_use]
    pub fn differences(&self, actual: &ActualTable) -> Vec<String> {
        let mut found = Vec::new();
        for column in &self.columns {
            let name = &column.field.name;
            let same_name = |c: &&ColumnDef| c.field.name.eq_ignore_ascii_case(name);
            match actual.columns.iter().find(same_name) {
                None => found.push(format!("column `{name}` ({}) is missing", column.field.data_type)),
                Some(existing) => compare_columns(column, existing, &mut found),
            }
        }
        if self.partitioned_by != actual.partitioned_by {
            found.push(format!(
                "the table is {}, the contract says {}",
                partitioning(&actual.partitioned_by),
                partitioning(&self.partitioned_by),
            ));
        }
        self.compare_properties(actual, &mut found);
        found
    }

    fn compare_properties(&self, actual: &ActualTable, found: &mut Vec<String>) {
        for (key, wanted) in &self.properties {
            match actual.properties.get(key) {
                Some(value) if value == wanted => {}
                Some(value) => {
                    found.push(format!("property '{key}' is '{value}', the contract says '{wanted}'"));
                }
                None => found.push(format!("property '{key}' is not set, the contract says '{wanted}'")),
            }
        }
        // Even a contract can't allow this one.
        if let Some(value) = actual.properties.get(TXN_RETENTION) {
            found.push(format!(
                "property '{TXN_RETENTION}' is '{value}': \
                 transaction entries would expire, which loses the checkpoints"
            ));
        }
    }
}

fn compare_columns(contract: &ColumnDef, existing: &ColumnDef, found: &mut Vec<String>) {
    let (wanted, actual) = (&contract.field, &existing.field);
    let name = &wanted.name;
    if actual.name != *name {
        found.push(format!("column `{name}` is spelled `{}` in the table", actual.name));
    }
    if actual.data_type != wanted.data_type {
        let (is, should_be) = (actual.data_type.to_string(), wanted.data_type.to_string());
        found.push(if is == should_be {
            // A type's text leaves out the nullability of struct members.
            format!("column `{name}` has other members NOT NULL than the contract, in {is}")
        } else {
            format!("column `{name}` is {is}, the contract says {should_be}")
        });
    }
    match (actual.nullable, wanted.nullable) {
        (true, false) => found.push(format!("column `{name}` may be NULL, the contract says NOT NULL")),
        (false, true) => found.push(format!("column `{name}` is NOT NULL, the contract lets it be NULL")),
        _ => {}
    }
    match (&existing.comment, &contract.comment) {
        (Some(is), Some(should_be)) if is != should_be => {
            found.push(format!("column `{name}` has the comment '{is}', the contract says '{should_be}'"));
        }
        (None, Some(should_be)) => {
            found.push(format!("column `{name}` has no comment, the contract says '{should_be}'"));
        }
        _ => {}
    }
}

fn partitioning(columns: &[String]) -> String {
    if columns.is_empty() {
        "not partitioned".to_owned()
    } else {
        format!("partitioned by ({})", columns.join(", "))
    }
}
