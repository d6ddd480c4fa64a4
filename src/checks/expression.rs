//! `expression`: a condition holds for the row.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::RawCheck;
use super::{CheckKind, Condition, Kind, RawCommon, Scope, Shown, Sql};

/// An SQL condition holds for the row.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["sql"]))]
pub(crate) struct Raw {
    /// The condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"shipped_at >= ordered_at")]
    sql: Option<String>,
    #[serde(flatten)]
    common: RawCommon,
}

/// An SQL condition holds for the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expression {
    /// The condition.
    pub sql: String,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "expression"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        (CheckKind::Expression(Expression { sql: scope.text("sql", self.sql) }), self.common)
    }
}

impl Kind for Expression {
    fn name(&self) -> &'static str {
        "expression"
    }

    fn is_of_rows(&self) -> bool {
        true
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        vec![("sql", Shown::Text(self.sql.clone()))]
    }

    fn condition(&self, _sql: &Sql<'_>) -> Result<Option<Condition>, String> {
        // On a line of its own, so that a comment in it ends there.
        Ok(Some(Condition::of_row(format!("NOT (\n{}\n)", self.sql))))
    }

    fn demand(&self) -> String {
        format!("satisfy {}", self.sql)
    }
}
