//! `row_count`: so many rows were staged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::RawCheck;
use super::{CheckKind, Judged, Kind, Measure, RawCommon, Scope, Shown, Standing, bounds};
use crate::model::Counts;
use crate::notation::Fault;

/// So many rows were staged.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
pub(crate) struct Raw {
    /// The fewest rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    min: Option<u64>,
    /// The most rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    max: Option<u64>,
    #[serde(flatten)]
    common: RawCommon,
}

/// So many rows were staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCount {
    /// The fewest.
    pub min: Option<u64>,
    /// The most.
    pub max: Option<u64>,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "row_count"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        scope.needs_bound();
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            let fault = Fault::new(format!("is {max}, which is less than `min`, {min}"));
            scope.fault("max", fault.hint("no batch could ever pass"));
        }
        (CheckKind::RowCount(RowCount { min: self.min, max: self.max }), self.common)
    }
}

impl Kind for RowCount {
    fn name(&self) -> &'static str {
        "row_count"
    }

    fn instead_of_filter(&self) -> &'static str {
        "to count some of the rows, use `aggregate: {sql: COUNT(*), where: …}`"
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        let bounds = [("min", self.min), ("max", self.max)].into_iter();
        bounds.filter_map(|(key, bound)| Some((key, Shown::Bare(bound?.to_string())))).collect()
    }

    fn measured(&self, counts: &Counts) -> Option<(i64, i64)> {
        Some((counts.staged, 0))
    }

    fn judged(&self, measure: &Measure, _by: &Standing<'_>) -> Judged {
        let rows = i128::from(measure.examined);
        let below = self.min.is_some_and(|min| rows < i128::from(min));
        let above = self.max.is_some_and(|max| rows > i128::from(max));
        Judged { out: Some(below || above), value: Some(rows.to_string()) }
    }

    fn threshold(&self, _by: &Standing<'_>) -> Option<String> {
        bounds(self.min.as_ref(), self.max.as_ref())
    }
}
