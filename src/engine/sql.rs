//! SQL text: quoted identifiers, literals, and templates from `src/sql`.
//!
//! All SQL is written in Spark's dialect, which DataFusion parses as it stands. So what a run executes is
//! what `highwater sql` prints.

use std::ops::Range;

use chrono::NaiveDate;
use deltalake::datafusion::scalar::ScalarValue;
use deltalake::datafusion::sql::sqlparser::dialect::SparkSqlDialect;
use deltalake::datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};

use crate::model::{Dialect, Literal};

pub use crate::model::sql::{Ident, Template, column};

/// A value bound to a `$name` in SQL.
pub type Param = Literal;

/// Named parameters of a statement.
pub type Params = Vec<(&'static str, Param)>;

/// The value for DataFusion.
#[must_use]
pub fn scalar(value: &Param) -> ScalarValue {
    match value {
        Literal::Text(text) => ScalarValue::Utf8(Some(text.clone())),
        // As Arrow would read the digits, where a statement says what they are.
        Literal::Number(digits, _) => ScalarValue::Utf8(Some(digits.clone())),
        Literal::Boolean(truth) => ScalarValue::Boolean(Some(*truth)),
        Literal::Date(day) => ScalarValue::Date32(Some(days_since_epoch(*day))),
        Literal::Timestamp(at) => {
            ScalarValue::TimestampMicrosecond(Some(at.timestamp_micros()), Some("UTC".into()))
        }
        Literal::TimestampNtz(at) => {
            ScalarValue::TimestampMicrosecond(Some(at.and_utc().timestamp_micros()), None)
        }
        Literal::Binary(bytes) => ScalarValue::Binary(Some(bytes.clone())),
    }
}

/// Writes each parameter's value where the statement names it, and nowhere else: what stands in a text, a quoted
/// name or a comment is no parameter.
///
/// For SQL that a person pastes, and for SQL that a person wrote: there, a value must have its type before the
/// statement is planned, which DataFusion's own parameters have only after.
#[must_use]
pub fn bind(sql: &str, params: &Params, dialect: Dialect) -> String {
    let mut bound = String::with_capacity(sql.len());
    let mut rest = 0;
    for (name, span) in placeholders(sql) {
        if let Some((_, value)) = params.iter().find(|(known, _)| *known == name) {
            bound.push_str(&sql[rest..span.start]);
            bound.push_str(&value.sql(dialect));
            rest = span.end;
        }
    }
    bound.push_str(&sql[rest..]);
    bound
}

/// The parameters that a statement names, without their `$`, and where. None, where it is no SQL: running it says why.
#[must_use]
pub fn placeholders(sql: &str) -> Vec<(String, Range<usize>)> {
    // As it stands: Spark reads backslashes in other ways, but both agree where a text of ours ends.
    let tokens = Tokenizer::new(&SparkSqlDialect {}, sql).with_unescape(false).tokenize_with_location();
    let mut line_starts = vec![0];
    line_starts.extend(sql.match_indices('\n').map(|(at, _)| at + 1));
    let byte_of = |location: Location| -> Option<usize> {
        let line = usize::try_from(location.line).ok()?.checked_sub(1)?;
        let column = usize::try_from(location.column).ok()?.checked_sub(1)?;
        let start = *line_starts.get(line)?;
        let text = sql.get(start..)?;
        let within = text.char_indices().nth(column).map_or(text.len(), |(at, _)| at);
        Some(start + within)
    };
    let mut found = Vec::new();
    for token in tokens.unwrap_or_default() {
        if let Token::Placeholder(text) = &token.token
            && let Some(name) = text.strip_prefix('$')
            && let Some(start) = byte_of(token.span.start)
        {
            found.push((name.to_owned(), start..start + text.len()));
        }
    }
    found
}

/// Days since 1970-01-01, as Arrow counts a date.
#[must_use]
pub fn days_since_epoch(day: NaiveDate) -> i32 {
    let days = day.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_writes_a_value_for_a_parameter_and_leaves_texts_names_and_comments() {
        let day = |text: &str| Param::Date(text.parse().unwrap());
        let params = vec![("to", day("2025-09-01")), ("to_next", day("2025-09-02"))];
        for (sql, bound) in [
            ("a < $to_next", "a < DATE '2025-09-02'"),
            (
                "a < $to AND\n 'é' = b AND c>$to",
                "a < DATE '2025-09-01' AND\n 'é' = b AND c>DATE '2025-09-01'",
            ),
            ("a <> '$to'", "a <> '$to'"),
            ("a <> 'it''s $to' -- $to\n", "a <> 'it''s $to' -- $to\n"),
            ("`$to` < 1 /* $to */", "`$to` < 1 /* $to */"),
            ("s.`a``$to` = $to", "s.`a``$to` = DATE '2025-09-01'"),
            ("a = $other", "a = $other"),
            ("a = 'no end $to", "a = 'no end $to"),
            ("'\\' = $to", "'\\' = DATE '2025-09-01'"),
        ] {
            assert_eq!(bind(sql, &params, Dialect::Spark), bound);
        }
    }
}
