//! The class of each located row: what versions settle, and where they are equal, hashes and values.

use std::collections::BTreeSet;
use std::sync::Arc;

use deltalake::arrow::array::{Array, AsArray, RecordBatch, StringArray, UInt64Array};
use deltalake::arrow::compute::filter_record_batch;
use deltalake::arrow::compute::kernels::cmp::{eq, gt};
use deltalake::arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use deltalake::arrow::error::ArrowError;

use super::{files_in, version_of};
use crate::engine::sql::Params;
use crate::engine::{Engine, Known, Rows, failed};
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::model::Class;
use crate::plan::LoadSpec;
use crate::stages::rows::{column, column_texts};
use crate::stages::text::{CLASS, FILE, Text};

/// The number of a row among those of equal versions.
const AT: &str = "__hw_at";

/// The classes that versions settle; and the rows whose versions are equal, with their numbers, if there are any.
pub(super) fn by_version(
    spec: &LoadSpec,
    located: &Rows,
) -> std::result::Result<(Vec<Option<Class>>, Option<Rows>), ArrowError> {
    let mut classes: Vec<Option<Class>> = Vec::with_capacity(located.len());
    let mut fields: Vec<_> = located.schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(AT, DataType::UInt64, false)));
    let schema = Arc::new(Schema::new(fields));
    let mut level = Vec::new();
    for batch in &located.batches {
        let column = |name: &str| batch.schema().index_of(name).map(|at| Arc::clone(batch.column(at)));
        let ours = spec.rules.version_columns().map(|name| column(name)).collect::<Result<Vec<_>, _>>()?;
        let (found, ours, theirs) =
            (column("__hw_found")?, version_of(spec, &ours)?, column("__hw_t_version")?);
        let (found, newer, same) = (found.as_boolean(), gt(&ours, &theirs)?, eq(&ours, &theirs)?);
        let first = classes.len() as u64;
        classes.extend((0..batch.num_rows()).map(|row| {
            if !found.value(row) {
                Some(Class::Inserted)
            } else if theirs.is_null(row) || newer.value(row) {
                Some(Class::Updated)
            } else if same.value(row) {
                None
            } else {
                Some(Class::Stale)
            }
        }));
        if same.true_count() > 0 {
            let numbers = UInt64Array::from_iter_values(first..classes.len() as u64);
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(numbers));
            let numbered = RecordBatch::try_new(Arc::clone(&schema), columns)?;
            level.push(filter_record_batch(&numbered, &same)?);
        }
    }
    Ok((classes, (!level.is_empty()).then_some(Rows { schema, batches: level })))
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
    let mut fields: Vec<_> = located.schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("__hw_class", DataType::Utf8, false)));
    let schema = Arc::new(Schema::new(fields));
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
