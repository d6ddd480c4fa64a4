//! Schemas as Delta logs hold them: the `schemaString` of a metaData action, in JSON.

use std::fmt;

use serde_json::{Value, json};
use thiserror::Error;

use super::ddl::{ColumnDef, TableDef};
use super::sql_types;
use crate::model::types::{DataType, Field};

/// What a schema in JSON has that a contract can't express.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place}: {problem}")]
pub struct SchemaJsonError {
    /// The column, with the path inside it, as in ``column `a.member.element` ``; or the schema itself.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

impl TableDef {
    /// The schema as a Delta log holds it. Key and partitioning are not part of it.
    #[must_use]
    pub fn schema_json(&self) -> Value {
        schema_json(&self.columns)
    }
}

/// The schema of these columns as a Delta log holds it.
#[must_use]
pub fn schema_json(columns: &[ColumnDef]) -> Value {
    let fields: Vec<Value> =
        columns.iter().map(|column| field_json(&column.field, column.comment.as_deref())).collect();
    json!({"type": "struct", "fields": fields})
}

fn field_json(field: &Field, comment: Option<&str>) -> Value {
    let metadata = comment.map_or_else(|| json!({}), |comment| json!({"comment": comment}));
    json!({
        "name": field.name,
        "type": type_json(&field.data_type),
        "nullable": field.nullable,
        "metadata": metadata,
    })
}

fn type_json(data_type: &DataType) -> Value {
    let primitive = match data_type {
        DataType::Boolean => "boolean",
        DataType::Byte => "byte",
        DataType::Short => "short",
        DataType::Int => "integer",
        DataType::Long => "long",
        DataType::Float => "float",
        DataType::Double => "double",
        DataType::Decimal(precision, scale) => {
            return Value::from(format!("decimal({precision},{scale})"));
        }
        DataType::Date => "date",
        DataType::Timestamp => "timestamp",
        DataType::TimestampNtz => "timestamp_ntz",
        DataType::String => "string",
        DataType::Binary => "binary",
        DataType::Array(element) => {
            return json!({
                "type": "array",
                "elementType": type_json(element),
                "containsNull": true,
            });
        }
        DataType::Struct(members) => {
            let fields: Vec<Value> = members.iter().map(|member| field_json(member, None)).collect();
            return json!({"type": "struct", "fields": fields});
        }
        DataType::Map(key, value) => {
            return json!({
                "type": "map",
                "keyType": type_json(key),
                "valueType": type_json(value),
                "valueContainsNull": true,
            });
        }
    };
    Value::from(primitive)
}

/// The columns of a schema as a Delta log holds it.
///
/// Of a field's metadata only the comment is kept. Whether an array or a map may hold NULL is not kept either: a
/// contract has no word for it.
///
/// # Errors
/// The first column whose type no contract can have, by name, or the place where the JSON is not a schema.
pub fn columns_from_schema_json(schema: &Value) -> Result<Vec<ColumnDef>, SchemaJsonError> {
    let root = Place::Schema;
    if schema.get("type").and_then(Value::as_str) != Some("struct") {
        return Err(root.error("expected an object of type \"struct\""));
    }
    let fields = list(schema, "fields", &root)?;
    fields
        .iter()
        .map(|json| {
            let field = field(json, &root)?;
            let comment = json.pointer("/metadata/comment").and_then(Value::as_str);
            let comment = comment.map(str::to_owned);
            Ok(ColumnDef { field, comment })
        })
        .collect()
}

/// Where in a schema something stands, for messages.
#[derive(Clone, Copy)]
enum Place<'a> {
    Schema,
    Within(&'a Place<'a>, &'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema => f.write_str("schema"),
            Self::Within(Self::Schema, name) => f.write_str(name),
            Self::Within(outer, name) => write!(f, "{outer}.{name}"),
        }
    }
}

impl Place<'_> {
    fn error(&self, problem: impl Into<String>) -> SchemaJsonError {
        let place = match self {
            Self::Schema => self.to_string(),
            Self::Within(..) => format!("column `{self}`"),
        };
        SchemaJsonError { place, problem: problem.into() }
    }
}

fn member<'a>(json: &'a Value, key: &str, place: &Place) -> Result<&'a Value, SchemaJsonError> {
    json.get(key).ok_or_else(|| place.error(format!("\"{key}\" is missing")))
}

fn text<'a>(json: &'a Value, key: &str, place: &Place) -> Result<&'a str, SchemaJsonError> {
    member(json, key, place)?.as_str().ok_or_else(|| place.error(format!("\"{key}\" is not a string")))
}

fn list<'a>(json: &'a Value, key: &str, place: &Place) -> Result<&'a [Value], SchemaJsonError> {
    member(json, key, place)?
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| place.error(format!("\"{key}\" is not a list")))
}

fn field(json: &Value, outer: &Place) -> Result<Field, SchemaJsonError> {
    let name = text(json, "name", outer)?;
    let place = Place::Within(outer, name);
    let nullable = member(json, "nullable", &place)?
        .as_bool()
        .ok_or_else(|| place.error("\"nullable\" is neither true nor false"))?;
    Ok(Field {
        name: name.to_owned(),
        data_type: data_type(member(json, "type", &place)?, &place)?,
        nullable,
    })
}

fn data_type(json: &Value, place: &Place) -> Result<DataType, SchemaJsonError> {
    if let Some(name) = json.as_str() {
        return primitive(name).ok_or_else(|| place.error(format!("type {name} is not supported")));
    }
    let nested = |key: &str, step: &str| {
        let inner = Place::Within(place, step);
        data_type(member(json, key, place)?, &inner).map(Box::new)
    };
    match text(json, "type", place)? {
        "array" => Ok(DataType::Array(nested("elementType", "element")?)),
        "map" => Ok(DataType::Map(nested("keyType", "key")?, nested("valueType", "value")?)),
        "struct" => list(json, "fields", place)?
            .iter()
            .map(|json| field(json, place))
            .collect::<Result<_, _>>()
            .map(DataType::Struct),
        other => Err(place.error(format!("type {other} is not supported"))),
    }
}

fn primitive(name: &str) -> Option<DataType> {
    Some(match name {
        "boolean" => DataType::Boolean,
        "byte" => DataType::Byte,
        "short" => DataType::Short,
        "integer" => DataType::Int,
        "long" => DataType::Long,
        "float" => DataType::Float,
        "double" => DataType::Double,
        "date" => DataType::Date,
        "timestamp" => DataType::Timestamp,
        "timestamp_ntz" => DataType::TimestampNtz,
        "string" => DataType::String,
        "binary" => DataType::Binary,
        _ => {
            let digits = name.strip_prefix("decimal(")?.strip_suffix(')')?;
            let (precision, scale) = digits.split_once(',')?;
            sql_types::decimal(precision.trim().parse().ok()?, scale.trim().parse().ok()?)?
        }
    })
}
