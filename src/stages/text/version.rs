//! What versions are compared by.

use super::Text;
use crate::engine::VERSION_KEY;
use crate::engine::sql::column;
use crate::model::{Dialect, Literal};
use crate::notation::{VersionColumn, VersionOrder};

impl Text<'_> {
    /// The version of a relation's rows: the column, or what several columns or texts compare by. NULL, where one of them is.
    #[must_use]
    pub fn version(&self, alias: &str) -> String {
        let rules = &self.spec.rules;
        match rules.sequence.as_slice() {
            [] => column(alias, &rules.version),
            sequence => self.version_of(alias, sequence),
        }
    }

    /// One column of the version as it is ordered.
    #[must_use]
    pub fn ordered(&self, alias: &str, name: &str, order: VersionOrder) -> String {
        if !order.is_made() {
            return column(alias, name);
        }
        self.version_of(alias, &[VersionColumn { column: name.to_owned(), order }])
    }

    fn version_of(&self, alias: &str, sequence: &[VersionColumn]) -> String {
        let columns = sequence.iter().map(|by| column(alias, &by.column));
        match self.dialect {
            Dialect::Engine => {
                let orders: Vec<&str> = sequence.iter().map(|by| by.order.name()).collect();
                let columns: Vec<String> = columns.collect();
                let orders = Literal::text(orders.join(",")).sql(self.dialect);
                format!("{VERSION_KEY}({orders}, {})", columns.join(", "))
            }
            Dialect::Spark => {
                let values = columns.zip(sequence).map(|(value, by)| match by.order {
                    VersionOrder::Own | VersionOrder::Text => value,
                    VersionOrder::Numeric => format!("TRY_CAST({value} AS DECIMAL(38, 18))"),
                    // A function for people to register: Spark has none.
                    VersionOrder::Semver => format!("semver_key({value})"),
                });
                let values: Vec<String> = values.collect();
                if let [only] = values.as_slice() {
                    return only.clone();
                }
                // A struct is never NULL, and orders NULL before all else.
                let filled: Vec<String> = values.iter().map(|value| format!("{value} IS NOT NULL")).collect();
                format!("CASE WHEN {} THEN struct({}) END", filled.join(" AND "), values.join(", "))
            }
        }
    }
}
