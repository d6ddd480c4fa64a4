//! SQL text: quoted identifiers, literals, and templates from `src/sql`.
//!
//! All SQL is written in Spark's dialect, which DataFusion parses as it stands. So what a run executes is
//! what `highwater sql` prints.

use std::fmt;
use std::ops::Range;

use chrono::NaiveDate;
use deltalake::datafusion::scalar::ScalarValue;
use deltalake::datafusion::sql::sqlparser::dialect::SparkSqlDialect;
use deltalake::datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};

use crate::model::{Dialect, Literal};

/// An identifier, which displays in backticks.
#[derive(Debug, Clone, Copy)]
pub struct Ident<'a>(pub &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.replace('`', "``"))
    }
}

/// A column of a table alias: `` s.`name` ``.
#[must_use]
pub fn column(alias: &str, name: &str) -> String {
    format!("{alias}.{}", Ident(name))
}

/// A template from `src/sql`: text with `{name}` where generated parts go.
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    parts: Vec<(&'static str, String)>,
}

impl Template {
    /// A template with this text. Comment lines before the statement are dropped.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let body: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
        Self { text: body.join("\n").trim().to_owned(), parts: Vec::new() }
    }

    /// Fills in one part.
    #[must_use]
    pub fn set(mut self, name: &'static str, part: impl Into<String>) -> Self {
        self.parts.push((name, part.into()));
        self
    }

    /// The finished SQL.
    #[must_use]
    pub fn finish(self) -> String {
        // In one go: a part may hold text that a person wrote, with braces of its own.
        let mut sql = String::new();
        let mut rest = self.text.as_str();
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            sql.push_str(before);
            let named = from[1..].split_once('}');
            let part = named.and_then(|(name, _)| self.parts.iter().find(|(known, _)| *known == name));
            let (text, taken) = match (named, part) {
                (Some((name, _)), Some((_, part))) => (part.as_str(), name.len() + 2),
                _ => ("{", 1),
            };
            sql.push_str(text);
            rest = &from[taken..];
        }
        sql.push_str(rest);
        sql
    }
}

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
    fn ident_with_a_backtick_is_doubled() {
        assert_eq!(Ident("a`b").to_string(), "`a``b`");
    }

    #[test]
    fn template_with_braces_in_a_part_leaves_them_alone() {
        let template = Template::new("-- told\n{a} AND {b} {c}").set("a", "x ~ '{b}{2}'").set("b", "y");
        assert_eq!(template.finish(), "x ~ '{b}{2}' AND y {c}");
    }

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
