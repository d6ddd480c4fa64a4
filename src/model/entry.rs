//! What a batch changes in the quarantine: entries written, closed and opened again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::form::LISTS_IN_FILES;
use super::listed::ListFile;

/// What became of a row that was kept out. A row is one entry, however often it is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryStatus {
    /// It waits for a person, or to pass.
    Open,
    /// It passed later, and a batch loaded it.
    Replayed,
    /// A replay found something newer in the target.
    Stale,
    /// A person decided that it stays out.
    Discarded,
}

impl EntryStatus {
    /// The status's name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Stale => "stale",
            Self::Discarded => "discarded",
        }
    }
}

/// What a batch changes in the quarantine. Complete, with the files that it names: who finishes the batch needs nothing
/// else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineWork {
    /// The quarantine's version that new entries were told from old ones on.
    pub base_version: u64,
    /// The Add actions of data files with new entries, written before the batch was decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adds: Vec<Value>,
    /// Entries that get another status.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<StatusChange>,
    /// Ids of entries whose row no load in effect kept out before: they are this batch's from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// The file of a long list of such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims_file: Option<ListFile>,
    /// Batches that are taken back: the entries that they closed open again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reopen: Vec<String>,
}

impl QuarantineWork {
    /// Whether it changes entries that are there.
    #[must_use]
    pub fn changes_entries(&self) -> bool {
        let claims = !self.claims.is_empty() || self.claims_file.is_some();
        !self.changes.is_empty() || claims || !self.reopen.is_empty()
    }

    /// Whether a list of it lies in a file.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.claims_file.is_some() || self.changes.iter().any(|change| change.entries_file.is_some())
    }

    /// The work, if there is any.
    #[must_use]
    pub fn into_some(self) -> Option<Self> {
        (!self.adds.is_empty() || self.changes_entries()).then_some(self)
    }
}

/// Entries that get another status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    /// The entries' ids.
    pub entries: Vec<String>,
    /// The file of a long list of such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries_file: Option<ListFile>,
    /// Their status from now on.
    pub status: EntryStatus,
    /// The batch that closes them; `None` where they open.
    pub resolution: Option<String>,
}

/// What the audit commit of a rejected batch carries: the rows that it leaves behind as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The pipeline.
    pub pipeline: String,
    /// The rejection's id.
    pub batch_id: String,
    /// The rejection's number among the pipeline's rejections, of which those for one quarantine are compared.
    pub number: i64,
    /// The Delta id of the quarantine.
    pub quarantine_id: String,
    /// The rejection's clock reading.
    pub run_start: chrono::DateTime<chrono::Utc>,
    /// The rows.
    pub work: QuarantineWork,
}

impl Evidence {
    /// What a reader must know of to act on it.
    #[must_use]
    pub fn features(&self) -> Vec<&'static str> {
        if self.work.has_files() { vec![LISTS_IN_FILES] } else { Vec::new() }
    }
}
