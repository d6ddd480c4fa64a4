//! Reports for people. They read well without colour.

use std::fmt::{self, Write as _};

use chrono::NaiveDate;
use comfy_table::{CellAlignment, Table, presets};

use super::gate;
use crate::demo::DemoReport;
use crate::init::{InitState, InitTable};
use crate::model::{AuditRow, BatchKind, Counts};
use crate::run::{Ending, Report};
use crate::status::StatusReport;

/// The summary of `run`, `plan`, `check`, `rollback` and a replay.
#[must_use]
pub fn report(report: &Report) -> String {
    if report.kind == BatchKind::Rollback {
        return rollback(report);
    }
    let mut text = String::new();
    let seconds = report.seconds;
    let what = match report.ending {
        Ending::Loaded | Ending::RolledBack => format!("loaded in {seconds:.1} s"),
        Ending::NothingToDo if report.counts.staged == 0 => {
            "no open entry is selected; nothing to do".to_owned()
        }
        Ending::NothingToDo => "every selected row would be kept out again; nothing to do".to_owned(),
        Ending::AlreadyLoaded if report.recovered.is_empty() => {
            format!("already loaded; nothing to do ({seconds:.1} s)")
        }
        Ending::AlreadyLoaded => format!("already loaded ({seconds:.1} s)"),
        Ending::Rejected => format!("rejected in {seconds:.1} s"),
        Ending::Planned if report.would_reject => "planned: the gate would reject it".to_owned(),
        Ending::Planned => "planned; nothing was changed".to_owned(),
    };
    let number = report.sequence.map(|number| format!(" number {number}")).unwrap_or_default();
    line(&mut text, format_args!("{}: batch {}{number} {what}", report.pipeline, report.batch_id));
    if let Some(reason) = &report.reason {
        line(&mut text, format_args!("reason: {reason}"));
    }
    let window = match (report.window.from, report.window.to) {
        (None, None) => "by arrival".to_owned(),
        (from, to) => format!("{} to {}", day(from, "the beginning"), day(to, "the end")),
    };
    let (before, after) = report.watermark;
    line(
        &mut text,
        format_args!(
            "as of {}, window {window}, watermark {} -> {}",
            report.as_of,
            day(before, "none"),
            day(after, "none")
        ),
    );
    text.push('\n');
    text.push_str(&accounting(&report.counts));
    let memos = [
        ("late", report.memos.late),
        ("future, left for later", report.memos.future),
        ("ties in the batch", report.memos.ties.in_batch),
        ("ties kept", report.memos.ties.kept),
        ("ties replaced", report.memos.ties.replaced),
    ];
    let memos: Vec<String> =
        memos.iter().filter(|(_, rows)| *rows > 0).map(|(name, rows)| format!("{name} {rows}")).collect();
    if !memos.is_empty() {
        line(&mut text, format_args!("counted besides: {}", memos.join(", ")));
    }
    text.push_str(&history(report));
    text.push_str(&not_loaded(&report.not_loaded));
    text.push('\n');
    let checks = gate::checks(&report.checks);
    if !checks.is_empty() {
        text.push_str(&checks);
        text.push('\n');
    }
    if let Some(rewrite) = &report.rewrite {
        line(
            &mut text,
            format_args!(
                "to write: {} in {}, rewriting {} of {} bytes",
                number_of(rewrite.partitions, "partition"),
                number_of(rewrite.commits, "commit"),
                number_of(rewrite.files, "file"),
                grouped(rewrite.bytes)
            ),
        );
    }
    if report.rewrite.is_some() {
        text.push('\n');
    }
    for id in &report.recovered {
        line(&mut text, format_args!("finished first: batch {id}, left by another run"));
    }
    text.push_str(&versions(report));
    text
}

/// Columns of staging that nobody may know of.
fn not_loaded(columns: &[String]) -> String {
    if columns.is_empty() { String::new() } else { format!("not loaded: {}\n", columns.join(", ")) }
}

/// What a first batch left out, and the way to take it.
fn history(report: &Report) -> String {
    let (rows, Some(from)) = (report.memos.history, report.window.from) else { return String::new() };
    if rows == 0 {
        return String::new();
    }
    format!(
        "history, not loaded: {} {} before {from}, where the first batch starts; to take them, set \
         `incremental.initial: all` and run it again, or backfill\n",
        grouped(rows),
        if rows == 1 { "row" } else { "rows" }
    )
}

/// The summary of `check`.
#[must_use]
pub fn check(report: &Report) -> String {
    if report.ending != Ending::Planned {
        return self::report(report);
    }
    let mut text = String::new();
    let verdict = if report.would_reject { "the gate would reject it" } else { "the gate would let it pass" };
    line(&mut text, format_args!("{}: batch {}: {verdict}", report.pipeline, report.batch_id));
    if let Some(reason) = &report.reason {
        line(&mut text, format_args!("reason: {reason}"));
    }
    let counts = &report.counts;
    line(
        &mut text,
        format_args!(
            "as of {}, {} rows staged, {} after the dedupe, {} would be kept {}\n",
            report.as_of,
            grouped(counts.staged),
            grouped(counts.deduped),
            grouped(counts.quarantined),
            if report.would_reject { "as evidence" } else { "out" }
        ),
    );
    let left_out = history(report) + &not_loaded(&report.not_loaded);
    if !left_out.is_empty() {
        text.push_str(&format!("{left_out}\n"));
    }
    text.push_str(&gate::checks(&report.checks));
    text
}

/// The summary of `rollback`.
fn rollback(report: &Report) -> String {
    let mut text = String::new();
    let number = report.sequence.map(|number| format!(" as number {number}")).unwrap_or_default();
    let what = match report.ending {
        Ending::RolledBack => {
            format!("{} taken back{number} in {:.1} s", batches(report.undone.len()), report.seconds)
        }
        Ending::Planned => {
            format!("{} would be taken back; nothing was changed", batches(report.undone.len()))
        }
        _ if report.undone.is_empty() => "there is no batch to take back; nothing to do".to_owned(),
        _ => format!("taken back already{number}; nothing to do"),
    };
    line(&mut text, format_args!("{}: {what}", report.pipeline));
    for id in &report.undone {
        line(&mut text, format_args!("  batch {id}"));
    }
    if let Some(reason) = &report.reason {
        line(&mut text, format_args!("reason: {reason}"));
    }
    if let Some(aside) = &report.kept_aside {
        let verb = if report.ending == Ending::Planned { "would be kept" } else { "are kept" };
        line(
            &mut text,
            format_args!("{} rows of other writers go with it, and {verb} in {}:", aside.rows, aside.table),
        );
        for example in &aside.examples {
            line(&mut text, format_args!("  {example}"));
        }
    }
    let (before, after) = report.watermark;
    line(&mut text, format_args!("watermark {} -> {}", day(before, "none"), day(after, "none")));
    text.push_str(&not_loaded(&report.not_loaded));
    for id in &report.recovered {
        line(&mut text, format_args!("finished first: batch {id}, left by another run"));
    }
    text.push('\n');
    text.push_str(&versions(report));
    text
}

fn batches(number: usize) -> String {
    if number == 1 { "1 batch".to_owned() } else { format!("{number} batches") }
}

/// Rows by class, indented so that each level adds up to the line above it.
fn accounting(counts: &Counts) -> String {
    let rows = [
        ("staged", counts.staged),
        ("  duplicate", counts.duplicate),
        ("  superseded", counts.superseded),
        ("  deduped", counts.deduped),
        ("    inserted", counts.inserted),
        ("    updated", counts.updated),
        ("    stale", counts.stale),
        ("    unchanged", counts.unchanged),
        ("    tied", counts.tied),
        ("    quarantined", counts.quarantined),
        ("    rejected", counts.rejected),
    ];
    let mut table = plain_table(["rows", ""]);
    for (name, rows) in rows {
        table.add_row([name.to_owned(), grouped(rows)]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    trimmed(&table)
}

fn versions(report: &Report) -> String {
    let mut table = plain_table(["table", "version"]);
    for (name, (before, after)) in &report.tables {
        let version = if before == after { format!("{after}") } else { format!("{before} -> {after}") };
        table.add_row([name.clone(), version]);
    }
    trimmed(&table)
}

/// The report of `status`.
#[must_use]
pub fn status(report: &StatusReport) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("{}: watermark {}", report.pipeline, day(report.watermark, "none")));
    if let Some(batch) = &report.unfinished {
        line(&mut text, format_args!("unfinished: batch {}; a run will {}", batch.batch_id, batch.next));
    }
    if let Some(refused) = &report.refused {
        line(&mut text, format_args!("a run would refuse: {refused}"));
    }
    text.push_str(&not_loaded(&report.not_loaded));
    for attempt in &report.attempts {
        let at = attempt.attempted_at.format("%Y-%m-%dT%H:%M:%SZ");
        let message = attempt.message.as_deref().unwrap_or_default().replace('\n', " ");
        line(
            &mut text,
            format_args!("failed {at}: {}, exit status {}: {message}", attempt.command, attempt.exit_status),
        );
    }
    text.push('\n');
    if report.batches.is_empty() {
        text.push_str("no batches yet\n");
        return text;
    }
    let mut table = plain_table([
        "no.",
        "batch",
        "kind",
        "status",
        "as of",
        "staged",
        "inserted",
        "updated",
        "target version",
    ]);
    for row in &report.batches {
        table.add_row(batch(row, report.taken_back.get(&row.batch_id).copied()));
    }
    for index in [0, 5, 6, 7] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    text.push_str(&trimmed(&table));
    for row in &report.batches {
        if let Some(reason) = &row.reason {
            line(&mut text, format_args!("{} {}: {reason}", row.batch_id, row.status.as_str()));
        }
    }
    text
}

fn batch(row: &AuditRow, taken_back_by: Option<i64>) -> [String; 9] {
    let version =
        |version: Option<i64>| version.map_or_else(|| "-".to_owned(), |version| version.to_string());
    [
        row.sequence.map_or_else(|| "-".to_owned(), |number| number.to_string()),
        row.batch_id.clone(),
        row.kind.as_str().to_owned(),
        match taken_back_by {
            Some(number) => format!("{}, taken back by {number}", row.status.as_str()),
            None => row.status.as_str().to_owned(),
        },
        row.as_of.to_string(),
        grouped(row.staged_rows),
        grouped(row.inserted_rows),
        grouped(row.updated_rows),
        format!("{} -> {}", version(row.fact_version_before), version(row.fact_version_after)),
    ]
}

/// The report of `init`.
#[must_use]
pub fn init(tables: &[InitTable]) -> String {
    let mut text = String::new();
    for table in tables {
        let state = match &table.state {
            InitState::Created => "created",
            InitState::Agrees => "exists, and agrees with its DDL",
            InitState::Exists => "exists; no DDL is named to compare it with",
            InitState::Missing => "is missing; name its DDL file under `ddl` in the pipeline file",
            InitState::Differs(_) => "exists, and differs from its DDL:",
        };
        line(&mut text, format_args!("{}  {state}", table.name));
        if let InitState::Differs(differences) = &table.state {
            for difference in differences {
                line(&mut text, format_args!("  - {difference}"));
            }
        }
    }
    text
}

/// The report of `demo`.
#[must_use]
pub fn demo(report: &DemoReport) -> String {
    let mut text = String::new();
    line(
        &mut text,
        format_args!(
            "wrote {} orders in the target, {} customers, {} staged rows",
            report.fact_rows,
            report.customer_rows,
            report.counts.total()
        ),
    );
    for (purpose, rows) in report.counts.by_purpose() {
        if rows > 0 {
            line(&mut text, format_args!("  {rows:>8}  {purpose}"));
        }
    }
    line(&mut text, format_args!("\nnext: highwater -c {} run", report.config.display()));
    text
}

pub(super) fn plain_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

pub(super) fn trimmed(table: &Table) -> String {
    let mut text = String::new();
    for row in table.lines() {
        let row = row.strip_prefix(' ').unwrap_or(&row).trim_end().to_owned();
        line(&mut text, format_args!("{row}"));
    }
    text
}

/// `1 file`, `2 files`.
fn number_of(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(i64::try_from(number).unwrap_or(i64::MAX)))
}

/// A number with its thousands set apart.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

fn day(day: Option<NaiveDate>, none: &str) -> String {
    day.map_or_else(|| none.to_owned(), |day| day.to_string())
}

pub(super) fn line(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{arguments}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grouped_numbers_have_their_thousands_apart() {
        let numbers = [0, 999, 1000, 1_234_567, -1000].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567", "-1,000"]);
    }
}
