//! What people and programs read of columns that differ, and of those that were changed.

use serde_json::{Value, json};

use super::grid::{Cell, Grid};
use super::look::{Look, bad, good, odd};
use super::plain::plain;
use super::text::line;
use crate::drift::{ColumnDrift, DriftReport};
use crate::evolve::EvolveReport;
use crate::model::{Alteration, Answer, Change, Drift};

/// The report of `drift`.
#[must_use]
pub fn drift(report: &DriftReport, look: &Look) -> String {
    let mut text = String::new();
    let name = plain(&report.pipeline);
    if let Some(problem) = &report.problem {
        let told = "no batch would be loaded";
        line(&mut text, format_args!("{name}: {}", look.paint(bad(), told)));
        line(&mut text, format_args!("{}", plain(problem)));
        text.push('\n');
    }
    if report.columns.is_empty() {
        line(&mut text, format_args!("{name}: {}", look.paint(good(), "the columns agree")));
        return text;
    }
    let number = report.columns.len();
    let noun = if number == 1 { "column differs" } else { "columns differ" };
    let told = format!("{number} {noun}");
    let style = if report.is_refused() { bad() } else { odd() };
    line(&mut text, format_args!("{name}: {}", look.paint(style, &told)));
    text.push('\n');
    let then = report.before.map(|(_, moment)| format!("staging {}", moment.date_naive()));
    let mut header = vec!["column"];
    header.extend(report.contract.as_ref().map(|_| "contract"));
    header.extend(then.as_deref());
    header.extend(["staging", "target", "what"]);
    let mut grid = Grid::new(&header);
    for column in &report.columns {
        let cell = |text: &Option<String>| Cell::from(text.clone().unwrap_or_else(|| "-".to_owned()));
        let mut cells = vec![Cell::from(column.column.clone())];
        cells.extend(report.contract.as_ref().map(|_| cell(&column.contract)));
        cells.extend(report.before.map(|_| cell(&column.before)));
        cells.extend([cell(&column.staging), cell(&column.target)]);
        let style = match column.drift.as_ref().map(|drift| drift.answer) {
            Some(Answer::Fail) => bad(),
            Some(Answer::Told | Answer::Add | Answer::Leave | Answer::Quarantine) => odd(),
            Some(Answer::Load) | None => good(),
        };
        cells.push(Cell::styled(&what(column), style));
        grid.row(cells);
    }
    text.push_str(&grid.render(look));
    text
}

fn what(column: &ColumnDrift) -> String {
    let mut told = Vec::new();
    if let Some(drift) = &column.drift {
        told.push(self::told(drift));
    }
    if column.moved {
        told.push("changed in staging".to_owned());
    }
    if column.breaks_contract {
        told.push("the target is not what its contract says".to_owned());
    }
    told.join("; ")
}

/// A difference, in words: what it is, and what is done about it.
fn told(drift: &Drift) -> String {
    let was = match (drift.change, &drift.staging) {
        (Change::Renamed, Some(was)) => format!(", `{was}`"),
        _ => String::new(),
    };
    format!("{}{was}: {}", drift.change.told(), drift.answer.told())
}

/// Columns that changed, and what is done about it. New ones are told as not loaded.
pub(super) fn differences(drift: &[Drift]) -> String {
    let mut text = String::new();
    let named = |change: Change, answer: Answer| {
        let these = drift.iter().filter(move |drift| (drift.change, drift.answer) == (change, answer));
        these.map(|drift| drift.column.as_str()).collect::<Vec<_>>().join(", ")
    };
    let dropped = named(Change::DroppedColumn, Answer::Leave);
    if !dropped.is_empty() {
        line(
            &mut text,
            format_args!("not in staging: {}; NULL in new rows, and kept in others", plain(&dropped)),
        );
    }
    let added = named(Change::NewColumn, Answer::Add);
    if !added.is_empty() {
        line(&mut text, format_args!("to be added to the target by `evolve`: {}", plain(&added)));
    }
    let by_row = named(Change::UnfitType, Answer::Quarantine);
    if !by_row.is_empty() {
        line(
            &mut text,
            format_args!("rows that do not fit the target's type are kept out: {}", plain(&by_row)),
        );
    }
    for drift in drift.iter().filter(|drift| drift.change == Change::Renamed) {
        let was = drift.staging.as_deref().unwrap_or_default();
        line(&mut text, format_args!("{} is read from {}", plain(&drift.column), plain(was)));
    }
    text
}

/// The document of `drift`.
#[must_use]
pub fn drift_document(report: &DriftReport) -> Value {
    let column = |column: &ColumnDrift| {
        json!({
            "column": column.column,
            "contract": column.contract,
            "before": column.before,
            "staging": column.staging,
            "target": column.target,
            "change": column.drift.as_ref().map(|drift| drift.change.as_str()),
            "answer": column.drift.as_ref().map(|drift| drift.answer.as_str()),
            "moved": column.moved,
            "breaks_contract": column.breaks_contract,
        })
    };
    json!({
        "command": "drift",
        "pipeline": report.pipeline,
        "status": if report.is_refused() { "refused" } else if report.columns.is_empty() { "agrees" } else { "differs" },
        "contract": report.contract,
        "staging_version": report.staging,
        "before": report.before.map(|(version, moment)| json!({"version": version, "as_of": moment.date_naive()})),
        "target_version": report.target,
        "columns": report.columns.iter().map(column).collect::<Vec<_>>(),
        "problem": report.problem,
    })
}

/// The report of `evolve`.
#[must_use]
pub fn evolve(report: &EvolveReport, look: &Look) -> String {
    let mut text = String::new();
    let name = plain(&report.pipeline);
    let number = report.alterations.len();
    let noun = if number == 1 { "change" } else { "changes" };
    let told = match (number, report.dry_run) {
        (0, _) if report.impossible.is_empty() => {
            look.paint(good(), "the target's columns are as they are to be")
        }
        (0, _) => look.paint(odd(), "nothing of the target could be changed"),
        (_, true) => format!("{number} {noun} to be made; nothing was changed"),
        (_, false) => look.paint(good(), &format!("{number} {noun} made")),
    };
    line(&mut text, format_args!("{name}: {told}"));
    for alteration in &report.alterations {
        line(&mut text, format_args!("  {}", plain(&alteration.told())));
    }
    for (what, hint) in &report.impossible {
        line(&mut text, format_args!("{}: {}", look.paint(bad(), "cannot"), plain(what)));
        line(&mut text, format_args!("  hint: {}", plain(hint)));
    }
    if !report.finished.is_empty() {
        line(&mut text, format_args!("finished what another process left behind"));
    }
    let (before, after) = report.versions;
    if before != after {
        line(&mut text, format_args!("{}: version {before} -> {after}", plain(&report.target)));
    }
    text
}

/// The document of `evolve`.
#[must_use]
pub fn evolve_document(report: &EvolveReport) -> Value {
    let alteration = |alteration: &Alteration| {
        let (change, data_type, comment) = match alteration {
            Alteration::AddColumn { data_type, comment, .. } => {
                ("add_column", Some(data_type.to_string()), comment.clone())
            }
            Alteration::DropNotNull { .. } => ("drop_not_null", None, None),
            Alteration::Comment { comment, .. } => ("comment", None, Some(comment.clone())),
        };
        json!({"change": change, "column": alteration.column(), "type": data_type, "comment": comment})
    };
    let impossible = |(what, hint): &(String, String)| json!({"what": what, "hint": hint});
    json!({
        "command": "evolve",
        "pipeline": report.pipeline,
        "status": match report {
            EvolveReport { alterations, .. } if alterations.is_empty() => "nothing_to_do",
            EvolveReport { dry_run: true, .. } => "planned",
            _ => "evolved",
        },
        "number": report.number,
        "finished": report.finished,
        "changes": report.alterations.iter().map(alteration).collect::<Vec<_>>(),
        "impossible": report.impossible.iter().map(impossible).collect::<Vec<_>>(),
        "target_version": {"before": report.versions.0, "after": report.versions.1},
    })
}
