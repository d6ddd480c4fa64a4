//! What the table of cases does not show: how checks are counted, what they are measured on, what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use highwater::config::{Location, Overrides};
use highwater::context;
use highwater::events::{Began, Event, Events, Listener, RunStep};
use highwater::hooks::Hooks;
use highwater::lake::Lake;
use highwater::plan::Accepted;
use highwater::run::{Ending, run};
use serde_json::{Value, json};

use super::scene::At::{self, Column, Table};
use super::scene::{Scene, Scenes, empty, file_of, lines, of_first, row};
use crate::common::{Lab, batch, clock, json_of};

/// Kind, name and keys of checks of the batch as a whole.
const WHOLE: [(At, &str, &str, &str); 7] = [
    (Table, "freshness", "freshness", "within: 2 days"),
    (Table, "row_count", "row_count", "min: 1"),
    (Table, "row_count_change", "row_count_change", "within: 0 %, min_history: 1"),
    (Table, "duplicate_rate", "duplicate_rate", "max: 0 %"),
    (Table, "aggregate", "aggregate", "sql: SUM(q), min: 1"),
    (Table, "schema", "schema", ""),
    (Column("t"), "null_rate", "null_rate", "max: 0 %"),
];

/// The same of checks of rows.
const OF_ROWS: [(At, &str, &str, &str); 8] = [
    (Column("t"), "not_null", "not_null", ""),
    (Column("t"), "unique", "unique", ""),
    (Column("t"), "accepted_values", "accepted_values", "values: x"),
    (Column("q"), "accepted_range", "accepted_range", "min: 1, max: 2"),
    (Column("t"), "regex", "regex", "pattern: x"),
    (Column("ref"), "relationships", "relationships", "to: dim, field: k"),
    (Table, "expression", "expression", "sql: q > 1"),
    (Table, "sql", "sql", "query: SELECT id FROM batch WHERE q > 1"),
];

/// What each check finds, by name, in the batch that the lab would load.
fn found(lab: &Lab, checks: &[(At, &str, &str, &str)]) -> BTreeMap<String, Value> {
    let file = file_of(lab, "found", checks);
    let (status, document) = json_of(lab.command_with(&file, &["check"]));
    assert!(matches!(status, Some(0 | 1)), "{document:#}");
    let checks = document["checks"].as_array().unwrap().iter();
    checks.map(|check| (check["name"].as_str().unwrap().to_owned(), check.clone())).collect()
}

/// Why the pipeline file is refused.
fn refusal(lab: &Lab, check: (At, &str, &str, &str)) -> String {
    let file = file_of(lab, "refused", &[check]);
    let (status, document) = json_of(lab.command_with(&file, &["check"]));
    assert_eq!(status, Some(2), "{document:#}");
    document["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_eight_are_not_more_than_a_quarter() {
    let lab = of_first().await;
    let checks = [
        ("more", "error_if: '> 25 %'", "warned"),
        ("as_many", "error_if: '>= 25 %'", "failed"),
        ("barely_more", "error_if: '> 24.999999 %'", "failed"),
        ("rows_as_many", "error_if: '>= 2 rows'", "failed"),
        ("fewer", "action: warn, warn_if: '> 25 %'", "passed"),
        ("noted", "action: warn, warn_if: '>= 25 %'", "warned"),
        ("kept_out", "action: quarantine, error_if: '> 25 %'", "quarantined"),
    ];
    let found = found(&lab, &checks.map(|(name, keys, _)| (Column("q"), "not_null", name, keys)));
    for (name, keys, verdict) in checks {
        let check = &found[name];
        assert_eq!((&check["examined"], &check["failed"]), (&json!(8), &json!(2)), "{keys}");
        assert_eq!((&check["verdict"], &check["percent"]), (&json!(verdict), &json!(25.0)), "{keys}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn null_passes_every_check_but_not_null_and_null_rate() {
    let lab = empty().await;
    let at = "2025-08-31";
    let nulls = [row(1, at, None, None, None, None), row(2, at, None, None, None, None)];
    lab.append("src", &lines(&nulls)).await;
    let all: Vec<_> = WHOLE.into_iter().chain(OF_ROWS).collect();
    assert_eq!(all.iter().map(|(_, kind, ..)| (*kind).to_owned()).collect::<BTreeSet<_>>(), super::kinds());
    let found = found(&lab, &all);
    for (_, _, name, _) in all {
        let verdict = match name {
            "not_null" | "null_rate" => "failed",
            "row_count_change" => "skipped",
            _ => "passed",
        };
        assert_eq!(found[name]["verdict"], verdict, "{:#}", found[name]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_for_which_where_is_null_is_not_examined() {
    let lab = of_first().await;
    // `q` is NULL in two of eight rows, one of which has no `t`.
    let checks = [
        (Column("t"), "not_null", "rows", "where: q > 0"),
        (Column("t"), "null_rate", "rate", "where: not (q > 0), max: 0 %"),
        (Table, "aggregate", "total", "sql: COUNT(*), where: 'q > 0 OR q IS NULL', min: 8"),
        (Column("ref"), "unique", "among", "where: q = 10"),
    ];
    let found = found(&lab, &checks);
    let counted = |name: &str| (found[name]["examined"].clone(), found[name]["failed"].clone());
    assert_eq!(counted("rows"), (json!(6), json!(0)));
    assert_eq!(counted("rate"), (json!(0), json!(0)));
    assert_eq!(counted("total"), (json!(8), json!(0)));
    // Of the rows with 1 and 2 twice each, one with 1 has another `q`.
    assert_eq!(counted("among"), (json!(3), json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_rows_and_rates_of_the_key_are_measured_on_staged_rows_the_rest_on_deduped_ones() {
    let scenes = Scenes::new().await;
    let mut checks: Vec<_> =
        WHOLE.into_iter().chain(OF_ROWS).filter(|(_, kind, ..)| *kind != "schema").collect();
    checks.push((Column("id"), "null_rate", "of_key", "max: 100 %"));
    for (scene, staged, deduped) in [(Scene::First, 10, 8), (Scene::Holes, 4, 3)] {
        let found = found(scenes.lab(scene), &checks);
        for (_, _, name, _) in &checks {
            let on_staged = ["row_count", "duplicate_rate", "of_key"].contains(name);
            let rows = if on_staged { staged } else { deduped };
            assert_eq!(found[*name]["examined"], rows, "{scene:?}: {:#}", found[*name]);
        }
    }
    // The key is NULL in one of four staged rows: no row that lost the dedupe can lack it.
    let checks = [("of_one", "where: q = 1, max: 0 %"), ("of_none", "where: q IS NULL, max: 49 %")];
    let found =
        found(scenes.lab(Scene::Holes), &checks.map(|(name, keys)| (Column("id"), "null_rate", name, keys)));
    assert_eq!((&found["of_one"]["examined"], &found["of_one"]["verdict"]), (&json!(2), &json!("passed")));
    assert_eq!((&found["of_none"]["examined"], &found["of_none"]["verdict"]), (&json!(2), &json!("failed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn unique_over_several_columns_fails_rows_that_agree_in_all_and_lack_none() {
    let lab = of_first().await;
    let checks = [
        ("both", "columns: [ref, q]"),
        ("without_one", "columns: [ref, q], where: id <> 8"),
        ("with_key", "columns: [id, q]"),
        ("three", "columns: [q, ref, at]"),
    ];
    let found = found(&lab, &checks.map(|(name, keys)| (Table, "unique", name, keys)));
    let failed = |name: &str| found[name]["failed"].as_i64().unwrap();
    assert_eq!(["both", "without_one", "with_key", "three"].map(failed), [2, 0, 0, 2]);
    assert_eq!(found["both"]["examples"], json!([{"id": "2", "file": "f"}, {"id": "8", "file": "f"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn number_of_rows_is_held_against_the_mean_of_the_last_loads_in_effect() {
    let scenes = Scenes::new().await;
    let checks = [
        (Table, "row_count_change", "two", "within: 25 %, last: 2, min_history: 2"),
        (Table, "row_count_change", "three", "within: 49 %, last: 3"),
        (Table, "row_count_change", "more_than_there_are", "within: 50 %, last: 9, min_history: 3"),
        (Table, "row_count_change", "too_few", "within: 0 %, last: 9, min_history: 4"),
    ];
    let lab = scenes.lab(Scene::Later);
    let judged = |found: BTreeMap<String, Value>, name: &str| {
        let text = |key: &str| found[name][key].as_str().unwrap().to_owned();
        (text("verdict"), text("threshold"))
    };
    let told = |verdict: &str, threshold: &str| (verdict.to_owned(), threshold.to_owned());
    let of = |name: &str| judged(found(lab, &checks), name);
    // Loads of 2, 4 and 4 rows, and 5 now.
    assert_eq!(of("two"), told("passed", "within 25 % of 4, the mean of 2"));
    assert_eq!(of("three"), told("failed", "within 49 % of 3.3, the mean of 3"));
    assert_eq!(of("more_than_there_are"), told("passed", "within 50 % of 3.3, the mean of 3"));
    assert_eq!(of("too_few"), told("skipped", "needs 4 loads before, has 3"));

    // A load that was taken back is no history; its rows are new once more.
    let (status, document) = lab.json(&["rollback", "--last"]);
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!(of("two"), told("failed", "within 25 % of 3, the mean of 2"));
    assert_eq!(of("three"), told("skipped", "needs 3 loads before, has 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_key_a_query_returns_are_kept_out_and_no_others() {
    let lab = of_first().await;
    let query =
        "query: SELECT b.id FROM batch AS b JOIN dim AS d ON b.ref = d.k WHERE b.q >= 10 AND b.at < $as_of";
    let check = (Table, "sql", "by_key", query);
    let file =
        file_of(&lab, "by_key", &[(check.0, check.1, check.2, &format!("{query}, action: quarantine"))]);
    let (status, document) = json_of(lab.command_with(&file, &["run"]));
    assert_eq!(status, Some(0), "{document:#}");
    assert_eq!((&document["counts"]["quarantined"], &document["counts"]["inserted"]), (&json!(3), &json!(5)));
    let kept = lab.rows("tgt_bad").await;
    let ids = ["2", "6", "8"].map(|id| format!("\"id\":{id},"));
    assert!(kept.len() == 3 && ids.iter().all(|id| kept.iter().any(|row| row.contains(id))), "{kept:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_that_cannot_be_judged_is_a_config_error() {
    let lab = of_first().await;
    for (at, kind, name, keys) in WHOLE {
        let keys =
            if keys.is_empty() { "action: quarantine" } else { &format!("{keys}, action: quarantine") };
        let why = refusal(&lab, (at, kind, name, keys));
        assert!(why.contains("a check of the batch as a whole cannot quarantine rows"), "{kind}: {why}");
    }
    for (kind, keys, words) in [
        ("sql", "query: SELECT t FROM batch", "must return the key"),
        ("sql", "query: DELETE FROM batch", "is no query"),
        ("sql", "query: SELECT id FROM batch WHERE at < NOW()", "differs from run to run"),
        ("expression", "sql: q + 1", "not true or false"),
        ("expression", "sql: nobody > 1", "nobody"),
        ("aggregate", "sql: 'SUM(q), MAX(q)', max: 1", "`sql`"),
        ("aggregate", "sql: q, max: 1", "`sql`"),
    ] {
        let why = refusal(&lab, (Table, kind, "unfit", keys));
        assert!(why.contains(words), "{kind} {keys}: {why}");
    }
    let why = refusal(&lab, (Column("t"), "regex", "unfit", "pattern: '('"));
    assert!(why.contains("no regular expression"), "{why}");
    let why = refusal(&lab, (Column("t"), "relationships", "unfit", "to: dim, field: k"));
    assert!(why.contains("does not compare"), "{why}");
}

/// Makes an unknown customer known while the gate is at work.
struct Meddler(PathBuf, AtomicU32);

impl Listener for Meddler {
    fn hear(&self, event: &Event) {
        let Event::Began(Began { step: RunStep::Gate, .. }) = event else { return };
        // More than once, should the run begin another batch for that.
        if self.1.fetch_add(1, Ordering::Relaxed) == 3 {
            return;
        }
        let location = Location::named(&self.0.join("dim").display().to_string()).unwrap();
        let append = async move {
            let table = Lake::plain().open("dim", &location).await.unwrap();
            table.append_foreign(vec![batch(&table, &lines(&[json!({"k": 3})]))]).await.unwrap();
        };
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || runtime().block_on(append)).join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relationships_are_judged_at_the_pinned_version_of_the_dimension_and_the_run_ends_with_its_batch() {
    let lab = of_first().await;
    let keys = "to: dim, field: k, action: quarantine";
    let file = file_of(&lab, "pinned", &[(Column("ref"), "relationships", "known", keys)]);
    let before = lab.table("dim").await.version();
    let (pipeline, origins) = context::load(&lab.path().join(&file), &Overrides::default()).await.unwrap();
    let mut opened = context::open(pipeline, origins).await.unwrap();
    let meddler = Meddler(lab.path().to_owned(), AtomicU32::new(0));
    let hooks = Hooks { events: Events::default().with(meddler), ..Hooks::default() };
    let report = run(&mut opened, clock(), &hooks, Accepted::default()).await.unwrap();
    assert_eq!(lab.table("dim").await.version(), before + 1, "once, in one batch");
    assert_eq!(report.ending, Ending::Loaded);
    let failed = |checks: &[highwater::model::CheckResult]| {
        checks.iter().find(|check| check.name == "known").map(|check| check.failed)
    };
    assert_eq!((failed(&report.checks), report.counts.quarantined), (Some(3), 3));
    let pin = report.inputs.iter().find(|pin| pin.name == "dim").unwrap();
    assert_eq!(pin.table().version, before);

    // The next batch has another pin, and is another batch for that alone.
    let (status, next) = json_of(lab.command_with(&file, &["run"]));
    assert_eq!((status, &next["status"]), (Some(0), &json!("loaded")), "{next:#}");
    assert_ne!(next["batch_id"], report.batch_id.as_str());
    // Each version of staging is read once: what was kept out is replayed, or waits.
    assert_eq!((&next["counts"]["inserted"], &next["counts"]["quarantined"]), (&json!(0), &json!(0)));
    let (_, replayed) = json_of(lab.command_with(&file, &["quarantine", "replay"]));
    assert_eq!((&replayed["counts"]["inserted"], &replayed["counts"]["quarantined"]), (&json!(2), &json!(1)));
}
