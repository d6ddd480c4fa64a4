//! What DataFusion says of SQL that a person wrote, in words that the person can use: no names of ours, and none of its
//! own steps.

use std::collections::BTreeSet;
use std::error::Error as StdError;

use deltalake::arrow::error::ArrowError;
use deltalake::datafusion::common::SchemaError;
use deltalake::datafusion::error::DataFusionError;
use deltalake::datafusion::sql::sqlparser::parser::ParserError;

use super::Engine;
use crate::error::Error;
use crate::notation::near;

/// What our own columns and relations begin with.
const OWN: &str = "__hw_";
/// What the relations of dimensions begin with; what follows is the name that the person knows.
const DIMENSION: &str = "__hw_dim_";
/// How many names are suggested.
const SUGGESTED: usize = 3;

impl Engine {
    /// What is wrong with a person's SQL.
    pub(super) fn words(&self, error: &DataFusionError) -> String {
        let root = error.find_root();
        let text = match root {
            DataFusionError::SchemaError(schema, _) => return without_own(&of_schema(schema)),
            DataFusionError::SQL(parser, _) => match parser.as_ref() {
                ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
                ParserError::RecursionLimitExceeded => "is nested too deeply".to_owned(),
            },
            DataFusionError::ArrowError(arrow, _) => of_arrow(arrow),
            DataFusionError::Plan(text) => match unknown_function(text) {
                Some(name) => self.no_function(name),
                None => of_plan(text),
            },
            DataFusionError::Internal(text) => of_plan(text),
            other => of_plan(&other.message()),
        };
        if text.contains("Dot access not supported") {
            return "reads a member by a dot where it cannot: that of an element is `get_field(items[1], 'sku')`"
                .to_owned();
        }
        let text = text.split("\n\nstack backtrace:").next().unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        without_own(&lines.join(" "))
    }

    /// What is wrong with a person's SQL that failed when it was run; `None` where something else did.
    #[must_use]
    pub fn words_of(&self, error: &Error) -> Option<String> {
        let mut next: Option<&(dyn StdError + 'static)> = StdError::source(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<DataFusionError>() {
                return Some(self.words(error));
            }
            next = error.source();
        }
        None
    }

    fn no_function(&self, name: &str) -> String {
        let state = self.state();
        let known: BTreeSet<&str> = state
            .scalar_functions()
            .keys()
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys())
            .map(String::as_str)
            .collect();
        format!("there is no function `{name}`{}", suggestion(&near(name, known, SUGGESTED)))
    }
}

/// ``; did you mean `a`, `b` or `c`?``
fn suggestion(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => format!("; did you mean {only}?"),
        Some((last, others)) => format!("; did you mean {} or {last}?", others.join(", ")),
    }
}

fn of_schema(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let known: BTreeSet<&str> = valid_fields
                .iter()
                .map(|field| field.name.as_str())
                .filter(|name| !name.starts_with(OWN))
                .collect();
            format!("there is no column `{}`{}", field.name, suggestion(&near(&field.name, known, SUGGESTED)))
        }
        SchemaError::AmbiguousReference { field } => {
            format!("`{}` names more than one column; say of which table", field.name)
        }
        other => other.to_string(),
    }
}

/// The few plans that go wrong in words which no person wrote.
fn of_plan(text: &str) -> String {
    let within = |start: &str, end: char| {
        let (_, rest) = text.split_once(start)?;
        rest.split(end).next()
    };
    if let Some(name) = within("table 'datafusion.public.", '\'') {
        return format!("there is no table `{name}`");
    }
    if text.contains("Column in SELECT must be in GROUP BY") && text.contains("expanding wildcard") {
        return "mixes an aggregate with values of single rows".to_owned();
    }
    // What follows is the parser's tree, in which nobody finds the word again.
    if text.contains("Unsupported ast node") {
        return "uses what DataFusion's SQL does not have".to_owned();
    }
    if let Some(call) = within("No function matches the given name and argument types '", '\'') {
        let known = text.split_once("Candidate functions:").map_or("", |(_, known)| known.trim());
        let known: Vec<&str> = known.lines().map(str::trim).collect();
        return format!("there is no function {call}; there is {}", known.join(", "));
    }
    text.to_owned()
}

/// What went wrong with a value.
fn of_arrow(error: &ArrowError) -> String {
    match error {
        ArrowError::DivideByZero => "divides by zero".to_owned(),
        ArrowError::CastError(text)
        | ArrowError::ParseError(text)
        | ArrowError::ComputeError(text)
        | ArrowError::ArithmeticOverflow(text)
        | ArrowError::InvalidArgumentError(text) => text.clone(),
        // Somebody's error in Arrow's wrapping may be DataFusion's own.
        ArrowError::ExternalError(inner) => inner.to_string(),
        other => other.to_string(),
    }
}

/// The name in `Invalid function 'name'. …`.
fn unknown_function(text: &str) -> Option<&str> {
    text.strip_prefix("Invalid function '")?.split('\'').next()
}

/// The text with what a person calls a dimension, and without any other name of ours.
fn without_own(text: &str) -> String {
    let text = text.replace(DIMENSION, "");
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(OWN) {
        plain.push_str(before);
        plain.push('…');
        rest = after.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sql::Params;

    async fn told(sql: &str) -> String {
        let engine = Engine::new(1 << 28);
        let view = "SELECT 1 AS `order_id`, 'x' AS `note`, TRUE AS `__hw_class`";
        let _gated = engine.register_view("gated", view).await.unwrap();
        if let Err(why) = engine.expression_type(sql, "gated AS s").await {
            return why;
        }
        let sql = format!("SELECT {sql} AS `value` FROM gated AS s");
        let error = engine.rows(&sql, &Params::new()).await.unwrap_err();
        engine.words_of(&error).unwrap()
    }

    #[tokio::test]
    async fn an_unknown_function_and_column_are_told_with_near_ones_and_none_of_ours() {
        let function = told("regexp_lik(note, 'x')").await;
        assert!(
            function.starts_with("there is no function `regexp_lik`; did you mean `regexp_like`"),
            "{function}"
        );
        assert_eq!(told("order_idd > 1").await, "there is no column `order_idd`; did you mean `order_id`?");
        assert_eq!(told("__hw_clas").await, "there is no column `…`");
    }

    #[tokio::test]
    async fn a_value_that_does_not_fit_is_told_without_the_optimizer() {
        assert_eq!(told("1 / (order_id - 1)").await, "divides by zero");
        let cast = told("CAST(note AS INT) > 1").await;
        assert!(cast.contains("'x'") && !cast.contains("ptimizer") && !cast.contains("rror"), "{cast}");
        let literal = told("CAST('y' AS INT) > 1").await;
        assert!(
            literal.contains("'y'") && !literal.contains("ptimizer") && !literal.contains("caused by"),
            "{literal}"
        );
    }

    #[tokio::test]
    async fn a_parameter_that_nobody_gives_is_named() {
        assert_eq!(told("order_id > $asof").await, "names `$asof`, which has no value here");
    }
}
