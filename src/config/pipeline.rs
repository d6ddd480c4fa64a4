//! The resolved configuration: every default filled in, every path absolute, every text parsed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evolution::SchemaPolicy;
use super::files::Files;
use super::location;
use super::mapping::Mapping;
use super::secret::Secret;
use crate::checks::Check;
use crate::error::{masked, user_and_password};
use crate::notation::{NullKeys, Percent, VersionColumn};

/// A pipeline: the daily load of one staging table into one target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// The appId in every table's log: 1 to 100 of `A-Z a-z 0-9 _ . -`.
    pub name: String,
    /// The staging table.
    pub source: Source,
    /// The table that is loaded.
    pub target: Target,
    /// The columns that identify a row of the target; at least one.
    pub unique_key: Vec<String>,
    /// Whether NULL in a column of the key is a value like others.
    pub null_keys: NullKeys,
    /// The version column; of several, the first.
    pub version: String,
    /// All columns of the version, one deciding after the other, and how; empty, where one does, as its type is ordered.
    pub sequence: Vec<VersionColumn>,
    /// What decides between rows with the same key and version, in this order; lineage, the row hash and every other
    /// staged column come after them.
    pub tie_breakers: Vec<TieBreaker>,
    /// What becomes of a row with the version of the target's row, but other values.
    pub on_tie: OnTie,
    /// The logical date of a batch.
    pub as_of: AsOf,
    /// Which rows of the staging table a batch takes.
    pub incremental: Incremental,
    /// Further tables that a batch reads and pins, by name.
    pub dimensions: BTreeMap<String, Dimension>,
    /// Checks that a batch must pass, in the order of the file: columns first, then the table. Not among them are
    /// those that are built in: they depend on the target's columns too.
    pub checks: Vec<Check>,
    /// The table with rows that were kept out of the target.
    pub quarantine: Location,
    /// The table with one row for each batch.
    pub audit: Location,
    /// The table with the pipelines' watermarks.
    pub watermarks: Location,
    /// The table with one row for each failed run.
    pub attempts: Location,
    /// Options for the object store.
    pub storage: BTreeMap<String, Secret>,
    /// The key with which values are hashed, if it is given.
    pub mask_key: Option<Secret>,
    /// Columns whose values are told in no report.
    pub pii: BTreeSet<String>,
    /// How much memory the process may use.
    pub memory: Memory,
    /// How long one statement of a check may run; at least a second.
    pub checks_timeout: Duration,
    /// How long a run may take.
    pub deadline: Option<Duration>,
    /// Who is told when a run ends badly.
    pub alerts: Vec<Alert>,
    /// What happens where staging's columns and the target's differ.
    pub schema: SchemaPolicy,
    /// How rows are written to the target.
    pub strategy: MergeStrategy,
    /// How many partitions of the target one MERGE touches at most; at least 1.
    pub partitions_per_commit: usize,
    /// Columns of the target by which the rows of a written file are sorted; at least one.
    pub sort_by: Vec<String>,
    /// Which files a load by deletion vectors writes anew.
    pub purge: Purge,
}

/// Which files a load by deletion vectors writes anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purge {
    /// Those with more dead rows than this.
    pub dead_rows: Percent,
    /// Small ones, where a partition has more than so many; 0 is none.
    pub small_files: usize,
}

impl Pipeline {
    /// Where each of its tables is: staging, target, quarantine, dimensions by their names, audit, watermarks, attempts.
    pub(crate) fn places_mut(&mut self) -> impl Iterator<Item = &mut Location> {
        [&mut self.source.table, &mut self.target.table, &mut self.quarantine]
            .into_iter()
            .chain(self.dimensions.values_mut().map(|dimension| &mut dimension.table))
            .chain([&mut self.audit, &mut self.watermarks, &mut self.attempts])
    }

    /// What people call a table of this pipeline: its last segment, or the last two where another table
    /// of the pipeline has the same last one.
    #[must_use]
    pub fn called(&self, location: &Location) -> String {
        let all = [&self.source.table, &self.target.table, &self.quarantine, &self.audit, &self.watermarks];
        let shared = all.into_iter().any(|other| other != location && other.name() == location.name());
        if !shared {
            return location.name().to_owned();
        }
        let mut segments: Vec<&str> = location.as_str().rsplit('/').take(2).collect();
        segments.reverse();
        segments.join("/")
    }
}

/// The staging table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where the table is.
    pub table: Location,
    /// The file with its DDL, if `init` is to create it.
    pub ddl: Option<PathBuf>,
    /// Columns that tell where a row came from: neither loaded nor hashed.
    pub lineage: Vec<String>,
    /// What is done to its rows before anything else looks at them.
    pub mapping: Mapping,
    /// Files that its rows come from, if highwater brings them in.
    pub files: Option<Files>,
}

/// The table that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where the table is.
    pub table: Location,
    /// The file with its DDL, if `init` is to create it.
    pub ddl: Option<PathBuf>,
    /// The columns that its files are laid out by, if `init` is to make it without a DDL file; `None` is not said.
    pub partitioned_by: Option<Vec<String>>,
    /// The columns that each load fills in itself.
    pub load_columns: LoadColumns,
    /// Columns of the staging table that are not loaded, and columns of the target that stay as
    /// they are.
    pub exclude: Vec<String>,
}

/// The names of the target's columns that each load fills in itself; all different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadColumns {
    /// STRING: the id of the batch that wrote the row.
    pub batch_id: String,
    /// TIMESTAMP: when that batch started.
    pub loaded_at: String,
    /// STRING: the hash of the row's values.
    pub row_hash: String,
}

impl LoadColumns {
    /// All three names.
    #[must_use]
    pub fn names(&self) -> [&str; 3] {
        [&self.batch_id, &self.loaded_at, &self.row_hash]
    }

    /// Whether `column` is one of them.
    #[must_use]
    pub fn contains(&self, column: &str) -> bool {
        self.names().contains(&column)
    }
}

/// A column that decides between rows with the same key and version: the row that sorts first wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TieBreaker {
    /// The column.
    pub column: String,
    /// Whether the highest value sorts first.
    pub descending: bool,
}

impl fmt::Display for TieBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.column, if self.descending { "desc" } else { "asc" })
    }
}

/// A further table that a batch reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimension {
    /// Where the table is.
    pub table: Location,
    /// The file with its DDL, if `init` is to create it.
    pub ddl: Option<PathBuf>,
}

/// Which rows of the staging table a batch takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incremental {
    /// How the rows are found.
    pub mode: Mode,
    /// The watermark column; always there in [`Mode::Window`].
    pub column: Option<String>,
    /// How many days before the logical date a window starts at the latest. Without effect in
    /// [`Mode::Changes`].
    pub lookback_days: u32,
    /// How many days the stored watermark stays behind the newest row.
    pub lag_days: u32,
    /// What becomes of late rows. Without effect in [`Mode::Changes`].
    pub late: Late,
    /// Where the first batch starts; [`Initial::All`] unless said. Without effect in [`Mode::Changes`].
    pub initial: Option<Initial>,
}

/// The logical date of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The UTC day on which the batch starts.
    Today,
    /// This day.
    Date(NaiveDate),
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Today => f.write_str("today"),
            Self::Date(day) => day.fmt(f),
        }
    }
}

/// Where the first batch of a pipeline starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initial {
    /// At the logical date less the lookback, as every other batch.
    Lookback,
    /// At the oldest row.
    #[default]
    All,
    /// On this day.
    Date(NaiveDate),
}

impl fmt::Display for Initial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookback => f.write_str("lookback"),
            Self::All => f.write_str("all"),
            Self::Date(day) => day.fmt(f),
        }
    }
}

/// How the rows of a batch are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By a window of days over the watermark column.
    Window,
    /// By what arrived in the staging table since the last load with the same or an earlier logical date: each
    /// change of staging is read by one load, however many run in a day.
    Changes,
}

/// Who is told of which bad ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The ARN of a topic of SNS.
    pub sns: String,
    /// Of what it is told; not empty.
    pub on: Vec<AlertOn>,
}

/// A bad end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertOn {
    /// The gate rejected the batch: exit status 1.
    Rejected,
    /// The run failed: exit status 2, 3, 4 or 70.
    Failed,
}

/// What becomes of rows below the window that arrived since the last batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// They are taken too.
    Load,
    /// They are only counted.
    Skip,
}

/// What becomes of a row that has the version of the target's row, but other values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnTie {
    /// The target's row stays, and the tie is counted.
    Keep,
    /// It replaces the target's row.
    ReplaceIfDifferent,
    /// The batch is rejected.
    Fail,
}

/// How rows are written to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergeStrategy {
    /// By deletion vectors where the target has them, else by delta-rs's MERGE, or, where that would not fit `memory`,
    /// by rewriting.
    Auto,
    /// By delta-rs's MERGE.
    Builder,
    /// Replaced rows are marked in deletion vectors, changed and new ones appended.
    DeletionVectors,
    /// Files with replaced rows are written anew, one stretch of rows after the other.
    Rewrite,
}

/// The least that the process may be limited to, in bytes: it takes most of this before there is a row.
pub const LEAST_MEMORY: u64 = 256 << 20;

/// How much memory the process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// This part of what the machine or the container has, 1 to 100.
    Percent(u8),
    /// This many bytes, at least 1.
    Bytes(u64),
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(part) => write!(f, "{part} %"),
            Self::Bytes(bytes) => write!(f, "{bytes} B"),
        }
    }
}

/// Where a table is: an absolute path or a URL, without a slash at its end, and with a last segment
/// that names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location(String);

impl Location {
    /// A location from a text that holds what the type promises.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// A place in memory for a table of this name; `number` keeps it apart from others.
    pub(crate) fn in_memory(&self, number: usize) -> Self {
        Self(format!("memory:///{number}/{}", self.name()))
    }

    /// The location that a person named on the command line: a URL, or a path from the current folder.
    ///
    /// # Errors
    /// Fails when the current folder is unknown, and when a URL holds credentials.
    pub fn named(text: &str) -> std::io::Result<Self> {
        let text = text.trim_end_matches('/');
        if let Some((_, rest)) = text.split_once("://") {
            if user_and_password(rest).is_some() {
                return Err(std::io::Error::other(
                    "must not hold credentials in its URL; set them under `storage` in a pipeline file",
                ));
            }
            return Ok(Self(text.to_owned()));
        }
        Ok(Self(std::path::absolute(text)?.display().to_string()))
    }

    /// The path or URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a URL rather than a path.
    #[must_use]
    pub fn is_url(&self) -> bool {
        self.0.contains("://")
    }

    /// The last segment, by which people call the table.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The table `name` in the folder of this one.
    #[must_use]
    pub fn sibling(&self, name: &str) -> Self {
        let folder = self.0.strip_suffix(self.name()).unwrap_or_default();
        Self(format!("{folder}{name}"))
    }

    /// Whether both are one folder, however it is written.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let folder = |of: &Self| location::folder(of).unwrap_or_else(|| of.0.clone());
        self == other || folder(self) == folder(other)
    }

    /// Whether one of the two is the other or lies in its folder, so that one's files would be
    /// taken for the other's.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.holds(other) || other.holds(self)
    }

    /// Whether another is the same, or lies in its folder.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        let folder = |of: &Self| location::folder(of).unwrap_or_else(|| of.0.clone());
        let rest = folder(other).strip_prefix(&folder(self)).map(str::to_owned);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Why no table can lie here: the table library would look for it elsewhere.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        location::trouble(self)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.0))
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({:?})", masked(&self.0))
    }
}
