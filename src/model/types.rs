//! Column types as the tables' contracts name them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::sql::Ident;

/// A column's type: the subset of Delta's types that a pipeline's columns may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataType {
    /// `BOOLEAN`
    Boolean,
    /// `TINYINT`, 8 bits
    Byte,
    /// `SMALLINT`, 16 bits
    Short,
    /// `INT`, 32 bits
    Int,
    /// `BIGINT`, 64 bits
    Long,
    /// `FLOAT`, 32 bits
    Float,
    /// `DOUBLE`, 64 bits
    Double,
    /// `DECIMAL(precision, scale)`
    Decimal(u8, u8),
    /// `DATE`
    Date,
    /// `TIMESTAMP`, an instant in microseconds, UTC
    Timestamp,
    /// `TIMESTAMP_NTZ`, a wall-clock time without a zone
    TimestampNtz,
    /// `STRING`
    String,
    /// `BINARY`
    Binary,
    /// `ARRAY<element>`
    Array(Box<DataType>),
    /// `STRUCT<name: type, …>`
    Struct(Vec<Field>),
    /// `MAP<key, value>`
    Map(Box<DataType>, Box<DataType>),
}

/// A named column or struct member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The column's name, case preserved.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// Whether two names are one column's to Delta: they differ in case at most.
#[must_use]
pub fn same_name(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

impl Field {
    /// Its type and nullability, as DDL has them.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{}{}", self.data_type, if self.nullable { "" } else { " NOT NULL" })
    }
}

impl DataType {
    /// Whether this type, or one that it holds, is so.
    #[must_use]
    pub fn any(&self, is_so: &impl Fn(&Self) -> bool) -> bool {
        is_so(self)
            || match self {
                Self::Array(element) => element.any(is_so),
                Self::Struct(members) => members.iter().any(|member| member.data_type.any(is_so)),
                Self::Map(key, value) => key.any(is_so) || value.any(is_so),
                _ => false,
            }
    }

    /// Whether values hold other values.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Struct(_) | Self::Map(_, _))
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Byte => f.write_str("TINYINT"),
            Self::Short => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::Long => f.write_str("BIGINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal(p, s) => write!(f, "DECIMAL({p},{s})"),
            Self::Date => f.write_str("DATE"),
            Self::Timestamp => f.write_str("TIMESTAMP"),
            Self::TimestampNtz => f.write_str("TIMESTAMP_NTZ"),
            Self::String => f.write_str("STRING"),
            Self::Binary => f.write_str("BINARY"),
            Self::Array(element) => write!(f, "ARRAY<{element}>"),
            Self::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    let is_plain =
                        field.name.chars().all(|c| c.is_alphanumeric() || c == '_') && !field.name.is_empty();
                    let name = if is_plain { field.name.clone() } else { Ident(&field.name).to_string() };
                    write!(f, "{comma}{name}: {}", field.data_type)?;
                }
                f.write_str(">")
            }
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
        }
    }
}
