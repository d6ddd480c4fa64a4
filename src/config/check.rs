//! Data-quality checks, as a pipeline file declares them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Action;
use crate::model::types::DataType;

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
    /// No two rows of the batch have the same values in these columns.
    Unique {
        /// The columns; at least one.
        columns: Vec<String>,
    },
    /// The column has one of these values.
    AcceptedValues {
        /// The values; at least one.
        values: Vec<String>,
    },
    /// The column's value lies between these, both in; at least one is given.
    AcceptedRange {
        /// The lowest.
        min: Option<String>,
        /// The highest.
        max: Option<String>,
    },
    /// The pattern is found in the column's text.
    Regex {
        /// A regular expression, found anywhere unless it is anchored.
        pattern: String,
    },
    /// The column's value is found in a dimension.
    Relationships {
        /// The dimension's name.
        to: String,
        /// The dimension's column.
        field: String,
    },
    /// An SQL condition holds for the row.
    Expression {
        /// The condition.
        sql: String,
    },
    /// The newest version is at most so many days older than the logical date.
    Freshness {
        /// Whole UTC days.
        within_days: u32,
    },
    /// So many rows were staged.
    RowCount {
        /// The fewest.
        min: Option<u64>,
        /// The most.
        max: Option<u64>,
    },
    /// About as many rows were left after the dedupe as in the loads before.
    RowCountChange {
        /// How far off the mean may be.
        within: Percent,
        /// How many loads the mean is taken of; at least 1.
        last: u32,
        /// How many loads there must be before it judges; at least 1 and at most `last`.
        min_history: u32,
    },
    /// At most this part of the rows has NULL in the column.
    NullRate {
        /// The part.
        max: Percent,
    },
    /// At most this part of the staged rows repeats another row.
    DuplicateRate {
        /// The part.
        max: Percent,
    },
    /// An SQL aggregate over the rows lies between these, both in; at least one is given.
    Aggregate {
        /// The aggregate.
        sql: String,
        /// The lowest.
        min: Option<String>,
        /// The highest.
        max: Option<String>,
    },
    /// Staging has these columns, with these types; it may have more.
    Schema {
        /// The columns, from staging's DDL file.
        columns: Vec<(String, DataType)>,
    },
    /// A query finds no row.
    Sql {
        /// A query over `batch` and the dimensions that returns rows which fail.
        query: String,
    },
}

impl CheckKind {
    /// The kind's name in pipeline files.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotNull => "not_null",
            Self::Unique { .. } => "unique",
            Self::AcceptedValues { .. } => "accepted_values",
            Self::AcceptedRange { .. } => "accepted_range",
            Self::Regex { .. } => "regex",
            Self::Relationships { .. } => "relationships",
            Self::Expression { .. } => "expression",
            Self::Freshness { .. } => "freshness",
            Self::RowCount { .. } => "row_count",
            Self::RowCountChange { .. } => "row_count_change",
            Self::NullRate { .. } => "null_rate",
            Self::DuplicateRate { .. } => "duplicate_rate",
            Self::Aggregate { .. } => "aggregate",
            Self::Schema { .. } => "schema",
            Self::Sql { .. } => "sql",
        }
    }

    /// Whether it tells which rows fail, as opposed to judging the batch as a whole.
    #[must_use]
    pub fn is_of_rows(&self) -> bool {
        matches!(
            self,
            Self::NotNull
                | Self::Unique { .. }
                | Self::AcceptedValues { .. }
                | Self::AcceptedRange { .. }
                | Self::Regex { .. }
                | Self::Relationships { .. }
                | Self::Expression { .. }
                | Self::Sql { .. }
        )
    }
}

impl CheckKind {
    /// Whether `where` can say which rows are examined.
    #[must_use]
    pub fn has_filter(&self) -> bool {
        match self {
            Self::NullRate { .. } | Self::Freshness { .. } | Self::Aggregate { .. } => true,
            Self::Sql { .. } => false,
            kind => kind.is_of_rows(),
        }
    }

    /// Whether `warn_if` and `error_if` can say how many rows may fail.
    #[must_use]
    pub fn has_thresholds(&self) -> bool {
        self.is_of_rows() || matches!(self, Self::NullRate { .. } | Self::DuplicateRate { .. })
    }

    /// The name of a check that is given none: of this kind, declared at `column` or for the table.
    pub(super) fn default_name(&self, column: Option<&str>) -> String {
        let of = match (column, self) {
            (Some(column), _) => column.to_owned(),
            (None, Self::Unique { columns }) => columns.join("_"),
            (None, _) => return self.as_str().to_owned(),
        };
        format!("{}_{of}", self.as_str())
    }
}

/// How many rows are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// Whether the limit itself is too many already: `>=` instead of `>`.
    pub inclusive: bool,
    /// The limit.
    pub limit: Limit,
}

impl Threshold {
    /// Whether `failed` of `examined` rows are too many. Integers are compared: 1 of 4 is not > 25 %.
    #[must_use]
    pub fn is_met(self, failed: i64, examined: i64) -> bool {
        let (is, limit) = match self.limit {
            Limit::Rows(rows) => (i128::from(failed), i128::from(rows)),
            Limit::Percent(percent) => percent.sides(failed, examined),
        };
        if self.inclusive { is >= limit && failed > 0 } else { is > limit }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.inclusive { ">=" } else { ">" };
        match self.limit {
            Limit::Rows(rows) => write!(f, "{sign} {rows}"),
            Limit::Percent(percent) => write!(f, "{sign} {percent}"),
        }
    }
}

/// A number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// So many.
    Rows(u64),
    /// So many of the rows examined.
    Percent(Percent),
}

/// A part of something, exact to a millionth of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Percent {
    millionths: u64,
}

/// Millionths of a percent in the whole.
const WHOLE: i128 = 100 * 1_000_000;

impl Percent {
    /// A part in millionths of a percent: 25 % is 25 000 000.
    #[must_use]
    pub fn from_millionths(millionths: u64) -> Self {
        Self { millionths }
    }

    /// Two integers that compare as `part` does with this part of `whole`.
    #[must_use]
    pub fn sides(self, part: i64, whole: i64) -> (i128, i128) {
        (i128::from(part) * WHOLE, i128::from(self.millionths) * i128::from(whole))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.millionths / 1_000_000, self.millionths % 1_000_000);
        if rest == 0 {
            return write!(f, "{whole} %");
        }
        let rest = format!("{rest:06}");
        write!(f, "{whole}.{} %", rest.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(number: u64) -> Limit {
        Limit::Percent(Percent::from_millionths(number * 1_000_000))
    }

    #[test]
    fn one_of_four_is_not_more_than_a_quarter() {
        let more = Threshold { inclusive: false, limit: percent(25) };
        assert!(!more.is_met(1, 4) && more.is_met(2, 4) && more.is_met(26, 100) && !more.is_met(0, 0));
        let as_many = Threshold { inclusive: true, ..more };
        assert!(as_many.is_met(1, 4) && !as_many.is_met(0, 0));
    }

    #[test]
    fn percent_shows_no_digits_that_say_nothing() {
        let texts = [25_000_000, 500_000, 33_333_333, 0].map(|n| Percent::from_millionths(n).to_string());
        assert_eq!(texts, ["25 %", "0.5 %", "33.333333 %", "0 %"]);
    }
}
