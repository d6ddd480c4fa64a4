//! `duplicate_rate`: at most a part of the staged rows repeats another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::RawCheck;
use super::{CheckKind, Judged, Kind, Measure, RawCommon, Scope, Shown, Standing};
use crate::model::Counts;
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

/// At most this part of the staged rows repeats another row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateRate {
    /// The part.
    pub max: Percent,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "duplicate_rate"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        (CheckKind::DuplicateRate(DuplicateRate { max: scope.percent("max", self.max) }), self.common)
    }
}

impl Kind for DuplicateRate {
    fn name(&self) -> &'static str {
        "duplicate_rate"
    }

    fn has_thresholds(&self) -> bool {
        true
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        vec![("max", Shown::Bare(self.max.to_string()))]
    }

    fn measured(&self, counts: &Counts) -> Option<(i64, i64)> {
        Some((counts.staged, counts.duplicate))
    }

    fn judged(&self, measure: &Measure, _by: &Standing<'_>) -> Judged {
        Judged { out: Some(self.max.is_exceeded(measure.failed, measure.examined)), value: None }
    }

    fn threshold(&self, _by: &Standing<'_>) -> Option<String> {
        Some(format!("at most {}", self.max))
    }
}
