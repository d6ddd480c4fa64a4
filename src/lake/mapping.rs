//! Tables whose files call columns otherwise than the table does.

use serde_json::Value;

use super::table::Table;
use crate::error::{Error, Result};

const MODE: &str = "delta.columnMapping.mode";
const PHYSICAL_NAME: &str = "delta.columnMapping.physicalName";

/// Types that delta-rs encodes as a dictionary in partition columns, which it tells by their names.
const ENCODED: [&str; 2] = ["string", "binary"];

impl Table {
    /// Whether files and statistics may call columns by other names than the schema does.
    pub(super) fn has_column_mapping(&self) -> Result<bool> {
        Ok(self.snapshot()?.metadata().configuration().get(MODE).is_some_and(|mode| mode != "none"))
    }

    /// Makes sure that delta-rs finds the table's columns in its files.
    ///
    /// It looks for them by physical name, also where the mode is `id`: then a file may call a column by any
    /// name, and what is not found reads as NULL, and is written back as NULL when the file is rewritten.
    ///
    /// # Errors
    /// Fails with what to do when it might not.
    pub(super) fn check_column_mapping(&self) -> Result<()> {
        let metadata = self.snapshot()?.metadata();
        match metadata.configuration().get(MODE).map(String::as_str) {
            Some("name") => {}
            Some("id") => {
                return Err(Error::usage(format!(
                    "`{}` has column mapping by id ({MODE} = id), which the table library does not follow: it \
                     would read NULL wherever a file calls a column by another name",
                    self.name
                ))
                .hint("copy it into a table with mapping by name, or with none: CREATE TABLE … AS SELECT"));
            }
            _ => return Ok(()),
        }
        let schema = self.schema_json()?;
        match confused(&schema, metadata.partition_columns()) {
            None => Ok(()),
            Some((column, partition)) => Err(Error::usage(format!(
                "in the files of `{}`, column `{column}` is called `{partition}`, as a partition column of the table \
                 is; the table library takes the one for the other",
                self.name
            ))
            .hint("renaming made it so: rename the partition column, or copy the table with CREATE TABLE … AS SELECT")),
        }
    }
}

/// A column whose physical name is the name of a partition column, so that delta-rs gives it that one's type.
fn confused<'a>(schema: &'a Value, partition_columns: &'a [String]) -> Option<(&'a str, &'a str)> {
    let fields = schema["fields"].as_array().into_iter().flatten();
    let mut named = fields.filter_map(|field| Some((field["name"].as_str()?, field)));
    named.find_map(|(name, field)| {
        let encoded = field["type"].as_str().is_some_and(|name| ENCODED.contains(&name));
        if !encoded || partition_columns.iter().any(|partition| partition == name) {
            return None;
        }
        let physical = field["metadata"][PHYSICAL_NAME].as_str()?;
        partition_columns.iter().find(|partition| *partition == physical).map(|found| (name, found.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(columns: &[(&str, &str, &str)], partitions: &[&str]) -> Option<(String, String)> {
        let fields: Vec<Value> = columns
            .iter()
            .map(|(name, physical, kind)| {
                json!({"name": name, "type": kind, "nullable": true, "metadata": {PHYSICAL_NAME: physical}})
            })
            .collect();
        let partitions: Vec<String> = partitions.iter().map(|name| (*name).to_owned()).collect();
        let schema = json!({"type": "struct", "fields": fields});
        confused(&schema, &partitions).map(|(column, partition)| (column.to_owned(), partition.to_owned()))
    }

    #[test]
    fn text_that_files_call_as_a_partition_column_is_found() {
        let swapped = [("n", "city", "string"), ("city", "n", "string")];
        assert_eq!(found(&swapped, &["city"]), Some(("n".to_owned(), "city".to_owned())));
        let bytes = [("n", "city", "binary"), ("city", "n", "long")];
        assert!(found(&bytes, &["city"]).is_some());
    }

    #[test]
    fn other_renames_are_read_right() {
        let swapped = [("n", "city", "string"), ("city", "n", "string")];
        assert_eq!(found(&swapped, &[]), None);
        assert_eq!(found(&swapped, &["n", "city"]), None);
        assert_eq!(found(&[("n", "city", "long"), ("city", "n", "string")], &["city"]), None);
        assert_eq!(found(&[("n", "col-1", "string"), ("city", "n", "string")], &["city"]), None);
    }
}
