//! Data-quality checks: each kind in a file of its own, with its keys in the pipeline file, the SQL that finds rows which
//! fail, how it judges what was measured, and its words.
//!
//! A new kind is a file here, a variant of [`CheckKind`], and a line in [`raw`].

mod accepted_range;
mod accepted_values;
mod aggregate;
mod common;
mod duplicate_rate;
mod expression;
mod freshness;
mod judgement;
mod not_null;
mod null_rate;
mod query;
pub(crate) mod raw;
mod regex;
mod relationships;
mod row_count;
mod row_count_change;
mod schema;
mod scope;
mod sql;
mod unique;

use serde::{Deserialize, Serialize};

pub use accepted_range::AcceptedRange;
pub use accepted_values::AcceptedValues;
pub use aggregate::Aggregate;
pub(crate) use common::RawCommon;
pub use duplicate_rate::DuplicateRate;
pub use expression::Expression;
pub use freshness::Freshness;
pub(crate) use judgement::{Judged, Standing};
pub use judgement::{Measure, PastLoad};
pub use null_rate::NullRate;
pub use query::Query;
pub(crate) use query::keys_in;
pub use regex::Regex;
pub use relationships::Relationships;
pub use row_count::RowCount;
pub use row_count_change::RowCountChange;
pub use schema::Schema;
pub(crate) use scope::Scope;
pub(crate) use sql::{Condition, Sql, dimension_relation, query_relation};
pub use unique::Unique;

use crate::model::types::Field;
use crate::model::{Action, CheckResult, Counts};
use crate::notation::{Fault, Threshold};

/// One check of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name: unique in the pipeline.
    pub name: String,
    /// What it demands.
    pub kind: CheckKind,
    /// The column that it is declared at; `None` where it is declared for the table.
    pub column: Option<String>,
    /// What happens when it fails. Only checks of rows can quarantine.
    pub action: Action,
    /// `where`: SQL that says which rows are examined.
    pub filter: Option<String>,
    /// Warn when so many of the examined rows fail.
    pub warn_if: Option<Threshold>,
    /// Reject the batch when so many of the examined rows fail.
    pub error_if: Option<Threshold>,
}

impl Check {
    /// A check that keeps out the rows for which a condition does not hold.
    #[must_use]
    pub fn of_row(name: &str, sql: String) -> Self {
        Self {
            name: name.to_owned(),
            kind: CheckKind::Expression(Expression { sql }),
            column: None,
            action: Action::Quarantine,
            filter: None,
            warn_if: None,
            error_if: None,
        }
    }

    /// The check that `column` has a value, which a pipeline has for its key, version and watermark column without
    /// being told: a row that lacks one of them has no place in the target.
    #[must_use]
    pub fn built_in(column: &str) -> Self {
        let kind = CheckKind::NotNull;
        Self {
            name: kind.default_name(Some(column)),
            kind,
            column: Some(column.to_owned()),
            action: Action::Fail,
            filter: None,
            warn_if: None,
            error_if: None,
        }
    }
}

/// What a check demands. Text that stands for a value is as it was written; its type is the column's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// The column has a value.
    NotNull,
    /// No two rows of the batch have the same values in some columns.
    Unique(Unique),
    /// The column has one of some values.
    AcceptedValues(AcceptedValues),
    /// The column's value lies between two values.
    AcceptedRange(AcceptedRange),
    /// A pattern is found in the column's text.
    Regex(Regex),
    /// The column's value is found in a dimension.
    Relationships(Relationships),
    /// An SQL condition holds for the row.
    Expression(Expression),
    /// The newest version is not too old.
    Freshness(Freshness),
    /// So many rows were staged.
    RowCount(RowCount),
    /// About as many rows were left after the dedupe as in the loads before.
    RowCountChange(RowCountChange),
    /// At most a part of the rows has NULL in the column.
    NullRate(NullRate),
    /// At most a part of the staged rows repeats another row.
    DuplicateRate(DuplicateRate),
    /// An SQL aggregate over the rows lies between two values.
    Aggregate(Aggregate),
    /// Staging has the columns of its contract.
    Schema(Schema),
    /// A query finds no row.
    Sql(Query),
}

/// All that a kind of check has to say of itself.
pub(crate) trait Kind {
    /// Its name in pipeline files.
    fn name(&self) -> &'static str;

    /// Whether it tells which rows fail, as opposed to judging the batch as a whole.
    fn is_of_rows(&self) -> bool {
        false
    }

    /// Whether `where` can say which rows are examined.
    fn has_filter(&self) -> bool {
        self.is_of_rows()
    }

    /// What to do where `where` means nothing.
    fn instead_of_filter(&self) -> &'static str {
        "leave it out"
    }

    /// Whether it counts rows that fail, so that `warn_if` and `error_if` can say how many may.
    fn has_thresholds(&self) -> bool {
        self.is_of_rows()
    }

    /// The columns that it names itself.
    fn columns(&self) -> &[String] {
        &[]
    }

    /// The keys that only this kind has.
    fn keys(&self, _at_column: bool) -> Vec<(&'static str, Shown)> {
        Vec::new()
    }

    /// Whether it compares values, which a nested column has none of.
    fn compares(&self) -> bool {
        false
    }

    /// Why it cannot be put to this column of staging.
    fn misfits(&self, _field: &Field) -> Vec<Misfit> {
        Vec::new()
    }

    /// Why it cannot be put to this version column.
    fn misfit_of_version(&self, _version: &Field) -> Option<Fault> {
        None
    }

    /// What finds the rows that fail; `None` where no pass over the rows does. The error says what is wrong with a value.
    fn condition(&self, _sql: &Sql<'_>) -> Result<Option<Condition>, String> {
        Ok(None)
    }

    /// Rows examined and rows that fail, where the counts of the batch tell.
    fn measured(&self, _counts: &Counts) -> Option<(i64, i64)> {
        None
    }

    /// How many fail, where it counts them.
    fn failures(&self, measure: &Measure) -> Option<i64> {
        self.has_thresholds().then_some(measure.failed)
    }

    /// Judges a value, where it judges one.
    fn judged(&self, _measure: &Measure, _by: &Standing<'_>) -> Judged {
        Judged { out: Some(false), value: None }
    }

    /// What it judges by, in words.
    fn threshold(&self, _by: &Standing<'_>) -> Option<String> {
        None
    }

    /// What it demands of a row: to follow on "must".
    fn demand(&self) -> String {
        format!("pass {}", self.name())
    }

    /// Why it rejects a batch, in words; `by` is what it was judged by.
    fn told(&self, result: &CheckResult, by: &str) -> String {
        let CheckResult { name, examined, failed, .. } = result;
        if self.has_thresholds() {
            return format!("{name}: {failed} of {examined} rows fail{by}");
        }
        format!("{name}: {} is out of bounds{by}", result.value.as_deref().unwrap_or("NULL"))
    }
}

/// A value of a check's key, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A text, in quotes where YAML needs them.
    Text(String),
    /// A list of such.
    Texts(Vec<String>),
    /// As it stands.
    Bare(String),
}

/// Why a check cannot be put to a column.
#[derive(Debug)]
pub(crate) enum Misfit {
    /// The check as a whole.
    Check(Fault),
    /// What stands at this key: the message follows on it.
    Key(String, String),
}

impl CheckKind {
    /// The kind behind the variant.
    pub(crate) fn kind(&self) -> &dyn Kind {
        match self {
            Self::NotNull => &not_null::NotNull,
            Self::Unique(kind) => kind,
            Self::AcceptedValues(kind) => kind,
            Self::AcceptedRange(kind) => kind,
            Self::Regex(kind) => kind,
            Self::Relationships(kind) => kind,
            Self::Expression(kind) => kind,
            Self::Freshness(kind) => kind,
            Self::RowCount(kind) => kind,
            Self::RowCountChange(kind) => kind,
            Self::NullRate(kind) => kind,
            Self::DuplicateRate(kind) => kind,
            Self::Aggregate(kind) => kind,
            Self::Schema(kind) => kind,
            Self::Sql(kind) => kind,
        }
    }

    /// The kind's name in pipeline files.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.kind().name()
    }

    /// Whether it tells which rows fail, as opposed to judging the batch as a whole.
    #[must_use]
    pub fn is_of_rows(&self) -> bool {
        self.kind().is_of_rows()
    }

    /// The name of a check that is given none: of this kind, declared at `column` or for the table.
    pub(crate) fn default_name(&self, column: Option<&str>) -> String {
        let of = match column {
            Some(column) => column.to_owned(),
            None if self.kind().columns().is_empty() => return self.as_str().to_owned(),
            None => self.kind().columns().join("_"),
        };
        format!("{}_{of}", self.as_str())
    }
}

/// The lowest and the highest value as keys.
fn bound_keys(min: Option<&String>, max: Option<&String>) -> Vec<(&'static str, Shown)> {
    let bounds = [("min", min), ("max", max)].into_iter();
    bounds.filter_map(|(key, bound)| Some((key, Shown::Text(bound?.clone())))).collect()
}

/// Bounds in words.
fn bounds<T: std::fmt::Display>(min: Option<&T>, max: Option<&T>) -> Option<String> {
    match (min, max) {
        (Some(min), Some(max)) => Some(format!("{min} to {max}")),
        (Some(min), None) => Some(format!("at least {min}")),
        (None, Some(max)) => Some(format!("at most {max}")),
        (None, None) => None,
    }
}
