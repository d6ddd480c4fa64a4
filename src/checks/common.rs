//! The keys that every check has, and the notations that several share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Action;
use crate::notation::{Percent, Threshold};

/// The keys that every check has.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(crate) struct RawCommon {
    /// The check's name, by which its results are found. Left out, it is the kind, with the column if there is one:
    /// `regex_email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9_.-]+$"))]
    pub(crate) name: Option<String>,
    /// What happens when the check fails.
    pub(crate) action: RawAction,
    /// SQL that says which rows are examined. Not for counts of rows, `duplicate_rate`, `schema` and `sql`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"order_date >= '2025-01-01'")]
    pub(crate) r#where: Option<String>,
    /// Warn when so many of the examined rows fail: `> 5 rows`, `>= 0.5 %`. Only for checks that count rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Threshold", example = &"> 5 rows")]
    pub(crate) warn_if: Option<String>,
    /// Reject the batch when so many of the examined rows fail: `> 25 %`, `>= 10 rows`. Only for checks that count
    /// rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Threshold")]
    pub(crate) error_if: Option<String>,
}

/// What happens when a check fails.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawAction {
    /// It is told, and nothing else.
    Warn,
    /// The rows are kept out of the target, and kept in the quarantine. Only for checks of rows.
    Quarantine,
    /// The batch is rejected.
    #[default]
    Fail,
}

impl From<RawAction> for Action {
    fn from(raw: RawAction) -> Self {
        match raw {
            RawAction::Warn => Self::Warn,
            RawAction::Quarantine => Self::Quarantine,
            RawAction::Fail => Self::Fail,
        }
    }
}

/// A number, or text in quotes. It is compared as it is written, to the last digit.
// Stands for its schema only, as do the next two: the value reaches its key as the text that was written.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum RawBound {
    Text(String),
    Number(f64),
}

/// A number, text, or true or false.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum RawValue {
    Text(String),
    Number(f64),
    Truth(bool),
}

/// Values, or the only one.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum RawValues {
    /// Short for a list of one.
    One(RawValue),
    Many(Vec<RawValue>),
}

/// A check without keys of its own.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
pub(crate) struct RawPlain {
    #[serde(flatten)]
    pub(crate) common: RawCommon,
}

/// At most a part of the rows fails.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["max"]))]
pub(crate) struct RawRate {
    /// The largest part: `5 %`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Percent")]
    pub(crate) max: Option<String>,
    #[serde(flatten)]
    pub(crate) common: RawCommon,
}
