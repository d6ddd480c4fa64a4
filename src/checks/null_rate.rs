//! `null_rate`: at most a part of the rows has NULL in the column.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::RawRate;
use super::raw::RawCheck;
use super::{CheckKind, Condition, Judged, Kind, Measure, RawCommon, Scope, Shown, Sql, Standing};
use crate::notation::Percent;

/// As it is written.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Raw(RawRate);

/// At most this part of the rows has NULL in the column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NullRate {
    /// The part.
    pub max: Percent,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "null_rate"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        (CheckKind::NullRate(NullRate { max: scope.percent("max", self.0.max) }), self.0.common)
    }
}

impl Kind for NullRate {
    fn name(&self) -> &'static str {
        "null_rate"
    }

    fn has_filter(&self) -> bool {
        true
    }

    fn has_thresholds(&self) -> bool {
        true
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        vec![("max", Shown::Bare(self.max.to_string()))]
    }

    /// The rate of a key column is measured on staged rows: after the dedupe, none of them is NULL.
    fn condition(&self, sql: &Sql<'_>) -> Result<Option<Condition>, String> {
        let is_key = sql.column.is_some_and(|(name, _)| sql.key.iter().any(|key| key == name));
        Ok((!is_key).then(|| Condition::of_row(format!("{} IS NULL", sql.own()))))
    }

    fn judged(&self, measure: &Measure, _by: &Standing<'_>) -> Judged {
        Judged { out: Some(self.max.is_exceeded(measure.failed, measure.examined)), value: None }
    }

    fn threshold(&self, _by: &Standing<'_>) -> Option<String> {
        Some(format!("at most {}", self.max))
    }
}
