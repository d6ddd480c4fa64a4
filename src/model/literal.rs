//! Values written as SQL literals: the one place that quotes and escapes, for each dialect.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use super::types::DataType;

/// For whom SQL is written. The statements are the same but for literals, and functions that DataFusion lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// For the engine of this program: a backslash in a text is a backslash.
    Engine,
    /// For a person with Spark: a backslash in a text begins an escape.
    Spark,
}

/// A value that SQL compares with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// STRING.
    Text(String),
    /// BOOLEAN.
    Boolean(bool),
    /// A number as digits, of exactly this type.
    Number(String, DataType),
    /// DATE.
    Date(NaiveDate),
    /// TIMESTAMP, to the microsecond.
    Timestamp(DateTime<Utc>),
    /// `TIMESTAMP_NTZ`, to the microsecond.
    TimestampNtz(NaiveDateTime),
    /// BINARY.
    Binary(Vec<u8>),
}

impl Literal {
    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The value in SQL.
    #[must_use]
    pub fn sql(&self, dialect: Dialect) -> String {
        let quoted = |text: &str| quoted(text, dialect);
        match (self, dialect) {
            (Self::Text(text), _) => quoted(text),
            (Self::Boolean(true), _) => "TRUE".to_owned(),
            (Self::Boolean(false), _) => "FALSE".to_owned(),
            (Self::Number(digits, data_type), _) => format!("CAST({} AS {data_type})", quoted(digits)),
            (Self::Date(day), _) => format!("DATE {}", quoted(&day.to_string())),
            // A literal of the engine's would be in nanoseconds, in which far years do not fit.
            (Self::Timestamp(at), Dialect::Engine) => format!("timestamp_micros({})", at.timestamp_micros()),
            (Self::TimestampNtz(at), Dialect::Engine) => {
                format!("timestamp_ntz_micros({})", at.and_utc().timestamp_micros())
            }
            (Self::Timestamp(at), Dialect::Spark) => {
                format!("TIMESTAMP {}", quoted(&at.format("%Y-%m-%d %H:%M:%S%.6fZ").to_string()))
            }
            (Self::TimestampNtz(at), Dialect::Spark) => {
                format!("TIMESTAMP_NTZ {}", quoted(&at.format("%Y-%m-%d %H:%M:%S%.6f").to_string()))
            }
            (Self::Binary(bytes), _) => {
                let mut digits = String::with_capacity(bytes.len() * 2);
                for byte in bytes {
                    // Writing to a String has no way to fail.
                    let _ = write!(digits, "{byte:02X}");
                }
                format!("X'{digits}'")
            }
        }
    }
}

fn quoted(text: &str, dialect: Dialect) -> String {
    let mut sql = String::with_capacity(text.len() + 2);
    sql.push('\'');
    for c in text.chars() {
        match (c, dialect) {
            ('\'', Dialect::Engine) => sql.push_str("''"),
            // Two quotes would end one text and begin the next, which Spark puts together without any quote.
            ('\'', Dialect::Spark) => sql.push_str("\\'"),
            ('\\', Dialect::Spark) => sql.push_str("\\\\"),
            _ => sql.push(c),
        }
    }
    sql.push('\'');
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(literal: &Literal) -> [String; 2] {
        [literal.sql(Dialect::Engine), literal.sql(Dialect::Spark)]
    }

    #[test]
    fn a_text_with_quotes_and_backslashes_is_escaped_as_each_dialect_reads_it() {
        for (text, engine, spark) in [
            ("", "''", "''"),
            ("it's", "'it''s'", r"'it\'s'"),
            (r"a\b", r"'a\b'", r"'a\\b'"),
            (r"\' OR 1=1 --", r"'\'' OR 1=1 --'", r"'\\\' OR 1=1 --'"),
            ("$as_of", "'$as_of'", "'$as_of'"),
        ] {
            assert_eq!(both(&Literal::text(text)), [engine, spark]);
        }
    }

    #[test]
    fn a_time_keeps_its_microseconds_in_any_year() {
        let at: DateTime<Utc> = "9999-12-31T23:59:59.000001Z".parse().unwrap();
        let micros = at.timestamp_micros();
        assert_eq!(
            both(&Literal::Timestamp(at)),
            [format!("timestamp_micros({micros})"), "TIMESTAMP '9999-12-31 23:59:59.000001Z'".to_owned()]
        );
        assert_eq!(
            both(&Literal::TimestampNtz(at.naive_utc())),
            [
                format!("timestamp_ntz_micros({micros})"),
                "TIMESTAMP_NTZ '9999-12-31 23:59:59.000001'".to_owned()
            ]
        );
    }

    #[test]
    fn a_number_a_day_a_truth_value_and_bytes_are_the_same_in_both() {
        let day = Literal::Date("2025-09-01".parse().unwrap());
        for (literal, sql) in [
            (Literal::Number("1.50".to_owned(), DataType::Decimal(10, 2)), "CAST('1.50' AS DECIMAL(10,2))"),
            (Literal::Number("-7".to_owned(), DataType::Int), "CAST('-7' AS INT)"),
            (day, "DATE '2025-09-01'"),
            (Literal::Boolean(true), "TRUE"),
            (Literal::Binary(vec![0, 0xAB, b'\'']), "X'00AB27'"),
        ] {
            assert_eq!(both(&literal), [sql, sql]);
        }
    }
}
