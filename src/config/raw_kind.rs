//! The kinds of checks with their keys, as the author of a pipeline file writes them; part of [`super::raw`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::OneOrMany;
use crate::model::Action;

/// The keys that every check has.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawCommon {
    /// The check's name, by which its results are found. Left out, it is the kind, with the column if there is one:
    /// `regex_email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9_.-]+$"))]
    pub(super) name: Option<String>,
    /// What happens when the check fails.
    pub(super) action: RawAction,
    /// SQL that says which rows are examined. Not for counts of rows, `duplicate_rate`, `schema` and `sql`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"order_date >= '2025-01-01'")]
    pub(super) r#where: Option<String>,
    /// Warn when so many of the examined rows fail: `> 5 rows`, `>= 0.5 %`. Only for checks that count rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"> 5 rows")]
    pub(super) warn_if: Option<String>,
    /// Reject the batch when so many of the examined rows fail: `> 25 %`, `>= 10 rows`. Only for checks that count
    /// rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"> 25 %")]
    pub(super) error_if: Option<String>,
}

/// What happens when a check fails.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawAction {
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
enum RawBound {
    Text(String),
    Number(f64),
}

/// A number, text, or true or false.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum RawValue {
    Text(String),
    Number(f64),
    Truth(bool),
}

/// Values, or the only one.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum RawValues {
    /// Short for a list of one.
    One(RawValue),
    Many(Vec<RawValue>),
}

/// A check without keys of its own.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
pub(super) struct RawPlain {
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

/// No two rows of the batch have the same values in these columns.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["columns"]))]
pub(super) struct RawUniqueOf {
    /// The columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OneOrMany")]
    pub(super) columns: Option<OneOrMany>,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

/// The column has one of these values.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["values"]))]
pub(super) struct RawAcceptedValues {
    /// The values, of the column's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawValues")]
    pub(super) values: Option<OneOrMany>,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

/// The column's value lies between two values, both in.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
pub(super) struct RawAcceptedRange {
    /// The lowest value, of the column's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawBound")]
    pub(super) min: Option<String>,
    /// The highest value, of the column's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawBound")]
    pub(super) max: Option<String>,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

/// A pattern is found in the column's text.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["pattern"]))]
pub(super) struct RawRegex {
    /// A regular expression, found anywhere in the text unless it is anchored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"^[A-Z]{2}$")]
    pub(super) pattern: Option<String>,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

/// The column's value is found in a dimension.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["to", "field"]))]
pub(super) struct RawRelationships {
    /// The dimension's name under `dimensions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) to: Option<String>,
    /// The dimension's column.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) field: Option<String>,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

/// An SQL condition holds for the row.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["sql"]))]
pub(super) struct RawExpression {
    /// The condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"shipped_at >= ordered_at")]
    pub(super) sql: Option<String>,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

/// The newest version is at most so old on the logical date.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["within"]))]
pub(super) struct RawFreshness {
    /// How many whole UTC days before the logical date the newest version may be: `2 days`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"2 days")]
    pub(super) within: Option<String>,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

/// So many rows were staged.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
pub(super) struct RawRowCount {
    /// The fewest rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub(super) min: Option<u64>,
    /// The most rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub(super) max: Option<u64>,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

/// About as many rows were left after the dedupe as in the loads before.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["within"]))]
pub(super) struct RawRowCountChange {
    /// How far the number may be off the mean of the loads before: `50 %`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"50 %")]
    pub(super) within: Option<String>,
    /// How many loads the mean is taken of.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) last: u32,
    /// How many loads there must be before the check judges.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) min_history: u32,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

impl Default for RawRowCountChange {
    fn default() -> Self {
        Self { within: None, last: 7, min_history: 3, common: RawCommon::default() }
    }
}

/// At most a part of the rows fails.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["max"]))]
pub(super) struct RawRate {
    /// The largest part: `5 %`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"5 %")]
    pub(super) max: Option<String>,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

/// An SQL aggregate over the rows lies between two values, both in.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["sql"]))]
pub(super) struct RawAggregate {
    /// The aggregate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"SUM(total_amount)")]
    pub(super) sql: Option<String>,
    /// The lowest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawBound")]
    pub(super) min: Option<String>,
    /// The highest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawBound")]
    pub(super) max: Option<String>,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}

/// A query finds no row.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["query"]))]
pub(super) struct RawQuery {
    /// A query over `batch` and the dimensions that returns the rows which fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"SELECT * FROM batch WHERE total_amount < 0")]
    pub(super) query: Option<String>,
    #[serde(flatten)]
    pub(super) common: RawCommon,
}
