//! Reads commits back from a table's log.

use std::collections::{BTreeMap, HashMap};

use chrono::DateTime;
use deltalake::kernel::{Action, CommitInfo};
use deltalake::logstore::get_actions;
use serde_json::Value;

use super::table::{FileSize, Table, failed};
use super::{DESCRIPTOR_KEY, EVIDENCE_KEY};
use crate::error::Result;
use crate::model::{Descriptor, Evidence};
use crate::plan::{Commit, OtherBatch, Written};

impl Table {
    /// The actions of one commit; `None` where its log entry is gone.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub(super) async fn actions(&self, version: u64) -> Result<Option<Vec<Action>>> {
        let what = || format!("cannot read version {version} of the log of `{}`", self.name);
        let bytes = self.inner.log_store().read_commit_entry(version).await;
        let Some(bytes) = bytes.map_err(|error| failed(&what(), error))? else { return Ok(None) };
        Ok(Some(get_actions(version, &bytes).map_err(|error| failed(&what(), error))?))
    }

    /// The commits that a run has to know, oldest first: all after `audited`, the last version that the
    /// audit table records. Where it records none, those back to the beginning of the unfinished batch;
    /// where there is no such batch either (`unfinished` is false), none.
    ///
    /// Row counts are looked up for this pipeline's own commits only. `known` holds commits that were read
    /// before: a commit never changes.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn commits_since(
        &self,
        pipeline: &str,
        audited: Option<u64>,
        unfinished: bool,
        known: &mut BTreeMap<u64, Commit>,
    ) -> Result<Vec<Commit>> {
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
                self.read_commit(pipeline, version, &actions).await?
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
            let found = actions.iter().find_map(|action| match action {
                Action::CommitInfo(info) => info.info.get(EVIDENCE_KEY),
                _ => None,
            });
            let found = found.and_then(|value| serde_json::from_value::<Evidence>(value.clone()).ok());
            if let Some(evidence) = found
                && (evidence.pipeline.as_str(), evidence.number) == (pipeline, number)
            {
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

    async fn read_commit(&self, pipeline: &str, version: u64, actions: &[Action]) -> Result<Commit> {
        let info = actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => Some(info),
            _ => None,
        });
        let described = info.and_then(|info| info.info.get(DESCRIPTOR_KEY));
        let parsed = described.map(|value| serde_json::from_value::<Descriptor>(value.clone()));
        let unreadable = matches!(parsed, Some(Err(_)));
        let (descriptor, other) = match parsed.and_then(std::result::Result::ok) {
            Some(descriptor) if descriptor.pipeline == pipeline => (Some(descriptor), None),
            Some(Descriptor { pipeline, batch_id, undone, .. }) => {
                (None, Some(OtherBatch { pipeline, batch_id, undone }))
            }
            None => (None, None),
        };
        let changed_data = actions.iter().any(changes_data);
        let timestamp = info.and_then(|info| info.timestamp).and_then(DateTime::from_timestamp_millis);
        let written = if descriptor.is_some() {
            self.written(version, actions, info).await?
        } else {
            Written::default()
        };
        Ok(Commit {
            version,
            timestamp: timestamp.unwrap_or_default(),
            descriptor,
            other,
            unreadable,
            changed_data,
            restored: info.filter(|info| !info.info.contains_key(DESCRIPTOR_KEY)).and_then(restored_version),
            written,
        })
    }

    /// What a commit wrote, by its own adds and removes. The log does not say how many rows a removed
    /// file held, so that is looked up in the version before.
    async fn written(&self, version: u64, actions: &[Action], info: Option<&CommitInfo>) -> Result<Written> {
        let mut added = Some(0);
        let mut removed_files = Vec::new();
        for action in actions {
            match action {
                Action::Add(add) => {
                    let deleted = add.deletion_vector.as_ref().map_or(0, |vector| vector.cardinality);
                    let rows = add.stats.as_deref().and_then(num_records).map(|rows| rows - deleted);
                    added = added.zip(rows).map(|(sum, rows)| sum + rows);
                }
                Action::Remove(remove) => removed_files.push(file_name(&remove.path)),
                _ => {}
            }
        }
        let removed = if removed_files.is_empty() {
            Some(0)
        } else {
            self.rows_before(version, &removed_files).await?
        };
        let metric = |name: &str| {
            let metrics = info.and_then(|info| info.info.get("operationMetrics"));
            let value = metrics.and_then(|metrics| metrics.get(name))?;
            value.as_i64().or_else(|| value.as_str()?.parse().ok())
        };
        // delta-rs names its metrics in its own way, Spark in another.
        let either = |ours: &str, spark: &str| metric(ours).or_else(|| metric(spark));
        Ok(Written {
            added,
            removed,
            inserted: either("num_target_rows_inserted", "numTargetRowsInserted"),
            updated: either("num_target_rows_updated", "numTargetRowsUpdated"),
        })
    }

    async fn rows_before(&self, version: u64, removed: &[String]) -> Result<Option<i64>> {
        let Some(before) = version.checked_sub(1) else { return Ok(None) };
        let Some(before) = self.at(before).await? else { return Ok(None) };
        let files: HashMap<String, FileSize> =
            before.files().await?.into_iter().map(|(path, size)| (file_name(&path), size)).collect();
        Ok(removed.iter().map(|name| files.get(name)?.rows).sum())
    }
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
            Some(actions) if actions.iter().any(changes_data) => return Ok(version),
            Some(_) if version == 0 => return Ok(0),
            Some(_) => version -= 1,
            None => return Ok(version),
        }
    }
}

pub(super) fn changes_data(action: &Action) -> bool {
    match action {
        Action::Add(add) => add.data_change,
        Action::Remove(remove) => remove.data_change,
        _ => false,
    }
}

/// The last segment of a path. Data files have unique names, while paths may be written in several ways.
pub(super) fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn num_records(stats: &str) -> Option<i64> {
    serde_json::from_str::<Value>(stats).ok()?.get("numRecords")?.as_i64()
}

/// Present for a RESTORE: the version that it went back to, where the log names it.
#[expect(clippy::option_option, reason = "as the planner takes it")]
fn restored_version(info: &CommitInfo) -> Option<Option<u64>> {
    if info.operation.as_deref() != Some("RESTORE") {
        return None;
    }
    let parameters = info.operation_parameters.as_ref();
    let version = parameters.and_then(|parameters| parameters.get("version"));
    let version = version.and_then(|version| version.as_u64().or_else(|| version.as_str()?.parse().ok()));
    Some(version)
}
