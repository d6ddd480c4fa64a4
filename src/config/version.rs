//! What tells a newer row from an older one: a column, or several.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::origin::Origin;
use super::pipeline::Pipeline;
use super::resolve::Resolver;
use crate::notation::{Fault, VersionColumn, VersionOrder};

/// A column of the version.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawVersion {
    /// One whose type has an order.
    Column(String),
    /// A text, and how it is ordered.
    Ordered(RawOrderedVersion),
}

/// A text, and how it is ordered.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["column", "order"]))]
pub(super) struct RawOrderedVersion {
    /// The column.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    column: Option<String>,
    /// How its texts are ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "VersionOrder")]
    order: Option<VersionOrder>,
}

impl Pipeline {
    /// The columns of the version, each with its path in the file.
    #[must_use]
    pub fn versions(&self) -> Vec<(String, &str)> {
        match self.sequence.as_slice() {
            [] | [_] => vec![("updated_at".to_owned(), &self.version)],
            several => {
                let each = several.iter().enumerate();
                each.map(|(i, by)| (format!("sequence_by.{i}"), by.column.as_str())).collect()
            }
        }
    }
}

impl Resolver<'_> {
    /// The first column of the version, and all of them, where it is not one alone whose type has an order.
    pub(super) fn version(
        &mut self,
        only: Option<RawVersion>,
        several: Vec<RawVersion>,
    ) -> (String, Vec<VersionColumn>) {
        let fault = match (&only, several.len()) {
            (None, 0) if self.report.origins.of("sequence_by") != Origin::Default => {
                let fault = Fault::new("`sequence_by` names no column");
                let hint = "name those that tell a newer row, the first to decide first";
                Some(("sequence_by", fault.hint(hint)))
            }
            (None, 1) => {
                let fault = Fault::new("`sequence_by` names one column");
                let hint = "name it under `updated_at`; or add those that decide where it is equal";
                Some(("sequence_by", fault.hint(hint)))
            }
            (Some(_), 1..) => {
                let fault = Fault::new("`updated_at` and `sequence_by` both say what the version is");
                Some(("sequence_by", fault.hint("leave one of them out")))
            }
            _ => None,
        };
        if let Some((path, fault)) = fault {
            self.report.add(path, fault);
        }
        let columns: Vec<(String, RawVersion)> = if let Some(only) = only {
            vec![("updated_at".to_owned(), only)]
        } else {
            let each = several.into_iter().enumerate();
            each.map(|(i, version)| (format!("sequence_by.{i}"), version)).collect()
        };
        let columns = columns.into_iter().map(|(path, version)| match version {
            RawVersion::Column(name) => {
                VersionColumn { column: self.column(&path, name), order: VersionOrder::Own }
            }
            // What is missing has been reported.
            RawVersion::Ordered(RawOrderedVersion { column, order }) => {
                let column = column.map(|name| self.column(&format!("{path}.column"), name));
                VersionColumn { column: column.unwrap_or_default(), order: order.unwrap_or_default() }
            }
        });
        let sequence: Vec<VersionColumn> = columns.collect();
        let first = sequence.first().map(|by| by.column.clone()).unwrap_or_default();
        match sequence.as_slice() {
            [] | [VersionColumn { order: VersionOrder::Own, .. }] => (first, Vec::new()),
            _ => (first, sequence),
        }
    }
}
