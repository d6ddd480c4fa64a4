//! A row is judged once: what a load in effect kept out, or a person discarded, is not judged again as long as it
//! stays out.

use std::sync::Arc;

use deltalake::arrow::array::{ArrayRef, RecordBatch, StringArray};
use deltalake::arrow::datatypes::{DataType, Field, Schema};

use super::{Examined, named, register_queries, run};
use crate::engine::sql::{Param, Params, Template, column};
use crate::engine::{Engine, Known, Rows};
use crate::error::{Error, Result};
use crate::plan::LoadSpec;
use crate::plan::judge::keeps_out;
use crate::stages::check_text::{ALL, CheckText, ENTRIES, GATED, JUDGED};
use crate::stages::text::widened;

/// Rows of the batch that were judged before, as far as entries tell.
const MET: &str = "__hw_met";
/// Entries of those that fail once more.
const FAILING: &str = "__hw_failing";

/// Makes the pipeline's entries in the quarantine known; `None` where there are none.
pub(super) async fn register_known<'e>(
    engine: &'e Engine,
    spec: &LoadSpec,
    examined: &Examined<'_>,
) -> Result<Option<Known<'e>>> {
    let quarantine = examined.quarantine;
    if quarantine.is_empty()? {
        return Ok(None);
    }
    let version = &spec.rules.version;
    let data_type = spec.data_type(version).ok_or_else(|| Error::bug("the version has no type"))?;
    let has = |name: &str| quarantine.columns().map(|all| all.iter().any(|column| column.field.name == name));
    let undated = match spec.unhashed_date() {
        Some(name) if has(name)? => format!("{} IS NULL", column("q", name)),
        _ => "FALSE".to_owned(),
    };
    let _quarantine = engine.register("quarantine", quarantine.rows(&engine.state()).await?)?;
    let _in_effect = engine.register_rows("in_effect", &ids(examined.in_effect)?)?;
    let sql = Template::new(include_str!("../../sql/known.sql"))
        .set("version", widened(&column("q", version), data_type))
        .set("undated", undated)
        .finish();
    let params = vec![("pipeline", Param::Text(spec.rules.pipeline.clone()))];
    let rows = engine.rows(&sql, &params).await?;
    if rows.is_empty() { Ok(None) } else { engine.register_rows(ENTRIES, &rows).map(Some) }
}

/// Takes the rows out of [`GATED`] that are not judged, and gives them with their entries: those that a person
/// discarded, and those that a load in effect kept out and that would be kept out again. What passes by now is a row
/// like any other.
pub(super) async fn set_aside<'e>(
    engine: &'e Engine,
    spec: &LoadSpec,
    text: &CheckText<'_>,
    examined: &Examined<'_>,
) -> Result<(Option<Rows>, Vec<Known<'e>>)> {
    let all = engine.register_view(ALL, &text.all(!examined.alone.is_empty())).await?;
    let met = engine.rows(&text.judged_before(), &Params::new()).await?;
    if met.is_empty() {
        return Ok((None, Vec::new()));
    }
    let _met = engine.register_rows(MET, &met)?;
    let sql = format!("SELECT * FROM {MET} WHERE `__hw_status` = 'discarded'");
    let discarded = engine.rows(&sql, &Params::new()).await?;
    let judged = if discarded.len() == met.len() {
        discarded
    } else {
        // A row that a person discarded is nobody's double, and no row of the batch that a query sees.
        let _left_out = leave_out(engine, text, &discarded).await?;
        let _failing = register_still_failing(engine, spec, text, examined).await?;
        let sql = format!("{sql} OR `__hw_known` IN (SELECT `__hw_known` FROM {FAILING})");
        engine.rows(&sql, &Params::new()).await?
    };
    let mut known = leave_out(engine, text, &judged).await?;
    known.push(all);
    Ok(((!judged.is_empty()).then_some(judged), known))
}

/// Leaves rows out of those that are checked.
async fn leave_out<'e>(engine: &'e Engine, text: &CheckText<'_>, rows: &Rows) -> Result<Vec<Known<'e>>> {
    let judged = engine.register_rows(JUDGED, rows)?;
    let sql = if rows.is_empty() { format!("SELECT * FROM {ALL}") } else { text.gated() };
    Ok(vec![judged, engine.register_view(GATED, &sql).await?])
}

/// Measures the checks that keep rows out once more than the others, for rows that were kept out before: each beside
/// all others, so that two doubles don't both pass for that the other is out.
async fn register_still_failing<'e>(
    engine: &'e Engine,
    spec: &LoadSpec,
    text: &CheckText<'_>,
    examined: &Examined<'_>,
) -> Result<Known<'e>> {
    let _queries = register_queries(engine, spec, text, examined).await?;
    let sql = text.still_fails(|check| keeps_out(check, examined.accepted));
    let failing = match run(engine, &sql, examined.terms).await {
        Ok(failing) => failing,
        Err(failure) => return Err(named(engine, spec, text, examined.terms, failure).await),
    };
    engine.register_rows(FAILING, &failing)
}

/// Batches by their ids, as rows.
fn ids(batches: &[String]) -> Result<Rows> {
    let schema = Arc::new(Schema::new(vec![Field::new("__hw_batch", DataType::Utf8, false)]));
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(batches));
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![column])
        .map_err(|error| Error::bug("ids make no rows").because(error))?;
    Ok(Rows { schema, batches: vec![rows] })
}
