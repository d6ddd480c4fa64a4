//! `relationships`: the column is found in a dimension.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::RawCheck;
use super::sql::own_name;
use super::{CheckKind, Condition, Kind, RawCommon, Scope, Shown, Sql, dimension_relation};
use crate::model::sql::Ident;
use crate::notation::{Fault, did_you_mean};

/// The column's value is found in a dimension.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["to", "field"]))]
pub(crate) struct Raw {
    /// The dimension's name under `dimensions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    to: Option<String>,
    /// The dimension's column.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    field: Option<String>,
    #[serde(flatten)]
    common: RawCommon,
}

/// The column's value is found in a dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relationships {
    /// The dimension's name.
    pub to: String,
    /// The dimension's column.
    pub field: String,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "relationships"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        let to = self.to.unwrap_or_default();
        if !to.is_empty() && !scope.dimensions().contains(&to) {
            let mut fault = Fault::new(format!("names no dimension: there is no `{to}` in `dimensions`"));
            fault.hint = did_you_mean(&to, scope.dimensions().iter().map(String::as_str));
            scope.fault("to", fault);
        }
        let field = scope.text("field", self.field);
        (CheckKind::Relationships(Relationships { to, field }), self.common)
    }
}

impl Kind for Relationships {
    fn name(&self) -> &'static str {
        "relationships"
    }

    fn is_of_rows(&self) -> bool {
        true
    }

    fn compares(&self) -> bool {
        true
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        vec![("to", Shown::Text(self.to.clone())), ("field", Shown::Text(self.field.clone()))]
    }

    fn condition(&self, sql: &Sql<'_>) -> Result<Option<Condition>, String> {
        let (own, alias, found) = (sql.own(), sql.alias(), own_name("found"));
        let join = format!(
            "\nLEFT JOIN (SELECT DISTINCT {} AS {found} FROM {}) AS {alias} ON {own} = {alias}.{found}",
            Ident(&self.field),
            Ident(&dimension_relation(&self.to)),
        );
        Ok(Some(Condition { join, fails: format!("{own} IS NOT NULL AND {alias}.{found} IS NULL") }))
    }

    fn demand(&self) -> String {
        format!("be found in {}.{}", self.to, self.field)
    }
}
