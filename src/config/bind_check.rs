//! Checks held against the columns of the staging table; part of [`super::check_columns`].

use super::bound::{self, Bound};
use super::check::{Check, CheckKind};
use super::columns::in_staging;
use super::pipeline::Pipeline;
use super::problem::{Fault, Report};
use super::tree::join;
use crate::model::types::{DataType, Field};

/// What the names of our own columns begin with: those of the quarantine, and those of a batch on its way.
const OWN_PREFIXES: [&str; 2] = ["dq_", "__hw_"];

/// Reports checks that the columns `source` cannot be put to, and columns with names of ours.
pub(super) fn check(pipeline: &Pipeline, source: &[Field], report: &mut Report<'_>) {
    for field in source {
        // Delta's names differ in more than case.
        let name = field.name.to_lowercase();
        if let Some(prefix) = OWN_PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
            let fault = Fault::new(format!("the staging table has a column `{}`", field.name));
            report.add(
                "source.table",
                fault.hint(format!("names that begin with `{prefix}` are highwater's own")),
            );
        }
    }
    for check in &pipeline.checks {
        let path = report.origins.check_path(&check.name).to_owned();
        Bind { pipeline, source, check, path }.check(report);
    }
}

/// A check at its column.
struct Bind<'a> {
    pipeline: &'a Pipeline,
    source: &'a [Field],
    check: &'a Check,
    path: String,
}

impl Bind<'_> {
    fn check(&self, report: &mut Report<'_>) {
        match (&self.check.column, &self.check.kind) {
            (Some(column), _) => {
                if let Some(field) = in_staging(self.source, column, &self.path, report) {
                    self.at_column(field, report);
                }
            }
            (None, CheckKind::Unique { columns }) => {
                for (i, column) in columns.iter().enumerate() {
                    let path = join(&self.path, &format!("columns.{i}"));
                    if let Some(field) = in_staging(self.source, column, &path, report) {
                        self.comparable(field, &path, report);
                    }
                }
            }
            (None, CheckKind::Freshness { .. }) => self.freshness(report),
            (None, _) => {}
        }
    }

    fn at_column(&self, field: &Field, report: &mut Report<'_>) {
        let Field { name, data_type, .. } = field;
        let kind = &self.check.kind;
        let compares = matches!(
            kind,
            CheckKind::Unique { .. }
                | CheckKind::Relationships { .. }
                | CheckKind::AcceptedValues { .. }
                | CheckKind::AcceptedRange { .. }
        );
        if compares && !self.comparable(field, &self.path, report) {
            return;
        }
        match kind {
            CheckKind::Regex { .. } if *data_type != DataType::String => {
                let fault = Fault::new(format!("`regex` needs a STRING, but `{name}` is {data_type}"));
                report.add(&self.path, fault);
            }
            CheckKind::AcceptedValues { values } => {
                for (i, value) in values.iter().enumerate() {
                    self.bound(&format!("values.{i}"), bound::equal(value, data_type), report);
                }
            }
            CheckKind::AcceptedRange { min, max } => {
                for (key, bound) in [
                    ("min", min.as_deref().map(|min| bound::lower(min, data_type))),
                    ("max", max.as_deref().map(|max| bound::upper(max, data_type))),
                ] {
                    if let Some(bound) = bound {
                        self.bound(key, bound, report);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether the values of `field` can be compared; if not, that is reported.
    fn comparable(&self, field: &Field, path: &str, report: &mut Report<'_>) -> bool {
        let Field { name, data_type, .. } = field;
        if data_type.is_nested() {
            let kind = self.check.kind.as_str();
            let fault = format!("`{kind}` compares values, which `{name}` has none of: it is {data_type}");
            report.add(path, Fault::new(fault));
        }
        !data_type.is_nested()
    }

    fn bound(&self, key: &str, bound: Result<Bound, String>, report: &mut Report<'_>) {
        if let Err(message) = bound {
            let path = join(&self.path, key);
            report.add(&path, Fault::new(format!("`{path}` {message}")));
        }
    }

    fn freshness(&self, report: &mut Report<'_>) {
        let version = self.source.iter().find(|field| field.name == self.pipeline.version);
        if let Some(Field { name, data_type, .. }) = version
            && !matches!(data_type, DataType::Date | DataType::Timestamp)
        {
            let message = format!(
                "`freshness` needs a version that is a DATE or a TIMESTAMP, but `{name}` is {data_type}"
            );
            report.add(&self.path, Fault::new(message).hint("a version that counts has no age"));
        }
    }
}
