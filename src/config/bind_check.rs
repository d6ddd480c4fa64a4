//! Checks held against the columns of the staging table; part of [`super::check_columns`].

use super::columns::in_staging;
use super::pipeline::Pipeline;
use super::problem::Report;
use super::tree::join;
use crate::checks::{Check, Misfit};
use crate::model::types::Field;
use crate::notation::Fault;

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
        let kind = self.check.kind.kind();
        if let Some(column) = &self.check.column {
            if let Some(field) = in_staging(self.source, column, &self.path, report) {
                self.at_column(field, report);
            }
            return;
        }
        for (i, column) in kind.columns().iter().enumerate() {
            let path = join(&self.path, &format!("columns.{i}"));
            if let Some(field) = in_staging(self.source, column, &path, report) {
                self.comparable(field, &path, report);
            }
        }
        let version = self.source.iter().find(|field| field.name == self.pipeline.version);
        if let Some(fault) = version.and_then(|version| kind.misfit_of_version(version)) {
            report.add(&self.path, fault);
        }
    }

    fn at_column(&self, field: &Field, report: &mut Report<'_>) {
        let kind = self.check.kind.kind();
        if kind.compares() && !self.comparable(field, &self.path, report) {
            return;
        }
        for misfit in kind.misfits(field) {
            match misfit {
                Misfit::Check(fault) => report.add(&self.path, fault),
                Misfit::Key(key, message) => {
                    let path = join(&self.path, &key);
                    report.add(&path, Fault::new(format!("`{path}` {message}")));
                }
            }
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
}
