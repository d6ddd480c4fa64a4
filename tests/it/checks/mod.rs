//! Every kind of check at every edge: a table of cases ([`cells`]), each run through the real thing on real tables
//! ([`scene`]). A kind or an edge without a case fails.

mod cells;
mod demands;
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use highwater::config::json_schema;
use serde_json::Value;

use self::cells::{CELLS, Cell, Edge, Expected};
use self::scene::{At, Scenes, file_of};
use crate::common::{Lab, json_of};

/// The kinds that a pipeline file may name, from its schema.
fn kinds() -> BTreeSet<String> {
    let schema: Value = serde_json::to_value(json_schema()).unwrap();
    let properties = &schema["properties"];
    let of_column = &properties["columns"]["additionalProperties"]["properties"]["checks"];
    let mut kinds = BTreeSet::new();
    for checks in [of_column, &properties["checks"]] {
        let list = &checks["anyOf"][1]["items"]["anyOf"][1]["properties"];
        kinds.extend(list.as_object().unwrap().keys().cloned());
    }
    kinds
}

#[test]
fn every_kind_of_check_has_a_case_at_every_edge() {
    let kinds = kinds();
    assert!(kinds.len() >= 15, "{kinds:?}");
    let has = |kind: &str, edge| CELLS.iter().filter(|cell| cell.kind == kind && cell.edge == edge).count();
    let wanted = kinds.iter().flat_map(|kind| Edge::ALL.map(|edge| (kind.as_str(), edge)));
    let wrong: Vec<_> = wanted.filter(|(kind, edge)| has(kind, *edge) != 1).collect();
    assert!(wrong.is_empty(), "not exactly one case for {wrong:?}");
    assert_eq!(CELLS.len(), kinds.len() * Edge::ALL.len(), "a case for a kind that there is not");
}

/// Cells that one command judges: of one lab and one kind, but each alone that changes the contract or is refused.
fn jobs() -> Vec<Vec<&'static Cell>> {
    let mut together: BTreeMap<(String, &str), Vec<&Cell>> = BTreeMap::new();
    let mut alone = Vec::new();
    for cell in CELLS {
        if matches!(cell.at, At::Contract(_)) || matches!(cell.expected, Expected::Refused(_)) {
            alone.push(vec![cell]);
        } else {
            together.entry((format!("{:?}", cell.scene), cell.kind)).or_default().push(cell);
        }
    }
    alone.extend(together.into_values());
    alone
}

/// What is wrong with a job's results, a line each.
fn run_job(lab: &Lab, job: &[&Cell]) -> Vec<String> {
    let items: Vec<_> = job.iter().map(|cell| (cell.at, cell.kind, cell.edge.name(), cell.keys)).collect();
    let file = file_of(lab, &format!("{}-{}", job[0].kind, job[0].edge.name()), &items);
    let (status, document) = json_of(lab.command_with(&file, &["check"]));
    let mut wrong = Vec::new();
    for cell in job {
        let told = match &cell.expected {
            Expected::Refused(words) => {
                let message = document["error"]["message"].as_str().unwrap_or_default();
                (status != Some(2) || !message.contains(words)).then(|| format!("{status:?} {message}"))
            }
            Expected::Found(examined, failed, verdict, value) => {
                let checks = document["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
                let found = checks.iter().find(|check| check["name"] == cell.edge.name());
                let same = found.is_some_and(|found| {
                    found["examined"] == *examined
                        && found["failed"] == *failed
                        && found["verdict"] == *verdict
                        && value.is_none_or(|value| found["value"] == value)
                });
                (!same).then(|| format!("{}", found.unwrap_or(&document)))
            }
        };
        wrong.extend(told.map(|told| format!("{} × {:?}: {told}", cell.kind, cell.edge)));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_finds_at_every_edge_what_the_table_says() {
    let scenes = Scenes::new().await;
    let jobs = jobs();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = run_job(scenes.lab(job[0].scene), job);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
