//! A batch, and the descriptor that its deciding commit carries.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::check::CheckResult;
use super::counts::{Counts, Memos};
use super::drift::Drift;
use super::entry::QuarantineWork;
use super::form::{LISTS_IN_FILES, MAPPING};
use super::listed::ListFile;
use super::strategy::Strategy;
use super::watermark::Watermark;

/// What a batch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchKind {
    /// A regular load.
    Load,
    /// Reserved: a load of a chosen window that leaves the live watermark alone.
    Backfill,
    /// A load of rows from the quarantine.
    Replay,
    /// A return of the target to before other batches.
    Rollback,
    /// A change of the target's columns, which is no batch and has a count of its own.
    Schema,
}

impl BatchKind {
    /// The kind's name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Backfill => "backfill",
            Self::Replay => "replay",
            Self::Rollback => "rollback",
            Self::Schema => "schema",
        }
    }
}

/// How a batch ended, as its audit row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The target holds the batch.
    Loaded,
    /// The gate refused the batch; nothing moved.
    Rejected,
    /// This batch took others back, by a person's wish.
    RolledBack,
    /// This batch took back one whose commit did not balance.
    Failed,
    /// Some groups were written, the rest cannot be: what the batch pinned can no longer be read.
    Abandoned,
    /// The target's columns were changed.
    Evolved,
}

impl Status {
    /// The status's name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Rejected => "rejected",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
            Self::Evolved => "evolved",
        }
    }
}

/// One input, pinned: a part of the batch's identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pin {
    /// The input's role in the pipeline: `staging`, `quarantine`, or a dimension's name.
    pub name: String,
    /// What is read.
    #[serde(flatten)]
    pub what: Pinned,
}

/// What is read of an input.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pinned {
    /// A Delta table at one version.
    Table(TablePin),
}

/// A Delta table at one version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TablePin {
    /// The table's Delta id.
    pub table_id: String,
    /// The version that is read.
    pub version: u64,
    /// The newest version, up to `version`, that changed data: the part that identifies the batch.
    pub data_version: u64,
}

impl Pin {
    /// The table that is read.
    #[must_use]
    pub fn table(&self) -> &TablePin {
        match &self.what {
            Pinned::Table(table) => table,
        }
    }

    /// The same, to be changed.
    pub fn table_mut(&mut self) -> &mut TablePin {
        match &mut self.what {
            Pinned::Table(table) => table,
        }
    }
}

/// The window's ends in whole UTC days, both in. `None` is an open end, or no date column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The first day.
    pub from: Option<NaiveDate>,
    /// The last day.
    pub to: Option<NaiveDate>,
}

/// A partition's name, such as `order_date=2025-08-26`; empty for a table without partitions. Names only
/// serve to split a batch into groups: two partitions of one name would share a group, and no harm done.
pub type PartitionName = String;

/// One of several commits of a batch that is too big for one MERGE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// 0, 1, 2, …
    pub index: usize,
    /// Partitions of all groups in order; only the first group's commit lists them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Vec<PartitionName>>,
    /// The file of a long list of such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions_file: Option<ListFile>,
    /// How many groups there are.
    pub of: usize,
    /// Staging's version after which rows count as arrived; `None` where all do. Said by the first group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived_after: Option<u64>,
    /// Digest of the files that the arrived rows were read from, to know them again. Said by the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<String>,
    /// The entries of the quarantine that a replay takes. Said by the first group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// How the rows are read and compared, so that a helper with another config can write the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "recipe")]
    pub spec: Option<serde_json::Value>,
}

/// Everything that the rest of a batch needs to know, carried in the `commitInfo` of its deciding commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// The pipeline, which is also the appId.
    pub pipeline: String,
    /// The batch's number in its pipeline: 1, 2, 3, …
    pub sequence: i64,
    /// The lowest number that this batch accounts for. Lower than `sequence` where it takes back a batch
    /// that never got an audit row.
    pub covers_from: i64,
    /// What identifies the batch.
    pub batch_id: String,
    /// What it does.
    pub kind: BatchKind,
    /// How its audit row will say that it ended.
    pub status: Status,
    /// The logical date.
    pub as_of: NaiveDate,
    /// The batch's one clock reading.
    pub run_start: DateTime<Utc>,
    /// The commit's time, where the clock stands still; else the commit's own timestamp counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_end: Option<DateTime<Utc>>,
    /// Digest of what in the config can change the result.
    pub config_digest: String,
    /// The pinned inputs, first what rows are read from.
    pub inputs: Vec<Pin>,
    /// The Delta ids of the tables that a batch writes.
    pub tables: WrittenTables,
    /// The target's version that the first commit of this batch was made onto.
    pub base_version: u64,
    /// The days read.
    pub window: Window,
    /// Rows by class, of this commit alone.
    pub counts: Counts,
    /// Memos, of this commit alone.
    pub memos: Memos,
    /// What the gate found. Said by the commit that decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckResult>,
    /// Distinct rows that broke a check whose action isn't warn. Said by the commit that decides.
    #[serde(default)]
    pub dq_errors: i64,
    /// What the batch changes in the quarantine, if anything; of a batch in groups always, as later groups are
    /// judged by it. Said by the commit that decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<QuarantineWork>,
    /// The watermark that this load stores as its own.
    pub own_watermark: Option<Watermark>,
    /// How the rows are written.
    #[serde(default, skip_serializing_if = "Strategy::is_builder")]
    pub strategy: Strategy,
    /// In what its columns differed from the target's. Said by the commit that decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// Ids of the batches that this one takes back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<String>,
    /// Why, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Present when the batch is written in groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
}

impl Descriptor {
    /// What a reader must know of to act on it.
    #[must_use]
    pub fn features(&self) -> Vec<&'static str> {
        let groups = self.group.as_ref().is_some_and(|group| group.partitions_file.is_some());
        let entries = self.quarantine.as_ref().is_some_and(QuarantineWork::has_files);
        let spec = self.group.as_ref().and_then(|group| group.spec.as_ref());
        let mapped = spec.is_some_and(|spec| spec.get("mapped").is_some());
        let needed = [(groups || entries, LISTS_IN_FILES), (mapped, MAPPING)];
        needed.into_iter().filter(|(is_needed, _)| *is_needed).map(|(_, feature)| feature).collect()
    }

    /// Whether this commit completes the batch's writing of the target.
    #[must_use]
    pub fn is_last_of_batch(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.index + 1 == group.of)
    }

    /// The same batch as one that wrote nothing: what it counted, checked and kept out is left off.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self {
            counts: Counts::default(),
            memos: Memos::default(),
            checks: Vec::new(),
            dq_errors: 0,
            quarantine: None,
            own_watermark: None,
            strategy: Strategy::default(),
            drift: Vec::new(),
            group: None,
            ..self.clone()
        }
    }
}

/// Which open entries of the quarantine a replay takes; what is not said narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Selection {
    /// Those that this batch kept out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<String>,
    /// Those with this key: the key columns' values as text, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<String>>,
    /// Those that broke this check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// Those that were kept out on this day or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<NaiveDate>,
    /// Those for which this SQL condition holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// Delta ids of the tables that a batch writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenTables {
    /// The target.
    pub target: String,
    /// The quarantine.
    pub quarantine: String,
    /// The audit table.
    pub audit: String,
    /// The watermark table.
    pub watermarks: String,
}
