//! The order of the rows of a key.

use std::collections::BTreeSet;

use super::{HASH, Text};
use crate::engine::sql::{Ident, column};
use crate::model::Dialect;

impl Text<'_> {
    /// The rank: version, tie-breakers, lineage, row hash, and at last every other staged column. Rows that it
    /// leaves equal are equal in every column, so whatever follows from it is the same in every run.
    #[must_use]
    pub fn order(&self, alias: &str) -> String {
        let rules = &self.spec.rules;
        let mut terms = vec![format!("{} DESC", column(alias, &rules.version))];
        let mut ordered: BTreeSet<&str> = BTreeSet::new();
        for breaker in &rules.tie_breakers {
            if ordered.insert(&breaker.column) {
                let direction = if breaker.descending { "DESC" } else { "ASC" };
                terms.push(format!("{} {direction} NULLS LAST", self.comparable(alias, &breaker.column)));
            }
        }
        let lineage: Vec<&str> =
            rules.lineage.iter().map(String::as_str).filter(|name| ordered.insert(name)).collect();
        // The hash covers what is loaded.
        let others = self.spec.extra_columns.iter().map(|field| field.name.as_str());
        let others: Vec<&str> = others.filter(|name| ordered.insert(name)).collect();
        let last = |name: &&str| format!("{} DESC NULLS LAST", self.comparable(alias, name));
        terms.extend(lineage.iter().map(last));
        terms.push(format!("{alias}.{} DESC", Ident(HASH)));
        terms.extend(others.iter().map(last));
        terms.join(", ")
    }

    /// A column as rows are ordered by it: nested values have an order of their own in each engine, and maps none.
    fn comparable(&self, alias: &str, name: &str) -> String {
        let value = column(alias, name);
        match (self.spec.data_type(name), self.dialect) {
            (Some(nested), Dialect::Engine) if nested.is_nested() => format!("nested_order({value})"),
            (Some(nested), Dialect::Spark) if nested.is_nested() => format!("to_json({value})"),
            _ => value,
        }
    }
}
