//! Whether rows of a table can be replaced by their places.
//!
//! delta-rs's MERGE holds rows against a table's constraints, fills generated columns and writes the change data feed.
//! What writes files beside it does none of that, so it leaves such tables to the MERGE.

use delta_kernel::table_features::TableFeature;
use deltalake::arrow::datatypes::DataType;
use serde_json::Value;

use super::table::Table;
use crate::error::Result;

const VECTORS: &str = "delta.enableDeletionVectors";
const CHANGE_DATA: &str = "delta.enableChangeDataFeed";
const GENERATED: &str = "delta.generationExpression";
/// Marks of columns whose values are computed or checked.
const WATCHED: [(&str, &str); 2] =
    [(GENERATED, "is computed from others"), ("delta.invariants", "has an invariant")];

impl Table {
    /// Why rows cannot be replaced by their places; `None` where they can.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn keeps_from_replacing(&self) -> Result<Option<String>> {
        let why = match self.keeps_from_appending()? {
            None if self.is_true(CHANGE_DATA)? => Some("has a change data feed".to_owned()),
            why => why,
        };
        Ok(why.map(|why| format!("the target {why}")))
    }

    /// The columns whose arrays hold elements, or maps values, that may not be NULL.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn strict_columns(&self) -> Result<Vec<String>> {
        let schema = self.arrow_schema()?;
        let strict = schema.fields().iter().filter(|field| has_strict_parts(field.data_type()));
        Ok(strict.map(|field| field.name().clone()).collect())
    }

    /// Why delta-rs cannot merge rows into the table; `None` where it can. It cannot cast what may be NULL within a nested
    /// value to what may not, although none is.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn keeps_from_merging(&self) -> Result<Option<String>> {
        let strict = self.strict_columns()?;
        Ok(strict.first().map(|name| format!("parts of the target's column `{name}` may not be NULL")))
    }

    /// What the table has that keeps files of rows from being added to it as they are; `None` where they can.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn keeps_from_appending(&self) -> Result<Option<String>> {
        if let Some((name, _)) = self.constraints()?.first() {
            return Ok(Some(format!("has the CHECK constraint `{name}`")));
        }
        if self.has_column_mapping()? {
            return Ok(Some("has column mapping".to_owned()));
        }
        let schema = self.schema_json()?;
        let watched = schema["fields"].as_array().into_iter().flatten().find_map(|field| {
            let mark =
                WATCHED.iter().find(|(mark, _)| field["metadata"].get(mark).is_some_and(Value::is_string));
            Some(format!("has the column `{}`, which {}", field["name"].as_str()?, mark?.1))
        });
        Ok(watched)
    }

    /// The columns that are computed from others, each with its expression.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn generated_columns(&self) -> Result<Vec<(String, String)>> {
        let schema = self.schema_json()?;
        let fields = schema["fields"].as_array().into_iter().flatten();
        let generated = fields.filter_map(|field| {
            let expression = field["metadata"].get(GENERATED)?.as_str()?;
            Some((field["name"].as_str()?.to_owned(), expression.to_owned()))
        });
        Ok(generated.collect())
    }

    /// Why deletion vectors cannot be written; `None` where they can.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn keeps_from_vectors(&self) -> Result<Option<String>> {
        if !self.is_true(VECTORS)? {
            return Ok(Some(format!("{VECTORS} is not true")));
        }
        let protocol = self.snapshot()?.protocol();
        let has = |features: Option<&[TableFeature]>| {
            features.is_some_and(|all| all.contains(&TableFeature::DeletionVectors))
        };
        let lacks = !has(protocol.reader_features()) || !has(protocol.writer_features());
        Ok(lacks.then(|| "its protocol lacks the feature deletionVectors".to_owned()))
    }
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
