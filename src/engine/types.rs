//! Types of query results, as the tables' contracts name them.

use deltalake::arrow::datatypes::{DataType as Arrow, TimeUnit};

use crate::model::types::DataType;

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
