//! Writes data files anew once a batch is loaded, for what loads by deletion vectors leave behind.

use std::collections::BTreeSet;

use super::Run;
use crate::config::MergeStrategy;
use crate::error::Result;
use crate::events::{RunStep, Subject};
use crate::lake::{Came, FileId, FileSize};
use crate::plan::purge::{DataFile, to_purge};
use crate::plan::{Allowed, Request};
use crate::protocol::Outcome;

/// What was written anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Files that went.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Dead rows in them.
    pub dead_rows: i64,
}

/// Bytes of rows that a purge holds at most: more makes longer stretches of sorted rows, and no faster writer.
const MOST: usize = 256 << 20;

/// Of the memory that there is for rows, this part is a purge's at most.
const PART: usize = 4;

impl Run<'_> {
    /// Purges the partitions that this load touched. It is a commit of its own that changes no data: the batch is
    /// loaded whatever comes of it, and what is not done now is due after the next load.
    pub(super) async fn purge(&mut self, came: &Came) -> Result<()> {
        let is_load = !matches!(self.course.intent.request, Request::Rollback(_));
        let wanted =
            [MergeStrategy::Auto, MergeStrategy::DeletionVectors].contains(&self.opened.pipeline.strategy);
        if !is_load || !wanted || self.allowed(&self.opened.spec)? != Allowed::default() {
            return Ok(());
        }
        let (written, newly_marked) = (came.bytes.unsigned_abs(), &came.newly_marked);
        let (pipeline, target) = (&self.opened.pipeline, &mut self.opened.tables.target);
        let laid = target.files_by_partition()?;
        let came = laid.iter().filter(|(file, ..)| came.files.contains(file));
        let touched: BTreeSet<&String> = came.map(|(_, partition, _)| partition).collect();
        let (ids, files): (Vec<(FileId, FileSize)>, Vec<DataFile>) = laid
            .iter()
            .filter(|(_, partition, _)| touched.contains(partition))
            .map(|(id, partition, size)| {
                let file = DataFile {
                    partition: partition.clone(),
                    bytes: size.bytes.unsigned_abs(),
                    rows: size.rows.map(|rows| rows + size.deleted),
                    dead: size.deleted,
                    newly_marked: newly_marked.contains(id),
                };
                ((id.clone(), *size), file)
            })
            .unzip();
        let due = to_purge(&files, pipeline.purge, target.target_file_size()?, written);
        if due.is_empty() {
            return Ok(());
        }
        let all: Vec<&DataFile> = due.iter().flatten().map(|number| &files[*number]).collect();
        let purged = Purged {
            files: all.len(),
            bytes: all.iter().map(|file| file.bytes).sum(),
            dead_rows: all.iter().map(|file| file.dead).sum(),
        };
        let lots: Vec<Vec<(FileId, FileSize)>> =
            due.iter().map(|lot| lot.iter().map(|number| ids[*number].clone()).collect()).collect();
        // Nobody asks for the batch's rows any more.
        self.kept = None;
        self.hooks.begin(RunStep::Purge, Subject::Files(purged.files));
        let engine = &self.opened.engine;
        let memory = MOST.min(engine.room() / PART);
        let _held = engine.reserve("purge", memory)?;
        let outcome = target.purge(&lots, &pipeline.sort_by, memory as u64, &engine.state()).await?;
        match outcome {
            Outcome::Committed(_) => self.purged = Some(purged),
            Outcome::Lost => {
                tracing::warn!("the target was loaded, and not purged: another commit came first");
            }
            Outcome::Unknown(error) => {
                tracing::warn!(error = error.chain(), "the target was loaded, and may not be purged");
            }
        }
        self.hooks.end(RunStep::Purge, Subject::Files(purged.files));
        self.opened.tables.target.refresh().await?;
        Ok(())
    }
}
