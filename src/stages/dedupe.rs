//! Keeps the latest version of each key.

mod latest;

use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::arrow::error::ArrowError;

pub use self::latest::Term;

use self::latest::{By, Split, latest};
use super::row_hash::RowHash;
use super::rows::first_day;
use super::text::Text;
use crate::engine::sql::{Ident, Params};
use crate::engine::{Engine, Rows, Slices, failed};
use crate::error::{Error, Result};
use crate::model::Counts;
use crate::plan::LoadSpec;

/// Bytes that a staged row takes while it is deduped, beside itself: its key and its place.
const PER_ROW: usize = 96;

/// The latest versions, with how the rest was split off.
#[derive(Debug, Clone)]
pub struct Deduped {
    /// One row a key.
    pub rows: Slices,
    /// `staged`, `duplicate`, `superseded` and `deduped`; rows that lack a required value stand alone.
    pub counts: Counts,
    /// Rows that lost to a row of the same key and version.
    pub ties: i64,
}

/// Dedupes the staged rows. `alone` of them lack a required value and stand outside.
///
/// # Errors
/// Fails when the rows lack a column, or the keys do not fit memory.
pub async fn dedupe(engine: &Engine, spec: &LoadSpec, staged: Slices, alone: i64) -> Result<Deduped> {
    let text = Text::new(spec);
    let (order, rest) = text.order_terms();
    let row_hash = RowHash::new(engine, spec, staged.schema())?;
    let by = By {
        key: spec.rules.unique_key.iter().map(String::as_str).collect(),
        required: text.required(),
        versions: text.version_terms(),
        order,
        hashes: &|batches, places| row_hash.at(batches, places),
        rest,
    };
    let lost = |error: ArrowError| Error::bug("the staged rows cannot be deduped").because(error);
    let place = |name: &str| staged.schema().index_of(name).map_err(lost);
    let places = text.staged_columns().into_iter().map(place).collect::<Result<Vec<_>>>()?;
    let schema = staged.schema().project(&places).map(Arc::new).map_err(lost)?;
    let (mut made, mut split) = (staged.alike(), Split::default());
    for slice in staged.into_each() {
        let slice = slice?;
        let held = engine.reserve("dedupe", slice.len() * PER_ROW)?;
        let (winners, of_slice) = latest(slice.batches, &by, engine.threads()).map_err(failed)?;
        drop(held);
        split.add(&of_slice);
        let winners = winners.into_iter().map(|batch| batch.project(&places).map_err(lost));
        made.push(Rows { batches: winners.collect::<Result<_>>()?, schema: Arc::clone(&schema) })?;
    }
    let rows = made.done()?;
    let counts = Counts {
        staged: split.staged + alone,
        deduped: split.deduped + alone,
        duplicate: split.duplicate,
        superseded: split.superseded,
        ..Counts::default()
    };
    Ok(Deduped { rows, counts, ties: split.tied })
}

/// The highest day of the watermark column over located rows that no check keeps out.
///
/// # Errors
/// Fails when the query does.
pub async fn newest_day(engine: &Engine, spec: &LoadSpec, rows: &Slices) -> Result<Option<NaiveDate>> {
    let Some(column) = &spec.rules.incremental.column else { return Ok(None) };
    let _classified = engine.register_slices("classified", rows)?;
    let sql = format!(
        "SELECT MAX(CAST({} AS DATE)) AS `newest` FROM classified WHERE `__hw_class` <> 'quarantined'",
        Ident(column)
    );
    let newest = engine.rows(&sql, &Params::new()).await?;
    Ok(first_day(&newest, "newest"))
}
