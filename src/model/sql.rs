//! SQL text: quoted identifiers, and templates from `src/sql`.

use std::fmt;

/// Columns that the load adds to its intermediate rows start with this.
pub const PREFIX: &str = "__hw_";

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
}
