//! `row_count_change`: about as many rows as in the loads before.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::RawCheck;
use super::{CheckKind, Judged, Kind, Measure, PastLoad, RawCommon, Scope, Shown, Standing};
use crate::model::Counts;
use crate::notation::{Fault, Percent};

/// About as many rows were left after the dedupe as in the loads before.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["within"]))]
pub(crate) struct Raw {
    /// How far the number may be off the mean of the loads before: `50 %`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Percent", example = &"50 %")]
    within: Option<String>,
    /// How many loads the mean is taken of.
    #[schemars(range(min = 1, max = 10_000))]
    last: u32,
    /// How many loads there must be before the check judges.
    #[schemars(range(min = 1, max = 10_000))]
    min_history: u32,
    #[serde(flatten)]
    common: RawCommon,
}

impl Default for Raw {
    fn default() -> Self {
        Self { within: None, last: 7, min_history: 3, common: RawCommon::default() }
    }
}

/// About as many rows were left after the dedupe as in the loads before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCountChange {
    /// How far off the mean may be.
    pub within: Percent,
    /// How many loads the mean is taken of; at least 1.
    pub last: u32,
    /// How many loads there must be before it judges; at least 1 and at most `last`.
    pub min_history: u32,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "row_count_change"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        let Self { within, last, min_history, common } = *self;
        let within = scope.percent("within", within);
        if min_history > last {
            // Where only `last` is written, it is what is wrong.
            let written = if scope.is_written("min_history") { "" } else { ", which it is by default" };
            let fault = Fault::new(format!("must be at most `last`, {last}, not {min_history}{written}"));
            scope.fault("min_history", fault.hint("it counts those of the last loads that there are"));
        }
        (CheckKind::RowCountChange(RowCountChange { within, last, min_history }), common)
    }
}

impl RowCountChange {
    /// The last loads, which it judges by; `None` if there are too few.
    pub(crate) fn history<'a>(&self, loads: &'a [PastLoad]) -> Option<&'a [PastLoad]> {
        let enough = loads.len() >= usize::try_from(self.min_history).unwrap_or(usize::MAX).max(1);
        let from = loads.len().saturating_sub(usize::try_from(self.last).unwrap_or(usize::MAX));
        enough.then(|| &loads[from..])
    }
}

impl Kind for RowCountChange {
    fn name(&self) -> &'static str {
        "row_count_change"
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        vec![
            ("within", Shown::Bare(self.within.to_string())),
            ("last", Shown::Bare(self.last.to_string())),
            ("min_history", Shown::Bare(self.min_history.to_string())),
        ]
    }

    fn measured(&self, counts: &Counts) -> Option<(i64, i64)> {
        Some((counts.deduped, 0))
    }

    fn judged(&self, measure: &Measure, by: &Standing<'_>) -> Judged {
        let rows = measure.examined;
        let out = self.history(by.history).map(|history| is_far_off(rows, history, by.check, self.within));
        Judged { out, value: Some(rows.to_string()) }
    }

    fn threshold(&self, by: &Standing<'_>) -> Option<String> {
        Some(match self.history(by.history) {
            Some(history) => {
                let mean = mean(history, by.check);
                format!("within {} of {mean}, the mean of {}", self.within, history.len())
            }
            None => format!("needs {} loads before, has {}", self.min_history, by.history.len()),
        })
    }
}

/// Whether `rows` lie further from the mean than `within` of it.
fn is_far_off(rows: i64, history: &[PastLoad], check: &str, within: Percent) -> bool {
    let sum: i64 = history.iter().map(|load| load.counted(check)).sum();
    let loads = i64::try_from(history.len()).unwrap_or(i64::MAX);
    // |rows - sum / loads| > within * sum / loads, without the division.
    let off = rows.saturating_mul(loads).saturating_sub(sum).saturating_abs();
    let (off, limit) = within.sides(off, sum);
    off > limit
}

/// The mean in words, to one digit.
fn mean(history: &[PastLoad], check: &str) -> String {
    let sum: i64 = history.iter().map(|load| load.counted(check)).sum();
    let loads = i64::try_from(history.len()).unwrap_or(i64::MAX).max(1);
    let tenths = sum.saturating_mul(10) / loads;
    if tenths % 10 == 0 { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) }
}
