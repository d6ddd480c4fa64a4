//! Checks as they are written made into checks as they run, with what must hold between their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::check::{Check, CheckKind, Percent};
use super::origin::Origin;
use super::problem::{Fault, did_you_mean};
use super::raw::OneOrMany;
use super::raw_check::{Checks, RawColumn, RawKind, RawTableCheck, TableShort};
use super::raw_kind::{RawCommon, RawRowCount, RawRowCountChange};
use super::resolve::{MAX_NAME, Resolver, is_name};
use super::tree::join;
use super::value;
use crate::contract::ddl::TableDef;
use crate::model::Action;
use crate::model::types::DataType;

/// What checks refer to elsewhere in the file.
pub(super) struct Around<'a> {
    /// Columns without which no row is loaded: their `not_null` is built in.
    pub(super) required: BTreeSet<&'a str>,
    /// The names of the dimensions, whether or not these could be understood.
    pub(super) dimensions: BTreeSet<String>,
    /// Staging's DDL file.
    pub(super) ddl: Option<&'a Path>,
}

/// Checks as they are found.
struct Found<'a> {
    around: &'a Around<'a>,
    checks: Vec<Check>,
    /// The path of each name's check.
    paths: BTreeMap<String, String>,
    /// What the `not_null` of a column without which no row is loaded does.
    not_null: BTreeMap<String, Action>,
}

impl Resolver<'_> {
    /// All checks, columns first, in the order of the file; and the path of each, by name. Not among them is what is
    /// built in.
    pub(super) fn checks(
        &mut self,
        columns: BTreeMap<String, RawColumn>,
        checks: Checks<TableShort, RawTableCheck>,
        around: &Around<'_>,
    ) -> (Vec<Check>, BTreeMap<String, String>) {
        let mut found =
            Found { around, checks: Vec::new(), paths: BTreeMap::new(), not_null: BTreeMap::new() };
        let mut columns: Vec<_> = columns.into_iter().collect();
        columns.sort_by_cached_key(|(column, _)| self.report.origins.of(&join("columns", column)));
        for (column, raw) in columns {
            let path = join("columns", &column);
            if column.is_empty() {
                self.take::<()>(&path, Err(Fault::new("must name a column")));
            }
            let path = join(&path, "checks");
            for (i, item) in raw.checks.into_vec().into_iter().enumerate() {
                self.check(item.into_kind(), &join(&path, &i.to_string()), Some(&column), &mut found);
            }
        }
        for (i, item) in checks.into_vec().into_iter().enumerate() {
            self.check(item.into_kind(), &join("checks", &i.to_string()), None, &mut found);
        }
        (found.checks, found.paths)
    }

    /// Resolves the item at `path`; one without a kind has been reported.
    fn check(&mut self, raw: Option<RawKind>, path: &str, column: Option<&str>, found: &mut Found<'_>) {
        let Some(raw) = raw else { return };
        let path = join(path, raw.as_str());
        let (kind, common) = self.kind(raw, &path, column, found.around);
        if kind == CheckKind::NotNull
            && let Some(column) = column.filter(|column| found.around.required.contains(column))
        {
            self.built_in(&common, &path, column);
            let action = Action::from(common.action);
            if found.not_null.insert(column.to_owned(), action).is_some_and(|before| before != action) {
                let fault = Fault::new(format!("`not_null` of `{column}` is there twice, with two actions"));
                self.take::<()>(&join(&path, "action"), Err(fault.hint("keep one of them")));
            }
            if action != Action::Quarantine {
                return;
            }
        }
        let check = self.common(kind, common, &path, column);
        self.unique_name(&check, &path, found);
        found.checks.push(check);
    }

    /// What the check demands, and its common keys.
    fn kind(
        &mut self,
        raw: RawKind,
        path: &str,
        column: Option<&str>,
        around: &Around<'_>,
    ) -> (CheckKind, RawCommon) {
        match raw {
            RawKind::NotNull(raw) => (CheckKind::NotNull, raw.common),
            RawKind::Unique(raw) => {
                let columns = column.map(str::to_owned).into_iter().collect();
                (CheckKind::Unique { columns }, raw.common)
            }
            RawKind::UniqueOf(raw) => {
                let path = join(path, "columns");
                let columns =
                    raw.columns.map(|columns| self.at_least_one(&path, columns)).unwrap_or_default();
                (CheckKind::Unique { columns }, raw.common)
            }
            RawKind::AcceptedValues(raw) => {
                let values = raw.values.map(OneOrMany::into_vec);
                if values.as_ref().is_some_and(Vec::is_empty) {
                    self.take::<()>(&join(path, "values"), Err(Fault::new("must have at least one value")));
                }
                (CheckKind::AcceptedValues { values: values.unwrap_or_default() }, raw.common)
            }
            RawKind::AcceptedRange(raw) => {
                self.needs_bound(path);
                (CheckKind::AcceptedRange { min: raw.min, max: raw.max }, raw.common)
            }
            RawKind::Regex(raw) => {
                let pattern = self.text(path, "pattern", raw.pattern);
                self.take(&join(path, "pattern"), value::pattern(&pattern));
                (CheckKind::Regex { pattern }, raw.common)
            }
            RawKind::Relationships(raw) => {
                let to = self.dimension_name(&join(path, "to"), raw.to, around);
                (CheckKind::Relationships { to, field: self.text(path, "field", raw.field) }, raw.common)
            }
            RawKind::Expression(raw) => {
                (CheckKind::Expression { sql: self.text(path, "sql", raw.sql) }, raw.common)
            }
            RawKind::Freshness(raw) => {
                let within = raw.within.map(|text| value::days(&text));
                let within = within.and_then(|days| self.take(&join(path, "within"), days));
                (CheckKind::Freshness { within_days: within.unwrap_or_default() }, raw.common)
            }
            RawKind::RowCount(raw) => self.row_count(raw, path),
            RawKind::RowCountChange(raw) => self.row_count_change(raw, path),
            RawKind::NullRate(raw) => {
                (CheckKind::NullRate { max: self.percent(&join(path, "max"), raw.max) }, raw.common)
            }
            RawKind::DuplicateRate(raw) => {
                (CheckKind::DuplicateRate { max: self.percent(&join(path, "max"), raw.max) }, raw.common)
            }
            RawKind::Aggregate(raw) => {
                self.needs_bound(path);
                let sql = self.text(path, "sql", raw.sql);
                let min = raw.min.map(|text| self.text(path, "min", Some(text)));
                let max = raw.max.map(|text| self.text(path, "max", Some(text)));
                (CheckKind::Aggregate { sql, min, max }, raw.common)
            }
            RawKind::Schema(raw) => {
                let columns = self.schema(path, around.ddl);
                (CheckKind::Schema { columns }, raw.common)
            }
            RawKind::Sql(raw) => (CheckKind::Sql { query: self.text(path, "query", raw.query) }, raw.common),
        }
    }

    fn row_count(&mut self, raw: RawRowCount, path: &str) -> (CheckKind, RawCommon) {
        self.needs_bound(path);
        if let (Some(min), Some(max)) = (raw.min, raw.max)
            && min > max
        {
            let fault = Fault::new(format!("is {max}, which is less than `min`, {min}"));
            self.take::<()>(&join(path, "max"), Err(fault.hint("no batch could ever pass")));
        }
        (CheckKind::RowCount { min: raw.min, max: raw.max }, raw.common)
    }

    fn row_count_change(&mut self, raw: RawRowCountChange, path: &str) -> (CheckKind, RawCommon) {
        let RawRowCountChange { within, last, min_history, common } = raw;
        let within = self.percent(&join(path, "within"), within);
        if min_history > last {
            // Where only `last` is written, it is what is wrong.
            let path = join(path, "min_history");
            let written = if self.is_written(&path) { "" } else { ", which it is by default" };
            let fault = Fault::new(format!("must be at most `last`, {last}, not {min_history}{written}"));
            self.take::<()>(&path, Err(fault.hint("it counts those of the last loads that there are")));
        }
        (CheckKind::RowCountChange { within, last, min_history }, common)
    }

    /// The columns of staging's DDL file.
    fn schema(&mut self, path: &str, ddl: Option<&Path>) -> Vec<(String, DataType)> {
        let columns = match ddl {
            Some(ddl) => columns_of(ddl),
            // A file that could not be understood has been reported.
            None if self.is_written("source.ddl") => return Vec::new(),
            None => {
                let fault = Fault::new("needs `source.ddl`, which is not set");
                Err(fault.hint("name the file with the staging table's DDL there"))
            }
        };
        self.take(path, columns).unwrap_or_default()
    }

    fn dimension_name(&mut self, path: &str, to: Option<String>, around: &Around<'_>) -> String {
        let Some(to) = to else { return String::new() };
        if !around.dimensions.contains(&to) {
            let mut fault = Fault::new(format!("names no dimension: there is no `{to}` in `dimensions`"));
            fault.hint = did_you_mean(&to, around.dimensions.iter().map(String::as_str));
            self.take::<()>(path, Err(fault));
        }
        to
    }

    /// Fills in the common keys, and reports those that mean nothing for this kind of check.
    fn common(&mut self, kind: CheckKind, raw: RawCommon, path: &str, column: Option<&str>) -> Check {
        let action = Action::from(raw.action);
        if action == Action::Quarantine && !kind.is_of_rows() {
            let fault =
                Fault::new("cannot be `quarantine`: a check of the batch as a whole cannot quarantine rows");
            self.take::<()>(&join(path, "action"), Err(fault.hint("take `warn` or `fail`")));
        }
        let filter = raw.r#where.map(|text| self.text(path, "where", Some(text)));
        if filter.is_some() && !kind.has_filter() {
            self.take::<()>(&join(path, "where"), Err(no_filter(&kind)));
        }
        let mut threshold = |key: &str, text: Option<String>| {
            let text = text?;
            if !kind.has_thresholds() {
                let name = kind.as_str();
                let fault = Fault::new(format!("means nothing here: `{name}` does not count rows that fail"));
                self.take::<()>(
                    &join(path, key),
                    Err(fault.hint("leave it out: the action says what follows")),
                );
            }
            self.take(&join(path, key), value::threshold(&text))
        };
        let warn_if = threshold("warn_if", raw.warn_if);
        let error_if = threshold("error_if", raw.error_if);
        let name = match raw.name {
            Some(name) => {
                if !is_name(&name) {
                    let allowed = "letters, digits, `_`, `.` or `-`";
                    let fault = Fault::new(format!("must be 1 to {MAX_NAME} {allowed}, not `{name}`"));
                    self.take::<()>(&join(path, "name"), Err(fault));
                }
                name
            }
            None => kind.default_name(column),
        };
        let column = column.map(str::to_owned);
        Check { name, kind, column, action, filter, warn_if, error_if }
    }

    /// A `not_null` that is built in can be said again. What it may do instead is to keep such rows out, each of them:
    /// then it is a check like others.
    fn built_in(&mut self, raw: &RawCommon, path: &str, column: &str) {
        let action = Action::from(raw.action);
        let is_own = action == Action::Quarantine;
        let given = [
            ("name", raw.name.is_some() && !is_own),
            ("where", raw.r#where.is_some()),
            ("warn_if", raw.warn_if.is_some() && !is_own),
            ("error_if", raw.error_if.is_some() && !is_own),
        ];
        let mut wrong: Vec<_> =
            given.iter().filter(|(_, given)| *given).map(|(key, _)| (*key, "must be left out")).collect();
        if action == Action::Warn {
            wrong.push(("action", "must be `fail` or `quarantine`"));
        }
        for (key, demand) in wrong {
            let fault = Fault::new(format!("{demand}: rows without `{column}` can never be loaded"));
            let hint = "`not_null` is built in for the key, the version and the watermark column";
            self.take::<()>(&join(path, key), Err(fault.hint(hint)));
        }
    }

    fn unique_name(&mut self, check: &Check, path: &str, found: &mut Found<'_>) {
        let name = check.name.as_str();
        let named = join(path, "name");
        // The check that takes the place of one that is built in may have its name.
        let stands_in =
            |column: &str| check.kind == CheckKind::NotNull && check.column.as_deref() == Some(column);
        let is_built_in = |column: &&str| Check::built_in(column).name == name && !stands_in(column);
        if found.around.required.iter().any(is_built_in) {
            let fault = Fault::new(format!("`{name}` is the name of a check that is built in"));
            self.report.add(&named, fault.hint("give it another `name`"));
        } else if let Some(other) = found.paths.get(name) {
            let first = self.report.origins.position(other);
            let fault = Fault::new(format!("`{name}` is the name of two checks; the first is at {first}"));
            self.report.add(&named, fault.hint("give one of them a `name` of its own"));
        } else {
            found.paths.insert(name.to_owned(), path.to_owned());
        }
    }

    /// Whether something stands at `path`, even if it was dropped for being wrong.
    fn is_written(&self, path: &str) -> bool {
        self.report.origins.of(path) != Origin::Default
    }

    fn needs_bound(&mut self, path: &str) {
        if !["min", "max"].iter().any(|key| self.is_written(&join(path, key))) {
            self.take::<()>(path, Err(Fault::new("needs `min` or `max`, or both")));
        }
    }

    /// A text that says something. One that is missing has been reported.
    fn text(&mut self, path: &str, key: &str, text: Option<String>) -> String {
        let text = text.unwrap_or_else(|| "reported".to_owned());
        if text.trim().is_empty() {
            self.take::<()>(&join(path, key), Err(Fault::new("must not be empty")));
        }
        text
    }

    fn percent(&mut self, path: &str, text: Option<String>) -> Percent {
        let percent = text.and_then(|text| self.take(path, value::percent(&text)));
        percent.unwrap_or(Percent::from_millionths(0))
    }
}

fn no_filter(kind: &CheckKind) -> Fault {
    let name = kind.as_str();
    let hint = match kind {
        CheckKind::RowCount { .. } => "to count some of the rows, use `aggregate: {sql: COUNT(*), where: …}`",
        CheckKind::Sql { .. } => "say it in the query",
        _ => "leave it out",
    };
    Fault::new(format!("means nothing here: `{name}` does not look at single rows of the batch")).hint(hint)
}

fn columns_of(ddl: &Path) -> Result<Vec<(String, DataType)>, Fault> {
    let file = ddl.display().to_string();
    let text = std::fs::read_to_string(ddl)
        .map_err(|error| Fault::new(format!("needs `source.ddl`, but {file} cannot be read: {error}")))?;
    let table = TableDef::parse(&file, &text)
        .map_err(|error| Fault::new(format!("needs `source.ddl`, which is not understood: {error}")))?;
    Ok(table.columns.into_iter().map(|column| (column.field.name, column.field.data_type)).collect())
}
