//! `schema`: staging has the columns of its contract.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::RawPlain;
use super::raw::RawCheck;
use super::{CheckKind, Judged, Kind, Measure, RawCommon, Scope, Standing};
use crate::model::CheckResult;
use crate::model::types::DataType;

/// As it is written.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Raw(RawPlain);

/// Staging has these columns, with these types; it may have more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// The columns, from staging's DDL file.
    pub columns: Vec<(String, DataType)>,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "schema"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        (CheckKind::Schema(Schema { columns: scope.contract() }), self.0.common)
    }
}

impl Schema {
    /// How staging's columns differ from the contracted ones, a sentence each.
    pub(crate) fn differences<'a>(&self, find: impl Fn(&str) -> Option<&'a DataType>) -> Vec<String> {
        let differs = |(name, wanted): &(String, DataType)| match find(name) {
            None => Some(format!("`{name}` is missing")),
            Some(found) if found != wanted => Some(format!("`{name}` is {found}, contracted is {wanted}")),
            Some(_) => None,
        };
        self.columns.iter().filter_map(differs).collect()
    }
}

impl Kind for Schema {
    fn name(&self) -> &'static str {
        "schema"
    }

    fn failures(&self, measure: &Measure) -> Option<i64> {
        Some(measure.failed)
    }

    fn judged(&self, measure: &Measure, _by: &Standing<'_>) -> Judged {
        Judged { out: Some(measure.failed > 0), value: None }
    }

    fn told(&self, result: &CheckResult, _by: &str) -> String {
        let CheckResult { name, examined, failed, .. } = result;
        format!("{name}: {failed} of {examined} columns of staging differ from the contract")
    }
}
