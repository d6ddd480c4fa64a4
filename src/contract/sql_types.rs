//! SQL types, as the parser gives them, to the model's.

use deltalake::datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType as SqlType, ExactNumberInfo, StructField, TimezoneInfo,
};

use crate::model::types::{DataType, Field};

/// Delta's decimals are 128 bits wide at most.
const MAX_PRECISION: u8 = 38;

/// The model's type for `sql`; None where a contract can't have it.
///
/// Only the plain spellings are taken. `INT(11)`, `STRING(10)` or `TIMESTAMP(3)` promise something that Delta does
/// not keep, and `DECIMAL` without its digits means another type in every database.
pub(super) fn data_type(sql: &SqlType) -> Option<DataType> {
    Some(match sql {
        SqlType::Boolean => DataType::Boolean,
        SqlType::TinyInt(None) => DataType::Byte,
        SqlType::SmallInt(None) => DataType::Short,
        SqlType::Int(None) | SqlType::Integer(None) => DataType::Int,
        SqlType::BigInt(None) => DataType::Long,
        SqlType::Float(ExactNumberInfo::None) => DataType::Float,
        SqlType::Double(ExactNumberInfo::None) => DataType::Double,
        SqlType::Decimal(ExactNumberInfo::PrecisionAndScale(precision, scale)) => {
            let precision = u8::try_from(*precision).ok()?;
            decimal(precision, u8::try_from(*scale).ok()?)?
        }
        SqlType::Date => DataType::Date,
        SqlType::Timestamp(None, TimezoneInfo::None) => DataType::Timestamp,
        SqlType::TimestampNtz(None) => DataType::TimestampNtz,
        SqlType::String(None) => DataType::String,
        SqlType::Binary(None) => DataType::Binary,
        SqlType::Array(ArrayElemTypeDef::AngleBracket(element)) => {
            DataType::Array(Box::new(data_type(element)?))
        }
        SqlType::Map(key, value) => DataType::Map(Box::new(data_type(key)?), Box::new(data_type(value)?)),
        SqlType::Struct(members, _) if !members.is_empty() => {
            DataType::Struct(members.iter().map(member).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// The most characters that a VARCHAR or CHAR has; `None` for any other type, and for one without a length.
pub(super) fn longest(sql: &SqlType) -> Option<u64> {
    match sql {
        SqlType::Varchar(Some(CharacterLength::IntegerLength { length, unit: None }))
        | SqlType::Char(Some(CharacterLength::IntegerLength { length, unit: None })) => Some(*length),
        _ => None,
    }
}

/// The decimal type of these digits, if there is one.
pub(super) fn decimal(precision: u8, scale: u8) -> Option<DataType> {
    let exists = (1..=MAX_PRECISION).contains(&precision) && scale <= precision;
    exists.then_some(DataType::Decimal(precision, scale))
}

/// A struct's member. The parser has no syntax for NOT NULL inside a type, so members may be NULL.
fn member(sql: &StructField) -> Option<Field> {
    let StructField { field_name: Some(name), field_type, options: None } = sql else {
        return None;
    };
    Some(Field { name: name.value.clone(), data_type: data_type(field_type)?, nullable: true })
}
