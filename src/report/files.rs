//! What people and programs read of files that are brought in.

use serde_json::{Value, json};

use super::grid::{Cell, Grid};
use super::look::{Look, bad, good, odd};
use super::plain::plain;
use super::text::line;
use crate::ingest::{IngestReport, ReplayReport, ReplayedFile};
use crate::model::{FileRow, FileStatus};

/// The report of `ingest`.
#[must_use]
pub fn ingest(report: &IngestReport, look: &Look) -> String {
    let mut text = String::new();
    let name = plain(&report.pipeline);
    let of = |number: usize| if number == 1 { "file" } else { "files" };
    let rows = |number: i64| format!("{number} {}", if number == 1 { "row" } else { "rows" });
    if let Some(why) = &report.rejected {
        line(&mut text, format_args!("{name}: {}", look.paint(bad(), &plain(why))));
    } else if report.is_paused {
        line(&mut text, format_args!("{name}: {}", look.paint(odd(), "bringing files in is paused")));
    } else if report.files == 0 {
        line(&mut text, format_args!("{name}: no new file came in; {} known", report.known));
    } else {
        let told = format!("{} {} came in, {}", report.files, of(report.files), rows(report.rows));
        line(&mut text, format_args!("{name}: {}", look.paint(good(), &told)));
    }
    if report.corrupt_rows > 0 {
        let told = format!("{} could not be read", rows(report.corrupt_rows));
        line(&mut text, format_args!("{}", look.paint(odd(), &told)));
        for example in &report.examples {
            line(&mut text, format_args!("  {}", plain(example)));
        }
    }
    for failed in &report.failed {
        let told = format!("{} could not be read", plain(&failed.path));
        line(&mut text, format_args!("{}: {}", look.paint(bad(), &told), plain(&failed.why)));
    }
    if !report.unknown_columns.is_empty() {
        let names: Vec<&str> = report.unknown_columns.iter().map(String::as_str).collect();
        line(
            &mut text,
            format_args!("columns that staging lacks, and that were left out: {}", plain(&names.join(", "))),
        );
    }
    for path in &report.changed {
        line(&mut text, format_args!("{} came in again: its content changed", plain(path)));
    }
    for (number, what) in [
        (report.waiting, "left for later: too young, or changed meanwhile"),
        (report.vanished, "known, and no longer there"),
    ] {
        if number > 0 {
            line(&mut text, format_args!("{number} {} {what}", of(number)));
        }
    }
    if !report.finished.is_empty() {
        line(&mut text, format_args!("finished what another process left behind"));
    }
    text
}

/// The document of `ingest`.
#[must_use]
pub fn ingest_document(report: &IngestReport) -> Value {
    let failed = |failed: &crate::ingest::Failed| json!({"path": failed.path, "error": failed.why});
    let status = match report {
        IngestReport { rejected: Some(_), .. } => "rejected",
        IngestReport { is_paused: true, .. } => "paused",
        IngestReport { files: 0, .. } => "nothing_new",
        _ => "ingested",
    };
    json!({
        "command": "ingest",
        "pipeline": report.pipeline,
        "status": status,
        "numbers": report.numbers,
        "finished": report.finished,
        "files": report.files,
        "bytes": report.bytes,
        "rows": report.rows,
        "corrupt_rows": report.corrupt_rows,
        "examples": report.examples,
        "failed": report.failed.iter().map(failed).collect::<Vec<_>>(),
        "changed": report.changed,
        "waiting": report.waiting,
        "known": report.known,
        "vanished": report.vanished,
        "unknown_columns": report.unknown_columns,
        "reason": report.rejected,
    })
}

/// The report of `replay --from-raw`.
#[must_use]
pub fn replay(report: &ReplayReport, dry_run: bool, look: &Look) -> String {
    let mut text = String::new();
    let name = plain(&report.pipeline);
    let of = |number: usize| if number == 1 { "file" } else { "files" };
    let (same, again) = (report.as_they_came, report.replayed.len());
    line(&mut text, format_args!("{name}: {same} {} in staging as they came", of(same)));
    if again > 0 {
        let done = if dry_run { "would be made anew" } else { "made anew" };
        let told = format!("{again} {} {done}", of(again));
        line(&mut text, format_args!("{}", look.paint(if dry_run { odd() } else { good() }, &told)));
    }
    for file in &report.replayed {
        line(
            &mut text,
            format_args!("  {}: {} rows instead of {}", plain(&file.path), file.rows, file.instead_of),
        );
    }
    for path in &report.gone {
        let told =
            format!("{} is gone, or holds something else: what came of it stays as it is", plain(path));
        line(&mut text, format_args!("{}", look.paint(bad(), &told)));
    }
    if again > 0 && !dry_run {
        text.push_str(&look.next(&format!("{} run", look.program)));
    }
    text
}

/// The document of `replay --from-raw`.
#[must_use]
pub fn replay_document(report: &ReplayReport, dry_run: bool) -> Value {
    let status = match report.replayed.len() {
        0 => "as_they_came",
        _ if dry_run => "would_replay",
        _ => "replayed",
    };
    let file = |file: &ReplayedFile| json!({"path": file.path, "ingest_time": file.ingest_time, "rows": file.rows, "instead_of": file.instead_of});
    json!({
        "command": "replay",
        "pipeline": report.pipeline,
        "status": status,
        "as_they_came": report.as_they_came,
        "replayed": report.replayed.iter().map(file).collect::<Vec<_>>(),
        "gone": report.gone,
        "version": report.version,
    })
}

/// What is known of files.
#[must_use]
pub fn bookmarks(rows: &[FileRow], look: &Look) -> String {
    if rows.is_empty() {
        return "no file is known\n".to_owned();
    }
    let mut table =
        Grid::new(&["file", "status", "rows", "corrupt", "bytes", "number", "why"]).right(&[2, 3, 4, 5]);
    for row in rows {
        let style = match row.status {
            FileStatus::Loaded => good(),
            FileStatus::Failed => bad(),
            FileStatus::Skipped | FileStatus::Reset | FileStatus::Paused => odd(),
        };
        let mut cells: Vec<Cell> = vec![row.path.clone().into(), Cell::styled(row.status.as_str(), style)];
        cells.extend(
            [row.rows, row.corrupt_rows, row.size, row.number].map(|number| number.to_string().into()),
        );
        cells.push(row.error.clone().unwrap_or_default().into());
        table.row(cells);
    }
    table.render(look)
}

/// What a person's word came to.
#[must_use]
pub fn said(pipeline: &str, rows: &[FileRow]) -> String {
    let mut text = String::new();
    if rows.is_empty() {
        line(&mut text, format_args!("{}: no file is meant", plain(pipeline)));
    }
    for row in rows {
        line(&mut text, format_args!("{}: {} is {}", plain(pipeline), plain(&row.path), row.status.as_str()));
    }
    text
}

/// The document of what is known of files.
#[must_use]
pub fn bookmarks_document(command: &str, pipeline: &str, rows: &[FileRow]) -> Value {
    json!({"command": command, "pipeline": pipeline, "files": rows})
}
