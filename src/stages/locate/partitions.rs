//! Makes sure that the partitions which a batch writes can be told by their folders.

use crate::config::LONGEST_NAME;
use crate::engine::sql::{Ident, Params};
use crate::engine::{Engine, Slices};
use crate::error::{Error, Result};
use crate::model::types::DataType;
use crate::model::{Dialect, Literal};
use crate::plan::LoadSpec;
use crate::stages::rows::first_number;
use crate::stages::text::target_partition;

/// Makes sure that the partitions which the batch writes can be told by their folders. `rows` are those that are left
/// once the gate has kept some out.
///
/// # Errors
/// Names the partition column.
pub async fn refuse_partitions(engine: &Engine, spec: &LoadSpec, rows: &Slices, local: bool) -> Result<()> {
    if spec.partition_columns.is_empty() {
        return Ok(());
    }
    let _classified = engine.register_slices("classified", rows)?;
    refuse_like_partitions(engine, spec).await?;
    if local {
        refuse_long_partitions(engine, spec).await?;
    }
    Ok(())
}

/// A folder is called `column=value`, where all but a few characters of the value are encoded by three.
async fn refuse_long_partitions(engine: &Engine, spec: &LoadSpec) -> Result<()> {
    for name in text_partitions(spec) {
        let (column, room) = (Ident(name), LONGEST_NAME.saturating_sub(name.len() + 1));
        let sql = format!(
            "SELECT COALESCE(MAX(OCTET_LENGTH({column}) + 2 * OCTET_LENGTH(REGEXP_REPLACE({column}, \
             '[A-Za-z0-9._~-]', '', 'g'))), 0) AS `longest` FROM classified \
             WHERE `__hw_class` IN ('inserted', 'updated') AND OCTET_LENGTH({column}) > {}",
            room / 3
        );
        let longest = first_number(&engine.rows(&sql, &Params::new()).await?, "longest")?;
        if usize::try_from(longest).unwrap_or_default() > room {
            return Err(Error::usage(format!(
                "a value of partition column `{name}` takes {longest} bytes in its folder's name, and there is room for \
                 {room}"
            ))
            .hint("shorten the value in staging, or keep such rows out with a check"));
        }
    }
    Ok(())
}

/// The partition columns whose values are texts.
fn text_partitions(spec: &LoadSpec) -> impl Iterator<Item = &str> {
    let is_text = |name: &&String| {
        spec.columns.iter().any(|column| column.name == **name && column.target == DataType::String)
    };
    spec.partition_columns.iter().filter(is_text).map(String::as_str)
}

/// What the folder of rows without a partition value is called.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// delta-rs writes rows into one file whose partitions have one folder: there, a text like the folder's name becomes
/// NULL, also in rows that nobody touched. So both may not be written at once.
async fn refuse_like_partitions(engine: &Engine, spec: &LoadSpec) -> Result<()> {
    for name in text_partitions(spec) {
        let index = spec.partition_columns.iter().position(|column| column == name).unwrap_or_default();
        let (new, old) = (Ident(name), target_partition(index));
        let either = |condition: &str| {
            format!(
                "COALESCE(BOOL_OR(({new} {condition}) OR (`__hw_class` = 'updated' AND ({} {condition}))), FALSE)",
                Ident(&old)
            )
        };
        let sql = format!(
            "SELECT CAST({} AND {} AS BIGINT) AS `both` FROM classified WHERE `__hw_class` IN ('inserted', 'updated')",
            either(&format!("= {}", Literal::text(NO_VALUE).sql(Dialect::Engine))),
            either("IS NULL"),
        );
        if first_number(&engine.rows(&sql, &Params::new()).await?, "both")? > 0 {
            return Err(Error::usage(format!(
                "partition column `{name}` would get both NULL and the text `{NO_VALUE}`, which no folder tells apart"
            ))
            .hint("in Delta's folders that text stands for NULL: give such rows another value in staging"));
        }
    }
    Ok(())
}
