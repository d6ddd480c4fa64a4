//! Contracts as Avro schemas, of files or as a schema registry answers them.

use serde_json::Value;
use thiserror::Error;

use super::ddl::{ColumnDef, TableDef};
use crate::model::types::{DataType, Field};

/// How deep a schema may be nested.
const DEEPEST: usize = 64;

/// Why a schema tells no columns.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct AvroSchemaError(String);

/// The schema in a registry's answer of a subject's version, as Confluent's and those that follow it give it; `None` for
/// what is no such answer.
///
/// # Errors
/// Fails where the schema in it is not one of Avro's.
pub fn of_registry(answer: &Value) -> Result<Option<Value>, AvroSchemaError> {
    let (Some(schema), Some(_)) = (answer.get("schema").and_then(Value::as_str), answer.get("subject"))
    else {
        return Ok(None);
    };
    let kind = answer.get("schemaType").and_then(Value::as_str).unwrap_or("AVRO");
    if kind != "AVRO" {
        return Err(AvroSchemaError(format!(
            "the registry has a schema of type {kind}, and only AVRO is read"
        )));
    }
    let schema = serde_json::from_str(schema);
    schema.map(Some).map_err(|error| AvroSchemaError(format!("the registry's schema is no JSON: {error}")))
}

/// Whether this is an Avro schema of rows.
#[must_use]
pub fn is_schema(value: &Value) -> bool {
    value["type"] == "record" && value["fields"].is_array()
}

/// The table of an Avro schema's rows.
///
/// # Errors
/// Fails where a column is of a type that no table has.
pub fn read(schema: &Value) -> Result<TableDef, AvroSchemaError> {
    let mut types = Types::default();
    let columns = types.members(schema, "", DEEPEST)?;
    let comment = |at: usize| schema["fields"][at]["doc"].as_str().map(str::to_owned);
    let columns = columns.into_iter().enumerate();
    Ok(TableDef {
        name: schema["name"].as_str().and_then(|name| name.rsplit('.').next()).unwrap_or("table").to_owned(),
        comment: schema["doc"].as_str().map(str::to_owned),
        columns: columns.map(|(at, field)| ColumnDef { field, comment: comment(at) }).collect(),
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        properties: std::collections::BTreeMap::new(),
        location: None,
    })
}

/// Types that have a name, by which they may be meant again.
#[derive(Default)]
struct Types(std::collections::HashMap<String, DataType>);

impl Types {
    fn members(&mut self, record: &Value, path: &str, depth: usize) -> Result<Vec<Field>, AvroSchemaError> {
        let fields = record["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        let member = |field: &Value| {
            let name = field["name"].as_str().unwrap_or_default();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            if name.is_empty() {
                return Err(AvroSchemaError(format!("a field of `{path}` has no name")));
            }
            let (data_type, nullable) = self.of(&field["type"], &path, depth)?;
            Ok(Field { name: name.to_owned(), data_type, nullable })
        };
        fields.iter().map(member).collect()
    }

    /// A type, and whether its values may be NULL.
    fn of(&mut self, schema: &Value, path: &str, depth: usize) -> Result<(DataType, bool), AvroSchemaError> {
        let wrong = |what: &str| AvroSchemaError(format!("`{path}` {what}"));
        let depth = depth.checked_sub(1).ok_or_else(|| wrong("is nested too deeply"))?;
        if let Value::Array(branches) = schema {
            let values: Vec<&Value> = branches.iter().filter(|branch| **branch != "null").collect();
            return match values.as_slice() {
                [only] => Ok((self.of(only, path, depth)?.0, values.len() < branches.len())),
                _ => Err(wrong("is a union of several types, which no column has")),
            };
        }
        let kind = schema.as_str().or_else(|| schema["type"].as_str());
        let Some(kind) = kind else {
            // `{"type": {"type": …}}` is the inner one.
            return match &schema["type"] {
                inner @ (Value::Object(_) | Value::Array(_)) => self.of(inner, path, depth),
                _ => Err(wrong("has no type")),
            };
        };
        let logical = schema["logicalType"].as_str();
        let number = |name: &str| schema[name].as_u64().and_then(|number| u8::try_from(number).ok());
        let data_type = match (kind, logical) {
            ("boolean", _) => DataType::Boolean,
            ("int", Some("date")) => DataType::Date,
            ("int", _) => DataType::Int,
            ("long", Some("timestamp-millis" | "timestamp-micros" | "timestamp-nanos")) => {
                DataType::Timestamp
            }
            ("long", Some(local)) if local.starts_with("local-timestamp-") => DataType::TimestampNtz,
            ("long", _) => DataType::Long,
            ("float", _) => DataType::Float,
            ("double", _) => DataType::Double,
            ("bytes" | "fixed", Some("decimal")) => {
                let precision = number("precision").filter(|precision| (1..=38).contains(precision));
                let scale = number("scale").unwrap_or_default();
                let precision =
                    precision.ok_or_else(|| wrong("is a decimal of more than 38 digits, or of none"))?;
                DataType::Decimal(precision, scale)
            }
            ("string" | "enum", _) => DataType::String,
            ("bytes" | "fixed", _) => DataType::Binary,
            ("array", _) => DataType::Array(Box::new(self.of(&schema["items"], path, depth)?.0)),
            ("map", _) => {
                let values = self.of(&schema["values"], path, depth)?.0;
                DataType::Map(Box::new(DataType::String), Box::new(values))
            }
            ("record", _) => DataType::Struct(self.members(schema, path, depth)?),
            (name, _) => match self.named(name) {
                Some(known) => known,
                None => return Err(wrong(&format!("is of the type `{name}`, which is not known here"))),
            },
        };
        if let Some(name) = schema["name"].as_str() {
            self.0.insert(last(name).to_owned(), data_type.clone());
        }
        Ok((data_type, false))
    }

    fn named(&self, name: &str) -> Option<DataType> {
        self.0.get(last(name)).cloned()
    }
}

/// A name without its namespace.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(schema: &Value) -> Result<Vec<String>, String> {
        let def = read(schema).map_err(|error| error.to_string())?;
        Ok(def
            .columns
            .iter()
            .map(|column| format!("{} {}", column.field.name, column.field.told()))
            .collect())
    }

    #[test]
    fn each_type_of_avro_is_one_of_a_table() {
        let schema = json!({"type": "record", "name": "shop.Order", "doc": "Orders", "fields": [
            {"name": "id", "type": "long", "doc": "The key"},
            {"name": "n", "type": ["null", "int"], "default": null},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
            {"name": "wall", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
            {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
            {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["a"]}},
            {"name": "before", "type": ["State", "null"]},
            {"name": "raw", "type": {"type": "fixed", "name": "Raw", "size": 4}},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
            {"name": "attrs", "type": {"type": "map", "values": "double"}},
            {"name": "to", "type": {"type": "record", "name": "Address", "fields": [{"name": "city", "type": ["null", "string"]}]}},
            {"name": "from", "type": "shop.Address"},
        ]});
        assert_eq!(
            told(&schema).unwrap(),
            [
                "id BIGINT NOT NULL",
                "n INT",
                "day DATE NOT NULL",
                "at TIMESTAMP",
                "wall TIMESTAMP_NTZ NOT NULL",
                "amount DECIMAL(12,2) NOT NULL",
                "state STRING NOT NULL",
                "before STRING",
                "raw BINARY NOT NULL",
                "tags ARRAY<STRING> NOT NULL",
                "attrs MAP<STRING, DOUBLE> NOT NULL",
                "to STRUCT<city: STRING> NOT NULL",
                "from STRUCT<city: STRING> NOT NULL",
            ]
        );
        let def = read(&schema).unwrap();
        assert_eq!((&*def.name, def.columns[0].comment.as_deref()), ("Order", Some("The key")));
    }

    #[test]
    fn what_no_table_has_is_told_with_its_place() {
        let of = |data_type: Value| {
            let to = json!({"type": "record", "name": "B", "fields": [{"name": "x", "type": data_type}]});
            told(&json!({"type": "record", "name": "A", "fields": [{"name": "b", "type": to}]})).unwrap_err()
        };
        assert!(of(json!(["int", "string"])).contains("`b.x` is a union of several types"));
        assert!(of(json!("Unknown")).contains("`b.x` is of the type `Unknown`"));
        assert!(of(json!("A")).contains("not known here"), "a type that holds itself");
        assert!(
            of(json!({"type": "bytes", "logicalType": "decimal", "precision": 50})).contains("38 digits")
        );
        assert!(of(json!(7)).contains("has no type"));
    }

    #[test]
    fn a_registry_s_answer_holds_a_schema_as_text() {
        let schema = json!({"type": "record", "name": "A", "fields": []});
        let answer = json!({"subject": "a-value", "version": 3, "id": 7, "schema": schema.to_string()});
        assert_eq!(of_registry(&answer), Ok(Some(schema.clone())));
        assert_eq!(of_registry(&schema), Ok(None));
        let other = json!({"subject": "a", "schemaType": "PROTOBUF", "schema": "message A {}"});
        assert!(of_registry(&other).unwrap_err().to_string().contains("PROTOBUF"));
        let broken = json!({"subject": "a", "schema": "{"});
        assert!(of_registry(&broken).is_err());
    }
}
