//! What a pipeline file says of columns that differ between staging and target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens where staging's columns and the target's differ.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchemaPolicy {
    /// What becomes of a column of staging that the target lacks.
    pub new_column: NewColumn,
    /// What becomes of a column of the target that staging lacks, once the pipeline has loaded. One that is NOT NULL, or
    /// partitions the target, is always refused.
    pub dropped_column: DroppedColumn,
    /// What becomes of a column whose type has values that the target's has not. In key, version, watermark and tie-breakers,
    /// in a column that is NOT NULL, and where no value of the one type is one of the other, always refused.
    pub unfit_type: UnfitType,
    /// Who changes the target's columns, where they may be changed.
    pub evolve: Evolve,
    /// What becomes of the rules, relationships and service levels of a contract by the standard, which `target.ddl` names, or
    /// else `source.ddl`.
    pub rules: ContractRules,
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

/// What becomes of a column whose type does not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnfitType {
    /// No batch is loaded until a person decides.
    #[default]
    Fail,
    /// Rows whose value fits are loaded; the others are kept out one by one, with the value as text beside.
    Quarantine,
}

/// What becomes of a contract's rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContractRules {
    /// `contract show` shows them as checks.
    #[default]
    Leave,
    /// They are checks of the pipeline, but for those of a kind that it has itself in the same place.
    Check,
}

impl ContractRules {
    /// Its name, as the pipeline file has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Leave => "leave",
            Self::Check => "check",
        }
    }
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
