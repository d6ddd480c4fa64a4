//! `not_null`: the column has a value.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::RawPlain;
use super::raw::RawCheck;
use super::{CheckKind, Condition, Kind, RawCommon, Scope, Sql};
use crate::model::CheckResult;

/// As it is written.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Raw(RawPlain);

/// The column has a value.
pub(super) struct NotNull;

impl RawCheck for Raw {
    fn name(&self) -> &'static str {
        "not_null"
    }

    fn resolve(self: Box<Self>, _scope: &mut dyn Scope) -> (CheckKind, RawCommon) {
        (CheckKind::NotNull, self.0.common)
    }
}

impl Kind for NotNull {
    fn name(&self) -> &'static str {
        "not_null"
    }

    fn is_of_rows(&self) -> bool {
        true
    }

    fn condition(&self, sql: &Sql<'_>) -> Result<Option<Condition>, String> {
        Ok(Some(Condition::of_row(format!("{} IS NULL", sql.own()))))
    }

    fn demand(&self) -> String {
        "not be NULL".to_owned()
    }

    fn told(&self, result: &CheckResult, by: &str) -> String {
        let CheckResult { name, examined, failed, .. } = result;
        let column = result.column.as_deref().unwrap_or_default();
        format!("{name}: NULL in `{column}` in {failed} of {examined} rows{by}")
    }
}
