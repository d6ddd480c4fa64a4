//! Reports for people. They read well without colour.

use std::fmt;

use super::columns::differences;
use super::gate;
use super::grid::{Cell, Grid};
use super::look::{Look, odd, of_status};
use super::plain::{WIDTH, paragraph, plain, width};
use super::writing::writing;
use crate::model::{AuditRow, BatchKind, Counts, Status};
use crate::run::{Ending, Report};
use crate::status::StatusReport;

/// How much of a batch's id is shown where it is told apart by that.
const SHORT: usize = 8;

/// The summary of `run`, `plan`, `check`, `rollback` and a replay.
#[must_use]
pub fn report(report: &Report, look: &Look) -> String {
    if report.kind == BatchKind::Rollback {
        return rollback(report, look);
    }
    let mut text = String::new();
    let seconds = report.seconds;
    let what = match report.ending {
        Ending::Loaded | Ending::RolledBack => format!("loaded in {seconds:.1} s"),
        Ending::NothingToDo if report.counts.staged == 0 => {
            "selected 0 open entries; nothing to do".to_owned()
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
    text.push_str(&reason(report));
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
    text.push_str(&accounting(&report.counts, look));
    let memos = [
        ("late", report.memos.late),
        ("future, left for later", report.memos.future),
        ("filtered by source.where", report.memos.filtered),
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
    text.push_str(&differences(&report.drift));
    text.push('\n');
    let checks = gate::checks(&report.checks, look);
    if !checks.is_empty() {
        text.push_str(&checks);
        text.push('\n');
    }
    text.push_str(&writing(report));
    for id in &report.recovered {
        line(&mut text, format_args!("finished first: batch {id}, left by another run"));
    }
    text.push_str(&versions(report, look));
    text.push_str(&effort(report, look));
    text.push_str(&next(report, look));
    text
}

/// Columns of staging that nobody may know of.
fn not_loaded(columns: &[String]) -> String {
    let mut text = String::new();
    if !columns.is_empty() {
        line(&mut text, format_args!("not loaded: {}", columns.join(", ")));
    }
    text
}

/// What a first batch left out, and the way to take it.
fn history(report: &Report) -> String {
    let (rows, Some(from)) = (report.memos.history, report.window.from) else { return String::new() };
    let mut text = String::new();
    if rows > 0 {
        let noun = if rows == 1 { "row" } else { "rows" };
        line(
            &mut text,
            format_args!(
                "history, not loaded: {} {noun} before {from}, where the first batch starts; to take them, set \
                 `incremental.initial: all` and run it again",
                grouped(rows)
            ),
        );
    }
    text
}

/// The summary of `check`.
#[must_use]
pub fn check(report: &Report, look: &Look) -> String {
    if report.ending != Ending::Planned {
        return self::report(report, look);
    }
    let mut text = String::new();
    let verdict = if report.would_reject { "the gate would reject it" } else { "the gate would let it pass" };
    line(&mut text, format_args!("{}: batch {}: {verdict}", report.pipeline, report.batch_id));
    text.push_str(&reason(report));
    let counts = &report.counts;
    line(
        &mut text,
        format_args!(
            "as of {}, {} rows staged, {} after the dedupe, {} would be kept {}",
            report.as_of,
            grouped(counts.staged),
            grouped(counts.deduped),
            grouped(counts.quarantined),
            if report.would_reject { "as evidence" } else { "out" }
        ),
    );
    let left_out = history(report) + &not_loaded(&report.not_loaded) + &differences(&report.drift);
    if !left_out.is_empty() {
        text.push_str(&format!("{left_out}\n"));
    }
    text.push_str(&gate::checks(&report.checks, look));
    text.push_str(&next(report, look));
    text
}

/// Why a batch was rejected, or what a person said of it.
fn reason(report: &Report) -> String {
    report.reason.as_ref().map(|reason| paragraph(&format!("reason: {}", plain(reason)))).unwrap_or_default()
}

/// What the steps of a run took, and how fast it was.
fn effort(report: &Report, look: &Look) -> String {
    if !matches!(report.ending, Ending::Loaded | Ending::Rejected) || report.steps.is_empty() {
        return String::new();
    }
    let steps: Vec<String> =
        report.steps.iter().map(|took| format!("{}={:.1}", took.step, took.seconds)).collect();
    let rate = report
        .rows_per_second()
        .map(|rate| format!("{} rows/s, {} bytes written\n", whole(rate), grouped(report.bytes_written)));
    let rate = rate.unwrap_or_default();
    if look.timings {
        return format!("\n{}\n{rate}", timings(report, look));
    }
    paragraph(&format!("\nseconds: {}\n{rate}", steps.join(" ")))
}

/// What each step took, as a table.
fn timings(report: &Report, look: &Look) -> String {
    const MIB: u64 = 1 << 20;
    let mut table = Grid::new(&["step", "rows", "seconds", "peak MiB"]).right(&[1, 2, 3]);
    for took in &report.steps {
        let count = |number: Option<u64>| number.and_then(|n| i64::try_from(n).ok()).map(grouped);
        table.row(vec![
            took.step.to_string().into(),
            count(took.rows).unwrap_or_default().into(),
            format!("{:.3}", took.seconds).into(),
            count(took.peak_memory.map(|bytes| bytes / MIB)).unwrap_or_default().into(),
        ]);
    }
    table.render(look)
}

/// A rate as a number without a fraction.
#[expect(clippy::cast_possible_truncation, reason = "a rate of rows, for people; it saturates")]
fn whole(rate: f64) -> String {
    grouped(rate.round() as i64)
}

/// What to do after a run, a plan or a check, where something is to be done.
fn next(report: &Report, look: &Look) -> String {
    let program = &look.program;
    let again = if report.kind == BatchKind::Replay { "quarantine replay" } else { "run" };
    let refused = report.would_reject || report.ending == Ending::Rejected;
    let what = match report.ending {
        Ending::Rejected if report.counts.quarantined > 0 => {
            format!("`{program} quarantine list` shows the rows; mend them in staging and run again")
        }
        _ if refused => {
            let accept = format!("{again}{} --accept CHECK --reason TEXT", look.words);
            format!("mend the rows in staging and run again, or let a check pass once with `{accept}`")
        }
        Ending::Planned => format!("{program} {again}{}", look.words),
        Ending::Loaded if report.counts.quarantined > 0 => {
            format!("`{program} quarantine list` shows the rows that were kept out")
        }
        _ => return String::new(),
    };
    look.next(&what)
}

/// The summary of `rollback`.
fn rollback(report: &Report, look: &Look) -> String {
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
    text.push_str(&reason(report));
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
    text.push_str(&versions(report, look));
    match report.ending {
        Ending::Planned => text.push_str(&look.next("the same without `--dry-run`")),
        Ending::RolledBack => {
            let what = format!("mend staging first: `{} run` loads again what it holds", look.program);
            text.push_str(&look.next(&what));
        }
        _ => {}
    }
    text
}

fn batches(number: usize) -> String {
    if number == 1 { "1 batch".to_owned() } else { format!("{number} batches") }
}

/// Rows by class, indented so that each level adds up to the line above it.
fn accounting(counts: &Counts, look: &Look) -> String {
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
    let mut table = Grid::new(&["rows", ""]).right(&[1]);
    for (name, rows) in rows {
        table.row(vec![name.to_owned().into(), grouped(rows).into()]);
    }
    table.render(look)
}

/// The tables that moved; those that did not are one line, unless each is asked for.
fn versions(report: &Report, look: &Look) -> String {
    let moved = |versions: &(u64, u64)| versions.0 != versions.1;
    let mut table = Grid::new(&["table", "version"]);
    for (name, versions) in &report.tables {
        let (before, after) = versions;
        if moved(versions) {
            table.row(vec![name.clone().into(), format!("{before} -> {after}").into()]);
        } else if look.verbose {
            table.row(vec![name.clone().into(), after.to_string().into()]);
        }
    }
    let any = look.verbose || report.tables.values().any(moved);
    let mut text = if any { table.render(look) } else { String::new() };
    let still: Vec<String> = report
        .tables
        .iter()
        .filter(|(_, versions)| !look.verbose && !moved(versions))
        .map(|(name, (_, after))| format!("{} {after}", plain(name)))
        .collect();
    if !still.is_empty() {
        let named = format!("did not move: {}", still.join(", "));
        let short =
            if width(&named) <= WIDTH { named } else { format!("{} tables did not move", still.len()) };
        line(&mut text, format_args!("{short}"));
    }
    text
}

/// The report of `status`.
#[must_use]
pub fn status(report: &StatusReport, look: &Look) -> String {
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
    } else {
        text.push_str(&history_table(report, look));
    }
    let newest = report.batches.first();
    if report.unfinished.is_some() {
        text.push_str(&look.next(&format!("{} run", look.program)));
    } else if report.refused.is_none() && newest.is_none() {
        text.push_str(&look.next(&format!("{} plan", look.program)));
    } else if newest.is_some_and(|row| row.status == Status::Rejected && row.quarantined_rows > 0) {
        let what = format!("`{} quarantine list` shows what was wrong", look.program);
        text.push_str(&look.next(&what));
    }
    text
}

fn history_table(report: &StatusReport, look: &Look) -> String {
    let header = ["no.", "batch", "kind", "status", "as of", "staged", "inserted", "updated", "target"];
    let mut table = Grid::new(&header).right(&[0, 5, 6, 7]);
    for row in &report.batches {
        let id = if look.verbose { row.batch_id.clone() } else { short(report, row) };
        table.row(batch(row, id, report.taken_back.get(&row.batch_id).copied()));
    }
    let mut text = table.render(look);
    for row in &report.batches {
        if let Some(reason) = &row.reason {
            let (id, status) = (short(report, row), row.status.as_str());
            line(&mut text, format_args!("{id} {status}: {}", plain(reason)));
        }
    }
    text
}

/// The beginning of a batch's id by which it is known among all of the pipeline's.
fn short(report: &StatusReport, row: &AuditRow) -> String {
    let id = &row.batch_id;
    let clear = |length: &usize| {
        let others = report.ids.iter().filter(|other| *other != id);
        id.get(..*length).is_some_and(|start| !others.into_iter().any(|other| other.starts_with(start)))
    };
    let length = (SHORT..id.len()).find(clear).unwrap_or(id.len());
    id.get(..length).unwrap_or(id).to_owned()
}

fn batch(row: &AuditRow, id: String, taken_back_by: Option<i64>) -> Vec<Cell> {
    let version =
        |version: Option<i64>| version.map_or_else(|| "-".to_owned(), |version| version.to_string());
    vec![
        row.sequence.map_or_else(|| "-".to_owned(), |number| number.to_string()).into(),
        id.into(),
        row.kind.as_str().to_owned().into(),
        match taken_back_by {
            Some(number) => Cell::styled(&format!("undone by {number}"), odd()),
            None => Cell::styled(row.status.as_str(), of_status(row.status)),
        },
        row.as_of.to_string().into(),
        grouped(row.staged_rows).into(),
        grouped(row.inserted_rows).into(),
        grouped(row.updated_rows).into(),
        format!("{} -> {}", version(row.fact_version_before), version(row.fact_version_after)).into(),
    ]
}

/// `1 file`, `2 files`.
pub(super) fn number_of(number: usize, what: &str) -> String {
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

fn day<T: std::fmt::Display>(day: Option<T>, none: &str) -> String {
    day.map_or_else(|| none.to_owned(), |day| day.to_string())
}

/// Adds a line, or as many as it takes to fit; nothing in it that a terminal would act on.
pub(super) fn line(text: &mut String, arguments: fmt::Arguments<'_>) {
    text.push_str(&paragraph(&arguments.to_string()));
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
