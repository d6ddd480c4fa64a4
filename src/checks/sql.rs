//! What the SQL of a kind of check is made from.

use crate::model::sql::{Ident, PREFIX, column};
use crate::model::types::DataType;
use crate::model::{Dialect, Literal};
use crate::notation::NullKeys;
use crate::notation::bound::{Bound, lower, upper};

/// A check at its place among others.
pub(crate) struct Sql<'a> {
    /// Its number.
    pub(crate) index: usize,
    /// The column that it is declared at, with its type.
    pub(crate) column: Option<(&'a str, &'a DataType)>,
    /// `where`.
    pub(crate) filter: Option<&'a str>,
    /// The columns of the key.
    pub(crate) key: &'a [String],
    /// Whether NULL in one of them is a value like others.
    pub(crate) null_keys: NullKeys,
}

/// What finds rows that fail, over the alias `s`.
pub(crate) struct Condition {
    /// What the row is held against, as a join to `s`; may be empty.
    pub(crate) join: String,
    /// True where the row fails.
    pub(crate) fails: String,
}

impl Condition {
    /// A condition that needs the row alone.
    pub(super) fn of_row(fails: String) -> Self {
        Self { join: String::new(), fails }
    }
}

impl Sql<'_> {
    /// The check's column.
    pub(super) fn own(&self) -> String {
        self.column.map(|(name, _)| column("s", name)).unwrap_or_default()
    }

    /// The type of the check's column.
    pub(super) fn data_type(&self) -> Result<&DataType, String> {
        self.column.map(|(_, data_type)| data_type).ok_or_else(|| "the check has no column".to_owned())
    }

    /// The alias of what the check joins.
    pub(super) fn alias(&self) -> String {
        format!("`{PREFIX}c{}`", self.index)
    }
}

/// A name of our own, in backticks.
pub(super) fn own_name(name: &str) -> String {
    Ident(&format!("{PREFIX}{name}")).to_string()
}

/// The name of the relation with the keys that check number `index` returns.
#[must_use]
pub(crate) fn query_relation(index: usize) -> String {
    format!("{PREFIX}q{index}")
}

/// The name of a key column in such a relation.
#[must_use]
pub(crate) fn key_column(at: usize) -> String {
    own_name(&format!("k{at}"))
}

/// The relation of a dimension, which never collides with one of our own.
#[must_use]
pub(crate) fn dimension_relation(name: &str) -> String {
    format!("{PREFIX}dim_{name}")
}

/// A value as this program's engine reads it.
pub(super) fn engine(literal: &Literal) -> String {
    literal.sql(Dialect::Engine)
}

/// Whether `own`, of this type, lies below the lowest or above the highest value. The error says what is wrong with one.
pub(super) fn out_of_bounds(
    own: &str,
    data_type: &DataType,
    min: Option<&str>,
    max: Option<&str>,
) -> Result<String, String> {
    let mut parts = Vec::new();
    if let Some(min) = min {
        parts.push(beyond(own, "<", lower(min, data_type)?));
    }
    if let Some(max) = max {
        parts.push(beyond(own, ">", upper(max, data_type)?));
    }
    Ok(parts.join(" OR "))
}

/// Whether `own` lies on the wrong side of a bound.
fn beyond(own: &str, sign: &str, bound: Bound) -> String {
    match bound {
        Bound::Literal(literal) => format!("{own} {sign} {}", engine(&literal)),
        Bound::Always => "FALSE".to_owned(),
        Bound::Never => format!("{own} IS NOT NULL"),
    }
}
