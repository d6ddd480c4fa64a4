//! `unique`: no two rows have the same values in some columns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::RawPlain;
use super::raw::RawCheck;
use super::sql::own_name;
use super::{CheckKind, Condition, Kind, RawCommon, Scope, Shown, Sql};
use crate::model::sql::{Template, column};
use crate::notation::OneOrMany;

/// No two rows of the batch have the same values in these columns.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["columns"]))]
pub(crate) struct Raw {
    /// The columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "OneOrMany")]
    columns: Option<OneOrMany>,
    #[serde(flatten)]
    common: RawCommon,
}

/// No two rows of the batch have the same values in these columns; a NULL in any of them makes a row unlike all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    /// The columns; at least one.
    pub columns: Vec<String>,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "unique"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        let columns = self.columns.map(|columns| scope.columns("columns", columns)).unwrap_or_default();
        (CheckKind::Unique(Unique { columns }), self.common)
    }
}

/// As a check of one column, which needs no keys.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct RawOfColumn(RawPlain);

impl RawCheck for RawOfColumn {
    fn name(&self) -> &'static str {
        "unique"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        let columns = scope.column().map(str::to_owned).into_iter().collect();
        (CheckKind::Unique(Unique { columns }), self.0.common)
    }
}

impl Kind for Unique {
    fn name(&self) -> &'static str {
        "unique"
    }

    fn is_of_rows(&self) -> bool {
        true
    }

    fn compares(&self) -> bool {
        true
    }

    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn keys(&self, at_column: bool) -> Vec<(&'static str, Shown)> {
        if at_column { Vec::new() } else { vec![("columns", Shown::Texts(self.columns.clone()))] }
    }

    fn condition(&self, sql: &Sql<'_>) -> Result<Option<Condition>, String> {
        let (alias, named) = (sql.alias(), |at: usize| own_name(&format!("u{at}")));
        let each = |part: &dyn Fn(usize, &str) -> String| -> Vec<String> {
            self.columns.iter().enumerate().map(|(at, name)| part(at, &column("s", name))).collect()
        };
        let join = Template::new(include_str!("../sql/repeated.sql"))
            .set("selected", each(&|at, own| format!("{own} AS {}", named(at))).join(", "))
            .set("filled", each(&|_, own| format!("{own} IS NOT NULL")).join(" AND "))
            .set("filter", sql.filter.unwrap_or("TRUE"))
            .set("grouped", each(&|_, own| own.to_owned()).join(", "))
            .set("alias", &alias)
            .set("on", each(&|at, own| format!("{own} = {alias}.{}", named(at))).join(" AND "))
            .finish();
        let fails = format!("{alias}.{} IS NOT NULL", named(0));
        Ok(Some(Condition { join: format!("\n{join}"), fails }))
    }

    fn demand(&self) -> String {
        format!("be the only row with its {}", self.columns.join(", "))
    }
}
