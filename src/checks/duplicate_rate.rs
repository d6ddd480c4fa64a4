//! `duplicate_rate`: at most a part of the staged rows repeats another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::RawRate;
use super::raw::RawCheck;
use super::{CheckKind, Judged, Kind, Measure, RawCommon, Scope, Shown, Standing};
use crate::model::Counts;
use crate::notation::Percent;

/// As it is written.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Raw(RawRate);

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
        (CheckKind::DuplicateRate(DuplicateRate { max: scope.percent("max", self.0.max) }), self.0.common)
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
