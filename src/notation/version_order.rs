//! How versions of a row are ordered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the values of a version column are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionOrder {
    /// As their type is: times and whole numbers.
    #[default]
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    Own,
    /// Texts of numbers, such as `9.5` and `10`, with at most 20 digits before and 18 after the point.
    Numeric,
    /// Semantic versions, such as `1.9.0` and `1.10.0-rc.1`. A `v` before them, and parts that are left out, are taken.
    Semver,
    /// Texts, byte by byte.
    Text,
}

impl VersionOrder {
    /// Its name, as the pipeline file has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Numeric => "numeric",
            Self::Semver => "semver",
            Self::Text => "text",
        }
    }

    /// The order of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Own, Self::Numeric, Self::Semver, Self::Text].into_iter().find(|order| order.name() == name)
    }

    /// Whether it is not that in which values of the type are compared.
    #[must_use]
    pub fn is_made(self) -> bool {
        matches!(self, Self::Numeric | Self::Semver)
    }

    /// Whether it is that of the column's type.
    #[must_use]
    pub fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

/// A column by which versions are ordered, after those before it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VersionColumn {
    /// The column.
    pub column: String,
    /// How its values are ordered.
    #[serde(default, skip_serializing_if = "VersionOrder::is_own")]
    pub order: VersionOrder,
}
