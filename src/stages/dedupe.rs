//! Keeps the latest version of each key.

use chrono::NaiveDate;
use deltalake::arrow::array::{Array, AsArray};
use deltalake::arrow::datatypes::{Date32Type, Int64Type};

use super::text::Text;
use crate::engine::sql::{Ident, Params};
use crate::engine::{Engine, Rows};
use crate::error::{Error, Result};
use crate::model::Counts;
use crate::plan::LoadSpec;

/// The latest versions, with how the rest was split off.
#[derive(Debug, Clone)]
pub struct Deduped {
    /// One row a key.
    pub rows: Rows,
    /// `staged`, `duplicate`, `superseded` and `deduped`; rows that lack a required value stand alone.
    pub counts: Counts,
    /// Rows that lost to a row of the same key and version.
    pub ties: i64,
}

/// Dedupes the staged rows. `alone` of them lack a required value and stand outside.
///
/// # Errors
/// Fails when the rows do not fit memory and disk.
pub async fn dedupe(engine: &Engine, spec: &LoadSpec, staged: Rows, alone: i64) -> Result<Deduped> {
    let text = Text::new(spec);
    engine.register_rows("staged", &staged)?;
    drop(staged);
    let ranked = engine.rows(&text.ranked(), &Params::new()).await?;
    engine.forget("staged")?;
    engine.register_rows("ranked", &ranked)?;
    drop(ranked);
    let split = engine.rows(&text.dedupe_counts(), &Params::new()).await?;
    let rows = engine.rows(&text.deduped(), &Params::new()).await?;
    engine.forget("ranked")?;

    let batch = split.batches.first().ok_or_else(|| Error::bug("the dedupe counted nothing"))?;
    let number = |index: usize| batch.column(index).as_primitive::<Int64Type>().value(0);
    let counts = Counts {
        staged: number(0) + alone,
        deduped: number(1) + alone,
        duplicate: number(2),
        superseded: number(3),
        ..Counts::default()
    };
    Ok(Deduped { rows, counts, ties: number(4) })
}

/// The highest day of the watermark column over located rows that no check keeps out.
///
/// # Errors
/// Fails when the query does.
pub async fn newest_day(engine: &Engine, spec: &LoadSpec, rows: &Rows) -> Result<Option<NaiveDate>> {
    let Some(column) = &spec.rules.incremental.column else { return Ok(None) };
    engine.register_rows("classified", rows)?;
    let sql = format!(
        "SELECT MAX(CAST({} AS DATE)) AS `newest` FROM classified WHERE `__hw_class` <> 'quarantined'",
        Ident(column)
    );
    let newest = engine.rows(&sql, &Params::new()).await?;
    engine.forget("classified")?;
    let batch = newest.batches.first().filter(|batch| batch.num_rows() > 0);
    let days = batch.map(|batch| batch.column(0).as_primitive::<Date32Type>());
    Ok(days.filter(|days| days.is_valid(0)).and_then(|days| days.value_as_date(0)))
}
