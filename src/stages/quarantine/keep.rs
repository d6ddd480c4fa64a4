//! Keeps rows out of the target, by a class of their own.

use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::compute::filter_record_batch;

use super::broken::{Fate, kept, whole};
use super::change::register_changes;
use crate::engine::sql::{Ident, Param, Params, Template, column};
use crate::engine::{Engine, Rows};
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::model::QuarantineWork;
use crate::plan::Recipe;
use crate::stages::gate::Gated;
use crate::stages::rows::first_number;
use crate::stages::text::{HASH, widened};

/// How many rows are kept out if the batch is committed, and how many are evidence if it is rejected.
///
/// # Errors
/// Fails when the rows are not what the gate makes.
pub fn count_kept(gated: &Gated) -> Result<(i64, i64)> {
    let Some(broken) = whole(gated)? else { return Ok((0, 0)) };
    let count = |fate| Ok(i64::try_from(kept(&broken, fate)?.true_count()).unwrap_or(i64::MAX));
    Ok((count(Fate::Load)?, count(Fate::Reject)?))
}

/// Gives the rows that are kept out a class of their own.
///
/// # Errors
/// Fails when the query does.
pub async fn keep_out(engine: &Engine, recipe: &Recipe, located: &Rows, gated: &Gated) -> Result<Rows> {
    let Some(broken) = whole(gated)? else { return Ok(located.clone()) };
    let mask = kept(&broken, Fate::Load)?;
    let failed = |error| Error::bug("rows cannot be picked").because(Box::new(error) as Box<_>);
    let picked = filter_record_batch(&broken, &mask).map_err(failed)?;
    if picked.num_rows() == 0 {
        return Ok(located.clone());
    }
    engine.register_rows("picked", &Rows { schema: picked.schema(), batches: vec![picked] })?;
    let sql = format!(
        "SELECT {} AS `__hw_known_hash`, {} AS `__hw_known_version` FROM picked",
        Ident(HASH),
        Ident(&recipe.rules.version)
    );
    let kept = engine.rows(&sql, &Params::new()).await?;
    engine.forget("picked")?;
    reclassify(engine, recipe, located, &kept).await
}

/// The same for a later group of a batch, as its first commit says: rows of entries that stay open or discarded,
/// and those of new ones. `at_base` is the quarantine that the batch was judged by, `added` are its new entries.
///
/// # Errors
/// Fails when the query does.
pub async fn keep_out_known(
    engine: &Engine,
    recipe: &Recipe,
    located: &Rows,
    work: &QuarantineWork,
    at_base: &Table,
    added: Vec<RecordBatch>,
) -> Result<Rows> {
    let version = &recipe.rules.version;
    let data_type = recipe.data_type(version).ok_or_else(|| Error::bug("the version has no type"))?;
    let entry = format!(
        "`dq_row_hash` AS `__hw_known_hash`, {} AS `__hw_known_version`",
        widened(&Ident(version).to_string(), data_type)
    );
    engine.register("quarantine", at_base.rows(&engine.state()).await?)?;
    register_changes(engine, work)?;
    let mut sql = format!(
        "SELECT {entry} FROM quarantine AS q LEFT JOIN changes AS c ON q.`dq_entry_id` = c.`__hw_id` \
         WHERE `dq_pipeline` = $pipeline AND COALESCE(c.`__hw_to`, q.`dq_status`) IN ('open', 'discarded')"
    );
    if let Some(first) = added.first() {
        engine.register_rows("added", &Rows { schema: first.schema(), batches: added })?;
        sql.push_str(&format!(" UNION ALL SELECT {entry} FROM added"));
    }
    let params = vec![("pipeline", Param::Text(recipe.rules.pipeline.clone()))];
    let kept = engine.rows(&sql, &params).await?;
    for name in ["quarantine", "changes", "added"] {
        engine.forget(name)?;
    }
    if kept.is_empty() { Ok(located.clone()) } else { reclassify(engine, recipe, located, &kept).await }
}

/// How many rows are kept out that tie with the target's, and would have replaced it.
///
/// # Errors
/// Fails when the query does.
pub async fn count_kept_ties(engine: &Engine, recipe: &Recipe, located: &Rows) -> Result<i64> {
    engine.register_rows("classified", located)?;
    let sql = format!(
        "SELECT COUNT(*) AS `n` FROM classified WHERE `__hw_class` = 'quarantined' AND {} = `__hw_t_version`",
        Ident(&recipe.rules.version)
    );
    let counted = engine.rows(&sql, &Params::new()).await?;
    engine.forget("classified")?;
    first_number(&counted, 0)
}

async fn reclassify(engine: &Engine, recipe: &Recipe, located: &Rows, kept: &Rows) -> Result<Rows> {
    let columns: Vec<String> = located
        .schema
        .fields()
        .iter()
        .filter(|field| field.name() != "__hw_class")
        .map(|field| column("s", field.name()))
        .collect();
    let sql = Template::new(include_str!("../../sql/kept_out.sql"))
        .set("columns", columns.join(", "))
        .set("version", Ident(&recipe.rules.version).to_string())
        .finish();
    engine.register_rows("classified", located)?;
    engine.register_rows("kept", kept)?;
    let rows = engine.rows(&sql, &Params::new()).await?;
    engine.forget("classified")?;
    engine.forget("kept")?;
    Ok(rows)
}
