//! Whether rows of a table can be replaced by their places.
//!
//! delta-rs's MERGE holds rows against a table's constraints, fills generated columns and writes the change data feed.
//! What writes files beside it does none of that, so it leaves such tables to the MERGE.

use delta_kernel::table_features::TableFeature;
use serde_json::Value;

use super::table::Table;
use crate::error::{Error, Result};

const VECTORS: &str = "delta.enableDeletionVectors";
const CHANGE_DATA: &str = "delta.enableChangeDataFeed";
const MAPPING: &str = "delta.columnMapping.mode";
/// Marks of columns whose values are computed or checked.
const WATCHED: [(&str, &str); 2] =
    [("delta.generationExpression", "is computed from others"), ("delta.invariants", "has an invariant")];

impl Table {
    /// Why rows cannot be replaced by their places; `None` where they can.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn keeps_from_replacing(&self) -> Result<Option<String>> {
        let metadata = self.snapshot()?.metadata();
        let property = |name: &str| metadata.configuration().get(name).map(String::as_str);
        if let Some((name, _)) = self.constraints()?.first() {
            return Ok(Some(format!("the target has the CHECK constraint `{name}`")));
        }
        if property(CHANGE_DATA).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Some("the target has a change data feed".to_owned()));
        }
        if property(MAPPING).is_some_and(|mode| mode != "none") {
            return Ok(Some("the target has column mapping".to_owned()));
        }
        let schema = serde_json::to_value(self.snapshot()?.schema().as_ref())
            .map_err(|error| Error::bug("a table's schema is no JSON").because(error))?;
        let watched = schema["fields"].as_array().into_iter().flatten().find_map(|field| {
            let mark =
                WATCHED.iter().find(|(mark, _)| field["metadata"].get(mark).is_some_and(Value::is_string));
            Some(format!("the target's column `{}` {}", field["name"].as_str()?, mark?.1))
        });
        Ok(watched)
    }

    /// Why deletion vectors cannot be written; `None` where they can.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn keeps_from_vectors(&self) -> Result<Option<String>> {
        let snapshot = self.snapshot()?;
        let property = snapshot.metadata().configuration().get(VECTORS);
        if !property.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Some(format!("{VECTORS} is not true")));
        }
        let protocol = snapshot.protocol();
        let has = |features: Option<&[TableFeature]>| {
            features.is_some_and(|all| all.contains(&TableFeature::DeletionVectors))
        };
        let lacks = !has(protocol.reader_features()) || !has(protocol.writer_features());
        Ok(lacks.then(|| "its protocol lacks the feature deletionVectors".to_owned()))
    }
}
