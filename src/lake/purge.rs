//! Writes data files anew without the rows that their deletion vectors take, and small ones together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use delta_kernel::expressions::{Scalar, StructData};
use deltalake::arrow::array::RecordBatch;
use deltalake::datafusion::execution::session_state::SessionState;
use deltalake::kernel::scalars::ScalarExt as _;
use deltalake::kernel::{Action, Add, LogicalFileView};
use deltalake::protocol::DeltaOperation;
use deltalake::table::config::TablePropertiesExt as _;
use futures::lock::Mutex as AsyncMutex;
use tokio::task::JoinSet;

use super::arranged::{ArrangeBy, Arranged};
use super::file_id::FileId;
use super::replace::in_schema;
use super::table::{FileSize, Table};
use super::write::{Files, PartitionWriter, Size, mostly_distinct};
use crate::engine;
use crate::error::{Error, Result};
use crate::protocol::{Outcome, Stamp};

/// Bytes that rows take in memory for each of their bytes in a file, as measured.
const HELD: u64 = 5;

impl Table {
    /// The active files, each with the text of its partition's values.
    ///
    /// # Errors
    /// Fails when the files cannot be listed.
    pub fn files_by_partition(&self) -> Result<Vec<(FileId, String, FileSize)>> {
        let laid = |(file, view): (FileId, LogicalFileView)| {
            let values = view.partition_values();
            let values = values.iter().flat_map(StructData::values).map(Scalar::serialize);
            let partition = values.collect::<Vec<_>>().join("/");
            (file, partition, FileSize::of(&view))
        };
        Ok(self.active()?.into_iter().map(laid).collect())
    }

    /// The bytes that the table's files should have.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn target_file_size(&self) -> Result<u64> {
        Ok(self.snapshot()?.table_config().target_file_size().get())
    }

    /// Writes the rows that are left of files anew, those of each partition sorted, in a commit onto this version that
    /// changes no data. `lots` are files that belong together; at most so many bytes of rows are held in `memory`, which
    /// the caller reserves.
    ///
    /// # Errors
    /// Fails when a file cannot be read or written; nothing is changed then.
    pub async fn purge(
        &self,
        lots: &[Vec<(FileId, FileSize)>],
        sort_by: &[String],
        memory: u64,
        state: &SessionState,
    ) -> Result<Outcome> {
        let threads = state.config().target_partitions();
        let mut alone = state.clone();
        alone.config_mut().options_mut().execution.target_partitions = 1;
        let purge = Arc::new(Purge {
            table: self.clone(),
            sort_by: sort_by.to_vec(),
            most: memory / threads as u64,
            sizes: lots.iter().flatten().cloned().collect(),
            state: alone,
            parts: Mutex::new(parts(lots, threads, memory)),
            planning: AsyncMutex::new(()),
        });
        let mut workers: JoinSet<Result<Vec<Add>>> =
            (0..threads).map(|_| Arc::clone(&purge).work()).collect();
        let mut added = Vec::new();
        while let Some(worked) = workers.join_next().await {
            added.extend(worked.map_err(|error| Error::bug("a part of the purge was lost").because(error))??);
        }
        let mut actions = self.removals(|file| purge.sizes.contains_key(file), false)?;
        actions.extend(added.into_iter().map(|add| Action::Add(Add { data_change: false, ..add })));
        let target_size = i64::try_from(self.target_file_size()?).unwrap_or(i64::MAX);
        let operation = DeltaOperation::Optimize { predicate: None, target_size };
        self.commit_actions(actions, None, operation, Stamp::default(), []).await
    }
}

/// What the workers of a purge share.
struct Purge {
    table: Table,
    sort_by: Vec<String>,
    /// Bytes of rows that each may hold.
    most: u64,
    sizes: HashMap<FileId, FileSize>,
    state: SessionState,
    /// What is left to do.
    parts: Mutex<Vec<BTreeSet<FileId>>>,
    /// One scan is planned at a time: each loads its vectors then, in threads of its own.
    planning: AsyncMutex<()>,
}

impl Purge {
    async fn work(self: Arc<Self>) -> Result<Vec<Add>> {
        let mut added = Vec::new();
        loop {
            let part = self.parts.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(part) = part else { return Ok(added) };
            added.extend(self.write(&part).await?);
        }
    }

    /// Writes the rows of some files anew. So many bytes of them are sorted at a time.
    async fn write(&self, files: &BTreeSet<FileId>) -> Result<Vec<Add>> {
        let schema = self.table.arrow_schema()?;
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let planning = self.planning.lock().await;
        let scan = self.table.scan_places(&self.state, &columns, Some(files)).await?;
        drop(planning);
        let unfit = |error| Error::bug("rows cannot be written as they were read").because(error);
        let (mut rows, mut bytes, mut read) = (Vec::new(), 0, 0);
        let mut writing = Writing::default();
        for mut stream in scan.streams {
            while let Some(placed) = stream.next().await? {
                let batch = in_schema(&placed.batch, &schema).map_err(unfit)?;
                read += batch.num_rows();
                bytes += batch.get_array_memory_size() as u64;
                rows.push(batch);
                if bytes >= self.most {
                    bytes = 0;
                    self.write_sorted(std::mem::take(&mut rows), &mut writing).await?;
                }
            }
        }
        self.write_sorted(rows, &mut writing).await?;
        let added = writing.close().await?;
        // No look of the protocol holds this commit against anything.
        let there = files.iter().map(|file| self.sizes.get(file)?.rows).sum::<Option<i64>>();
        let written = added.iter().map(|add| add.get_stats().ok().flatten().map(|stats| stats.num_records));
        let (read, name) = (i64::try_from(read).unwrap_or(i64::MAX), self.table.name());
        for (what, counted) in [("are there", there), ("were written anew", written.sum())] {
            if let Some(counted) = counted.filter(|counted| *counted != read) {
                return Err(Error::bug(format!("{counted} rows of `{name}` {what}, and {read} were read")));
            }
        }
        Ok(added)
    }

    async fn write_sorted(&self, rows: Vec<RecordBatch>, writing: &mut Writing) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let files = match &mut writing.files {
            Some(files) => files,
            none => {
                let plain = mostly_distinct(&rows).map_err(engine::failed)?;
                none.insert(self.table.files_to_write(&plain, None, Size::Any).await?)
            }
        };
        let by = ArrangeBy { partition: &self.table.partition_columns()?, key: &self.sort_by, threads: 1 };
        let arranged = Arranged::new(rows, by, Arc::new(Ok))
            .map_err(|error| Error::bug("rows cannot be arranged").because(error))?;
        files.write_on(&mut writing.open, &arranged).await
    }
}

/// Files that grow with each stretch of sorted rows, one a partition.
#[derive(Default)]
struct Writing {
    files: Option<Files>,
    open: BTreeMap<String, PartitionWriter>,
}

impl Writing {
    async fn close(self) -> Result<Vec<Add>> {
        let mut added = Vec::new();
        if let Some(files) = self.files {
            for writer in self.open.into_values() {
                added.extend(files.close(writer).await?);
            }
        }
        Ok(added)
    }
}

/// Lots put together to parts that are written side by side, each of which fits its share of the memory, where its lots
/// do.
fn parts(lots: &[Vec<(FileId, FileSize)>], threads: usize, memory: u64) -> Vec<BTreeSet<FileId>> {
    let held = |lot: &[(FileId, FileSize)]| -> u64 {
        let bytes = lot.iter().map(|(_, size)| size.bytes.unsigned_abs());
        bytes.sum::<u64>().saturating_mul(HELD)
    };
    let all: u64 = lots.iter().map(|lot| held(lot)).sum();
    let most = memory.min(all) / threads as u64;
    let mut parts: Vec<(u64, BTreeSet<FileId>)> = Vec::new();
    for lot in lots {
        let bytes = held(lot);
        let files = lot.iter().map(|(file, _)| file.clone());
        match parts.last_mut() {
            Some((sum, part)) if *sum + bytes <= most => {
                *sum += bytes;
                part.extend(files);
            }
            _ => parts.push((bytes, files.collect())),
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_are_put_together_as_far_as_they_fit_and_spread_over_the_threads() {
        let file = |name: &str| (FileId::new(name), FileSize { bytes: 10, rows: None, deleted: 0 });
        let lots = [vec![file("a"), file("b")], vec![file("c")], vec![file("d")], vec![file("e")]];
        let of = |threads, memory| -> Vec<usize> {
            parts(&lots, threads, memory).iter().map(BTreeSet::len).collect()
        };
        assert_eq!(of(1, 1_000), [5]);
        assert_eq!(of(2, 1_000), [2, 2, 1]);
        assert_eq!(of(2, 220), [2, 2, 1]);
        assert_eq!(of(1, 60), [2, 1, 1, 1]);
    }
}
