//! Prepares the rows of a commit for the MERGE.

use chrono::{DateTime, Utc};
use deltalake::datafusion::dataframe::DataFrame;
use deltalake::datafusion::logical_expr::{Expr, lit};
use deltalake::datafusion::scalar::ScalarValue;

use super::locate::Located;
use super::text::{HASH, Text, target_partition};
use crate::engine::sql::{Ident, Params};
use crate::engine::{Engine, Rows, failed};
use crate::error::{Error, Result};
use crate::lake::{MergeSource, mostly_distinct};
use crate::model::batch::PartitionName;
use crate::model::types::DataType;
use crate::plan::LoadSpec;

/// What the written rows say of the batch that wrote them.
#[derive(Debug, Clone, Copy)]
pub struct Provenance<'a> {
    /// The batch's id.
    pub batch_id: &'a str,
    /// The batch's clock reading.
    pub loaded_at: DateTime<Utc>,
}

/// The rows of one commit: classified new or newer, and going to these partitions, or to any.
///
/// # Errors
/// Fails when the rows do not fit memory.
pub async fn merge_source(
    engine: &Engine,
    spec: &LoadSpec,
    located: &Located,
    partitions: Option<&[PartitionName]>,
    provenance: Provenance<'_>,
) -> Result<MergeSource> {
    let text = Text::new(spec);
    let _classified = engine.register_slices("classified", &located.rows)?;
    let sql = format!(
        "SELECT *, {} AS `__hw_partition` FROM classified WHERE `__hw_class` IN ('inserted', 'updated')",
        text.new_partition()
    );
    let mut frame = engine.plan(&sql, &Params::new()).await?;
    if let Some(partitions) = partitions {
        let names = partitions.iter().map(|name| lit(name.as_str())).collect();
        frame = frame.filter(exact("__hw_partition").in_list(names, false)).map_err(failed)?;
    }
    // delta-rs runs the source more than once, so it is materialised here where it fits.
    let (written, sample) = if located.rows.is_spooled() {
        let sample = located.rows.batches().next().transpose()?;
        (frame, sample.into_iter().collect())
    } else {
        let rows = engine.collect(frame).await?;
        (engine.frame(&rows)?, rows.batches)
    };

    let updated = updated_partitions(engine, spec, written.clone()).await?;
    let load_columns = &spec.rules.load_columns;
    let mut columns: Vec<Expr> = spec.columns.iter().map(|column| exact(&column.name)).collect();
    columns.push(exact(HASH).alias(&load_columns.row_hash));
    columns.push(lit(provenance.batch_id).alias(&load_columns.batch_id));
    let loaded_at =
        ScalarValue::TimestampMicrosecond(Some(provenance.loaded_at.timestamp_micros()), Some("UTC".into()));
    columns.push(lit(loaded_at).alias(&load_columns.loaded_at));
    let names = spec.columns.iter().map(|column| column.name.clone());
    let mut distinct = mostly_distinct(&sample).map_err(failed)?;
    distinct.push(load_columns.row_hash.clone());
    let own = [&load_columns.row_hash, &load_columns.batch_id, &load_columns.loaded_at];
    Ok(MergeSource {
        rows: written.select(columns).map_err(failed)?,
        columns: names.chain(own.into_iter().cloned()).collect(),
        key: spec.rules.unique_key.clone(),
        null_keys: spec.rules.null_keys,
        versions: spec.rules.version_columns().cloned().collect(),
        orders: spec.rules.version_orders().collect(),
        row_hash: load_columns.row_hash.clone(),
        on_tie: spec.rules.on_tie,
        distinct,
        updates: updated.is_some(),
        partitions: updated.unwrap_or_default(),
    })
}

type PartitionValues = Vec<(String, Vec<ScalarValue>)>;

/// The partition values of the rows to be replaced, by partition column; `None` where there are no such
/// rows.
async fn updated_partitions(
    engine: &Engine,
    spec: &LoadSpec,
    written: DataFrame,
) -> Result<Option<PartitionValues>> {
    let _written = engine.register("written", written.into_view())?;
    let updated = "FROM written WHERE `__hw_class` = 'updated'";
    let any = engine.rows(&format!("SELECT `__hw_class` {updated} LIMIT 1"), &Params::new()).await?;
    let mut found = Vec::new();
    if !any.is_empty() {
        for (index, name) in spec.partition_columns.iter().enumerate() {
            // A float has more than one zero, and not-a-number: which of them are one value is for each reader to
            // say. What is left out here only makes the MERGE read more.
            if matches!(spec.data_type(name), Some(DataType::Float | DataType::Double)) {
                continue;
            }
            let sql = format!("SELECT DISTINCT {} {updated}", Ident(&target_partition(index)));
            found.push((name.clone(), scalars(&engine.rows(&sql, &Params::new()).await?)?));
        }
    }
    Ok((!any.is_empty()).then_some(found))
}

fn scalars(rows: &Rows) -> Result<Vec<ScalarValue>> {
    let mut values = Vec::new();
    for batch in &rows.batches {
        for row in 0..batch.num_rows() {
            let value = ScalarValue::try_from_array(batch.column(0), row)
                .map_err(|error| Error::bug("a partition value is no scalar").because(error))?;
            values.push(value);
        }
    }
    // Sorted, so that the same batch writes the same predicate everywhere. Texts can be alike where values are not.
    values.sort_by_key(|value| (value.is_null(), value.to_string()));
    Ok(values)
}

/// A column by exact name.
fn exact(name: &str) -> Expr {
    Expr::Column(deltalake::datafusion::common::Column::from_name(name))
}
