//! Demo data: rows for a staging table, a target and a dimension, without any table or file.
//!
//! [`reference()`] gives the reference case, five staged rows whose outcome is fixed. [`generate()`] gives a shop of
//! any size, with a week of staging that has rows of every class.

mod generate;
mod reference;
mod rows;
mod shop;
#[cfg(test)]
mod tests;
mod week;
mod write;

use deltalake::arrow::array::RecordBatch;

pub use generate::{MAX_ORDERS, Options, generate};
pub use reference::reference;
pub use rows::FactBatches;
pub use write::{DemoOptions, DemoReport, write_demo};

/// The rows of the three tables, in the Arrow types of their contracts.
#[derive(Debug)]
pub struct DemoData {
    /// What arrived in staging, in no order where it was generated.
    pub staging: Vec<RecordBatch>,
    /// The target before the load, sorted by partition, made batch by batch.
    pub fact: FactBatches,
    /// The dimension, sorted by key.
    pub customers: Vec<RecordBatch>,
    /// What the staged rows were made to be.
    pub counts: GeneratedCounts,
}

/// Staged rows by the purpose each was made for; every row has one.
///
/// This is for a summary. What a row becomes is the load's to say: a row made as an orphan is an insert where no check
/// looks at customers, and an order from the future is not staged at all in mode `window`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GeneratedCounts {
    /// Orders the target does not have.
    pub new: usize,
    /// Newer versions of orders of the week.
    pub newer: usize,
    /// Newer versions of orders of months ago, on their old day.
    pub late: usize,
    /// Newer versions that move an order of the week to another of its days.
    pub moved_within: usize,
    /// Newer versions that move an order of months ago into the week.
    pub moved_into: usize,
    /// Versions older than the target's.
    pub stale: usize,
    /// The target's rows again.
    pub unchanged: usize,
    /// The target's version with another amount.
    pub ties_with_target: usize,
    /// Another staged row's version with another amount.
    pub ties_in_batch: usize,
    /// Another staged row with another file and time of arrival.
    pub duplicates: usize,
    /// An older version of another staged row.
    pub superseded: usize,
    /// New orders of customers that the dimension does not have.
    pub orphans: usize,
    /// New orders dated past as-of.
    pub future: usize,
}

impl GeneratedCounts {
    /// All staged rows.
    #[must_use]
    pub fn total(&self) -> usize {
        self.by_purpose().iter().map(|(_, rows)| rows).sum()
    }

    /// Each purpose with its rows, in words for a summary.
    #[must_use]
    pub fn by_purpose(&self) -> [(&'static str, usize); 13] {
        [
            ("new orders", self.new),
            ("newer versions", self.newer),
            ("late newer versions", self.late),
            ("moved within the week", self.moved_within),
            ("moved into the week", self.moved_into),
            ("stale versions", self.stale),
            ("unchanged rows", self.unchanged),
            ("ties with the target", self.ties_with_target),
            ("ties in the batch", self.ties_in_batch),
            ("duplicates", self.duplicates),
            ("superseded versions", self.superseded),
            ("orphans", self.orphans),
            ("future orders", self.future),
        ]
    }
}
