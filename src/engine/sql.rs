//! SQL text: quoted identifiers, literals, and templates from `src/sql`.
//!
//! All SQL is written in Spark's dialect, which DataFusion parses as it stands. So what a run executes is
//! what `highwater sql` prints.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use deltalake::datafusion::scalar::ScalarValue;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    /// A day.
    Date(NaiveDate),
    /// An instant.
    Timestamp(DateTime<Utc>),
    /// A text.
    Text(String),
}

impl Param {
    /// The value for DataFusion.
    #[must_use]
    pub fn scalar(&self) -> ScalarValue {
        match self {
            Self::Date(day) => ScalarValue::Date32(Some(days_since_epoch(*day))),
            Self::Text(text) => ScalarValue::Utf8(Some(text.clone())),
            Self::Timestamp(at) => {
                ScalarValue::TimestampMicrosecond(Some(at.timestamp_micros()), Some("UTC".into()))
            }
        }
    }
}

impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Date(day) => write!(f, "DATE '{day}'"),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Timestamp(at) => write!(f, "TIMESTAMP '{}'", at.format("%Y-%m-%d %H:%M:%S%.6fZ")),
        }
    }
}

/// Named parameters of a statement.
pub type Params = Vec<(&'static str, Param)>;

/// Replaces each `$name` by its literal, for SQL that a person pastes.
#[must_use]
pub fn inline(sql: &str, params: &Params) -> String {
    // The longest names first, so that `$to` does not eat the start of `$to_next`.
    let mut params: Vec<_> = params.iter().collect();
    params.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    params.into_iter().fold(sql.to_owned(), |sql, (name, value)| {
        replace_whole(&sql, &format!("${name}"), &value.to_string())
    })
}

/// Replaces `name` where it is not the beginning of a longer one.
fn replace_whole(sql: &str, name: &str, value: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some(at) = rest.find(name) {
        let (before, from) = rest.split_at(at);
        let after = &from[name.len()..];
        let longer = after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        out.push_str(before);
        out.push_str(if longer { name } else { value });
        rest = after;
    }
    out.push_str(rest);
    out
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
    fn inline_prefers_the_longer_name() {
        let day = |text: &str| Param::Date(text.parse().unwrap());
        let params = vec![("to", day("2025-09-01")), ("to_next", day("2025-09-02"))];
        assert_eq!(inline("a < $to_next", &params), "a < DATE '2025-09-02'");
    }
}
