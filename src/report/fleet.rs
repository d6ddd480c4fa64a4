//! What became of several pipelines, in one summary.

use serde_json::{Value, json};

use super::grid::{Cell, Grid};
use super::look::{Look, bad, good, odd};
use super::plain::plain;
use super::text::line;
use crate::fleet::Outcome;

/// Exit statuses from the mildest to the worst: a scheduler tries again only where that alone is to be done.
const BY_WORTH: [u8; 7] = [0, 1, 3, 143, 2, 4, 70];

/// The exit status of all: the worst of them. One that is none of ours is worse than any.
#[must_use]
pub fn worst(outcomes: &[Outcome]) -> u8 {
    let rank = |status: &u8| BY_WORTH.iter().position(|known| known == status).unwrap_or(BY_WORTH.len());
    outcomes.iter().filter_map(|outcome| outcome.exit_status).max_by_key(rank).unwrap_or_default()
}

/// A word for how one ended.
fn ending(outcome: &Outcome) -> String {
    match (outcome.exit_status, outcome.document["status"].as_str()) {
        (None, _) => "skipped".to_owned(),
        (Some(0 | 1), Some(status)) => status.replace('_', " "),
        (Some(0), None) => "done".to_owned(),
        (Some(status), _) => format!("failed ({status})"),
    }
}

/// One line of progress.
#[must_use]
pub fn progress(outcome: &Outcome) -> String {
    format!("{}: {}", plain(&outcome.name), ending(outcome))
}

/// The summary.
#[must_use]
pub fn fleet(outcomes: &[Outcome], look: &Look) -> String {
    let names = ["pipeline", "ended", "staged", "inserted", "updated", "quarantined", "s"];
    let mut table = Grid::new(&names).right(&[2, 3, 4, 5, 6]);
    for outcome in outcomes {
        let style = match outcome.exit_status {
            Some(0) => good(),
            None | Some(1) => odd(),
            Some(_) => bad(),
        };
        let count =
            |name: &str| outcome.document["counts"][name].as_i64().map_or(String::new(), |n| n.to_string());
        let counts = ["staged", "inserted", "updated", "quarantined"].map(|name| count(name).into());
        let mut row: Vec<Cell> = vec![outcome.name.clone().into(), Cell::styled(&ending(outcome), style)];
        row.extend(counts);
        row.push(format!("{:.1}", outcome.seconds).into());
        table.row(row);
    }
    let mut text = table.render(look);
    for outcome in outcomes.iter().filter(|outcome| outcome.exit_status != Some(0)) {
        text.push('\n');
        line(&mut text, format_args!("{}: {}", plain(&outcome.name), outcome.file.display()));
        let why = outcome.document["reason"].as_str().unwrap_or(&outcome.said);
        let tables = outcome.document["tables"].as_array();
        let wrong = tables.into_iter().flatten().filter_map(|table| {
            let state = table["state"].as_str().filter(|state| ["missing", "differs"].contains(state))?;
            Some(format!("{} {state}", table["location"].as_str()?))
        });
        let wrong: Vec<String> = wrong.collect();
        for said in why.lines().map(str::to_owned).chain(wrong) {
            line(&mut text, format_args!("  {}", plain(&said)));
        }
    }
    text
}

/// The document.
#[must_use]
pub fn document(command: &str, outcomes: &[Outcome]) -> Value {
    let one = |outcome: &Outcome| {
        json!({
            "pipeline": outcome.name,
            "config": outcome.file,
            "exit_status": outcome.exit_status,
            "skipped": outcome.exit_status.is_none().then_some(&outcome.said),
            "seconds": outcome.seconds,
            "document": outcome.document,
        })
    };
    json!({
        "command": command,
        "exit_status": worst(outcomes),
        "pipelines": outcomes.iter().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(statuses: &[Option<u8>]) -> Vec<Outcome> {
        let one = |exit_status: &Option<u8>| Outcome {
            name: "p".to_owned(),
            file: "p.yaml".into(),
            exit_status: *exit_status,
            document: Value::Null,
            said: String::new(),
            seconds: 0.0,
        };
        statuses.iter().map(one).collect()
    }

    #[test]
    fn the_worst_status_is_that_of_all() {
        for (statuses, all) in [
            (&[][..], 0),
            (&[Some(0), Some(0)], 0),
            (&[Some(1), Some(0)], 1),
            (&[Some(3), Some(1)], 3),
            (&[Some(2), Some(3), None], 2),
            (&[Some(4), Some(2)], 4),
            (&[Some(4), Some(70), Some(0)], 70),
            (&[Some(137), Some(70)], 137),
        ] {
            assert_eq!(worst(&ended(statuses)), all, "{statuses:?}");
        }
    }
}
