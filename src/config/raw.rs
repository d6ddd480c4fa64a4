//! The pipeline file as its author writes it. Mirrors the file, and is the one declaration of its
//! keys: what is written here becomes the JSON Schema, by which editors complete and the walk over
//! the file validates.
//!
//! Required keys are `Option` all the same, and marked as required in the schema: the walk has
//! reported what is missing, and the phases after it go on with the rest.
//!
//! Nothing here has `Debug`: options under `storage` may be secrets.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};

use super::evolution::SchemaPolicy;
use super::files::RawFiles;
use super::pipeline::{AlertOn, Late, MergeStrategy, Mode, OnTie};
use super::storage_names::OPTIONS;
use super::version::RawVersion;
use crate::checks::raw::{Checks, RawColumn, RawTableCheck, TableShort};
use crate::notation::{NullKeys, OneOrMany, Percent};

/// A highwater pipeline: the daily load of one staging table into one target table.
///
/// Paths are relative to this file. Where a table is meant, a bare string is short for
/// `{table: …}`; where a list is meant, a single value is short for a list of one.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    title = "highwater pipeline",
    extend("required" = ["name", "source", "target", "unique_key"]),
    extend("anyOf" = [{"required": ["updated_at"]}, {"required": ["sequence_by"]}])
)]
pub(super) struct Raw {
    /// The pipeline's name: the appId in every table's log, by which a batch is known as loaded.
    /// Letters, digits, `_`, `.` and `-`. Don't rename a pipeline that has loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9_.-]+$"))]
    pub(super) name: Option<String>,
    /// The staging table, which is only read.
    #[schemars(with = "Short<RawSource>")]
    pub(super) source: Option<Short<RawSource>>,
    /// The table that is loaded. An existing table's own schema and partitions rule.
    #[schemars(with = "Short<RawTarget>")]
    pub(super) target: Option<Short<RawTarget>>,
    /// The column or columns that identify a row of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OneOrMany")]
    pub(super) unique_key: Option<OneOrMany>,
    /// The version column: a time, a DATE, a whole number, or a STRING with its order, such as
    /// `{column: release, order: semver}`. A row of the target is replaced only by one with a higher version. A version of
    /// several columns is `sequence_by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawVersion", example = &"updated_at")]
    pub(super) updated_at: Option<RawVersion>,
    /// Instead of `updated_at`, the columns of a version of several: the first decides, and where rows are equal in it the
    /// second, and so on. Each is written as under `updated_at`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sequence_by: Vec<RawVersion>,
    /// Which of two rows with the same key and version wins: that which comes first in this order.
    /// Each entry is a column, then optionally `asc` (the default, as in SQL) or `desc`. Lineage,
    /// the row hash, then every other column of staging decide last.
    pub(super) tie_breakers: OneOrMany,
    /// What to do with a row that has the version of the target's row, but other values.
    pub(super) on_tie: OnTie,
    /// What NULL in a column of the key means.
    pub(super) null_keys: NullKeys,
    /// The logical date of a batch, in UTC: `today` or a date such as `2025-09-01`.
    pub(super) as_of: String,
    /// Which rows of the staging table a batch takes.
    pub(super) incremental: RawIncremental,
    /// Further tables that a batch reads, by a name of your choice. Their versions are pinned like
    /// the staging table's.
    pub(super) dimensions: BTreeMap<String, Short<RawDimension>>,
    /// Columns of the batch: where their values come from, unless staging has them as they are, and their checks.
    pub(super) columns: BTreeMap<String, RawColumn>,
    /// Checks of a batch as a whole, or of several columns. Checks of one column stand under `columns`.
    pub(super) checks: Checks<TableShort, RawTableCheck>,
    /// The table with the rows that a check kept out of the target. Left out, it lies beside the target, with the
    /// target's name and `_bad`. Pipelines may share it where their staging tables' columns agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) quarantine: Option<String>,
    /// The table with one row for each batch. Left out, it is `loads_audit` beside the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) audit: Option<String>,
    /// The table with the pipelines' watermarks. Left out, it is `load_watermarks` beside the
    /// target.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) watermarks: Option<String>,
    /// The table with one row for each failed run. Left out, it is `loads_attempts` beside the target. A pipeline
    /// without such a table loads all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) attempts: Option<String>,
    /// Options for the object store, such as `aws_region`. Secrets come from outside: `${env:NAME}`
    /// or `${file:PATH}`.
    #[schemars(with = "BTreeMap<String, StorageOption>")]
    pub(super) storage: BTreeMap<String, String>,
    /// The key for `mask: hash`, of at least 16 characters, from outside: `${env:NAME}` or `${file:PATH}`. Whoever knows it
    /// can find values by trying; with another one, every hash is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"${env:MASK_KEY}")]
    pub(super) mask_key: Option<String>,
    /// How much memory the process may use: a part of what the machine or the container has, such as
    /// `60 %`, or an amount of at least 256 MiB, such as `4 GiB`. A batch that does not fit is cut by
    /// key, and its rows wait in a folder for temporary files (`TMPDIR`).
    #[schemars(example = &"4 GiB")]
    pub(super) memory: String,
    /// How long one statement of a check may run, such as `90 seconds` or `1 hour`.
    #[schemars(example = &"1 hour")]
    pub(super) checks_timeout: String,
    /// What happens where staging's columns and the target's differ.
    pub(super) schema: SchemaPolicy,
    /// How the target is written.
    pub(super) merge: RawMerge,
    /// How long a run may take, such as `30 minutes`: then it ends before its next step, with status 3, and the next run
    /// goes on. Left out, as long as it takes.
    #[schemars(with = "String", example = &"30 minutes")]
    pub(super) deadline: Option<String>,
    /// Who is told when `run`, `rollback` or `quarantine replay` ends badly: topics of SNS, each with its ARN and, unless
    /// it is told of both, of what: `{sns: ARN, on: [rejected, failed]}`.
    pub(super) alerts: Vec<RawAlert>,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            name: None,
            source: None,
            target: None,
            unique_key: None,
            updated_at: None,
            sequence_by: Vec::new(),
            tie_breakers: OneOrMany::default(),
            on_tie: OnTie::Keep,
            null_keys: NullKeys::Reject,
            as_of: "today".to_owned(),
            incremental: RawIncremental::default(),
            dimensions: BTreeMap::new(),
            columns: BTreeMap::new(),
            checks: Checks::default(),
            quarantine: None,
            audit: None,
            watermarks: None,
            attempts: None,
            storage: BTreeMap::new(),
            mask_key: None,
            memory: "60 %".to_owned(),
            checks_timeout: "10 minutes".to_owned(),
            schema: SchemaPolicy::default(),
            merge: RawMerge::default(),
            deadline: None,
            alerts: Vec::new(),
        }
    }
}

/// The staging table.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["table"]))]
pub(super) struct RawSource {
    /// A path or a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) table: Option<String>,
    /// The file with the table's DDL, with which `init` creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) ddl: Option<String>,
    /// Files whose rows `run` brings into the staging table before it loads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawFiles")]
    pub(super) files: Option<RawFiles>,
    /// Columns that tell where a row came from. Neither loaded nor part of the row hash.
    pub(super) lineage: OneOrMany,
    /// An array column of staging, of which each element makes a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawExplode")]
    pub(super) explode: Option<RawExplode>,
    /// The condition, in SQL over staging's columns, that rows must meet. Others are counted as `filtered`, and not
    /// looked at.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"status <> 'test'")]
    pub(super) filter: Option<String>,
    /// Which of staging's own columns a batch has, beside the computed ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawSelect")]
    pub(super) select: Option<RawSelect>,
}

/// Elements of an array as rows, each with the other columns of the row that has it.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExplode {
    /// The array. A row in which it is NULL or empty makes no row.
    pub(super) column: String,
    /// The column that an element becomes; of the array's name, if not said.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) element: Option<String>,
    /// A further column, BIGINT: the element's place in the array, from 1 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) position: Option<String>,
}

/// Which of staging's own columns a batch has.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawSelect {
    Word(SelectWord),
    Except(RawExcept),
}

/// All of them or none.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SelectWord {
    /// All; a computed column takes the place of one with its name, and a renamed one that of the one it was.
    All,
    /// None: the columns under `columns` that have `from` or `default` are all.
    Mapped,
}

/// All but some.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawExcept {
    /// The columns that it has not.
    pub(super) except: OneOrMany,
}

/// The table that is loaded.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["table"]))]
pub(super) struct RawTarget {
    /// A path or a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) table: Option<String>,
    /// The file with the table's DDL, with which `init` creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) ddl: Option<String>,
    /// The columns that its files are laid out by, where `init` makes it from the batch's columns: without a DDL file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OneOrMany")]
    pub(super) partitioned_by: Option<OneOrMany>,
    /// The columns that each load fills in itself.
    pub(super) load_columns: RawLoadColumns,
    /// Columns of the staging table that are not loaded, and columns of the target that stay as
    /// they are.
    pub(super) exclude: OneOrMany,
}

/// The columns of the target that each load fills in itself.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLoadColumns {
    /// STRING: the id of the batch that wrote the row.
    pub(super) batch_id: String,
    /// TIMESTAMP: when that batch started.
    pub(super) loaded_at: String,
    /// STRING: the hash of the row's values.
    pub(super) row_hash: String,
}

impl Default for RawLoadColumns {
    fn default() -> Self {
        Self {
            batch_id: "load_batch_id".to_owned(),
            loaded_at: "loaded_at".to_owned(),
            row_hash: "row_hash".to_owned(),
        }
    }
}

/// Which rows of the staging table a batch takes.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawIncremental {
    /// How the rows of a batch are found.
    pub(super) mode: Mode,
    /// The watermark column, a DATE or a TIMESTAMP. Required in mode `window`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"order_date")]
    pub(super) column: Option<String>,
    /// How far before the logical date a window starts at the latest, in whole UTC days: `7 days`,
    /// `2 weeks`. Without effect in mode `changes`.
    pub(super) lookback: String,
    /// How far the stored watermark stays behind the newest row, in whole days.
    pub(super) lag: String,
    /// What to do with rows below the window that arrived since the last batch. Without effect in
    /// mode `changes`.
    pub(super) late: Late,
    /// Where the first batch starts: `lookback`, `all`, or a date such as `2025-01-01`. Without
    /// effect in mode `changes`.
    pub(super) initial: String,
}

impl Default for RawIncremental {
    fn default() -> Self {
        Self {
            mode: Mode::Window,
            column: None,
            lookback: "7 days".to_owned(),
            lag: "1 day".to_owned(),
            late: Late::Load,
            initial: "all".to_owned(),
        }
    }
}

/// A further table that a batch reads.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["table"]))]
pub(super) struct RawDimension {
    /// A path or a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) table: Option<String>,
    /// The file with the table's DDL, with which `init` creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) ddl: Option<String>,
}

/// How the target is written.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawMerge {
    /// How rows are written to the target.
    pub(super) strategy: MergeStrategy,
    /// How many partitions of the target one MERGE touches at most. A batch that touches more is
    /// written as a group of commits.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) partitions_per_commit: u32,
    /// Columns of the target by which the rows of a written file are sorted, the key unless said. A MERGE does not
    /// sort.
    pub(super) sort_by: OneOrMany,
    /// What a load by deletion vectors writes anew of the partitions that it touched, once it is done: at most four
    /// times the bytes that it wrote, or 64 MiB.
    pub(super) purge: RawPurge,
}

impl Default for RawMerge {
    fn default() -> Self {
        Self {
            strategy: MergeStrategy::Auto,
            partitions_per_commit: 400,
            sort_by: OneOrMany::default(),
            purge: RawPurge::default(),
        }
    }
}

/// A topic that is told of bad ends.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlert {
    /// The ARN of a topic of SNS, in whatever region.
    #[schemars(example = &"arn:aws:sns:eu-west-1:123456789012:loads")]
    pub(super) sns: String,
    /// Of what it is told; of both, if not said.
    #[serde(default = "both")]
    pub(super) on: Vec<AlertOn>,
}

fn both() -> Vec<AlertOn> {
    vec![AlertOn::Rejected, AlertOn::Failed]
}

/// Which files are written anew.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawPurge {
    /// Files with more dead rows than this, and small files beside them. `100 %`: none.
    #[schemars(with = "Percent")]
    pub(super) dead_rows: String,
    /// Small files, of less than a quarter of `delta.targetFileSize`, where a partition has more of them than this.
    /// 0: none.
    #[schemars(range(max = 100_000))]
    pub(super) small_files: u32,
}

impl Default for RawPurge {
    fn default() -> Self {
        Self { dead_rows: "15 %".to_owned(), small_files: 6 }
    }
}

/// A table as a bare string or with its further keys.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Short<T> {
    /// Short for `{table: …}`.
    Bare(String),
    Full(T),
}

/// The value of an option. Secrets come from outside: `${env:NAME}` or `${file:PATH}`.
// Stands for its schema only: the value reaches `Raw` as the text that was written.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum StorageOption {
    Text(String),
    Number(i64),
    Truth(bool),
}

/// The JSON Schema of the pipeline file, by which editors complete and validate it.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    // Draft 7 and no references: what the editors' YAML plugins understand best.
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<Raw>().to_value();
    // Each option by the name that it has here; its other names are additional ones.
    let storage = &mut schema["properties"]["storage"];
    let value = storage["additionalProperties"].clone();
    let options = OPTIONS.iter().map(|option| {
        let mut value = value.clone();
        value["description"] = option.description().into();
        (option.name.to_owned(), value)
    });
    storage["properties"] = options.collect::<serde_json::Map<_, _>>().into();
    schema
}
