//! Whether whoever reads by one contract can read what was written by another, and which change keeps them from it.
//!
//! The words are those of schema registries. *Backward*: readers with the new contract read rows of the old one; *forward*:
//! readers that still have the old one read rows of the new.

use super::ddl::{ColumnDef, TableDef};
use super::widening;
use crate::model::types::same_name;

/// What is asked of a new contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compatibility {
    /// Its readers read rows of the old one.
    Backward,
    /// Readers of the old one read its rows.
    Forward,
    /// Both.
    Full,
}

impl Compatibility {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Full => "full",
        }
    }
}

/// A change from one contract to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractChange {
    /// The column; `None` for what concerns the table.
    pub column: Option<String>,
    /// What changed.
    pub what: String,
    /// Why readers of the new contract cannot read rows of the old one, if so.
    pub backward: Option<String>,
    /// Why readers of the old contract cannot read rows of the new one, if so.
    pub forward: Option<String>,
}

impl ContractChange {
    fn of(column: &str, what: String) -> Self {
        Self { column: Some(column.to_owned()), what, backward: None, forward: None }
    }

    fn breaks_backward(self, why: &str) -> Self {
        Self { backward: Some(why.to_owned()), ..self }
    }

    fn breaks_forward(self, why: &str) -> Self {
        Self { forward: Some(why.to_owned()), ..self }
    }

    /// Whether it is against what is asked.
    #[must_use]
    pub fn breaks(&self, asked: Compatibility) -> bool {
        match asked {
            Compatibility::Backward => self.backward.is_some(),
            Compatibility::Forward => self.forward.is_some(),
            Compatibility::Full => self.backward.is_some() || self.forward.is_some(),
        }
    }
}

/// What changed from `old` to `new`, in the new one's order, then what is gone. Comments, the order of columns, partitions
/// and properties change nothing for whoever reads rows.
#[must_use]
pub fn contract_changes(old: &TableDef, new: &TableDef) -> Vec<ContractChange> {
    let mut changes = Vec::new();
    for column in &new.columns {
        match find(old, &column.field.name) {
            Some(before) => compare(before, column, &mut changes),
            None => changes.push(added(column)),
        }
    }
    for column in old.columns.iter().filter(|column| find(new, &column.field.name).is_none()) {
        let gone = ContractChange::of(&column.field.name, format!("is gone: it was {}", column.field.told()));
        changes.push(if column.field.nullable {
            gone
        } else {
            gone.breaks_forward("they count on a value in every row")
        });
    }
    if old.primary_key != new.primary_key {
        let key = |def: &TableDef| format!("({})", def.primary_key.join(", "));
        changes.push(ContractChange {
            column: None,
            what: format!("the key was {}, and is {}", key(old), key(new)),
            backward: Some("rows of the old contract may be several to a key".to_owned()),
            forward: Some("rows of the new contract may be several to a key".to_owned()),
        });
    }
    changes
}

fn added(column: &ColumnDef) -> ContractChange {
    let new = ContractChange::of(&column.field.name, format!("is new: {}", column.field.told()));
    if column.field.nullable {
        new
    } else {
        new.breaks_backward("rows of the old contract have no value for it")
    }
}

fn compare(old: &ColumnDef, new: &ColumnDef, changes: &mut Vec<ContractChange>) {
    let (was, is) = (&old.field, &new.field);
    if was.name != is.name {
        let what = format!("was `{}`: names that differ in case are others to some readers", was.name);
        changes.push(
            ContractChange::of(&is.name, what)
                .breaks_backward("they look for the new name")
                .breaks_forward("they look for the old name"),
        );
    }
    if was.data_type != is.data_type {
        let change = ContractChange::of(&is.name, format!("was {}, and is {}", was.data_type, is.data_type));
        let change = if widening::accepts(&was.data_type, &is.data_type) {
            change
        } else {
            change.breaks_backward("values of the old type do not fit the new one")
        };
        changes.push(if widening::accepts(&is.data_type, &was.data_type) {
            change
        } else {
            change.breaks_forward("values of the new type do not fit the old one")
        });
    }
    match (was.nullable, is.nullable) {
        (true, false) => changes.push(
            ContractChange::of(&is.name, "may no longer be NULL".to_owned())
                .breaks_backward("rows of the old contract may have NULL"),
        ),
        (false, true) => changes.push(
            ContractChange::of(&is.name, "may be NULL".to_owned())
                .breaks_forward("they count on a value in every row"),
        ),
        _ => {}
    }
}

/// Delta's names differ in more than case.
fn find<'t>(def: &'t TableDef, name: &str) -> Option<&'t ColumnDef> {
    def.columns.iter().find(|column| same_name(&column.field.name, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "id BIGINT NOT NULL, n INT, must STRING NOT NULL, note STRING, PRIMARY KEY (id)";

    fn def(columns: &str) -> TableDef {
        TableDef::parse("t.sql", &format!("CREATE TABLE t ({columns}) USING DELTA")).unwrap()
    }

    /// Each change with whether it breaks readers of the new contract, and of the old one.
    fn changes(from: &str, to: &str) -> Vec<(String, bool, bool)> {
        assert!(OLD.contains(from), "{from}");
        let found = contract_changes(&def(OLD), &def(&OLD.replacen(from, to, 1)));
        let flat = |change: ContractChange| {
            let text = format!("{} {}", change.column.unwrap_or_default(), change.what);
            (text.trim().to_owned(), change.backward.is_some(), change.forward.is_some())
        };
        found.into_iter().map(flat).collect()
    }

    #[test]
    fn each_change_breaks_whom_it_breaks() {
        for (from, to, told, backward, forward) in [
            ("note STRING", "note STRING, c STRING", "c is new: STRING", false, false),
            ("note STRING", "note STRING, c STRING NOT NULL", "c is new: STRING NOT NULL", true, false),
            (" note STRING,", "", "note is gone: it was STRING", false, false),
            (" must STRING NOT NULL,", "", "must is gone: it was STRING NOT NULL", false, true),
            ("n INT", "n BIGINT", "n was INT, and is BIGINT", false, true),
            ("n INT", "n SMALLINT", "n was INT, and is SMALLINT", true, false),
            ("n INT", "n STRING", "n was INT, and is STRING", true, true),
            ("n INT", "n INT NOT NULL", "n may no longer be NULL", true, false),
            ("must STRING NOT NULL", "must STRING", "must may be NULL", false, true),
            (
                "note STRING",
                "Note STRING",
                "Note was `note`: names that differ in case are others to some readers",
                true,
                true,
            ),
        ] {
            assert_eq!(changes(from, to), [(told.to_owned(), backward, forward)], "{from} -> {to}");
        }
        let key = changes("PRIMARY KEY (id)", "PRIMARY KEY (id, must)");
        assert_eq!(key, [("the key was (id), and is (id, must)".to_owned(), true, true)]);
    }

    #[test]
    fn order_comments_partitions_and_properties_break_nobody() {
        let new = "CREATE TABLE other (note STRING COMMENT 'x', must STRING NOT NULL, n INT, id BIGINT NOT NULL, PRIMARY KEY (id)) \
                   USING DELTA PARTITIONED BY (must) TBLPROPERTIES ('delta.appendOnly' = 'false')";
        assert_eq!(contract_changes(&def(OLD), &TableDef::parse("t.sql", new).unwrap()), []);
    }

    #[test]
    fn what_is_asked_decides_what_breaks() {
        let widened = &contract_changes(&def(OLD), &def(&OLD.replace("n INT", "n BIGINT")))[0];
        let asked = [Compatibility::Backward, Compatibility::Forward, Compatibility::Full];
        assert_eq!(asked.map(|asked| widened.breaks(asked)), [false, true, true]);
    }
}
