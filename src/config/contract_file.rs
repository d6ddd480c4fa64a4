//! A contract's file: DDL, or by its ending one of the Open Data Contract Standard or an Avro schema.

use std::path::Path;

use super::show_json::yaml_as_json;
use crate::contract::avro_schema;
use crate::contract::ddl::TableDef;
use crate::contract::odcs::{self, Odcs};

/// Whether a file's ending says that it is a contract of the standard or an Avro schema, and no DDL.
#[must_use]
pub fn is_standard(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ["yaml", "yml", "json", "avsc"].contains(&ending.to_lowercase().as_str())
}

/// The contract that a file's text is. `table` picks one of several.
///
/// # Errors
/// Fails with what is wrong with it.
pub fn contract_of_text(file: &str, text: &str, table: Option<&str>) -> Result<Odcs, String> {
    // A registry's answer has no ending, and DDL does not begin so.
    if !is_standard(Path::new(file)) && !text.trim_start().starts_with('{') {
        let def = TableDef::parse(file, text).map_err(|error| error.to_string())?;
        return Ok(Odcs { def, checks: Vec::new(), unmapped: Vec::new() });
    }
    let value = yaml_as_json(text, file).map_err(|problems| problems.to_string())?;
    let why = |why: avro_schema::AvroSchemaError| format!("{file} is no contract that is known here: {why}");
    let answered = avro_schema::of_registry(&value).map_err(why)?;
    let schema = answered.as_ref().unwrap_or(&value);
    if answered.is_some() || avro_schema::is_schema(schema) {
        let def = avro_schema::read(schema).map_err(why)?;
        return Ok(Odcs { def, checks: Vec::new(), unmapped: Vec::new() });
    }
    odcs::read(&value, table).map_err(|why| format!("{file} is no contract that is known here: {why}"))
}
