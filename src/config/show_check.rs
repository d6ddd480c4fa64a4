//! Checks as lines of a pipeline file; part of [`super::show_resolved`].

use super::check::{Check, CheckKind};
use super::resolve::is_name;
use super::show::{Page, days, text, texts};
use super::tree::join;

impl Page<'_> {
    /// The sections `columns` and `checks`.
    pub(super) fn checks(&mut self, checks: &[Check]) {
        let (of_columns, of_table): (Vec<_>, Vec<_>) =
            checks.iter().partition(|check| check.column.is_some());
        self.section("columns", of_columns.is_empty());
        for checks in of_columns.chunk_by(|a, b| a.column == b.column) {
            let column = checks[0].column.as_deref().unwrap_or_default();
            self.heading(1, &text(column));
            self.heading(2, "checks");
            for check in checks {
                self.check(3, check);
            }
        }
        if of_table.is_empty() {
            self.line("checks", "[]");
        } else {
            self.heading(0, "checks");
            for check in of_table {
                self.check(1, check);
            }
        }
    }

    fn check(&mut self, depth: usize, check: &Check) {
        self.heading(depth, &format!("- {}", check.kind.as_str()));
        let path = self.origins.check_path(&check.name).to_owned();
        let mut key = |key: &str, value: &str| self.entry(depth + 2, key, &join(&path, key), value);
        // A name that is made from a column's may hold what a name that is given may not.
        if is_name(&check.name) {
            key("name", &text(&check.name));
        }
        for (name, value) in own_keys(check) {
            key(name, &value);
        }
        key("action", check.action.as_str());
        if let Some(filter) = &check.filter {
            key("where", &text(filter));
        }
        for (name, threshold) in [("warn_if", check.warn_if), ("error_if", check.error_if)] {
            if let Some(threshold) = threshold {
                key(name, &text(&threshold.to_string()));
            }
        }
    }
}

/// The keys that only this kind of check has, with their values as YAML.
fn own_keys(check: &Check) -> Vec<(&'static str, String)> {
    let bounds = |min: &Option<String>, max: &Option<String>| {
        let bounds = [("min", min), ("max", max)].into_iter();
        bounds.filter_map(|(key, bound)| Some((key, text(bound.as_ref()?)))).collect::<Vec<_>>()
    };
    match &check.kind {
        // Staging's DDL file says which columns.
        CheckKind::NotNull | CheckKind::Schema { .. } => Vec::new(),
        CheckKind::Unique { .. } if check.column.is_some() => Vec::new(),
        CheckKind::Unique { columns } => vec![("columns", texts(columns))],
        CheckKind::AcceptedValues { values } => vec![("values", texts(values))],
        CheckKind::AcceptedRange { min, max } => bounds(min, max),
        CheckKind::Regex { pattern } => vec![("pattern", text(pattern))],
        CheckKind::Relationships { to, field } => vec![("to", text(to)), ("field", text(field))],
        CheckKind::Expression { sql } => vec![("sql", text(sql))],
        CheckKind::Freshness { within_days } => vec![("within", days(*within_days))],
        CheckKind::RowCount { min, max } => {
            let bounds = [("min", min), ("max", max)].into_iter();
            bounds.filter_map(|(key, bound)| Some((key, bound.as_ref()?.to_string()))).collect()
        }
        CheckKind::RowCountChange { within, last, min_history } => vec![
            ("within", within.to_string()),
            ("last", last.to_string()),
            ("min_history", min_history.to_string()),
        ],
        CheckKind::NullRate { max } | CheckKind::DuplicateRate { max } => {
            vec![("max", max.to_string())]
        }
        CheckKind::Aggregate { sql, min, max } => {
            std::iter::once(("sql", text(sql))).chain(bounds(min, max)).collect()
        }
        CheckKind::Sql { query } => vec![("query", text(query))],
    }
}
