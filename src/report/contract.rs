//! What people and programs read of contracts.

use serde_json::{Value, json};

use super::look::{Look, bad, good, odd};
use super::plain::plain;
use super::text::line;
use crate::contract::odcs::Odcs;
use crate::contracts::ContractReport;

/// The report of `contract check`.
#[must_use]
pub fn checked(report: &ContractReport, look: &Look) -> String {
    let mut text = String::new();
    let breaking = report.changes.iter().filter(|change| change.breaks(report.asked)).count();
    let changes = match report.changes.len() {
        0 => "nothing changed for whoever reads it".to_owned(),
        1 => "1 change".to_owned(),
        number => format!("{number} changes"),
    };
    let told = match breaking {
        0 => look.paint(good(), &format!("{}-compatible", report.asked.as_str())),
        number => {
            look.paint(bad(), &format!("not {}-compatible, by {number} of them", report.asked.as_str()))
        }
    };
    let (file, against) = (plain(&report.file), plain(&report.against));
    line(&mut text, format_args!("{file} against {against}: {changes}; {told}"));
    for change in &report.changes {
        let name = change.column.as_ref().map(|name| format!("`{}` ", plain(name))).unwrap_or_default();
        let style = if change.breaks(report.asked) { bad() } else { odd() };
        line(&mut text, format_args!("  {}", look.paint(style, &format!("{name}{}", plain(&change.what)))));
        if let Some(why) = &change.backward {
            line(
                &mut text,
                format_args!("    breaks readers of the new contract at rows of the old: {}", plain(why)),
            );
        }
        if let Some(why) = &change.forward {
            line(
                &mut text,
                format_args!("    breaks readers of the old contract at rows of the new: {}", plain(why)),
            );
        }
    }
    text
}

/// The document of `contract check`.
#[must_use]
pub fn checked_document(report: &ContractReport) -> Value {
    let changes = report.changes.iter().map(|change| {
        json!({
            "column": change.column,
            "what": change.what,
            "breaks_backward": change.backward,
            "breaks_forward": change.forward,
            "breaks": change.breaks(report.asked),
        })
    });
    json!({
        "command": "contract check",
        "file": report.file,
        "against": report.against,
        "compatibility": report.asked.as_str(),
        "status": if report.is_broken() { "broken" } else { "compatible" },
        "changes": changes.collect::<Vec<_>>(),
    })
}

/// A contract as DDL, with the checks that a pipeline file would have, and what nothing here keeps.
#[must_use]
pub fn shown(contract: &Odcs) -> String {
    let mut text = contract.def.to_string();
    let of_table = contract.checks.iter().filter(|check| check.column.is_none());
    let mut names: Vec<&str> = contract.checks.iter().filter_map(|check| check.column.as_deref()).collect();
    names.dedup();
    if !names.is_empty() {
        text.push_str("\ncolumns:\n");
        for name in names {
            let these = contract.checks.iter().filter(|check| check.column.as_deref() == Some(name));
            text.push_str(&format!("  {}:\n    checks:\n", Value::from(name)));
            text.extend(these.map(|check| format!("      - {}\n", check.yaml)));
        }
    }
    let of_table: Vec<String> = of_table.map(|check| format!("  - {}\n", check.yaml)).collect();
    if !of_table.is_empty() {
        text.push_str(&format!("checks:\n{}", of_table.concat()));
    }
    if !contract.unmapped.is_empty() {
        text.push_str("\n# Not kept:\n");
        text.extend(contract.unmapped.iter().map(|what| format!("#   {}\n", plain(what))));
    }
    text
}

/// The document of `contract show`.
#[must_use]
pub fn shown_document(contract: &Odcs) -> Value {
    let check =
        |check: &crate::contract::odcs::OdcsCheck| json!({"column": check.column, "check": check.yaml});
    json!({
        "command": "contract show",
        "ddl": contract.def.to_string(),
        "checks": contract.checks.iter().map(check).collect::<Vec<_>>(),
        "unmapped": contract.unmapped,
    })
}
