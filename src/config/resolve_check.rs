//! Checks as they are written made into checks as they run, with what must hold between their keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::contract_file::contract_of_text;
use super::origin::Origin;
use super::resolve::{MAX_NAME, Resolver, is_name};
use super::tree::join;
use crate::checks::raw::{Checks, RawCheck, RawColumn, RawTableCheck, TableShort};
use crate::checks::{Check, CheckKind, RawCommon, Scope};
use crate::model::Action;
use crate::model::types::DataType;
use crate::notation::{Fault, OneOrMany, Threshold};

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
                self.check(item.into_check(), &join(&path, &i.to_string()), Some(&column), &mut found);
            }
        }
        for (i, item) in checks.into_vec().into_iter().enumerate() {
            self.check(item.into_check(), &join("checks", &i.to_string()), None, &mut found);
        }
        (found.checks, found.paths)
    }

    /// Resolves the item at `path`; one without a kind has been reported.
    fn check(
        &mut self,
        raw: Option<Box<dyn RawCheck>>,
        path: &str,
        column: Option<&str>,
        found: &mut Found<'_>,
    ) {
        let Some(raw) = raw else { return };
        let path = join(path, raw.name());
        let around = found.around;
        let (kind, common) = raw.resolve(&mut InFile { resolver: self, path: &path, column, around });
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

    /// Fills in the common keys, and reports those that mean nothing for this kind of check.
    fn common(&mut self, kind: CheckKind, raw: RawCommon, path: &str, column: Option<&str>) -> Check {
        let action = Action::from(raw.action);
        if action == Action::Quarantine && !kind.is_of_rows() {
            let fault =
                Fault::new("cannot be `quarantine`: a check of the batch as a whole cannot quarantine rows");
            self.take::<()>(&join(path, "action"), Err(fault.hint("take `warn` or `fail`")));
        }
        let filter = raw.r#where.inspect(|text| self.says_something(&join(path, "where"), text));
        if filter.is_some() && !kind.kind().has_filter() {
            let name = kind.as_str();
            let fault =
                Fault::new(format!("means nothing here: `{name}` does not look at single rows of the batch"));
            self.take::<()>(&join(path, "where"), Err(fault.hint(kind.kind().instead_of_filter())));
        }
        let mut threshold = |key: &str, text: Option<String>| {
            let text = text?;
            if !kind.kind().has_thresholds() {
                let name = kind.as_str();
                let fault = Fault::new(format!("means nothing here: `{name}` does not count rows that fail"));
                self.take::<()>(
                    &join(path, key),
                    Err(fault.hint("leave it out: the action says what follows")),
                );
            }
            self.take(&join(path, key), Threshold::parse(&text))
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

    pub(super) fn says_something(&mut self, path: &str, text: &str) {
        if text.trim().is_empty() {
            self.take::<()>(path, Err(Fault::new("must not be empty")));
        }
    }
}

/// A check at its place in the file.
struct InFile<'r, 'a> {
    resolver: &'r mut Resolver<'a>,
    path: &'r str,
    column: Option<&'r str>,
    around: &'r Around<'r>,
}

impl InFile<'_, '_> {
    fn at(&self, key: &str) -> String {
        if key.is_empty() { self.path.to_owned() } else { join(self.path, key) }
    }
}

impl Scope for InFile<'_, '_> {
    fn fault(&mut self, key: &str, fault: Fault) {
        let path = self.at(key);
        self.resolver.take::<()>(&path, Err(fault));
    }

    fn is_written(&self, key: &str) -> bool {
        self.resolver.is_written(&self.at(key))
    }

    fn column(&self) -> Option<&str> {
        self.column
    }

    fn dimensions(&self) -> &BTreeSet<String> {
        &self.around.dimensions
    }

    fn columns(&mut self, key: &str, columns: OneOrMany) -> Vec<String> {
        let path = self.at(key);
        self.resolver.at_least_one(&path, columns)
    }

    fn contract(&mut self) -> Vec<(String, DataType)> {
        let columns = match self.around.ddl {
            Some(ddl) => columns_of(ddl),
            // A file that could not be understood has been reported.
            None if self.resolver.is_written("source.ddl") => return Vec::new(),
            None => {
                let fault = Fault::new("needs `source.ddl`, which is not set");
                Err(fault.hint("name the file with the staging table's DDL there"))
            }
        };
        self.resolver.take(self.path, columns).unwrap_or_default()
    }
}

fn columns_of(ddl: &Path) -> Result<Vec<(String, DataType)>, Fault> {
    let file = ddl.display().to_string();
    let text = std::fs::read_to_string(ddl)
        .map_err(|error| Fault::new(format!("needs `source.ddl`, but {file} cannot be read: {error}")))?;
    let contract = contract_of_text(&file, &text, None)
        .map_err(|why| Fault::new(format!("needs `source.ddl`, which is not understood: {why}")))?;
    Ok(contract.def.columns.into_iter().map(|column| (column.field.name, column.field.data_type)).collect())
}
