//! `accepted_values`: the column has one of some values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::RawValues;
use super::raw::RawCheck;
use super::sql::engine;
use super::{CheckKind, Condition, Kind, Misfit, RawCommon, Scope, Shown, Sql};
use crate::model::types::Field;
use crate::notation::bound::{Bound, equal};
use crate::notation::{Fault, OneOrMany};

/// The column has one of these values.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "required" = ["values"]))]
pub(crate) struct Raw {
    /// The values, of the column's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawValues")]
    values: Option<OneOrMany>,
    #[serde(flatten)]
    common: RawCommon,
}

/// The column has one of these values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedValues {
    /// The values; at least one.
    pub values: Vec<String>,
}

/// How many accepted values a demand names.
const NAMED: usize = 5;

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "accepted_values"
    }

    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        let values = self.values.map(OneOrMany::into_vec);
        if values.as_ref().is_some_and(Vec::is_empty) {
            scope.fault("values", Fault::new("must have at least one value"));
        }
        (CheckKind::AcceptedValues(AcceptedValues { values: values.unwrap_or_default() }), self.common)
    }
}

impl Kind for AcceptedValues {
    fn name(&self) -> &'static str {
        "accepted_values"
    }

    fn is_of_rows(&self) -> bool {
        true
    }

    fn compares(&self) -> bool {
        true
    }

    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        vec![("values", Shown::Texts(self.values.clone()))]
    }

    fn misfits(&self, field: &Field) -> Vec<Misfit> {
        let misfit = |(i, value): (usize, &String)| {
            let why = equal(value, &field.data_type).err()?;
            Some(Misfit::Key(format!("values.{i}"), why))
        };
        self.values.iter().enumerate().filter_map(misfit).collect()
    }

    fn condition(&self, sql: &Sql<'_>) -> Result<Option<Condition>, String> {
        let (own, data_type) = (sql.own(), sql.data_type()?);
        let mut literals = Vec::new();
        for value in &self.values {
            if let Bound::Literal(literal) = equal(value, data_type)? {
                literals.push(engine(&literal));
            }
        }
        Ok(Some(Condition::of_row(if literals.is_empty() {
            format!("{own} IS NOT NULL")
        } else {
            format!("{own} NOT IN ({})", literals.join(", "))
        })))
    }

    fn demand(&self) -> String {
        match self.values.get(..NAMED) {
            Some(named) if self.values.len() > NAMED => {
                format!("be one of {} and {} more", named.join(", "), self.values.len() - NAMED)
            }
            _ => format!("be one of {}", self.values.join(", ")),
        }
    }
}
