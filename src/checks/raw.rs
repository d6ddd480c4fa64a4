//! Checks as the author of a pipeline file writes them.
//!
//! An item of a list of checks is a mapping with one key, the check's kind, under which its own keys and the common
//! ones stand. A struct with every kind as a key, rather than an enum, so that editors complete
//! the kinds and the walk knows each one's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CheckKind;
use super::common::RawValue;
use super::{
    RawCommon, Scope, accepted_range, accepted_values, aggregate, duplicate_rate, expression, freshness,
    not_null, null_rate, query, regex, relationships, row_count, row_count_change, schema, unique,
};
use crate::notation::{Mask, OneOrMany};

/// What is declared for a column of the batch.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawColumn {
    /// Where its values come from: a column of staging, or an expression over staging's columns in SQL, such as
    /// `to_timestamp_millis(ts)`. Left out, the column of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"CAST(date_trunc('month', order_date) AS DATE)")]
    pub(crate) from: Option<String>,
    /// Other names that staging may have for it, or had: in each row the first that has a value, its own before all.
    #[serde(skip_serializing_if = "OneOrMany::is_empty")]
    pub(crate) aliases: OneOrMany,
    /// What stands for NULL, and for a column that staging lacks: a value of the column's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RawValue")]
    pub(crate) default: Option<String>,
    /// Makes its values unreadable before anything else sees them; what they are made from is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Mask")]
    pub(crate) mask: Option<Mask>,
    /// Whether its values are a person's: they are loaded as they are, and `***` stands for them in all that is reported.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) pii: bool,
    /// Checks of the column.
    pub(crate) checks: Checks<ColumnShort, RawColumnCheck>,
}

/// A list of checks, or its only item.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Checks<S, C> {
    /// Short for a list of one.
    One(S),
    Many(Vec<Item<S, C>>),
}

/// A check.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Item<S, C> {
    /// Short for the kind of check without keys: `KIND: {}`.
    Bare(S),
    // Boxed, for most keys of a check are not there.
    Full(Box<C>),
}

impl RawColumn {
    /// Whether it says where values come from, and not only what they must be.
    pub(crate) fn is_mapped(&self) -> bool {
        self.from.is_some() || !self.aliases.is_empty() || self.default.is_some() || self.mask.is_some()
    }
}

impl<S, C> Default for Checks<S, C> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<S, C> Checks<S, C> {
    pub(crate) fn into_vec(self) -> Vec<Item<S, C>> {
        match self {
            Self::One(check) => vec![Item::Bare(check)],
            Self::Many(checks) => checks,
        }
    }
}

/// Checks of a column that need no keys.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ColumnShort {
    /// The column has a value.
    NotNull,
    /// No two rows have the same value in the column.
    Unique,
}

/// Checks of the table that need no keys.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TableShort {
    /// Staging has the columns of its DDL file, `source.ddl`, with their types.
    Schema,
}

/// A check of a column: one kind, with its keys.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct RawColumnCheck {
    /// The column has a value. Built in for the key, the version and the watermark column.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "not_null::Raw")]
    not_null: Option<not_null::Raw>,
    /// No two rows of the batch have the same value in the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "unique::RawOfColumn")]
    unique: Option<unique::RawOfColumn>,
    /// The column has one of these values.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "accepted_values::Raw")]
    accepted_values: Option<accepted_values::Raw>,
    /// The column's value lies between two values, both in. At least one of `min` and `max` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "accepted_range::Raw")]
    accepted_range: Option<accepted_range::Raw>,
    /// A pattern is found in the column's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "regex::Raw")]
    regex: Option<regex::Raw>,
    /// The column's value is found in a dimension.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "relationships::Raw")]
    relationships: Option<relationships::Raw>,
    /// An SQL condition holds for the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "expression::Raw")]
    expression: Option<expression::Raw>,
    /// At most a part of the rows has NULL in the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "null_rate::Raw")]
    null_rate: Option<null_rate::Raw>,
    /// An SQL aggregate over the rows lies between two values. At least one of `min` and `max` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "aggregate::Raw")]
    aggregate: Option<aggregate::Raw>,
}

/// A check of the table: one kind, with its keys.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct RawTableCheck {
    /// No two rows of the batch have the same values in these columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "unique::Raw")]
    unique: Option<unique::Raw>,
    /// An SQL condition holds for the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "expression::Raw")]
    expression: Option<expression::Raw>,
    /// The newest version is at most so old on the logical date.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "freshness::Raw")]
    freshness: Option<freshness::Raw>,
    /// So many rows were staged. At least one of `min` and `max` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "row_count::Raw")]
    row_count: Option<row_count::Raw>,
    /// About as many rows were left after the dedupe as in the loads before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "row_count_change::Raw")]
    row_count_change: Option<row_count_change::Raw>,
    /// At most a part of the staged rows repeats another row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "duplicate_rate::Raw")]
    duplicate_rate: Option<duplicate_rate::Raw>,
    /// An SQL aggregate over the rows lies between two values. At least one of `min` and `max` is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "aggregate::Raw")]
    aggregate: Option<aggregate::Raw>,
    /// Staging has the columns of its DDL file, `source.ddl`, with their types. It may have more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "schema::Raw")]
    schema: Option<schema::Raw>,
    /// A query finds no row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "query::Raw")]
    sql: Option<query::Raw>,
}

/// A check of whichever kind, at whichever level, as it is written.
pub(crate) trait RawCheck {
    /// The kind's key.
    fn name(&self) -> &'static str;

    /// What it demands, and its common keys.
    fn resolve(self: Box<Self>, scope: &mut dyn Scope) -> (CheckKind, RawCommon);
}

/// The first of these that is there.
macro_rules! first_of {
    ($raw:expr, $($kind:ident),*) => {
        None$(.or_else(|| $raw.$kind.map(|kind| Box::new(kind) as Box<dyn RawCheck>)))*
    };
}

impl Item<ColumnShort, RawColumnCheck> {
    /// None where the item's key was unknown, which has been reported; so has a second key.
    pub(crate) fn into_check(self) -> Option<Box<dyn RawCheck>> {
        let raw = match self {
            Item::Bare(ColumnShort::NotNull) => return Some(Box::new(not_null::Raw::default())),
            Item::Bare(ColumnShort::Unique) => return Some(Box::new(unique::RawOfColumn::default())),
            Item::Full(raw) => *raw,
        };
        first_of!(
            raw,
            not_null,
            unique,
            accepted_values,
            accepted_range,
            regex,
            relationships,
            expression,
            null_rate,
            aggregate
        )
    }
}

impl Item<TableShort, RawTableCheck> {
    /// None where the item's key was unknown, which has been reported; so has a second key.
    pub(crate) fn into_check(self) -> Option<Box<dyn RawCheck>> {
        let raw = match self {
            Item::Bare(TableShort::Schema) => return Some(Box::new(schema::Raw::default())),
            Item::Full(raw) => *raw,
        };
        first_of!(
            raw,
            unique,
            expression,
            freshness,
            row_count,
            row_count_change,
            duplicate_rate,
            aggregate,
            schema,
            sql
        )
    }
}
