//! A configuration held against the columns of its tables, before any row is read.

use super::bind_check;
use super::drift::{BothColumns, drift, looks_renamed};
use super::evolution::DroppedColumn;
use super::origin::Origins;
use super::pipeline::Pipeline;
use super::problem::{Problem, Report};
use super::tree::join;
use crate::contract::widening;
use crate::model::types::{DataType, Field, same_name};
use crate::model::{Answer, Change};
use crate::notation::{Fault, VersionOrder, did_you_mean};

/// The widest decimal whose values the files' statistics hold exactly: they are 64-bit floats
/// there.
pub const MAX_EXACT_DECIMAL: u8 = 15;

/// Finds all that keeps `pipeline` from loading a table with the columns `source` into one with the
/// columns `target`, which is partitioned by `target_partitions`: unknown columns, missing ones,
/// and types that do not fit.
///
/// The loaded columns are those of the source that the target has too, apart from lineage, excluded
/// and load columns. Further columns of the source are of no concern.
#[must_use]
pub fn check_columns(
    pipeline: &Pipeline,
    origins: &Origins,
    both: BothColumns<'_>,
    missing: Missing,
) -> Vec<Problem> {
    let BothColumns { batch: source, target, partitions, .. } = both;
    let mut check = Check { pipeline, source, target, both, missing, report: Report::new(origins) };
    check.named_columns();
    check.target_columns(partitions);
    check.new_columns();
    check.partition_types(partitions);
    check.load_columns();
    check.sort_columns();
    check.key_types();
    check.version_type();
    check.other_types();
    bind_check::check(pipeline, source, &mut check.report);
    check.report.problems.sort_by(|a, b| a.origin.cmp(&b.origin));
    check.report.problems
}

/// What a column of the target that staging lacks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// A mistake: nothing was ever loaded.
    Wrong,
    /// One that staging no longer has: the pipeline file says what becomes of it.
    ByPolicy,
}

struct Check<'a> {
    pipeline: &'a Pipeline,
    source: &'a [Field],
    target: &'a [Field],
    both: BothColumns<'a>,
    missing: Missing,
    report: Report<'a>,
}

/// The position of problems with a column that no key names.
const TARGET: &str = "target.table";

impl<'a> Check<'a> {
    /// The columns that keys name must be where they are said to be.
    fn named_columns(&mut self) {
        let pipeline = self.pipeline;
        for (path, column) in self.key_and_version() {
            if self.in_source(&path, column) && find(self.target, column).is_none() {
                let fault = Fault::new(format!("the target has no column `{column}`"));
                self.report.add(&path, fault.hint("key and version must be columns of both tables"));
            }
        }
        for name in &pipeline.pii {
            in_staging(self.source, name, &join(&join("columns", name), "pii"), &mut self.report);
        }
        for (i, tie_breaker) in pipeline.tie_breakers.iter().enumerate() {
            self.in_source(&format!("tie_breakers.{i}"), &tie_breaker.column);
        }
        for (i, column) in pipeline.source.lineage.iter().enumerate() {
            self.in_source(&format!("source.lineage.{i}"), column);
        }
        if let Some(column) = &pipeline.incremental.column {
            self.in_source("incremental.column", column);
        }
        for (i, column) in pipeline.target.exclude.iter().enumerate() {
            if find(self.target, column).is_none() {
                self.in_source(&format!("target.exclude.{i}"), column);
            }
        }
    }

    /// Whether the source has `column`; if not, that is reported.
    fn in_source(&mut self, path: &str, column: &str) -> bool {
        in_staging(self.source, column, path, &mut self.report).is_some()
    }

    /// Every column of the target must get its values from somewhere.
    fn target_columns(&mut self, partitions: &[String]) {
        for field in self.target {
            let name = &field.name;
            if self.pipeline.target.load_columns.contains(name) || self.is_key_or_version(name) {
                continue;
            }
            match self.left_out(name) {
                Some(path) if !field.nullable => {
                    let fault =
                        Fault::new(format!("`{name}` is NOT NULL in the target, so it cannot be left out"));
                    self.report.add(&path, fault.hint("no new row could be inserted without it"));
                }
                Some(path) if partitions.contains(name) => {
                    let fault =
                        Fault::new(format!("`{name}` partitions the target, so it cannot be left out"));
                    self.report.add(&path, fault.hint("all new rows would land in one partition"));
                }
                None if find(self.source, name).is_none() => {
                    self.missing(field, partitions.contains(name));
                }
                _ => {}
            }
        }
    }

    /// Columns that the target lacks, where the file says that a person decides.
    fn new_columns(&mut self) {
        let refused = drift(self.pipeline, self.both).into_iter();
        for new in refused.filter(|drift| (drift.change, drift.answer) == (Change::NewColumn, Answer::Fail)) {
            let (name, data_type) = (&new.column, new.staging.as_deref().unwrap_or_default());
            let fault = Fault::new(format!(
                "staging has a new column `{name}` ({data_type}), which the target lacks"
            ));
            let hint = format!(
                "`highwater evolve --add {name}` adds it to the target; or name it in `target.exclude`"
            );
            self.report.add("schema.new_column", fault.hint(hint));
        }
    }

    fn missing(&mut self, field: &Field, is_partition: bool) {
        let name = &field.name;
        let looks_renamed = looks_renamed(self.pipeline, self.both, field);
        let by_policy = self.missing == Missing::ByPolicy && field.nullable && !is_partition;
        let same = |other: &&Field| same_name(&other.name, name);
        let other = self.source.iter().find(same);
        let is_gone = looks_renamed.is_none() && other.is_none();
        if by_policy && is_gone && self.pipeline.schema.dropped_column == DroppedColumn::Leave {
            return;
        }
        let fault = Fault::new(format!("the target's column `{name}` is missing in the staging table"));
        let fault = if let Some(other) = other {
            fault.hint(format!("staging has `{}`: names must agree in case too", other.name))
        } else if is_partition {
            fault.hint("the target is partitioned by it, so staging must bring it")
        } else if let Some(near) = looks_renamed {
            fault.hint(format!(
                "is it `{near}` now? Then say so, `columns: {{{name}: {{aliases: [{near}]}}}}`; if it is gone, add it to \
                 `target.exclude`"
            ))
        } else if field.nullable {
            fault.hint(format!(
                "say where it comes from, `columns: {{{name}: {{from: …}}}}`; or, if it is to stay as it is, add it to \
                 `target.exclude`"
            ))
        } else {
            fault.hint("it is NOT NULL, so no new row could be inserted without it")
        };
        self.report.add(TARGET, fault);
    }

    fn partition_types(&mut self, partitions: &[String]) {
        if let Some(said) = self.pipeline.target.partitioned_by.as_ref().filter(|said| *said != partitions) {
            let (said, found) = (said.join(", "), partitions.join(", "));
            let fault = Fault::new(format!("the target is partitioned by ({found}), not by ({said})"));
            self.report.add("target.partitioned_by", fault.hint("an existing table's own partitions rule"));
        }
        for field in self.target.iter().filter(|field| partitions.contains(&field.name)) {
            if self.pipeline.target.load_columns.contains(&field.name) {
                let message =
                    format!("the target is partitioned by `{}`, which each load fills in", field.name);
                self.report
                    .add(TARGET, Fault::new(message).hint("partition it by a column that staging brings"));
                continue;
            }
            if let Some(reason) = unfit_for_partition(&field.data_type) {
                let (name, found) = (&field.name, &field.data_type);
                let message = format!("the target is partitioned by `{name}`, which is {found}, {reason}");
                self.report.add(TARGET, Fault::new(message).hint("partition it by another column"));
            }
        }
    }

    fn load_columns(&mut self) {
        let columns = &self.pipeline.target.load_columns;
        let wanted = [
            ("batch_id", &columns.batch_id, DataType::String),
            ("loaded_at", &columns.loaded_at, DataType::Timestamp),
            ("row_hash", &columns.row_hash, DataType::String),
        ];
        let mut missing = Vec::new();
        for (key, column, wanted) in wanted {
            match find(self.target, column) {
                // An empty name has been reported before.
                None if column.is_empty() => {}
                None => missing.push((column, wanted)),
                Some(field) if field.data_type != wanted => {
                    let found = &field.data_type;
                    let fault =
                        Fault::new(format!("the load column `{column}` must be {wanted}, not {found}"));
                    self.report.add(&join("target.load_columns", key), fault);
                }
                Some(_) => {}
            }
        }
        if missing.is_empty() {
            return;
        }
        let names: Vec<_> = missing.iter().map(|(column, _)| format!("`{column}`")).collect();
        let definitions: Vec<_> =
            missing.iter().map(|(column, wanted)| format!("{column} {wanted}")).collect();
        let fault = Fault::new(format!("the target lacks the load columns {}", names.join(", ")));
        let (table, definitions) = (&self.pipeline.target.table, definitions.join(", "));
        let statement = format!("ALTER TABLE delta.`{table}` ADD COLUMNS ({definitions})");
        self.report.add("target.load_columns", fault.hint(statement));
    }

    fn sort_columns(&mut self) {
        for (i, column) in self.pipeline.sort_by.iter().enumerate() {
            let path = format!("merge.sort_by.{i}");
            match find(self.target, column) {
                // What is wrong with a column of the key is told there.
                _ if self.pipeline.unique_key.contains(column) => {}
                None => {
                    let mut fault = Fault::new(format!("the target has no column `{column}`"));
                    fault.hint = did_you_mean(column, self.target.iter().map(|field| field.name.as_str()));
                    self.report.add(&path, fault);
                }
                Some(field) if field.data_type.is_nested() => {
                    let fault = Fault::new(format!("`{column}` is {}, which has no order", field.data_type));
                    self.report.add(&path, fault);
                }
                Some(_) => {}
            }
        }
    }

    fn key_types(&mut self) {
        let pipeline = self.pipeline;
        for (i, column) in pipeline.unique_key.iter().enumerate() {
            let path = format!("unique_key.{i}");
            for (table, fields) in [("target", self.target), ("staging table", self.source)] {
                let Some(field) = find(fields, column) else {
                    continue;
                };
                if let Some(reason) = unfit_for_key(&field.data_type) {
                    let found = &field.data_type;
                    let message = format!(
                        "`{column}` cannot be part of the key: it is {found} in the {table}, {reason}"
                    );
                    self.report.add(&path, Fault::new(message));
                    // The same mistake in both tables is one mistake.
                    break;
                }
            }
        }
    }

    fn version_type(&mut self) {
        for (at, (path, column)) in self.pipeline.versions().into_iter().enumerate() {
            let order = self.pipeline.sequence.get(at).map(|by| by.order).unwrap_or_default();
            for (table, fields) in [("target", self.target), ("staging table", self.source)] {
                let Some(field) = find(fields, column) else {
                    continue;
                };
                if let Some(fault) = misfit_of_version(field, order, table) {
                    self.report.add(&path, fault);
                    break;
                }
            }
        }
    }

    fn other_types(&mut self) {
        let pipeline = self.pipeline;
        if let Some(column) = &pipeline.incremental.column
            && let Some(field) = find(self.source, column)
            && !matches!(field.data_type, DataType::Date | DataType::Timestamp)
        {
            let found = &field.data_type;
            let fault =
                Fault::new(format!("the watermark column `{column}` must be DATE or TIMESTAMP, not {found}"));
            self.report.add("incremental.column", fault);
        }
        for (i, tie_breaker) in pipeline.tie_breakers.iter().enumerate() {
            let column = &tie_breaker.column;
            if let Some(field) = find(self.source, column)
                && field.data_type.is_nested()
            {
                let found = &field.data_type;
                let fault = Fault::new(format!("the tie-breaker `{column}` is {found}, which has no order"));
                self.report.add(&format!("tie_breakers.{i}"), fault);
            }
        }
        for from in self.source {
            if let Some(to) = find(self.target, &from.name)
                && self.left_out(&from.name).is_none()
                && !pipeline.target.load_columns.contains(&from.name)
            {
                self.loaded_type(from, to);
            }
        }
    }

    fn loaded_type(&mut self, from: &Field, to: &Field) {
        let name = &from.name;
        let key = self.key_and_version().into_iter().find(|(_, column)| *column == name);
        if !widening::accepts(&from.data_type, &to.data_type) {
            let (from, to) = (&from.data_type, &to.data_type);
            let fault = Fault::new(format!(
                "`{name}` is {from} in the staging table, which does not fit the target's {to}"
            ));
            let path = key.map_or_else(|| TARGET.to_owned(), |(path, _)| path);
            let hint = match to {
                nested if nested.is_nested() || from.is_nested() => format!(
                    "nested columns are loaded into the same type: compute it under `columns`, or add `{name}` to `target.exclude`"
                ),
                // No CAST has such a type.
                DataType::TimestampNtz | DataType::Binary => {
                    "types widen only where nothing is lost: compute it under `columns`".to_owned()
                }
                _ => format!(
                    "types widen only where nothing is lost: convert it, `columns: {{{name}: {{from: \"CAST(`{name}` AS {to})\"}}}}`"
                ),
            };
            self.report.add(&path, fault.hint(hint));
        }
    }

    /// Key and version columns, each with its path in the file.
    fn key_and_version(&self) -> Vec<(String, &'a str)> {
        let pipeline = self.pipeline;
        let keys = pipeline.unique_key.iter().enumerate();
        let keys = keys.map(|(i, column)| (format!("unique_key.{i}"), column.as_str()));
        keys.chain(pipeline.versions()).collect()
    }

    fn is_key_or_version(&self, column: &str) -> bool {
        self.key_and_version().iter().any(|(_, name)| *name == column)
    }

    /// The path of the entry that keeps `column` from being loaded, if there is one.
    fn left_out(&self, column: &str) -> Option<String> {
        let lists = [
            ("source.lineage", &self.pipeline.source.lineage),
            ("target.exclude", &self.pipeline.target.exclude),
        ];
        lists.into_iter().find_map(|(path, columns)| {
            let index = columns.iter().position(|name| name == column)?;
            Some(join(path, &index.to_string()))
        })
    }
}

/// The staging table's `column`; that there is none is reported, unless the name is empty, which has been reported
/// before.
pub(super) fn in_staging<'f>(
    source: &'f [Field],
    column: &str,
    path: &str,
    report: &mut Report<'_>,
) -> Option<&'f Field> {
    let found = find(source, column);
    if found.is_none() && !column.is_empty() {
        let mut fault = Fault::new(format!("the staging table has no column `{column}`"));
        fault.hint = did_you_mean(column, source.iter().map(|field| field.name.as_str()));
        report.add(path, fault);
    }
    found
}

fn find<'f>(fields: &'f [Field], name: &str) -> Option<&'f Field> {
    fields.iter().find(|field| field.name == name)
}

/// Why a column cannot be one of the version.
fn misfit_of_version(field: &Field, order: VersionOrder, table: &str) -> Option<Fault> {
    use DataType::{Byte, Date, Int, Long, Short, Timestamp, TimestampNtz};
    let Field { name, data_type, .. } = field;
    let fits = match order {
        VersionOrder::Own => {
            matches!(data_type, Timestamp | TimestampNtz | Date | Byte | Short | Int | Long)
        }
        VersionOrder::Numeric | VersionOrder::Semver | VersionOrder::Text => *data_type == DataType::String,
    };
    let hint = match (order, data_type) {
        _ if fits => return None,
        (VersionOrder::Own, DataType::String) => format!(
            "say how its texts are ordered, `{{column: {name}, order: numeric}}`, `semver` or `text`; or make a time of it: \
             `columns: {{{name}: {{from: \"CAST(`{name}` AS TIMESTAMP)\"}}}}`"
        ),
        (VersionOrder::Own, _) => {
            "a version is a time, a DATE, a whole number or an ordered STRING".to_owned()
        }
        _ => format!("only a STRING has an `order`: `{name}` alone is enough, if its type has one"),
    };
    Some(Fault::new(format!("the version column `{name}` is {data_type} in the {table}")).hint(hint))
}

/// Why a target cannot be partitioned by a column of this type.
#[must_use]
pub fn unfit_for_partition(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Binary => Some("whose values a table's log, which is text, does not keep apart"),
        nested if nested.is_nested() => Some("which no log can name"),
        _ => None,
    }
}

/// Why rows cannot be found by a column of this type.
fn unfit_for_key(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        // A MERGE would skip the file that holds the match, and insert the row a second time.
        DataType::Decimal(precision, _) if *precision > MAX_EXACT_DECIMAL => {
            Some("whose values file statistics hold only to 15 digits")
        }
        DataType::Float | DataType::Double => Some("whose values are not exact"),
        DataType::Binary => Some("for which files hold no statistics"),
        nested if nested.is_nested() => Some("whose values cannot be compared"),
        _ => None,
    }
}
