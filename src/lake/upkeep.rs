//! Keeps the logs short to read, and the record tables in few files, whatever the number of batches.

use std::num::NonZeroU64;

use deltalake::arrow::array::{Array as _, AsArray as _, RecordBatch};
use deltalake::arrow::datatypes::Int64Type;
use deltalake::checkpoints::create_checkpoint;
use deltalake::kernel::transaction::CommitProperties;

use super::table::{Table, failed};
use crate::error::Result;

/// Commits from one checkpoint to the next: what a look reads of a log is that many entries at most.
const INTERVAL: u64 = 10;

/// Small data files of a record table that are left as they are. Each look at the records reads them all.
const FILES: usize = 5;

/// Bytes from which on a data file is left alone: what was put together once is not to be written again and again.
const SMALL: u64 = 4 << 20;

impl Table {
    /// Makes a checkpoint, if the table has come past a tenth version since `before`. A table that has a row a batch
    /// is compacted first, where it has come to many files.
    ///
    /// # Errors
    /// Fails when somebody else commits first, or storage cannot be written: neither does harm.
    pub async fn keep_up(&mut self, before: u64, is_record: bool) -> Result<()> {
        let compacted = is_record && self.compact().await?;
        if !compacted && self.version() / INTERVAL == before / INTERVAL {
            return Ok(());
        }
        let made = create_checkpoint(&self.inner, None).await;
        made.map_err(|error| failed(&format!("cannot write a checkpoint of `{}`", self.name), error))
    }

    /// Puts the rows of many small files into one, in a commit of its own that changes no row and no `txn` number.
    /// Whether there was anything to do.
    async fn compact(&mut self) -> Result<bool> {
        let is_small = |bytes: i64| u64::try_from(bytes).is_ok_and(|bytes| bytes < SMALL);
        if self.active()?.iter().filter(|(_, view)| is_small(view.size())).count() <= FILES {
            return Ok(false);
        }
        let properties =
            CommitProperties::default().with_max_retries(0).with_cleanup_expired_logs(Some(false));
        let optimize =
            self.inner.clone().optimize().with_target_size(NonZeroU64::MIN.saturating_add(SMALL - 1));
        let compacted = optimize.with_commit_properties(properties).await;
        compacted.map_err(|error| failed(&format!("cannot compact `{}`", self.name), error))?;
        self.refresh().await?;
        Ok(true)
    }

    /// The values of a whole-number column among the rows in which `column` has this text, if the files' statistics
    /// leave no doubt: then no file has to be read.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub fn numbers_by_statistics(&self, column: &str, text: &str, number: &str) -> Result<Option<Vec<i64>>> {
        let table = self.snapshot()?.add_actions_table(true);
        let files =
            table.map_err(|error| failed(&format!("cannot list the files of `{}`", self.name), error))?;
        Ok(numbers(&files, column, text, number))
    }
}

fn numbers(files: &RecordBatch, column: &str, text: &str, number: &str) -> Option<Vec<i64>> {
    let texts = |what: &str| files.column_by_name(&format!("{what}.{column}"))?.as_string_opt::<i32>();
    let integers = |name: String| files.column_by_name(&name)?.as_primitive_opt::<Int64Type>();
    let (lowest, highest) = (texts("min")?, texts("max")?);
    let (first, last) = (integers(format!("min.{number}"))?, integers(format!("max.{number}"))?);
    let (rows, nulls) = (integers("num_records".to_owned())?, integers(format!("null_count.{number}"))?);
    let mut found = Vec::new();
    for file in 0..files.num_rows() {
        let known = lowest.is_valid(file)
            && highest.is_valid(file)
            && [first, last, rows, nulls].iter().all(|values| values.is_valid(file));
        if !known {
            return None;
        }
        if text < lowest.value(file) || text > highest.value(file) {
            continue;
        }
        // All rows have the text, and as many different numbers as there are between the lowest and the highest.
        let only = lowest.value(file) == text && highest.value(file) == text && nulls.value(file) == 0;
        let (first, last) = (first.value(file), last.value(file));
        if !only || last.checked_sub(first)?.checked_add(1)? != rows.value(file) {
            return None;
        }
        found.extend(first..=last);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use deltalake::arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    type File<'a> = (Option<&'a str>, &'a str, i64, i64, i64);

    fn of(files: &[File<'_>]) -> Option<Vec<i64>> {
        let integers = |of: &dyn Fn(&File<'_>) -> i64| -> ArrayRef {
            Arc::new(files.iter().map(of).collect::<Int64Array>())
        };
        let lowest: ArrayRef = Arc::new(files.iter().map(|file| file.0).collect::<StringArray>());
        let highest: ArrayRef = Arc::new(files.iter().map(|file| Some(file.1)).collect::<StringArray>());
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("min.pipeline", lowest, true),
            ("max.pipeline", highest, true),
            ("min.sequence", integers(&|file| file.2), true),
            ("max.sequence", integers(&|file| file.3), true),
            ("num_records", integers(&|file| file.4), true),
            ("null_count.sequence", integers(&|_| 0), true),
        ]);
        numbers(&batch.unwrap(), "pipeline", "p", "sequence")
    }

    #[test]
    fn numbers_are_told_by_statistics_only_where_they_leave_no_doubt() {
        assert_eq!(of(&[]), Some(vec![]));
        assert_eq!(of(&[(Some("p"), "p", 7, 7, 1), (Some("p"), "p", 1, 3, 3)]), Some(vec![7, 1, 2, 3]));
        assert_eq!(of(&[(Some("q"), "z", 1, 9, 2), (Some("a"), "o", 1, 9, 2)]), Some(vec![]));
        for doubt in [
            (Some("p"), "p", 1, 3, 2), // a number is missing
            (Some("p"), "p", 1, 3, 4), // one is there twice
            (Some("a"), "z", 1, 1, 1), // another pipeline's, perhaps
            (Some("p"), "q", 1, 2, 2), // another's are among them
            (None, "p", 1, 1, 1),      // no statistics
        ] {
            assert_eq!(of(&[doubt]), None, "{doubt:?}");
        }
    }
}
