//! What must hold between the keys of a pipeline file, whatever the tables look like.

use std::collections::BTreeSet;

use super::origin::Origins;
use super::pipeline::{AsOf, Initial, Location, Mode, Pipeline};
use super::problem::{Problem, Report};
use super::tree::join;
use crate::notation::Fault;

/// The problems between the keys of `pipeline`.
pub(super) fn check(pipeline: &Pipeline, origins: &Origins) -> Vec<Problem> {
    let mut report = Report::new(origins);
    check_columns_left_out(pipeline, &mut report);
    check_load_columns(pipeline, &mut report);
    check_order(pipeline, &mut report);
    check_window(pipeline, &mut report);
    check_locations(pipeline, &mut report);
    report.problems
}

/// What a column is needed for, so that it must be loaded.
fn role(pipeline: &Pipeline, column: &str) -> Option<&'static str> {
    if pipeline.unique_key.iter().any(|key| key == column) {
        Some("part of the key")
    } else if pipeline.versions().iter().any(|(_, name)| *name == column) {
        Some("the version column")
    } else {
        None
    }
}

fn check_columns_left_out(pipeline: &Pipeline, report: &mut Report<'_>) {
    let lists = [("source.lineage", &pipeline.source.lineage), ("target.exclude", &pipeline.target.exclude)];
    for (path, columns) in lists {
        for (i, column) in columns.iter().enumerate() {
            if let Some(role) = role(pipeline, column) {
                let fault = Fault::new(format!("`{column}` is {role}, so it cannot be in `{path}`"));
                report.add(&join(path, &i.to_string()), fault);
            }
        }
    }
    for (i, column) in pipeline.target.exclude.iter().enumerate() {
        if pipeline.source.lineage.contains(column) {
            let fault =
                Fault::new(format!("`{column}` is in `source.lineage` too, which leaves it out already"));
            report.add(&format!("target.exclude.{i}"), fault.hint("name it in one of the two"));
        }
    }
}

fn check_load_columns(pipeline: &Pipeline, report: &mut Report<'_>) {
    for column in pipeline.source.mapping.columns.keys() {
        if pipeline.target.load_columns.names().iter().any(|own| own.eq_ignore_ascii_case(column)) {
            let fault = Fault::new(format!("`{column}` is a load column, which each load fills in itself"));
            report.add(
                &join("columns", column),
                fault.hint("give it another name, or name another load column"),
            );
        }
    }
    let [batch_id, loaded_at, row_hash] = pipeline.target.load_columns.names();
    let mut seen = BTreeSet::new();
    for (key, column) in [("batch_id", batch_id), ("loaded_at", loaded_at), ("row_hash", row_hash)] {
        let path = join("target.load_columns", key);
        let watermark =
            (pipeline.incremental.column.as_deref() == Some(column)).then_some("the watermark column");
        if let Some(role) = role(pipeline, column).or(watermark) {
            let fault = Fault::new(format!("`{column}` is {role}, so it cannot be the load column `{key}`"));
            report.add(&path, fault);
        }
        if !seen.insert(column) {
            let fault = Fault::new(format!("`{column}` is another load column already"));
            report.add(&path, fault.hint("each load column needs a column of its own"));
        }
    }
}

/// Key, version and tie-breakers must make an order that decides something.
fn check_order(pipeline: &Pipeline, report: &mut Report<'_>) {
    let mut versions = BTreeSet::new();
    for (path, column) in pipeline.versions() {
        if pipeline.unique_key.iter().any(|key| key == column) {
            let fault = Fault::new(format!("`{column}` is in `unique_key` too"));
            report.add(&path, fault.hint("no row could ever be a newer version of another"));
        }
        let mapped = pipeline.source.mapping.columns.get(column);
        if mapped.is_some_and(|mapped| mapped.mask.is_some()) {
            let fault = Fault::new(format!("`{column}` is masked, and its masks have no order"));
            report.add(&path, fault.hint("take another column for the version, or leave this one unmasked"));
        }
        if !versions.insert(column) {
            report.add(&path, Fault::new(format!("`{column}` is named before")).hint("leave it out"));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, tie_breaker) in pipeline.tie_breakers.iter().enumerate() {
        let column = tie_breaker.column.as_str();
        let reason = if pipeline.target.load_columns.contains(column) {
            Some("is a load column, which staged rows do not have")
        } else if versions.contains(column) {
            Some("is the version column, which decides before any tie-breaker")
        } else if pipeline.unique_key.iter().any(|key| key == column) {
            Some("is part of the key, and so the same in all rows that it would have to decide between")
        } else if !seen.insert(column) {
            Some("is a tie-breaker already")
        } else {
            None
        };
        if let Some(reason) = reason {
            let fault = Fault::new(format!("`{column}` {reason}"));
            report.add(&format!("tie_breakers.{i}"), fault.hint("leave it out"));
        }
    }
}

fn check_window(pipeline: &Pipeline, report: &mut Report<'_>) {
    let incremental = &pipeline.incremental;
    if incremental.mode != Mode::Window {
        return;
    }
    // A column of the wrong type has been reported, and then is no longer there.
    let given = report.origins.of("incremental.column") != super::Origin::Default;
    if incremental.column.is_none() && !given {
        let fault = Fault::new("mode `window` needs `incremental.column`");
        let hint = "name the column with the rows' day, or take `mode: changes`";
        report.add("incremental.column", fault.hint(hint));
    }
    if let (Some(Initial::Date(initial)), AsOf::Date(as_of)) = (incremental.initial, pipeline.as_of)
        && initial > as_of
    {
        let fault = Fault::new(format!("`incremental.initial` ({initial}) is after `as_of` ({as_of})"));
        report.add("incremental.initial", fault.hint("the first batch would be empty"));
    }
}

/// A table that is written shares its folder with no other: a pinned input that each batch changes
/// would make every rerun a new batch, and cleaning one table would delete another's files.
fn check_locations(pipeline: &Pipeline, report: &mut Report<'_>) {
    let written: [(&str, &Location); 5] = [
        ("target.table", &pipeline.target.table),
        ("quarantine", &pipeline.quarantine),
        ("audit", &pipeline.audit),
        ("watermarks", &pipeline.watermarks),
        ("attempts", &pipeline.attempts),
    ];
    if let Some(files) = &pipeline.source.files {
        let own = [("source.table", &pipeline.source.table)].into_iter().chain(written);
        let own =
            own.chain([("source.files.ledger", &files.ledger), ("source.files.corrupt", &files.corrupt)]);
        for (path, table) in own.filter(|(_, table)| table.holds(&files.folder)) {
            let fault =
                Fault::new(format!("the files of `source.files` lie in the folder of `{path}`, {table}"));
            report.add(
                path,
                fault.hint("what lies in a table's folder is the table's, and not read: name another folder"),
            );
        }
    }
    let dimensions = pipeline.dimensions.iter();
    let read = dimensions.map(|(name, dimension)| (format!("dimensions.{name}"), &dimension.table));
    let read: Vec<_> =
        [("source.table".to_owned(), &pipeline.source.table)].into_iter().chain(read).collect();
    for (i, (path, table)) in written.iter().enumerate() {
        let before = written[..i].iter().map(|(other, place)| (*other, *place));
        for (other, place) in before.chain(read.iter().map(|(other, place)| (other.as_str(), *place))) {
            if table.overlaps(place) {
                let fault = Fault::new(format!("`{path}` and `{other}` lie in one folder, {table}"));
                report.add(path, fault.hint("a table that is written needs a folder of its own"));
            }
        }
    }
}
