//! Whole files: what they resolve to, and what is said about them.

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::*;

mod check_columns;
mod check_faults;
mod checks;
mod columns;
mod origins;
mod overrides;
mod reports;
mod rules;

/// The shipped full file without its comments, so that the lines in expected reports don't move
/// with the prose.
static FULL: LazyLock<String> = LazyLock::new(|| {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/orders.yaml"));
    let is_comment = |line: &&str| line.trim_start().starts_with('#') || line.trim().is_empty();
    text.split_inclusive('\n').filter(|line| !is_comment(line)).collect()
});
const MINIMAL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/orders-minimal.yaml"));

/// Files of others' tables, with mappings.
const EXAMPLES: [&str; 10] = [
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/renamed.yaml")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/monthly.yaml")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/epoch.yaml")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/private.yaml")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/events.yaml")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/files.yaml")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/export.yaml")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/items.yaml")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/releases.yaml")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples/changes.yaml")),
];

/// What every pipeline needs on five lines, but for `incremental`.
const HEAD: &str =
    "name: orders\nsource: staging\ntarget: fact\nunique_key: order_id\nupdated_at: updated_at\n";

fn env(vars: &[(&str, &str)]) -> Overrides {
    let env = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Overrides { env: env.collect(), ..Overrides::default() }
}

fn flag(mut overrides: Overrides, path: &str, value: &str, flag: &str) -> Overrides {
    overrides.flags.push((path.to_owned(), value.to_owned(), flag.to_owned()));
    overrides
}

fn try_load(text: &str, overrides: &Overrides) -> Result<Loaded, Problems> {
    load_text(text, &Arc::from("orders.yaml"), Path::new("/lake/config"), overrides)
}

fn loaded(text: &str, overrides: &Overrides) -> Loaded {
    try_load(text, overrides).unwrap()
}

fn valid(text: &str, overrides: &Overrides) -> Pipeline {
    loaded(text, overrides).into_valid().unwrap_or_else(|problems| panic!("{problems}")).0
}

/// The report on `text`, as its author would read it.
fn report(text: &str, overrides: &Overrides) -> String {
    Problems(loaded(text, overrides).problems).to_string()
}

/// The report on [`HEAD`] with a watermark column and `rest`, whose first line is line 7.
fn report_on(rest: &str) -> String {
    report(&format!("{HEAD}incremental: {{column: order_date}}\n{rest}"), &Overrides::default())
}

/// Like [`report_on`] for a file whose `incremental` section is `rest`.
fn report_with_incremental(rest: &str) -> String {
    report(&format!("{HEAD}{rest}"), &Overrides::default())
}

/// A pipeline whose file says what it does not say by itself.
fn as_said(mut pipeline: Pipeline) -> Pipeline {
    pipeline.incremental.initial.get_or_insert(Initial::All);
    pipeline
}

#[test]
fn the_minimal_file_resolves_to_the_full_one_but_for_the_marked_lines() {
    let minimal = valid(MINIMAL, &Overrides::default());
    let mut full = valid(&FULL, &Overrides::default());
    assert_eq!(full.source.lineage, ["source_file", "ingest_time"]);
    assert_eq!(full.tie_breakers.len(), 2);
    assert_eq!(full.target.ddl.as_deref(), Some(Path::new("/lake/tables/fact_orders.sql")));
    assert_eq!(full.incremental.initial.take(), Some(Initial::Lookback));
    full.source.lineage.clear();
    full.source.ddl = None;
    full.tie_breakers.clear();
    full.target.ddl = None;
    full.dimensions.values_mut().for_each(|dimension| dimension.ddl = None);
    let names: Vec<_> = full.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        ["relationships_customer_id", "accepted_range_total_amount", "row_count", "row_count_change"]
    );
    full.checks.truncate(1);
    full.checks[0].error_if = None;
    assert_eq!(full.deadline.take(), Some(Duration::from_hours(2)));
    assert_eq!(minimal, full);
}

#[test]
fn the_full_file_shows_every_key_of_the_schema() {
    fn keys(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        for (key, below) in schema["properties"].as_object().into_iter().flatten() {
            let path = tree::join(path, key);
            found.push(path.clone());
            keys(below, &path, found);
            for alternative in below["anyOf"].as_array().into_iter().flatten() {
                keys(alternative, &path, found);
            }
        }
    }
    let mut known = Vec::new();
    keys(&json_schema(), "", &mut known);
    assert!(known.iter().any(|key| key == "target.load_columns.row_hash"), "{known:?}");
    let origins = loaded(&FULL, &Overrides::default()).origins;
    // Options of the object store are many, and listed in a page of their own.
    known.retain(|key| !key.starts_with("storage."));
    // What makes columns of others would change what the file loads.
    let more = EXAMPLES.map(|text| loaded(text, &Overrides::default()).origins);
    let is_shown =
        |key: &&String| more.iter().chain([&origins]).any(|origins| origins.of(key) != Origin::Default);
    let missing: Vec<_> = known.iter().filter(|key| !is_shown(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_minimal_file_resolves_to_the_documented_defaults() {
    let pipeline = valid(MINIMAL, &Overrides::default());
    assert_eq!(pipeline.source.table.as_str(), "/lake/config/staging_orders");
    assert_eq!(pipeline.quarantine.as_str(), "/lake/config/fact_orders_bad");
    assert_eq!(pipeline.audit.as_str(), "/lake/config/loads_audit");
    assert_eq!(pipeline.watermarks.as_str(), "/lake/config/load_watermarks");
    assert_eq!(pipeline.attempts.as_str(), "/lake/config/loads_attempts");
    assert_eq!(pipeline.incremental.lookback_days, 7);
    assert_eq!(pipeline.incremental.lag_days, 1);
    assert_eq!(pipeline.incremental.initial, None);
    assert_eq!(pipeline.as_of, AsOf::Today);
    assert_eq!(pipeline.memory, Memory::Percent(60));
    assert_eq!(pipeline.partitions_per_commit, 400);
}

#[test]
fn the_shipped_schema_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/pipeline.schema.json");
    let generated = format!("{:#}\n", json_schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(path, &generated).unwrap();
    }
    let shipped = fs::read_to_string(path).unwrap();
    assert!(shipped == generated, "config/pipeline.schema.json is stale: run the tests with UPDATE_SCHEMA=1");
}

#[test]
fn a_file_on_disk_has_its_paths_resolved_from_its_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.yaml");
    fs::write(&path, MINIMAL).unwrap();
    let pipeline = load(&path, &Overrides::default()).unwrap().into_valid().unwrap().0;
    let expected = folder.path().canonicalize().unwrap().join("fact_orders");
    assert_eq!(pipeline.target.table.as_str(), expected.to_str().unwrap());
}

#[test]
fn a_missing_file_is_one_problem_that_names_it() {
    let problems = load(Path::new("/nowhere/orders.yaml"), &Overrides::default()).unwrap_err();
    assert!(problems.to_string().starts_with("/nowhere/orders.yaml: cannot be read: "), "{problems}");
}
