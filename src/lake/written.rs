//! How much a table's commits wrote.

use serde_json::Value;

use super::table::{Table, failed};
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
            let what = || format!("cannot read version {version} of the log of `{}`", self.name);
            let entry = self.inner.log_store().read_commit_entry(version).await;
            let Some(entry) = entry.map_err(|error| failed(&what(), error))? else { continue };
            bytes += String::from_utf8_lossy(&entry).lines().map(added).sum::<i64>();
        }
        Ok(bytes)
    }
}

/// The size that an action adds.
fn added(action: &str) -> i64 {
    let action: Value = serde_json::from_str(action).unwrap_or_default();
    action["add"]["size"].as_i64().unwrap_or_default()
}
