//! Where a check stands in a pipeline file while its keys are read.

use std::collections::BTreeSet;

use crate::model::types::DataType;
use crate::notation::{Days, Fault, OneOrMany, Percent};

/// Where a check stands, and where what is wrong with it is told.
pub(crate) trait Scope {
    /// Tells what is wrong with a key of the check, or, with an empty one, with the check.
    fn fault(&mut self, key: &str, fault: Fault);

    /// Whether something stands at the key, even if it was dropped for being wrong.
    fn is_written(&self, key: &str) -> bool;

    /// The column that the check is declared at.
    fn column(&self) -> Option<&str>;

    /// The names of the dimensions.
    fn dimensions(&self) -> &BTreeSet<String>;

    /// Columns, at least one, each of them once.
    fn columns(&mut self, key: &str, columns: OneOrMany) -> Vec<String>;

    /// The columns of staging's DDL file.
    fn contract(&mut self) -> Vec<(String, DataType)>;
}

impl dyn Scope + '_ {
    /// The value, or a report.
    pub(super) fn take<T>(&mut self, key: &str, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.fault(key, fault)).ok()
    }

    /// A text that says something. One that is missing has been reported.
    pub(super) fn text(&mut self, key: &str, text: Option<String>) -> String {
        let text = text.unwrap_or_else(|| "reported".to_owned());
        if text.trim().is_empty() {
            self.fault(key, Fault::new("must not be empty"));
        }
        text
    }

    pub(super) fn percent(&mut self, key: &str, text: Option<String>) -> Percent {
        let percent = text.and_then(|text| self.take(key, Percent::parse(&text)));
        percent.unwrap_or(Percent::from_millionths(0))
    }

    pub(super) fn days(&mut self, key: &str, text: Option<String>) -> Days {
        text.and_then(|text| self.take(key, Days::parse(&text))).unwrap_or_default()
    }

    pub(super) fn needs_bound(&mut self) {
        if !["min", "max"].iter().any(|key| self.is_written(key)) {
            self.fault("", Fault::new("needs `min` or `max`, or both"));
        }
    }
}
