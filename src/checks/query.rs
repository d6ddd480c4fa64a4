//! `sql`: a query finds no row.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::RawCheck;
use super::sql::{key_column, own_name};
use super::{CheckKind, Condition, Kind, RawCommon, Scope, Shown, Sql, query_relation};
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

/// The column that is in each row of such a relation.
const RETURNED: &str = "returned";

/// The keys in a relation, as they are kept in that of [`query_relation`].
#[must_use]
pub(crate) fn keys_in(relation: &str, key: &[String]) -> String {
    let columns = key.iter().enumerate();
    let columns = columns.map(|(at, key)| format!("{} AS {}", column("q", key), key_column(at)));
    let columns: Vec<String> = columns.chain([format!("TRUE AS {}", own_name(RETURNED))]).collect();
    format!("SELECT DISTINCT {} FROM {relation} AS q", columns.join(", "))
}

impl Query {
    /// The query for the keys of rows that fail.
    pub(crate) fn keys_query(&self, key: &[String]) -> String {
        keys_in(&format!("(\n{}\n)", self.query.trim().trim_end_matches(';')), key)
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
        let same = |(at, key): (usize, &String)| {
            sql.null_keys.same(&column("s", key), &format!("{alias}.{}", key_column(at)))
        };
        let on: Vec<String> = sql.key.iter().enumerate().map(same).collect();
        let relation = Ident(&query_relation(sql.index)).to_string();
        let join = format!("\nLEFT JOIN {relation} AS {alias} ON {}", on.join(" AND "));
        Ok(Some(Condition { join, fails: format!("{alias}.{} IS NOT NULL", own_name(RETURNED)) }))
    }

    fn demand(&self) -> String {
        "not be returned by the query".to_owned()
    }
}
