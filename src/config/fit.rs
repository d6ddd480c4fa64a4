//! Columns whose type does not fit the target's, loaded row by row where the pipeline file says so.
//!
//! Such a column is computed: its value where that is one of the target's type, else NULL, with the value as text in a column
//! beside it, and a check that keeps those rows out. So a row that does not fit is an entry of the quarantine like any other.

use super::drift::BothColumns;
use super::evolution::UnfitType;
use super::mapping::MappedColumn;
use super::pipeline::Pipeline;
use crate::checks::Check;
use crate::contract::widening;
use crate::model::sql::Ident;
use crate::model::types::{DataType, Field, same_name};

/// What the name of the column beside one that does not fit begins with.
pub const BESIDE: &str = "unfit_";

/// The pipeline with such columns computed; `None`, where there is none. `stored` are staging's columns, `both` those of the
/// batch without it and the target's.
#[must_use]
pub fn fitted(pipeline: &Pipeline, stored: &[Field], both: BothColumns<'_>) -> Option<Pipeline> {
    let mut fitted = pipeline.clone();
    for to in both.target {
        let batch = both.batch.iter().find(|from| from.name == to.name);
        let Some(value) = batch.and_then(|from| by_row(pipeline, both, from, to)) else { continue };
        let name = both.renamed.get(&to.name).unwrap_or(&to.name);
        let Some(from) = stored.iter().find(|field| field.name == *name) else { continue };
        let value = value(&Ident(&from.name).to_string());
        let (name, beside) = (Ident(&from.name), format!("{BESIDE}{}", to.name));
        let text =
            format!("CASE WHEN {name} IS NOT NULL AND ({value}) IS NULL THEN CAST({name} AS STRING) END");
        let columns = &mut fitted.source.mapping.columns;
        let aliases = columns.get(&to.name).map(|column| column.aliases.clone()).unwrap_or_default();
        columns
            .insert(to.name.clone(), MappedColumn { from: Some(value), aliases, ..MappedColumn::default() });
        columns.insert(beside.clone(), MappedColumn { from: Some(text), ..MappedColumn::default() });
        fitted.target.exclude.push(beside.clone());
        // A row that does not fit has a value all the same, and other checks of the column are not about it.
        let fits = format!("{} IS NULL", Ident(&beside));
        for check in fitted.checks.iter_mut().filter(|check| check.column.as_ref() == Some(&to.name)) {
            check.filter = Some(match &check.filter {
                Some(filter) => format!("({filter}\n) AND {fits}"),
                None => fits.clone(),
            });
        }
        fitted.checks.push(Check::of_row(&format!("fits_{}", to.name), fits));
    }
    (fitted != *pipeline).then_some(fitted)
}

/// What makes the SQL of a column's values into that of the target's type, NULL where one does not fit; `None`, where rows are
/// not told apart by that.
pub(super) fn by_row(
    pipeline: &Pipeline,
    both: BothColumns<'_>,
    from: &Field,
    to: &Field,
) -> Option<impl Fn(&str) -> String + use<>> {
    let Pipeline { source, target, unique_key, version, incremental, tie_breakers, .. } = pipeline;
    let name = &to.name;
    let is_needed = unique_key.contains(name)
        || version == name
        || incremental.column.as_ref() == Some(name)
        || tie_breakers.iter().any(|breaker| breaker.column == *name)
        || !to.nullable;
    let is_out =
        source.lineage.contains(name) || target.exclude.contains(name) || target.load_columns.contains(name);
    let beside = format!("{BESIDE}{name}");
    let is_taken = both.batch.iter().chain(both.target).any(|field| same_name(&field.name, &beside));
    // One that has two names is computed from both.
    let is_computed = source.mapping.computes(name) || both.coalesced.contains(name);
    let is_asked = pipeline.schema.unfit_type == UnfitType::Quarantine;
    if !is_asked
        || is_needed
        || is_out
        || is_taken
        || is_computed
        || widening::accepts(&from.data_type, &to.data_type)
    {
        return None;
    }
    let (from, to) = (from.data_type.clone(), to.data_type.clone());
    as_type("x", &from, &to)?;
    Some(move |value: &str| as_type(value, &from, &to).unwrap_or_default())
}

/// A value as another type, NULL where it would be another value there.
fn as_type(value: &str, from: &DataType, to: &DataType) -> Option<String> {
    use DataType::{Boolean, Byte, Date, Decimal, Double, Float, Int, Long, Short, String, Timestamp};
    let is_number =
        |data_type: &DataType| matches!(data_type, Byte | Short | Int | Long | Float | Double | Decimal(..));
    Some(match (from, to) {
        (Boolean | Date | Timestamp, String) => format!("CAST({value} AS STRING)"),
        (number, String) if is_number(number) => format!("CAST({value} AS STRING)"),
        (String, Byte | Short | Int | Long) => format!("TRY_CAST(TRIM({value}) AS {to})"),
        (String, Boolean) => format!(
            "CASE WHEN LOWER(TRIM({value})) IN ('true', 'false') THEN TRY_CAST(TRIM({value}) AS BOOLEAN) END"
        ),
        // More digits would be rounded away.
        (String, Decimal(_, scale)) => format!(
            "CASE WHEN regexp_like({value}, '^ *[+-]?[0-9]*([.][0-9]{{0,{scale}}}0*)? *$') THEN TRY_CAST(TRIM({value}) AS {to}) END"
        ),
        // What is too large would be infinite.
        (String, Double | Float) => {
            let largest = if *to == Double { "1.7976931348623157E308" } else { "3.4028234E38" };
            let number = format!("TRY_CAST(TRIM({value}) AS {to})");
            format!("CASE WHEN ABS({number}) <= CAST('{largest}' AS {to}) THEN {number} END")
        }
        // Readers of dates pass over what follows.
        (String, Date) => format!(
            "CASE WHEN regexp_like({value}, '^ *[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}} *$') THEN TRY_CAST(TRIM({value}) AS DATE) END"
        ),
        (Date, Timestamp) => format!("CAST({value} AS TIMESTAMP)"),
        (Timestamp, Date) => {
            format!(
                "CASE WHEN CAST(CAST({value} AS DATE) AS TIMESTAMP) = {value} THEN CAST({value} AS DATE) END"
            )
        }
        (a, b) if is_number(a) && is_number(b) => {
            let number = format!("TRY_CAST({value} AS {to})");
            format!("CASE WHEN TRY_CAST({number} AS {from}) = {value} THEN {number} END")
        }
        _ => return None,
    })
}
