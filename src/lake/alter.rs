//! Other columns for a table, in one commit onto the version that was looked at. No file is written anew.

use deltalake::kernel::{Action, MetadataExt as _, StructField, StructType};
use deltalake::protocol::DeltaOperation;
use serde_json::{Value, json};

use super::table::Table;
use crate::contract::ddl::ColumnDef;
use crate::contract::schema_json::schema_json;
use crate::error::{Error, Result};
use crate::model::Alteration;
use crate::model::types::{DataType, Field};
use crate::protocol::{Outcome, Stamp};

impl Table {
    /// What of the table keeps a change of its columns from being made; `None` where nothing does.
    ///
    /// # Errors
    /// Fails when no version is loaded.
    pub fn keeps_from_altering(&self, alterations: &[Alteration]) -> Result<Option<String>> {
        if self.has_column_mapping()? {
            return Ok(Some("it has column mapping, and new columns would need ids".to_owned()));
        }
        let is_ntz = |data_type: &DataType| data_type.any(&|inner| *inner == DataType::TimestampNtz);
        let adds_ntz = alterations
            .iter()
            .any(|change| matches!(change, Alteration::AddColumn { data_type, .. } if is_ntz(data_type)));
        let has_ntz = self.columns()?.iter().any(|column| is_ntz(&column.field.data_type));
        Ok((adds_ntz && !has_ntz).then(|| "it lacks the table feature of TIMESTAMP_NTZ".to_owned()))
    }

    /// Changes the table's columns, in one commit onto this version.
    ///
    /// # Errors
    /// Fails when the table cannot be written, and when a column is not there or there already.
    pub async fn alter(&self, alterations: &[Alteration], stamp: Stamp) -> Result<Outcome> {
        let mut schema = self.schema_json()?;
        for alteration in alterations {
            change(&mut schema, alteration)?;
        }
        let bug = |error| Error::bug("changed columns make no schema").because(error);
        let of = |schema: &Value| serde_json::from_value::<StructType>(schema.clone()).map_err(bug);
        let metadata = self.snapshot()?.metadata().clone().with_schema(&of(&schema)?);
        let metadata =
            metadata.map_err(|error| Error::bug("changed columns make no metadata").because(error))?;
        let changed = schema["fields"].as_array().into_iter().flatten();
        let is_changed = |field: &&Value| alterations.iter().any(|change| field["name"] == *change.column());
        let fields: Vec<StructField> = changed
            .filter(is_changed)
            .map(|field| serde_json::from_value(field.clone()).map_err(bug))
            .collect::<Result<_>>()?;
        let adds = |change: &Alteration| matches!(change, Alteration::AddColumn { .. });
        let operation = if alterations.iter().any(adds) {
            DeltaOperation::AddColumn { fields }
        } else {
            DeltaOperation::UpdateFieldMetadata { fields }
        };
        self.commit_actions(vec![Action::Metadata(metadata)], None, operation, stamp, []).await
    }
}

/// Changes a schema as the log has it.
fn change(schema: &mut Value, alteration: &Alteration) -> Result<()> {
    let fields = schema["fields"].as_array_mut().ok_or_else(|| Error::bug("a schema has no fields"))?;
    let found = fields.iter_mut().find(|field| field["name"] == *alteration.column());
    match (alteration, found) {
        (Alteration::AddColumn { column, data_type, comment }, None) => {
            let field = Field { name: column.clone(), data_type: data_type.clone(), nullable: true };
            let mut added = schema_json(&[ColumnDef { field, comment: comment.clone() }]);
            fields.push(added["fields"][0].take());
        }
        (Alteration::DropNotNull { .. }, Some(field)) => field["nullable"] = json!(true),
        (Alteration::Comment { comment, .. }, Some(field)) => field["metadata"]["comment"] = json!(comment),
        (Alteration::AddColumn { column, .. }, Some(_)) => {
            return Err(Error::bug(format!("column `{column}` is there already")));
        }
        (change, None) => return Err(Error::bug(format!("there is no column `{}`", change.column()))),
    }
    Ok(())
}
