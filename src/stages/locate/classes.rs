//! The class of each located row: what versions settle, and where they are equal, hashes and values.

use std::collections::BTreeSet;
use std::sync::Arc;

use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, UInt64Array,
};
use deltalake::arrow::compute::filter_record_batch;
use deltalake::arrow::compute::kernels::cmp::{eq, gt};
use deltalake::arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use deltalake::arrow::error::ArrowError;
use deltalake::datafusion::error::DataFusionError;

use super::{files_in, version_of};
use crate::engine::sql::Params;
use crate::engine::{Engine, Known, Rows, failed, in_threads};
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::model::Class;
use crate::plan::LoadSpec;
use crate::stages::row_hash::RowHash;
use crate::stages::rows::{column, column_texts};
use crate::stages::text::{CLASS, FILE, FOUND, HASH, Text};

/// The number of a row among those of equal versions.
const AT: &str = "__hw_at";

/// Rows beside the target's, with what their versions settle.
pub(super) struct Settled {
    /// The rows, those with their hashes that are not older than the target's.
    pub(super) rows: Rows,
    /// Their classes; `None` of those whose versions are equal.
    pub(super) classes: Vec<Option<Class>>,
    /// The rows whose versions are equal, with their numbers, if there are any.
    pub(super) level: Option<Rows>,
}

/// The classes that versions settle.
pub(super) fn by_version(engine: &Engine, spec: &LoadSpec, located: Rows) -> Result<Settled> {
    let row_hash = RowHash::new(engine, spec, &located.schema)?;
    let with_hash = |schema: &Schema| with_field(schema, Field::new(HASH, DataType::Utf8, true));
    let schema = with_hash(&located.schema);
    let settle = |batch: RecordBatch| {
        let classes = classes_of(spec, &batch)?;
        let is_needed = classes.iter().map(|class| Some(*class != Some(Class::Stale))).collect();
        let hashes = row_hash.of_some(&batch, &is_needed)?;
        let columns = batch.columns().iter().cloned().chain([hashes]).collect();
        let batch = RecordBatch::try_new(with_hash(&batch.schema()), columns)?;
        Ok::<_, DataFusionError>((batch, classes))
    };
    let parts = in_threads(located.batches, engine.threads(), settle).map_err(failed)?;

    let numbered = with_field(&schema, Field::new(AT, DataType::UInt64, false));
    let (mut batches, mut classes, mut level) = (Vec::with_capacity(parts.len()), Vec::new(), Vec::new());
    for (batch, of_batch) in parts {
        let first = classes.len() as u64;
        let is_level: BooleanArray = of_batch.iter().map(|class| Some(class.is_none())).collect();
        classes.extend(of_batch);
        if is_level.true_count() > 0 {
            let numbers: ArrayRef =
                Arc::new(UInt64Array::from_iter_values(first..first + batch.num_rows() as u64));
            let columns = batch.columns().iter().cloned().chain([numbers]).collect();
            let batch = RecordBatch::try_new(Arc::clone(&numbered), columns);
            let rows = batch.and_then(|batch| filter_record_batch(&batch, &is_level));
            level.push(rows.map_err(|error| failed(error.into()))?);
        }
        batches.push(batch);
    }
    let level = (!level.is_empty()).then_some(Rows { schema: numbered, batches: level });
    Ok(Settled { rows: Rows { schema, batches }, classes, level })
}

/// A schema with one more field.
pub(super) fn with_field(schema: &Schema, field: Field) -> SchemaRef {
    let fields = schema.fields().iter().cloned().chain([Arc::new(field)]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn classes_of(spec: &LoadSpec, batch: &RecordBatch) -> std::result::Result<Vec<Option<Class>>, ArrowError> {
    let ours = spec.rules.version_columns().map(|name| column(batch, name).cloned());
    let ours = version_of(spec, &ours.collect::<std::result::Result<Vec<_>, _>>()?)?;
    let (found, theirs) = (column(batch, FOUND)?.as_boolean(), column(batch, "__hw_t_version")?);
    let (newer, same) = (gt(&ours, theirs)?, eq(&ours, theirs)?);
    let class = |row: usize| {
        if !found.value(row) {
            Some(Class::Inserted)
        } else if theirs.is_null(row) || newer.value(row) {
            Some(Class::Updated)
        } else if same.value(row) {
            None
        } else {
            Some(Class::Stale)
        }
    };
    Ok((0..batch.num_rows()).map(class).collect())
}

/// The classes of located rows whose versions are the target's.
pub(super) async fn settle_level(
    engine: &Engine,
    spec: &LoadSpec,
    level: &Rows,
    table: Option<&Table>,
) -> Result<Vec<(usize, Class)>> {
    let text = Text::new(spec);
    let compared = compare(engine, &text, level, table).await?;
    let _located = engine.register_rows("located", level)?;
    let _compared = engine.register_rows("compared", &compared)?;
    let sql = format!("SELECT {AT}, `__hw_class` FROM (\n{}\n) AS c", text.classified());
    let rows = engine.rows(&sql, &Params::new()).await?;
    let mut settled = Vec::with_capacity(rows.len());
    for batch in &rows.batches {
        let places = column(batch, AT).map_err(|error| failed(error.into()))?.as_primitive::<UInt64Type>();
        for (place, class) in places.values().iter().zip(column_texts(batch, CLASS)?) {
            let class = class.as_deref().and_then(Class::from_name);
            let class = class.ok_or_else(|| Error::bug("a row has no class"))?;
            settled.push((usize::try_from(*place).unwrap_or(usize::MAX), class));
        }
    }
    Ok(settled)
}

pub(super) fn with_classes(located: Rows, classes: &[Option<Class>]) -> Result<Rows> {
    let lost = || Error::bug("a row has no class");
    let schema = with_field(&located.schema, Field::new(CLASS, DataType::Utf8, false));
    let (mut batches, mut from) = (Vec::with_capacity(located.batches.len()), 0);
    for batch in located.batches {
        let names = classes[from..from + batch.num_rows()].iter().map(|class| class.map(Class::as_str));
        from += batch.num_rows();
        let names: StringArray = names.collect::<Option<Vec<_>>>().ok_or_else(lost)?.into();
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(names));
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns);
        batches.push(batch.map_err(|error| lost().because(error))?);
    }
    Ok(Rows { schema, batches })
}

/// Keys of rows that have the target's version, and whether they are the target's rows: by their hashes, and where
/// those do not settle it by their values. Most batches have few such rows or none, so the target's hashes and values
/// are read for them only, from the files that hold them.
async fn compare(engine: &Engine, text: &Text<'_>, level: &Rows, table: Option<&Table>) -> Result<Rows> {
    let none = Params::new();
    let _level = engine.register_rows("level", level)?;
    let (narrowed, _rows) = narrow(engine, level, table).await?;
    let mut found = engine.rows(&text.hashed(narrowed), &none).await?;
    let _hashed = engine.register_rows("hashed", &found)?;
    let open = format!("SELECT s.* FROM level AS s LEFT ANTI JOIN hashed AS h ON {}", text.on_key("h", "s"));
    let open = engine.rows(&open, &none).await?;
    if !open.is_empty() {
        let _unsettled = engine.register_rows("unsettled", &open)?;
        let (narrowed, _rows) = narrow(engine, &open, table).await?;
        let compared = engine.rows(&text.compared("unsettled", narrowed), &none).await?;
        let _valued = engine.register_rows("valued", &compared)?;
        found = engine.rows("SELECT * FROM hashed UNION ALL SELECT * FROM valued", &none).await?;
    }
    Ok(found)
}

/// The relation with the target's rows in the files that located rows lie in.
async fn narrow<'e>(
    engine: &'e Engine,
    rows: &Rows,
    table: Option<&Table>,
) -> Result<(&'static str, Option<Known<'e>>)> {
    let Some(table) = table else { return Ok(("target", None)) };
    let mut files = BTreeSet::new();
    for batch in &rows.batches {
        let places =
            column(batch, FILE).map_err(|error| Error::bug("rows were not located").because(error))?;
        files.extend(files_in(places, |_| true)?);
    }
    let known = engine.register("narrowed", table.rows_in(&engine.state(), files).await?)?;
    Ok(("narrowed", Some(known)))
}
