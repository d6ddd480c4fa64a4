//! The part of a pipeline that can change a load's result.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::identity::canonical;
use super::mapped::{Mapped, Sql as MappedSql};
use crate::checks::{Check, CheckKind};
use crate::config::{BESIDE, Incremental, LoadColumns, Mapping, OnTie, Origin, Pipeline, TieBreaker};
use crate::model::Action;
use crate::model::types::{DataType, Field};
use crate::notation::{NullKeys, VersionColumn, VersionOrder};

/// Rules of the pipeline file that can change what is loaded. Paths, storage options and memory cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The pipeline's name.
    pub pipeline: String,
    /// Columns that together identify a row.
    pub unique_key: Vec<String>,
    /// Whether NULL in a column of the key is a value like others.
    #[serde(default, skip_serializing_if = "NullKeys::is_reject")]
    pub null_keys: NullKeys,
    /// The column that orders a key's versions; of several, the first.
    pub version: String,
    /// All columns that order them, one after the other, and how; empty, where one does, as its type is ordered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sequence: Vec<VersionColumn>,
    /// What decides between rows of one key and version.
    pub tie_breakers: Vec<TieBreaker>,
    /// What happens to a row that ties with the target.
    pub on_tie: OnTie,
    /// Staging columns that only say where a row came from.
    pub lineage: Vec<String>,
    /// Staging columns that are not loaded.
    pub exclude: Vec<String>,
    /// Columns of the target that the load itself fills.
    pub load_columns: LoadColumns,
    /// Which rows a batch takes.
    pub incremental: Incremental,
    /// Names of the pinned dimensions.
    pub dimensions: BTreeSet<String>,
    /// The checks that the pipeline file declares.
    pub checks: Vec<Check>,
    /// What is done to staging's rows before anything else looks at them.
    #[serde(default, skip_serializing_if = "Mapping::is_identity")]
    pub mapping: Mapping,
}

impl Rules {
    /// Takes the rules out of a resolved pipeline.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        Self {
            pipeline: pipeline.name.clone(),
            unique_key: pipeline.unique_key.clone(),
            null_keys: pipeline.null_keys,
            version: pipeline.version.clone(),
            sequence: pipeline.sequence.clone(),
            tie_breakers: pipeline.tie_breakers.clone(),
            on_tie: pipeline.on_tie,
            lineage: pipeline.source.lineage.clone(),
            exclude: pipeline.target.exclude.clone(),
            load_columns: pipeline.target.load_columns.clone(),
            incremental: pipeline.incremental.clone(),
            dimensions: pipeline.dimensions.keys().cloned().collect(),
            checks: pipeline.checks.clone(),
            mapping: pipeline.source.mapping.clone(),
        }
    }

    /// The columns that order a key's versions.
    pub fn version_columns(&self) -> impl Iterator<Item = &String> {
        let only = self.sequence.is_empty().then_some(&self.version);
        only.into_iter().chain(self.sequence.iter().map(|by| &by.column))
    }

    /// How each of them orders.
    pub fn version_orders(&self) -> impl Iterator<Item = VersionOrder> {
        let only = self.sequence.is_empty().then_some(VersionOrder::Own);
        only.into_iter().chain(self.sequence.iter().map(|by| by.order))
    }

    /// SHA-256 of the rules' canonical text, in hex.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(canonical(self)))
    }
}

/// A column that is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedColumn {
    /// Its name in staging and target.
    pub name: String,
    /// Its type in staging.
    pub source: DataType,
    /// Its type in the target; `source` widens to it without loss.
    pub target: DataType,
    /// Whether the target takes NULL in it.
    pub nullable: bool,
}

/// Columns without which a row cannot be loaded: key, version, watermark column, and what the target wants
/// filled.
fn must_be_filled<'a>(rules: &'a Rules, columns: &'a [LoadedColumn]) -> impl Iterator<Item = &'a str> {
    let key = rules.unique_key.iter().filter(|_| rules.null_keys == NullKeys::Reject);
    let own = key.chain(rules.version_columns()).chain(&rules.incremental.column);
    let target = columns.iter().filter(|column| !column.nullable).map(|column| &column.name);
    let mut seen = BTreeSet::new();
    own.chain(target).map(String::as_str).filter(move |name| seen.insert(*name))
}

/// The quarantine's column that identifies an entry.
const ENTRY_ID: &str = "dq_entry_id";

/// Rules with the tables' columns filled in: all that is needed to write the rows of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSpec {
    /// The rules.
    pub rules: Rules,
    /// Loaded columns in the target's order.
    pub columns: Vec<LoadedColumn>,
    /// Columns of staging that are read, but not loaded: they order rows or tell where they came from.
    pub extra_columns: Vec<Field>,
    /// The target's partition columns, in order.
    pub partition_columns: Vec<String>,
    /// All checks in order: those that are built in, then those that the pipeline file declares.
    pub checks: Vec<Check>,
    /// How its columns are made from staging's; `None`, where they are staging's as they stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapped: Option<Mapped>,
    /// Columns of the target that staging lacks, and that stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
    /// Where the checks stand in the pipeline file, by name; for messages only.
    #[serde(skip)]
    places: BTreeMap<String, Origin>,
    /// Columns whose values no message tells.
    #[serde(skip)]
    pii: BTreeSet<String>,
}

impl LoadSpec {
    /// A load spec whose tables could not be read. No batch is staged by it.
    #[must_use]
    pub fn unbound(rules: Rules) -> Self {
        Self {
            rules,
            columns: Vec::new(),
            extra_columns: Vec::new(),
            partition_columns: Vec::new(),
            checks: Vec::new(),
            mapped: None,
            lost: Vec::new(),
            places: BTreeMap::new(),
            pii: BTreeSet::new(),
        }
    }

    /// The load spec of these rules and columns, with the checks that are built in.
    #[must_use]
    pub fn bound(
        rules: Rules,
        columns: Vec<LoadedColumn>,
        extra_columns: Vec<Field>,
        partition_columns: Vec<String>,
    ) -> Self {
        let mut checks: Vec<Check> = Vec::new();
        for column in must_be_filled(&rules, &columns) {
            let stands_in = |check: &&Check| {
                let own = check.kind == CheckKind::NotNull && check.column.as_deref() == Some(column);
                own && check.action != Action::Warn
                    && check.filter.is_none()
                    && (check.error_if.is_none() || check.action == Action::Quarantine)
            };
            if !rules.checks.iter().any(|check| stands_in(&check)) {
                let taken = |name: &str| rules.checks.iter().any(|check| check.name == name);
                let name = format!("not_null_{column}");
                let name = if taken(&name) { format!("{name}_in_target") } else { name };
                checks.push(Check { name, ..Check::built_in(column) });
            }
        }
        checks.extend(rules.checks.iter().cloned());
        Self {
            rules,
            columns,
            extra_columns,
            partition_columns,
            checks,
            mapped: None,
            lost: Vec::new(),
            places: BTreeMap::new(),
            pii: BTreeSet::new(),
        }
    }

    /// The load spec with the target's columns that staging lacks, and that stay as they are.
    #[must_use]
    pub fn with_lost(mut self, lost: Vec<String>) -> Self {
        self.lost = lost;
        self
    }

    /// Columns that hold, as text, the values that do not fit the target's types.
    pub fn unfit(&self) -> impl Iterator<Item = &str> {
        let names = self.extra_columns.iter().map(|field| field.name.as_str());
        names.filter(|name| name.starts_with(BESIDE) && self.rules.exclude.iter().any(|out| out == name))
    }

    /// The load spec with the places of its checks in the pipeline file.
    #[must_use]
    pub fn with_places(mut self, places: BTreeMap<String, Origin>) -> Self {
        self.places = places;
        self
    }

    /// The load spec with the columns whose values no message tells, and those of staging that they are made from. To be
    /// called once it is known how columns are made.
    #[must_use]
    pub fn with_pii(mut self, pii: &BTreeSet<String>) -> Self {
        self.pii.clone_from(pii);
        let made =
            self.mapped.iter().flat_map(|mapped| &mapped.columns).filter(|field| pii.contains(&field.name));
        let from: Vec<String> =
            made.filter_map(|field| field.sql.as_ref()).flat_map(|sql| sql.columns.clone()).collect();
        self.pii.extend(from);
        self
    }

    /// Whether no message tells what this SQL makes of a value.
    #[must_use]
    pub fn hides_what_is_made_by(&self, sql: &MappedSql) -> bool {
        sql.columns.iter().any(|name| self.hides(name))
    }

    /// Columns whose values no message tells.
    #[must_use]
    pub fn pii(&self) -> &BTreeSet<String> {
        &self.pii
    }

    /// Whether no message tells the values of this column: they are a person's, or masked.
    #[must_use]
    pub fn hides(&self, column: &str) -> bool {
        self.pii.contains(column) || self.mapped.as_ref().is_some_and(|mapped| mapped.hides(column))
    }

    /// Whether a check looks at a column whose values no message tells, or its SQL may.
    #[must_use]
    pub fn hides_of(&self, check: &Check) -> bool {
        let is_of = check.column.as_ref().is_some_and(|column| self.hides(column));
        let has_sql =
            matches!(check.kind, CheckKind::Expression(_) | CheckKind::Aggregate(_) | CheckKind::Sql(_))
                || check.filter.is_some();
        is_of || (has_sql && !self.pii.is_empty())
    }

    /// The load spec with how its columns are made from staging's.
    #[must_use]
    pub fn with_mapped(self, mapped: Option<Mapped>) -> Self {
        Self { mapped, ..self }
    }

    /// What messages call a check: `orders.yaml:37:9: check NAME`.
    #[must_use]
    pub fn told(&self, check: &Check) -> String {
        match self.places.get(&check.name) {
            Some(place) => format!("{place}: check {}", check.name),
            None => format!("check {}", check.name),
        }
    }

    /// Columns without which a row cannot be loaded.
    pub fn must_be_filled(&self) -> impl Iterator<Item = &str> {
        must_be_filled(&self.rules, &self.columns)
    }

    /// Whether rows that fail this check can never be loaded, whatever a person says.
    #[must_use]
    pub fn is_built_in(&self, check: &Check) -> bool {
        check.kind == CheckKind::NotNull
            && check.action == Action::Fail
            && must_be_filled(&self.rules, &self.columns)
                .any(|column| check.column.as_deref() == Some(column))
    }

    /// The load spec by which entries of the quarantine are read: each row knows its entry, whatever its hash is by
    /// the present rules.
    #[must_use]
    pub fn of_entries(&self) -> Self {
        let mut spec = self.clone();
        spec.extra_columns.push(Field {
            name: ENTRY_ID.to_owned(),
            data_type: DataType::String,
            nullable: false,
        });
        spec
    }

    /// Whether rows know their entry in the quarantine.
    #[must_use]
    pub fn is_of_entries(&self) -> bool {
        self.extra_columns.iter().any(|field| field.name == ENTRY_ID)
    }

    /// The watermark column, where it is not loaded, so that no row hash tells whether it has a value. A row without one
    /// is never taken for one that differs from it only there.
    #[must_use]
    pub fn unhashed_date(&self) -> Option<&str> {
        self.rules.incremental.column.as_deref().filter(|name| self.column(name).is_none())
    }

    /// The loaded column with this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&LoadedColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The type of a column in intermediate rows: the target's for what is loaded, else staging's.
    #[must_use]
    pub fn data_type(&self, name: &str) -> Option<&DataType> {
        let extra = self.extra_columns.iter().find(|field| field.name == name);
        self.column(name).map(|column| &column.target).or(extra.map(|field| &field.data_type))
    }

    /// The type of staging's column of this name, as it is stored.
    #[must_use]
    pub fn stored_type(&self, name: &str) -> Option<&DataType> {
        match &self.mapped {
            Some(mapped) => mapped.stored_type(name),
            None => self.staging_columns().find(|(other, _)| *other == name).map(|(_, found)| found),
        }
    }

    /// The batch's columns, before the target's types.
    pub fn staging_columns(&self) -> impl Iterator<Item = (&str, &DataType)> {
        let loaded = self.columns.iter().map(|column| (column.name.as_str(), &column.source));
        loaded.chain(self.extra_columns.iter().map(|field| (field.name.as_str(), &field.data_type)))
    }

    /// Columns of staging that are neither loaded nor left out by the pipeline file's word: it may be that nobody
    /// knows of them.
    #[must_use]
    pub fn not_loaded(&self) -> Vec<String> {
        let used = |name: &str| self.mapped.as_ref().is_some_and(|mapped| mapped.uses(name));
        let known = |name: &String| {
            self.rules.exclude.contains(name) || self.rules.lineage.contains(name) || used(name)
        };
        let names = self.extra_columns.iter().map(|field| &field.name);
        names.filter(|name| !known(name) && *name != ENTRY_ID).cloned().collect()
    }

    /// Whether the column is part of the key.
    #[must_use]
    pub fn is_key(&self, name: &str) -> bool {
        self.rules.unique_key.iter().any(|key| key == name)
    }
}
