//! How far a pipeline has loaded.

use std::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// How far a pipeline has loaded. Those of one pipeline are of one kind, and are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Watermark {
    /// Whole UTC days.
    Day(NaiveDate),
}

impl Watermark {
    /// The day.
    #[must_use]
    pub fn day(self) -> NaiveDate {
        match self {
            Self::Day(day) => day,
        }
    }
}

impl From<NaiveDate> for Watermark {
    fn from(day: NaiveDate) -> Self {
        Self::Day(day)
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
        }
    }
}
