//! The raw configuration made into a resolved one, as far as it goes.
//!
//! A value that cannot be understood is reported and replaced by its default: the phases after this
//! one then find their problems too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::location;
use super::mapping::{Explode, MappedColumn, Mapping, Select};
use super::origin::{Origin, Origins};
use super::pipeline::{
    Alert, AsOf, Dimension, Incremental, LoadColumns, Location, Memory, Pipeline, Purge, Source, Target,
    TieBreaker,
};
use super::problem::{Problem, Report};
use super::raw::{
    Raw, RawAlert, RawDimension, RawExplode, RawIncremental, RawLoadColumns, RawSelect, RawSource, RawTarget,
    SelectWord, Short,
};
use super::resolve_check::Around;
use super::secret::Secret;
use super::storage::{self, Outside};
use super::storage_names;
use super::tree::join;
use super::value;
use crate::checks::raw::RawColumn;
use crate::model::ingest::INGEST_COLUMNS;
use crate::notation::OneOrMany;
use crate::notation::{Days, Fault, Mask, Percent};

/// The names of the tables that lie beside the target unless they are named.
const QUARANTINE_ENDING: &str = "_bad";
const AUDIT: &str = "loads_audit";
const WATERMARKS: &str = "load_watermarks";
const ATTEMPTS: &str = "loads_attempts";
/// Characters of a key for hashes, at least.
const LEAST_KEY: usize = 16;
/// A name goes into every table's log and into metric labels.
pub(crate) const MAX_NAME: usize = 100;

/// A raw configuration as far as it could be resolved.
#[derive(Default)]
pub(super) struct Resolved {
    /// There is a pipeline if it is known where its tables are.
    pub(super) pipeline: Option<Pipeline>,
    pub(super) problems: Vec<Problem>,
    /// The path of each check in the file, by the check's name.
    pub(super) check_paths: BTreeMap<String, String>,
}

/// Resolves `raw`.
pub(super) fn resolve(raw: Raw, origins: &Origins, outside: &Outside<'_>) -> Resolved {
    let mut resolver = Resolver { report: Report::new(origins), outside, check_paths: BTreeMap::new() };
    let pipeline = resolver.pipeline(raw);
    Resolved { pipeline, problems: resolver.report.problems, check_paths: resolver.check_paths }
}

pub(super) struct Resolver<'a> {
    pub(super) report: Report<'a>,
    pub(super) outside: &'a Outside<'a>,
    check_paths: BTreeMap<String, String>,
}

impl Resolver<'_> {
    fn pipeline(&mut self, raw: Raw) -> Option<Pipeline> {
        // Everything is resolved, and so reported, before a missing table ends it.
        let name = self.name(raw.name);
        let source = self.source(raw.source.map(RawSource::from).unwrap_or_default(), &raw.columns);
        let target = self.target(raw.target.map(RawTarget::from).unwrap_or_default());
        let unique_key = self.unique_key(raw.unique_key);
        let (version, sequence) = self.version(raw.updated_at, raw.sequence_by);
        let tie_breakers = self.tie_breakers(raw.tie_breakers);
        let as_of = self.take("as_of", value::as_of(&raw.as_of)).unwrap_or(AsOf::Today);
        let incremental = self.incremental(raw.incremental);
        let dimension_names = raw.dimensions.keys().cloned().collect();
        let dimensions = self.dimensions(raw.dimensions);
        let others = sequence.iter().map(|by| &by.column).filter(|name| **name != version);
        let required = unique_key.iter().chain([&version]).chain(others).chain(&incremental.column);
        let around = Around {
            required: required.map(String::as_str).collect(),
            dimensions: dimension_names,
            ddl: source.as_ref().and_then(|source| source.ddl.as_deref()),
        };
        let pii = raw.columns.iter().filter(|(_, column)| column.pii).map(|(name, _)| name.clone()).collect();
        let (checks, check_paths) = self.checks(raw.columns, raw.checks, &around);
        self.check_paths = check_paths;
        let quarantine = self.table("quarantine", raw.quarantine);
        let audit = self.table("audit", raw.audit);
        let watermarks = self.table("watermarks", raw.watermarks);
        let attempts = self.table("attempts", raw.attempts);
        let storage = self.storage(raw.storage);
        let mask_key = self.mask_key(raw.mask_key);
        let memory = self.take("memory", value::memory(&raw.memory)).unwrap_or(Memory::Percent(60));
        let limit = self.take("checks_timeout", value::duration(&raw.checks_timeout));
        let checks_timeout = limit.unwrap_or(Duration::from_mins(10));
        let deadline = raw.deadline.and_then(|text| self.take("deadline", value::duration(&text)));
        let alerts = self.alerts(raw.alerts);
        let sort_by = self.columns("merge.sort_by", raw.merge.sort_by);
        let sort_by = if sort_by.is_empty() { unique_key.clone() } else { sort_by };
        let dead_rows = self.take("merge.purge.dead_rows", Percent::parse(&raw.merge.purge.dead_rows));
        let (mut source, target) = (source?, target?);
        if source.mapping.columns.values().any(|column| column.mask == Some(Mask::Hash)) {
            source.mapping.mask_key = mask_key.as_ref().map(Secret::fingerprint);
            if mask_key.is_none() && self.report.origins.of("mask_key") == Origin::Default {
                let fault = Fault::new("is missing, and `mask: hash` needs it");
                self.take::<()>(
                    "mask_key",
                    Err(fault.hint("write `mask_key: ${env:MASK_KEY}`, and set the variable")),
                );
            }
        }
        Some(Pipeline {
            name,
            unique_key,
            version,
            sequence,
            tie_breakers,
            on_tie: raw.on_tie,
            null_keys: raw.null_keys,
            as_of,
            incremental,
            dimensions,
            checks,
            quarantine: quarantine.unwrap_or_else(|| {
                target.table.sibling(&format!("{}{QUARANTINE_ENDING}", target.table.name()))
            }),
            audit: audit.unwrap_or_else(|| target.table.sibling(AUDIT)),
            watermarks: watermarks.unwrap_or_else(|| target.table.sibling(WATERMARKS)),
            attempts: attempts.unwrap_or_else(|| target.table.sibling(ATTEMPTS)),
            storage,
            mask_key,
            pii,
            memory,
            checks_timeout,
            deadline,
            alerts,
            schema: raw.schema,
            strategy: raw.merge.strategy,
            partitions_per_commit: usize::try_from(raw.merge.partitions_per_commit).unwrap_or(usize::MAX),
            sort_by,
            purge: Purge {
                dead_rows: dead_rows.unwrap_or(Percent::WHOLE),
                small_files: usize::try_from(raw.merge.purge.small_files).unwrap_or(usize::MAX),
            },
            source,
            target,
        })
    }

    /// The value, or a report that `path` is what the fault says.
    pub(super) fn take<T>(&mut self, path: &str, result: Result<T, Fault>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Fault { message, hint }) => {
                let message = format!("`{path}` {message}");
                self.report.add(path, Fault { message, hint });
                None
            }
        }
    }

    fn name(&mut self, name: Option<String>) -> String {
        let Some(name) = name else {
            return String::new();
        };
        if !is_name(&name) {
            let fault =
                Fault::new(format!("must be 1 to {MAX_NAME} letters, digits, `_`, `.` or `-`, not `{name}`"));
            self.take::<()>("name", Err(fault));
        }
        name
    }

    fn source(&mut self, raw: RawSource, columns: &BTreeMap<String, RawColumn>) -> Option<Source> {
        let table = self.table("source.table", raw.table);
        let ddl = self.file("source.ddl", raw.ddl);
        let mut lineage = self.columns("source.lineage", raw.lineage);
        let explode = raw.explode.map(|raw| self.explode(raw));
        let mapping = Mapping { explode, ..self.mapping(raw.filter, raw.select, columns) };
        let files = raw.files.and_then(|raw| self.files(raw, table.as_ref()));
        if files.is_some() {
            // Where a row came from is what they are there to tell.
            let own = INGEST_COLUMNS.map(str::to_owned).into_iter();
            lineage.extend(own.filter(|name| !lineage.contains(name)).collect::<Vec<_>>());
        }
        Some(Source { table: table?, ddl, lineage, mapping, files })
    }

    fn explode(&mut self, raw: RawExplode) -> Explode {
        let column = self.column("source.explode.column", raw.column);
        let element = raw.element.map(|name| self.column("source.explode.as", name));
        let position = raw.position.map(|name| self.column("source.explode.position", name));
        Explode { element: element.unwrap_or_else(|| column.clone()), column, position }
    }

    fn mapping(
        &mut self,
        filter: Option<String>,
        select: Option<RawSelect>,
        columns: &BTreeMap<String, RawColumn>,
    ) -> Mapping {
        let mapped = columns.iter().filter(|(_, raw)| raw.is_mapped());
        let columns: BTreeMap<String, MappedColumn> = mapped
            .map(|(name, raw)| {
                if let Some(from) = &raw.from {
                    self.says_something(&join(&join("columns", name), "from"), from);
                }
                let aliases = self.columns(&join(&join("columns", name), "aliases"), raw.aliases.clone());
                if raw.from.is_some() && !aliases.is_empty() {
                    let fault = Fault::new("is there beside `from`, which says where the values come from");
                    let path = join(&join("columns", name), "aliases");
                    self.take::<()>(&path, Err(fault.hint("leave one of them out")));
                }
                let (from, default) = (raw.from.clone(), raw.default.clone());
                (name.clone(), MappedColumn { from, aliases, default, mask: raw.mask })
            })
            .collect();
        let select = match select {
            None | Some(RawSelect::Word(SelectWord::All)) => Select::All,
            Some(RawSelect::Word(SelectWord::Mapped)) => {
                if columns.is_empty() {
                    let fault = Fault::new("leaves no column: none has `from` or `default`");
                    self.take::<()>(
                        "source.select",
                        Err(fault.hint("say under `columns` where each comes from")),
                    );
                }
                Select::Mapped
            }
            Some(RawSelect::Except(raw)) => Select::Except(self.columns("source.select.except", raw.except)),
        };
        let filter = filter.inspect(|text| self.says_something("source.where", text));
        Mapping { explode: None, columns, filter, select, mask_key: None }
    }

    fn target(&mut self, raw: RawTarget) -> Option<Target> {
        let RawLoadColumns { batch_id, loaded_at, row_hash } = raw.load_columns;
        let table = self.table("target.table", raw.table);
        let ddl = self.file("target.ddl", raw.ddl);
        let load_columns = LoadColumns {
            batch_id: self.column("target.load_columns.batch_id", batch_id),
            loaded_at: self.column("target.load_columns.loaded_at", loaded_at),
            row_hash: self.column("target.load_columns.row_hash", row_hash),
        };
        let exclude = self.columns("target.exclude", raw.exclude);
        let partitioned_by = raw.partitioned_by.map(|names| self.columns("target.partitioned_by", names));
        if ddl.is_some() && partitioned_by.is_some() {
            let fault = Fault::new("is there beside `target.ddl`, which says how the table is partitioned");
            self.take::<()>("target.partitioned_by", Err(fault.hint("leave one of them out")));
        }
        Some(Target { table: table?, ddl, partitioned_by, load_columns, exclude })
    }

    fn unique_key(&mut self, raw: Option<OneOrMany>) -> Vec<String> {
        raw.map(|columns| self.at_least_one("unique_key", columns)).unwrap_or_default()
    }

    pub(super) fn at_least_one(&mut self, path: &str, raw: OneOrMany) -> Vec<String> {
        let columns = self.columns(path, raw);
        if columns.is_empty() {
            self.take::<()>(path, Err(Fault::new("must name at least one column")));
        }
        columns
    }

    fn tie_breakers(&mut self, raw: OneOrMany) -> Vec<TieBreaker> {
        let parsed: Vec<_> = raw
            .into_vec()
            .iter()
            .enumerate()
            .map(|(i, text)| self.take(&join("tie_breakers", &i.to_string()), value::tie_breaker(text)))
            .collect();
        // All or none: each one's index leads to its position in the file.
        parsed.into_iter().collect::<Option<_>>().unwrap_or_default()
    }

    fn incremental(&mut self, raw: RawIncremental) -> Incremental {
        let defaults = RawIncremental::default();
        // The defaults are parsed rather than repeated here; a test proves that they parse.
        let days = |text: &str| Days::parse(text).unwrap_or_default().whole();
        let lookback = self.take("incremental.lookback", Days::parse(&raw.lookback));
        let lag = self.take("incremental.lag", Days::parse(&raw.lag));
        let initial = self.take("incremental.initial", value::initial(&raw.initial));
        let said = self.report.origins.of("incremental.initial") != Origin::Default;
        Incremental {
            mode: raw.mode,
            column: raw.column.map(|text| self.column("incremental.column", text)),
            lookback_days: lookback.map_or_else(|| days(&defaults.lookback), Days::whole),
            lag_days: lag.map_or_else(|| days(&defaults.lag), Days::whole),
            late: raw.late,
            initial: initial.filter(|_| said),
        }
    }

    fn dimensions(&mut self, raw: BTreeMap<String, Short<RawDimension>>) -> BTreeMap<String, Dimension> {
        let mut dimensions = BTreeMap::new();
        for (name, raw) in raw {
            let path = join("dimensions", &name);
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                let fault = Fault::new("must have a name of letters, digits and `_`");
                self.take::<()>(&path, Err(fault));
            }
            let raw = RawDimension::from(raw);
            let table = self.table(&join(&path, "table"), raw.table);
            let ddl = self.file(&join(&path, "ddl"), raw.ddl);
            if let Some(table) = table {
                dimensions.insert(name, Dimension { table, ddl });
            }
        }
        dimensions
    }

    fn alerts(&mut self, raw: Vec<RawAlert>) -> Vec<Alert> {
        for (at, alert) in raw.iter().enumerate() {
            let path = join("alerts", &at.to_string());
            let parts: Vec<&str> = alert.sns.split(':').collect();
            if !matches!(parts.as_slice(), ["arn", _, "sns", _, _, topic] if !topic.is_empty()) {
                let fault = Fault::new(format!("must be the ARN of a topic, not `{}`", alert.sns));
                let fault = fault.hint("write it like arn:aws:sns:eu-west-1:123456789012:loads");
                self.take::<()>(&join(&path, "sns"), Err(fault));
            }
            if alert.on.is_empty() {
                let fault = Fault::new("must name `rejected`, `failed`, or both");
                self.take::<()>(&join(&path, "on"), Err(fault));
            }
        }
        raw.into_iter().map(|RawAlert { sns, on }| Alert { sns, on }).collect()
    }

    fn mask_key(&mut self, text: Option<String>) -> Option<Secret> {
        let origin = self.report.origins.of("mask_key");
        let key = self.take("mask_key", storage::resolve("mask_key", &text?, &origin, self.outside))?;
        if key.expose().chars().count() < LEAST_KEY {
            let fault = Fault::new(format!("must have at least {LEAST_KEY} characters"));
            self.take::<()>(
                "mask_key",
                Err(fault.hint("take random ones: a short key can be found by trying")),
            );
        }
        Some(key)
    }

    fn storage(&mut self, raw: BTreeMap<String, String>) -> BTreeMap<String, Secret> {
        let mut storage: BTreeMap<String, Secret> = BTreeMap::new();
        for (name, text) in raw {
            let path = join("storage", &name);
            let origin = self.report.origins.of(&path);
            self.take(&path, storage_names::check(&name));
            if let Some(other) = storage.keys().find(|other| storage_names::are_same(other, &name)) {
                let fault = Fault::new(format!("is the same option as `{other}`"));
                self.take::<()>(&path, Err(fault.hint("leave one of them out")));
            }
            if let Some(secret) = self.take(&path, storage::resolve(&name, &text, &origin, self.outside)) {
                self.take(&path, storage_names::check_value(&name, secret.expose()));
                storage.insert(name, secret);
            }
        }
        storage
    }

    pub(super) fn table(&mut self, path: &str, text: Option<String>) -> Option<Location> {
        self.take(path, location::table(&text?, self.outside.folder))
    }

    fn file(&mut self, path: &str, text: Option<String>) -> Option<PathBuf> {
        self.take(path, location::file(&text?, self.outside.folder))
    }

    pub(super) fn column(&mut self, path: &str, name: String) -> String {
        if name.is_empty() {
            self.take::<()>(path, Err(Fault::new("must not be empty")));
        }
        name
    }

    fn columns(&mut self, path: &str, names: OneOrMany) -> Vec<String> {
        let names = names.into_vec();
        let mut seen = BTreeSet::new();
        for (i, name) in names.iter().enumerate() {
            let item = join(path, &i.to_string());
            self.column(&item, name.clone());
            if !seen.insert(name) {
                self.report.add(&item, Fault::new(format!("`{path}` names `{name}` twice")));
            }
        }
        names
    }
}

/// Names go where `/` separates what is derived from them.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed)
}

impl From<Short<Self>> for RawSource {
    fn from(raw: Short<Self>) -> Self {
        match raw {
            Short::Full(full) => full,
            Short::Bare(table) => Self { table: Some(table), ..Self::default() },
        }
    }
}

impl From<Short<Self>> for RawTarget {
    fn from(raw: Short<Self>) -> Self {
        match raw {
            Short::Full(full) => full,
            Short::Bare(table) => Self { table: Some(table), ..Self::default() },
        }
    }
}

impl From<Short<Self>> for RawDimension {
    fn from(raw: Short<Self>) -> Self {
        match raw {
            Short::Full(full) => full,
            Short::Bare(table) => Self { table: Some(table), ..Self::default() },
        }
    }
}
