//! `aggregate`: an aggregate lies between two values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::RawBound;
use super::raw::RawCheck;
use super::sql::out_of_bounds;
use super::{CheckKind, Judged, Kind, Measure, RawCommon, Scope, Shown, Standing, bound_keys, bounds};
use crate::model::sql::Template;
use crate::model::types::DataType;

/// An SQL aggregate over the rows lies between two values, both in.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["sql"]))]
pub(crate) struct Raw {
    /// The aggregate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"SUM(total_amount)")]
    sql: Option<String>,
    /// The lowest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawBound")]
    min: Option<String>,
    /// The highest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawBound")]
    max: Option<String>,
    #[serde(flatten)]
    common: RawCommon,
}

/// An SQL aggregate over the rows lies between these, both in; at least one is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The aggregate.
    pub sql: String,
    /// The lowest.
    pub min: Option<String>,
    /// The highest.
    pub max: Option<String>,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "aggregate"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        scope.needs_bound();
        let sql = scope.text("sql", self.sql);
        let min = self.min.map(|text| scope.text("min", Some(text)));
        let max = self.max.map(|text| scope.text("max", Some(text)));
        (CheckKind::Aggregate(Aggregate { sql, min, max }), self.common)
    }
}

impl Aggregate {
    /// The query for its value, that value as text, whether it is out of bounds, and the rows examined. The error says
    /// what is wrong with a bound.
    pub(crate) fn query(&self, filter: Option<&str>, data_type: &DataType) -> Result<String, String> {
        let out = out_of_bounds("`value`", data_type, self.min.as_deref(), self.max.as_deref())?;
        Ok(Template::new(include_str!("../sql/aggregate.sql"))
            .set("aggregate", &self.sql)
            .set("filter", filter.unwrap_or("TRUE"))
            .set("out", out)
            .finish())
    }
}

impl Kind for Aggregate {
    fn name(&self) -> &'static str {
        "aggregate"
    }

    fn has_filter(&self) -> bool {
        true
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        let sql = std::iter::once(("sql", Shown::Text(self.sql.clone())));
        sql.chain(bound_keys(self.min.as_ref(), self.max.as_ref())).collect()
    }

    fn judged(&self, measure: &Measure, _by: &Standing<'_>) -> Judged {
        Judged { out: Some(measure.failed > 0), value: measure.value.clone() }
    }

    fn threshold(&self, _by: &Standing<'_>) -> Option<String> {
        bounds(self.min.as_ref(), self.max.as_ref())
    }
}
