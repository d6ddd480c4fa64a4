//! A list that may be written as its only item.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A list, or its only item.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    /// Short for a list of one.
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Many(items) if items.is_empty())
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(item) => vec![item],
            Self::Many(items) => items,
        }
    }
}
