//! Types of query results, as the tables' contracts name them.

use std::sync::Arc;

use deltalake::arrow::datatypes::{
    DataType as Arrow, Field as ArrowField, FieldRef as ArrowFieldRef, Fields, TimeUnit,
};

use crate::model::types::{DataType, Field};

/// The contract's name of a plain Arrow type; `None` for types that no column of a table has.
#[must_use]
pub fn model_type(data_type: &Arrow) -> Option<DataType> {
    Some(match data_type {
        Arrow::Boolean => DataType::Boolean,
        Arrow::Int8 => DataType::Byte,
        Arrow::Int16 => DataType::Short,
        Arrow::Int32 => DataType::Int,
        Arrow::Int64 | Arrow::UInt8 | Arrow::UInt16 | Arrow::UInt32 => DataType::Long,
        Arrow::UInt64 => DataType::Decimal(20, 0),
        Arrow::Float32 => DataType::Float,
        Arrow::Float64 => DataType::Double,
        Arrow::Decimal128(precision, scale) => DataType::Decimal(*precision, u8::try_from(*scale).ok()?),
        Arrow::Date32 => DataType::Date,
        Arrow::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, Some(_)) => DataType::Timestamp,
        Arrow::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, None) => DataType::TimestampNtz,
        Arrow::Utf8 | Arrow::Utf8View | Arrow::LargeUtf8 => DataType::String,
        _ => return None,
    })
}

/// The type of a column that can hold all values of an Arrow type, nested or not; `None` where there is none.
#[must_use]
pub fn table_type(found: &Arrow) -> Option<DataType> {
    let of = |field: &ArrowField| table_type(field.data_type()).map(Box::new);
    match found {
        Arrow::Null => Some(DataType::String),
        Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_) => {
            Some(DataType::Binary)
        }
        Arrow::Dictionary(_, values) => table_type(values),
        Arrow::List(element)
        | Arrow::LargeList(element)
        | Arrow::ListView(element)
        | Arrow::LargeListView(element)
        | Arrow::FixedSizeList(element, _) => Some(DataType::Array(of(element)?)),
        Arrow::Struct(members) => {
            let member = |field: &ArrowFieldRef| {
                Some(Field { name: field.name().clone(), data_type: *of(field)?, nullable: true })
            };
            members.iter().map(member).collect::<Option<_>>().map(DataType::Struct)
        }
        Arrow::Map(entries, _) => match entries.data_type() {
            Arrow::Struct(entry) => match &entry[..] {
                [key, value] => Some(DataType::Map(of(key)?, of(value)?)),
                _ => None,
            },
            _ => None,
        },
        plain => model_type(plain),
    }
}

/// What a person calls a type: as DDL does, where a table can have it.
#[must_use]
pub fn called(data_type: &Arrow) -> String {
    table_type(data_type).map_or_else(|| data_type.to_string(), |known| known.to_string())
}

/// A column as a scan of its table has it.
#[must_use]
pub fn arrow_field(field: &Field) -> ArrowField {
    ArrowField::new(&field.name, arrow_type(&field.data_type), field.nullable)
}

/// A column's type as a scan of its table has it.
#[must_use]
pub fn arrow_type(data_type: &DataType) -> Arrow {
    let of = |name: &str, data_type: &DataType| Arc::new(ArrowField::new(name, arrow_type(data_type), true));
    match data_type {
        DataType::Boolean => Arrow::Boolean,
        DataType::Byte => Arrow::Int8,
        DataType::Short => Arrow::Int16,
        DataType::Int => Arrow::Int32,
        DataType::Long => Arrow::Int64,
        DataType::Float => Arrow::Float32,
        DataType::Double => Arrow::Float64,
        DataType::Decimal(precision, scale) => {
            Arrow::Decimal128(*precision, i8::try_from(*scale).unwrap_or(i8::MAX))
        }
        DataType::Date => Arrow::Date32,
        DataType::Timestamp => Arrow::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::TimestampNtz => Arrow::Timestamp(TimeUnit::Microsecond, None),
        DataType::String => Arrow::Utf8View,
        DataType::Binary => Arrow::BinaryView,
        DataType::Array(element) => Arrow::List(of("element", element)),
        DataType::Struct(fields) => Arrow::Struct(fields.iter().map(arrow_field).collect::<Fields>()),
        DataType::Map(key, value) => {
            let key = ArrowField::new("key", arrow_type(key), false);
            let entries = Fields::from(vec![Arc::new(key), of("value", value)]);
            Arrow::Map(Arc::new(ArrowField::new("key_value", Arrow::Struct(entries), false)), false)
        }
    }
}
