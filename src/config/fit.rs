//! Columns whose type does not fit the target's, loaded row by row where the pipeline file says so.
//!
//! Such a column is computed: its value where that is one of the target's type, else NULL, with the value as text in a column
//! beside it, and a check that keeps those rows out. So a row that does not fit is an entry of the quarantine like any other.

use super::evolution::UnfitType;
use super::mapping::MappedColumn;
use super::pipeline::Pipeline;
use crate::checks::Check;
use crate::contract::widening;
use crate::model::sql::Ident;
use crate::model::types::{DataType, Field, same_name};

/// What the name of the column beside one that does not fit begins with.
const BESIDE: &str = "unfit_";

/// The pipeline with such columns computed; `None`, where there is none. `stored` are staging's columns.
#[must_use]
pub fn fitted(pipeline: &Pipeline, stored: &[Field], target: &[Field]) -> Option<Pipeline> {
    let mut fitted = pipeline.clone();
    for to in target {
        let Some(from) = source_of(pipeline, stored, &to.name) else { continue };
        let beside = format!("{BESIDE}{}", to.name);
        let is_taken = stored.iter().chain(target).any(|field| same_name(&field.name, &beside));
        let Some(value) = by_row(pipeline, from, to).filter(|_| !is_taken) else { continue };
        let name = Ident(&from.name);
        let text =
            format!("CASE WHEN {name} IS NOT NULL AND ({value}) IS NULL THEN CAST({name} AS STRING) END");
        let computed = |from: String| MappedColumn { from: Some(from), ..MappedColumn::default() };
        fitted.source.mapping.columns.insert(to.name.clone(), computed(value));
        fitted.source.mapping.columns.insert(beside.clone(), computed(text));
        fitted.target.exclude.push(beside.clone());
        fitted
            .checks
            .push(Check::of_row(&format!("fits_{}", to.name), format!("{} IS NULL", Ident(&beside))));
    }
    (fitted != *pipeline).then_some(fitted)
}

/// The staging column that a batch's column of this name is, where nothing is computed.
fn source_of<'f>(pipeline: &Pipeline, stored: &'f [Field], name: &str) -> Option<&'f Field> {
    let find = |name: &str| stored.iter().find(|field| field.name == *name);
    match pipeline.source.mapping.columns.get(name) {
        None => find(name).filter(|_| pipeline.source.mapping.select.keeps(name)),
        Some(MappedColumn { from: None, default: None, mask: None, aliases }) => {
            find(name).or_else(|| aliases.iter().find_map(|alias| find(alias)))
        }
        Some(_) => None,
    }
}

/// The SQL of a column's values as the target's type, NULL where one does not fit; `None`, where rows are not told apart by
/// that.
pub(super) fn by_row(pipeline: &Pipeline, from: &Field, to: &Field) -> Option<String> {
    let Pipeline { source, target, unique_key, version, incremental, tie_breakers, .. } = pipeline;
    let name = &to.name;
    let is_needed = unique_key.contains(name)
        || version == name
        || incremental.column.as_ref() == Some(name)
        || tie_breakers.iter().any(|breaker| breaker.column == *name)
        || !to.nullable;
    let is_out =
        source.lineage.contains(name) || target.exclude.contains(name) || target.load_columns.contains(name);
    let is_asked = pipeline.schema.unfit_type == UnfitType::Quarantine;
    if !is_asked || is_needed || is_out || widening::accepts(&from.data_type, &to.data_type) {
        return None;
    }
    as_type(&Ident(&from.name).to_string(), &from.data_type, &to.data_type)
}

/// A value as another type, NULL where it would be another value there.
fn as_type(value: &str, from: &DataType, to: &DataType) -> Option<String> {
    use DataType::{Boolean, Byte, Date, Decimal, Double, Float, Int, Long, Short, String, Timestamp};
    let is_number =
        |data_type: &DataType| matches!(data_type, Byte | Short | Int | Long | Float | Double | Decimal(..));
    Some(match (from, to) {
        (Boolean | Date | Timestamp, String) => format!("CAST({value} AS STRING)"),
        (number, String) if is_number(number) => format!("CAST({value} AS STRING)"),
        (String, Byte | Short | Int | Long | Boolean | Timestamp) => {
            format!("TRY_CAST(TRIM({value}) AS {to})")
        }
        // More digits would be rounded away.
        (String, Decimal(_, scale)) => format!(
            "CASE WHEN regexp_like({value}, '^ *[+-]?[0-9]*([.][0-9]{{0,{scale}}}0*)? *$') THEN TRY_CAST(TRIM({value}) AS {to}) END"
        ),
        // What is too large would be infinite.
        (String, Double | Float) => {
            let largest = if *to == Double { "1.7976931348623157E308" } else { "3.4028234E38" };
            let number = format!("TRY_CAST(TRIM({value}) AS {to})");
            format!("CASE WHEN ABS({number}) <= {largest} THEN {number} END")
        }
        // A time would lose its hours.
        (String, Date) => {
            format!("CASE WHEN LENGTH(TRIM({value})) = 10 THEN TRY_CAST(TRIM({value}) AS DATE) END")
        }
        (Date, Timestamp) => format!("CAST({value} AS TIMESTAMP)"),
        (Timestamp, Date) => {
            format!(
                "CASE WHEN CAST(CAST({value} AS DATE) AS TIMESTAMP) = {value} THEN CAST({value} AS DATE) END"
            )
        }
        (a, b) if is_number(a) && is_number(b) => {
            let number = format!("TRY_CAST({value} AS {to})");
            format!("CASE WHEN CAST({number} AS {from}) = {value} THEN {number} END")
        }
        _ => return None,
    })
}
