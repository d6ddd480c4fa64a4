//! `accepted_range`: the column lies between two values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::RawBound;
use super::raw::RawCheck;
use super::sql::out_of_bounds;
use super::{CheckKind, Condition, Kind, Misfit, RawCommon, Scope, Shown, Sql, bound_keys};
use crate::model::types::Field;
use crate::notation::bound::{lower, upper};

/// The column's value lies between two values, both in.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false))]
pub(crate) struct Raw {
    /// The lowest value, of the column's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawBound")]
    min: Option<String>,
    /// The highest value, of the column's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawBound")]
    max: Option<String>,
    #[serde(flatten)]
    common: RawCommon,
}

/// The column's value lies between these, both in; at least one is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedRange {
    /// The lowest.
    pub min: Option<String>,
    /// The highest.
    pub max: Option<String>,
}

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "accepted_range"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        scope.needs_bound();
        (CheckKind::AcceptedRange(AcceptedRange { min: self.min, max: self.max }), self.common)
    }
}

impl Kind for AcceptedRange {
    fn name(&self) -> &'static str {
        "accepted_range"
    }

    fn is_of_rows(&self) -> bool {
        true
    }

    fn compares(&self) -> bool {
        true
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        bound_keys(self.min.as_ref(), self.max.as_ref())
    }

    fn misfits(&self, field: &Field) -> Vec<Misfit> {
        let min = self.min.as_deref().and_then(|min| lower(min, &field.data_type).err());
        let max = self.max.as_deref().and_then(|max| upper(max, &field.data_type).err());
        let found = [("min", min), ("max", max)].into_iter();
        found.filter_map(|(key, why)| Some(Misfit::Key(key.to_owned(), why?))).collect()
    }

    fn condition(&self, sql: &Sql<'_>) -> Result<Option<Condition>, String> {
        let (min, max) = (self.min.as_deref(), self.max.as_deref());
        let fails = out_of_bounds(&sql.own(), sql.data_type()?, min, max)?;
        Ok(Some(Condition::of_row(fails)))
    }

    fn demand(&self) -> String {
        match (&self.min, &self.max) {
            (Some(min), Some(max)) => format!("lie in {min} to {max}"),
            (Some(min), None) => format!("be at least {min}"),
            (None, Some(max)) => format!("be at most {max}"),
            (None, None) => "have any value".to_owned(),
        }
    }
}
