//! Checks: as a pipeline file says them, and what they mean in plain Rust.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use highwater::checks::{self, Check, CheckKind};
use highwater::model::Action;
use highwater::model::types::DataType;
use highwater::notation::{Limit, Percent, Threshold};
use serde_json::{Map, Value, json};

use super::case::{Column, Key, Row, day};

/// Staging's columns with their types.
pub(super) const STAGING: [(Column, DataType); 8] = [
    (Column::A, DataType::Long),
    (Column::B, DataType::String),
    (Column::Day, DataType::Date),
    (Column::V, DataType::Timestamp),
    (Column::N, DataType::Int),
    (Column::S, DataType::String),
    (Column::Seq, DataType::Int),
    (Column::File, DataType::String),
];

/// The values of the dimension `dim`, column `k`.
pub(super) const DIMENSION: [Option<i64>; 4] = [Some(1), Some(2), Some(2), None];

/// A check.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) demand: Demand,
    pub(super) action: Action,
    /// Its number in [`FILTERS`].
    pub(super) filter: Option<usize>,
    pub(super) warn_if: Option<Threshold>,
    pub(super) error_if: Option<Threshold>,
}

/// What a check demands.
#[derive(Debug, Clone)]
pub(super) enum Demand {
    NotNull(Column),
    Unique(Vec<Column>),
    Values(Column, Vec<&'static str>),
    Range(Column, Option<&'static str>, Option<&'static str>),
    Regex(usize),
    Relationships,
    Expression(usize),
    Query(usize),
    Freshness(u32),
    RowCount(Option<u64>, Option<u64>),
    RowCountChange {
        within: u64,
        last: u32,
        min_history: u32,
    },
    NullRate(Column, u64),
    DuplicateRate(u64),
    Aggregate(usize, Option<i64>, Option<i64>),
    /// Whether staging is as contracted.
    Schema(bool),
}

type Condition = fn(&Row, NaiveDate) -> Option<bool>;
type Matches = fn(&str) -> bool;
type Total = fn(&[&Row]) -> Option<i64>;

/// Texts for `where`, each with its meaning.
pub(super) const FILTERS: [(&str, Condition); 4] = [
    ("n > 0 -- and no more", |row, _| Some(row.n? > 0)),
    ("s IS NOT NULL", |row, _| Some(row.s.is_some())),
    ("day >= DATE '2025-08-26'", |row, _| Some(row.day? >= day(6))),
    ("seq = 1 OR n IS NULL", |row, _| either(row.seq.map(|seq| seq == 1), Some(row.n.is_none()))),
];

/// Texts for `expression`.
pub(super) const EXPRESSIONS: [(&str, Condition); 4] = [
    ("n + seq > 2", |row, _| Some(row.n? + row.seq? > 2)),
    ("s <> 'x' OR n > 1", |row, _| either(row.s.as_ref().map(|s| s != "x"), row.n.map(|n| n > 1))),
    ("day < $as_of", |row, as_of| Some(row.day? < as_of)),
    ("v IS NOT NULL AND n <= 2", |row, _| either(Some(row.v.is_none()), row.n.map(|n| n > 2)).map(|no| !no)),
];

/// Patterns for `regex`, on column `s`.
pub(super) const PATTERNS: [(&str, Matches); 4] = [
    ("^.$", |s| s.chars().count() == 1 && s != "\n"),
    ("日", |s| s.contains('日')),
    ("^$|'", |s| s.is_empty() || s.contains('\'')),
    ("^x", |s| s.starts_with('x')),
];

/// Queries that find rows which fail.
pub(super) const QUERIES: [&str; 3] = [
    "SELECT * FROM batch WHERE n < 1",
    "SELECT q.a, q.b FROM batch AS q JOIN dim AS d ON q.n = d.k -- those known",
    "SELECT a, MAX(b) AS b FROM batch GROUP BY a HAVING COUNT(*) > 1",
];

/// Aggregates.
pub(super) const TOTALS: [(&str, Total); 4] = [
    ("SUM(n)", |rows| rows.iter().filter_map(|row| row.n).reduce(|sum, n| sum + n)),
    ("COUNT(*)", |rows| Some(number(rows.len()))),
    ("MAX(seq)", |rows| rows.iter().filter_map(|row| row.seq).max()),
    ("COUNT(DISTINCT s)", |rows| {
        let distinct: BTreeSet<&String> = rows.iter().filter_map(|row| row.s.as_ref()).collect();
        Some(number(distinct.len()))
    }),
];

pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

/// OR, where NULL is not known.
fn either(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    if a == Some(true) || b == Some(true) { Some(true) } else { Some(a? || b?) }
}

impl Demand {
    /// Whether it tells which rows fail.
    pub(super) fn is_of_rows(&self) -> bool {
        !matches!(
            self,
            Self::Freshness(_)
                | Self::RowCount(..)
                | Self::RowCountChange { .. }
                | Self::NullRate(..)
                | Self::DuplicateRate(_)
                | Self::Aggregate(..)
                | Self::Schema(_)
        )
    }

    pub(super) fn column(&self) -> Option<Column> {
        match self {
            Self::NotNull(column)
            | Self::Values(column, _)
            | Self::Range(column, ..)
            | Self::NullRate(column, _) => Some(*column),
            Self::Regex(_) => Some(Column::S),
            Self::Relationships => Some(Column::N),
            _ => None,
        }
    }

    /// Which of the rows fail. All of them were examined.
    pub(super) fn failing(&self, rows: &[&Row], key: &Key, all: &[&Row], as_of: NaiveDate) -> Vec<bool> {
        let each = |fails: &dyn Fn(&Row) -> bool| rows.iter().map(|row| fails(row)).collect();
        match self {
            Self::NotNull(column) => each(&|row| row.text(*column).is_none()),
            Self::Unique(columns) => {
                let value = |row: &Row| -> Option<Vec<String>> {
                    columns.iter().map(|column| row.text(*column)).collect()
                };
                let values: Vec<_> = rows.iter().map(|row| value(row)).collect();
                let times =
                    |value: &Option<Vec<String>>| values.iter().filter(|other| *other == value).count();
                values.iter().map(|value| value.is_some() && times(value) > 1).collect()
            }
            Self::Values(column, values) => {
                each(&|row| row.text(*column).is_some_and(|text| !values.contains(&text.as_str())))
            }
            Self::Range(column, min, max) => each(&|row| out_of_range(row, *column, *min, *max)),
            Self::Regex(which) => each(&|row| row.s.as_ref().is_some_and(|s| !PATTERNS[*which].1(s))),
            Self::Relationships => each(&|row| row.n.is_some() && !DIMENSION.contains(&row.n)),
            Self::Expression(which) => each(&|row| EXPRESSIONS[*which].1(row, as_of) == Some(false)),
            Self::Query(which) => {
                let found = returned(*which, all, key);
                each(&|row| key_of(row, key).is_some_and(|key| found.contains(&key)))
            }
            _ => vec![false; rows.len()],
        }
    }
}

/// The texts of the key; `None` where a part is NULL, unless that is a value like others.
pub(super) fn key_of(row: &Row, key: &Key) -> Option<Vec<String>> {
    let null = || key.nulls_match.then(|| "\0".to_owned());
    key.iter().map(|column| row.text(*column).or_else(null)).collect()
}

/// The keys that a query returns.
fn returned(which: usize, rows: &[&Row], key: &Key) -> BTreeSet<Vec<String>> {
    let rows = rows.iter();
    match which {
        0 => rows.filter(|row| row.n.is_some_and(|n| n < 1)).filter_map(|row| key_of(row, key)).collect(),
        1 => {
            let known = rows.filter(|row| row.n.is_some() && DIMENSION.contains(&row.n));
            known.filter_map(|row| key_of(row, key)).collect()
        }
        _ => {
            let of = |a: Option<i64>| rows.clone().filter(move |row| row.a == a);
            let repeated = rows.clone().filter(|row| of(row.a).count() > 1);
            let greatest = repeated
                .map(|row| Row { b: of(row.a).filter_map(|row| row.b.clone()).max(), ..(*row).clone() });
            greatest.filter_map(|row| key_of(&row, key)).collect()
        }
    }
}

fn out_of_range(row: &Row, column: Column, min: Option<&str>, max: Option<&str>) -> bool {
    let Some(text) = row.text(column) else { return false };
    // Days sort as their texts do.
    let below = |a: &str, b: &str| match column {
        Column::N => a.parse::<f64>().unwrap() < b.parse::<f64>().unwrap(),
        _ => a < b,
    };
    min.is_some_and(|min| below(&text, min)) || max.is_some_and(|max| below(max, &text))
}

impl Spec {
    /// The check as the program has it.
    pub(super) fn check(&self) -> Check {
        let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let names = |columns: &[Column]| columns.iter().map(|column| column.name().to_owned()).collect();
        let text = |value: Option<&str>| value.map(str::to_owned);
        let percent = |number: u64| Percent::from_millionths(number * 1_000_000);
        let kind = match &self.demand {
            Demand::NotNull(_) => CheckKind::NotNull,
            Demand::Unique(columns) => CheckKind::Unique(checks::Unique { columns: names(columns) }),
            Demand::Values(_, values) => {
                CheckKind::AcceptedValues(checks::AcceptedValues { values: texts(values) })
            }
            Demand::Range(_, min, max) => {
                CheckKind::AcceptedRange(checks::AcceptedRange { min: text(*min), max: text(*max) })
            }
            Demand::Regex(which) => {
                CheckKind::Regex(checks::Regex { pattern: PATTERNS[*which].0.to_owned() })
            }
            Demand::Relationships => CheckKind::Relationships(checks::Relationships {
                to: "dim".to_owned(),
                field: "k".to_owned(),
            }),
            Demand::Expression(which) => {
                CheckKind::Expression(checks::Expression { sql: EXPRESSIONS[*which].0.to_owned() })
            }
            Demand::Query(which) => CheckKind::Sql(checks::Query { query: QUERIES[*which].to_owned() }),
            Demand::Freshness(within_days) => {
                CheckKind::Freshness(checks::Freshness { within_days: *within_days })
            }
            Demand::RowCount(min, max) => CheckKind::RowCount(checks::RowCount { min: *min, max: *max }),
            Demand::RowCountChange { within, last, min_history } => {
                let (last, min_history) = (*last, *min_history);
                CheckKind::RowCountChange(checks::RowCountChange {
                    within: percent(*within),
                    last,
                    min_history,
                })
            }
            Demand::NullRate(_, max) => CheckKind::NullRate(checks::NullRate { max: percent(*max) }),
            Demand::DuplicateRate(max) => {
                CheckKind::DuplicateRate(checks::DuplicateRate { max: percent(*max) })
            }
            Demand::Aggregate(which, min, max) => CheckKind::Aggregate(checks::Aggregate {
                sql: TOTALS[*which].0.to_owned(),
                min: min.map(|min| min.to_string()),
                max: max.map(|max| max.to_string()),
            }),
            Demand::Schema(agrees) => {
                let n = if *agrees { DataType::Int } else { DataType::Long };
                let columns = STAGING.map(|(column, of)| match column {
                    Column::N => ("n".to_owned(), n.clone()),
                    other => (other.name().to_owned(), of),
                });
                CheckKind::Schema(checks::Schema { columns: columns.into() })
            }
        };
        Check {
            name: self.name.clone(),
            kind,
            column: self.demand.column().map(|column| column.name().to_owned()),
            action: self.action,
            filter: self.filter.map(|which| FILTERS[which].0.to_owned()),
            warn_if: self.warn_if,
            error_if: self.error_if,
        }
    }

    /// The check as an item of a pipeline file.
    pub(super) fn item(&self) -> Value {
        let percent = |number: &u64| format!("{number} %");
        let names = |columns: &[Column]| columns.iter().map(|column| column.name()).collect::<Vec<_>>();
        let (kind, own) = match &self.demand {
            Demand::NotNull(_) => ("not_null", json!({})),
            Demand::Unique(columns) => ("unique", json!({"columns": names(columns)})),
            Demand::Values(_, values) => ("accepted_values", json!({"values": values})),
            Demand::Range(_, min, max) => ("accepted_range", json!({"min": min, "max": max})),
            Demand::Regex(which) => ("regex", json!({"pattern": PATTERNS[*which].0})),
            Demand::Relationships => ("relationships", json!({"to": "dim", "field": "k"})),
            Demand::Expression(which) => ("expression", json!({"sql": EXPRESSIONS[*which].0})),
            Demand::Query(which) => ("sql", json!({"query": QUERIES[*which]})),
            Demand::Freshness(days) => ("freshness", json!({"within": format!("{days} days")})),
            Demand::RowCount(min, max) => ("row_count", json!({"min": min, "max": max})),
            Demand::RowCountChange { within, last, min_history } => (
                "row_count_change",
                json!({"within": percent(within), "last": last, "min_history": min_history}),
            ),
            Demand::NullRate(_, max) => ("null_rate", json!({"max": percent(max)})),
            Demand::DuplicateRate(max) => ("duplicate_rate", json!({"max": percent(max)})),
            Demand::Aggregate(which, min, max) => {
                ("aggregate", json!({"sql": TOTALS[*which].0, "min": min, "max": max}))
            }
            Demand::Schema(_) => ("schema", json!({})),
        };
        let common = json!({
            "name": self.name,
            "action": self.action.as_str(),
            "where": self.filter.map(|which| FILTERS[which].0),
            "warn_if": self.warn_if.map(|threshold| threshold.to_string()),
            "error_if": self.error_if.map(|threshold| threshold.to_string()),
        });
        let keys = [own, common].into_iter().flat_map(|part| part.as_object().cloned().unwrap());
        let keys: Map<String, Value> = keys.filter(|(_, value)| !value.is_null()).collect();
        json!({ (kind): keys })
    }

    /// Whether a row is examined.
    pub(super) fn examines(&self, row: &Row, as_of: NaiveDate) -> bool {
        self.filter.is_none_or(|which| FILTERS[which].1(row, as_of) == Some(true))
    }

    /// Whether so many failed rows meet the threshold, in whole numbers.
    pub(super) fn is_met(threshold: Threshold, failed: i64, examined: i64) -> bool {
        let (is, limit) = match threshold.limit {
            Limit::Rows(rows) => (failed, i64::try_from(rows).unwrap()),
            // Limits of a whole percent: see `generate`.
            Limit::Percent(percent) => {
                let text = percent.to_string();
                let whole: i64 = text.trim_end_matches(" %").parse().unwrap();
                (failed * 100, whole * examined)
            }
        };
        if threshold.inclusive { is >= limit && failed > 0 } else { is > limit }
    }
}
