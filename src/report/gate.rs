//! What people read about checks and about the quarantine.

use anstyle::Style;
use serde_json::{Map, Value};

use super::grid::{Cell, Grid};
use super::look::{Look, of_verdict};
use super::plain::{plain, quoted, value};
use super::text::{grouped, line};
use crate::model::{CheckResult, CheckVerdict};
use crate::quarantine::Entries;

/// The checks' results as a table, then the rows that fail, by key and lineage. Checks that passed are one line,
/// unless each is asked for.
#[must_use]
pub fn checks(checks: &[CheckResult], look: &Look) -> String {
    let told = |check: &&CheckResult| look.verbose || check.verdict != CheckVerdict::Passed;
    let mut header = vec!["check", "verdict", "failed", "percent", "judged by"];
    if look.verbose {
        header.insert(1, "action");
    }
    let numbers = [header.len() - 3, header.len() - 2];
    let mut table = Grid::new(&header).right(&numbers);
    for check in checks.iter().filter(told) {
        table.row(cells(check, look));
    }
    let mut text = if checks.iter().any(|check| told(&check)) { table.render(look) } else { String::new() };
    for check in checks.iter().filter(|check| !check.examples.is_empty()) {
        for example in &check.examples {
            line(&mut text, format_args!("  {}: {example}", check.name));
        }
    }
    let passed = checks.iter().filter(|check| !told(check)).count();
    if passed > 0 {
        let plural = if passed == 1 { "check" } else { "checks" };
        line(&mut text, format_args!("{passed} {plural} passed"));
    }
    text
}

fn cells(check: &CheckResult, look: &Look) -> Vec<Cell> {
    let percent = check.percent().map(percent_of).unwrap_or_default();
    let found = check.value.as_ref().map(|value| format!("found {}", quoted(value)));
    let judged: Vec<String> = check.threshold.clone().into_iter().chain(found).collect();
    let mut cells = vec![
        check.name.clone().into(),
        Cell::styled(check.verdict.as_str(), of_verdict(check.verdict)),
        failed_of(check).into(),
        percent.into(),
        judged.join("; ").into(),
    ];
    if look.verbose {
        cells.insert(1, check.action.as_str().to_owned().into());
    }
    cells
}

/// How many failed, of how many.
fn failed_of(check: &CheckResult) -> String {
    let failed = grouped(check.failed);
    if check.examined == 0 { failed } else { format!("{failed} of {}", grouped(check.examined)) }
}

/// To one digit, but never 0.0 where there is something.
fn percent_of(percent: f64) -> String {
    if percent > 0.0 && percent < 0.1 { "< 0.1 %".to_owned() } else { format!("{percent:.1} %") }
}

/// The entries of a quarantine, a line each, or a block where that is too wide.
#[must_use]
pub fn entries(entries: &Entries, look: &Look) -> String {
    let mut text = String::new();
    let Entries { table, selected, .. } = entries;
    let plural = if *selected == 1 { "entry" } else { "entries" };
    let found = if *selected == 0 { "selected 0".to_owned() } else { selected.to_string() };
    line(&mut text, format_args!("{table}: {found} {plural} of pipeline {}", entries.pipeline));
    if entries.entries.is_empty() {
        return text;
    }
    text.push('\n');
    let mut names: Vec<&str> = entries.key.iter().map(String::as_str).collect();
    names.extend([entries.version.as_str(), "since", "batch", "status", "breaks"]);
    let mut table = Grid::new(&names);
    for entry in &entries.entries {
        let mut cells: Vec<Cell> = entries.key.iter().map(|name| word(entry, name).into()).collect();
        cells.extend([
            word(entry, &entries.version).into(),
            word(entry, "dq_quarantined_at").into(),
            word(entry, "dq_batch_id").into(),
            Cell::styled(&status(entry), of_entry(entry)),
            breaks(entry).join("; ").into(),
        ]);
        table.row(cells);
    }
    text.push_str(&table.render(look));
    if entries.entries.len() < *selected {
        let more = selected - entries.entries.len();
        line(&mut text, format_args!("… and {more} more; `--limit` shows more"));
    }
    let open = |entry: &&Map<String, Value>| entry.get("dq_status").and_then(Value::as_str) == Some("open");
    if entries.entries.iter().any(|entry| open(&entry)) {
        text.push_str(&look.next(&format!(
            "when they are mended, `{0} quarantine replay`; to leave them out, `{0} quarantine discard --key KEY --reason TEXT`",
            look.program
        )));
    }
    text
}

/// Entries in full: every staged column, then what is wrong, and what became of it.
#[must_use]
pub fn entries_in_full(entries: &Entries, look: &Look) -> String {
    let blocks: Vec<String> = entries
        .entries
        .iter()
        .map(|entry| {
            let names = entry.keys().map(String::as_str).filter(|name| *name != "dq_errors");
            let broken = breaks(entry);
            let header: Vec<&str> = names.chain(broken.iter().map(|_| "breaks")).collect();
            let mut block = Grid::new(&header);
            let values = header.iter().take(header.len() - broken.len()).map(|name| word(entry, name).into());
            block.row(values.chain(broken.into_iter().map(Cell::from)).collect());
            block.blocks(look)
        })
        .collect();
    blocks.join("\n")
}

fn of_entry(entry: &Map<String, Value>) -> Style {
    match entry.get("dq_status").and_then(Value::as_str) {
        Some("open") => super::look::odd(),
        Some("replayed") => super::look::good(),
        _ => Style::new(),
    }
}

/// What an entry breaks: `relationships_customer_id: customer_id = 9 must be found in …`.
fn breaks(entry: &Map<String, Value>) -> Vec<String> {
    let errors = entry.get("dq_errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let part = |error: &Value, name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    errors
        .iter()
        .map(|error| {
            let check = part(error, "check").unwrap_or_default();
            let message = part(error, "message").unwrap_or_default();
            match part(error, "column") {
                Some(column) => {
                    let value = value(error.get("value"));
                    format!("{check}: {column} = {value} {message}")
                }
                None => format!("{check}: {message}"),
            }
        })
        .collect()
}

fn status(entry: &Map<String, Value>) -> String {
    let status = word(entry, "dq_status");
    match entry.get("dq_resolution").and_then(Value::as_str) {
        Some(resolution) => format!("{status}: {}", plain(resolution)),
        None => status,
    }
}

fn word(entry: &Map<String, Value>, name: &str) -> String {
    value(entry.get(name))
}
