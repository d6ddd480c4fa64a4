//! How much a table's commits wrote.

use super::actions::Add;
use super::table::Table;
use crate::error::Result;

/// Versions that are looked at: a report is not worth more.
const MOST: usize = 1_000;

impl Table {
    /// The bytes of the data files that came with the versions after `before`, up to this one.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn bytes_since(&self, before: u64) -> Result<i64> {
        let mut bytes = 0;
        for version in (before + 1..=self.version()).take(MOST) {
            let Some(actions) = self.actions(version).await? else { continue };
            // A file that only gets a deletion vector is removed and added again.
            let is_new = |add: &&Add| !actions.removes.iter().any(|remove| remove.file == add.file);
            bytes += actions.adds.iter().filter(is_new).map(|add| add.size).sum::<i64>();
        }
        Ok(bytes)
    }
}
