//! One JSON document for each command. Field names are an interface: more may follow, none is renamed.

use serde_json::{Map, Value, json};

use super::schema::FORMAT;
use crate::doctor::{DoctorReport, Finding};
use crate::error::{Error, Problem};
use crate::events::Timing;
use crate::init::{InitState, InitTable};
use crate::model::{AuditRow, BatchKind, CheckResult, Counts};
use crate::plan::Chosen;
use crate::quarantine::Entries;
use crate::register::Registered;
use crate::run::{Purged, Report, Slicing};
use crate::scaffold::Scaffold;
use crate::show::Shown;
use crate::stages::rows::described;
use crate::status::StatusReport;

/// The document of `run`, `plan`, `check`, `rollback` and a replay.
#[must_use]
pub fn report(command: &str, report: &Report) -> Value {
    let tables: Map<String, Value> = report
        .tables
        .iter()
        .map(|(name, (before, after))| (name.clone(), json!({"before": before, "after": after})))
        .collect();
    let mut document = json!({
        "command": command,
        "pipeline": report.pipeline,
        "kind": report.kind,
        "batch_id": Some(&report.batch_id).filter(|id| !id.is_empty()),
        "sequence": report.sequence,
        "status": report.ending.as_str(),
        "as_of": report.as_of,
        "window": {"from": report.window.from, "to": report.window.to},
        "watermark": {"before": report.watermark.0, "after": report.watermark.1},
        "counts": counts(&report.counts),
        "late": report.memos.late,
        "future": report.memos.future,
        "history": report.memos.history,
        "filtered": report.memos.filtered,
        "ties": report.memos.ties,
        "dq_errors": report.dq_errors,
        "checks": checks(&report.checks),
        "recovered": report.recovered,
        "inputs": report.inputs,
        "tables": tables,
        "not_loaded": report.not_loaded,
        "drift": report.drift,
        "reason": report.reason,
        "seconds": report.seconds,
        "steps": report.steps.iter().map(step).collect::<Vec<_>>(),
        "decisions": report.decisions.iter().map(|decided| json!({"case": decided.case.name(), "why": decided.why})).collect::<Vec<_>>(),
        "rows_per_second": report.rows_per_second(),
        "bytes_written": report.bytes_written,
    });
    let Some(fields) = document.as_object_mut() else { return document };
    if report.kind == BatchKind::Rollback {
        let aside = report.kept_aside.as_ref();
        let aside = aside.map(
            |aside| json!({"table": aside.table, "rows": aside.rows, "examples": examples(&aside.examples)}),
        );
        fields.insert("undone".to_owned(), json!(report.undone));
        fields.insert("kept_aside".to_owned(), json!(aside));
    }
    if let Some(rewrite) = &report.rewrite {
        fields.insert(
            "rewrite".to_owned(),
            json!({
                "partitions": rewrite.partitions,
                "files": rewrite.files,
                "bytes": rewrite.bytes,
                "commits": rewrite.commits,
            }),
        );
    }
    if let Some(Chosen { strategy, why, .. }) = &report.strategy {
        fields.insert("strategy".to_owned(), json!({"name": strategy.as_str(), "why": why}));
    }
    if let Some(Slicing { slices, bytes }) = &report.slicing {
        fields.insert("slices".to_owned(), json!({"count": slices, "bytes": bytes}));
    }
    if let Some(Purged { files, bytes, dead_rows }) = report.purged {
        fields.insert("purged".to_owned(), json!({"files": files, "bytes": bytes, "dead_rows": dead_rows}));
    }
    document
}

/// The document of `quarantine list` and `quarantine show`.
#[must_use]
pub fn entries(command: &str, entries: &Entries) -> Value {
    json!({
        "command": command,
        "pipeline": entries.pipeline,
        "table": entries.table,
        "selected": entries.selected,
        "entries": entries.entries,
    })
}

/// The document of any command that failed.
#[must_use]
pub fn error(command: &str, error: &Error) -> Value {
    json!({
        "command": command,
        "error": {
            "kind": error.kind().as_str(),
            "message": error.chain(),
            "hint": error.hint_text(),
        },
        "errors": error.each().into_iter().map(problem).collect::<Vec<_>>(),
    })
}

fn problem(problem: Problem) -> Value {
    let Problem { message, hint, file, line, column, excerpt: _ } = problem;
    json!({"message": message, "file": file, "line": line, "column": column, "hint": hint})
}

/// The document of `show`.
#[must_use]
pub fn shown(shown: &Shown, text: &str) -> Value {
    let columns = shown.columns.iter().map(|column| json!({"name": column.name, "type": column.data_type}));
    json!({
        "command": "show",
        "table": shown.table,
        "version": shown.version,
        "columns": columns.collect::<Vec<_>>(),
        "rows": shown.rows,
        "text": text,
    })
}

/// A document as it is printed: it says which format it has.
#[must_use]
pub fn with_format(mut document: Value) -> Value {
    if let Some(fields) = document.as_object_mut()
        && fields.contains_key("command")
    {
        fields.shift_insert(0, "format".to_owned(), FORMAT.into());
    }
    document
}

/// The checks with their examples as objects.
fn checks(checks: &[CheckResult]) -> Vec<Value> {
    let told = checks.iter().map(|check| {
        let mut told = json!(check);
        told["examples"] = examples(&check.examples);
        told
    });
    told.collect()
}

/// Rows by column; a sentence stands for itself.
fn examples(examples: &[String]) -> Value {
    let row = |text: &String| described(text).map_or_else(|| json!({"problem": text}), Value::Object);
    examples.iter().map(row).collect()
}

/// The document of `new`.
#[must_use]
pub fn scaffold(pipeline: &str, made: &Scaffold) -> Value {
    let guess = &made.guess;
    let computed =
        guess.computed.iter().map(|(name, sql, why)| json!({"column": name, "from": sql, "why": why}));
    let checks =
        guess.checks.iter().map(|(name, check, why)| json!({"column": name, "check": check, "why": why}));
    json!({
        "command": "new",
        "pipeline": pipeline,
        "config": made.file,
        "ddl": made.ddl,
        "key": guess.key,
        "version": guess.version,
        "lineage": guess.lineage,
        "computed": computed.collect::<Vec<_>>(),
        "checks": checks.collect::<Vec<_>>(),
        "unknown": guess.unknown,
        "doubts": guess.doubts,
        "partition": guess.partition.as_ref().map(|(name, why)| json!({"column": name, "why": why})),
        "profile": made.profile,
    })
}

/// The document of `init`.
#[must_use]
pub fn init(tables: &[InitTable]) -> Value {
    let tables: Vec<Value> = tables
        .iter()
        .map(|table| {
            let (state, differences) = match &table.state {
                InitState::Created => ("created", Vec::new()),
                InitState::Agrees => ("agrees", Vec::new()),
                InitState::Exists => ("exists", Vec::new()),
                InitState::Missing => ("missing", Vec::new()),
                InitState::Waits => ("not_created", Vec::new()),
                InitState::Differs(differences) => ("differs", differences.clone()),
            };
            json!({"name": table.name, "location": table.location, "state": state, "differences": differences})
        })
        .collect();
    json!({"command": "init", "tables": tables})
}

/// The document of `status`.
#[must_use]
pub fn status(report: &StatusReport) -> Value {
    let unfinished =
        report.unfinished.as_ref().map(|batch| json!({"batch_id": batch.batch_id, "next": batch.next}));
    json!({
        "command": "status",
        "pipeline": report.pipeline,
        "watermark": report.watermark,
        "batches": report.batches.iter().map(|row| batch(row, report.taken_back.get(&row.batch_id))).collect::<Vec<_>>(),
        "unfinished": unfinished,
        "refused": report.refused,
        "not_loaded": report.not_loaded,
        "attempts": report.attempts,
    })
}

/// What `register` did.
#[must_use]
pub fn registered(database: &str, tables: &[Registered]) -> Value {
    let table = |done: &Registered| json!({"table": done.table, "location": done.location, "state": done.state.as_str()});
    json!({
        "command": "register",
        "database": database,
        "tables": tables.iter().map(table).collect::<Vec<_>>(),
    })
}

/// What `doctor` found.
#[must_use]
pub fn doctor(report: &DoctorReport) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "what": finding.what,
            "verdict": finding.verdict.as_str(),
            "told": finding.told,
            "hint": finding.hint,
        })
    };
    json!({
        "command": "doctor",
        "pipeline": report.pipeline,
        "exit_status": report.exit_status,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn step(took: &Timing) -> Value {
    json!({
        "step": took.step.as_str(),
        "seconds": took.seconds,
        "rows": took.rows,
        "peak_memory": took.peak_memory,
    })
}

fn batch(row: &AuditRow, taken_back_by: Option<&i64>) -> Value {
    json!({
        "batch_id": row.batch_id,
        "sequence": row.sequence,
        "kind": row.kind,
        "status": row.status,
        "as_of": row.as_of,
        "run_start": row.run_start,
        "run_end": row.run_end,
        "window": {"from": row.watermark_from, "to": row.watermark_to},
        "watermark": row.watermark,
        "counts": counts(&row.counts()),
        "late": row.late_rows,
        "future": row.future_rows,
        "history": row.history_rows,
        "filtered": row.filtered_rows,
        "dq_errors": row.dq_errors,
        "checks": checks(&row.checks),
        "drift": row.drift,
        "target_version": {"before": row.fact_version_before, "after": row.fact_version_after},
        "inputs": row.inputs,
        "undone": row.undone,
        "taken_back_by": taken_back_by,
        "reason": row.reason,
    })
}

fn counts(counts: &Counts) -> Value {
    Value::Object(counts.named().into_iter().map(|(name, rows)| (name.to_owned(), rows.into())).collect())
}
