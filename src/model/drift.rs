//! What differs between the columns that a batch brings and those of its target, and changes of a target's columns.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::types::DataType;

/// A difference between a batch's columns and the target's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// What kind of difference.
    pub change: Change,
    /// The column, as the batch or else the target has it.
    pub column: String,
    /// What staging has: a type, or another name.
    pub staging: Option<String>,
    /// The type in the target.
    pub target: Option<String>,
    /// What is done about it.
    pub answer: Answer,
}

/// A kind of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Staging has a column that the target lacks.
    NewColumn,
    /// The target has a column that staging lacks.
    DroppedColumn,
    /// Staging has a column of the target by another of its names.
    Renamed,
    /// Staging's type is another one, and its values fit the target's.
    OtherType,
    /// Staging's type has values that do not fit the target's.
    UnfitType,
    /// Staging may have NULL where the target may not.
    Nullable,
}

impl Change {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewColumn => "new_column",
            Self::DroppedColumn => "dropped_column",
            Self::Renamed => "renamed",
            Self::OtherType => "other_type",
            Self::UnfitType => "unfit_type",
            Self::Nullable => "nullable",
        }
    }

    /// It in words.
    #[must_use]
    pub fn told(self) -> &'static str {
        match self {
            Self::NewColumn => "new column",
            Self::DroppedColumn => "dropped column",
            Self::Renamed => "other name",
            Self::OtherType => "other type, which fits",
            Self::UnfitType => "type that does not fit",
            Self::Nullable => "may be NULL",
        }
    }
}

/// What is done about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is told; the column is not loaded.
    Told,
    /// `evolve` adds the column to the target.
    Add,
    /// The target's column stays as it is: NULL in new rows.
    Leave,
    /// The values are loaded.
    Load,
    /// Rows whose value fits are loaded, the others are kept out.
    Quarantine,
    /// No batch is loaded.
    Fail,
}

impl Answer {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Add => "add",
            Self::Leave => "leave",
            Self::Load => "load",
            Self::Quarantine => "quarantine",
            Self::Fail => "fail",
        }
    }

    /// It in words.
    #[must_use]
    pub fn told(self) -> &'static str {
        match self {
            Self::Told => "not loaded",
            Self::Add => "to be added by `evolve`",
            Self::Leave => "left as it is, NULL in new rows",
            Self::Load => "loaded",
            Self::Quarantine => "loaded where it fits, else kept out",
            Self::Fail => "refused",
        }
    }
}

/// A change of a target's columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Alteration {
    /// A column that may be NULL comes to the target.
    AddColumn {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
        /// Its comment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// A column may be NULL from now on.
    DropNotNull {
        /// The column.
        column: String,
    },
    /// A column gets a comment, or another one.
    Comment {
        /// The column.
        column: String,
        /// The comment.
        comment: String,
    },
}

impl Alteration {
    /// The column.
    #[must_use]
    pub fn column(&self) -> &str {
        match self {
            Self::AddColumn { column, .. } | Self::DropNotNull { column } | Self::Comment { column, .. } => {
                column
            }
        }
    }

    /// It in words.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::AddColumn { column, data_type, .. } => format!("add column `{column}` {data_type}"),
            Self::DropNotNull { column } => format!("let `{column}` be NULL"),
            Self::Comment { column, comment } => format!("comment `{column}`: '{comment}'"),
        }
    }
}

/// What a commit to a target says of a change of its columns: all that its audit row needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaRecord {
    /// The pipeline.
    pub pipeline: String,
    /// The number of this change, from 1.
    pub number: i64,
    /// A hash of pipeline, number, table and changes.
    pub batch_id: String,
    /// The logical date.
    pub as_of: NaiveDate,
    /// When it began.
    pub started: DateTime<Utc>,
    /// The commit's time, where the clock stands still; else the commit's own timestamp counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<DateTime<Utc>>,
    /// Digest of what in the config can change a load's result.
    pub config_digest: String,
    /// The target's Delta id.
    pub target_id: String,
    /// The target's version that the commit was made onto.
    pub base_version: u64,
    /// The audit table's Delta id.
    pub audit_id: String,
    /// What was changed.
    pub alterations: Vec<Alteration>,
}
