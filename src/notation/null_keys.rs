//! What NULL in a key means.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What NULL in a column of the key means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NullKeys {
    /// A row without a key, which the batch is rejected for.
    #[default]
    Reject,
    /// A value like others: NULL equals NULL.
    Match,
}

impl NullKeys {
    /// Whether rows without a key are refused.
    #[must_use]
    pub fn is_reject(&self) -> bool {
        *self == Self::Reject
    }

    /// Whether two values are the same in a key, in SQL.
    #[must_use]
    pub fn same(self, left: &str, right: &str) -> String {
        match self {
            Self::Reject => format!("{left} = {right}"),
            // What comes after it would be taken for a part of the right side.
            Self::Match => format!("({left} IS NOT DISTINCT FROM {right})"),
        }
    }
}
