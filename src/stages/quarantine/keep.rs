//! Keeps rows out of the target, by a class of their own.

use std::sync::Arc;

use deltalake::arrow::array::{BooleanArray, RecordBatch};
use deltalake::arrow::compute::{and, filter, not};
use deltalake::arrow::datatypes::{Field, Schema};

use super::broken::{Fate, alone, broken, held, judged, kept};
use super::change::{Changes, register_changes};
use crate::engine::sql::{Ident, Param, Params, Template, column};
use crate::engine::{Engine, Rows, Slices};
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::model::{Class, QuarantineWork};
use crate::plan::LoadSpec;
use crate::stages::gate::Gated;
use crate::stages::rows::{column_texts, first_number};
use crate::stages::text::{HASH, Text, widened};

/// How many rows are kept out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptOut {
    /// If the batch is committed.
    pub out: i64,
    /// How many of those lack a required value, and so are no located rows.
    pub outside: i64,
    /// If it is rejected: its evidence, and rows that were kept out before.
    pub evidence: i64,
    /// Rows that tie with the target's, and are not judged because they were before.
    pub judged_ties: i64,
}

/// How many rows are kept out if the batch is committed, and if it is rejected.
///
/// # Errors
/// Fails when the rows are not what the gate makes.
pub fn count_kept(gated: &Gated) -> Result<KeptOut> {
    let mut count = KeptOut::default();
    let number = |mask: &BooleanArray| i64::try_from(mask.true_count()).unwrap_or(i64::MAX);
    let failed = |error| Error::bug("rows cannot be counted").because(Box::new(error) as Box<_>);
    let masks = broken(gated).map(|rows| Ok((rows, kept(rows, Fate::Load)?, kept(rows, Fate::Reject)?)));
    let before = judged(gated).map(|rows| held(rows).map(|held| (rows, held.clone(), held)));
    for masks in masks.chain(before) {
        let (rows, out, evidence) = masks?;
        count.out += number(&out);
        count.outside += number(&and(&out, &alone(rows)?).map_err(failed)?);
        count.evidence += number(&evidence);
    }
    for rows in judged(gated) {
        let classes = column_texts(rows, "__hw_class")?;
        let tied = classes.iter().filter(|class| class.as_deref() == Some(Class::Tied.as_str())).count();
        count.judged_ties += i64::try_from(tied).unwrap_or(i64::MAX);
    }
    Ok(count)
}

/// Gives the rows that are kept out a class of their own.
///
/// # Errors
/// Fails when the query does.
pub async fn keep_out(engine: &Engine, spec: &LoadSpec, located: &Slices, gated: &Gated) -> Result<Slices> {
    let failed = |error| Error::bug("rows cannot be picked").because(Box::new(error) as Box<_>);
    let names = [HASH, spec.rules.version.as_str()];
    let (mut schema, mut picked) = (None, Vec::new());
    let masks = broken(gated).map(|rows| Ok((rows, kept(rows, Fate::Load)?)));
    let before = judged(gated).map(|rows| Ok((rows, held(rows)?)));
    for masks in masks.chain(before) {
        let (rows, mask): (&RecordBatch, BooleanArray) = masks?;
        // Rows that lack a required value are not among the located ones, whatever their hash.
        let mask = and(&mask, &not(&alone(rows)?).map_err(failed)?).map_err(failed)?;
        let mut columns = Vec::new();
        for name in names {
            let column =
                rows.column_by_name(name).ok_or_else(|| Error::bug(format!("the gate made no {name}")))?;
            columns.push(filter(column, &mask).map_err(failed)?);
        }
        let fields = [("__hw_known_hash", 0), ("__hw_known_version", 1)];
        let fields = fields.map(|(name, at)| Field::new(name, columns[at].data_type().clone(), true));
        let schema = schema.get_or_insert_with(|| Arc::new(Schema::new(fields.to_vec())));
        picked.push(RecordBatch::try_new(Arc::clone(schema), columns).map_err(failed)?);
    }
    let Some(schema) = schema.filter(|_| picked.iter().any(|rows| rows.num_rows() > 0)) else {
        return Ok(located.clone());
    };
    reclassify(engine, spec, located, &Rows { schema, batches: picked }).await
}

/// The same for a later group of a batch, as its first commit says: rows of entries that stay open or discarded,
/// and those of new ones. `at_base` is the quarantine that the batch was judged by, `added` are its new entries.
///
/// # Errors
/// Fails when the query does.
pub async fn keep_out_known(
    engine: &Engine,
    spec: &LoadSpec,
    located: &Slices,
    work: &QuarantineWork,
    at_base: &Table,
    added: Vec<RecordBatch>,
) -> Result<Slices> {
    let version = &spec.rules.version;
    let data_type = spec.data_type(version).ok_or_else(|| Error::bug("the version has no type"))?;
    let entry = format!(
        "`dq_row_hash` AS `__hw_known_hash`, {} AS `__hw_known_version`",
        widened(&Ident(version).to_string(), data_type)
    );
    let _quarantine = engine.register("quarantine", at_base.rows(&engine.state()).await?)?;
    let _changes = register_changes(engine, &Changes::of_status(work, at_base).await?)?;
    let mut sql = format!(
        "SELECT {entry} FROM quarantine AS q LEFT JOIN changes AS c ON q.`dq_entry_id` = c.`__hw_id` \
         WHERE `dq_pipeline` = $pipeline AND COALESCE(c.`__hw_to`, q.`dq_status`) IN ('open', 'discarded')"
    );
    // Rows that lack a required value are not among the located ones, whatever their hash.
    let dated = |alias: &str| {
        let date = spec.unhashed_date().map(|name| column(alias, name));
        date.map_or_else(|| "TRUE".to_owned(), |date| format!("{date} IS NOT NULL"))
    };
    // Before a row was kept out, the quarantine may lack a column that staging got.
    if at_base.columns()?.iter().any(|column| Some(column.field.name.as_str()) == spec.unhashed_date()) {
        sql.push_str(&format!(" AND {}", dated("q")));
    }
    let _added = match added.first() {
        Some(first) => {
            sql.push_str(&format!(" UNION ALL SELECT {entry} FROM added AS a WHERE {}", dated("a")));
            Some(engine.register_rows("added", &Rows { schema: first.schema(), batches: added })?)
        }
        None => None,
    };
    let params = vec![("pipeline", Param::Text(spec.rules.pipeline.clone()))];
    let kept = engine.rows(&sql, &params).await?;
    if kept.is_empty() { Ok(located.clone()) } else { reclassify(engine, spec, located, &kept).await }
}

/// How many rows are kept out that tie with the target's, and would have replaced it.
///
/// # Errors
/// Fails when the query does.
pub async fn count_kept_ties(engine: &Engine, spec: &LoadSpec, located: &Slices) -> Result<i64> {
    let _classified = engine.register_slices("classified", located)?;
    let sql = format!(
        "SELECT COUNT(*) AS `n` FROM classified WHERE `__hw_class` = 'quarantined' AND {} = `__hw_t_version`",
        Text::new(spec).version("classified")
    );
    let counted = engine.rows(&sql, &Params::new()).await?;
    first_number(&counted, "n")
}

async fn reclassify(engine: &Engine, spec: &LoadSpec, located: &Slices, kept: &Rows) -> Result<Slices> {
    let columns: Vec<String> = located
        .schema()
        .fields()
        .iter()
        .filter(|field| field.name() != "__hw_class")
        .map(|field| column("s", field.name()))
        .collect();
    let sql = Template::new(include_str!("../../sql/kept_out.sql"))
        .set("columns", columns.join(", "))
        .set("version", Ident(&spec.rules.version).to_string())
        .finish();
    let _kept = engine.register_rows("kept", kept)?;
    let mut made = located.alike();
    for slice in located.each() {
        let _classified = engine.register_rows("classified", &slice?)?;
        made.push(engine.rows(&sql, &Params::new()).await?)?;
    }
    made.done()
}
