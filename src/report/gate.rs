//! What people read about checks and about the quarantine.

use comfy_table::CellAlignment;
use serde_json::{Map, Value};

use super::text::{grouped, line, plain_table, trimmed};
use crate::model::CheckResult;
use crate::quarantine::Entries;

/// The checks' results as a table, then the rows that fail, by key and lineage.
#[must_use]
pub fn checks(checks: &[CheckResult]) -> String {
    if checks.is_empty() {
        return String::new();
    }
    let mut table = plain_table(["check", "action", "examined", "failed", "percent", "judged by", "verdict"]);
    for check in checks {
        let percent = check.percent().map(percent_of).unwrap_or_default();
        let found = check.value.as_ref().map(|value| format!("found {value}"));
        let judged: Vec<String> = check.threshold.clone().into_iter().chain(found).collect();
        table.add_row([
            check.name.clone(),
            check.action.as_str().to_owned(),
            grouped(check.examined),
            grouped(check.failed),
            percent,
            judged.join("; "),
            check.verdict.as_str().to_owned(),
        ]);
    }
    for index in [2, 3, 4] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = trimmed(&table);
    for check in checks.iter().filter(|check| !check.examples.is_empty()) {
        for example in &check.examples {
            line(&mut text, format_args!("  {}: {example}", check.name));
        }
    }
    text
}

/// To one digit, but never 0.0 where there is something.
fn percent_of(percent: f64) -> String {
    if percent > 0.0 && percent < 0.1 { "< 0.1 %".to_owned() } else { format!("{percent:.1} %") }
}

/// The entries of a quarantine, a line each.
#[must_use]
pub fn entries(entries: &Entries) -> String {
    let mut text = String::new();
    let Entries { table, selected, .. } = entries;
    let plural = if *selected == 1 { "entry" } else { "entries" };
    line(&mut text, format_args!("{table}: {selected} {plural} of pipeline {}", entries.pipeline));
    if entries.entries.is_empty() {
        return text;
    }
    text.push('\n');
    let key = entries.key.join(", ");
    let mut table =
        plain_table([key.as_str(), entries.version.as_str(), "breaks", "since", "batch", "status"]);
    for entry in &entries.entries {
        table.add_row([
            key_of(entries, entry),
            word(entry, &entries.version),
            breaks(entry).join("; "),
            word(entry, "dq_quarantined_at"),
            word(entry, "dq_batch_id"),
            status(entry),
        ]);
    }
    text.push_str(&trimmed(&table));
    if entries.entries.len() < *selected {
        line(
            &mut text,
            format_args!("… and {} more; `--limit` shows more", selected - entries.entries.len()),
        );
    }
    text
}

/// Entries in full: every staged column, then what is wrong, and what became of it.
#[must_use]
pub fn entries_in_full(entries: &Entries) -> String {
    let mut text = String::new();
    for (index, entry) in entries.entries.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let width = entry.keys().map(String::len).max().unwrap_or_default();
        for name in entry.keys().filter(|name| name.as_str() != "dq_errors") {
            line(&mut text, format_args!("{name:<width$}  {}", word(entry, name)));
        }
        for problem in breaks(entry) {
            line(&mut text, format_args!("{:<width$}  {problem}", "breaks"));
        }
    }
    text
}

fn key_of(entries: &Entries, entry: &Map<String, Value>) -> String {
    let values: Vec<String> = entries.key.iter().map(|name| word(entry, name)).collect();
    values.join(", ")
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
                    let value = part(error, "value").unwrap_or_else(|| "NULL".to_owned());
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
        Some(resolution) => format!("{status}: {resolution}"),
        None => status,
    }
}

fn word(entry: &Map<String, Value>, name: &str) -> String {
    match entry.get(name) {
        None | Some(Value::Null) => "NULL".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
