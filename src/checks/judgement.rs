//! What a check is judged by.

use std::collections::BTreeMap;

use chrono::NaiveDate;

/// What was measured for one check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measure {
    /// Rows that were looked at, after `where`.
    pub examined: i64,
    /// How many of them fail. Of a check that judges a value: 1 where SQL found it out of bounds.
    pub failed: i64,
    /// How many of those would be written, were it not for the check.
    pub held: i64,
    /// The value of an aggregate, as text.
    pub value: Option<String>,
    /// The newest day of the version column, for `freshness`.
    pub newest: Option<NaiveDate>,
    /// Some of the rows that fail, by key and lineage.
    pub examples: Vec<String>,
}

/// How many rows a load in effect had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastLoad {
    /// The batch.
    pub batch_id: String,
    /// Rows left after its dedupe.
    pub deduped: i64,
    /// Rows that each of its checks examined, by the check's name.
    pub examined: BTreeMap<String, i64>,
}

impl PastLoad {
    /// How many rows a check that compares their number takes it for: those that it examined itself, if it was there.
    #[must_use]
    pub fn counted(&self, check: &str) -> i64 {
        self.examined.get(check).copied().unwrap_or(self.deduped)
    }
}

/// Where a check stands when it judges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing<'a> {
    /// The check's name.
    pub(crate) check: &'a str,
    /// The logical date.
    pub(crate) as_of: NaiveDate,
    /// The loads in effect, oldest first.
    pub(crate) history: &'a [PastLoad],
}

/// What a check that judges a value says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Whether it is out of bounds; `None` where there is nothing to judge by.
    pub(crate) out: Option<bool>,
    /// The value.
    pub(crate) value: Option<String>,
}
