//! `regex`: a pattern is found in the column.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::RawCheck;
use super::sql::engine;
use super::{CheckKind, Condition, Kind, Misfit, RawCommon, Scope, Shown, Sql};
use crate::model::Literal;
use crate::model::types::{DataType, Field};
use crate::notation::{Fault, pattern};

/// A pattern is found in the column's text.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["pattern"]))]
pub(crate) struct Raw {
    /// A regular expression, found anywhere in the text unless it is anchored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"^[A-Z]{2}$")]
    pattern: Option<String>,
    #[serde(flatten)]
    common: RawCommon,
}

/// The pattern is found in the column's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regex {
    /// A regular expression, found anywhere unless it is anchored.
    pub pattern: String,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "regex"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        let text = scope.text("pattern", self.pattern);
        scope.take("pattern", pattern(&text));
        (CheckKind::Regex(Regex { pattern: text }), self.common)
    }
}

impl Kind for Regex {
    fn name(&self) -> &'static str {
        "regex"
    }

    fn is_of_rows(&self) -> bool {
        true
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        vec![("pattern", Shown::Text(self.pattern.clone()))]
    }

    fn misfits(&self, field: &Field) -> Vec<Misfit> {
        let Field { name, data_type, .. } = field;
        if *data_type == DataType::String {
            return Vec::new();
        }
        vec![Misfit::Check(Fault::new(format!("`regex` needs a STRING, but `{name}` is {data_type}")))]
    }

    fn condition(&self, sql: &Sql<'_>) -> Result<Option<Condition>, String> {
        let pattern = engine(&Literal::text(&self.pattern));
        Ok(Some(Condition::of_row(format!("NOT regexp_like({}, {pattern})", sql.own()))))
    }

    fn demand(&self) -> String {
        format!("match {}", self.pattern)
    }
}
