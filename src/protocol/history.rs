//! Reads back what the entries of a table's log say.

use std::collections::BTreeMap;

use super::port::{LogEntry, Note, TableLog};
use crate::error::{Error, Result};
use crate::model::{Descriptor, Evidence};
use crate::plan::{Commit, OtherBatch, Written};

/// The commits that a run has to know, oldest first: all after the version `after`, the last that the
/// audit table records. Where it records none, those back to the beginning of the unfinished batch;
/// where there is no such batch either (`unfinished` is false), none.
///
/// Row counts are looked up for this pipeline's own commits only. `known` holds commits that were read
/// before: a commit never changes. `hand` is the table at a version that was loaded before.
pub(super) async fn commits_since<T: TableLog>(
    target: &T,
    pipeline: &str,
    after: Option<u64>,
    unfinished: bool,
    known: &mut BTreeMap<u64, Commit>,
    mut hand: Option<T>,
) -> Result<Vec<Commit>> {
    let mut commits = Vec::new();
    if after.is_none() && !unfinished {
        return Ok(commits);
    }
    let mut stop = after;
    let mut version = target.version();
    while stop.is_none_or(|stop| version > stop) {
        let commit = if let Some(commit) = known.get(&version) {
            commit.clone()
        } else {
            let Some(entry) = target.log_entry(version).await? else { break };
            let mut commit = commit_of(entry, version, pipeline);
            if commit.descriptor.is_some() {
                commit.written = target.written(version, &mut hand).await?;
            }
            commit
        };
        known.insert(version, commit.clone());
        if after.is_none()
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

/// A commit as a run of this pipeline sees it; what it wrote is still to be counted.
fn commit_of(entry: LogEntry, version: u64, pipeline: &str) -> Commit {
    let LogEntry { timestamp, note, changed_data, restored } = entry;
    let mut commit = Commit {
        version,
        timestamp,
        descriptor: None,
        other: None,
        unreadable: None,
        changed_data,
        restored,
        written: Written::default(),
    };
    let Some(Note::Batch { descriptor, unknown }) = note else { return commit };
    // A RESTORE with a descriptor, whichever pipeline's, takes back nobody else's rows.
    commit.restored = None;
    match (descriptor, unknown) {
        // Another pipeline's batch is theirs to finish; what it takes back is said in the same way ever since.
        (Some(batch), _) if batch.pipeline != pipeline => {
            let Descriptor { pipeline, batch_id, undone, .. } = *batch;
            commit.other = Some(OtherBatch { pipeline, batch_id, undone });
        }
        (Some(batch), None) => commit.descriptor = Some(*batch),
        (_, unknown) => commit.unreadable = Some(unknown.unwrap_or_else(|| "another form".to_owned())),
    }
    commit
}

/// The evidence that a rejection's commit to the audit table carries; `None` where its log entry is gone.
pub(super) async fn find_evidence<T: TableLog>(
    audit: &T,
    pipeline: &str,
    number: i64,
) -> Result<Option<Evidence>> {
    let mut version = audit.version();
    loop {
        let Some(entry) = audit.log_entry(version).await? else { return Ok(None) };
        if let Some(Note::Rejection { pipeline: of, number: found, evidence, unknown }) = entry.note
            && (of.as_str(), found) == (pipeline, number)
        {
            return match (evidence, unknown) {
                (Some(evidence), None) => Ok(Some(*evidence)),
                (_, unknown) => {
                    let unknown = unknown.unwrap_or_else(|| "another form".to_owned());
                    Err(newer(&format!("rejection {number}"), &unknown))
                }
            };
        }
        let Some(previous) = version.checked_sub(1) else { return Ok(None) };
        version = previous;
    }
}

/// The newest version of a table that changed data, up to the loaded one.
///
/// OPTIMIZE and VACUUM do not change data. `known` is a version with its newest data version, from an
/// earlier look: nothing before it is read. Where the log entries are gone, the version before the oldest
/// one left is taken.
pub(super) async fn newest_data_version<T: TableLog>(table: &T, known: Option<(u64, u64)>) -> Result<u64> {
    let mut version = table.version();
    loop {
        if let Some((upto, data_version)) = known
            && version <= upto
        {
            return Ok(data_version.min(version));
        }
        match table.log_entry(version).await? {
            Some(entry) if entry.changed_data => return Ok(version),
            Some(_) if version == 0 => return Ok(0),
            Some(_) => version -= 1,
            None => return Ok(version),
        }
    }
}

/// The error for a record that a newer release wrote.
pub(super) fn newer(what: &str, unknown: &str) -> Error {
    Error::person(format!(
        "{what} was written by a newer highwater: it has {unknown}, which this one does not know"
    ))
    .hint("run the version that wrote it, or a newer one")
}
