//! The order of the rows of a key.

use std::collections::BTreeSet;

use super::super::dedupe::Term;
use super::{HASH, Text};
use crate::engine::sql::column;
use crate::model::types::DataType;
use crate::notation::VersionOrder;

impl Text<'_> {
    /// The rank: version, tie-breakers, lineage, row hash, and at last every other staged column. Rows that it
    /// leaves equal are equal in every column, so whatever follows from it is the same in every run.
    #[must_use]
    pub fn order(&self, alias: &str) -> String {
        let (first, rest) = self.order_terms();
        let told = |term: &Term| {
            let direction = if term.descending { "DESC" } else { "ASC" };
            // It is never NULL.
            if self.spec.rules.version_columns().any(|name| *name == term.column) {
                return format!("{} {direction}", self.ordered(alias, &term.column, term.order));
            }
            format!("{} {direction} NULLS LAST", self.comparable(alias, &term.column))
        };
        // The hash covers what is loaded.
        let hash = format!("{} DESC", column(alias, HASH));
        first.iter().map(told).chain([hash]).chain(rest.iter().map(told)).collect::<Vec<_>>().join(", ")
    }

    /// The same as columns: those before the row hash, and those behind it.
    #[must_use]
    pub fn order_terms(&self) -> (Vec<Term>, Vec<Term>) {
        let rules = &self.spec.rules;
        let term = |column: &str, descending: bool| Term {
            column: column.to_owned(),
            descending,
            order: VersionOrder::Own,
            nested: self.spec.data_type(column).is_some_and(DataType::is_nested),
        };
        let mut first = self.version_terms();
        let mut ordered: BTreeSet<&str> = BTreeSet::new();
        for breaker in &rules.tie_breakers {
            if ordered.insert(&breaker.column) {
                first.push(term(&breaker.column, breaker.descending));
            }
        }
        let lineage: Vec<&str> =
            rules.lineage.iter().map(String::as_str).filter(|name| ordered.insert(name)).collect();
        first.extend(lineage.into_iter().map(|name| term(name, true)));
        let others = self.spec.extra_columns.iter().map(|field| field.name.as_str());
        let rest = others.filter(|name| ordered.insert(name)).map(|name| term(name, true));
        // Two texts may be one version, and the hash does not cover the first of its columns.
        let made = rules.version_orders().next().filter(|order| order.is_made());
        let rest = rest.chain(made.map(|_| term(&rules.version, true))).collect();
        (first, rest)
    }

    /// The columns of the version, the highest first.
    #[must_use]
    pub fn version_terms(&self) -> Vec<Term> {
        let rules = &self.spec.rules;
        let terms = rules.version_columns().zip(rules.version_orders());
        let term = |(column, order): (&String, VersionOrder)| Term {
            column: column.clone(),
            descending: true,
            order,
            nested: false,
        };
        terms.map(term).collect()
    }

    /// A column as rows are ordered by it: nested values by their canonical text, for maps have no order.
    pub(super) fn comparable(&self, alias: &str, name: &str) -> String {
        let value = column(alias, name);
        match self.spec.data_type(name) {
            Some(nested) if nested.is_nested() => self.nested_text(&value, nested),
            _ => value,
        }
    }
}
