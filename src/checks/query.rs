//! `sql`: a query finds no row.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::RawCheck;
use super::{CheckKind, Condition, Kind, RawCommon, Scope, Shown, Sql, key_column, query_relation};
use crate::model::sql::{Ident, column};

/// A query finds no row.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["query"]))]
pub(crate) struct Raw {
    /// A query over `batch` and the dimensions that returns the rows which fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"SELECT * FROM batch WHERE total_amount < 0")]
    query: Option<String>,
    #[serde(flatten)]
    common: RawCommon,
}

/// A query finds no row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// A query over `batch` and the dimensions that returns rows which fail.
    pub query: String,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "sql"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        (CheckKind::Sql(Query { query: scope.text("query", self.query) }), self.common)
    }
}

impl Query {
    /// The query for the keys of rows that fail, which are kept in the relation of [`query_relation`].
    pub(crate) fn keys_query(&self, key: &[String]) -> String {
        let columns: Vec<String> = key
            .iter()
            .enumerate()
            .map(|(at, key)| format!("{} AS {}", column("q", key), key_column(at)))
            .collect();
        let query = self.query.trim().trim_end_matches(';');
        format!("SELECT DISTINCT {} FROM (\n{query}\n) AS q", columns.join(", "))
    }
}

impl Kind for Query {
    fn name(&self) -> &'static str {
        "sql"
    }

    fn is_of_rows(&self) -> bool {
        true
    }

    fn has_filter(&self) -> bool {
        false
    }

    fn instead_of_filter(&self) -> &'static str {
        "say it in the query"
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        vec![("query", Shown::Text(self.query.clone()))]
    }

    fn condition(&self, sql: &Sql<'_>) -> Result<Option<Condition>, String> {
        let alias = sql.alias();
        let keys = sql.key.iter().enumerate();
        let on: Vec<String> =
            keys.map(|(at, key)| format!("{} = {alias}.{}", column("s", key), key_column(at))).collect();
        let relation = Ident(&query_relation(sql.index)).to_string();
        let join = format!("\nLEFT JOIN {relation} AS {alias} ON {}", on.join(" AND "));
        Ok(Some(Condition { join, fails: format!("{alias}.{} IS NOT NULL", key_column(0)) }))
    }

    fn demand(&self) -> String {
        "not be returned by the query".to_owned()
    }
}
