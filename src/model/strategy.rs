//! How a batch's rows are written.

use serde::{Deserialize, Serialize};

/// How a batch's rows are written to the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// By delta-rs's MERGE.
    #[default]
    Builder,
    /// Replaced rows are marked in deletion vectors; changed and new ones are appended.
    DeletionVectors,
    /// Files that hold replaced rows are written anew, one stretch of rows after the other.
    Rewrite,
}

impl Strategy {
    /// The strategy's name in pipeline files and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builder => "builder",
            Self::DeletionVectors => "deletion_vectors",
            Self::Rewrite => "rewrite",
        }
    }

    /// Whether it is the one that is not spelled out in descriptors.
    #[must_use]
    pub fn is_builder(&self) -> bool {
        *self == Self::Builder
    }
}
