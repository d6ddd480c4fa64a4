//! Makes the target and the quarantine known in the Glue Data Catalog, where Athena, EMR and Redshift look for tables.
//!
//! A catalog's entry is a copy of what the table's log says, so it is made anew from the log each time: nothing happens
//! where it is as it should be, and what others wrote into the entry stays.

use serde_json::{Map, Value, json};

use crate::config::{Location, Pipeline};
use crate::contract::ddl::ColumnDef;
use crate::error::{Error, Result};
use crate::lake::Lake;
use crate::model::types::DataType;
use crate::store::{Ask, Service};

/// Characters that Glue takes of a comment.
const LONGEST: usize = 255;

/// What was done with a table's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// There was none.
    Created,
    /// It told something else of the table.
    Updated,
    /// It was as it should be.
    Unchanged,
}

impl EntryState {
    /// The state's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A table's entry in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The table's name in the catalog.
    pub table: String,
    /// Where it lies.
    pub location: String,
    /// What was done.
    pub state: EntryState,
}

/// Registers the target, by `name` if one is given, and the quarantine.
///
/// # Errors
/// Fails where a table is missing or lies on no S3, where there is no such database, and where an entry of that name is
/// another table's.
pub async fn register(pipeline: &Pipeline, database: &str, name: Option<&str>) -> Result<Vec<Registered>> {
    let lake = Lake::of(pipeline);
    let tables = [(&pipeline.target.table, name), (&pipeline.quarantine, None)];
    let mut wanted = Vec::new();
    for (location, name) in tables {
        let url = url_on_s3(location)?;
        let table = lake.open(location.name(), location).await?;
        let name = name.unwrap_or(location.name()).to_lowercase();
        wanted.push((entry(&name, &url, &table.columns()?, &table.partition_columns()?), url));
    }
    let mut registered = Vec::new();
    for (entry, location) in wanted {
        let state = put(&lake, database, &entry, &location).await?;
        let table = entry["Name"].as_str().unwrap_or_default().to_owned();
        registered.push(Registered { table, location, state });
    }
    Ok(registered)
}

fn url_on_s3(location: &Location) -> Result<String> {
    let text = location.as_str();
    match text.split_once("://") {
        // What Hadoop calls so, Athena does not know.
        Some(("s3" | "s3a", rest)) => Ok(format!("s3://{rest}")),
        _ => Err(Error::usage(format!(
            "table `{}` lies at {text}, and Glue knows tables on S3",
            location.name()
        ))
        .hint("register a pipeline whose tables have s3:// URLs")),
    }
}

/// The entry of a table, as Glue's `TableInput`.
fn entry(name: &str, location: &str, columns: &[ColumnDef], partitions: &[String]) -> Value {
    let column = |column: &ColumnDef| {
        let mut told =
            json!({"Name": column.field.name.to_lowercase(), "Type": hive_type(&column.field.data_type)});
        if let Some(comment) = &column.comment {
            told["Comment"] = comment.chars().take(LONGEST).collect::<String>().into();
        }
        told
    };
    let is_partition = |column: &&ColumnDef| partitions.contains(&column.field.name);
    let plain: Vec<Value> = columns.iter().filter(|column| !is_partition(column)).map(column).collect();
    // In the order of the partitioning, not of the columns.
    let keys = partitions.iter().filter_map(|name| columns.iter().find(|column| column.field.name == *name));
    json!({
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {
            "EXTERNAL": "TRUE",
            "spark.sql.sources.provider": "delta",
            "table_type": "DELTA",
            "classification": "delta",
        },
        "PartitionKeys": keys.map(column).collect::<Vec<_>>(),
        "StorageDescriptor": {
            "Columns": plain,
            "Location": location,
            "SerdeInfo": {"Parameters": {"serialization.format": "1", "path": location}},
        },
    })
}

/// A type as Hive writes it.
fn hive_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Byte => "tinyint".to_owned(),
        DataType::Short => "smallint".to_owned(),
        DataType::Int => "int".to_owned(),
        DataType::Long => "bigint".to_owned(),
        DataType::Float => "float".to_owned(),
        DataType::Double => "double".to_owned(),
        DataType::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Date => "date".to_owned(),
        // Hive knows one kind of timestamps.
        DataType::Timestamp | DataType::TimestampNtz => "timestamp".to_owned(),
        DataType::String => "string".to_owned(),
        DataType::Binary => "binary".to_owned(),
        DataType::Array(element) => format!("array<{}>", hive_type(element)),
        DataType::Map(key, value) => format!("map<{},{}>", hive_type(key), hive_type(value)),
        DataType::Struct(fields) => {
            let fields = fields
                .iter()
                .map(|field| format!("{}:{}", field.name.to_lowercase(), hive_type(&field.data_type)));
            format!("struct<{}>", fields.collect::<Vec<_>>().join(","))
        }
    }
}

/// What an entry must have of what there is, and everything else of it.
fn merged(there: &Value, wanted: &Value) -> Value {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            let mut all = there.clone();
            for (key, value) in wanted {
                let value = there.get(key).map_or_else(|| value.clone(), |there| merged(there, value));
                all.insert(key.clone(), value);
            }
            all.into()
        }
        _ => wanted.clone(),
    }
}

/// Of an entry as Glue tells it, what it takes back.
fn as_input(table: &Value) -> Value {
    const TAKEN: [&str; 9] = [
        "Name",
        "Description",
        "Owner",
        "Retention",
        "StorageDescriptor",
        "PartitionKeys",
        "TableType",
        "Parameters",
        "ViewOriginalText",
    ];
    let fields = table.as_object().into_iter().flatten();
    let taken = fields.filter(|(key, value)| TAKEN.contains(&key.as_str()) && !value.is_null());
    taken.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>().into()
}

async fn put(lake: &Lake, database: &str, wanted: &Value, location: &str) -> Result<EntryState> {
    let aws = lake.aws().await?;
    let name = wanted["Name"].as_str().unwrap_or_default();
    let what = || format!("table `{name}` cannot be registered in the Glue database `{database}`");
    let ask = async |action: &str, document: Value| {
        aws.ask(Service::Glue, Ask::Json { target: &format!("AWSGlue.{action}"), document: &document }).await
    };
    // Twice where somebody else creates it in between.
    for _ in 0..2 {
        let there = match ask("GetTable", json!({"DatabaseName": database, "Name": name})).await? {
            Ok(body) => serde_json::from_str::<Value>(&body)
                .map_err(|error| Error::retry(what()).because(error))?["Table"]
                .take(),
            Err(refused) if refused.code == "EntityNotFoundException" => Value::Null,
            Err(refused) => return Err(refused.told(&what())),
        };
        if there.is_null() {
            match ask("CreateTable", json!({"DatabaseName": database, "TableInput": wanted})).await? {
                Ok(_) => return Ok(EntryState::Created),
                Err(refused) if refused.code == "AlreadyExistsException" => continue,
                Err(refused) if refused.code == "EntityNotFoundException" => {
                    return Err(Error::usage(what()).because(refused).hint("create the database first"));
                }
                Err(refused) => return Err(refused.told(&what())),
            }
        }
        let other = there["StorageDescriptor"]["Location"].as_str().unwrap_or_default();
        if other.trim_end_matches('/') != location {
            return Err(Error::usage(format!("{}: the entry of that name lies at {other}", what()))
                .hint("give the target another name by `--table`, or drop that entry"));
        }
        let there = as_input(&there);
        let all = merged(&there, wanted);
        if all == there {
            return Ok(EntryState::Unchanged);
        }
        let update = json!({"DatabaseName": database, "TableInput": all, "SkipArchive": true});
        return match ask("UpdateTable", update).await? {
            Ok(_) => Ok(EntryState::Updated),
            Err(refused) => Err(refused.told(&what())),
        };
    }
    Err(Error::retry(format!("{}: others create and drop it", what())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::types::Field;

    fn column(name: &str, data_type: DataType, comment: Option<&str>) -> ColumnDef {
        let field = Field { name: name.to_owned(), data_type, nullable: true };
        ColumnDef { field, comment: comment.map(str::to_owned) }
    }

    #[test]
    fn entry_has_real_columns_and_partition_keys_apart() {
        let columns = [
            column("Id", DataType::Long, Some("the key")),
            column("day", DataType::Date, None),
            column("amount", DataType::Decimal(10, 2), None),
        ];
        let entry = entry("t", "s3://lake/t", &columns, &["day".to_owned()]);
        assert_eq!(entry["PartitionKeys"], json!([{"Name": "day", "Type": "date"}]));
        assert_eq!(
            entry["StorageDescriptor"]["Columns"],
            json!([
                {"Name": "id", "Type": "bigint", "Comment": "the key"},
                {"Name": "amount", "Type": "decimal(10,2)"},
            ])
        );
        assert_eq!(entry["StorageDescriptor"]["SerdeInfo"]["Parameters"]["path"], "s3://lake/t");
    }

    #[test]
    fn nested_types_are_written_as_hive_does() {
        let field = |name: &str, data_type| Field { name: name.to_owned(), data_type, nullable: true };
        let inner = DataType::Struct(vec![field("A", DataType::Int), field("b", DataType::TimestampNtz)]);
        let data_type = DataType::Map(Box::new(DataType::String), Box::new(DataType::Array(Box::new(inner))));
        assert_eq!(hive_type(&data_type), "map<string,array<struct<a:int,b:timestamp>>>");
    }

    #[test]
    fn what_others_wrote_stays_and_what_is_wrong_is_replaced() {
        let there =
            json!({"Parameters": {"owner": "them", "classification": "csv"}, "Description": "theirs"});
        let wanted = json!({"Parameters": {"classification": "delta"}});
        let all = merged(&there, &wanted);
        assert_eq!(all["Parameters"], json!({"owner": "them", "classification": "delta"}));
        assert_eq!(all["Description"], "theirs");
        assert_eq!(merged(&all, &wanted), all);
    }
}
