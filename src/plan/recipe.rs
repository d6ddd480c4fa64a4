//! The part of a pipeline that can change a load's result.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::{Incremental, LoadColumns, OnTie, Pipeline, TieBreaker};
use crate::model::types::{DataType, Field};

/// Rules of the pipeline file that can change what is loaded. Paths, storage options and memory cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The pipeline's name.
    pub pipeline: String,
    /// Columns that together identify a row.
    pub unique_key: Vec<String>,
    /// The column that orders a key's versions.
    pub version: String,
    /// What decides between rows of one key and version.
    pub tie_breakers: Vec<TieBreaker>,
    /// What happens to a row that ties with the target.
    pub on_tie: OnTie,
    /// Staging columns that only say where a row came from.
    pub lineage: Vec<String>,
    /// Staging columns that are not loaded.
    pub exclude: Vec<String>,
    /// Columns of the target that the load itself fills.
    pub load_columns: LoadColumns,
    /// Which rows a batch takes.
    pub incremental: Incremental,
    /// Names of the pinned dimensions.
    pub dimensions: BTreeSet<String>,
}

impl Rules {
    /// Takes the rules out of a resolved pipeline.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        Self {
            pipeline: pipeline.name.clone(),
            unique_key: pipeline.unique_key.clone(),
            version: pipeline.version.clone(),
            tie_breakers: pipeline.tie_breakers.clone(),
            on_tie: pipeline.on_tie,
            lineage: pipeline.source.lineage.clone(),
            exclude: pipeline.target.exclude.clone(),
            load_columns: pipeline.target.load_columns.clone(),
            incremental: pipeline.incremental.clone(),
            dimensions: pipeline.dimensions.keys().cloned().collect(),
        }
    }

    /// SHA-256 of the rules, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        // Serialising plain structs of strings and numbers has no way to fail.
        let json = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(Sha256::digest(json))
    }
}

/// A column that is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedColumn {
    /// Its name in staging and target.
    pub name: String,
    /// Its type in staging.
    pub source: DataType,
    /// Its type in the target; `source` widens to it without loss.
    pub target: DataType,
    /// Whether the target takes NULL in it.
    pub nullable: bool,
}

/// Rules with the tables' columns filled in: all that is needed to write the rows of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The rules.
    pub rules: Rules,
    /// Loaded columns in the target's order.
    pub columns: Vec<LoadedColumn>,
    /// Columns of staging that are read, but not loaded: they order rows or tell where they came from.
    pub extra_columns: Vec<Field>,
    /// The target's partition columns, in order.
    pub partition_columns: Vec<String>,
}

impl Recipe {
    /// A recipe whose tables could not be read. No batch is staged by it.
    #[must_use]
    pub fn unbound(rules: Rules) -> Self {
        Self { rules, columns: Vec::new(), extra_columns: Vec::new(), partition_columns: Vec::new() }
    }

    /// The loaded column with this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&LoadedColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether the column is part of the key.
    #[must_use]
    pub fn is_key(&self, name: &str) -> bool {
        self.rules.unique_key.iter().any(|key| key == name)
    }
}
