//! What nested values of a target may not hold.

use deltalake::arrow::compute::{cast, filter};
use deltalake::arrow::error::ArrowError;

use super::locate::Located;
use super::rows::of_class;
use super::text::CLASS;
use crate::error::{Error, Result};
use crate::lake::Table;
use crate::model::Class;
use crate::plan::LoadSpec;

/// Refuses rows that hold NULL where an array's elements, or a map's values, of the target may not be NULL. The contract has
/// no word for that, so no check of the gate knows it.
///
/// # Errors
/// Fails where one does.
pub fn must_fit_parts(spec: &LoadSpec, located: &Located, target: &Table) -> Result<()> {
    let schema = target.arrow_schema()?;
    for name in target.strict_columns()?.iter().filter(|name| spec.column(name).is_some()) {
        let field = schema.field_with_name(name).map_err(unfit)?;
        for batch in located.rows.columns(&[CLASS, name])? {
            let batch = batch?;
            let written = of_class(&batch, Class::is_written)
                .and_then(|written| filter(batch.column(1), &written))
                .map_err(unfit)?;
            cast(&written, field.data_type()).map_err(|error| {
                Error::usage(format!("a value of `{name}` holds NULL where the target's may hold none"))
                    .hint(format!(
                        "let the array's elements or the map's values be NULL in the target, leave such rows out by \
                         `source.where`, or add `{name}` to `target.exclude`"
                    ))
                    .because(error)
            })?;
        }
    }
    Ok(())
}

fn unfit(error: ArrowError) -> Error {
    Error::bug("rows do not have the target's columns").because(error)
}
