//! What a pipeline file says of columns that differ between staging and target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens where staging's columns and the target's differ.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchemaPolicy {
    /// What becomes of a column of staging that the target lacks. Types that do not fit are always refused.
    pub new_column: NewColumn,
    /// What becomes of a column of the target that staging had when the pipeline loaded before, and no longer has. One that
    /// is NOT NULL, or partitions the target, is always refused.
    pub dropped_column: DroppedColumn,
    /// Who changes the target's columns, where they may be changed.
    pub evolve: Evolve,
}

/// What becomes of a column that the target lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NewColumn {
    /// It is told, and not loaded.
    #[default]
    Tell,
    /// `evolve` adds it to the target.
    Add,
    /// No batch is loaded until a person decides.
    Fail,
}

/// What becomes of a column that staging no longer has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DroppedColumn {
    /// It is told. New rows have NULL there; rows that are replaced keep what they had.
    #[default]
    Leave,
    /// No batch is loaded until a person decides.
    Fail,
}

/// Who changes the target's columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Evolve {
    /// A person, with `highwater evolve`.
    #[default]
    Manual,
    /// `run`, before the batch that needs it.
    Auto,
}
