//! Row accounting: every staged row is in exactly one class, and the classes add up.

use std::fmt;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// What became of a deduped row when it was held against the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Its key was not in the target.
    Inserted,
    /// It replaced the target's row.
    Updated,
    /// The target's row is newer.
    Stale,
    /// The target holds the same version with the same values.
    Unchanged,
    /// The target holds the same version with other values, and keeps them.
    Tied,
    /// It would be written, but a check keeps it out.
    Quarantined,
}

impl Class {
    /// Every class, in the order in which reports show them.
    pub const ALL: [Self; 6] =
        [Self::Inserted, Self::Updated, Self::Stale, Self::Unchanged, Self::Tied, Self::Quarantined];

    /// The class's name in SQL, JSON and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inserted => "inserted",
            Self::Updated => "updated",
            Self::Stale => "stale",
            Self::Unchanged => "unchanged",
            Self::Tied => "tied",
            Self::Quarantined => "quarantined",
        }
    }

    /// The class with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// Whether a row of this class is written to the target.
    #[must_use]
    pub fn is_written(self) -> bool {
        matches!(self, Self::Inserted | Self::Updated)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Rows by class. Two sums hold: `staged = duplicate + superseded + deduped`, and `deduped` is the sum of
/// the rest. All are numbers of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows that the batch read from staging.
    pub staged: i64,
    /// Same key, version and row hash as a row ranked above.
    pub duplicate: i64,
    /// Any other row that lost the dedupe.
    pub superseded: i64,
    /// Rows left after the dedupe.
    pub deduped: i64,
    /// Rows whose key was new to the target.
    pub inserted: i64,
    /// Rows that replaced the target's.
    pub updated: i64,
    /// Rows older than the target's.
    pub stale: i64,
    /// Rows that the target already holds.
    pub unchanged: i64,
    /// Rows with the target's version but other values, not loaded.
    pub tied: i64,
    /// Rows kept out by a row-level check.
    pub quarantined: i64,
    /// Rows of a batch that the gate refused.
    pub rejected: i64,
    /// Rows deleted from the target.
    pub deleted: i64,
}

impl Counts {
    /// Adds `rows` to the class's count.
    pub fn add_class(&mut self, class: Class, rows: i64) {
        let slot = match class {
            Class::Inserted => &mut self.inserted,
            Class::Updated => &mut self.updated,
            Class::Stale => &mut self.stale,
            Class::Unchanged => &mut self.unchanged,
            Class::Tied => &mut self.tied,
            Class::Quarantined => &mut self.quarantined,
        };
        *slot += rows;
    }

    /// Rows in the classes that `deduped` is made of.
    #[must_use]
    pub fn classified(&self) -> i64 {
        self.inserted
            + self.updated
            + self.stale
            + self.unchanged
            + self.tied
            + self.quarantined
            + self.rejected
            + self.deleted
    }

    /// What does not add up, in words; `None` when both sums hold.
    #[must_use]
    pub fn imbalance(&self) -> Option<String> {
        let after_dedupe = self.duplicate + self.superseded + self.deduped;
        if self.staged != after_dedupe {
            return Some(format!(
                "staged {} is not duplicate + superseded + deduped = {after_dedupe}",
                self.staged
            ));
        }
        let classified = self.classified();
        (self.deduped != classified)
            .then(|| format!("deduped {} is not the sum of its classes = {classified}", self.deduped))
    }

    /// Name and value of each count, in the order in which reports and JSON show them.
    #[must_use]
    pub fn named(&self) -> [(&'static str, i64); 12] {
        [
            ("staged", self.staged),
            ("duplicate", self.duplicate),
            ("superseded", self.superseded),
            ("deduped", self.deduped),
            ("inserted", self.inserted),
            ("updated", self.updated),
            ("stale", self.stale),
            ("unchanged", self.unchanged),
            ("tied", self.tied),
            ("quarantined", self.quarantined),
            ("rejected", self.rejected),
            ("deleted", self.deleted),
        ]
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            staged: self.staged + other.staged,
            duplicate: self.duplicate + other.duplicate,
            superseded: self.superseded + other.superseded,
            deduped: self.deduped + other.deduped,
            inserted: self.inserted + other.inserted,
            updated: self.updated + other.updated,
            stale: self.stale + other.stale,
            unchanged: self.unchanged + other.unchanged,
            tied: self.tied + other.tied,
            quarantined: self.quarantined + other.quarantined,
            rejected: self.rejected + other.rejected,
            deleted: self.deleted + other.deleted,
        }
    }
}

/// Numbers of rows worth knowing that are no class of their own and are never part of a sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memos {
    /// Rows below the window that arrived since the last load; loaded or only counted, as configured.
    pub late: i64,
    /// Rows above the window, left for a later batch.
    pub future: i64,
    /// Rows below the window of a first batch, which are neither loaded nor late.
    #[serde(default)]
    pub history: i64,
    /// Rows that a batch would have taken, had they met the filter of the pipeline file.
    #[serde(default, skip_serializing_if = "is_none")]
    pub filtered: i64,
    /// Ties, by how they were settled.
    pub ties: Ties,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(rows: &i64) -> bool {
    *rows == 0
}

impl Add for Memos {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            late: self.late + other.late,
            future: self.future + other.future,
            history: self.history + other.history,
            filtered: self.filtered + other.filtered,
            ties: Ties {
                in_batch: self.ties.in_batch + other.ties.in_batch,
                kept: self.ties.kept + other.ties.kept,
                replaced: self.ties.replaced + other.ties.replaced,
            },
        }
    }
}

/// Rows with the same key and version as another but other values. All are numbers of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ties {
    /// Staged rows that lost to a staged row of the same key and version.
    pub in_batch: i64,
    /// Rows that tied with the target and were not loaded.
    pub kept: i64,
    /// Rows that tied with the target and replaced its row.
    pub replaced: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imbalance_of_counts_that_add_up_is_none() {
        let counts =
            Counts { staged: 5, superseded: 1, deduped: 4, inserted: 3, updated: 1, ..Counts::default() };
        assert_eq!(counts.imbalance(), None);
    }

    #[test]
    fn imbalance_of_a_lost_row_names_both_sides() {
        let counts =
            Counts { staged: 5, superseded: 1, deduped: 4, inserted: 2, updated: 1, ..Counts::default() };
        assert_eq!(counts.imbalance().unwrap(), "deduped 4 is not the sum of its classes = 3");
    }
}
