//! How columns of the staging table become those that a batch has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::notation::Mask;

/// What is done to the rows of staging before anything else looks at them. By default, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The array of which each element makes a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explode: Option<Explode>,
    /// Columns that are computed, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, MappedColumn>,
    /// The condition, in SQL, that rows must meet to be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Which of staging's own columns stay.
    #[serde(default, skip_serializing_if = "Select::is_all")]
    pub select: Select,
    /// What the key is known again by with which values are hashed, where some are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_key: Option<String>,
}

impl Mapping {
    /// Whether a column's values are computed, and not only found by another name.
    #[must_use]
    pub fn computes(&self, name: &str) -> bool {
        self.columns.get(name).is_some_and(|column| {
            *column != MappedColumn { aliases: column.aliases.clone(), ..MappedColumn::default() }
        })
    }

    /// Whether rows stay as they are.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        *self == Self::default()
    }
}

/// An array of which each element makes a row, with the other columns of the row that has it. A row whose array is NULL or
/// empty makes none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explode {
    /// The column of staging that is an array.
    pub column: String,
    /// The column that holds an element.
    #[serde(rename = "as")]
    pub element: String,
    /// The column that holds its place in the array, from 1 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
}

/// Where a column's values come from; at least one of these is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedColumn {
    /// A column of staging, or an expression over its columns in SQL; the column of the same name, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Other names that staging may have for it: in each row the first that has a value, its own before all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What stands for NULL, and for a column that staging lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// How its values are made unreadable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
}

/// Which of staging's own columns stay. A computed column takes the place of one with its name, and a renamed one that
/// of the one it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// All.
    #[default]
    All,
    /// None: a batch has the computed columns alone.
    Mapped,
    /// All but these.
    Except(Vec<String>),
}

impl Select {
    fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Whether staging's column of this name stays, if no computed one takes its place.
    #[must_use]
    pub fn keeps(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Mapped => false,
            Self::Except(names) => !names.iter().any(|other| other == name),
        }
    }
}
