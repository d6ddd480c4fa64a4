//! Reads commits back from a table's log.

use std::collections::{BTreeMap, HashMap};

use super::actions::Actions;
use super::file_id::FileId;
use super::table::{FileSize, Table, failed};
use super::{DESCRIPTOR_KEY, EVIDENCE_KEY};
use crate::error::{Error, Result};
use crate::model::{Descriptor, Evidence, Form};
use crate::plan::{Commit, OtherBatch, Written};

/// Versions of a table that are in hand while its commits are read, newest first: to replay the log is the
/// costly part of looking at one.
struct InHand<'a> {
    newest: &'a Table,
    earlier: Option<Table>,
}

impl InHand<'_> {
    async fn at(&mut self, version: u64) -> Result<Option<Table>> {
        let mut there = std::iter::once(self.newest).chain(&self.earlier);
        if let Some(table) = there.find(|table| table.version() == version) {
            return Ok(Some(table.clone()));
        }
        self.earlier = self.newest.at(version).await?;
        Ok(self.earlier.clone())
    }
}

impl Table {
    /// The actions of one commit; `None` where its log entry is gone.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub(super) async fn actions(&self, version: u64) -> Result<Option<Actions>> {
        let what = || format!("cannot read version {version} of the log of `{}`", self.name);
        let bytes = self.inner.log_store().read_commit_entry(version).await;
        let Some(bytes) = bytes.map_err(|error| failed(&what(), error))? else { return Ok(None) };
        Ok(Some(Actions::parse(version, &bytes).map_err(|error| failed(&what(), error))?))
    }

    /// The commits that a run has to know, oldest first: all after `audited`, the last version that the
    /// audit table records. Where it records none, those back to the beginning of the unfinished batch;
    /// where there is no such batch either (`unfinished` is false), none.
    ///
    /// Row counts are looked up for this pipeline's own commits only. `known` holds commits that were read
    /// before: a commit never changes. `earlier` is the table at a version that was loaded before.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn commits_since(
        &self,
        pipeline: &str,
        audited: Option<u64>,
        unfinished: bool,
        known: &mut BTreeMap<u64, Commit>,
        earlier: Option<Self>,
    ) -> Result<Vec<Commit>> {
        let mut in_hand = InHand { newest: self, earlier };
        let mut commits = Vec::new();
        if audited.is_none() && !unfinished {
            return Ok(commits);
        }
        let mut stop = audited;
        let mut version = self.version();
        while stop.is_none_or(|stop| version > stop) {
            let commit = if let Some(commit) = known.get(&version) {
                commit.clone()
            } else {
                let Some(actions) = self.actions(version).await? else { break };
                read_commit(&mut in_hand, pipeline, version, &actions).await?
            };
            known.insert(version, commit.clone());
            if audited.is_none()
                && let Some(descriptor) = &commit.descriptor
            {
                // An undo's base is the commit that it undoes: read on to that one's own base.
                let whole = descriptor.covers_from == descriptor.sequence;
                stop = if whole { Some(descriptor.base_version) } else { stop };
            }
            commits.push(commit);
            let Some(previous) = version.checked_sub(1) else { break };
            version = previous;
        }
        commits.reverse();
        Ok(commits)
    }

    /// The evidence that a rejection's commit to this table carries; `None` where its log entry is gone.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn find_evidence(&self, pipeline: &str, number: i64) -> Result<Option<Evidence>> {
        let mut version = self.version();
        loop {
            let Some(actions) = self.actions(version).await? else { return Ok(None) };
            let found = actions.info.get(EVIDENCE_KEY);
            let found = found
                .and_then(|value| Some((value, serde_json::from_value::<Evidence>(value.clone()).ok()?)));
            if let Some((value, evidence)) = found
                && (evidence.pipeline.as_str(), evidence.number) == (pipeline, number)
            {
                if let Some(unknown) = Form::of(value).unknown() {
                    return Err(newer(&format!("rejection {}", evidence.batch_id), &unknown));
                }
                return Ok(Some(evidence));
            }
            let Some(previous) = version.checked_sub(1) else { return Ok(None) };
            version = previous;
        }
    }

    /// Whether columns, partitions and properties were the same at an older version as now.
    ///
    /// # Errors
    /// Fails when storage is away. Where that version cannot be loaded, nothing is known to differ.
    pub async fn has_same_schema_at(&self, version: u64) -> Result<bool> {
        let Some(older) = self.at(version).await? else { return Ok(true) };
        let (then, now) = (older.snapshot()?.metadata(), self.snapshot()?.metadata());
        let columns = older.arrow_schema()? == self.arrow_schema()?;
        let partitions = then.partition_columns() == now.partition_columns();
        Ok(columns && partitions && then.configuration() == now.configuration())
    }
}

/// The error for a record that a newer release wrote.
#[must_use]
pub fn newer(what: &str, unknown: &str) -> Error {
    Error::person(format!(
        "{what} was written by a newer highwater: it has {unknown}, which this one does not know"
    ))
    .hint("run the version that wrote it, or a newer one")
}

async fn read_commit(
    in_hand: &mut InHand<'_>,
    pipeline: &str,
    version: u64,
    actions: &Actions,
) -> Result<Commit> {
    let described = actions.info.get(DESCRIPTOR_KEY);
    let (mut unreadable, mut parsed) = (None, None);
    if let Some(value) = described {
        match (Form::of(value).unknown(), serde_json::from_value::<Descriptor>(value.clone())) {
            (None, Ok(descriptor)) => parsed = Some(descriptor),
            // Another pipeline's batch is theirs to finish; what it takes back is said in the same way ever since.
            (Some(_), Ok(other)) if other.pipeline != pipeline => parsed = Some(other),
            (unknown, _) => unreadable = Some(unknown.unwrap_or_else(|| "another form".to_owned())),
        }
    }
    let (descriptor, other) = match parsed {
        Some(descriptor) if descriptor.pipeline == pipeline => (Some(descriptor), None),
        Some(Descriptor { pipeline, batch_id, undone, .. }) => {
            (None, Some(OtherBatch { pipeline, batch_id, undone }))
        }
        None => (None, None),
    };
    let written =
        if descriptor.is_some() { written(in_hand, version, actions).await? } else { Written::default() };
    Ok(Commit {
        version,
        timestamp: actions.timestamp().unwrap_or_default(),
        restored: if described.is_some() { None } else { actions.restored_version() },
        descriptor,
        other,
        unreadable,
        changed_data: actions.change_data(),
        written,
    })
}

/// What a commit wrote: by its own adds and removes, and by what became of the table. The log does not say
/// how many rows a removed file held, so that is looked up in the version before.
async fn written(in_hand: &mut InHand<'_>, version: u64, actions: &Actions) -> Result<Written> {
    // delta-rs names its metrics in its own way, Spark in another.
    let either = |ours: &str, spark: &str| actions.metric(ours).or_else(|| actions.metric(spark));
    let mut written = Written {
        added: actions.adds.iter().map(|add| add.rows).sum(),
        removed: None,
        moved: None,
        inserted: either("num_target_rows_inserted", "numTargetRowsInserted"),
        updated: either("num_target_rows_updated", "numTargetRowsUpdated"),
    };
    if actions.adds.is_empty() && actions.removes.is_empty() {
        return Ok(Written { removed: Some(0), moved: Some(0), ..written });
    }
    // The later one first: then the earlier one is in hand for the commit before.
    let after = in_hand.at(version).await?;
    let Some(before) = version.checked_sub(1) else { return Ok(written) };
    let Some(before) = in_hand.at(before).await? else { return Ok(written) };
    let (mut files, mut now) = (before.files()?, after.as_ref().map(Table::files).transpose()?);
    if let (Some(after), Some(now)) = (&after, &mut now) {
        after.count_rows(now, &files).await?;
        before.count_rows(&mut files, now).await?;
    }
    // A Remove that names no file of the table takes nothing away.
    let removed = actions.removes.iter().filter_map(|remove| files.get(&remove.file));
    written.removed = removed.map(|size| size.rows).sum();
    written.moved = now.and_then(|now| rows_moved(&files, &now));
    Ok(written)
}

/// By how many rows two versions of a table differ. Files that both hold need not say how many they have.
fn rows_moved(before: &HashMap<FileId, FileSize>, after: &HashMap<FileId, FileSize>) -> Option<i64> {
    let only = |here: &HashMap<FileId, FileSize>, there: &HashMap<FileId, FileSize>| -> Option<i64> {
        here.iter().filter(|(file, size)| there.get(*file) != Some(*size)).map(|(_, size)| size.rows).sum()
    };
    Some(only(after, before)? - only(before, after)?)
}

/// The newest version of a table that changed data, up to the loaded one.
///
/// OPTIMIZE and VACUUM do not change data. `known` is a version with its newest data version, from an
/// earlier look: nothing before it is read. Where the log entries are gone, the version before the oldest
/// one left is taken.
///
/// # Errors
/// Fails when the log cannot be read.
pub async fn newest_data_version(table: &Table, known: Option<(u64, u64)>) -> Result<u64> {
    let mut version = table.version();
    loop {
        if let Some((upto, data_version)) = known
            && version <= upto
        {
            return Ok(data_version.min(version));
        }
        match table.actions(version).await? {
            Some(actions) if actions.change_data() => return Ok(version),
            Some(_) if version == 0 => return Ok(0),
            Some(_) => version -= 1,
            None => return Ok(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(sizes: &[(&str, i64, Option<i64>)]) -> HashMap<FileId, FileSize> {
        sizes
            .iter()
            .map(|(file, bytes, rows)| {
                (FileId::new(*file), FileSize { bytes: *bytes, rows: *rows, deleted: 0 })
            })
            .collect()
    }

    #[test]
    fn files_that_both_versions_hold_need_no_row_count() {
        let before = files(&[("a", 1, None), ("b", 2, Some(10))]);
        let after = files(&[("a", 1, None), ("c", 3, Some(12))]);
        assert_eq!(rows_moved(&before, &after), Some(2));
        assert_eq!(rows_moved(&before, &files(&[("b", 2, Some(10))])), None);
    }

    #[test]
    fn file_with_fewer_rows_by_a_deletion_vector_moves_the_count() {
        assert_eq!(rows_moved(&files(&[("a", 1, Some(10))]), &files(&[("a", 1, Some(7))])), Some(-3));
    }

    #[test]
    fn file_that_stays_beside_its_rewritten_copy_moves_the_count() {
        let before = files(&[("c=Zürich/a", 1, Some(2))]);
        let after = files(&[("c=Zürich/a", 1, Some(2)), ("c=Z%C3%BCrich/b", 1, Some(3))]);
        assert_eq!(rows_moved(&before, &after), Some(3));
    }
}
