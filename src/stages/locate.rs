//! Holds the deduped rows against the target and gives each its class.

use std::collections::BTreeSet;

use deltalake::arrow::array::AsArray;
use deltalake::arrow::datatypes::Int64Type;

use super::dedupe::Deduped;
use super::rows::{EXAMPLES, describe, first_number, quoted, texts};
use super::text::{FILE, Text, target_partition};
use crate::config::{LONGEST_NAME, OnTie};
use crate::engine::sql::{Ident, Params};
use crate::engine::{Engine, Rows};
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::model::types::DataType;
use crate::model::{Class, Dialect, Literal};
use crate::plan::{Cells, LoadSpec};

/// Deduped rows with their classes.
#[derive(Debug, Clone)]
pub struct Located {
    /// The rows, with `__hw_class` and what is known of the target's row.
    pub rows: Rows,
    /// Rows by partition and class.
    pub cells: Cells,
    /// Rows that tie with the target.
    pub ties: TargetTies,
}

/// Rows that tie with the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetTies {
    /// How many there are.
    pub rows: i64,
    /// Some of them, if ties fail the batch.
    pub examples: Vec<String>,
}

/// Classifies the deduped rows against one version of the target.
///
/// # Errors
/// Fails when the target holds a key twice, or cannot be read.
pub async fn locate(engine: &Engine, spec: &LoadSpec, deduped: &Deduped, target: &Table) -> Result<Located> {
    engine.register("target", target.rows_with_file(&engine.state(), FILE).await?)?;
    classify(engine, spec, deduped, Some(target)).await
}

/// Classifies the deduped rows against what is registered as `target`, with each row's file, and forgets that.
///
/// # Errors
/// Fails when the target holds a key twice, or cannot be read.
pub async fn locate_in(engine: &Engine, spec: &LoadSpec, deduped: &Deduped) -> Result<Located> {
    classify(engine, spec, deduped, None).await
}

async fn classify(
    engine: &Engine,
    spec: &LoadSpec,
    deduped: &Deduped,
    table: Option<&Table>,
) -> Result<Located> {
    let text = Text::new(spec);
    let none = Params::new();
    engine.register_rows("deduped", &deduped.rows)?;
    let located = engine.rows(&text.located("target"), &none).await?;
    engine.forget("deduped")?;
    refuse_doubled_keys(&located, deduped, spec, engine).await?;

    engine.register_rows("located", &located)?;
    let compared = compare(engine, spec, &text, table).await?;
    engine.register_rows("compared", &compared)?;
    let rows = engine.rows(&text.classified(), &none).await?;
    engine.forget("located")?;
    engine.forget("target")?;

    engine.register_rows("classified", &rows)?;
    let cells = count_cells(engine, &text).await?;
    let ties = find_ties(engine, spec, &text).await?;
    engine.forget("classified")?;
    engine.forget("compared")?;
    Ok(Located { rows, cells, ties })
}

/// Keys of located rows that have the target's version, and whether they are the target's rows: by their hashes, and
/// where those do not settle it by their values. Most batches have few such rows or none, so the target's hashes and
/// values are read for them only, from the files that hold them.
async fn compare(engine: &Engine, spec: &LoadSpec, text: &Text<'_>, table: Option<&Table>) -> Result<Rows> {
    let none = Params::new();
    let version = Ident(&spec.rules.version);
    let level =
        format!("SELECT * FROM located AS s WHERE s.`__hw_found` AND s.{version} = s.`__hw_t_version`");
    let level = engine.rows(&level, &none).await?;
    engine.register_rows("level", &level)?;
    let narrowed = narrow(engine, &level, table).await?;
    let mut found = engine.rows(&text.hashed(narrowed), &none).await?;
    engine.register_rows("hashed", &found)?;
    let open = format!("SELECT s.* FROM level AS s LEFT ANTI JOIN hashed AS h ON {}", text.on_key("h", "s"));
    let open = engine.rows(&open, &none).await?;
    if !open.is_empty() {
        engine.register_rows("unsettled", &open)?;
        let narrowed = narrow(engine, &open, table).await?;
        let compared = engine.rows(&text.compared("unsettled", narrowed), &none).await?;
        engine.register_rows("valued", &compared)?;
        found = engine.rows("SELECT * FROM hashed UNION ALL SELECT * FROM valued", &none).await?;
        engine.forget("valued")?;
        engine.forget("unsettled")?;
    }
    for name in ["level", "hashed", "narrowed"] {
        engine.forget(name)?;
    }
    Ok(found)
}

/// The relation with the target's rows in the files that located rows lie in.
async fn narrow(engine: &Engine, rows: &Rows, table: Option<&Table>) -> Result<&'static str> {
    let Some(table) = table else { return Ok("target") };
    let files = files_of(engine, rows, "TRUE").await?;
    if files.is_empty() {
        let nothing = engine.plan("SELECT * FROM target WHERE FALSE", &Params::new()).await?;
        engine.register("narrowed", nothing.into_view())?;
    } else {
        engine.register("narrowed", table.rows_in(&engine.state(), files).await?)?;
    }
    Ok("narrowed")
}

/// The target's files that hold rows to be replaced: what a MERGE rewrites at least. By their URLs.
///
/// # Errors
/// Fails when the query does.
pub async fn files_to_rewrite(engine: &Engine, located: &Located) -> Result<BTreeSet<String>> {
    files_of(engine, &located.rows, "`__hw_class` = 'updated'").await
}

/// The target's files that rows lie in for which a condition holds, by their URLs.
async fn files_of(engine: &Engine, rows: &Rows, condition: &str) -> Result<BTreeSet<String>> {
    engine.register_rows("lying", rows)?;
    let sql =
        format!("SELECT DISTINCT CAST({0} AS STRING) AS `file` FROM lying WHERE {condition}", Ident(FILE));
    let rows = engine.rows(&sql, &Params::new()).await?;
    engine.forget("lying")?;
    let mut files = BTreeSet::new();
    for batch in &rows.batches {
        files.extend(texts(batch.column(0))?.into_iter().flatten());
    }
    Ok(files)
}

/// Makes sure that the partitions which the batch writes can be told by their folders. `rows` are those that are left
/// once the gate has kept some out.
///
/// # Errors
/// Names the partition column.
pub async fn refuse_partitions(engine: &Engine, spec: &LoadSpec, rows: &Rows, local: bool) -> Result<()> {
    if spec.partition_columns.is_empty() {
        return Ok(());
    }
    engine.register_rows("classified", rows)?;
    refuse_like_partitions(engine, spec).await?;
    if local {
        refuse_long_partitions(engine, spec).await?;
    }
    engine.forget("classified")
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
        let longest = first_number(&engine.rows(&sql, &Params::new()).await?, 0)?;
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
        if first_number(&engine.rows(&sql, &Params::new()).await?, 0)? > 0 {
            return Err(Error::usage(format!(
                "partition column `{name}` would get both NULL and the text `{NO_VALUE}`, which no folder tells apart"
            ))
            .hint("in Delta's folders that text stands for NULL: give such rows another value in staging"));
        }
    }
    Ok(())
}

/// A key that the target holds twice would match twice; nothing is loaded on top of a broken table.
async fn refuse_doubled_keys(
    located: &Rows,
    deduped: &Deduped,
    spec: &LoadSpec,
    engine: &Engine,
) -> Result<()> {
    if located.len() == deduped.rows.len() {
        return Ok(());
    }
    engine.register_rows("located", located)?;
    let key: Vec<&str> = spec.rules.unique_key.iter().map(String::as_str).collect();
    let key = quoted(&key);
    let sql = format!(
        "SELECT {key}, COUNT(*) AS `times there` FROM located GROUP BY {key} HAVING COUNT(*) > 1 ORDER BY {key} LIMIT {EXAMPLES}"
    );
    let doubled = describe(&engine.rows(&sql, &Params::new()).await?)?;
    Err(Error::person(format!("the target holds keys more than once: {}", doubled.join("; "))).hint(
        "nothing is loaded on top of a broken table; delete the surplus rows, or check that `unique_key` \
         names the target's key",
    ))
}

/// Located rows by partition and class, once more: the gate gives rows that it keeps out a class of their own.
///
/// # Errors
/// Fails when the query does.
pub async fn recount(engine: &Engine, spec: &LoadSpec, rows: &Rows) -> Result<Cells> {
    engine.register_rows("classified", rows)?;
    let cells = count_cells(engine, &Text::new(spec)).await?;
    engine.forget("classified")?;
    Ok(cells)
}

async fn count_cells(engine: &Engine, text: &Text<'_>) -> Result<Cells> {
    let sql = format!(
        "SELECT `new`, `old`, `__hw_class`, COUNT(*) AS `n` FROM (\
           SELECT {} AS `new`, CASE WHEN `__hw_found` THEN {} END AS `old`, `__hw_class` FROM classified\
         ) AS c GROUP BY `new`, `old`, `__hw_class`",
        text.new_partition(),
        text.old_partition(),
    );
    let rows = engine.rows(&sql, &Params::new()).await?;
    let mut cells = Cells::new();
    for batch in &rows.batches {
        let (new, old) = (texts(batch.column(0))?, texts(batch.column(1))?);
        let class = texts(batch.column(2))?;
        let n = batch.column(3).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let class = class[row].as_deref().and_then(Class::from_name);
            let class = class.ok_or_else(|| Error::bug("a row has no class"))?;
            cells.insert((new[row].clone().unwrap_or_default(), old[row].clone(), class), n.value(row));
        }
    }
    Ok(cells)
}

async fn find_ties(engine: &Engine, spec: &LoadSpec, text: &Text<'_>) -> Result<TargetTies> {
    let version = Ident(&spec.rules.version);
    let tied =
        format!("FROM classified WHERE {version} = `__hw_t_version` AND `__hw_class` IN ('tied', 'updated')");
    let counted = engine.rows(&format!("SELECT COUNT(*) AS `n` {tied}"), &Params::new()).await?;
    let mut ties = TargetTies { rows: first_number(&counted, 0)?, ..TargetTies::default() };
    if ties.rows == 0 || spec.rules.on_tie != OnTie::Fail {
        return Ok(ties);
    }
    let shown = quoted(&text.identifying());
    let sql = format!("SELECT {shown} {tied} ORDER BY {shown} LIMIT {EXAMPLES}");
    ties.examples = describe(&engine.rows(&sql, &Params::new()).await?)?;
    Ok(ties)
}
