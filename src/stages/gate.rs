//! Measures what the gate judges. Judging is [`plan::judge`](crate::plan::judge)'s.

mod judged;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveDate;

use self::judged::{register_known, set_aside};
use super::check_text::{ALONE, CheckText, GATED};
use super::rows::{EXAMPLES, describe, first_day, first_flag, first_number, first_text, quoted};
use super::text::{HASH, Text};
use crate::checks::Measure;
use crate::checks::{Check, CheckKind, dimension_relation, query_relation};
use crate::engine::sql::{Ident, Param, Params, bind};
use crate::engine::{Engine, Failure, Known, Rows, Slices, model_type};
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::model::{Counts, Dialect};
use crate::plan::{Accepted, LoadSpec};

/// Staged rows that lack a key, version or watermark value: they stand outside of the dedupe.
///
/// # Errors
/// Fails when the query does.
pub async fn incomplete(engine: &Engine, spec: &LoadSpec, staged: &Slices) -> Result<Rows> {
    let text = Text::new(spec);
    let _examined = engine.register_slices("examined", staged)?;
    let columns = quoted(&text.staged_columns());
    let sql = format!(
        "SELECT {columns}, {} AS {} FROM examined AS s WHERE NOT ({})",
        text.row_hash("s"),
        Ident(HASH),
        text.complete("s")
    );
    let rows = engine.rows(&sql, &Params::new()).await?;
    Ok(rows)
}

/// NULLs of key columns among the staged rows, by the number of the check: rows examined, rows that fail.
///
/// # Errors
/// Fails when the query does.
pub async fn staged_rates(
    engine: &Engine,
    spec: &LoadSpec,
    staged: &Slices,
    terms: StatementTerms,
) -> Result<BTreeMap<usize, (i64, i64)>> {
    let mut rates = BTreeMap::new();
    for (index, check) in spec.checks.iter().enumerate() {
        let (CheckKind::NullRate(_), Some(column)) = (&check.kind, &check.column) else { continue };
        if !spec.is_key(column) {
            continue;
        }
        let filter = check.filter.as_deref().unwrap_or("TRUE");
        let sql = format!(
            "SELECT COUNT(*) AS `examined`, COUNT(CASE WHEN {} IS NULL THEN 1 END) AS `failed` \
             FROM examined AS s WHERE (\n{filter}\n)",
            Ident(column)
        );
        let _examined = engine.register_slices("examined", staged)?;
        let rows = run(engine, &sql, terms).await.map_err(|failure| of_check(failure, spec, check, terms))?;
        rates.insert(index, (first_number(&rows, "examined")?, first_number(&rows, "failed")?));
    }
    Ok(rates)
}

/// On what terms a statement of a check runs.
#[derive(Debug, Clone, Copy)]
pub struct StatementTerms {
    /// The logical date, which a person's SQL calls `$as_of`.
    pub as_of: NaiveDate,
    /// How long it may take.
    pub limit: Duration,
}

/// What the gate looks at.
pub struct Examined<'a> {
    /// The located rows.
    pub located: &'a Slices,
    /// Rows that stand outside of the dedupe.
    pub alone: &'a Rows,
    /// How the dedupe split the staged rows.
    pub counts: Counts,
    /// What was measured on staged rows, by the number of the check.
    pub staged: &'a BTreeMap<usize, (i64, i64)>,
    /// The dimensions at their pinned versions.
    pub dimensions: &'a BTreeMap<String, Table>,
    /// The quarantine, which knows rows that were kept out before.
    pub quarantine: &'a Table,
    /// Ids of the batches in effect: what they kept out is judged no more.
    pub in_effect: &'a [String],
    /// Checks that a person lets pass.
    pub accepted: &'a Accepted,
    /// The terms on which the statements run.
    pub terms: StatementTerms,
}

/// What the gate measured.
#[derive(Debug, Clone)]
pub struct Gated {
    /// Check by check, in the load spec's order.
    pub measures: Vec<Measure>,
    /// Distinct rows that break a check which is more than a warning.
    pub dq_errors: i64,
    /// How many of those tie with the target.
    pub tied_errors: i64,
    /// Those rows, and rows that the quarantine knows; `None` where there are none.
    pub broken: Option<Rows>,
    /// Rows that no check examined, because they were judged before and stay out; `None` where there are none.
    pub judged: Option<Rows>,
}

impl Gated {
    /// Rows that are not judged, because they were before.
    fn set_aside(&self) -> i64 {
        self.judged.as_ref().map_or(0, |rows| i64::try_from(rows.len()).unwrap_or(i64::MAX))
    }
}

/// Measures every check of a batch, nearly all of them in one pass.
///
/// # Errors
/// Fails when a query does.
pub async fn measure(engine: &Engine, spec: &LoadSpec, examined: &Examined<'_>) -> Result<Gated> {
    let text = CheckText::new(spec)?;
    let _examined = register(engine, &text, examined).await?;
    let entries = register_known(engine, spec, examined).await?;
    let (judged, _left_out) = match &entries {
        Some(_) => set_aside(engine, spec, &text, examined).await?,
        None => (None, Vec::new()),
    };
    let _queries = register_queries(engine, spec, &text, examined).await?;
    count(engine, spec, &text, examined, entries.is_some(), judged).await
}

async fn register<'e>(
    engine: &'e Engine,
    text: &CheckText<'_>,
    examined: &Examined<'_>,
) -> Result<Vec<Known<'e>>> {
    let mut known = vec![
        engine.register_slices("classified", examined.located)?,
        engine.register_rows(ALONE, examined.alone)?,
        engine.register_view(GATED, &text.all(!examined.alone.is_empty())).await?,
    ];
    for (name, table) in examined.dimensions {
        known.push(engine.register(&dimension_relation(name), table.rows(&engine.state()).await?)?);
    }
    Ok(known)
}

/// Runs the queries of the pipeline file, and keeps the keys that they return.
async fn register_queries<'e>(
    engine: &'e Engine,
    spec: &LoadSpec,
    text: &CheckText<'_>,
    examined: &Examined<'_>,
) -> Result<Vec<Known<'e>>> {
    let mut known = Vec::new();
    for (index, check) in spec.checks.iter().enumerate() {
        let CheckKind::Sql(query) = &check.kind else { continue };
        let mut of_query = vec![engine.register_view("batch", &text.batch()).await?];
        for (name, table) in examined.dimensions {
            of_query.push(engine.register(name, table.rows(&engine.state()).await?)?);
        }
        let ran = run(engine, &query.keys_query(&spec.rules.unique_key), examined.terms).await;
        let keys = ran.map_err(|failure| of_check(failure, spec, check, examined.terms))?;
        drop(of_query);
        known.push(engine.register_rows(&query_relation(index), &keys)?);
    }
    Ok(known)
}

async fn count(
    engine: &Engine,
    spec: &LoadSpec,
    text: &CheckText<'_>,
    examined: &Examined<'_>,
    known: bool,
    judged: Option<Rows>,
) -> Result<Gated> {
    let terms = examined.terms;
    let counted = match run(engine, &text.counts(), terms).await {
        Ok(counted) => counted,
        Err(failure) => return Err(named(engine, spec, text, terms, failure).await),
    };
    let mut measures = vec![Measure::default(); spec.checks.len()];
    for index in text.of_rows() {
        let measure = &mut measures[index];
        measure.examined = first_number(&counted, &format!("examined{index}"))?;
        measure.failed = first_number(&counted, &format!("failed{index}"))?;
        measure.held = first_number(&counted, &format!("held{index}"))?;
        measure.newest = first_day(&counted, &format!("newest{index}"));
    }
    let (dq_errors, tied_errors) = (first_number(&counted, "broken")?, first_number(&counted, "__hw_tied")?);
    let mut gated = Gated { measures, dq_errors, tied_errors, broken: None, judged };
    let set_aside = gated.set_aside();
    let counts = Counts {
        staged: examined.counts.staged - set_aside,
        deduped: examined.counts.deduped - set_aside,
        ..examined.counts
    };
    let judged_rates = match &gated.judged {
        Some(judged) => staged_rates(engine, spec, &judged.clone().into(), terms).await?,
        None => BTreeMap::new(),
    };
    for (index, measure) in gated.measures.iter_mut().enumerate() {
        whole(engine, spec, examined, &counts, index, measure).await?;
        if let Some((judged, failed)) = judged_rates.get(&index) {
            (measure.examined, measure.failed) = (measure.examined - judged, measure.failed - failed);
        }
        if measure.failed > 0 && text.of_rows().any(|other| other == index) {
            let ran = run(engine, &text.examples(index, EXAMPLES), terms).await;
            let rows = ran.map_err(|failure| of_check(failure, spec, &spec.checks[index], terms))?;
            measure.examples = describe(&rows, spec.pii())?;
        }
    }
    if known || dq_errors > 0 {
        let ran = run(engine, &text.broken(&spec.rules.pipeline, known), terms).await;
        let rows = ran.map_err(|failure| told(failure, "the checks", terms))?;
        gated.broken = Some(rows).filter(|rows| !rows.is_empty());
    }
    Ok(gated)
}

/// The error of the one check that fails by itself too, so that a person knows which to correct.
async fn named(
    engine: &Engine,
    spec: &LoadSpec,
    text: &CheckText<'_>,
    terms: StatementTerms,
    failure: Failure,
) -> Error {
    if matches!(failure, Failure::Other(_)) {
        return told(failure, "the checks", terms);
    }
    // All of them together may take no longer than the statement was given.
    let checks = u32::try_from(text.of_rows().count()).unwrap_or(u32::MAX).max(1);
    let share = StatementTerms { limit: terms.limit / checks, ..terms };
    let mut late = Vec::new();
    for index in text.of_rows() {
        match run(engine, &text.examples(index, EXAMPLES), share).await {
            Ok(_) => {}
            Err(Failure::Late) => late.push(spec.told(&spec.checks[index])),
            Err(why) => return of_check(why, spec, &spec.checks[index], terms),
        }
    }
    // Which of several is at fault is not to be told from that.
    told(failure, &if late.is_empty() { "the checks".to_owned() } else { late.join(", ") }, terms)
}

/// Measures a check that judges the batch as a whole, where the pass over the rows did not. `counts` are without rows
/// that are not judged.
async fn whole(
    engine: &Engine,
    spec: &LoadSpec,
    examined: &Examined<'_>,
    counts: &Counts,
    index: usize,
    measure: &mut Measure,
) -> Result<()> {
    let check = &spec.checks[index];
    match &check.kind {
        CheckKind::NullRate(_) => {
            if let Some((examined, failed)) = examined.staged.get(&index) {
                (measure.examined, measure.failed) = (*examined, *failed);
            }
        }
        CheckKind::Schema(schema) => {
            measure.examined = i64::try_from(schema.columns.len()).unwrap_or(i64::MAX);
            measure.examples = schema.differences(|name| spec.stored_type(name));
            measure.failed = i64::try_from(measure.examples.len()).unwrap_or(i64::MAX);
        }
        CheckKind::Aggregate(aggregate) => {
            let data_type = engine
                .expression_type(&at(&aggregate.sql, examined.terms.as_of), &format!("{GATED} AS s"))
                .await
                .map_err(|why| Error::usage(format!("{}: {why}", spec.told(check))))?;
            let data_type = model_type(&data_type)
                .ok_or_else(|| Error::usage(format!("{}: {data_type} has no bounds", spec.told(check))))?;
            let sql = aggregate.query(check.filter.as_deref(), &data_type);
            let sql = sql.map_err(|why| Error::usage(format!("check {}: {why}", check.name)))?;
            let ran = run(engine, &sql, examined.terms).await;
            let rows = ran.map_err(|failure| of_check(failure, spec, check, examined.terms))?;
            measure.value = first_text(&rows, "text")?;
            measure.failed = i64::from(first_flag(&rows, "out"));
            measure.examined = first_number(&rows, "examined")?;
        }
        kind => {
            if let Some((examined, failed)) = kind.kind().measured(counts) {
                (measure.examined, measure.failed) = (examined, failed);
            }
        }
    }
    Ok(())
}

/// The error of a check that has no result.
fn of_check(failure: Failure, spec: &LoadSpec, check: &Check, terms: StatementTerms) -> Error {
    let failure = match failure {
        // The value may be one that nobody is to read.
        Failure::Unfit(_) if spec.hides_of(check) => Failure::Unfit("it fails on a value".to_owned()),
        other => other,
    };
    told(failure, &spec.told(check), terms)
}

fn told(failure: Failure, what: &str, terms: StatementTerms) -> Error {
    match failure {
        // Running it again would take as long: somebody has to change something.
        Failure::Late => Error::usage(format!(
            "{what}: a statement ran longer than {} s, its `checks_timeout`",
            terms.limit.as_secs()
        ))
        .hint("make the check cheaper, or raise `checks_timeout` in the pipeline file"),
        Failure::Unfit(why) => Error::usage(format!("{what}: {why}")).hint(
            "correct it in the pipeline file: `try_cast` gives NULL where a text does not fit, and `where` \
                 keeps a check from rows that it does not fit",
        ),
        Failure::Other(error) => error,
    }
}

/// Runs SQL in which a person may have named the logical date.
async fn run(engine: &Engine, sql: &str, terms: StatementTerms) -> std::result::Result<Rows, Failure> {
    engine.try_rows(&at(sql, terms.as_of), terms.limit).await
}

/// SQL of the pipeline file with the logical date in it.
fn at(sql: &str, as_of: NaiveDate) -> String {
    bind(sql, &vec![("as_of", Param::Date(as_of))], Dialect::Engine)
}
