//! `freshness`: the newest version is not too old.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::RawCheck;
use super::{CheckKind, Condition, Judged, Kind, Measure, RawCommon, Scope, Shown, Sql, Standing};
use crate::model::types::{DataType, Field};
use crate::notation::{Days, Fault};

/// The newest version is at most so old on the logical date.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["within"]))]
pub(crate) struct Raw {
    /// How many whole UTC days before the logical date the newest version may be: `2 days`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Days")]
    within: Option<String>,
    #[serde(flatten)]
    common: RawCommon,
}

/// The newest version is at most so many days older than the logical date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// Whole UTC days.
    pub within_days: u32,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "freshness"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        let within_days = scope.days("within", self.within).whole();
        (CheckKind::Freshness(Freshness { within_days }), self.common)
    }
}

impl Kind for Freshness {
    fn name(&self) -> &'static str {
        "freshness"
    }

    fn has_filter(&self) -> bool {
        true
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        vec![("within", Shown::Bare(Days::of(self.within_days).to_string()))]
    }

    fn misfit_of_version(&self, version: &Field) -> Option<Fault> {
        let Field { name, data_type, .. } = version;
        if matches!(data_type, DataType::Date | DataType::Timestamp) {
            return None;
        }
        let message =
            format!("`freshness` needs a version that is a DATE or a TIMESTAMP, but `{name}` is {data_type}");
        Some(Fault::new(message).hint("a version that counts has no age"))
    }

    /// No row fails: the pass over the rows finds the newest one.
    fn condition(&self, _sql: &Sql<'_>) -> Result<Option<Condition>, String> {
        Ok(Some(Condition::of_row("FALSE".to_owned())))
    }

    fn judged(&self, measure: &Measure, by: &Standing<'_>) -> Judged {
        let oldest = by.as_of.checked_sub_days(chrono::Days::new(self.within_days.into()));
        let oldest = oldest.unwrap_or(NaiveDate::MIN);
        let stale = measure.newest.is_some_and(|newest| newest < oldest);
        Judged { out: Some(stale), value: measure.newest.map(|newest| newest.to_string()) }
    }

    fn threshold(&self, by: &Standing<'_>) -> Option<String> {
        Some(format!("at most {} before {}", Days::of(self.within_days), by.as_of))
    }
}
