//! Checks as lines of a pipeline file; part of [`super::show_resolved`].

use super::resolve::is_name;
use super::show::{Page, text, texts};
use super::tree::join;
use crate::checks::{Check, Shown};

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
        for (name, value) in check.kind.kind().keys(check.column.is_some()) {
            key(name, &shown(&value));
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

/// A value as YAML.
fn shown(value: &Shown) -> String {
    match value {
        Shown::Text(value) => text(value),
        Shown::Texts(values) => texts(values),
        Shown::Bare(value) => value.clone(),
    }
}
