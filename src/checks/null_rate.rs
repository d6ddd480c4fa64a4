//! `null_rate`: at most a part of the rows has NULL in the column.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::RawCheck;
use super::{CheckKind, Condition, Judged, Kind, Measure, RawCommon, Scope, Shown, Sql, Standing};
use crate::notation::Percent;

/// At most a part of the rows fails.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["max"]))]
pub(crate) struct Raw {
    /// The largest part: `5 %`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Percent")]
    max: Option<String>,
    #[serde(flatten)]
    common: RawCommon,
}

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
        (CheckKind::NullRate(NullRate { max: scope.percent("max", self.max) }), self.common)
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
