//! What nested values of a target may not hold.

use deltalake::arrow::compute::{cast, filter};
use deltalake::arrow::datatypes::{DataType, SchemaRef};
use deltalake::arrow::error::ArrowError;

use super::locate::Located;
use super::rows::of_class;
use super::text::CLASS;
use crate::error::{Error, Result};
use crate::model::Class;
use crate::plan::LoadSpec;

/// Refuses rows that hold NULL where an array's elements, or a map's values, of the target may not be NULL. The contract has
/// no word for that, so no check of the gate knows it.
///
/// # Errors
/// Fails where one does.
pub fn must_fit_parts(spec: &LoadSpec, located: &Located, target: &SchemaRef) -> Result<()> {
    let strict = |name: &str| {
        let field = target.field_with_name(name).ok()?;
        has_strict_parts(field.data_type()).then(|| field.data_type().clone())
    };
    for loaded in &spec.columns {
        let name = loaded.name.as_str();
        let Some(data_type) = strict(name) else { continue };
        for batch in located.rows.columns(&[CLASS, name])? {
            let batch = batch?;
            let written = of_class(&batch, Class::is_written)
                .and_then(|written| filter(batch.column(1), &written))
                .map_err(|error| Error::bug("rows have no class").because(error))?;
            cast(&written, &data_type).map_err(|error| holds_null(name, error))?;
        }
    }
    Ok(())
}

fn holds_null(name: &str, error: ArrowError) -> Error {
    Error::usage(format!("a value of `{name}` holds NULL where the target's may hold none"))
        .hint(format!(
            "let the array's elements or the map's values be NULL in the target, leave such rows out by `source.where`, or \
             add `{name}` to `target.exclude`"
        ))
        .because(error)
}

/// Whether an array of this type, or one within it, has elements that may not be NULL, or a map values.
fn has_strict_parts(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(element) => !element.is_nullable() || has_strict_parts(element.data_type()),
        DataType::Struct(members) => members.iter().any(|member| has_strict_parts(member.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            // Keys never are.
            DataType::Struct(entry) => {
                entry.iter().skip(1).any(|value| !value.is_nullable() || has_strict_parts(value.data_type()))
            }
            _ => false,
        },
        _ => false,
    }
}
