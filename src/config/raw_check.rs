//! Data-quality checks as the author of a pipeline file writes them; part of [`super::raw`].
//!
//! An item of a list of checks is a mapping with one key, the check's kind, under which its own keys and the common
//! ones stand ([`super::raw_kind`]). A struct with every kind as a key, rather than an enum, so that editors complete
//! the kinds and the walk knows each one's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw_kind::{
    RawAcceptedRange, RawAcceptedValues, RawAggregate, RawExpression, RawFreshness, RawPlain, RawQuery,
    RawRate, RawRegex, RawRelationships, RawRowCount, RawRowCountChange, RawUniqueOf,
};

/// What is declared for a column of the staging table.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawColumn {
    /// Checks of the column.
    pub(super) checks: Checks<ColumnShort, RawColumnCheck>,
}

/// A list of checks, or its only item.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Checks<S, C> {
    /// Short for a list of one.
    One(S),
    Many(Vec<Item<S, C>>),
}

/// A check.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Item<S, C> {
    /// Short for the kind of check without keys: `KIND: {}`.
    Bare(S),
    // Boxed, for most keys of a check are not there.
    Full(Box<C>),
}

impl<S, C> Default for Checks<S, C> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<S, C> Checks<S, C> {
    pub(super) fn into_vec(self) -> Vec<Item<S, C>> {
        match self {
            Self::One(check) => vec![Item::Bare(check)],
            Self::Many(checks) => checks,
        }
    }
}

/// Checks of a column that need no keys.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ColumnShort {
    /// The column has a value.
    NotNull,
    /// No two rows have the same value in the column.
    Unique,
}

/// Checks of the table that need no keys.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TableShort {
    /// Staging has the columns of its DDL file, `source.ddl`, with their types.
    Schema,
}

/// A check of a column: one kind, with its keys.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct RawColumnCheck {
    /// The column has a value. Built in for the key, the version and the watermark column.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawPlain")]
    not_null: Option<RawPlain>,
    /// No two rows of the batch have the same value in the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawPlain")]
    unique: Option<RawPlain>,
    /// The column has one of these values.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawAcceptedValues")]
    accepted_values: Option<RawAcceptedValues>,
    /// The column's value lies between two values, both in. At least one of `min` and `max` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawAcceptedRange")]
    accepted_range: Option<RawAcceptedRange>,
    /// A pattern is found in the column's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawRegex")]
    regex: Option<RawRegex>,
    /// The column's value is found in a dimension.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawRelationships")]
    relationships: Option<RawRelationships>,
    /// An SQL condition holds for the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawExpression")]
    expression: Option<RawExpression>,
    /// At most a part of the rows has NULL in the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawRate")]
    null_rate: Option<RawRate>,
    /// An SQL aggregate over the rows lies between two values. At least one of `min` and `max` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawAggregate")]
    aggregate: Option<RawAggregate>,
}

/// A check of the table: one kind, with its keys.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(super) struct RawTableCheck {
    /// No two rows of the batch have the same values in these columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawUniqueOf")]
    unique: Option<RawUniqueOf>,
    /// An SQL condition holds for the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawExpression")]
    expression: Option<RawExpression>,
    /// The newest version is at most so old on the logical date.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawFreshness")]
    freshness: Option<RawFreshness>,
    /// So many rows were staged. At least one of `min` and `max` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawRowCount")]
    row_count: Option<RawRowCount>,
    /// About as many rows were left after the dedupe as in the loads before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawRowCountChange")]
    row_count_change: Option<RawRowCountChange>,
    /// At most a part of the staged rows repeats another row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawRate")]
    duplicate_rate: Option<RawRate>,
    /// An SQL aggregate over the rows lies between two values. At least one of `min` and `max` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawAggregate")]
    aggregate: Option<RawAggregate>,
    /// Staging has the columns of its DDL file, `source.ddl`, with their types. It may have more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawPlain")]
    schema: Option<RawPlain>,
    /// A query finds no row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawQuery")]
    sql: Option<RawQuery>,
}

/// A check of whichever kind, at whichever level.
pub(super) enum RawKind {
    NotNull(RawPlain),
    Unique(RawPlain),
    UniqueOf(RawUniqueOf),
    AcceptedValues(RawAcceptedValues),
    AcceptedRange(RawAcceptedRange),
    Regex(RawRegex),
    Relationships(RawRelationships),
    Expression(RawExpression),
    Freshness(RawFreshness),
    RowCount(RawRowCount),
    RowCountChange(RawRowCountChange),
    NullRate(RawRate),
    DuplicateRate(RawRate),
    Aggregate(RawAggregate),
    Schema(RawPlain),
    Sql(RawQuery),
}

impl RawKind {
    /// The kind's key.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::NotNull(_) => "not_null",
            Self::Unique(_) | Self::UniqueOf(_) => "unique",
            Self::AcceptedValues(_) => "accepted_values",
            Self::AcceptedRange(_) => "accepted_range",
            Self::Regex(_) => "regex",
            Self::Relationships(_) => "relationships",
            Self::Expression(_) => "expression",
            Self::Freshness(_) => "freshness",
            Self::RowCount(_) => "row_count",
            Self::RowCountChange(_) => "row_count_change",
            Self::NullRate(_) => "null_rate",
            Self::DuplicateRate(_) => "duplicate_rate",
            Self::Aggregate(_) => "aggregate",
            Self::Schema(_) => "schema",
            Self::Sql(_) => "sql",
        }
    }
}

impl Item<ColumnShort, RawColumnCheck> {
    /// None where the item's key was unknown, which has been reported; so has a second key.
    pub(super) fn into_kind(self) -> Option<RawKind> {
        let raw = match self {
            Item::Bare(ColumnShort::NotNull) => return Some(RawKind::NotNull(RawPlain::default())),
            Item::Bare(ColumnShort::Unique) => return Some(RawKind::Unique(RawPlain::default())),
            Item::Full(raw) => *raw,
        };
        let kind = raw.not_null.map(RawKind::NotNull);
        let kind = kind.or(raw.unique.map(RawKind::Unique));
        let kind = kind.or(raw.accepted_values.map(RawKind::AcceptedValues));
        let kind = kind.or(raw.accepted_range.map(RawKind::AcceptedRange));
        let kind = kind.or(raw.regex.map(RawKind::Regex));
        let kind = kind.or(raw.relationships.map(RawKind::Relationships));
        let kind = kind.or(raw.expression.map(RawKind::Expression));
        let kind = kind.or(raw.null_rate.map(RawKind::NullRate));
        kind.or(raw.aggregate.map(RawKind::Aggregate))
    }
}

impl Item<TableShort, RawTableCheck> {
    /// None where the item's key was unknown, which has been reported; so has a second key.
    pub(super) fn into_kind(self) -> Option<RawKind> {
        let raw = match self {
            Item::Bare(TableShort::Schema) => return Some(RawKind::Schema(RawPlain::default())),
            Item::Full(raw) => *raw,
        };
        let kind = raw.unique.map(RawKind::UniqueOf);
        let kind = kind.or(raw.expression.map(RawKind::Expression));
        let kind = kind.or(raw.freshness.map(RawKind::Freshness));
        let kind = kind.or(raw.row_count.map(RawKind::RowCount));
        let kind = kind.or(raw.row_count_change.map(RawKind::RowCountChange));
        let kind = kind.or(raw.duplicate_rate.map(RawKind::DuplicateRate));
        let kind = kind.or(raw.aggregate.map(RawKind::Aggregate));
        let kind = kind.or(raw.schema.map(RawKind::Schema));
        kind.or(raw.sql.map(RawKind::Sql))
    }
}
