//! What makes values into those of a table's types, and unreadable.

use deltalake::arrow::datatypes::{DataType as Arrow, TimeUnit};

use crate::engine::{KEYED_HASH, arrow_type, as_timestamp, model_type, table_type};
use crate::model::types::DataType;
use crate::model::{Dialect, Literal};
use crate::notation::Mask;

/// What makes a value one of a table's types.
pub(super) enum Cast {
    None,
    /// A time without a zone is one of UTC, as in a Spark whose session is set so.
    Timestamp {
        has_zone: bool,
    },
    /// A time without a zone stays one.
    WallClock,
    To(DataType),
}

impl Cast {
    pub(super) fn around(&self, sql: &str, dialect: Dialect) -> String {
        match (self, dialect) {
            (Self::None, _) => sql.to_owned(),
            (Self::Timestamp { .. }, Dialect::Engine) => as_timestamp(sql),
            (Self::Timestamp { .. }, Dialect::Spark) => format!("CAST({sql} AS TIMESTAMP)"),
            (Self::WallClock, Dialect::Engine) => {
                format!("arrow_cast({sql}, 'Timestamp(Microsecond, None)')")
            }
            (Self::WallClock, Dialect::Spark) => format!("CAST({sql} AS TIMESTAMP_NTZ)"),
            (Self::To(DataType::Binary), Dialect::Engine) => format!("arrow_cast({sql}, 'Binary')"),
            // SQL as the engine reads it has no words for it.
            (Self::To(nested), Dialect::Engine) if nested.is_nested() => {
                let arrow = Literal::text(arrow_type(nested).to_string()).sql(dialect);
                format!("arrow_cast({sql}, {arrow})")
            }
            (Self::To(data_type), _) => format!("CAST({sql} AS {data_type})"),
        }
    }
}

/// The SQL of a value that nobody is to read.
pub(super) fn masked(sql: &str, data_type: &DataType, mask: Mask, dialect: Dialect) -> String {
    let text = match data_type {
        DataType::String => sql.to_owned(),
        DataType::Binary => format!("hex({sql})"),
        _ => format!("CAST({sql} AS STRING)"),
    };
    let stars = Literal::text("***").sql(dialect);
    match mask {
        Mask::Hash => format!("{KEYED_HASH}({text})"),
        Mask::Redact => format!("CASE WHEN {sql} IS NOT NULL THEN {stars} END"),
        Mask::Null => format!("CAST(NULL AS {data_type})"),
        Mask::Last4 => format!(
            "CASE WHEN LENGTH({text}) > 8 THEN CONCAT({stars}, RIGHT({text}, 4)) WHEN {sql} IS NOT NULL THEN {stars} END"
        ),
    }
}

/// The table's type for a computed one, and the way there.
pub(super) fn settled(found: &Arrow) -> Option<(DataType, Cast)> {
    match found {
        Arrow::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => {
            Some((DataType::Timestamp, Cast::None))
        }
        Arrow::Timestamp(_, zone) => {
            Some((DataType::Timestamp, Cast::Timestamp { has_zone: zone.is_some() }))
        }
        Arrow::Date64 => Some((DataType::Date, Cast::To(DataType::Date))),
        Arrow::Null => Some((DataType::String, Cast::To(DataType::String))),
        Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_) => {
            Some((DataType::Binary, Cast::To(DataType::Binary)))
        }
        Arrow::Dictionary(_, values) => {
            let (data_type, _) = settled(values)?;
            Some((data_type.clone(), Cast::To(data_type)))
        }
        Arrow::UInt8 | Arrow::UInt16 | Arrow::UInt32 | Arrow::UInt64 => {
            let data_type = model_type(found)?;
            Some((data_type.clone(), Cast::To(data_type)))
        }
        nested if nested.is_nested() => {
            let data_type = table_type(nested)?;
            Some((data_type.clone(), Cast::To(data_type)))
        }
        other => Some((model_type(other)?, Cast::None)),
    }
}
