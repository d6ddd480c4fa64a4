//! Tests of a pipeline: rows that are given, and what a load is expected to make of them. They run in memory, by the
//! pipeline file as it is, and read and write no table.

mod rows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::{AsOf, Location, Origins, Pipeline, yaml_as_json};
use crate::context::open_in;
use crate::contract::ddl::TableDef;
use crate::error::{Error, Result};
use crate::hooks::Hooks;
use crate::init::{Definitions, definitions};
use crate::lake::{Lake, Table, create_table};
use crate::model::Clock;
use crate::plan::Accepted;
use crate::run::{Report, run};

use self::rows::{compare, stored, written};

/// How the name of a file with tests ends, after that of its pipeline file.
pub const ENDING: &str = ".tests.yaml";

/// Tests by their names.
type Cases = BTreeMap<String, Case>;

/// Rows of a table, by column.
type Rows = Vec<Map<String, Value>>;

/// A test.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The logical date; the file's, unless said.
    as_of: Option<NaiveDate>,
    /// Rows of `staging`, `target`, and of dimensions by their names.
    #[serde(default)]
    given: BTreeMap<String, Rows>,
    expect: Expected,
}

/// What is expected of a load; what is not said is not looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expected {
    /// `loaded` or `rejected`.
    status: Option<String>,
    /// All rows of the target, by those columns that are named.
    target: Option<Rows>,
    /// All rows of the quarantine, likewise.
    quarantine: Option<Rows>,
    /// Rows by class.
    counts: BTreeMap<String, i64>,
    /// Verdicts by check.
    checks: BTreeMap<String, String>,
    /// The stored watermark.
    watermark: Option<NaiveDate>,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The pipeline file.
    pub file: PathBuf,
    /// The test.
    pub name: String,
    /// What was not as expected; nothing, where all was.
    pub differences: Vec<String>,
}

/// The file with a pipeline's tests, whether it is there or not.
#[must_use]
pub fn tests_of(file: &Path) -> PathBuf {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    file.with_file_name(format!("{stem}{ENDING}"))
}

/// Runs a pipeline's tests.
///
/// # Errors
/// Fails where the file with the tests cannot be understood, or the pipeline's tables are not known.
pub async fn try_all(
    file: &Path,
    pipeline: &Pipeline,
    origins: &Origins,
    clock: Clock,
) -> Result<Vec<Tried>> {
    let path = tests_of(file);
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::usage(format!("cannot read {shown}")).because(error))?;
    let value = yaml_as_json(&text, &shown).map_err(|problems| problems.to_error())?;
    let cases: Cases = serde_json::from_value(value).map_err(|error| {
        Error::usage(format!("{shown}: {error}"))
            .hint("a test is `NAME: {as_of: …, given: {staging: [{…}]}, expect: {target: [{…}]}}`")
    })?;
    let made = definitions(pipeline, origins).await?;
    let mut tried = Vec::new();
    for (number, (name, case)) in cases.into_iter().enumerate() {
        let named =
            |error: Error| Error::usage(format!("{shown}: test `{name}` cannot be run")).because(error);
        let differences =
            Box::pin(try_one(pipeline, origins, &made, &case, number, clock)).await.map_err(named)?;
        tried.push(Tried { file: file.to_path_buf(), name, differences });
    }
    Ok(tried)
}

async fn try_one(
    pipeline: &Pipeline,
    origins: &Origins,
    made: &Definitions,
    case: &Case,
    number: usize,
    clock: Clock,
) -> Result<Vec<String>> {
    let lake = Lake::plain();
    let pipeline = in_memory(pipeline, case, number);
    let known = ["staging", "target"].into_iter().chain(pipeline.dimensions.keys().map(String::as_str));
    if let Some(name) = case.given.keys().find(|name| !known.clone().any(|other| other == *name)) {
        let names: Vec<&str> = known.collect();
        return Err(Error::usage(format!(
            "`given` has rows of `{name}`, and the tables are {}",
            names.join(", ")
        )));
    }
    let dimensions = pipeline
        .dimensions
        .iter()
        .filter_map(|(name, dimension)| Some((name.as_str(), &dimension.table, made.dimensions.get(name)?)));
    let [audit, watermarks, attempts] = &made.records;
    let tables = [
        ("staging", &pipeline.source.table, &made.staging),
        ("target", &pipeline.target.table, &made.target),
        ("quarantine", &pipeline.quarantine, &made.quarantine),
        ("audit", &pipeline.audit, audit),
        ("watermarks", &pipeline.watermarks, watermarks),
        ("attempts", &pipeline.attempts, attempts),
    ];
    for (name, location, def) in tables.into_iter().chain(dimensions) {
        let table = make(&lake, location, def).await?;
        if let Some(rows) = case.given.get(name).filter(|rows| !rows.is_empty()) {
            table.append_foreign(vec![written(&table, rows)?]).await?;
        }
    }
    let mut opened = open_in(&lake, pipeline.clone(), origins).await?;
    // A test stands for any batch, and not for the first.
    opened.columns.unless_loaded = None;
    let report = Box::pin(run(&mut opened, clock, &Hooks::default(), Accepted::default())).await?;
    let mut differences = of_report(&case.expect, &report);
    let pipeline = &opened.pipeline;
    let of_tables = [
        ("target", &pipeline.target.table, &case.expect.target),
        ("quarantine", &pipeline.quarantine, &case.expect.quarantine),
    ];
    for (name, location, expected) in of_tables {
        if let Some(expected) = expected {
            let table = lake.open(location.name(), location).await?;
            differences.extend(compare(name, &table, &stored(&table).await?, expected)?);
        }
    }
    Ok(differences)
}

/// The pipeline with all of its tables in memory, and the test's logical date.
fn in_memory(pipeline: &Pipeline, case: &Case, number: usize) -> Pipeline {
    let mut pipeline = pipeline.clone();
    pipeline.as_of = case.as_of.map_or(pipeline.as_of, AsOf::Date);
    for (index, place) in pipeline.places_mut().enumerate() {
        *place = place.in_memory(number * 100 + index);
    }
    pipeline
}

async fn make(lake: &Lake, location: &Location, def: &TableDef) -> Result<Table> {
    create_table(lake, location, def).await?;
    lake.open(location.name(), location).await
}

/// What of the report is not as expected.
fn of_report(expected: &Expected, report: &Report) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differ = |what: &str, wanted: String, found: String| {
        if wanted != found {
            differences.push(format!("{what} is {found}, not {wanted}"));
        }
    };
    if let Some(status) = &expected.status {
        differ("status", status.clone(), report.ending.as_str().to_owned());
    }
    let counts = json!(report.counts);
    for (name, wanted) in &expected.counts {
        let found = counts.get(name).map_or_else(|| "no class of rows".to_owned(), Value::to_string);
        differ(&format!("counts.{name}"), wanted.to_string(), found);
    }
    for (name, wanted) in &expected.checks {
        let check = report.checks.iter().find(|check| check.name == *name);
        let found = check.map(|check| json!(check.verdict));
        let found = found.as_ref().and_then(Value::as_str).unwrap_or("no check").to_owned();
        differ(&format!("checks.{name}"), wanted.clone(), found);
    }
    if let Some(wanted) = expected.watermark {
        let found = report.watermark.1.map_or_else(|| "none".to_owned(), |found| found.to_string());
        differ("watermark", wanted.to_string(), found);
    }
    differences
}
