//! The columns of rows that the elements of an array are made into.

use super::at;
use crate::config::{Explode, Origins, Problem};
use crate::model::types::{DataType, Field, same_name};
use crate::notation::did_you_mean;

/// The columns of each element's row: those beside the array, the element, and its place.
///
/// # Errors
/// Fails where there is no such array, or another column has one of the names.
pub(super) fn columns_of_elements(
    explode: &Explode,
    origins: &Origins,
    stored: &[Field],
) -> Result<Vec<Field>, Vec<Problem>> {
    let path = "source.explode";
    let Some(array) = stored.iter().find(|field| field.name == explode.column) else {
        let message = format!("the staging table has no column `{}`", explode.column);
        let hint = did_you_mean(&explode.column, stored.iter().map(|field| field.name.as_str()));
        return Err(vec![Problem { hint, ..at(origins, &format!("{path}.column"), &message) }]);
    };
    let DataType::Array(element) = &array.data_type else {
        let message = format!("`{path}` takes an array, and `{}` is {}", array.name, array.data_type);
        return Err(vec![at(origins, &format!("{path}.column"), &message)]);
    };
    let own = |name: &String, data_type: DataType| Field { name: name.clone(), data_type, nullable: true };
    let mut made = vec![own(&explode.element, (**element).clone())];
    made.extend(explode.position.iter().map(|name| own(name, DataType::Long)));
    let mut problems = Vec::new();
    for (at_key, field) in ["as", "position"].into_iter().zip(&made) {
        let others = stored.iter().filter(|other| other.name != array.name);
        let others = others.chain(made.iter().filter(|other| !std::ptr::eq(*other, field)));
        if others.into_iter().any(|other| same_name(&other.name, &field.name)) {
            let message = format!("there is another column `{}`", field.name);
            problems.push(at(origins, &format!("{path}.{at_key}"), &message));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let row = stored.iter().filter(|field| field.name != array.name).cloned();
    Ok(row.chain(made).collect())
}
