//! What a pipeline's mapping makes of the staging table's columns.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::config::Explode;
use crate::model::Dialect;
use crate::model::sql::{Ident, column};
use crate::model::types::{DataType, Field};

/// What staging's rows are called: no column of theirs has such a name.
const ALIAS: &str = "__hw_staging";

/// A mapping with staging's columns filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    /// The array of which each element makes a row, before all else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explode: Option<Explode>,
    /// The columns that a batch has, in order.
    pub columns: Vec<MappedField>,
    /// The condition that a row must meet.
    pub filter: Option<Sql>,
    /// Staging's columns as they are stored.
    pub stored: Vec<Field>,
}

/// A column of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedField {
    /// Its name.
    pub name: String,
    /// How it is computed; `None`, where it is staging's column of this name.
    pub sql: Option<Sql>,
    /// Staging's column that it is, under another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renames: Option<String>,
    /// Whether its values are made unreadable, so that what they are made from is told to nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

/// SQL that a person wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sql {
    /// As this program runs it.
    pub engine: String,
    /// As Spark has it.
    pub spark: String,
    /// Staging's columns that it names.
    pub columns: BTreeSet<String>,
    /// Where it stands: `orders.yaml:12:5: columns.amount`.
    pub place: String,
}

impl Sql {
    /// The text.
    #[must_use]
    pub fn text(&self, dialect: Dialect) -> &str {
        match dialect {
            Dialect::Engine => &self.engine,
            Dialect::Spark => &self.spark,
        }
    }
}

impl Mapped {
    /// The rows of `relation`, which holds staging's columns as they are stored, with the columns that a batch has: those
    /// that meet the filter, or those that do not.
    #[must_use]
    pub fn select(&self, relation: &str, dialect: Dialect, met: bool) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|field| match &field.sql {
                Some(sql) => match (&self.filter, met) {
                    // An engine may compute a column before it filters: what is left out may be what does not fit. A column
                    // that only has another name always does, and files can be left out by it.
                    (Some(filter), true) if field.renames.is_none() => format!(
                        "CASE WHEN {} THEN {} END AS {}",
                        filter.text(dialect),
                        sql.text(dialect),
                        Ident(&field.name)
                    ),
                    _ => format!("{} AS {}", sql.text(dialect), Ident(&field.name)),
                },
                None => column(ALIAS, &field.name),
            })
            .collect();
        let filter = match (&self.filter, met) {
            (None, true) => String::new(),
            (None, false) => " WHERE FALSE".to_owned(),
            (Some(sql), true) => format!(" WHERE ({})", sql.text(dialect)),
            // A condition that is NULL is not met.
            (Some(sql), false) => format!(" WHERE ({}) IS NOT TRUE", sql.text(dialect)),
        };
        let exploded = self.explode.as_ref().map(|explode| self.exploded(explode, relation, dialect));
        let relation = exploded.as_deref().unwrap_or(relation);
        format!("SELECT {} FROM {relation} AS {ALIAS}{filter}", columns.join(", "))
    }

    /// The elements of an array, each as a row with the other columns of the row that has it.
    fn exploded(&self, explode: &Explode, relation: &str, dialect: Dialect) -> String {
        let Explode { column: array, element, position } = explode;
        let place = position.as_deref().map(Ident);
        let (values, element) = (column(ALIAS, array), Ident(element));
        let others = self.stored.iter().filter(|field| field.name != *array);
        let mut columns: Vec<String> = others.map(|field| column(ALIAS, &field.name)).collect();
        let from = match dialect {
            Dialect::Engine => {
                columns.push(format!("unnest({values}) AS {element}"));
                let places = format!("generate_series(1, CAST(array_length({values}) AS BIGINT))");
                columns.extend(place.map(|place| format!("unnest({places}) AS {place}")));
                format!("{relation} AS {ALIAS} WHERE array_length({values}) > 0")
            }
            Dialect::Spark => {
                columns.push(format!("__hw_e.{element}"));
                columns.extend(place.map(|place| format!("CAST(__hw_e.__hw_at + 1 AS BIGINT) AS {place}")));
                format!(
                    "{relation} AS {ALIAS} LATERAL VIEW posexplode({values}) __hw_e AS __hw_at, {element}"
                )
            }
        };
        format!("(SELECT {} FROM {from})", columns.join(", "))
    }

    /// The type that staging's column of this name is stored with.
    #[must_use]
    pub fn stored_type(&self, name: &str) -> Option<&DataType> {
        self.stored.iter().find(|field| field.name == name).map(|field| &field.data_type)
    }

    /// Whether the values of a batch's column are told to nobody.
    #[must_use]
    pub fn hides(&self, name: &str) -> bool {
        self.columns.iter().any(|field| field.name == name && field.masked)
    }

    /// Whether some column or the filter is made from staging's column of this name.
    #[must_use]
    pub fn uses(&self, name: &str) -> bool {
        if self.explode.as_ref().is_some_and(|explode| explode.column == name) {
            return true;
        }
        let computed = self.columns.iter().filter_map(|field| field.sql.as_ref());
        computed.chain(&self.filter).any(|sql| sql.columns.contains(name))
    }
}
